"""The encoding of Go's encoding/gob, for Python's types.

::

    data = distchan.gob.dumps(Job(1, "parse"))          # a stream with one value
    job = distchan.gob.loads(data, Job)

    encoder = distchan.gob.Encoder(Job)                 # a stream with many: Job is defined once
    decoder = distchan.gob.Decoder(Job)

======================================  ===========================================================
Python                                  Go
======================================  ===========================================================
``bool``, ``str``                       ``bool``, ``string`` (which need not be UTF-8: surrogates)
``int``, ``float``, ``complex``         ``int`` (64 bits), ``float64``, ``complex128``
``gob.Int8`` ... ``gob.Complex64``      ``int8``, ... ``uint``, ... ``float32``, ``complex64``
``bytes``, ``bytearray``                ``[]byte``
``list[T]``, ``tuple[T, ...]``          ``[]T``
``tuple[T, T, T]``                      ``[3]T``
``dict[K, V]``                          ``map[K]V``
dataclass, ``msgspec.Struct``,          struct; a field ``user_id`` is ``UserId``, others are named
``NamedTuple``, ``TypedDict``           by msgspec's ``rename``, ``metadata={"gob": "ID"}`` or
                                        ``Annotated[int, gob.Name("ID")]``
``T | None``                            ``*T``
``datetime`` (with a time zone)         ``time.Time``
``Any``, ``gob.Interface``              ``interface{}``: values of registered types, see `register`
a class with ``marshal_binary`` ...     a type that encodes itself, see `Marshaler`
======================================  ===========================================================

As in Go, structs omit fields that are zero, so a pointer to zero comes back as None. A field that
the sender does not have takes its default, or else its zero value. Fields match by their names,
then without case and underscores; those the Python class does not have are skipped.
"""

from distchan.gob._annotations import (
    Complex64,
    Float32,
    Int8,
    Int16,
    Int32,
    Int64,
    Interface,
    Marshaler,
    Name,
    UInt,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Width,
)
from distchan.gob._decoder import Decoder, loads
from distchan.gob._encoder import Encoder, dumps
from distchan.gob._errors import GobDecodeError, GobEncodeError
from distchan.gob._registry import Registry, register

__all__ = [
    "Complex64",
    "Decoder",
    "Encoder",
    "Float32",
    "GobDecodeError",
    "GobEncodeError",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Interface",
    "Marshaler",
    "Name",
    "Registry",
    "UInt",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "Width",
    "dumps",
    "loads",
    "register",
]
