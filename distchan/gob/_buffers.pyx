# cython: language_level=3
"""Bytes of gob being written and being read: the compiled twin of ``_buffers.py``.

A message is written into memory of its own, small ones into the object itself. What is read stays
in the bytes object that came in.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.float cimport PyFloat_AsDouble, PyFloat_FromDouble
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_AsUnsignedLongLong
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.math cimport fabs, isinf
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from operator import index

from distchan.gob._errors import GobDecodeError, GobEncodeError, does_not_fit, wrong_type

__all__ = ["Input", "Output"]

cdef enum:
    LONGEST_UINT = 9
cdef double LARGEST_SINGLE = 3.4028234663852886e38


cdef inline int uint_size(uint64_t value) noexcept:
    """How many bytes a number has, the one that counts them not included."""
    cdef int size = 1
    while value > 0xFF:
        value >>= 8
        size += 1
    return size


cdef inline unsigned char* put_uint(unsigned char* place, uint64_t value) noexcept:
    """Write a number; there is room. Where the next one goes."""
    cdef int size
    cdef unsigned char* end
    if value <= 0x7F:
        place[0] = <unsigned char>value
        return place + 1
    size = uint_size(value)
    place[0] = <unsigned char>(256 - size)
    end = place + 1 + size
    place = end
    while size:
        place -= 1
        place[0] = <unsigned char>value
        value >>= 8
        size -= 1
    return end


cdef inline uint64_t reverse(uint64_t value) noexcept:
    """The same bytes the other way round."""
    cdef uint64_t result = 0
    cdef int i
    for i in range(8):
        result = result << 8 | (value & 0xFF)
        value >>= 8
    return result


cdef class Output:
    """The message that is being written.

    ``session`` is the encoder, for the values whose types only the value tells. ``parent`` is the
    message in which this one will be embedded, if it is the value of an interface.
    """

    def __cinit__(self, session, Output parent=None):
        self._data = self._first
        self._capacity = sizeof(self._first)
        self.session = session
        self.parent = parent
        self.depth = 0 if parent is None else parent.depth

    def __dealloc__(self):
        if self._data != self._first:
            PyMem_Free(self._data)

    cdef unsigned char* _room(self, Py_ssize_t size) except NULL:
        """The end of the message, where there is room for so many bytes."""
        cdef Py_ssize_t capacity
        cdef unsigned char* data
        if size > self._capacity - self._size:
            capacity = 2 * self._capacity + size
            data = <unsigned char*>PyMem_Malloc(capacity)
            if data == NULL:
                raise MemoryError
            memcpy(data, self._data, self._size)
            if self._data != self._first:
                PyMem_Free(self._data)
            self._data = data
            self._capacity = capacity
        return self._data + self._size

    cdef int _write_counted(self, const char* data, Py_ssize_t size) except -1:
        cdef unsigned char* place = put_uint(self._room(size + LONGEST_UINT), size)
        memcpy(place, data, size)
        self._size = place + size - self._data
        return 0

    cpdef Py_ssize_t size(self) noexcept:
        """How many bytes the message has so far."""
        return self._size

    cpdef int truncate(self, Py_ssize_t size) except -1:
        """Forget what was written after the message had that size."""
        if 0 <= size < self._size:
            self._size = size
        return 0

    cpdef bint is_zero_since(self, Py_ssize_t size) noexcept:
        """Whether nothing but one zero byte was written after the message had that size."""
        return size >= 0 and self._size == size + 1 and self._data[size] == 0

    cpdef bytes take(self):
        """The message without its length; after that it is empty."""
        cdef Py_ssize_t size = self._size
        self._size = 0
        return PyBytes_FromStringAndSize(<char*>self._data, size)

    cpdef bytes take_message(self):
        """The message, its length in front; after that it is empty."""
        cdef unsigned char[LONGEST_UINT] prefix
        cdef Py_ssize_t prefix_size = put_uint(prefix, self._size) - prefix
        cdef Py_ssize_t size = self._size
        cdef bytes message = PyBytes_FromStringAndSize(NULL, prefix_size + size)
        memcpy(PyBytes_AS_STRING(message), prefix, prefix_size)
        memcpy(PyBytes_AS_STRING(message) + prefix_size, self._data, size)
        self._size = 0
        return message

    cpdef int write_uint(self, uint64_t value) except -1:
        """A number that is not negative and has at most 64 bits."""
        self._size = put_uint(self._room(LONGEST_UINT), value) - self._data
        return 0

    cpdef int write_bool(self, value) except -1:
        """``True`` or ``False``, and nothing that is merely like them."""
        if value is not True and value is not False:
            raise wrong_type("a bool", value)
        return self.write_uint(value is True)

    cpdef int write_int(self, value, int bits) except -1:
        """A signed number that has room in so many bits."""
        cdef int overflow = 0
        cdef int64_t number
        if type(value) is not int:
            value = as_int(value)
        number = PyLong_AsLongLongAndOverflow(value, &overflow)
        if overflow or (
            bits < 64
            and not -(<int64_t>1 << (bits - 1)) <= number < <int64_t>1 << (bits - 1)
        ):
            raise does_not_fit(value, f"int{bits}")
        return self.write_uint(
            ~(<uint64_t>number) << 1 | 1 if number < 0 else <uint64_t>number << 1
        )

    cpdef int write_unsigned(self, value, int bits) except -1:
        """A number without sign that has room in so many bits."""
        cdef uint64_t number
        if type(value) is not int:
            value = as_int(value)
        try:
            number = PyLong_AsUnsignedLongLong(value)
        except OverflowError:
            raise does_not_fit(value, f"uint{bits}") from None
        if bits < 64 and number >> bits:
            raise does_not_fit(value, f"uint{bits}")
        return self.write_uint(number)

    cpdef int write_float(self, value, int bits) except -1:
        """A float64, or a float32: the number nearest to the value, widened."""
        cdef double number
        cdef uint64_t data
        try:
            number = PyFloat_AsDouble(value)
        except OverflowError:
            raise GobEncodeError("the number is too large for a float64") from None
        except TypeError:
            raise wrong_type("a float", value) from None
        if bits == 32:
            if isinf(<float>number) and not isinf(number):
                raise GobEncodeError(f"{number!r} does not fit float32")
            number = <double><float>number
        memcpy(&data, &number, 8)
        return self.write_uint(reverse(data))

    cpdef int write_string(self, value) except -1:
        """Text as UTF-8. Bytes that are not UTF-8 are lone surrogates in it (PEP 383)."""
        cdef Py_ssize_t size
        cdef const char* text
        if not isinstance(value, str):
            raise wrong_type("a str", value)
        try:
            text = PyUnicode_AsUTF8AndSize(value, &size)
        except UnicodeEncodeError:
            return self.write_bytes(as_utf8(value))
        return self._write_counted(text, size)

    cpdef int write_bytes(self, value) except -1:
        """Anything that has contiguous bytes: their number, then they."""
        if type(value) is not bytes:
            try:
                value = bytes(memoryview(value).cast("B"))
            except TypeError:
                raise wrong_type("bytes", value) from None
        return self._write_counted(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))

    cpdef int write_raw(self, bytes data) except -1:
        """Bytes as they are."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        memcpy(self._room(size + 1), PyBytes_AS_STRING(data), size)
        self._size += size
        return 0


