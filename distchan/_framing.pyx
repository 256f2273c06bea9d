# cython: language_level=3
"""Frames to bytes and back: the compiled twin of ``_framing_py.py``, whose plan it follows.

Pointers never leave a function: each is derived from an object that the function itself holds,
and is not used any more once Python code may have changed that object.
"""

from collections import deque

from cpython.bytearray cimport (
    PyByteArray_AS_STRING,
    PyByteArray_GET_SIZE,
    PyByteArray_Resize,
)
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.number cimport PyNumber_Index
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from . import _frames, _wire
from ._frames import Run
from .errors import ProtocolError

__all__ = ["Decoder", "Encoder"]

cdef Py_ssize_t HEADER_SIZE = _wire.HEADER_SIZE
cdef Py_ssize_t DATA_PREFIX = _wire.DATA_PREFIX
cdef Py_ssize_t CONTROL_LIMIT = _wire.CONTROL_LIMIT
cdef Py_ssize_t REFERENCE_THRESHOLD = _frames.REFERENCE_THRESHOLD
# 64 bits wide, because a length above it must be comparable on 32-bit hosts, too.
cdef int64_t MAX_LENGTH = _frames.MAX_LENGTH
# The first allocation of a buffer; about twenty frames of forty bytes.
cdef Py_ssize_t FIRST_CAPACITY = 1024


# Byte by byte, so that neither alignment nor the byte order of the host matters; compilers make
# a single load or store of it where the host allows.

cdef inline void write32(uint8_t* to, uint32_t value) noexcept:
    to[0] = <uint8_t>value
    to[1] = <uint8_t>(value >> 8)
    to[2] = <uint8_t>(value >> 16)
    to[3] = <uint8_t>(value >> 24)


cdef inline void write64(uint8_t* to, uint64_t value) noexcept:
    write32(to, <uint32_t>value)
    write32(to + 4, <uint32_t>(value >> 32))


cdef inline uint32_t read32(const uint8_t* at) noexcept:
    return (
        <uint32_t>at[0] | <uint32_t>at[1] << 8 | <uint32_t>at[2] << 16 | <uint32_t>at[3] << 24
    )


cdef inline uint64_t read64(const uint8_t* at) noexcept:
    return <uint64_t>read32(at) | <uint64_t>read32(at + 4) << 32


cdef const uint8_t* start_of(buffer) except NULL:
    """Where the bytes of an exact bytes object or of a bytearray begin."""
    if PyBytes_CheckExact(buffer):
        return <const uint8_t*>PyBytes_AS_STRING(buffer)
    return <const uint8_t*>PyByteArray_AS_STRING(buffer)


cdef class Encoder:
    """Collects frames in one growing buffer until they are taken."""

    cdef uint32_t _signature
    cdef list _closed
    cdef Py_ssize_t _closed_size
    # Longer than what is pending, so that most frames need no call to resize it.
    cdef bytearray _buffer
    cdef Py_ssize_t _used

    # __cinit__, for no method may ever meet an object whose fields are None.
    def __cinit__(self, signature):
        self._signature = _frames.checked_signature(signature)
        self._closed = []
        self._closed_size = 0
        self._buffer = bytearray()
        self._used = 0

    @property
    def size(self):
        """How many bytes are pending."""
        return self._closed_size + self._used

    def add(self, kind, body=b""):
        """Append a control frame."""
        self._append(kind, 0, body, 1)

    def add_data(self, kind, number, payload):
        """Append a data frame."""
        self._append(kind, number, payload, DATA_PREFIX)

    def take(self):
        """Hand over everything pending, in order, and start anew."""
        if self._used:
            self._close_buffer(self._used, (self._buffer,))
        taken = self._closed
        self._closed = []
        self._closed_size = 0
        return taken

    cdef int _append(self, kind, number, payload, Py_ssize_t prefix_size) except -1:
        if not PyBytes_CheckExact(payload):
            raise _frames.not_bytes(payload)
        cdef Py_ssize_t payload_size = PyBytes_GET_SIZE(payload)
        cdef int64_t length = <int64_t>prefix_size + payload_size
        if length > MAX_LENGTH:
            raise _frames.too_large(length, MAX_LENGTH)
        cdef uint8_t kind_byte
        cdef uint64_t number_word
        try:
            # The same objects pass for integers as with struct.
            kind_byte = kind if isinstance(kind, int) else PyNumber_Index(kind)
            number_word = number if isinstance(number, int) else PyNumber_Index(number)
        except (OverflowError, TypeError):
            raise _frames.bad_prefix(kind, number) from None

        cdef bint copied = payload_size < REFERENCE_THRESHOLD
        cdef Py_ssize_t size = HEADER_SIZE + prefix_size + (payload_size if copied else 0)
        cdef Py_ssize_t capacity = PyByteArray_GET_SIZE(self._buffer)
        if size > capacity - self._used:
            PyByteArray_Resize(
                self._buffer, max(self._used + size, 2 * capacity, FIRST_CAPACITY)
            )
        cdef uint8_t* to = <uint8_t*>PyByteArray_AS_STRING(self._buffer) + self._used
        write32(to, self._signature)
        write32(to + 4, <uint32_t>length)
        to[HEADER_SIZE] = kind_byte
        if prefix_size == DATA_PREFIX:
            write64(to + HEADER_SIZE + 1, number_word)
        if copied:
            memcpy(to + HEADER_SIZE + prefix_size, PyBytes_AS_STRING(payload), payload_size)
            self._used += size
        else:
            self._close_buffer(self._used + size, (self._buffer, payload))
            self._closed_size += payload_size
        return 0

    cdef int _close_buffer(self, Py_ssize_t used, tuple closed) except -1:
        # Whatever can fail comes first: a frame gets in whole or not at all.
        fresh = bytearray()
        PyByteArray_Resize(self._buffer, used)
        self._closed += closed
        self._closed_size += used
        self._used = 0
        self._buffer = fresh
        return 0


