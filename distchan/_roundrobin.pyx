# cython: language_level=3
"""Whose turn it is: the compiled twin of ``_roundrobin.py``, with the same slots and holes.

Here a bit says of a slot whether it is ready, 64 of them in a word, and a byte says of a word
whether it has such a bit. So the search for the next turn among ten thousand members is one in a
word, one among 157 bytes and one in another word.
"""

from types import GenericAlias

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.list cimport PyList_GET_SIZE
from libc.stdint cimport uint64_t
from libc.string cimport memchr

cdef extern from *:
    """
    #ifdef _MSC_VER
    #include <intrin.h>
    static int lowest(unsigned __int64 word) {
        unsigned long bit;
        _BitScanForward64(&bit, word);
        return (int)bit;
    }
    #else
    #define lowest __builtin_ctzll
    #endif
    """
    int lowest(uint64_t word) nogil  # the lowest bit that is set, of a word that has one

__all__ = ["Ring"]


cdef class Ring:
    """Members in joining order, some of them ready; ``select()`` deals out turns among those."""

    __class_getitem__ = classmethod(GenericAlias)

    # __cinit__, for no method may ever meet an object whose fields are None.
    def __cinit__(self):
        self._clear()
        self._cursor = 0

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
        self._append(member, ready)

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

    cdef bint _is_ready(self, Py_ssize_t slot) noexcept:
        return self._words[slot >> 6] >> (slot & 63) & 1

    cdef void _set(self, Py_ssize_t slot, bint ready) noexcept:
        cdef uint64_t word = self._words[slot >> 6], bit = <uint64_t>1 << (slot & 63)
        self.ready += ready - (word & bit != 0)
        word = word | bit if ready else word & ~bit
        self._words[slot >> 6] = word
        self._any[slot >> 6] = word != 0

    cpdef select(self):
        """Return the first ready member after the one selected last, None if none is ready."""
        cdef Py_ssize_t slot = self._cursor
        if self.ready == 0:
            return None
        if slot == PyList_GET_SIZE(self._members):
            slot = 0
        if not self._is_ready(slot):
            slot = self._next(slot)
        self._cursor = slot + 1
        return self._members[slot]

    cdef Py_ssize_t _next(self, Py_ssize_t slot) noexcept:
        """The first slot from there on whose member is ready. There is one."""
        cdef uint64_t word = self._words[slot >> 6] >> (slot & 63)
        cdef Py_ssize_t place = (slot >> 6) + 1, size = PyByteArray_GET_SIZE(self._any_buffer)
        cdef const char* found
        if word:
            return slot + lowest(word)
        found = <const char*>memchr(self._any + place, 1, size - place)
        if found == NULL:
            found = <const char*>memchr(self._any, 1, size)
        place = found - self._any
        return (place << 6) + lowest(self._words[place])

    cdef int _clear(self) except -1:
        self._members = []
        self._slots = {}
        self._words_buffer = bytearray()
        self._any_buffer = bytearray()
        self.ready = 0
        return 0

    cdef int _append(self, member, bint ready) except -1:
        cdef Py_ssize_t slot = PyList_GET_SIZE(self._members)
        if slot & 63 == 0:
            self._words_buffer += bytes(8)
            self._words = <uint64_t*>PyByteArray_AS_STRING(self._words_buffer)
            self._any_buffer += bytes(1)
            self._any = PyByteArray_AS_STRING(self._any_buffer)
        self._slots[member] = slot
        self._members.append(member)
        self._set(slot, ready)
        return 0

    cdef int _close_holes(self) except -1:
        taken, members = self._slots.values(), list(self._slots)
        ready = [self._is_ready(slot) for slot in taken]
        self._cursor = sum([slot < self._cursor for slot in taken])
        self._clear()
        for member, is_ready in zip(members, ready):
            self._append(member, is_ready)
        return 0
