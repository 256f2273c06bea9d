from distchan._framing cimport Decoder, Encoder


cdef int _HELLO
cdef int _ERROR
cdef int _PING
cdef int _PONG
cdef int _CLOSE
cdef int _NONCE


cdef class Session:
    cdef public object _hello
    cdef object _authkey
    cdef public object _authentication
    cdef object _signature
    cdef public object _transforms
    cdef object _decode
    cdef public object on_pending
    cdef bint _awake
    cdef public object id
    cdef public object epoch
    cdef public object begun
    cdef public bint keeps
    cdef public object peer
    cdef public bint sending
    cdef public bint receiving
    cdef public bint finished
    cdef public object error
    cdef public unsigned long long sent
    cdef public unsigned long long received
    cdef object _last_words
    cdef public bint opened
    cdef public Encoder _encoder
    cdef public Decoder _decoder

    cpdef wake(self)
    cpdef get_buffer(self)
    cpdef int buffer_updated(self, Py_ssize_t size) except -1
    cpdef next_event(self)
    cpdef list data_to_send(self)
    cpdef _on_data(self, frame)
    cpdef _on_control(self, int kind, bytes body)
    cpdef _on_own(self, int kind, bytes body)
