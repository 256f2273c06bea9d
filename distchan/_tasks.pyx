# cython: language_level=3
"""The task that is running, found fast: the compiled twin of ``_tasks.py``."""

import asyncio
import sys

from cpython.dict cimport PyDict_GetItemWithError, PyDict_Next
from cpython.object cimport PyObject
from cpython.pythread cimport PyThread_get_thread_ident

__all__ = ["running_task", "task_of"]

# Until 3.13 asyncio keeps them in a dictionary; later ones find them by themselves.
cdef dict _tasks = asyncio.tasks._current_tasks if sys.version_info < (3, 14) else None
cdef object _current_task = asyncio.current_task
cdef object _running_loop = asyncio._get_running_loop


cdef inline _task_of(loop):
    if _tasks is None:
        return _current_task(loop)
    cdef PyObject* key
    cdef PyObject* task
    cdef Py_ssize_t position = 0
    # Hardly ever do several loops run: to look at the one entry takes a third of looking it up.
    if len(_tasks) == 1 and PyDict_Next(_tasks, &position, &key, &task) and key == <PyObject*>loop:
        return <object>task
    task = PyDict_GetItemWithError(_tasks, loop)
    return None if task == NULL else <object>task


cpdef running_task():
    loop = _running_loop()
    return None if loop is None else _task_of(loop)


cpdef task_of(loop, unsigned long thread):
    if loop is None or thread != <unsigned long>PyThread_get_thread_ident():
        return None
    return _task_of(loop)
