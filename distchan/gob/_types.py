"""Go's types, as the types of Python stand for them."""

import enum
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple, Self

from distchan.gob import _time
from distchan.gob._writers import (
    ArrayWriter,
    BoolWriter,
    BytesWriter,
    ComplexWriter,
    FloatWriter,
    InterfaceWriter,
    IntWriter,
    MapWriter,
    MarshalerWriter,
    PointerWriter,
    SliceWriter,
    StringWriter,
    StructWriter,
    TypedDictWriter,
    UintWriter,
    Writer,
)

__all__ = ["NO_DEFAULT", "Field", "Form", "Kind", "Type", "basic"]


class Kind(enum.Enum):
    """What gob tells apart."""

    BOOL = "bool"
    INT = "int"
    UINT = "uint"
    FLOAT = "float"
    BYTES = "[]byte"
    STRING = "string"
    COMPLEX = "complex"
    INTERFACE = "interface"
    ARRAY = "array"
    SLICE = "slice"
    MAP = "map"
    STRUCT = "struct"
    MARSHALER = "marshaler"
    POINTER = "pointer"


Form = Literal["gob", "binary", "text"]

#: Of a field: the class gives none.
NO_DEFAULT: Final[Any] = object()


class Field(NamedTuple):
    """A field of a struct."""

    attribute: str
    name: str
    """In Go."""
    type: "Type"
    default: Any = NO_DEFAULT
    default_factory: Callable[[], Any] | None = None
    keyword_only: bool = False
    settable_only: bool = False
    """Whether the constructor does not take it (``dataclasses.field(init=False)``)."""


