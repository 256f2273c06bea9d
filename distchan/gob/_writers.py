"""Writers: one object per type that knows how its values are written.

They are built once per type (see ``_types.py``) and hold no state of a stream, so all encoders
share them. What depends on the stream, the values of interfaces, goes to the encoder by way of
``Output.session``.
"""

from collections.abc import Callable
from typing import Any, Final

from distchan.gob._buffers import Output
from distchan.gob._errors import GobEncodeError, encoding_failed

__all__ = [
    "MAX_DEPTH",
    "ArrayWriter",
    "BoolWriter",
    "BytesWriter",
    "ComplexWriter",
    "FloatWriter",
    "IntWriter",
    "InterfaceWriter",
    "MapWriter",
    "MarshalerWriter",
    "PointerWriter",
    "SliceWriter",
    "StringWriter",
    "StructWriter",
    "TypedDictWriter",
    "UintWriter",
    "Writer",
]

#: How deeply values may be nested. One that contains itself is nested without end.
MAX_DEPTH: Final = 100


class Writer:
    """Writes the values of one type."""

    def write(self, out: Output, value: Any) -> None:
        """The value, whether it is zero or not."""
        raise NotImplementedError

    def write_field(self, out: Output, delta: int, value: Any) -> bool:
        """The value as a field of a struct, after ``delta``; False if Go omits it."""
        out.write_uint(delta)
        self.write(out, value)
        return True


class _ScalarWriter(Writer):
    """Of types whose zero is a single zero byte. Structs omit it."""

    def write_field(self, out: Output, delta: int, value: Any) -> bool:
        start = out.size()
        out.write_uint(delta)
        middle = out.size()
        self.write(out, value)
        if out.is_zero_since(middle):
            out.truncate(start)
            return False
        return True


class BoolWriter(_ScalarWriter):
    def write(self, out: Output, value: Any) -> None:
        out.write_bool(value)


class IntWriter(_ScalarWriter):
    def __init__(self, bits: int) -> None:
        self.bits = bits

    def write(self, out: Output, value: Any) -> None:
        out.write_int(value, self.bits)


class UintWriter(_ScalarWriter):
    def __init__(self, bits: int) -> None:
        self.bits = bits

    def write(self, out: Output, value: Any) -> None:
        out.write_unsigned(value, self.bits)


class FloatWriter(Writer):
    def __init__(self, bits: int) -> None:
        self.bits = bits

    def write(self, out: Output, value: Any) -> None:
        out.write_float(value, self.bits)

    def write_field(self, out: Output, delta: int, value: Any) -> bool:
        if value == 0:  # -0.0, too, which is not a zero byte
            return False
        out.write_uint(delta)
        out.write_float(value, self.bits)
        return True


class ComplexWriter(Writer):
    """``bits`` are those of each of the two parts."""

    def __init__(self, bits: int) -> None:
        self.bits = bits

    def write(self, out: Output, value: Any) -> None:
        try:
            number = complex(value) if not isinstance(value, str) else None
        except (TypeError, OverflowError):
            number = None
        if number is None:
            raise GobEncodeError(f"a complex is needed, not {type(value).__name__}")
        out.write_float(number.real, self.bits)
        out.write_float(number.imag, self.bits)

    def write_field(self, out: Output, delta: int, value: Any) -> bool:
        if value == 0:
            return False
        out.write_uint(delta)
        self.write(out, value)
        return True


class StringWriter(_ScalarWriter):
    def write(self, out: Output, value: Any) -> None:
        out.write_string(value)


class BytesWriter(_ScalarWriter):
    """Of bytes-like objects, and of sequences of small numbers, which are the same in Go."""

    def write(self, out: Output, value: Any) -> None:
        if isinstance(value, (list, tuple)):
            try:
                value = bytes(value)
            except (TypeError, ValueError) as error:
                raise GobEncodeError(f"no list of uint8: {error}") from None
        out.write_bytes(value)


class PointerWriter(Writer):
    """``None`` or a value. In a struct Go omits a pointer to zero as well."""

    def __init__(self, elem: Writer) -> None:
        self.elem = elem

    def write(self, out: Output, value: Any) -> None:
        if value is None:
            raise GobEncodeError("gob has no nil pointer here, only in a field of a struct")
        self.elem.write(out, value)

    def write_field(self, out: Output, delta: int, value: Any) -> bool:
        return value is not None and self.elem.write_field(out, delta, value)


class InterfaceWriter(Writer):
    """``None`` or a value whose type has a registered name."""

    def write(self, out: Output, value: Any) -> None:
        if value is None:
            out.write_uint(0)
        else:
            _enter(out)
            out.session.write_interface(out, value)
            out.depth -= 1

    def write_field(self, out: Output, delta: int, value: Any) -> bool:
        if value is None:
            return False
        out.write_uint(delta)
        self.write(out, value)
        return True


