cimport cython

from distchan._framing cimport Encoder
from distchan._session cimport Session


cdef int _CREDIT
cdef int _BYE
cdef int _WINDOW


cdef class ClientSession(Session):
    cdef bint _left
    cdef public bint adapts
    cdef public object most_wanted
    cdef public list _unconfirmed
    cdef unsigned long long _kept
    cdef Encoder _offline
    cdef public unsigned long long confirmed
    cdef long long _results
    cdef unsigned long long _result_bytes
    cdef long long _result_limit
    cdef unsigned long long _byte_limit
    cdef public bint exhausted
    cdef public long long window
    cdef public long long _window_said
    cdef public long long _most_window
    cdef public unsigned long long handed
    cdef public unsigned long long announced
    cdef public unsigned long long written
    cdef bint _window_due
    cdef unsigned long long _settled

    cpdef settle_range(self, unsigned long long first, unsigned long long last, bytes result)
    @cython.locals(number=cython.ulonglong, last=cython.ulonglong)
    cpdef settle(self, list items, list results, long long size)
    cpdef send_result(self, payload)
    cdef _count_results(self, long long count, long long size)
    cdef Encoder _for_data(self)
    cdef _added(self)
    cdef _keep(self, list buffers)
    cdef _confirm(self, unsigned long long received)
    cpdef announce(self, unsigned long long handed)
    cpdef confirm_handed(self)
    cpdef want(self, long long window)
    cdef _say_window(self)
    cdef _on_credit(self, bytes body)
    cdef _look_at_credit(self)
