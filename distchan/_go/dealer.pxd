from distchan._ports cimport Outlet
from distchan._rendezvous cimport Channel
from distchan._roundrobin cimport Ring


cdef class GoDealer(Outlet):
    cdef public Channel channel
    cdef object _on_finished
    cdef object _bury
    cdef Ring _ring
    cdef object _returned
    cdef bint _channel_finished
    cdef public long long dealt

    cdef _deal(self, payload)
