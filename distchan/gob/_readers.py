"""Readers: one object per pair of a type on the wire and a Python type.

``_matching.py`` builds them when a stream first uses the pair. Each can also pass over a value
without making anything of it, for the fields that the Python type does not have.
"""

from collections.abc import Callable
from typing import Any, Final

from distchan.gob._buffers import Input
from distchan.gob._errors import GobDecodeError, decoding_failed
from distchan.gob._making import make

__all__ = [
    "MISSING",
    "ArrayReader",
    "BoolReader",
    "BytesReader",
    "ComplexReader",
    "FieldReader",
    "FloatReader",
    "IntReader",
    "InterfaceReader",
    "MapReader",
    "MarshalerReader",
    "Reader",
    "SliceReader",
    "StringReader",
    "StructReader",
    "UintReader",
]

#: How many keys of a map may have a hash that another one has, too.
_MOST_COLLIDING: Final = 200

#: In the place of a value that each struct needs anew.
MISSING: Final[Any] = object()


class Reader:
    """Reads the values of one type."""

    def read(self, source: Input) -> Any:
        """The value at the position. GobDecodeError if there is none."""
        raise NotImplementedError

    def skip(self, source: Input) -> None:
        """Pass over the value at the position."""
        raise NotImplementedError


class _NumberReader(Reader):
    def skip(self, source: Input) -> None:
        source.read_uint()


class BoolReader(_NumberReader):
    def read(self, source: Input) -> Any:
        return source.read_bool()


class IntReader(_NumberReader):
    def __init__(self, bits: int) -> None:
        self.bits = bits

    def read(self, source: Input) -> Any:
        return source.read_int(self.bits)


class UintReader(_NumberReader):
    def __init__(self, bits: int) -> None:
        self.bits = bits

    def read(self, source: Input) -> Any:
        return source.read_unsigned(self.bits)


class FloatReader(_NumberReader):
    def __init__(self, bits: int) -> None:
        self.bits = bits

    def read(self, source: Input) -> Any:
        return source.read_float(self.bits)


class ComplexReader(Reader):
    def __init__(self, bits: int) -> None:
        self.bits = bits

    def read(self, source: Input) -> Any:
        real = source.read_float(self.bits)
        return complex(real, source.read_float(self.bits))

    def skip(self, source: Input) -> None:
        source.read_uint()
        source.read_uint()


class _CountedReader(Reader):
    def skip(self, source: Input) -> None:
        source.skip_bytes()


class StringReader(_CountedReader):
    def read(self, source: Input) -> Any:
        return source.read_string()


class BytesReader(_CountedReader):
    """``make`` turns bytes into what is wanted; None if that is bytes."""

    def __init__(self, make: Callable[[bytes], Any] | None) -> None:
        self.make = make

    def read(self, source: Input) -> Any:
        data = source.read_bytes()
        if self.make is None:
            return data
        source.spend(len(data))
        return self.make(data)


class MarshalerReader(_CountedReader):
    """Bytes that the class itself understands."""

    def __init__(self, decode: Callable[[bytes], Any]) -> None:
        self.decode = decode

    def read(self, source: Input) -> Any:
        start = source.position
        data = source.read_bytes()
        try:
            return self.decode(data)
        except Exception as error:
            decoding_failed(error, "", start)


class InterfaceReader(Reader):
    """None, or a value with the name of its type."""

    def read(self, source: Input) -> Any:
        source.enter(0)
        value = source.session.read_interface(source)
        source.leave()
        return value

    def skip(self, source: Input) -> None:
        source.enter(0)
        source.session.skip_interface(source)
        source.leave()


class SliceReader(Reader):
    """Any number of elements. ``make`` turns a list into what is wanted; None if that is a list."""

    elem: Reader  # set after the object is made, for types that contain themselves

    def __init__(self, make: Callable[[list[Any]], Any] | None) -> None:
        self.make = make

    def read(self, source: Input) -> Any:
        count = self.read_count(source)
        source.enter(count)
        values: list[Any] = []
        elem = self.elem
        try:
            while count:
                values.append(elem.read(source))
                count -= 1
        except Exception as error:
            decoding_failed(error, f"[{len(values)}]", source.position)
        source.leave()
        return values if self.make is None else self.make(values)

    def skip(self, source: Input) -> None:
        source.enter(0)
        count = self.read_count(source)
        elem = self.elem
        while count:
            elem.skip(source)
            count -= 1
        source.leave()

    def read_count(self, source: Input) -> int:
        """The number of elements."""
        return source.read_count()


