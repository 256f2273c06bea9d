cimport cython

from distchan._ports cimport Inlet, pop_many
from distchan._rendezvous cimport Channel
from distchan._server_session cimport ServerSession


cdef long long _TAKEN_AT_ONCE


@cython.final
cdef class _Run:
    cdef ServerSession session
    cdef list results
    cdef long long size
    cdef long long unreadable
    cdef long long taken


cdef class Inbox(Inlet):
    cdef public Channel channel
    cdef object _on_drained
    cdef _Run _run
    cdef object _runs
    cdef public long long taken

    @cython.locals(run=_Run)
    cpdef take(self, caller)
    @cython.locals(run=_Run, results=list)
    cpdef list take_some(self, Py_ssize_t count, caller)
    cdef _took(self, _Run run, long long count)
    cpdef arrive(self, ServerSession session, list results, long long size)
    @cython.locals(run=_Run)
    cdef _skip_unreadable(self)
