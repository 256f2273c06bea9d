cimport cython

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t


@cython.final
cdef class Encoder:
    cdef uint32_t _signature
    cdef list _closed
    cdef Py_ssize_t _closed_size
    # Longer than what is pending, so that most frames need no call to resize it.
    cdef bytearray _buffer
    cdef Py_ssize_t _used
    # Where the SETTLE frame begins and ends to which more items without results may be added, and
    # how many it has; nothing but it ends there, if it is the last frame in the buffer.
    cdef Py_ssize_t _done_at
    cdef Py_ssize_t _done_end
    cdef int64_t _done_count

    cpdef add(self, uint8_t kind, body=*)
    cpdef add_item(self, uint64_t number, uint64_t id, uint32_t attempt, payload)
    cpdef add_result(self, uint64_t number, payload)
    cpdef add_settle(self, uint64_t number, uint8_t outcome, list items, list entries)
    cpdef bint add_done(
        self, uint64_t number, uint64_t first, uint64_t last, result
    ) except -1
    cdef int _add_large_entries(self, list entries, Py_ssize_t used) except -1
    cpdef add_encoded(self, bytes frame)
    cpdef list take(self)
    cdef int _append(self, const uint8_t* prefix, Py_ssize_t prefix_size, payload) except -1
    cdef int _close_buffer(self, Py_ssize_t used, tuple closed) except -1


@cython.final
cdef class Decoder:
    cdef uint32_t _signature
    cdef int64_t _max_frame_size
    # Of each kind, the least and the largest length of a frame. The least is above 1 for data
    # frames. There are none until one of the expect methods has been called.
    cdef int32_t _least[256]
    cdef int32_t _most[256]
    cdef int64_t _limit
    cdef object _decode
    cdef uint64_t _next_number
    # The bytes being cut: a piece as it was fed (bytes), or the one frame that is being put
    # together from several pieces (bytearray, from its start).
    cdef object _buffer
    cdef Py_ssize_t _position
    # The pieces after it, and how much of the first of them has gone into the buffer.
    cdef object _waiting
    cdef Py_ssize_t _taken
    # The run so far. Kept here so that an interrupted read() loses nothing.
    cdef Py_ssize_t _count
    cdef uint64_t _first
    cdef Py_ssize_t _last
    cdef list _values
    cdef bytearray _tickets
    cdef list _settled
    # The group of settled items that may still grow, if there is one.
    cdef bint _settles
    cdef uint64_t _settled_first
    cdef uint64_t _settled_last
    cdef int64_t _size
    # Whether runs show which result belongs to which item, see pair_results().
    cdef bint _pairs
    # The data frame after the run, if it is none for a run.
    cdef object _apart
    cdef object _error
    cdef bint _reading
    # A large payload that is being received, None if there is none: its kind and ticket, how long
    # it is to be, and how much of it has come. And whether the latest get_buffer() was for it.
    cdef object _large
    cdef int _large_kind
    cdef uint8_t _large_ticket[16]
    cdef int64_t _large_size
    cdef Py_ssize_t _large_filled
    cdef bint _receives_large
    # Nothing is known of the frame after a large payload: a look at its beginning comes first.
    cdef bint _looks_ahead

    cpdef feed(self, data)
    cpdef read(self)
    cdef int _expect(self, decode, first) except -1
    cdef void _allow(self, int kind, int64_t least, int64_t most) noexcept
    cdef object _end_run(self)
    cdef tuple _cut(self)
    cdef int _take_single(self, int kind, const uint8_t* ticket, item) except -1
    cdef bint _begin_large(
        self, int kind, const uint8_t* frame, Py_ssize_t available, int64_t length
    ) except -1
    cdef char* _large_room(self, Py_ssize_t* room) except NULL
    cdef int _resize_large(self, Py_ssize_t capacity) except -1
    cdef bint _fill_large(self) except -1
    cpdef get_buffer(self)
    cpdef int buffer_updated(self, Py_ssize_t size) except -1
    cdef tuple _advance(self)
    cdef int _take_settle(self, const uint8_t* payload, Py_ssize_t length) except -1
    cdef int _settle(self, const uint8_t* numbers, int64_t count) except -1
    cdef int _end_range(self) except -1
    cdef bint _refill(self, int64_t needed) except -1
