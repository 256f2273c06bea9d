"""Which values on the wire can become which values in Python, and by which readers.

The rules are Go's: signed, unsigned and floating-point numbers do not mix, their widths do; arrays
have the same length; fields go by their names, and at least one must be there on both ends.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from distchan.gob import _time
from distchan.gob._definitions import BASIC_IDS, WireType
from distchan.gob._errors import GobDecodeError
from distchan.gob._readers import (
    MISSING,
    ArrayReader,
    BoolReader,
    BytesReader,
    ComplexReader,
    FieldReader,
    FloatReader,
    InterfaceReader,
    IntReader,
    MapReader,
    MarshalerReader,
    Reader,
    SliceReader,
    StringReader,
    StructReader,
    UintReader,
)
from distchan.gob._schema import folded
from distchan.gob._types import NO_DEFAULT, Field, Form, Kind, Type

__all__ = ["Readers", "wire_type"]

_BASIC_TYPES: Final = {number: WireType(kind) for kind, number in BASIC_IDS.items()}

#: The forms that a marshaler with one of them reads as well: time.Time has all three.
_BINARY: Final[tuple[Form, ...]] = ("gob", "binary")


def wire_type(definitions: Mapping[int, WireType], type_id: int) -> WireType:
    """What an id stands for. GobDecodeError if nobody said."""
    wire = _BASIC_TYPES.get(type_id) or definitions.get(type_id)
    if wire is None:
        raise GobDecodeError(f"the type {type_id} is not defined")
    return wire


class Readers:
    """The readers of one stream, each made when it is first needed."""

    def __init__(self, definitions: Mapping[int, WireType], max_depth: int) -> None:
        self._definitions = definitions
        self._max_depth = max_depth
        self._known: dict[tuple[int, Type | None], Reader] = {}
        #: How many definitions there were when a reader was made: it knows of no later ones.
        self._made_with: dict[tuple[int, Type | None], int] = {}

    def forget_since(self, definitions: int) -> None:
        """Forget the readers that may know of definitions after the first so many.

        Not only those of the types themselves: an older type may refer to a newer one.
        """
        for key in [key for key, count in self._made_with.items() if count > definitions]:
            del self._known[key], self._made_with[key]

    def get(self, type_id: int, wanted: Type | None) -> Reader:
        """The reader for a type on the wire and one in Python; with None, for values as they come.

        Raises GobDecodeError if the two do not fit.
        """
        reader = self._known.get((type_id, wanted))
        if reader is None:
            builder = _Builder(self._definitions, dict(self._known), self._max_depth)
            reader = builder.build(type_id, wanted)
            # Only now, as unfinished ones are in it after an error.
            for key in builder.known.keys() - self._known.keys():
                self._made_with[key] = len(self._definitions)
            self._known = builder.known
        return reader


class _Builder:
    def __init__(
        self,
        definitions: Mapping[int, WireType],
        known: dict[tuple[int, Type | None], Reader],
        max_depth: int,
    ) -> None:
        self._definitions = definitions
        self.known = known
        self._levels_left = max_depth

    def build(self, type_id: int, wanted: Type | None) -> Reader:
        if wanted is not None:
            wanted = None if wanted.kind is Kind.INTERFACE and type_id != 8 else wanted.base
        reader = self.known.get((type_id, wanted))
        if reader is not None:
            return reader
        wire = wire_type(self._definitions, type_id)
        if wanted is not None and not _fit(wire, wanted):
            raise GobDecodeError(f"{_in_words(wire)} does not fit {wanted.go_string('main')}")
        self._levels_left -= 1
        if self._levels_left < 0:
            raise GobDecodeError("types nested too deeply")
        reader = self._make(wire, wanted, (type_id, wanted))
        self._levels_left += 1
        return reader

    def _make(self, wire: WireType, wanted: Type | None, key: tuple[int, Type | None]) -> Reader:
        match wire.kind:
            case Kind.SLICE | Kind.ARRAY:
                return self._elements(wire, wanted, key)
            case Kind.MAP:
                pairs = self.known[key] = MapReader(wire.key not in _SPREAD)
                pairs.key = self.build(wire.key, wanted.key if wanted else None)
                pairs.elem = self.build(wire.elem, wanted.elem if wanted else None)
                return pairs
            case Kind.STRUCT:
                struct = self.known[key] = StructReader()
                if wanted is None:
                    self._fill_untyped(struct, wire)
                else:
                    self._fill(struct, wire, wanted)
                return struct
            case Kind.MARSHALER:
                reader: Reader = MarshalerReader(_unmarshaler(wire, wanted))
            case Kind.BYTES:
                make = wanted.python if wanted and wanted.python is not bytes else None
                reader = BytesReader(make)
            case _:
                reader = _SCALARS[wire.kind](wanted.bits if wanted else 64)
        self.known[key] = reader
        return reader

    def _elements(
        self, wire: WireType, wanted: Type | None, key: tuple[int, Type | None]
    ) -> Reader:
        elements: SliceReader
        if wire.kind is Kind.ARRAY:
            elements = ArrayReader(tuple)
            elements.length = wire.length
        else:
            elements = SliceReader(wanted.python if wanted and wanted.python is not list else None)
        self.known[key] = elements
        elements.elem = self.build(wire.elem, wanted.elem if wanted else None)
        return elements

    def _fill_untyped(self, struct: StructReader, wire: WireType) -> None:
        """For a dict by the names on the wire."""
        names = tuple(name for name, _ in wire.fields)
        struct.fields = tuple(
            FieldReader(self.build(type_id, None), place, name)
            for place, (name, type_id) in enumerate(wire.fields)
        )
        zeros = [self._untyped_zero(type_id) for _, type_id in wire.fields]
        _set_zeros(struct, zeros)
        struct.make = partial(_make_dict, names)
        struct.by_position = False

    def _untyped_zero(self, type_id: int) -> "_Zero":
        kind = wire_type(self._definitions, type_id).kind
        if kind is Kind.SLICE:
            return list, True
        if kind is Kind.MAP:
            return dict, True
        if kind is Kind.BYTES:
            return b"", False
        # Of other types only nil pointers are omitted.
        return (Type(kind, kind).zero() if kind in _SCALARS else None), False

    def _fill(self, struct: StructReader, wire: WireType, wanted: Type) -> None:
        matches = _match_names([name for name, _ in wire.fields], wanted.fields)
        if wire.fields and wanted.fields and not matches:
            raise GobDecodeError(f"no field of {wanted.name} is in {_in_words(wire)}")
        fields = []
        for number, (name, type_id) in enumerate(wire.fields):
            target = matches.get(number, -1)
            field = wanted.fields[target] if target >= 0 else None
            try:
                reader = self.build(type_id, field.type if field else None)
            except GobDecodeError as error:
                error.path = f".{name}{error.path}"
                raise
            fields.append(FieldReader(reader, target, name))
        struct.fields = tuple(fields)
        sent = set(matches.values())
        zeros = [
            _zero(field.type) if place in sent else _default(field)
            for place, field in enumerate(wanted.fields)
        ]
        _set_zeros(struct, zeros)
        struct.by_position = wanted.is_built_by_position
        struct.make = wanted.python if struct.by_position else wanted.make


#: Keys with whose hashes nobody can do much harm: those of text are secret, and of no more than a
#: few dozens of numbers they are the same.
_SPREAD: Final = {
    BASIC_IDS[kind]
    for kind in (Kind.BOOL, Kind.INT, Kind.UINT, Kind.FLOAT, Kind.STRING, Kind.BYTES)
}

#: A zero value, or what makes one; and which of the two it is.
_Zero = tuple[Any, bool]


def _zero(wanted: Type) -> _Zero:
    return (wanted.zero(), False) if wanted.is_zero_shared else (wanted.zero, True)


def _default(field: Field) -> _Zero:
    """What a field has that the other end does not know."""
    if field.default is not NO_DEFAULT:
        return field.default, False
    if field.default_factory is not None:
        return field.default_factory, True
    return _zero(field.type)


def _set_zeros(struct: StructReader, zeros: list[_Zero]) -> None:
    struct.template = [MISSING if is_made else value for value, is_made in zeros]
    struct.factories = tuple(
        (place, value) for place, (value, is_made) in enumerate(zeros) if is_made
    )


def _match_names(names: list[str], fields: tuple[Field, ...]) -> dict[int, int]:
    """For fields on the wire their places in Python: by exact names, then by folded ones."""
    exact = {field.name: place for place, field in enumerate(fields)}
    matches = {number: exact[name] for number, name in enumerate(names) if name in exact}
    taken = set(matches.values())
    similar = {
        folded(field.name): place for place, field in enumerate(fields) if place not in taken
    }
    for number, name in enumerate(names):
        if number not in matches and folded(name) in similar:
            matches[number] = similar.pop(folded(name))
    return matches


def _fit(wire: WireType, wanted: Type) -> bool:
    if wire.kind is not wanted.kind:
        return False
    if wire.kind is Kind.ARRAY:
        return wire.length == wanted.length
    if wire.kind is Kind.MARSHALER:
        return wire.form == wanted.form or (wire.form in _BINARY and wanted.form in _BINARY)
    return True


def _in_words(wire: WireType) -> str:
    described = f"{wire.kind.value} {wire.name}" if wire.name else wire.kind.value
    return f"{described} of {wire.length} elements" if wire.kind is Kind.ARRAY else described


def _make_dict(names: tuple[str, ...], values: list[Any]) -> dict[str, Any]:
    return dict(zip(names, values, strict=True))


def _unmarshaler(wire: WireType, wanted: Type | None) -> Callable[[bytes], Any]:
    if wanted is not None:
        return wanted.decode
    return _time.decode if wire.name == "Time" else bytes


_SCALARS: Final[dict[Kind, Callable[[int], Reader]]] = {
    Kind.BOOL: lambda bits: BoolReader(),
    Kind.INT: IntReader,
    Kind.UINT: UintReader,
    Kind.FLOAT: FloatReader,
    Kind.COMPLEX: ComplexReader,
    Kind.STRING: lambda bits: StringReader(),
    Kind.INTERFACE: lambda bits: InterfaceReader(),
}
