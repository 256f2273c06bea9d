cimport cython

from distchan._go.frames cimport FrameReader
from distchan._go.payloads cimport GobWriter


cdef Py_ssize_t _LARGE


cdef class GoSession:
    cdef object _signature
    cdef FrameReader _reader
    cdef object _decode
    cdef GobWriter _writer
    cdef Py_ssize_t _known
    cdef list _chunks
    cdef readonly Py_ssize_t pending
    cdef list _unwritten
    cdef readonly long long written
    cdef public bint closed
    cdef public object error

    @cython.locals(items=list, payload=bytes, size=Py_ssize_t)
    cpdef tuple receive(self, bytes data)
    @cython.locals(writer=GobWriter)
    cpdef send(self, payload)
    cdef _add(self, chunk)
