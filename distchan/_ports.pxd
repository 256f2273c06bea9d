cimport cython

from distchan._payloads cimport PayloadEncoder


cpdef list pop_many(list backwards, Py_ssize_t count)


cdef class Sender:
    cdef public unsigned long long grip

    cpdef bint stage(self, payload, unsigned long long grip) except -1


cdef class Outlet:
    cdef public PayloadEncoder encoder
    cdef public bint asks_for_sender
    cdef object _logger
    cdef public long long unencodable

    cpdef bint live(self) except -1
    cpdef Sender sender(self, task)
    cpdef bint offer(self, payload) except -1


cdef class Inlet:
    cdef public Py_ssize_t count

    cpdef caller(self, task)
    cpdef take(self, caller)
    @cython.locals(taken=list, some=list)
    cpdef list take_many(self, Py_ssize_t count, caller)
    cpdef list take_some(self, Py_ssize_t count, caller)
    cpdef bint owing(self) except -1
    cpdef awaited(self)
    cpdef pause(self)

