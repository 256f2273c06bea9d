cimport cython


@cython.no_gc
cdef class Item:
    cdef public unsigned long long id
    cdef public bytes payload
    cdef public unsigned long attempt
    cdef public bint alone


@cython.locals(item=Item)
cpdef Item new_item(unsigned long long item_id, bytes payload, unsigned long attempt=*, bint alone=*)


@cython.final
cdef class Outstanding:
    cdef list _items
    cdef unsigned long long _base
    cdef Py_ssize_t _start
    cdef readonly long long count
    cdef readonly long long size

    @cython.locals(first=cython.ulonglong, stop=cython.ulonglong, number=cython.ulonglong)
    cpdef list below(self, unsigned long long end)
    cpdef add(self, Item item)
    @cython.locals(
        items=list, struck=list, item=Item, base=cython.ulonglong, first=cython.ulonglong,
        last=cython.ulonglong, length=cython.ulonglong, index=Py_ssize_t, size=cython.longlong,
    )
    cpdef list strike(self, list ranges)
    @cython.locals(items=list, start=Py_ssize_t, length=Py_ssize_t)
    cdef _cut_off_holes(self)
