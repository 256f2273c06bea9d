cimport cython

from distchan._calls cimport Callee, receiving, sending
from distchan._ports cimport Inlet, Outlet, Sender
from distchan._tasks cimport running_task, task_of


cdef class Waiter:
    cdef object _loop
    cdef public object future
    cdef public object channel
    cdef public bint sent

    cpdef renew(self)
    cpdef bint wake(self, channel) except -1


@cython.locals(waiter=Waiter)
cpdef Waiter new_waiter(loop)


cdef class Channel(Callee):
    cdef object __weakref__
    cdef Py_ssize_t _capacity
    cdef object _item_type
    cdef object _accepts
    cdef public object _loop
    cdef unsigned long _thread
    cdef public Py_ssize_t _streak
    cdef public Py_ssize_t _longest_streak
    cdef double _streak_began
    cdef object _buffer
    cdef public object _receivers
    cdef public Py_ssize_t _woken
    cdef public object _senders
    cdef public object _granted
    cdef bint _may_be_crowded
    cdef public Outlet _outlet
    cdef Py_ssize_t _before_outlet
    cdef public Inlet _inlet
    cdef bint _inlet_turn
    cdef public bint _closed
    cdef public bint _finished
    cdef object _end
    cdef object _failure
    cdef public long long _sent
    cdef public long long _received
    cdef public object _front

    cpdef Sender _sender(self)
    cpdef _admit(self, item)
    cdef tuple _send_some(self, item, items, Sender sender, unsigned long long grip)
    cpdef bint _try_send(self, item, payload) except -1
    cdef bint _commit(self, item, payload) except -1
    cdef bint _is_outlets_turn(self)
    @cython.locals(waiter=Waiter)
    cdef bint _wake_receiver(self) except -1
    cpdef _stand_in_line(self, Waiter waiter, tuple entry)
    cpdef bint _commit_granted(self, Waiter waiter) except -1
    cpdef _forget_sender(self, Waiter waiter)
    cpdef _grant(self)
    cpdef _caller(self)
    cpdef Py_ssize_t _available(self)
    cpdef _take(self, caller)
    cdef list _take_many(self, Py_ssize_t count, caller)
    cpdef bint _drained(self)
    cpdef _finish_if_drained(self)
    cpdef _serve(self)
    cdef _serve_outlet(self, Outlet outlet)
    cpdef _adopt_loop(self)
    cdef bint _must_pause(self) except -1
    cpdef _end_streak(self)
