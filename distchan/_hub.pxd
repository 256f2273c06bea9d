cimport cython

from distchan._dealer cimport Dealer
from distchan._inbox cimport Inbox
from distchan._pump cimport Handler
from distchan._server_session cimport ServerSession


cdef class Hub(Handler):
    cdef object _wiring
    cdef object _session_type
    cdef object _logger
    cdef object _on_work_done
    cdef object _on_drained
    cdef public object on_news
    cdef public Dealer dealer
    cdef public Inbox inbox
    cdef public object dead_letters
    cdef public dict sessions
    cdef object _remembered
    cdef bint _shutting_down
    cdef public bint work_done
    cdef public bint ended
    cdef bint _has_jobs
    cdef bint _closed
    cdef long long _settled_before
    cdef public long long results
    cdef public long long lost
    cdef public long long undecodable
    cdef public long long redelivered
    cdef public long long dropped_items
    cdef public long long dropped_results

    @cython.locals(items=list, values=list, rest=list, size=cython.longlong)
    cdef list _tell_jobs(self, ServerSession session, event)
    cdef _on_results(self, ServerSession session, list values, long long size)
    cpdef check_work_done(self)
    cdef bint _is_work_done(self) except -1
