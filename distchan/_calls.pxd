from distchan._ports cimport Sender


cdef class Callee:
    cpdef _start_send(self, item, Sender sender, unsigned long long grip)
    cpdef _start_receive(self, caller)


cpdef sending(Callee channel, item, Sender sender, unsigned long long grip)
cpdef receiving(Callee channel, caller, bint iterating)
