cdef class Ring:
    cdef list _members  # by slot; None in a hole
    cdef bytearray _ready  # by slot; 1 or 0
    cdef dict _slots  # in joining order, too
    cdef readonly Py_ssize_t ready  # how many are
    cdef Py_ssize_t _cursor  # the slot after the one selected last

    cpdef join(self, member, bint ready=*)
    cpdef leave(self, member)
    cpdef mark(self, member, bint ready)
    cpdef select(self)
    cdef void _set(self, Py_ssize_t slot, bint ready) noexcept
    cdef Py_ssize_t _find(self, Py_ssize_t start, Py_ssize_t stop) noexcept
    cdef int _close_holes(self) except -1