cdef class Input:
    """The bytes that are being read, one message after the other.

    A message ends where its length says; a value goes on in the next one only where the value of
    an interface brought new definitions. ``session`` is the decoder, for those.

    Every method raises GobDecodeError if the bytes are not what it reads.
    """

    def __cinit__(
        self, bytes data not None, Py_ssize_t start, session, int max_depth, int64_t max_values
    ):
        self._data = data
        self._bytes = <const unsigned char*>PyBytes_AS_STRING(data)
        self._size = PyBytes_GET_SIZE(data)
        self.session = session
        self.position = self.message_start = self._end = min(max(start, 0), self._size)
        self._max_depth = max_depth
        self._budget = max_values

    cpdef bint has_more(self) noexcept:
        """Whether there are bytes after the position."""
        return self.position < self._size

    cpdef bint is_message_read(self) noexcept:
        """Whether the message has no bytes left."""
        return self.position == self._end

    cpdef int next_message(self) except -1:
        """Go on with the next message."""
        cdef uint64_t length
        self.message_start = self.position
        self._end = self._size
        length = self.read_uint()
        if length > <uint64_t>(self._size - self.position):
            raise cut_off(self)
        self._end = self.position + <Py_ssize_t>length
        return 0

    cpdef int end_message(self) except -1:
        """Drop what is left of the message."""
        self.position = self._end
        return 0

    cpdef int enter(self, int64_t count) except -1:
        """Begin a value that has values inside, of which so many are about to be made."""
        self.spend(count)
        self._depth += 1
        if self._depth > self._max_depth:
            raise GobDecodeError(f"nested more than {self._max_depth} levels deep", self.position)
        return 0

    cpdef int leave(self) except -1:
        """End a value that was entered."""
        self._depth -= 1
        return 0

    cpdef int spend(self, int64_t count) except -1:
        """Account for so many values about to be made."""
        self._budget -= count
        if self._budget < 0:
            raise GobDecodeError("more values than max_values allows", self.position)
        return 0

    cpdef uint64_t read_uint(self) except? ERROR:
        cdef unsigned char first
        if self.position >= self._end:
            raise cut_off(self)
        first = self._bytes[self.position]
        if first <= 0x7F:
            self.position += 1
            return first
        return self._long_uint(first)

    cdef uint64_t _long_uint(self, unsigned char first) except? ERROR:
        cdef int size = 256 - first
        cdef uint64_t value = 0
        cdef const unsigned char* place = self._bytes + self.position + 1
        if size > 8:
            raise GobDecodeError(f"a number of {size} bytes", self.position)
        if size > self._end - self.position - 1:
            raise cut_off(self)
        self.position += 1 + size
        while size:
            value = value << 8 | place[0]
            place += 1
            size -= 1
        return value

    cpdef bint read_bool(self) except -1:
        return self.read_uint() != 0

    cpdef object read_int(self, int bits):
        cdef Py_ssize_t start = self.position
        cdef uint64_t number = self.read_uint()
        cdef int64_t value = <int64_t>(~(number >> 1) if number & 1 else number >> 1)
        if bits < 64 and not -(<int64_t>1 << (bits - 1)) <= value < <int64_t>1 << (bits - 1):
            raise GobDecodeError(f"{value} does not fit int{bits}", start)
        return value

    cpdef object read_unsigned(self, int bits):
        cdef Py_ssize_t start = self.position
        cdef uint64_t value = self.read_uint()
        if bits < 64 and value >> bits:
            raise GobDecodeError(f"{value} does not fit uint{bits}", start)
        return value

    cpdef object read_float(self, int bits):
        cdef Py_ssize_t start = self.position
        cdef uint64_t data = reverse(self.read_uint())
        cdef double value
        memcpy(&value, &data, 8)
        if bits == 32:
            if LARGEST_SINGLE < fabs(value) and not isinf(value):
                raise GobDecodeError(f"{value!r} does not fit float32", start)
            value = <double><float>value
        return PyFloat_FromDouble(value)

    cpdef object read_string(self):
        cdef Py_ssize_t size = self._counted()
        return PyUnicode_DecodeUTF8(
            <const char*>self._bytes + self.position - size, size, "surrogateescape"
        )

    cpdef object read_bytes(self):
        cdef Py_ssize_t size = self._counted()
        return PyBytes_FromStringAndSize(<const char*>self._bytes + self.position - size, size)

    cpdef int skip_bytes(self) except -1:
        """Pass over counted bytes."""
        self._counted()
        return 0

    cdef Py_ssize_t _counted(self) except -1:
        """Pass over counted bytes; how many they are."""
        cdef Py_ssize_t start = self.position
        cdef uint64_t size = self.read_uint()
        if size > <uint64_t>(self._end - self.position):
            raise GobDecodeError(f"{size} bytes where fewer are left", start)
        self.position += <Py_ssize_t>size
        return <Py_ssize_t>size

    cpdef Py_ssize_t read_count(self) except -1:
        """The number of elements that follow. Each has at least one byte, in whatever message."""
        cdef Py_ssize_t start = self.position
        cdef uint64_t count = self.read_uint()
        if count > <uint64_t>(self._size - self.position):
            raise GobDecodeError(f"{count} elements where fewer bytes are left", start)
        return <Py_ssize_t>count


cdef cut_off(Input source):
    return GobDecodeError("the data is cut off", source.position)


cdef as_int(value):
    try:
        return index(value)
    except TypeError:
        raise wrong_type("an int", value) from None


cdef bytes as_utf8(str value):
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise GobEncodeError(f"the string has no form in UTF-8: {error.reason}") from None
