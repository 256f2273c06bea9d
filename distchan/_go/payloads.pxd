cimport cython


cdef class GobWriter:
    cdef readonly object name
    cdef object _encoder
    cdef object _seal
    cdef long long _max_frame_size
    cdef list _definitions
    cdef long long _definitions_size
    cdef readonly Py_ssize_t count
    cdef Py_ssize_t _first

    @cython.locals(value=bytes)
    cpdef encode(self, item)
    @cython.locals(needs=Py_ssize_t)
    cpdef tuple complete(self, payload, Py_ssize_t known)


cdef bint _is_single(bytes encoded) except -1
@cython.locals(first=Py_ssize_t, width=Py_ssize_t)
cdef Py_ssize_t _end(bytes encoded, Py_ssize_t at) except -1
