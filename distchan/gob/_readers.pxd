cimport cython

from distchan.gob._buffers cimport Input


cdef class Reader:
    cpdef object read(self, Input source)
    cpdef int skip(self, Input source) except -1


cdef class _NumberReader(Reader):
    pass


cdef class BoolReader(_NumberReader):
    pass


cdef class IntReader(_NumberReader):
    cdef int bits


cdef class UintReader(_NumberReader):
    cdef int bits


cdef class FloatReader(_NumberReader):
    cdef int bits


cdef class ComplexReader(Reader):
    cdef int bits


cdef class _CountedReader(Reader):
    pass


cdef class StringReader(_CountedReader):
    pass


cdef class BytesReader(_CountedReader):
    cdef object make


cdef class MarshalerReader(_CountedReader):
    cdef object decode


cdef class InterfaceReader(Reader):
    pass


cdef class SliceReader(Reader):
    cdef public Reader elem
    cdef object make

    cpdef Py_ssize_t read_count(self, Input source) except -1
    @cython.locals(elem=Reader, count=Py_ssize_t, values=list)
    cpdef object read(self, Input source)
    @cython.locals(elem=Reader, count=Py_ssize_t)
    cpdef int skip(self, Input source) except -1


cdef class ArrayReader(SliceReader):
    cdef public object length  # which a hostile definition may make anything


cdef class MapReader(Reader):
    cdef public Reader key
    cdef public Reader elem

    @cython.locals(count=Py_ssize_t, pairs=dict)
    cpdef object read(self, Input source)
    @cython.locals(count=Py_ssize_t)
    cpdef int skip(self, Input source) except -1


cdef class StructReader(Reader):
    cdef public tuple readers
    cdef public tuple targets
    cdef public tuple steps
    cdef public list template
    cdef public tuple factories
    cdef public object make
    cdef public bint by_position

    @cython.locals(
        reader=Reader,
        values=list,
        number=Py_ssize_t,
        count=Py_ssize_t,
        target=Py_ssize_t,
        delta=cython.ulonglong,
    )
    cpdef object read(self, Input source)
    @cython.locals(reader=Reader, number=Py_ssize_t, count=Py_ssize_t, delta=cython.ulonglong)
    cpdef int skip(self, Input source) except -1
    cpdef int fill(self, list values, Input source) except -1
