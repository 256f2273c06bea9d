cimport cython

from distchan._ports cimport Sender
from distchan._rendezvous cimport Channel as Rendezvous
from distchan._stand_in cimport StandIn
from distchan._tasks cimport act, runs_in
from distchan.sync._turn cimport Turn


cdef class Channel:
    cdef object __weakref__
    cdef public object _runtime
    cdef object _loop
    cdef Turn _turn
    cdef public Rendezvous _channel
    cdef StandIn _caller
    cdef unsigned long _caller_thread

    @cython.locals(stand_in=StandIn)
    cdef StandIn _stand_in(self)
    @cython.locals(channel=Rendezvous, sender=Sender, grip=cython.ulonglong)
    cpdef send(self, item, timeout=*)
    cpdef receive(self, timeout=*)
    @cython.locals(channel=Rendezvous)
    cpdef _receive(self, lease, timeout)
