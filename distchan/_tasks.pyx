# cython: language_level=3
"""The task that is running, found fast: the compiled twin of ``_tasks.py``."""

import asyncio
import sys

from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from cpython.pythread cimport PyThread_get_thread_ident
from libc.stdint cimport uint64_t

__all__ = ["act", "running_task", "runs_in", "task_of"]

cdef extern from *:
    """
    /* Another one after each change of a dictionary, of whichever; 0 where there is none. */
    #if PY_VERSION_HEX < 0x030C0000
    #define dict_version(d) (((PyDictObject*)(d))->ma_version_tag)
    #else
    #define dict_version(d) ((void)(d), (uint64_t)0)
    #endif
    """
    uint64_t dict_version(object dictionary)

# What was found last, in borrowed references: as long as the dictionary has not changed it holds
# them. Tasks ask several times per step, and to look one up costs four times as much.
cdef uint64_t _version = 0
cdef PyObject* _loop = NULL
cdef PyObject* _task = NULL

# Until 3.13 asyncio keeps them in a dictionary; later ones find them by themselves.
cdef dict _tasks = asyncio.tasks._current_tasks if sys.version_info < (3, 14) else None
cdef object _current_task = asyncio.current_task
cdef object _running_loop = asyncio._get_running_loop


# What act() was told last.
cdef unsigned long _acting_thread = 0
cdef object _acting_loop = None
cdef object _stand_in = None


cdef inline _task_of(loop):
    if _tasks is None:
        return _current_task(loop)
    global _version, _loop, _task
    cdef PyObject* task
    if <PyObject*>loop != _loop or not _version or dict_version(_tasks) != _version:
        task = PyDict_GetItemWithError(_tasks, loop)
        _task = <PyObject*>None if task == NULL else task
        _loop = <PyObject*>loop
        _version = dict_version(_tasks)
    return <object>_task


cpdef running_task():
    loop = _running_loop()
    return None if loop is None else _task_of(loop)


cpdef task_of(loop, unsigned long thread):
    if loop is None:
        return None
    cdef unsigned long here = <unsigned long>PyThread_get_thread_ident()
    if thread == here:
        return _task_of(loop)
    return _stand_in if _acting_thread == here and loop is _acting_loop else None


cpdef bint runs_in(unsigned long thread):
    return thread == <unsigned long>PyThread_get_thread_ident()


cpdef act(loop, stand_in):
    global _acting_thread, _acting_loop, _stand_in
    _acting_thread = <unsigned long>PyThread_get_thread_ident()
    _acting_loop = loop
    _stand_in = stand_in
