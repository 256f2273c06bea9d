"""Bytes of gob being written and being read: numbers, strings and messages.

The encoding of each primitive is that of https://pkg.go.dev/encoding/gob#hdr-Encoding_Details.
This is the Python twin of ``_buffers.pyx``.
"""

import math
import struct
from operator import index
from typing import Any

from distchan.gob._errors import GobDecodeError, GobEncodeError, does_not_fit, wrong_type

__all__ = ["Input", "Output"]

_DOUBLE = struct.Struct("<d")
_SINGLE = struct.Struct("<f")
_LARGEST_SINGLE = _SINGLE.unpack(b"\xff\xff\x7f\x7f")[0]
_INFINITY = float("inf")


class Output:
    """The message that is being written.

    ``session`` is the encoder, for the values whose types only the value tells. ``parent`` is the
    message in which this one will be embedded, if it is the value of an interface.
    """

    __slots__ = ("_data", "depth", "parent", "session")

    def __init__(self, session: Any, parent: "Output | None" = None) -> None:
        self._data = bytearray()
        self.session = session
        self.parent = parent
        #: How many levels the value being written is inside the outermost one.
        self.depth: int = 0 if parent is None else parent.depth

    def size(self) -> int:
        """How many bytes the message has so far."""
        return len(self._data)

    def truncate(self, size: int) -> None:
        """Forget what was written after the message had that size."""
        del self._data[size:]

    def is_zero_since(self, size: int) -> bool:
        """Whether nothing but one zero byte was written after the message had that size."""
        return len(self._data) == size + 1 and self._data[size] == 0

    def take(self) -> bytes:
        """The message without its length; after that it is empty."""
        data = bytes(self._data)
        self._data.clear()
        return data

    def take_message(self) -> bytes:
        """The message, its length in front; after that it is empty."""
        content = self._data
        self._data = bytearray()
        self.write_uint(len(content))
        self._data += content
        return self.take()

    def write_uint(self, value: int) -> None:
        """A number that is not negative and has at most 64 bits, which is not checked."""
        if value <= 0x7F:
            self._data.append(value)
            return
        size = (value.bit_length() + 7) >> 3
        self._data.append(256 - size)
        self._data += value.to_bytes(size, "big")

    def write_bool(self, value: Any) -> None:
        """``True`` or ``False``, and nothing that is merely like them."""
        if value is not True and value is not False:
            raise wrong_type("a bool", value)
        self._data.append(value)

    def write_int(self, value: Any, bits: int) -> None:
        """A signed number that has room in so many bits."""
        number = _integer(value)
        if not -1 << (bits - 1) <= number < 1 << (bits - 1):
            raise does_not_fit(number, f"int{bits}")
        self.write_uint(~number << 1 | 1 if number < 0 else number << 1)

    def write_unsigned(self, value: Any, bits: int) -> None:
        """A number without sign that has room in so many bits."""
        number = _integer(value)
        if not 0 <= number < 1 << bits:
            raise does_not_fit(number, f"uint{bits}")
        self.write_uint(number)

    def write_float(self, value: Any, bits: int) -> None:
        """A float64, or a float32: the number nearest to the value, widened."""
        if type(value) is not float:
            try:
                value = math.ldexp(value, 0)  # unlike float() it refuses text
            except OverflowError:
                raise GobEncodeError("the number is too large for a float64") from None
            except TypeError:
                raise wrong_type("a float", value) from None
        if bits == 32:
            value = _to_single(value)
        self.write_uint(int.from_bytes(_DOUBLE.pack(value), "big"))

    def write_string(self, value: Any) -> None:
        """Text as UTF-8. Bytes that are not UTF-8 are lone surrogates in it (PEP 383)."""
        if not isinstance(value, str):
            raise wrong_type("a str", value)
        try:
            data = value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise GobEncodeError(f"the string has no form in UTF-8: {error.reason}") from None
        self.write_uint(len(data))
        self._data += data

    def write_bytes(self, value: Any) -> None:
        """Anything that has contiguous bytes: their number, then they."""
        if type(value) is not bytes:
            try:
                value = memoryview(value).cast("B")
            except TypeError:
                raise wrong_type("bytes", value) from None
        self.write_uint(len(value))
        self._data += value

    def write_raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self._data += data


