"""What ``Annotated`` may say about a type for gob, and aliases for Go's own types."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

__all__ = [
    "Complex64",
    "Float32",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Interface",
    "Marshaler",
    "Name",
    "UInt",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "Width",
]


@dataclasses.dataclass(frozen=True)
class Width:
    """Which of Go's numbers an ``int``, ``float`` or ``complex`` is: ``"uint16"``."""

    name: str


@dataclasses.dataclass(frozen=True)
class Name:
    """What a field of a struct is called in Go: ``Annotated[int, gob.Name("ID")]``."""

    name: str


@dataclasses.dataclass(frozen=True)
class Marshaler:
    """How values of a class become bytes, for a Go type that does so itself.

    ::

        Annotated[uuid.UUID, gob.Marshaler("uuid.UUID", lambda id: id.bytes, from_bytes)]

    ``name`` is that of the Go type, its package in front. ``encode`` takes a value and returns
    bytes or text, ``decode`` takes the bytes; both may raise what they like. ``form`` says which
    of Go's interfaces the type implements: ``"binary"`` (encoding.BinaryMarshaler), ``"gob"``
    (GobEncoder) or ``"text"`` (encoding.TextMarshaler, which gob has a place for, but which Go up
    to now neither writes nor reads). ``zero`` is Go's zero value of the type,
    which structs omit; without it (None) nothing is omitted, and a field that is missing on
    reading is an error unless the class has a default for it.

    A class can do without: if it has the methods ``marshal_binary()`` and the classmethod
    ``unmarshal_binary(data)``, or ``marshal_text`` and ``unmarshal_text``, or ``gob_encode`` and
    ``gob_decode``, it is one of those in gob.
    """

    name: str
    encode: Callable[[Any], bytes | str]
    decode: Callable[[bytes], Any]
    form: Literal["binary", "text", "gob"] = "binary"
    zero: Any = None


class _InterfaceMarker:
    """Marks `Interface`."""


INTERFACE: Final = _InterfaceMarker()

Int8 = Annotated[int, Width("int8")]
Int16 = Annotated[int, Width("int16")]
Int32 = Annotated[int, Width("int32")]
Int64 = Annotated[int, Width("int64")]
UInt = Annotated[int, Width("uint")]
UInt8 = Annotated[int, Width("uint8")]
UInt16 = Annotated[int, Width("uint16")]
UInt32 = Annotated[int, Width("uint32")]
UInt64 = Annotated[int, Width("uint64")]
Float32 = Annotated[float, Width("float32")]
Complex64 = Annotated[complex, Width("complex64")]

#: Go's ``interface{}``: any value whose type has a registered name. Inside other types ``Any``
#: means the same; as the type of a whole value ``Any`` means "whatever comes".
Interface = Annotated[Any, INTERFACE]
