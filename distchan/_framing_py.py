"""Frames to bytes and back: the twin in Python of ``_framing.pyx``.

Both twins follow the same plan. The encoder appends frames to one buffer and hands the buffer
itself to the transport. The decoder never touches what it was fed: it walks through a piece with
an offset, and only a frame that is spread over several pieces is put together in a buffer of its
own, which grows with the bytes that really arrive, whatever length the frame claims.
"""

import struct
from collections import deque
from collections.abc import Callable
from typing import Any

from ._frames import (
    MAX_LENGTH,
    REFERENCE_THRESHOLD,
    Run,
    Undecodable,
    bad_data_length,
    bad_header,
    bad_number,
    bad_prefix,
    checked_kind,
    checked_max_frame_size,
    checked_signature,
    not_bytes,
    reentered,
    too_large,
    undecodable,
)
from ._wire import CONTROL_LIMIT, DATA_PREFIX, HEADER_SIZE
from .errors import ProtocolError

__all__ = ["Decoder", "Encoder"]

_pack_control = struct.Struct("<IiB").pack
_pack_data = struct.Struct("<IiBQ").pack
_unpack_header = struct.Struct("<Ii").unpack_from
_unpack_number = struct.Struct("<Q").unpack_from


def _checked_length(prefix_size: int, payload: bytes) -> int:
    if type(payload) is not bytes:
        raise not_bytes(payload)
    length = prefix_size + len(payload)
    if length > MAX_LENGTH:
        raise too_large(length, MAX_LENGTH)
    return length


class Encoder:
    """Collects frames in one growing buffer until they are taken."""

    __slots__ = ("_buffer", "_closed", "_closed_size", "_signature")

    def __init__(self, signature: int) -> None:
        self._signature = checked_signature(signature)
        self._closed: list[bytes | bytearray] = []
        self._closed_size = 0
        self._buffer = bytearray()

    @property
    def size(self) -> int:
        """How many bytes are pending."""
        return self._closed_size + len(self._buffer)

    def add(self, kind: int, body: bytes = b"") -> None:
        """Append a control frame."""
        length = _checked_length(1, body)
        try:
            prefix = _pack_control(self._signature, length, kind)
        except struct.error:
            raise bad_prefix(kind, 0) from None
        self._append(prefix, body)

    def add_data(self, kind: int, number: int, payload: bytes) -> None:
        """Append a data frame."""
        length = _checked_length(DATA_PREFIX, payload)
        try:
            prefix = _pack_data(self._signature, length, kind, number)
        except struct.error:
            raise bad_prefix(kind, number) from None
        self._append(prefix, payload)

    def take(self) -> list[bytes | bytearray]:
        """Hand over everything pending, in order, and start anew."""
        taken = self._closed
        if self._buffer:
            taken.append(self._buffer)
            self._buffer = bytearray()
        self._closed = []
        self._closed_size = 0
        return taken

    def _append(self, prefix: bytes, payload: bytes) -> None:
        if len(payload) < REFERENCE_THRESHOLD:
            # One append, not two: a frame gets in whole or, when memory runs out, not at all.
            self._buffer += prefix + payload
        else:
            self._buffer += prefix
            self._closed += (self._buffer, payload)
            self._closed_size += len(self._buffer) + len(payload)
            self._buffer = bytearray()


