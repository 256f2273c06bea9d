"""Definitions: how a stream describes the types of its values before it uses them.

A definition is a value of Go's ``wireType`` (https://pkg.go.dev/encoding/gob#hdr-Encoding_Details),
a struct with one of seven fields. Each of those is a struct as well and begins with the CommonType,
the name and the id.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from distchan.gob._buffers import Input, Output
from distchan.gob._errors import GobDecodeError
from distchan.gob._types import Form, Kind

__all__ = [
    "BASIC_IDS",
    "FIRST_USER_ID",
    "WireType",
    "read_name",
    "read_wire_type",
    "write_wire_type",
]

_LONGEST_NAME: Final = 1000

#: The ids of the types that need no definition.
BASIC_IDS: Final = {
    Kind.BOOL: 1,
    Kind.INT: 2,
    Kind.UINT: 3,
    Kind.FLOAT: 4,
    Kind.BYTES: 5,
    Kind.STRING: 6,
    Kind.COMPLEX: 7,
    Kind.INTERFACE: 8,
}
#: The least id that a stream may define.
FIRST_USER_ID: Final = 64

_ARRAY, _SLICE, _STRUCT, _MAP = range(4)
_FORMS: Final[dict[int, Form]] = {4: "gob", 5: "binary", 6: "text"}
_FORM_NUMBERS: Final = {form: number for number, form in _FORMS.items()}


class WireType(NamedTuple):
    """A definition. Types are given by their ids."""

    kind: Kind
    name: str = ""
    id: int = 0
    elem: int = 0
    key: int = 0
    length: int = 0
    fields: tuple[tuple[str, int], ...] = ()
    form: Form = "gob"


def write_wire_type(out: Output, wire: WireType) -> None:
    """Add a definition, without the negative id in front."""
    match wire.kind:
        case Kind.ARRAY:
            _begin(out, _ARRAY, wire)
            _write_int_field(out, 1, wire.elem)
            if wire.length:
                _write_int_field(out, 1, wire.length)
        case Kind.SLICE:
            _begin(out, _SLICE, wire)
            _write_int_field(out, 1, wire.elem)
        case Kind.STRUCT:
            _begin(out, _STRUCT, wire)
            if wire.fields:
                out.write_uint(1)
                out.write_uint(len(wire.fields))
                for name, type_id in wire.fields:
                    out.write_uint(1)
                    out.write_string(name)
                    _write_int_field(out, 1, type_id)
                    out.write_uint(0)
        case Kind.MAP:
            _begin(out, _MAP, wire)
            _write_int_field(out, 1, wire.key)
            _write_int_field(out, 1, wire.elem)
        case _:
            _begin(out, _FORM_NUMBERS[wire.form], wire)
    out.write_uint(0)
    out.write_uint(0)


def _begin(out: Output, number: int, wire: WireType) -> None:
    out.write_uint(number + 1)  # the difference to -1
    out.write_uint(1)  # CommonType, the first field of all
    delta = 2
    if wire.name:
        out.write_uint(1)
        out.write_string(wire.name)
        delta = 1
    _write_int_field(out, delta, wire.id)
    out.write_uint(0)


def _write_int_field(out: Output, delta: int, value: int) -> None:
    out.write_uint(delta)
    out.write_int(value, 64)


def read_wire_type(source: Input, max_fields: int) -> WireType:
    """Read a definition; the negative id has been read. GobDecodeError if it is none."""
    start = source.position
    wire: WireType | None = None
    for number in _field_numbers(source):
        if wire is not None:
            raise GobDecodeError("a definition of two types at once", start)
        if number == _STRUCT:
            wire = _read_struct(source, max_fields)
        elif number in (_ARRAY, _SLICE, _MAP) or number in _FORMS:
            wire = _read_other(source, number)
        else:
            raise GobDecodeError(f"a definition has no field {number}", start)
    if wire is None:
        raise GobDecodeError("a definition of nothing", start)
    return wire


def _read_struct(source: Input, max_fields: int) -> WireType:
    name = ""
    fields: list[tuple[str, int]] = []
    for number in _field_numbers(source):
        if number == 0:
            name, _ = _read_name_and_id(source)
        elif number == 1:
            count = source.read_count()
            if count > max_fields:
                raise GobDecodeError(f"{count} more fields than max_fields allows", source.position)
            fields = [_read_name_and_id(source) for _ in range(count)]
        else:
            raise _unknown(source, number)
    if not all(field_name for field_name, _ in fields):
        raise GobDecodeError("a field without a name", source.position)
    return WireType(Kind.STRUCT, name, fields=tuple(fields))


def _read_other(source: Input, kind_number: int) -> WireType:
    name = ""
    numbers = [0, 0, 0]  # what comes after the CommonType
    for number in _field_numbers(source):
        if number == 0:
            name, _ = _read_name_and_id(source)
        elif number < len(numbers):
            numbers[number] = source.read_int(64)
        else:
            raise _unknown(source, number)
    _, first, second = numbers
    match kind_number:
        case 0:
            return WireType(Kind.ARRAY, name, elem=first, length=second)
        case 1:
            return WireType(Kind.SLICE, name, elem=first)
        case 3:
            return WireType(Kind.MAP, name, key=first, elem=second)
    return WireType(Kind.MARSHALER, name, form=_FORMS[kind_number])


def _read_name_and_id(source: Input) -> tuple[str, int]:
    """A CommonType, or a field of a struct: they look the same."""
    name, type_id = "", 0
    for number in _field_numbers(source):
        if number == 0:
            name = read_name(source)
        elif number == 1:
            type_id = source.read_int(64)
        else:
            raise _unknown(source, number)
    return name, type_id


def read_name(source: Input) -> str:
    """The name of a type or a field: it is kept, and appears in errors."""
    start = source.position
    name = source.read_string()
    if len(name) > _LONGEST_NAME:
        raise GobDecodeError(f"a name of {len(name)} characters", start)
    return name


def _field_numbers(source: Input) -> Iterator[int]:
    number = -1
    while delta := source.read_uint():
        number += delta
        yield number


def _unknown(source: Input, number: int) -> GobDecodeError:
    return GobDecodeError(f"a definition with an unknown field {number}", source.position)
