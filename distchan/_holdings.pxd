cimport cython

from distchan._client_session cimport ClientSession
from distchan._pace cimport Pace
from distchan._ports cimport Sender


cdef Py_ssize_t _MOST_RESULTS
cdef Py_ssize_t _MOST_SETTLED
cdef Py_ssize_t _RESULT_LENGTH_SIZE


cdef class Holder(Sender):
    cdef public Holdings _holdings
    cdef public object task
    cdef public long long count
    cdef public unsigned long long first
    cdef public unsigned long long last
    cdef public list earlier
    cdef public bytes result
    cdef public list more
    cdef public long long size
    cdef set _void
    cdef public double since
    cdef public bytearray tickets
    cdef public Py_ssize_t place
    cdef public bint fenced
    cdef public bint over
    cdef public Holder _outer

    @cython.locals(
        size=cython.longlong, limit=cython.longlong, needed=cython.longlong, count=cython.longlong
    )
    cpdef bint stage(self, payload, unsigned long long grip) except -1
    cdef add(self, unsigned long long first, unsigned long long last)
    cdef let_go(self)
    cpdef bint is_within(self, Holder lease)
    @cython.locals(innermost=Holder)
    cpdef Holder innermost_of(self, Holdings holdings)


cdef class Holdings:
    cdef bint _stages
    cdef object _logger
    cdef object _address
    cdef public ClientSession session
    cdef public dict tasks
    cdef Holder _latest
    cdef public set leases
    cdef public long long held
    cdef public Pace pace
    cdef public long long limit
    cdef object _owed
    cdef public bint owing
    cdef public object on_owing
    cdef public object on_less
    cdef public object on_settled
    cdef object _paid
    cdef bint _warned

    @cython.locals(holder=Holder)
    cpdef Holder caller(self, task)
    @cython.locals(holder=Holder)
    cdef Holder _look_up(self, task)
    @cython.locals(holder=Holder)
    cpdef Holder of_task(self, task)
    @cython.locals(holder=Holder, lease=Holder, ancestor=Holder)
    cpdef Holder sender(self, task)
    cpdef credited(self)
    @cython.locals(count=cython.longlong)
    cdef _done(self, Holder holder)
