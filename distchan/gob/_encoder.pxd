from distchan.gob._buffers cimport Output
from distchan.gob._writers cimport Writer


cdef class _Definition:
    cdef public object id
    cdef public object name


cdef class Encoder:
    cdef object _root
    cdef object _registry
    cdef object _package
    cdef object _first_id
    cdef bint _definitions_first
    cdef dict _definitions
    cdef dict _sent
    cdef Py_ssize_t _defined_before
    cdef Py_ssize_t _sent_before
    cdef object _next_id_before
    cdef object _next_id
    cdef bytes _header
    cdef Writer _writer
    cdef bytearray _finished

    cpdef bytes encode(self, value)
    cpdef rollback(self)
    cdef _mark(self)
