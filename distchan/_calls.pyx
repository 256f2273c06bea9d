# cython: language_level=3
"""What a call of a channel's methods returns: the compiled twin of ``_calls.py``.

An awaitable that is no coroutine needs no Python frame and, where the interpreter asks its type for
``am_send``, hands over a value without raising StopIteration: on CPython 3.11 that is 40 ns instead
of 150. From 3.12 on the interpreter does not ask, and a value in a StopIteration costs more than a
coroutine; so there a receive is a coroutine. A send has no value.
"""

import sys
import warnings
from collections.abc import Coroutine

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF

from . import _coroutines
from ._coroutines import EMPTY

__all__ = ["EMPTY", "Callee", "receiving", "sending"]

cdef extern from *:
    """
    static void set_am_send(PyObject* type, int (*function)(PyObject*, PyObject*, PyObject**)) {
        ((PyTypeObject*)type)->tp_as_async->am_send = (sendfunc)function;
        PyType_Modified((PyTypeObject*)type);
    }
    """
    const int PYGEN_RETURN
    const int PYGEN_NEXT
    int PyIter_Send(object iterator, object value, PyObject** outcome) except -1  # PYGEN_ERROR
    void set_am_send(object type, int (*function)(object, object, PyObject**) except -1)

cdef object _EMPTY = EMPTY
cdef object _receiving = _coroutines.receiving
cdef bint RECEIVE_BY_COROUTINE = sys.version_info >= (3, 12)


cdef class Callee:
    """What a channel has for that."""

    cpdef _start_send(self, item, Sender sender, unsigned long long grip):
        raise NotImplementedError

    cpdef _start_receive(self, caller):
        raise NotImplementedError


# All fields of both kinds stand in their base, for only then do they share its free list.
@cython.freelist(16)
cdef class Call:
    """Awaited once, like a coroutine, and with the methods of one."""

    cdef Callee _channel  # None once it has been started or closed
    cdef object _rest  # the coroutine that does what could not be done at once
    cdef object _subject  # the item; who asks for one
    cdef Sender _sender
    cdef unsigned long long _grip
    cdef bint _iterating

    @property
    def __name__(self):
        return type(self).__name__

    @property
    def __qualname__(self):
        return type(self).__qualname__

    cdef object start(self, Callee channel):
        """The outcome, unless it sets ``_rest``."""
        raise NotImplementedError

    cdef int step(self, value, PyObject** outcome) except -1:
        cdef Callee channel
        if self._rest is None:
            channel = self._channel
            if channel is None:
                raise RuntimeError("cannot reuse already awaited coroutine")
            self._channel = None
            result = self.start(channel)
            if self._rest is None:
                Py_INCREF(result)
                outcome[0] = <PyObject*>result
                return PYGEN_RETURN
        return PyIter_Send(self._rest, value, outcome)

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        cdef PyObject* outcome = NULL
        cdef int kind = self.step(value, &outcome)
        result = <object>outcome
        Py_DECREF(result)
        if kind == PYGEN_NEXT:
            return result
        raise StopIteration(result)

    def throw(self, *exception):
        if self._rest is not None:
            return self._rest.throw(*exception)
        self._channel = None
        raise exception[-2 if len(exception) == 3 else -1] or exception[0]

    def close(self):
        self._channel = None
        if self._rest is not None:
            self._rest.close()

    def __dealloc__(self):
        if self._channel is not None:
            warnings.warn(
                f"{type(self).__name__!r} was never awaited", RuntimeWarning, stacklevel=1
            )


cdef class Sending(Call):
    cdef object start(self, Callee channel):
        self._rest = channel._start_send(self._subject, self._sender, self._grip)

    def __next__(self):
        cdef PyObject* outcome = NULL
        if self.step(None, &outcome) == PYGEN_NEXT:
            result = <object>outcome
            Py_DECREF(result)
            return result
        Py_DECREF(<object>outcome)
        raise StopIteration  # which costs nothing: no exception is made


cdef class Receiving(Call):
    cdef object start(self, Callee channel):
        item = channel._start_receive(self._subject)
        if item is _EMPTY:
            self._rest = channel._finish_receive(self._subject, self._iterating)
        return item


cdef int am_send(object self, object value, PyObject** outcome) except -1:
    return (<Call>self).step(value, outcome)


for _kind in (Sending, Receiving):
    set_am_send(_kind, am_send)
    Coroutine.register(_kind)


cpdef sending(Callee channel, item, Sender sender, unsigned long long grip):
    cdef Sending call = Sending.__new__(Sending)
    call._channel = channel
    call._subject = item
    call._sender = sender
    call._grip = grip
    return call


cpdef receiving(Callee channel, caller, bint iterating):
    if RECEIVE_BY_COROUTINE:
        return _receiving(channel, caller, iterating)
    cdef Receiving call = Receiving.__new__(Receiving)
    call._channel = channel
    call._subject = caller
    call._iterating = iterating
    return call
