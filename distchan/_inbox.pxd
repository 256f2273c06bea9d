cimport cython

from distchan._ports cimport Inlet
from distchan._rendezvous cimport Rendezvous
from distchan._server_session cimport ServerSession


cdef class _Run:
    cdef ServerSession session
    cdef list results
    cdef long long size
    cdef long long unreadable


cdef class Inbox(Inlet):
    cdef public Rendezvous channel
    cdef object _on_drained
    cdef object _runs
    cdef public long long taken

    @cython.locals(run=_Run)
    cpdef take(self, caller)
    @cython.locals(run=_Run)
    cdef _skip_unreadable(self)
