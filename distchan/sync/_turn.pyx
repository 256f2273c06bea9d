# cython: language_level=3
"""The right to use the loop: the compiled twin of ``_turn.py``."""

from cpython.pythread cimport (
    NOWAIT_LOCK,
    WAIT_LOCK,
    PyThread_acquire_lock,
    PyThread_allocate_lock,
    PyThread_free_lock,
    PyThread_get_thread_ident,
    PyThread_release_lock,
)

from distchan._tasks cimport act

from distchan.sync._nesting import nested_call

__all__ = ["Turn"]


cdef class Turn:
    """See _turn.py."""

    def __cinit__(self):
        self._lock = PyThread_allocate_lock()
        if self._lock is NULL:
            raise MemoryError("no lock")
        self.busy = False

    def __dealloc__(self):
        if self._lock is not NULL:
            PyThread_free_lock(self._lock)

    cpdef acquire(self):
        cdef unsigned long here = PyThread_get_thread_ident()
        if not PyThread_acquire_lock(self._lock, NOWAIT_LOCK):
            if self._owner == here:
                raise nested_call()
            with nogil:
                PyThread_acquire_lock(self._lock, WAIT_LOCK)
        self._owner = here

    cpdef release(self):
        self._owner = 0
        PyThread_release_lock(self._lock)

    def use(self, loop, stand_in, function, arguments):
        self.acquire()  # which no signal handler interrupts, as no Python code does it
        try:
            act(loop, stand_in)
            return function(*arguments)
        finally:
            self.release()
