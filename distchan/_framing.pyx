# cython: language_level=3
"""Frames to bytes and back: the compiled twin of ``_framing.py``, whose plan it follows.

Each pointer is derived from an object that the function using it, or its caller, holds, and is not
used any more once Python code may have changed that object.
"""

import threading
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
from cpython.buffer cimport PyBUF_WRITE
from cpython.bytes cimport _PyBytes_Resize
from cpython.long cimport PyLong_CheckExact
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from . import _frames, _wire
from ._frames import GivenBack, Items, Results
from .errors import ProtocolError

__all__ = ["Decoder", "Encoder"]

cdef Py_ssize_t HEADER_SIZE = _wire.HEADER_SIZE
cdef Py_ssize_t DATA_PREFIX = _wire.DATA_PREFIX
cdef Py_ssize_t TICKET_SIZE = _wire.TICKET_SIZE
cdef Py_ssize_t SETTLE_PREFIX = _wire.SETTLE_PREFIX
cdef Py_ssize_t ITEM_NUMBER_SIZE = _wire.ITEM_NUMBER_SIZE
cdef Py_ssize_t RESULT_LENGTH_SIZE = _wire.RESULT_LENGTH_SIZE
cdef int64_t MOST_SETTLED = _wire.MOST_SETTLED
cdef Py_ssize_t MOST_RESULTS = _wire.MOST_RESULTS
cdef Py_ssize_t CONTROL_LIMIT = _wire.CONTROL_LIMIT
cdef Py_ssize_t REFERENCE_THRESHOLD = _frames.REFERENCE_THRESHOLD
# 64 bits wide, because a length above it must be comparable on 32-bit hosts, too.
cdef int64_t MAX_LENGTH = _frames.MAX_LENGTH
cdef int ITEM = _wire.Kind.ITEM
cdef int SETTLE = _wire.Kind.SETTLE
cdef int RESULT = _wire.Kind.RESULT
cdef int DONE = _wire.Outcome.DONE
cdef int NOW = _frames.NOW
cdef int SOON = _frames.SOON
cdef int NOW_AND_PAUSE = _frames.NOW_AND_PAUSE
cdef Py_ssize_t BURST = _frames.BURST
# From so many bytes on, a payload is received where it stays: for less, a copy costs less than a
# system call. And how much of it is allocated at first, whatever length the frame claims.
cdef Py_ssize_t LARGE = 32 * 1024
cdef Py_ssize_t FIRST_LARGE = 1024 * 1024
# What is received together with the end of a large payload: the beginning of the next frame, so that
# it takes no system call of its own to learn whether that one is large, too.
cdef Py_ssize_t BEYOND = HEADER_SIZE + DATA_PREFIX + TICKET_SIZE



class _Shared(threading.local):
    """Memory that all decoders of a thread receive into."""

    def __init__(self):
        self.memory = bytearray(_frames.SHARED_MEMORY)
        self.view = memoryview(self.memory)
        self.beginning = self.view[:BEYOND]


_shared = _Shared()

# The first allocation of a buffer; about twenty frames of fifty bytes.
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


cdef int read_numbers(list numbers, const uint8_t* at, int64_t count) except -1:
    cdef int64_t index
    for index in range(count):
        numbers.append(read64(at + ITEM_NUMBER_SIZE * index))
    return 0


cdef inline void write_numbers(uint8_t* to, uint64_t first, int64_t count) noexcept:
    cdef int64_t index
    for index in range(count):
        write64(to + ITEM_NUMBER_SIZE * index, first + index)


cdef uint8_t* room(bytearray buffer, Py_ssize_t used, Py_ssize_t size) except NULL:
    """Where the next ``size`` bytes go, behind those in use."""
    cdef Py_ssize_t capacity = PyByteArray_GET_SIZE(buffer)
    if size > capacity - used:
        PyByteArray_Resize(buffer, max(used + size, 2 * capacity, FIRST_CAPACITY))
    return <uint8_t*>PyByteArray_AS_STRING(buffer) + used


