cimport cython

from distchan._outstanding cimport Item, Outstanding
from distchan._session cimport Session


cdef int _WINDOW
cdef int _LEAVE
cdef int _CREDIT


cdef class ServerSession(Session):
    cdef object _find
    cdef public Outstanding outstanding
    cdef public long long _window
    cdef public long long _window_bytes
    cdef bint _alone
    cdef long long _unflushed
    cdef public bint left
    cdef bint _pairs
    cdef public unsigned long long handed
    cdef public bint heard_all
    cdef public object _before
    cdef public long long settled
    cdef public long long blamed
    cdef public long long results
    cdef long long _result_bytes
    cdef long long _taken
    cdef long long _taken_bytes
    cdef long long _result_window
    cdef long long _result_bytes_window
    cdef public long long _granted
    cdef public long long _granted_bytes
    cdef long long _confirmed
    cdef long long _confirmed_bytes
    cdef bint _credit_due

    @cython.locals(number=cython.ulonglong)
    cpdef bint send(self, Item item) except -1
    cpdef took(self, long long count, long long size)
    cdef _credit_is_due(self)
    cdef _confirm_later(self, long long frames, long long size)
    cdef _count_results(self, long long count, long long last, long long size)
    cdef _on_window(self, bytes body)
    cdef _have_been_handed(self, unsigned long long handed)
    cdef _say_bye_if_due(self)
    cdef list _pop(self, list ranges)
    @cython.locals(last=cython.ulonglong)
    cdef list _settle(self, list ranges)