class Input:
    """The bytes that are being read, one message after the other.

    A message ends where its length says; a value goes on in the next one only where the value of
    an interface brought new definitions. ``session`` is the decoder, for those.

    Every method raises GobDecodeError if the bytes are not what it reads.
    """

    __slots__ = (
        "_budget",
        "_data",
        "_depth",
        "_end",
        "_max_depth",
        "message_start",
        "position",
        "session",
    )

    def __init__(
        self, data: bytes, start: int, session: Any, max_depth: int, max_values: int
    ) -> None:
        self._data = data
        self.session = session
        #: The byte that is read next.
        self.position = start
        #: Where the message begins, with its length.
        self.message_start = start
        self._end = start  # of the message
        self._depth = 0
        self._max_depth = max_depth
        self._budget = max_values

    def has_more(self) -> bool:
        """Whether there are bytes after the position."""
        return self.position < len(self._data)

    def is_message_read(self) -> bool:
        """Whether the message has no bytes left."""
        return self.position == self._end

    def next_message(self) -> None:
        """Go on with the next message."""
        self.message_start = self.position
        self._end = len(self._data)
        length = self.read_uint()
        end = self.position + length
        if end > len(self._data):
            raise self._cut()
        self._end = end

    def end_message(self) -> None:
        """Drop what is left of the message."""
        self.position = self._end

    def enter(self, count: int) -> None:
        """Begin a value that has values inside, of which so many are about to be made."""
        self.spend(count)
        self._depth += 1
        if self._depth > self._max_depth:
            raise GobDecodeError(f"nested more than {self._max_depth} levels deep", self.position)

    def leave(self) -> None:
        """End a value that was entered."""
        self._depth -= 1

    def spend(self, count: int) -> None:
        """Account for so many values about to be made."""
        self._budget -= count
        if self._budget < 0:
            raise GobDecodeError("more values than max_values allows", self.position)

    def read_uint(self) -> int:
        position = self.position
        if position >= self._end:
            raise self._cut()
        first = self._data[position]
        if first <= 0x7F:
            self.position = position + 1
            return first
        stop = position + 257 - first
        if first < 0xF8:
            raise GobDecodeError(f"a number of {256 - first} bytes", position)
        if stop > self._end:
            raise self._cut()
        self.position = stop
        return int.from_bytes(self._data[position + 1 : stop], "big")

    def read_bool(self) -> bool:
        return self.read_uint() != 0

    def read_int(self, bits: int) -> int:
        start = self.position
        number = self.read_uint()
        value = ~(number >> 1) if number & 1 else number >> 1
        if bits < 64 and not -1 << (bits - 1) <= value < 1 << (bits - 1):
            raise GobDecodeError(f"{value} does not fit int{bits}", start)
        return value

    def read_unsigned(self, bits: int) -> int:
        start = self.position
        value = self.read_uint()
        if bits < 64 and value >> bits:
            raise GobDecodeError(f"{value} does not fit uint{bits}", start)
        return value

    def read_float(self, bits: int) -> float:
        start = self.position
        value: float = _DOUBLE.unpack(self.read_uint().to_bytes(8, "big"))[0]
        if bits == 32:
            if _LARGEST_SINGLE < abs(value) < _INFINITY:
                raise GobDecodeError(f"{value!r} does not fit float32", start)
            value = _to_single(value)
        return value

    def read_string(self) -> str:
        return self.read_bytes().decode("utf-8", "surrogateescape")

    def read_bytes(self) -> bytes:
        start = self.position
        length = self.read_uint()
        stop = self.position + length
        if stop > self._end:
            raise GobDecodeError(f"{length} bytes where fewer are left", start)
        data = self._data[self.position : stop]
        self.position = stop
        return data

    def skip_bytes(self) -> None:
        """Pass over counted bytes."""
        start = self.position
        length = self.read_uint()
        stop = self.position + length
        if stop > self._end:
            raise GobDecodeError(f"{length} bytes where fewer are left", start)
        self.position = stop

    def read_count(self) -> int:
        """The number of elements that follow. Each has at least one byte, in whatever message."""
        start = self.position
        count = self.read_uint()
        if count > len(self._data) - self.position:
            raise GobDecodeError(f"{count} elements where fewer bytes are left", start)
        return count

    def _cut(self) -> GobDecodeError:
        return GobDecodeError("the data is cut off", self.position)


def _integer(value: Any) -> int:
    if type(value) is int:
        return value
    try:
        return index(value)
    except TypeError:
        raise wrong_type("an int", value) from None


def _to_single(value: float) -> float:
    try:
        single: float = _SINGLE.unpack(_SINGLE.pack(value))[0]
    except OverflowError:
        raise GobEncodeError(f"{value!r} does not fit float32") from None
    return single