class Decoder:
    """Cuts a byte stream into frames. Feed it, then read until there is nothing more."""

    __slots__ = (
        "_buffer",
        "_data_kind",
        "_data_limit",
        "_decode",
        "_error",
        "_failed",
        "_limit",
        "_next_number",
        "_position",
        "_reading",
        "_signature",
        "_size",
        "_taken",
        "_values",
        "_waiting",
    )

    def __init__(self, signature: int, max_frame_size: int) -> None:
        self._signature = checked_signature(signature)
        self._data_limit = checked_max_frame_size(max_frame_size) + DATA_PREFIX
        # Until expect_data() there is no data kind: every frame is a control frame.
        self._data_kind = -1
        self._decode: Callable[[bytes], object] = bytes
        self._limit = CONTROL_LIMIT
        self._next_number = 0
        # The bytes being cut: a piece as it was fed (bytes), or the one frame that is being put
        # together from several pieces (bytearray, from its start).
        self._buffer: bytes | bytearray = b""
        self._position = 0
        # The pieces after it, and how much of the first of them has gone into the buffer.
        self._waiting: deque[bytes] = deque()
        self._taken = 0
        # The run so far. Kept here so that an interrupted read() loses nothing.
        self._values: list[Any] = []
        self._size = 0
        self._failed: Undecodable | None = None
        self._error: ProtocolError | None = None
        self._reading = False

    def expect_data(self, kind: int, decode: Callable[[bytes], object]) -> None:
        """Allow data frames of that kind from now on; ``decode`` makes values of their payloads."""
        self._data_kind = checked_kind(kind)
        self._decode = decode
        self._limit = max(self._data_limit, CONTROL_LIMIT)

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take in the next bytes of the stream. Nothing is looked at before ``read()``."""
        piece = data if type(data) is bytes else bytes(memoryview(data))
        if self._error is None:
            self._waiting.append(piece)

    def read(self) -> tuple[int, bytes | Run | Undecodable] | None:
        """Return the next control frame or run of data frames; None when bytes are missing.

        A data frame that does not decode ends a run and is returned by itself.

        What is wrong with the stream is raised once all before it has been returned, and then
        for ever.
        """
        if self._reading:
            raise reentered()
        self._reading = True
        control = None
        try:
            if self._error is None and self._failed is None:
                control = self._cut()
        except ProtocolError as error:
            self._error = error
            self._buffer = b""
            self._waiting.clear()
        finally:
            self._reading = False
        if self._values:
            run = Run(self._values, self._size)
            self._values = []
            self._size = 0
            return self._data_kind, run
        if self._failed is not None:
            failed, self._failed = self._failed, None
            return self._data_kind, failed
        if self._error is not None:
            # Without with_traceback() the traceback would grow with every repetition.
            raise self._error.with_traceback(None)
        return control

    def _cut(self) -> tuple[int, bytes] | None:
        """Move data frames into the run; stop at, and without a run return, a control frame."""
        data_kind, decode, limit = self._data_kind, self._decode, self._limit
        while True:
            buffer = self._buffer
            while True:
                start = self._position
                available = len(buffer) - start
                needed = HEADER_SIZE
                if available < HEADER_SIZE:
                    break
                signature, length = _unpack_header(buffer, start)
                if signature != self._signature or not 1 <= length <= limit:
                    raise bad_header(self._signature, signature, length, limit)
                needed += length
                if available > HEADER_SIZE:
                    kind = buffer[start + HEADER_SIZE]
                    if kind == data_kind:
                        if not DATA_PREFIX <= length <= self._data_limit:
                            raise bad_data_length(length, self._data_limit)
                    elif length > CONTROL_LIMIT:
                        raise too_large(length, CONTROL_LIMIT)
                if available < needed:
                    break

                end = start + needed
                if kind != data_kind:
                    if self._values:
                        return None
                    self._position = end
                    return kind, bytes(buffer[start + HEADER_SIZE + 1 : end])
                (number,) = _unpack_number(buffer, start + HEADER_SIZE + 1)
                if number != self._next_number:
                    raise bad_number(self._next_number, number)
                payload = bytes(buffer[start + HEADER_SIZE + DATA_PREFIX : end])
                try:
                    value = decode(payload)
                except Exception as error:
                    self._failed = undecodable(number, len(payload), error)
                    self._next_number += 1
                    self._position = end
                    return None
                self._values.append(value)
                self._size += len(payload)
                self._next_number += 1
                self._position = end
            if not self._refill(needed):
                return None

    def _refill(self, needed: int) -> bool:
        """Bring in more bytes of an incomplete frame, at most ``needed`` in all; False if none."""
        waiting = self._waiting
        if self._position == len(self._buffer):
            if not waiting:
                self._buffer, self._position = b"", 0
                return False
            # Nothing to put together: go on in the next piece itself.
            self._buffer, self._position = waiting.popleft(), self._taken
            self._taken = 0
            return True
        if type(self._buffer) is not bytearray:
            # Also when nothing is waiting: the rest must not keep the whole piece alive.
            self._buffer, self._position = bytearray(self._buffer[self._position :]), 0
        grown = False
        while waiting and (missing := needed - len(self._buffer)):
            grown = True
            fresh = memoryview(waiting[0])[self._taken : self._taken + missing]
            self._buffer += fresh
            self._taken += len(fresh)
            if self._taken == len(waiting[0]):
                waiting.popleft()
                self._taken = 0
        return grown
