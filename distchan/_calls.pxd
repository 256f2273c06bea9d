cdef class Callee:
    cpdef _start_send(self, item, sender, held)
    cpdef _start_receive(self, caller)


cpdef sending(Callee channel, item, sender, held)
cpdef receiving(Callee channel, caller, bint iterating)
