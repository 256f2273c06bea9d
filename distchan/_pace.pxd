cdef class Pace:
    cdef double _mean
    cdef long long _count
    cdef public long long sampling

    cpdef measure(self, double seconds, long long count)
