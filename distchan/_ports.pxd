cdef class Sender:
    cdef public list items

    cpdef bint stage(self, payload, list items) except -1


cdef class Outlet:
    cdef public object encode

    cpdef bint live(self) except -1
    cpdef Sender sender(self)
    cpdef put(self, payload)


cdef class Inlet:
    cdef public Py_ssize_t count

    cpdef caller(self)
    cpdef take(self, caller)
