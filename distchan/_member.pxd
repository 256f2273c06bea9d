from distchan._holdings cimport Holdings
from distchan._intake cimport Intake
from distchan._outbox cimport Outbox
from distchan._pump cimport Handler


cdef class Member(Handler):
    cdef Intake _intake
    cdef Outbox _outbox
    cdef Holdings _holdings
    cdef object _on_credited
    cdef object _on_other

    cpdef credited(self)
