cimport cython

from distchan.gob._buffers cimport Output


cdef int _enter(Output out) except -1


cdef class Writer:
    cdef int write(self, Output out, value) except -1
    cdef bint write_field(self, Output out, int delta, value) except -1


cdef class _ScalarWriter(Writer):
    @cython.locals(start=Py_ssize_t, middle=Py_ssize_t)
    cdef bint write_field(self, Output out, int delta, value) except -1


cdef class BoolWriter(_ScalarWriter):
    pass


cdef class IntWriter(_ScalarWriter):
    cdef int bits


cdef class UintWriter(_ScalarWriter):
    cdef int bits


cdef class FloatWriter(Writer):
    cdef int bits


cdef class ComplexWriter(Writer):
    cdef int bits


cdef class StringWriter(_ScalarWriter):
    pass


cdef class BytesWriter(_ScalarWriter):
    pass


cdef class PointerWriter(Writer):
    cdef Writer elem


cdef class InterfaceWriter(Writer):
    pass


cdef class SliceWriter(Writer):
    cdef public Writer elem

    @cython.locals(elem=Writer, count=Py_ssize_t, index=Py_ssize_t)
    cdef int write_elements(self, Output out, value) except -1


cdef class ArrayWriter(SliceWriter):
    cdef Py_ssize_t length


cdef class MapWriter(Writer):
    cdef public Writer key
    cdef public Writer elem


cdef class StructWriter(Writer):
    cdef public object cls
    cdef public tuple names
    cdef public tuple steps
    cdef public tuple writers

    @cython.locals(delta=int, index=Py_ssize_t, count=Py_ssize_t, writer=Writer)
    cdef int write(self, Output out, value) except -1


cdef class TypedDictWriter(StructWriter):
    @cython.locals(delta=int, index=Py_ssize_t, writer=Writer)
    cdef int write(self, Output out, value) except -1


cdef class MarshalerWriter(Writer):
    cdef object encode
    cdef object zero
