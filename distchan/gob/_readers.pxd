cimport cython

from distchan.gob._buffers cimport Input
from distchan.gob._making cimport make


cdef class Reader:
    cdef object read(self, Input source)
    cdef int skip(self, Input source) except -1


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

    cdef Py_ssize_t read_count(self, Input source) except -1
    @cython.locals(elem=Reader, count=Py_ssize_t, values=list)
    cdef object read(self, Input source)
    @cython.locals(elem=Reader, count=Py_ssize_t)
    cdef int skip(self, Input source) except -1


cdef class ArrayReader(SliceReader):
    cdef public object length  # which a hostile definition may make anything


cdef class MapReader(Reader):
    cdef public Reader key
    cdef public Reader elem
    cdef bint collides

    @cython.locals(count=Py_ssize_t, pairs=dict, hashes=set)
    cdef object read(self, Input source)
    @cython.locals(count=Py_ssize_t)
    cdef int skip(self, Input source) except -1


@cython.final
cdef class FieldReader:
    cdef Reader reader
    cdef Py_ssize_t target
    cdef object name


cdef class StructReader(Reader):
    cdef public tuple fields
    cdef public list template
    cdef public list spare
    cdef public tuple factories
    cdef public object make
    cdef public bint by_position

    @cython.locals(
        field=FieldReader,
        values=list,
        template=list,
        number=Py_ssize_t,
        left=cython.ulonglong,
        target=Py_ssize_t,
        delta=cython.ulonglong,
    )
    cdef object read(self, Input source)
    @cython.locals(field=FieldReader, number=Py_ssize_t, left=cython.ulonglong, delta=cython.ulonglong)
    cdef int skip(self, Input source) except -1
    cdef int fill(self, list values, Input source) except -1
