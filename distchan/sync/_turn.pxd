from cpython.pythread cimport PyThread_type_lock


cdef class Turn:
    cdef PyThread_type_lock _lock
    cdef unsigned long _owner
    cdef public bint busy

    cpdef acquire(self)
    cpdef release(self)
