"""Bytes to values: definitions are remembered, values are read by them."""

import itertools
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from distchan.gob._buffers import Input
from distchan.gob._definitions import FIRST_USER_ID, WireType, read_name, read_wire_type
from distchan.gob._errors import GobDecodeError, decoding_failed
from distchan.gob._matching import Readers, wire_type
from distchan.gob._readers import Reader
from distchan.gob._registry import DEFAULT, Registry
from distchan.gob._schema import describe
from distchan.gob._types import Kind

__all__ = ["Decoder", "loads"]

#: The limits of a decoder, where no others are given.
MAX_SIZE: Final = 64 * 1024 * 1024
MAX_DEPTH: Final = 100
#: What the stack of a thread has room for.
DEEPEST: Final = 1_000
MAX_VALUES: Final = 10_000_000
MAX_TYPES: Final = 1_000
MAX_FIELDS: Final = 10_000


class Decoder:
    """The other end of a stream: it remembers the definitions for the values that follow.

    ``item_type`` is the type of the values; with ``Any`` they come as their definitions say,
    structs as dicts. ``registry`` has the types of the values of interfaces (by default those
    given to `register`); one whose name it does not have comes as its definition says.

    Limits, each a DecodeError if it is exceeded:

    - ``max_size``: bytes of the data given to one call, 64 MiB;
    - ``max_depth``: levels of values inside values, 100, and 1,000 at the most;
    - ``max_values``: elements and fields of structs in one call, counting those that are zero,
      10,000,000;
    - ``max_types`` and ``max_fields``: definitions, and the fields in all of them, that the
      decoder remembers, 1,000 and 10,000.

    Raises TypeError for a type that gob cannot express, ValueError for another ``max_depth``.
    """

    def __init__(
        self,
        item_type: Any = Any,
        *,
        registry: Registry | None = None,
        max_size: int = MAX_SIZE,
        max_depth: int = MAX_DEPTH,
        max_values: int = MAX_VALUES,
        max_types: int = MAX_TYPES,
        max_fields: int = MAX_FIELDS,
    ) -> None:
        self._root = None if item_type is Any or item_type is object else describe(item_type)
        if not 1 <= max_depth <= DEEPEST:
            raise ValueError(f"max_depth is between 1 and {DEEPEST}, not {max_depth}")
        self._registry = registry or DEFAULT
        self._max_size = max_size
        self._max_depth = max_depth
        self._max_values = max_values
        self._max_types = max_types
        self._max_fields = max_fields
        self.reset()

    def reset(self) -> None:
        """Begin a new stream."""
        self._definitions: dict[int, WireType] = {}
        self._fields_left = self._max_fields
        self._readers = Readers(self._definitions, self._max_depth)
        self._mark()
        # The reader for whole values of the type that came last, and whether that is a struct.
        self._last_id = -1

    def decode(self, data: bytes, start: int = 0) -> Any:
        """The value in the data from ``start`` on: any number of definitions, then one value.

        What comes after the value is ignored, as Go's reader of frames does. Raises DecodeError,
        and the decoder is as it was, for anything that is not such data.
        """
        return self._next(self._open(data, start))

    def decode_all(self, data: bytes) -> Iterator[Any]:
        """The values in the data, one after the other; there may be none.

        Raises DecodeError when it comes to something else. ``max_values`` is for all of them.
        """
        source = self._open(data, 0)
        while source.has_more():
            value = self._next(source)
            source.end_message()
            yield value

    def rollback(self) -> None:
        """Forget the definitions that came with the last value, as if it had not been decoded."""
        if len(self._definitions) == self._known_before:
            return
        for type_id in list(itertools.islice(self._definitions, self._known_before, None)):
            del self._definitions[type_id]
        self._readers.forget_since(self._known_before)
        self._fields_left = self._fields_left_before
        self._last_id = -1

    def receive_definitions(self, data: bytes) -> int:
        """Read the definitions at the beginning of the data; where the value's message begins.

        Raises DecodeError as `decode` does, also if there is no value.
        """
        source = self._open(data, 0)
        self._mark()
        try:
            self._read_type_id(source, False)
        except Exception as error:
            self._fail(error, source)
        return source.message_start

    def _mark(self) -> None:
        """Note what there is before a value, for a rollback."""
        self._known_before = len(self._definitions)
        self._fields_left_before = self._fields_left

    def _next(self, source: Input) -> Any:
        self._mark()
        try:
            return self._read(source)
        except Exception as error:
            self._fail(error, source)
        except BaseException:
            self.rollback()
            raise

    def _fail(self, error: Exception, source: Input) -> NoReturn:
        self.rollback()
        decoding_failed(error, self._root.root_step if self._root else "", source.position)

    def _open(self, data: bytes, start: int) -> Input:
        if len(data) > self._max_size:
            raise GobDecodeError(f"{len(data)} bytes; max_size is {self._max_size}")
        data = data if type(data) is bytes else bytes(data)
        return Input(data, start, self, self._max_depth, self._max_values)

    def _read(self, source: Input) -> Any:
        type_id = self._read_type_id(source, False)
        if type_id != self._last_id:
            self._last_reader = self._readers.get(type_id, self._root)
            self._last_is_struct = wire_type(self._definitions, type_id).kind is Kind.STRUCT
            self._last_id = type_id
        if not self._last_is_struct:
            _read_no_field(source)
        reader = self._last_reader
        return reader.read(source)

    def read_interface(self, source: Input) -> Any:
        """The value of an interface; for InterfaceReader."""
        name = read_name(source)
        if not name:
            return None
        type_id = self._read_interface_type(source)
        reader: Reader = self._readers.get(type_id, self._registry.find(name))
        try:
            return reader.read(source)
        except GobDecodeError as error:
            error.path = f".({name}){error.path}"
            raise

    def skip_interface(self, source: Input) -> None:
        """Pass over the value of an interface; for InterfaceReader."""
        if source.read_bytes():
            type_id = self._read_interface_type(source)
            reader: Reader = self._readers.get(type_id, None)
            reader.skip(source)

    def _read_interface_type(self, source: Input) -> int:
        type_id = self._read_type_id(source, True)
        # The length of the value, which is not that if the value itself brings definitions.
        source.read_uint()
        if wire_type(self._definitions, type_id).kind is not Kind.STRUCT:
            _read_no_field(source)
        return type_id

    def _read_type_id(self, source: Input, in_interface: bool) -> int:
        """Read definitions up to the id of a value's type.

        In an interface a definition ends the message, or the part of one that is the value of an
        outer interface. Both begin with their length, and only the first is more than skipped.
        """
        while True:
            while source.is_message_read():
                source.next_message()
            type_id = source.read_int(64)
            if type_id >= 0:
                return type_id
            self._read_definition(source, -type_id)
            if not source.is_message_read():
                if not in_interface:
                    raise GobDecodeError("a definition with more behind it", source.position)
                source.read_uint()

    def _read_definition(self, source: Input, type_id: int) -> None:
        start = source.position
        if type_id < FIRST_USER_ID:
            raise GobDecodeError(f"{type_id} is not for a stream to define", start)
        if type_id in self._definitions:
            raise GobDecodeError(f"the type {type_id} is defined twice", start)
        if len(self._definitions) >= self._max_types:
            raise GobDecodeError("more types than max_types allows", start)
        wire = read_wire_type(source, self._fields_left)
        self._fields_left -= len(wire.fields)
        self._definitions[type_id] = wire


def _read_no_field(source: Input) -> None:
    """A value that is no struct comes like the first field of one, without a difference."""
    start = source.position
    if source.read_uint() != 0:
        raise GobDecodeError("a zero byte is missing before the value", start)


def loads(data: bytes, item_type: Any = Any, *, registry: Registry | None = None) -> Any:
    """The value of a stream of its own, as `dumps` makes it.

    Without ``item_type`` it comes as its definitions say. Raises DecodeError for other data,
    TypeError for a type that gob cannot express.
    """
    return Decoder(item_type, registry=registry).decode(data)
