cimport cython

@cython.final
cdef class PayloadEncoder:
    cdef object _codec
    cdef object _encode
    cdef tuple _transforms
    cdef long long _max_frame_size

    cpdef encode(self, item)
