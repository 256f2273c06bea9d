from distchan._ports cimport Sender


cdef class Callee:
    cpdef _start_send(self, item, Sender sender, list held)
    cpdef _start_receive(self, caller)


cpdef sending(Callee channel, item, Sender sender, list held)
cpdef receiving(Callee channel, caller, bint iterating)