class SliceWriter(Writer):
    """Lists and tuples of any length."""

    elem: Writer  # set after the object is made, for types that contain themselves

    def write(self, out: Output, value: Any) -> None:
        if not isinstance(value, (list, tuple)):
            raise GobEncodeError(f"a list or tuple is needed, not {type(value).__name__}")
        out.write_uint(len(value))
        self.write_elements(out, value)

    def write_field(self, out: Output, delta: int, value: Any) -> bool:
        if isinstance(value, (list, tuple)) and not value:
            return False
        out.write_uint(delta)
        self.write(out, value)
        return True

    def write_elements(self, out: Output, value: Any) -> None:
        _enter(out)
        elem = self.elem
        count = len(value)
        index = 0
        try:
            for item in value:
                elem.write(out, item)
                index += 1
        except Exception as error:
            encoding_failed(error, f"[{index}]")
        if index != count:
            raise GobEncodeError("the list changed while it was encoded")
        out.depth -= 1


class ArrayWriter(SliceWriter):
    """Lists and tuples of one length. Never omitted."""

    def __init__(self, length: int) -> None:
        self.length = length

    def write(self, out: Output, value: Any) -> None:
        if not isinstance(value, (list, tuple)):
            raise GobEncodeError(f"a tuple or list is needed, not {type(value).__name__}")
        if len(value) != self.length:
            raise GobEncodeError(f"{self.length} elements are needed, not {len(value)}")
        out.write_uint(self.length)
        self.write_elements(out, value)

    def write_field(self, out: Output, delta: int, value: Any) -> bool:
        out.write_uint(delta)
        self.write(out, value)
        return True


class MapWriter(Writer):
    """Dicts, in their order. An empty one is not omitted: Go omits nil maps only."""

    key: Writer
    elem: Writer

    def write(self, out: Output, value: Any) -> None:
        if not isinstance(value, dict):
            raise GobEncodeError(f"a dict is needed, not {type(value).__name__}")
        _enter(out)
        out.write_uint(len(value))
        key: Any = None
        try:
            for key, item in value.items():
                self.key.write(out, key)
                self.elem.write(out, item)
        except Exception as error:
            encoding_failed(error, f"[{key!r:.100}]")
        out.depth -= 1


class StructWriter(Writer):
    """Instances of ``cls``, with an attribute for each field."""

    cls: type
    names: tuple[str, ...]  # of the attributes
    steps: tuple[str, ...]  # the same in a path: ".id"
    writers: tuple[Writer, ...]

    def write(self, out: Output, value: Any) -> None:
        if not isinstance(value, self.cls):
            raise GobEncodeError(f"{self.cls.__name__} is needed, not {type(value).__name__}")
        _enter(out)
        delta = 1
        index = 0
        count = len(self.names)
        try:
            while index < count:
                item = getattr(value, self.names[index])
                writer = self.writers[index]
                if writer.write_field(out, delta, item):
                    delta = 1
                else:
                    delta += 1
                index += 1
        except Exception as error:
            encoding_failed(error, self.steps[index])
        out.write_uint(0)
        out.depth -= 1


class TypedDictWriter(StructWriter):
    """Dicts with a key for each field; one that is missing is zero, so it is omitted."""

    def write(self, out: Output, value: Any) -> None:
        if not isinstance(value, dict):
            raise GobEncodeError(f"a dict is needed, not {type(value).__name__}")
        _enter(out)
        delta = 1
        index = 0
        try:
            for name, writer in zip(self.names, self.writers, strict=True):
                if name in value and writer.write_field(out, delta, value[name]):
                    delta = 1
                else:
                    delta += 1
                index += 1
        except Exception as error:
            encoding_failed(error, self.steps[index])
        out.write_uint(0)
        out.depth -= 1


class MarshalerWriter(Writer):
    """Values that turn themselves into bytes; in a struct, those equal to ``zero`` are omitted."""

    def __init__(self, encode: Callable[[Any], bytes | str], zero: Any) -> None:
        self.encode = encode
        self.zero = zero

    def write(self, out: Output, value: Any) -> None:
        data = self.encode(value)
        if isinstance(data, str):
            out.write_string(data)
        else:
            out.write_bytes(data)

    def write_field(self, out: Output, delta: int, value: Any) -> bool:
        if self.zero is not None and value == self.zero:
            return False
        out.write_uint(delta)
        self.write(out, value)
        return True


def _enter(out: Output) -> None:
    out.depth += 1
    if out.depth > MAX_DEPTH:
        raise GobEncodeError(f"nested more than {MAX_DEPTH} levels deep, or contains itself")
