from distchan._client_session cimport ClientSession
from distchan._holdings cimport Holdings
from distchan._ports cimport Outlet
from distchan._rendezvous cimport Channel


cdef class Outbox(Outlet):
    cdef public Channel channel
    cdef Holdings _holdings
    cdef object _on_finished
    cdef public ClientSession session
    cdef public bint finished
