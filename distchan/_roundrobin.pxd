cimport cython
from libc.stdint cimport uint64_t


@cython.final  # so its methods call each other without a detour
cdef class Ring:
    cdef list _members  # by slot; None in a hole
    cdef dict _slots  # in joining order, too
    cdef readonly Py_ssize_t ready  # how many are
    cdef Py_ssize_t _cursor  # the slot after the one selected last
    cdef uint64_t* _words  # of 64 slots each: a bit says whether its slot is ready
    cdef char* _any  # by word: 1 if it has such a bit, else 0
    cdef bytearray _words_buffer, _any_buffer  # which hold those two

    cpdef join(self, member, bint ready=*)
    cpdef leave(self, member)
    cpdef mark(self, member, bint ready)
    cpdef select(self)
    cdef void _set(self, Py_ssize_t slot, bint ready) noexcept
    cdef bint _is_ready(self, Py_ssize_t slot) noexcept
    cdef Py_ssize_t _next(self, Py_ssize_t slot) noexcept
    cdef int _append(self, member, bint ready) except -1
    cdef int _close_holes(self) except -1
    cdef int _clear(self) except -1
