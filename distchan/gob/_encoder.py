"""Values to bytes: definitions that the reader does not have yet, then the value."""

from typing import Any

from distchan.gob._buffers import Output
from distchan.gob._definitions import BASIC_IDS, FIRST_USER_ID, WireType, write_wire_type
from distchan.gob._errors import encoding_failed
from distchan.gob._registry import DEFAULT, Registry, infer
from distchan.gob._schema import describe
from distchan.gob._types import Kind, Type
from distchan.gob._writers import Writer

__all__ = ["Encoder", "dumps"]


class _Definition:
    """What a stream calls a type. The id is 0 while the types it consists of get theirs."""

    def __init__(self, name: str) -> None:
        self.id = 0
        self.name = name


class Encoder:
    """One end of a stream of values: each type is defined once, before its first value.

    ``item_type`` is the type of the values; with ``Any`` each value tells its own. ``registry`` has
    the names of the values of interfaces (by default those given to `register`). ``package`` is
    the Go package in which the reader has the classes: it occurs in the names of types like
    ``[]main.Job``, which Go's decoder ignores. ``first_id`` is the id of the first type: Go 1.19
    begins with 65, newer versions with 64, and readers accept both. ``definitions_first``: whether
    all definitions come before the value; Go puts those of the values of interfaces inside of it,
    in several messages, and reads both.

    Values may be nested 100 levels deep. Raises TypeError for a type that gob cannot express,
    ValueError for a ``first_id`` that gob keeps for itself.
    """

    def __init__(
        self,
        item_type: Any = Any,
        *,
        registry: Registry | None = None,
        package: str = "main",
        first_id: int = 65,
        definitions_first: bool = False,
    ) -> None:
        if first_id < FIRST_USER_ID:
            raise ValueError(f"ids of types begin at {FIRST_USER_ID}, not {first_id}")
        self._root = None if item_type is Any or item_type is object else describe(item_type)
        self._registry = registry or DEFAULT
        self._package = package
        self._first_id = first_id
        self._definitions_first = definitions_first
        self.reset()

    def reset(self) -> None:
        """Begin a new stream."""
        self._definitions: dict[object, _Definition] = {}
        self._sent: dict[object, None] = {}
        self._next_id = self._first_id
        self._mark()
        # What a value of ``item_type`` begins with, once its definitions are sent: until then None.
        self._header: bytes | None = None
        self._finished = bytearray()  # the messages before the one that is being written

    def encode(self, value: Any) -> bytes:
        """All the messages for one value.

        Raises EncodeError, and the encoder is as it was, if the value is not of the type.
        """
        self._mark()
        out = Output(self)
        try:
            if self._header is None:
                self._write_first(out, value)
            else:
                out.write_raw(self._header)
                writer = self._writer
                writer.write(out, value)
        except Exception as error:
            self.rollback()
            encoding_failed(error, self._root.root_step if self._root else "")
        except BaseException:
            self.rollback()
            raise
        message = out.take_message()
        if self._finished:
            message = bytes(self._finished) + message
            self._finished.clear()
        return message

    def rollback(self) -> None:
        """Forget the definitions in the last value's messages, which have not been sent.

        The next value brings them again. Without such definitions, or after an ``encode`` that
        failed, it does nothing.
        """
        if len(self._sent) > self._sent_before:
            self._header = None
        while len(self._definitions) > self._defined_before:
            self._definitions.popitem()
        while len(self._sent) > self._sent_before:
            self._sent.popitem()
        self._next_id = self._next_id_before
        self._finished.clear()

    def send_definitions(self) -> bytes:
        """The messages that define ``item_type``, which the values then come without.

        None are left if they were sent before. The definitions for the values of interfaces, and
        all if there is no ``item_type``, come with the values. `rollback` takes them back.
        """
        self._mark()
        if self._root is not None:
            self._send_definitions(Output(self), self._root)
        messages = bytes(self._finished)
        self._finished.clear()
        return messages

    def _mark(self) -> None:
        """Note what there is before a value, for a rollback."""
        self._defined_before = len(self._definitions)
        self._sent_before = len(self._sent)
        self._next_id_before = self._next_id

    def _write_first(self, out: Output, value: Any) -> None:
        """A value whose type may have to be defined before, or to be found out."""
        described = describe(infer(value)) if self._root is None else self._root
        self._send_definitions(out, described.base)
        header = self._id_of(described)
        if described.base.kind is not Kind.STRUCT:
            header += b"\0"
        if self._root is not None:
            self._header = header
            self._writer = described.writer
        out.write_raw(header)
        writer: Writer = described.writer
        try:
            writer.write(out, value)
        except Exception as error:
            encoding_failed(error, "" if self._root else described.root_step)

    def write_interface(self, out: Output, value: Any) -> None:
        """The value of an interface; for InterfaceWriter."""
        name, described = self._registry.name_and_type(value)
        out.write_string(name)
        self._send_definitions(out, described)
        out.write_raw(self._id_of(described))
        inner = Output(self, out)
        if described.base.kind is not Kind.STRUCT:
            inner.write_uint(0)
        writer: Writer = described.writer
        writer.write(inner, value)
        out.write_raw(inner.take_message())

    def _id_of(self, described: Type) -> bytes:
        """The id of a type as it stands before values."""
        out = Output(self)
        out.write_int(self._id(described), 64)
        return out.take()

    def _send_definitions(self, out: Output, described: Type) -> None:
        """Outer types first. Each ends the message being written, which goes on after it."""
        base = described.base
        if base.kind in BASIC_IDS or base.identity in self._sent:
            return
        if self._definitions_first:
            out = Output(self)
        self._define(base, base.name)
        wire = self._wire_type(base)
        if described.kind is Kind.POINTER and base.kind is Kind.MARSHALER:
            # Go takes the pointer for another type, which it gives an id that nobody uses.
            wire = wire._replace(name="", id=self._next_id)
            self._next_id += 1
        out.write_int(-self._id(base), 64)
        write_wire_type(out, wire)
        message = out.take_message()
        if out.parent is None:
            self._finished += message
        else:
            out.parent.write_raw(message)
        self._sent[base.identity] = None
        for part in base.parts:
            self._send_definitions(out, part)

    def _define(self, base: Type, name: str) -> None:
        """Give the type and those it consists of their ids, in the order in which Go does it.

        A struct gets its own before those of its fields, a slice, array or map after those of its
        elements. The elements of arrays and maps are not named; a type without a name of its own
        has one, as Go prints it, if it is the type of a field.
        """
        if base.kind in BASIC_IDS or base.identity in self._definitions:
            return
        definition = self._definitions[base.identity] = _Definition(name)
        if base.kind in (Kind.STRUCT, Kind.MARSHALER):
            self._assign_id(definition)
            for part in (field.type.base for field in base.fields):
                self._define(part, part.name or part.go_string(self._package))
                if part.kind not in BASIC_IDS:
                    self._assign_id(self._definitions[part.identity])
            return
        for part in base.parts:
            self._define(part.base, part.name if base.kind is Kind.SLICE else "")
        self._assign_id(definition)
        for part in base.parts:
            if part.base.kind not in BASIC_IDS:
                self._assign_id(self._definitions[part.base.identity])

    def _assign_id(self, definition: _Definition) -> None:
        if not definition.id:
            definition.id = self._next_id
            self._next_id += 1

    def _id(self, described: Type) -> int:
        base = described.base
        return BASIC_IDS.get(base.kind) or self._definitions[base.identity].id

    def _wire_type(self, base: Type) -> WireType:
        definition = self._definitions[base.identity]
        return WireType(
            base.kind,
            definition.name,
            definition.id,
            elem=self._id(base.elem) if base.elem else 0,
            key=self._id(base.key) if base.key else 0,
            length=base.length,
            fields=tuple((field.name, self._id(field.type)) for field in base.fields),
            form=base.form,
        )


def dumps(value: Any, item_type: Any = Any, *, registry: Registry | None = None) -> bytes:
    """A stream of its own for one value: the definitions it needs, and the value.

    Without ``item_type`` the value tells its type. Raises EncodeError if the value is not of the
    type, TypeError for a type that gob cannot express.
    """
    return Encoder(item_type, registry=registry).encode(value)