class ArrayReader(SliceReader):
    """So many elements as the definition said."""

    length: int

    def read_count(self, source: Input) -> int:
        start = source.position
        count = source.read_count()
        if count != self.length:
            raise GobDecodeError(f"{count} elements in an array of {self.length}", start)
        return count


class MapReader(Reader):
    """A dict. Of a key that comes twice the last value stays.

    ``collides``: it is easy to make any number of keys that have one hash, as those of numbers are
    no secret and those of tuples and structs are made of them. A dict of many takes for ever.
    """

    key: Reader
    elem: Reader

    def __init__(self, collides: bool) -> None:
        self.collides = collides

    def read(self, source: Input) -> Any:
        count = source.read_count()
        source.enter(count)
        pairs: dict[Any, Any] = {}
        hashes: set[int] = set()
        key: Any = None
        try:
            while count:
                key = self.key.read(source)
                pairs[key] = self.elem.read(source)
                count -= 1
                if self.collides:
                    hashes.add(hash(key))
                    if len(pairs) - len(hashes) > _MOST_COLLIDING:
                        raise self.too_many_collide(source)
        except Exception as error:
            decoding_failed(error, f"[{key!r:.100}]", source.position)
        source.leave()
        return pairs

    def too_many_collide(self, source: Input) -> GobDecodeError:
        """The error for keys that share their hash with others."""
        return GobDecodeError(
            f"more than {_MOST_COLLIDING} keys share their hash with others", source.position
        )

    def skip(self, source: Input) -> None:
        source.enter(0)
        count = source.read_count()
        while count:
            self.key.skip(source)
            self.elem.skip(source)
            count -= 1
        source.leave()


class FieldReader:
    """A field on the wire: its reader, its place among the fields in Python, and its name.

    The place is -1 if the field is not known there.
    """

    def __init__(self, reader: Reader, target: int, name: str) -> None:
        self.reader = reader
        self.target = target
        self.name = name


class StructReader(Reader):
    """An instance from the values of its fields.

    ``template`` has what stands in a place that nothing is read into: MISSING if it must be made
    anew, which ``factories`` do for such places.
    """

    fields: tuple[FieldReader, ...]
    template: list[Any]
    factories: tuple[tuple[int, Callable[[], Any]], ...]
    make: Callable[..., Any]
    by_position: bool  # whether ``make`` takes the values one by one, else as a list

    def __init__(self) -> None:
        self.spare: list[Any] | None = None  # a copy of the template that nobody uses

    def read(self, source: Input) -> Any:
        source.enter(len(self.template))
        template = self.template
        values = self.spare
        if values is None:
            values = template[:]
        else:
            self.spare = None  # a struct of the same type may be inside
        number = -1
        left = len(self.fields)  # how many come after that one
        field = None
        try:
            while True:
                delta = source.read_uint()
                if delta == 0:
                    break
                if delta > left:
                    raise self.no_such_field(source)
                left -= delta
                number += delta
                field = self.fields[number]
                if field.target < 0:
                    field.reader.skip(source)
                else:
                    values[field.target] = field.reader.read(source)
                field = None
        except Exception as error:
            decoding_failed(error, f".{field.name}" if field else "", source.position)
        if self.factories:
            self.fill(values, source)
        source.leave()
        try:
            if self.by_position:
                instance = make(self.make, values, template)
            else:
                instance = self.make(values)
                values[:] = template
        except Exception as error:
            decoding_failed(error, "", source.position)
        self.spare = values
        return instance

    def fill(self, values: list[Any], source: Input) -> None:
        """Make what is still missing."""
        for target, factory in self.factories:
            if values[target] is MISSING:
                try:
                    values[target] = factory()
                except Exception as error:
                    decoding_failed(error, "", source.position)

    def skip(self, source: Input) -> None:
        source.enter(0)
        number = -1
        left = len(self.fields)  # how many come after that one
        while True:
            delta = source.read_uint()
            if delta == 0:
                break
            if delta > left:
                raise self.no_such_field(source)
            left -= delta
            number += delta
            field = self.fields[number]
            field.reader.skip(source)
        source.leave()

    def no_such_field(self, source: Input) -> GobDecodeError:
        """The error for a field that the definition does not have."""
        return GobDecodeError("a field that its definition does not have", source.position)
