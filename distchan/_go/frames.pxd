cimport cython


cdef object _HEADER
cdef Py_ssize_t _HEADER_SIZE


cdef class FrameReader:
    cdef object _signature
    cdef long long _max_frame_size
    cdef bytes _head
    cdef bytearray _payload
    cdef Py_ssize_t _missing
    cdef public bint ended
    cdef public object error

    @cython.locals(
        payloads=list, at=Py_ssize_t, size=Py_ssize_t, length=Py_ssize_t, end=Py_ssize_t
    )
    cpdef list receive(self, bytes data)
