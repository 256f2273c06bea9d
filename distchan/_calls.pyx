# cython: language_level=3
"""What a call of a channel's methods returns: the compiled twin of ``_calls.py``.

An awaitable that is no coroutine needs no Python frame. CPython 3.11 asks its type for ``am_send``,
which hands over a value as it is: 40 ns instead of 150. Later ones ask for ``tp_iternext``, and a
value comes in a StopIteration. One that is made here and never seen by ``raise`` costs half as much
as a coroutine; for None none is needed.
"""

import warnings
from collections.abc import Coroutine

cimport cython
from cpython.exc cimport PyErr_Fetch, PyErr_Restore
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF

from ._coroutines import EMPTY

__all__ = ["EMPTY", "Callee", "receiving", "sending"]

cdef extern from *:
    """
    static destructor deallocate; /* which both kinds have from their base */

    static void set_slots(
        PyObject* type, int (*am_send)(PyObject*, PyObject*, PyObject**),
        PyObject* (*tp_iternext)(PyObject*), void (*tp_dealloc)(PyObject*)
    ) {
        ((PyTypeObject*)type)->tp_as_async->am_send = (sendfunc)am_send;
        ((PyTypeObject*)type)->tp_iternext = tp_iternext;
        deallocate = ((PyTypeObject*)type)->tp_dealloc;
        ((PyTypeObject*)type)->tp_dealloc = tp_dealloc;
        PyType_Modified((PyTypeObject*)type);
    }

    /* What a generator that returns a value leaves behind; takes over the reference to the value. */
    static void stop_iteration(PyObject* value) {
        PyTypeObject* type = (PyTypeObject*)PyExc_StopIteration;
        PyObject* arguments;
        PyObject* error;
        if (value == Py_None) {
            Py_DECREF(value);
            return;
        }
        arguments = PyTuple_New(0);
        error = arguments == NULL ? NULL : type->tp_new(type, arguments, NULL);
        Py_XDECREF(arguments);
        if (error == NULL) {
            Py_DECREF(value);
            return;
        }
        Py_XSETREF(((PyStopIterationObject*)error)->value, value);
    #if PY_VERSION_HEX >= 0x030C0000
        PyErr_SetRaisedException(error);
    #else
        Py_INCREF(type);
        PyErr_Restore((PyObject*)type, error, NULL);
    #endif
    }
    """
    const int PYGEN_RETURN
    const int PYGEN_NEXT
    int PyIter_Send(object iterator, object value, PyObject** outcome) except -1  # PYGEN_ERROR
    void set_slots(
        object type,
        int (*am_send)(object, object, PyObject**) except -1,
        PyObject* (*tp_iternext)(object) except? NULL,
        void (*tp_dealloc)(PyObject*) noexcept,
    )
    void deallocate(PyObject* instance)
    void stop_iteration(PyObject* value)

cdef object _EMPTY = EMPTY


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


cdef class Sending(Call):
    cdef object start(self, Callee channel):
        self._rest = channel._start_send(self._subject, self._sender, self._grip)


cdef class Receiving(Call):
    cdef object start(self, Callee channel):
        item = channel._start_receive(self._subject)
        if item is _EMPTY:
            self._rest = channel._finish_receive(self._subject, self._iterating)
        return item


cdef int am_send(object self, object value, PyObject** outcome) except -1:
    return (<Call>self).step(value, outcome)


cdef PyObject* tp_iternext(object self) except? NULL:
    cdef PyObject* outcome = NULL
    if (<Call>self).step(None, &outcome) == PYGEN_NEXT:
        return outcome
    stop_iteration(outcome)
    return NULL


cdef void warn_never_awaited(kind) noexcept:
    warnings.warn(f"{kind.__name__!r} was never awaited", RuntimeWarning, stacklevel=1)


cdef void tp_dealloc(PyObject* self) noexcept:
    # Not __dealloc__, which costs 2 % of an item's way even where there is nothing to warn of.
    cdef PyObject *kind, *error, *traceback
    if (<Call>self)._channel is not None:
        PyErr_Fetch(&kind, &error, &traceback)  # what may be on its way
        warn_never_awaited(<object>self.ob_type)
        PyErr_Restore(kind, error, traceback)
    deallocate(self)


for _kind in (Sending, Receiving):
    set_slots(_kind, am_send, tp_iternext, tp_dealloc)
    Coroutine.register(_kind)


cpdef sending(Callee channel, item, Sender sender, unsigned long long grip):
    cdef Sending call = Sending.__new__(Sending)
    call._channel = channel
    call._subject = item
    call._sender = sender
    call._grip = grip
    return call


cpdef receiving(Callee channel, caller, bint iterating):
    cdef Receiving call = Receiving.__new__(Receiving)
    call._channel = channel
    call._subject = caller
    call._iterating = iterating
    return call