cdef class Encoder:
    """Collects frames in one growing buffer until they are taken."""

    # __cinit__, for no method may ever meet an object whose fields are None.
    def __cinit__(self, signature):
        self._signature = _frames.checked_signature(signature)
        self._closed = []
        self._closed_size = 0
        self._buffer = bytearray()
        self._used = 0
        self._done_at = 0
        self._done_end = 0
        self._done_count = 0

    @property
    def size(self):
        """How many bytes are pending."""
        return self._closed_size + self._used

    cpdef add(self, uint8_t kind, body=b""):
        """Append a control frame."""
        self._append(&kind, 1, body)

    cpdef add_item(self, uint64_t number, uint64_t id, uint32_t attempt, payload):
        """Append an ITEM frame."""
        cdef uint8_t prefix[32]  # more than DATA_PREFIX + TICKET_SIZE
        prefix[0] = ITEM
        write64(prefix + 1, number)
        write64(prefix + DATA_PREFIX, id)
        write32(prefix + DATA_PREFIX + 8, attempt)
        self._append(prefix, DATA_PREFIX + TICKET_SIZE, payload)

    cpdef add_result(self, uint64_t number, payload):
        """Append a RESULT frame."""
        cdef uint8_t prefix[16]  # more than DATA_PREFIX
        prefix[0] = RESULT
        write64(prefix + 1, number)
        self._append(prefix, DATA_PREFIX, payload)

    cpdef add_settle(self, uint64_t number, uint8_t outcome, list items, list entries):
        """Append a SETTLE frame."""
        cdef Py_ssize_t count = len(items)
        cdef Py_ssize_t prefix_size = HEADER_SIZE + DATA_PREFIX + SETTLE_PREFIX
        cdef Py_ssize_t size
        cdef int64_t length = prefix_size + ITEM_NUMBER_SIZE * count - HEADER_SIZE
        cdef bint copied = True
        for entry in entries:
            if not PyBytes_CheckExact(entry):
                raise _frames.not_bytes(entry)
            size = PyBytes_GET_SIZE(entry)
            copied = copied and size < REFERENCE_THRESHOLD
            length += RESULT_LENGTH_SIZE + size
        if length > MAX_LENGTH:
            raise _frames.too_large(length, MAX_LENGTH)

        # Bytes behind those in use do not count: a frame gets in whole, at the end, or not at all.
        cdef bytearray buffer = self._buffer
        cdef Py_ssize_t used = self._used
        cdef uint8_t* to = room(
            buffer, used, HEADER_SIZE + length if copied else prefix_size + ITEM_NUMBER_SIZE * count
        )
        write32(to, self._signature)
        write32(to + 4, <uint32_t>length)
        to += HEADER_SIZE
        to[0] = SETTLE
        write64(to + 1, number)
        to[DATA_PREFIX] = outcome
        write32(to + DATA_PREFIX + 1, <uint32_t>count)
        to += DATA_PREFIX + SETTLE_PREFIX
        for item in items:
            if not PyLong_CheckExact(item):  # whose conversion could run code
                raise TypeError(f"an item's number must be an int, not {type(item).__name__}")
            write64(to, item)
            to += ITEM_NUMBER_SIZE
        if not copied:
            self._add_large_entries(entries, used + prefix_size + ITEM_NUMBER_SIZE * count)
            return
        for entry in entries:
            size = PyBytes_GET_SIZE(entry)
            write32(to, <uint32_t>size)
            memcpy(to + RESULT_LENGTH_SIZE, PyBytes_AS_STRING(entry), size)
            to += RESULT_LENGTH_SIZE + size
        self._used = used + HEADER_SIZE + length

    cpdef bint add_done(
        self, uint64_t number, uint64_t first, uint64_t last, result
    ) except -1:
        """Append a SETTLE frame: the items from ``first`` to ``last`` are done.

        Without a result they are added to the frame before, if that is one of the same kind and has
        room. Returns whether a frame was begun.
        """
        cdef int64_t count = last - first + 1
        cdef Py_ssize_t numbers_size = ITEM_NUMBER_SIZE * count
        cdef Py_ssize_t prefix_size = HEADER_SIZE + DATA_PREFIX + SETTLE_PREFIX
        cdef Py_ssize_t result_size = 0
        cdef Py_ssize_t size
        cdef uint8_t* to
        if (
            result is None
            and self._done_end
            and self._done_end == self._used
            and self._done_count + count <= MOST_SETTLED
        ):
            to = room(self._buffer, self._used, numbers_size)
            write_numbers(to, first, count)
            self._used += numbers_size
            self._done_end = self._used
            self._done_count += count
            to = <uint8_t*>PyByteArray_AS_STRING(self._buffer) + self._done_at
            write32(to + 4, <uint32_t>(self._done_end - self._done_at - HEADER_SIZE))
            write32(to + HEADER_SIZE + DATA_PREFIX + 1, <uint32_t>self._done_count)
            return False
        if result is not None:
            if not PyBytes_CheckExact(result):
                raise _frames.not_bytes(result)
            result_size = PyBytes_GET_SIZE(result)
            if result_size >= REFERENCE_THRESHOLD:
                self.add_settle(number, DONE, list(range(first, last + 1)), [result])
                return True
            result_size += RESULT_LENGTH_SIZE
        size = prefix_size + numbers_size + result_size
        to = room(self._buffer, self._used, size)
        write32(to, self._signature)
        write32(to + 4, <uint32_t>(size - HEADER_SIZE))
        to[HEADER_SIZE] = SETTLE
        write64(to + HEADER_SIZE + 1, number)
        to[HEADER_SIZE + DATA_PREFIX] = DONE
        write32(to + HEADER_SIZE + DATA_PREFIX + 1, <uint32_t>count)
        write_numbers(to + prefix_size, first, count)
        if result is None:
            self._done_at = self._used
            self._done_end = self._used + size
            self._done_count = count
        else:
            to += prefix_size + numbers_size
            result_size -= RESULT_LENGTH_SIZE
            write32(to, <uint32_t>result_size)
            memcpy(to + RESULT_LENGTH_SIZE, PyBytes_AS_STRING(result), result_size)
        self._used += size
        return True

    cdef int _add_large_entries(self, list entries, Py_ssize_t used) except -1:
        """Append entries, some of which are not copied, behind ``used`` bytes of the buffer."""
        cdef bytearray buffer = self._buffer
        cdef list closed = []
        cdef Py_ssize_t closed_size = 0, size
        cdef uint8_t* to
        for entry in entries:
            size = PyBytes_GET_SIZE(entry)
            if size < REFERENCE_THRESHOLD:
                to = room(buffer, used, RESULT_LENGTH_SIZE + size)
                write32(to, <uint32_t>size)
                memcpy(to + RESULT_LENGTH_SIZE, PyBytes_AS_STRING(entry), size)
                used += RESULT_LENGTH_SIZE + size
            else:
                write32(room(buffer, used, RESULT_LENGTH_SIZE), <uint32_t>size)
                used += RESULT_LENGTH_SIZE
                PyByteArray_Resize(buffer, used)
                closed += (buffer, entry)
                closed_size += used + size
                buffer = bytearray()
                used = 0
        self._closed += closed
        self._closed_size += closed_size
        self._buffer = buffer
        self._used = used
        self._done_end = 0
        return 0

    cpdef add_encoded(self, bytes frame):
        """Append a frame that has been encoded before, header included."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(frame)
        memcpy(room(self._buffer, self._used, size), PyBytes_AS_STRING(frame), size)
        self._used += size

    cpdef list take(self):
        """Hand over everything pending, in order, and start anew."""
        if self._used:
            self._close_buffer(self._used, (self._buffer,))
        taken = self._closed
        self._closed = []
        self._closed_size = 0
        return taken

    cdef int _append(self, const uint8_t* prefix, Py_ssize_t prefix_size, payload) except -1:
        if not PyBytes_CheckExact(payload):
            raise _frames.not_bytes(payload)
        cdef Py_ssize_t payload_size = PyBytes_GET_SIZE(payload)
        cdef int64_t length = <int64_t>prefix_size + payload_size
        if length > MAX_LENGTH:
            raise _frames.too_large(length, MAX_LENGTH)
        cdef bint copied = payload_size < REFERENCE_THRESHOLD
        cdef Py_ssize_t size = HEADER_SIZE + prefix_size + (payload_size if copied else 0)
        cdef uint8_t* to = room(self._buffer, self._used, size)
        write32(to, self._signature)
        write32(to + 4, <uint32_t>length)
        memcpy(to + HEADER_SIZE, prefix, prefix_size)
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
        self._done_end = 0
        self._buffer = fresh
        return 0


cdef class Decoder:
    """Cuts a byte stream into frames. Feed it, then read until there is nothing more."""

    def __cinit__(self, signature, max_frame_size):
        self._signature = _frames.checked_signature(signature)
        self._max_frame_size = _frames.checked_max_frame_size(max_frame_size)
        for kind in range(256):
            self._allow(kind, 1, CONTROL_LIMIT)
        self._decode = bytes
        self._next_number = 0
        self._buffer = b""
        self._position = 0
        self._waiting = deque()
        self._taken = 0
        self._count = 0
        self._first = 0
        self._last = 0
        self._values = []
        self._tickets = bytearray()
        self._settled = []
        self._settles = False
        self._settled_first = 0
        self._settled_last = 0
        self._size = 0
        self._apart = None
        self._error = None
        self._reading = False
        self._large = None
        self._receives_large = False
        self._looks_ahead = False

    def expect_items(self, decode, first=0):
        """Allow ITEM frames from now on, from number ``first``; ``decode`` makes their values."""
        self._expect(decode, first)
        cdef int64_t least = DATA_PREFIX + TICKET_SIZE
        self._allow(ITEM, least, self._max_frame_size + least)

    def expect_results(self, decode, first=0):
        """Allow RESULT and SETTLE frames from now on, from number ``first``."""
        self._pairs = False
        self._expect(decode, first)
        self._allow(RESULT, DATA_PREFIX, self._max_frame_size + DATA_PREFIX)
        self._allow(SETTLE, DATA_PREFIX + SETTLE_PREFIX, self._max_frame_size + CONTROL_LIMIT)

    def pair_results(self):
        """Let it be known from now on which result belongs to which item.

        Runs are then of frames that settle one item with one result each; any other frame makes
        a run by itself.
        """
        self._pairs = True

    @property
    def in_mid_frame(self):
        """Whether part of a frame has come, and the rest has not; for after a ``read()``."""
        return self._position < len(self._buffer) or self._large is not None

    cpdef get_buffer(self):
        """Where the next bytes of the stream may be put, for ``buffer_updated()``.

        Large payloads are received where they stay; everything else in memory that all decoders of
        a thread share, so that it must be taken in before another receives something there.
        """
        cdef Py_ssize_t room
        self._receives_large = (
            self._large is not None
            and not self._waiting
            and self._large_filled < self._large_size
        )
        if not self._receives_large:
            return _shared.beginning if self._looks_ahead else _shared.view
        cdef char* to = self._large_room(&room)
        return PyMemoryView_FromMemory(to, room, PyBUF_WRITE)

    cpdef int buffer_updated(self, Py_ssize_t size) except -1:
        """So many bytes have been put there: what now, see _frames."""
        self._looks_ahead = False
        if not self._receives_large:
            self.feed(PyBytes_FromStringAndSize(PyByteArray_AS_STRING(_shared.memory), size))
            return NOW
        self._large_filled += size
        if self._large_filled >= self._large_size:
            self._advance()  # returns no control frame, for the payload has begun a run
        if self._size >= BURST:
            return NOW_AND_PAUSE
        return NOW if self._large is None else SOON

    cpdef feed(self, data):
        """Take in the next bytes of the stream. Nothing is looked at before ``read()``."""
        piece = data if PyBytes_CheckExact(data) else bytes(memoryview(data))
        if self._error is None:
            self._waiting.append(piece)

    cpdef read(self):
        """Return the next control frame or run of data frames; None when bytes are missing.

        A data frame that gives items back or does not decode ends a run and is returned by itself.

        What is wrong with the stream is raised once all before it has been returned, and then
        for ever.
        """
        control = self._advance()
        if self._count:
            return self._end_run()
        if self._apart is not None:
            apart, self._apart = self._apart, None
            return apart
        if self._error is not None:
            # Without with_traceback() the traceback would grow with every repetition.
            raise self._error.with_traceback(None)
        return control

    cdef tuple _advance(self):
        """Cut what has come into frames. What is wrong with it is kept for read()."""
        if self._reading:
            raise _frames.reentered()
        self._reading = True
        try:
            if self._error is None and self._apart is None:
                return self._cut()
        except ProtocolError as error:
            self._error = error
            self._buffer = b""
            self._large = None
            self._receives_large = False
            self._waiting.clear()
        finally:
            self._reading = False
        return None

    cdef int _expect(self, decode, first) except -1:
        if self._reading:
            raise _frames.reentered()
        self._next_number = _frames.checked_first(first)
        self._decode = decode
        return 0

    cdef void _allow(self, int kind, int64_t least, int64_t most) noexcept:
        self._least[kind] = <int32_t>least
        self._most[kind] = <int32_t>most
        self._limit = max(self._limit, most)

    cdef object _end_run(self):
        if self._tickets:
            run = Items(self._first, self._values, self._tickets, self._size)
            self._tickets = bytearray()
        else:
            self._end_range()
            run = Results(
                self._values, self._size, self._settled, self._count, self._last, bool(self._pairs)
            )
            self._settled = []
            self._last = 0
        self._values = []
        self._size = 0
        self._count = 0
        return run

    cdef tuple _cut(self):
        """Move data frames into the run; stop at, and without a run return, a control frame."""
        cdef const uint8_t* frame
        cdef Py_ssize_t available
        cdef uint32_t signature
        cdef int64_t length, needed
        cdef int kind = 0
        cdef uint64_t number
        while True:
            if self._large is not None:
                if not self._fill_large() or self._apart is not None:
                    return None
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
                if signature != self._signature or not 1 <= length <= self._limit:
                    raise _frames.bad_header(self._signature, signature, length, self._limit)
                needed += length
                if available > HEADER_SIZE:
                    kind = frame[HEADER_SIZE]
                    if not self._least[kind] <= length <= self._most[kind]:
                        raise _frames.bad_data_length(length, self._least[kind], self._most[kind])
                if available < needed:
                    break

                if self._least[kind] == 1:
                    if self._count:
                        return None
                    self._position += needed
                    return kind, PyBytes_FromStringAndSize(
                        <const char*>frame + HEADER_SIZE + 1, length - 1
                    )
                number = read64(frame + HEADER_SIZE + 1)
                if number > self._next_number:
                    raise _frames.bad_number(self._next_number, number)
                # A lower number is that of a repeated frame.
                if number == self._next_number:
                    if kind == SETTLE:
                        self._take_settle(frame + HEADER_SIZE, length)
                    else:
                        self._take_single(
                            kind,
                            frame + HEADER_SIZE + DATA_PREFIX,
                            PyBytes_FromStringAndSize(
                                <const char*>frame + HEADER_SIZE + self._least[kind],
                                length - self._least[kind],
                            ),
                        )
                    self._next_number += 1
                self._position += needed
                if self._apart is not None:
                    return None
                frame += needed
                available -= needed
            if available > HEADER_SIZE and self._begin_large(kind, frame, available, length):
                continue
            if not self._refill(needed):
                return None

    cdef int _take_single(self, int kind, const uint8_t* ticket, item) except -1:
        """Move the item, or the result that belongs to none, of a frame into the run."""
        cdef Py_ssize_t end = PyByteArray_GET_SIZE(self._tickets)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(item)
        try:
            value = self._decode(item)
        except Exception as error:
            self._apart = _frames.undecodable(kind, self._next_number, 1, size, [], error)
            return 0
        if kind == ITEM:
            if end == 0:
                self._first = self._next_number
            PyByteArray_Resize(self._tickets, end + TICKET_SIZE)
            memcpy(PyByteArray_AS_STRING(self._tickets) + end, ticket, TICKET_SIZE)
        elif self._pairs:
            self._apart = Results([value], size, [], 1, 1)
            return 0
        self._values.append(value)
        self._size += size
        self._last = 1
        self._count += 1
        return 0

    cdef bint _begin_large(self, int kind, const uint8_t* frame, Py_ssize_t available, int64_t length) except -1:
        """Receive the rest of a frame straight into its payload, if that is worth while."""
        cdef Py_ssize_t start = HEADER_SIZE + self._least[kind]
        cdef Py_ssize_t here = available - start
        cdef int64_t size = length - self._least[kind]
        if self._least[kind] == 1 or kind == SETTLE or here < 0 or size < LARGE:
            return False
        if read64(frame + HEADER_SIZE + 1) != self._next_number:
            return False  # repeated, or wrong: which is found out when all of it is there
        self._large_kind = kind
        self._large_size = size
        self._large_filled = here
        if here:
            self._large = PyBytes_FromStringAndSize(
                NULL, min(size, max(2 * here, FIRST_LARGE)) + BEYOND
            )
            memcpy(PyBytes_AS_STRING(self._large), frame + start, here)
        else:
            self._large = b""  # memory that is going to be given back meanwhile may serve
        if kind == ITEM:
            memcpy(self._large_ticket, frame + HEADER_SIZE + DATA_PREFIX, TICKET_SIZE)
        self._buffer, self._position = b"", 0
        return True

    cdef char* _large_room(self, Py_ssize_t* room) except NULL:
        """Where the next bytes of the payload go, and how many. It grows with what has come."""
        cdef Py_ssize_t capacity = PyBytes_GET_SIZE(self._large)
        if capacity == 0:
            capacity = min(self._large_size, FIRST_LARGE) + BEYOND
            self._large = PyBytes_FromStringAndSize(NULL, capacity)
        elif self._large_filled == capacity:
            capacity = min(self._large_size, 2 * capacity) + BEYOND
            self._resize_large(capacity)
        room[0] = capacity - self._large_filled
        return PyBytes_AS_STRING(self._large) + self._large_filled

    cdef int _resize_large(self, Py_ssize_t capacity) except -1:
        cdef PyObject* large = <PyObject*>self._large
        Py_INCREF(self._large)
        self._large = None
        _PyBytes_Resize(&large, capacity)
        self._large = <object>large
        Py_DECREF(self._large)
        return 0

    cdef bint _fill_large(self) except -1:
        """Go on with a large payload; False if more bytes are needed."""
        cdef Py_ssize_t room, size
        cdef char* to
        cdef bytes piece
        while self._large_filled < self._large_size:
            if not self._waiting:
                return False
            piece = self._waiting[0]
            to = self._large_room(&room)
            room = min(room, self._large_size - self._large_filled)
            size = min(room, PyBytes_GET_SIZE(piece) - self._taken)
            memcpy(to, PyBytes_AS_STRING(piece) + self._taken, size)
            self._large_filled += size
            self._taken += size
            if self._taken == PyBytes_GET_SIZE(piece):
                self._waiting.popleft()
                self._taken = 0
        cdef Py_ssize_t beyond = self._large_filled - self._large_size
        if beyond:
            self._buffer = PyBytes_FromStringAndSize(
                PyBytes_AS_STRING(self._large) + self._large_size, beyond
            )
            self._large_filled = self._large_size
        self._looks_ahead = beyond < BEYOND
        if PyBytes_GET_SIZE(self._large) > self._large_size:
            self._resize_large(self._large_size)
        self._take_single(self._large_kind, self._large_ticket, self._large)
        self._next_number += 1
        self._large = None
        return True

    cdef int _take_settle(self, const uint8_t* payload, Py_ssize_t length) except -1:
        """Move what is in a SETTLE frame into the run, or put it apart."""
        cdef const uint8_t* at = payload + DATA_PREFIX + SETTLE_PREFIX
        cdef const uint8_t* end = payload + length
        cdef int outcome = payload[DATA_PREFIX]
        cdef int64_t count = read32(payload + DATA_PREFIX + 1)
        cdef int64_t entry_size, size = 0
        cdef Py_ssize_t entries = 0
        if count > MOST_SETTLED or ITEM_NUMBER_SIZE * count > end - at:
            raise _frames.bad_settle()
        cdef const uint8_t* first = at + ITEM_NUMBER_SIZE * count
        at = first
        while at < end:
            if end - at < RESULT_LENGTH_SIZE:
                raise _frames.bad_settle()
            entry_size = read32(at)
            at += RESULT_LENGTH_SIZE
            if entry_size > end - at or entries == MOST_RESULTS:
                raise _frames.bad_settle()
            if entry_size > self._max_frame_size and outcome == DONE:
                raise _frames.too_large(entry_size, self._max_frame_size)
            at += entry_size
            size += entry_size
            entries += 1
        if outcome != DONE:
            items = []
            read_numbers(items, payload + DATA_PREFIX + SETTLE_PREFIX, count)
            reason = b""
            if entries:
                reason = PyBytes_FromStringAndSize(
                    <const char*>first + RESULT_LENGTH_SIZE, read32(first)
                )
            self._apart = GivenBack(outcome, items, reason)
            return 0

        cdef list values = self._values
        cdef Py_ssize_t before = len(values)
        try:
            at = first
            while at < end:
                entry_size = read32(at)
                at += RESULT_LENGTH_SIZE
                values.append(
                    self._decode(PyBytes_FromStringAndSize(<const char*>at, entry_size))
                )
                at += entry_size
        except BaseException as error:
            del values[before:]
            if not isinstance(error, Exception):
                raise  # what came before it is kept, and this frame is read again
            items = []
            read_numbers(items, payload + DATA_PREFIX + SETTLE_PREFIX, count)
            self._apart = _frames.undecodable(
                SETTLE, self._next_number, entries, size, items, error
            )
            return 0
        if self._pairs and not count == entries == 1:
            items = []
            read_numbers(items, payload + DATA_PREFIX + SETTLE_PREFIX, count)
            ranges = [(item, item) for item in items]
            self._apart = Results(values[before:], size, ranges, 1, entries)
            del values[before:]
            return 0
        self._settle(payload + DATA_PREFIX + SETTLE_PREFIX, count)
        self._size += size
        if entries:
            self._last = entries
        self._count += 1
        return 0

    cdef int _settle(self, const uint8_t* numbers, int64_t count) except -1:
        """Add items to those that are settled, joining numbers that follow each other."""
        cdef int64_t index
        cdef uint64_t item
        for index in range(count):
            item = read64(numbers + ITEM_NUMBER_SIZE * index)
            if not self._settles or item == 0 or item - 1 != self._settled_last:
                self._end_range()
                self._settles = True
                self._settled_first = item
            self._settled_last = item
        return 0

    cdef int _end_range(self) except -1:
        if self._settles:
            self._settled.append((self._settled_first, self._settled_last))
            self._settles = False
        return 0

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
