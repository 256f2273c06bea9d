cimport cython
from libc.stdint cimport int64_t, uint64_t

# What a function for numbers returns with an exception, and hardly ever without.
cdef enum:
    ERROR = 0xFFFF_FFFF_FFFF_FFFF


@cython.final
cdef class Output:
    cdef unsigned char* _data  # _first, or allocated
    cdef Py_ssize_t _size
    cdef Py_ssize_t _capacity
    cdef unsigned char[160] _first
    cdef readonly object session
    cdef readonly Output parent
    cdef public int depth

    cdef unsigned char* _room(self, Py_ssize_t size) except NULL
    cdef int _write_counted(self, const char* data, Py_ssize_t size) except -1
    cpdef Py_ssize_t size(self) noexcept
    cpdef int truncate(self, Py_ssize_t size) except -1
    cpdef bint is_zero_since(self, Py_ssize_t size) noexcept
    cpdef bytes take(self)
    cpdef bytes take_message(self)
    cpdef int write_uint(self, uint64_t value) except -1
    cpdef int write_bool(self, value) except -1
    cpdef int write_int(self, value, int bits) except -1
    cpdef int write_unsigned(self, value, int bits) except -1
    cpdef int write_float(self, value, int bits) except -1
    cpdef int write_string(self, value) except -1
    cpdef int write_bytes(self, value) except -1
    cpdef int write_raw(self, bytes data) except -1


@cython.final
cdef class Input:
    cdef bytes _data
    cdef const unsigned char* _bytes
    cdef Py_ssize_t _size
    cdef Py_ssize_t _end
    cdef int _depth
    cdef int _max_depth
    cdef int64_t _budget
    cdef readonly object session
    cdef readonly Py_ssize_t position
    cdef readonly Py_ssize_t message_start

    cdef uint64_t _long_uint(self, unsigned char first) except? ERROR
    cdef Py_ssize_t _counted(self) except -1
    cpdef bint has_more(self) noexcept
    cpdef bint is_message_read(self) noexcept
    cpdef int next_message(self) except -1
    cpdef int end_message(self) except -1
    cpdef int enter(self, int64_t count) except -1
    cpdef int leave(self) except -1
    cpdef int spend(self, int64_t count) except -1
    cpdef uint64_t read_uint(self) except? ERROR
    cpdef bint read_bool(self) except -1
    cpdef object read_int(self, int bits)
    cpdef object read_unsigned(self, int bits)
    cpdef object read_float(self, int bits)
    cpdef object read_string(self)
    cpdef object read_bytes(self)
    cpdef int skip_bytes(self) except -1
    cpdef Py_ssize_t read_count(self) except -1
