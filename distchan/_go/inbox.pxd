cimport cython

from distchan._ports cimport Inlet, pop_many
from distchan._rendezvous cimport Channel


cdef Py_ssize_t _MOST_ITEMS
cdef Py_ssize_t _MOST_BYTES


cdef class GoInbox(Inlet):
    cdef public Channel channel
    cdef object _on_hungry
    cdef object _on_drained
    cdef object _runs
    cdef Py_ssize_t _size
    cdef public bint full
    cdef public long long taken

    @cython.locals(items=list)
    cpdef take(self, caller)
    @cython.locals(items=list, some=list)
    cpdef list take_some(self, Py_ssize_t count, caller)
    cdef _took(self, list items, Py_ssize_t count)
