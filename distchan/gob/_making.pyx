# cython: language_level=3
"""Calling a class with values that are in a list: the compiled twin of ``_making.py``."""

from cpython.list cimport PyList_GET_SIZE
from cpython.object cimport PyObject

cdef extern from "Python.h":
    object PyObject_Vectorcall(object function, PyObject** arguments, size_t count, void* names)
    PyObject** items "PySequence_Fast_ITEMS"(object values)

__all__ = ["make"]


cpdef object make(object cls, list values):
    """``cls(*values)``. Nobody else may have the list, which must not change during the call."""
    return PyObject_Vectorcall(cls, items(values), PyList_GET_SIZE(values), NULL)
