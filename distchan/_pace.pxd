cimport cython

@cython.final
cdef class Pace:
    cdef double _mean
    cdef long long _count
    cdef int _unmeasured_most
    cdef int _unmeasured

    cpdef bint is_due(self)

    cpdef measure(self, double seconds, long long count)
