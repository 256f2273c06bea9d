cdef class StandIn:
    cdef public bint ended
    cdef public bint busy
    cdef public bint interrupted
    cdef public object _exception
    cdef list _callbacks
