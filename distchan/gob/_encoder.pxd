cimport cython

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
    @cython.locals(writer=Writer)
    cdef _write_first(self, Output out, value)
    @cython.locals(inner=Output, writer=Writer)
    cpdef write_interface(self, Output out, value)
    cdef _send_definitions(self, Output out, described)
    cdef _define(self, base, name)
    cdef _assign_id(self, _Definition definition)
