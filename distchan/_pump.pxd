from distchan._session cimport Session


cdef int _SOON
cdef int _NOW_AND_PAUSE


cdef class Handler:
    cpdef on_event(self, Session session, event)


cdef class Pump:
    cdef object __weakref__
    cdef public Session session
    cdef public object peer_address
    cdef Handler _handler
    cdef public object _logger
    cdef public object _loop
    cdef public object _transport
    cdef bint _greeted
    cdef bint _receipt_due
    cdef bint _flush_scheduled
    cdef public bint _writable
    cdef public bint _closing
    cdef public double last_heard

    cpdef read_events(self)
    cpdef wake(self)
    cpdef write(self)
