cimport cython

from distchan.gob._buffers cimport Input
from distchan.gob._readers cimport Reader


cdef class Decoder:
    cdef object _root
    cdef object _registry
    cdef Py_ssize_t _max_size
    cdef int _max_depth
    cdef object _max_values
    cdef Py_ssize_t _max_types
    cdef object _max_fields
    cdef dict _definitions
    cdef object _fields_left
    cdef object _readers
    cdef Py_ssize_t _known_before
    cdef object _fields_left_before
    cdef object _last_id
    cdef Reader _last_reader
    cdef bint _last_is_struct

    cpdef decode(self, data, Py_ssize_t start=*)
    cpdef rollback(self)
    cdef Input _open(self, data, Py_ssize_t start)
    cdef _mark(self)
    cdef _next(self, Input source)
    @cython.locals(reader=Reader)
    cdef _read(self, Input source)
    @cython.locals(reader=Reader)
    cpdef read_interface(self, Input source)
    @cython.locals(reader=Reader)
    cpdef skip_interface(self, Input source)
    cdef _read_interface_type(self, Input source)
    cdef _read_definition(self, Input source, type_id)
    cdef _fail(self, error, Input source)
    cdef _read_type_id(self, Input source, bint in_interface)
