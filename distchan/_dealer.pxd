cimport cython

from distchan._outstanding cimport Item, new_item
from distchan._ports cimport Outlet
from distchan._rendezvous cimport Channel
from distchan._roundrobin cimport Ring
from distchan._server_session cimport ServerSession


cdef class Dealer(Outlet):
    cdef public Channel channel
    cdef object _max_attempts
    cdef object _on_finished
    cdef object _bury
    cdef public long long dealt
    cdef public unsigned long long _next_id
    cdef public Ring _ring
    cdef public object _suspects
    cdef public object _returned
    cdef public object _jobs
    cdef bint _jobs_first
    cdef public ServerSession _spared
    cdef public object _spared_settled
    cdef object _others
    cdef object _figures
    cdef bint _channel_finished

    cpdef credited(self, ServerSession session)
    cdef _mark(self, ServerSession session)
    cdef _deal_waiting(self)
    @cython.locals(session=ServerSession)
    cdef _deal(self, Item item)
    cdef _deal_to(self, ServerSession session, Item item)
    @cython.locals(session=ServerSession)
    cdef _deal_jobs(self)