class Type:
    """A type of Go, and the Python type of its values.

    Types with the same ``identity`` are the same type for Go; ``python`` may still differ.
    """

    def __init__(
        self,
        kind: Kind,
        identity: object,
        python: Any = object,
        *,
        name: str = "",
        bits: int = 64,
        elem: "Type | None" = None,
        key: "Type | None" = None,
        length: int = 0,
    ) -> None:
        self.kind = kind
        self.identity = identity
        self.python = python
        #: Of basic types, structs and marshalers, without the package.
        self.name = name
        #: Of marshalers, if it is not that of the other types.
        self.package = ""
        self.bits = bits
        self.elem = elem
        self.key = key
        self.length = length
        self.fields: tuple[Field, ...] = ()
        self.form: Form = "binary"
        self.encode: Callable[[Any], bytes | str] = bytes
        self.decode: Callable[[bytes], Any] = bytes
        #: Of marshalers: the zero value, if it is known.
        self.marshaler_zero: Any = None
        self._writer: Writer | None = None

    @property
    def base(self) -> "Type":
        """What a pointer points to; any other type itself."""
        return self.elem if self.kind is Kind.POINTER and self.elem is not None else self

    @property
    def parts(self) -> "list[Type]":
        """The types of the fields, or those of the key and the elements."""
        if self.kind is Kind.STRUCT:
            return [field.type for field in self.fields]
        return [part for part in (self.key, self.elem) if part is not None]

    @property
    def root_step(self) -> str:
        """What a path begins with."""
        return self.base.name if self.base.kind is Kind.STRUCT else ""

    def go_string(self, package: str) -> str:
        """As Go prints it, with ``package`` for the classes: ``map[string][]main.Job``."""
        match self.kind:
            case Kind.STRUCT | Kind.MARSHALER:
                return f"{self.package or package}.{self.name}"
            case Kind.ARRAY | Kind.SLICE | Kind.POINTER | Kind.MAP:
                *key, elem = (part.go_string(package) for part in self.parts)
                prefix = {
                    Kind.ARRAY: f"[{self.length}]",
                    Kind.SLICE: "[]",
                    Kind.POINTER: "*",
                    Kind.MAP: f"map[{''.join(key)}]",
                }
                return prefix[self.kind] + elem
        return self.name

    @property
    def writer(self) -> Writer:
        """Writes values of this type; made when it is first asked for."""
        if self._writer is None:
            self._writer = self._make_writer({})
        return self._writer

    def _make_writer(self, made: "dict[Type, Writer]") -> Writer:
        """``made``: the writers that contain this one. Types that contain themselves need them.

        No other thread meets those before they are complete.
        """
        if self in made:
            return made[self]
        match self.kind:
            case Kind.BOOL:
                return BoolWriter()
            case Kind.INT:
                return IntWriter(self.bits)
            case Kind.UINT:
                return UintWriter(self.bits)
            case Kind.FLOAT:
                return FloatWriter(self.bits)
            case Kind.COMPLEX:
                return ComplexWriter(self.bits)
            case Kind.STRING:
                return StringWriter()
            case Kind.BYTES:
                return BytesWriter()
            case Kind.INTERFACE:
                return InterfaceWriter()
            case Kind.MARSHALER:
                return MarshalerWriter(self.encode, self.marshaler_zero)
            case Kind.POINTER:
                return PointerWriter(self.parts[0]._make_writer(made))
            case Kind.MAP:
                pairs = made[self] = MapWriter()
                pairs.key, pairs.elem = (part._make_writer(made) for part in self.parts)
                return pairs
            case Kind.STRUCT:
                struct = StructWriter() if self.python is not dict else TypedDictWriter()
                made[self] = struct
                struct.cls = self.python
                struct.names = tuple(field.attribute for field in self.fields)
                struct.steps = tuple(f".{field.attribute}" for field in self.fields)
                struct.writers = tuple(field.type._make_writer(made) for field in self.fields)
                return struct
        elements = ArrayWriter(self.length) if self.kind is Kind.ARRAY else SliceWriter()
        made[self] = elements
        elements.elem = self.parts[0]._make_writer(made)
        return elements

    def zero(self) -> Any:
        """A new zero value; ValueError for a marshaler whose zero value nobody told."""
        match self.kind:
            case Kind.SLICE | Kind.MAP:
                return self.python()
            case Kind.BYTES:
                return self.python(b"")
            case Kind.ARRAY:
                return self.python(self.parts[0].zero() for _ in range(self.length))
            case Kind.STRUCT:
                return self.make([field.type.zero() for field in self.fields])
            case Kind.MARSHALER:
                if self.marshaler_zero is None:
                    raise ValueError(f"{self.name} has no zero value and the field no default")
                return self.marshaler_zero
        return _ZEROS.get(self.kind)

    @property
    def is_zero_shared(self) -> bool:
        """Whether one zero value may serve many times, as nobody can change it."""
        if self.kind is Kind.ARRAY:
            return self.python is tuple and self.parts[0].is_zero_shared
        if self.kind is Kind.MARSHALER:
            return self.marshaler_zero is not None
        return self.kind in _ZEROS or (
            self.kind in (Kind.BYTES, Kind.SLICE) and self.python in (bytes, memoryview, tuple)
        )

    @property
    def is_built_by_position(self) -> bool:
        """Of structs: whether the constructor takes all fields in their order."""
        return self.python is not dict and not any(
            field.keyword_only or field.settable_only for field in self.fields
        )

    def make(self, values: list[Any]) -> Any:
        """Of structs: an instance from the values of all fields, in their order."""
        if self.is_built_by_position:
            return self.python(*values)
        given = zip(self.fields, values, strict=True)
        if self.python is dict:
            return {field.attribute: value for field, value in given}
        arguments: dict[str, Any] = {}
        later: dict[str, Any] = {}
        for field, value in given:
            (later if field.settable_only else arguments)[field.attribute] = value
        instance = self.python(**arguments)
        for attribute, value in later.items():
            object.__setattr__(instance, attribute, value)  # even if it is frozen
        return instance

    @classmethod
    def time(cls) -> Self:
        """time.Time."""
        time = cls(Kind.MARSHALER, "time.Time", name="Time")
        time.package = "time"
        time.form = "gob"  # which it implements besides the other two, and which goes first
        time.encode, time.decode, time.marshaler_zero = _time.encode, _time.decode, _time.ZERO
        return time


_ZEROS: Final[dict[Kind, Any]] = {
    Kind.BOOL: False,
    Kind.INT: 0,
    Kind.UINT: 0,
    Kind.FLOAT: 0.0,
    Kind.COMPLEX: 0j,
    Kind.STRING: "",
    Kind.INTERFACE: None,
    Kind.POINTER: None,
}

_NUMBERS: Final = {
    **{f"int{bits}": (Kind.INT, bits) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (Kind.UINT, bits) for bits in (8, 16, 32, 64)},
    "int": (Kind.INT, 64),
    "uint": (Kind.UINT, 64),
    "float32": (Kind.FLOAT, 32),
    "float64": (Kind.FLOAT, 64),
    "complex64": (Kind.COMPLEX, 32),
    "complex128": (Kind.COMPLEX, 64),
    "bool": (Kind.BOOL, 1),
    "string": (Kind.STRING, 0),
    "interface {}": (Kind.INTERFACE, 0),
}


def basic(name: str) -> Type:
    """A type that needs no definition, by the name that Go prints; KeyError for others."""
    kind, bits = _NUMBERS[name]
    return Type(kind, name, name=name, bits=bits)