cdef class Decoder:
    """Cuts a byte stream into frames. Feed it, then read until there is nothing more."""

    cdef uint32_t _signature
    cdef int64_t _data_limit
    # Until expect_data() there is no data kind: every frame is a control frame.
    cdef int _data_kind
    cdef object _decode
    cdef int64_t _limit
    cdef uint64_t _next_number
    # The bytes being cut: a piece as it was fed (bytes), or the one frame that is being put
    # together from several pieces (bytearray, from its start).
    cdef object _buffer
    cdef Py_ssize_t _position
    # The pieces after it, and how much of the first of them has gone into the buffer.
    cdef object _waiting
    cdef Py_ssize_t _taken
    # The run so far. Kept here so that an interrupted read() loses nothing.
    cdef list _values
    cdef Py_ssize_t _size
    # The data frame after the run, if it does not decode.
    cdef object _failed
    cdef object _error
    cdef bint _reading

    def __cinit__(self, signature, max_frame_size):
        self._signature = _frames.checked_signature(signature)
        self._data_limit = <int64_t>_frames.checked_max_frame_size(max_frame_size) + DATA_PREFIX
        self._data_kind = -1
        self._decode = bytes
        self._limit = CONTROL_LIMIT
        self._next_number = 0
        self._buffer = b""
        self._position = 0
        self._waiting = deque()
        self._taken = 0
        self._values = []
        self._size = 0
        self._failed = None
        self._error = None
        self._reading = False

    def expect_data(self, kind, decode):
        """Allow data frames of that kind from now on; ``decode`` makes values of their payloads."""
        self._data_kind = _frames.checked_kind(kind)
        self._decode = decode
        self._limit = max(self._data_limit, CONTROL_LIMIT)

    def feed(self, data):
        """Take in the next bytes of the stream. Nothing is looked at before ``read()``."""
        piece = data if PyBytes_CheckExact(data) else bytes(memoryview(data))
        if self._error is None:
            self._waiting.append(piece)

    def read(self):
        """Return the next control frame or run of data frames; None when bytes are missing.

        A data frame that does not decode ends a run and is returned by itself.

        What is wrong with the stream is raised once all before it has been returned, and then
        for ever.
        """
        if self._reading:
            raise _frames.reentered()
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

    cdef tuple _cut(self):
        """Move data frames into the run; stop at, and without a run return, a control frame."""
        cdef int data_kind = self._data_kind
        cdef int kind = 0
        cdef int64_t limit = self._limit
        decode = self._decode
        cdef const uint8_t* frame
        cdef Py_ssize_t available, payload_size
        cdef uint32_t signature
        cdef int64_t length, needed
        cdef uint64_t number
        while True:
            # Nobody else can change or free the bytes while this variable holds the buffer:
            # feed() does not touch it, and another read() is refused.
            buffer = self._buffer
            frame = start_of(buffer) + self._position
            available = len(buffer) - self._position
            while True:
                needed = HEADER_SIZE
                if available < HEADER_SIZE:
                    break
                signature = read32(frame)
                length = <int32_t>read32(frame + 4)
                if signature != self._signature or not 1 <= length <= limit:
                    raise _frames.bad_header(self._signature, signature, length, limit)
                needed += length
                if available > HEADER_SIZE:
                    kind = frame[HEADER_SIZE]
                    if kind == data_kind:
                        if not DATA_PREFIX <= length <= self._data_limit:
                            raise _frames.bad_data_length(length, self._data_limit)
                    elif length > CONTROL_LIMIT:
                        raise _frames.too_large(length, CONTROL_LIMIT)
                if available < needed:
                    break

                if kind != data_kind:
                    if self._values:
                        return None
                    self._position += needed
                    return kind, PyBytes_FromStringAndSize(
                        <const char*>frame + HEADER_SIZE + 1, length - 1
                    )
                number = read64(frame + HEADER_SIZE + 1)
                if number != self._next_number:
                    raise _frames.bad_number(self._next_number, number)
                payload_size = length - DATA_PREFIX
                payload = PyBytes_FromStringAndSize(
                    <const char*>frame + HEADER_SIZE + DATA_PREFIX, payload_size
                )
                try:
                    value = decode(payload)
                except Exception as error:
                    self._failed = _frames.undecodable(number, payload_size, error)
                    self._next_number += 1
                    self._position += needed
                    return None
                self._values.append(value)
                self._size += payload_size
                self._next_number += 1
                self._position += needed
                frame += needed
                available -= needed
            if not self._refill(needed):
                return None

    cdef bint _refill(self, int64_t needed) except -1:
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
        cdef bint grown = False
        while waiting and (missing := needed - len(self._buffer)):
            grown = True
            fresh = memoryview(waiting[0])[self._taken : self._taken + missing]
            self._buffer += fresh
            self._taken += len(fresh)
            if self._taken == len(waiting[0]):
                waiting.popleft()
                self._taken = 0
        return grown
