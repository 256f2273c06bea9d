# cython: language_level=3
"""Calling a class with values that are in a list: the compiled twin of ``_making.py``."""

cimport cython
from cpython.list cimport PyList_GET_SIZE
from cpython.object cimport PyObject

cdef extern from "Python.h":
    object PyObject_Vectorcall(object function, PyObject** arguments, size_t count, void* names)
    PyObject** items "PySequence_Fast_ITEMS"(object values)

__all__ = ["make"]


@cython.boundscheck(False)  # the lists have one length
@cython.wraparound(False)
cpdef object make(object cls, list values, list template):
    """``cls(*values)``. After that the list is what the template is, which is as long.

    Nobody else may have the list, which must not change during the call.
    """
    cdef Py_ssize_t index
    instance = PyObject_Vectorcall(cls, items(values), PyList_GET_SIZE(values), NULL)
    for index in range(PyList_GET_SIZE(values)):
        values[index] = template[index]
    return instance
