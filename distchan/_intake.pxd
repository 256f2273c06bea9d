cimport cython

from distchan._client_session cimport ClientSession
from distchan._holdings cimport Holder, Holdings
from distchan._pace cimport Pace
from distchan._ports cimport Inlet, pop_many
from distchan._rendezvous cimport Channel


@cython.final
cdef class _Run:
    cdef unsigned long long first
    cdef unsigned long long next
    cdef list values
    cdef bytearray tickets


cdef class Intake(Inlet):
    cdef public Channel channel
    cdef public Holdings _holdings
    cdef object _write
    cdef object _on_drained
    cdef _Run _run
    cdef object _runs
    cdef Pace _pace
    cdef ClientSession _session
    cdef bint _settles

    @cython.locals(run=_Run)
    cpdef take(self, caller)
    @cython.locals(run=_Run, values=list)
    cpdef list take_some(self, Py_ssize_t count, caller)
    @cython.locals(first=cython.ulonglong, last=cython.ulonglong, holder=Holder)
    cdef _hand_out(self, _Run run, Py_ssize_t count, caller)
    cpdef arrive(self, unsigned long long first, list values, bytearray tickets)
    cdef Holder _find(self, caller)
    cpdef update_window(self)
