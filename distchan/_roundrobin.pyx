# cython: language_level=3
"""Whose turn it is: the compiled twin of ``_roundrobin.py``, whose plan it follows."""

from types import GenericAlias

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from libc.string cimport memchr

__all__ = ["Ring"]


cdef class Ring:
    """Members in joining order, some of them ready; ``select()`` deals out turns among those."""

    __class_getitem__ = classmethod(GenericAlias)

    # __cinit__, for no method may ever meet an object whose fields are None.
    def __cinit__(self):
        self._members = []
        self._ready = bytearray()
        self._slots = {}
        self._cursor = 0
        self.ready = 0

    def __len__(self):
        return len(self._slots)

    def __contains__(self, member):
        return member in self._slots

    def __iter__(self):
        """Iterate in joining order over the members of this moment."""
        return iter(list(self._slots))

    cpdef join(self, member, bint ready=False):
        """Put a member at the end of the order; its turn comes when the rotation gets there."""
        if member in self._slots:
            raise ValueError(f"{member!r} is a member already")
        self._slots[member] = len(self._members)
        self._members.append(member)
        self._ready.append(ready)
        self.ready += ready

    cpdef leave(self, member):
        """Remove a member; the turns of the others are not disturbed."""
        slot = self._slots[member]  # not pop(), whose KeyError takes a tuple apart on CPython 3.13
        del self._slots[member]
        self._members[slot] = None
        self._set(slot, False)
        # Only then: one pass over all slots for as many departures.
        if len(self._members) > 2 * len(self._slots):
            self._close_holes()

    cpdef mark(self, member, bint ready):
        """Say whether a member is ready; it keeps its place in the order."""
        self._set(self._slots[member], ready)

    cdef void _set(self, Py_ssize_t slot, bint ready) noexcept:
        cdef char* at = PyByteArray_AS_STRING(self._ready) + slot
        self.ready += ready - at[0]
        at[0] = ready

    cpdef select(self):
        """Return the first ready member after the one selected last, None if none is ready."""
        cdef Py_ssize_t slot = self._cursor, size = PyByteArray_GET_SIZE(self._ready)
        if slot == size:
            slot = 0
        if size == 0 or not PyByteArray_AS_STRING(self._ready)[slot]:
            slot = self._find(slot, size)
            if slot < 0:
                slot = self._find(0, self._cursor)
                if slot < 0:
                    return None
        self._cursor = slot + 1
        return self._members[slot]

    cdef Py_ssize_t _find(self, Py_ssize_t start, Py_ssize_t stop) noexcept:
        cdef const char* ready = PyByteArray_AS_STRING(self._ready)
        cdef const char* found = <const char*>memchr(ready + start, 1, stop - start)
        return -1 if found == NULL else found - ready

    cdef int _close_holes(self) except -1:
        taken = self._slots.values()
        self._cursor = sum([slot < self._cursor for slot in taken])
        self._ready = bytearray([self._ready[slot] for slot in taken])
        self._members = list(self._slots)
        self._slots = {member: slot for slot, member in enumerate(self._slots)}
        return 0
