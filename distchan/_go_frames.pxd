cdef object _HEADER


cdef class FrameReader:
    cdef object _signature
    cdef long long _max_frame_size
    cdef bytearray _buffer
    cdef public bint ended
    cdef public object error

    cpdef list receive(self, bytes data)
