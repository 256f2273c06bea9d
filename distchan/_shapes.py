"""Shapes: what the values of an item type look like on the wire.

Each end describes its item types in the handshake. The two descriptions decide whether values of
the sender could ever decode at the receiver; if not, the connection is refused in words instead
of failing at the first item. Class names play no part in it: only the structure counts.

The answer errs on the side of "they fit". What a shape leaves out (bounds, patterns, lengths, time
zones, the strings of JSON keys) can still make a single item undecodable. One thing is judged
more strictly: types that agree only on empty or abridged values (``list[int]`` and ``list[str]``
on ``[]``) do not fit, since no element would ever decode.

The rules follow msgspec in strict mode. An int decodes as a float, but 5.0 does not as an int.
"""

import enum
import typing
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import inspect

from distchan._typecheck import type_name

__all__ = ["MAX_NODES", "Field", "Node", "NodeKind", "Shape", "compatible", "describe"]

#: The largest table of a shape. A type that needs a larger one is described as ANY.
MAX_NODES: Final = 1_000
#: A type whose shape has more bytes than this when encoded is described as ANY: two shapes and
#: the rest of a HELLO must fit a control frame.
_MAX_ENCODED_SIZE: Final = 24 * 1024
_MAX_NAME_LENGTH: Final = 200
#: Comparing is given up, in favour of "they fit", after about so many elementary steps. Real
#: types need a few hundred; it is there for tables made to keep us busy.
_MAX_STEPS: Final = 100_000


class NodeKind(enum.StrEnum):
    """What stands on the wire. The strings are part of the protocol."""

    ANY = "any"
    NIL = "nil"
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    STR = "str"
    BYTES = "bytes"
    BASE64 = "base64"
    """Bytes in JSON, which are a string."""
    DATETIME = "datetime"
    DATE = "date"
    TIME = "time"
    TIMEDELTA = "timedelta"
    UUID = "uuid"
    DECIMAL = "decimal"
    EXT = "ext"
    LITERAL = "literal"
    """One of ``values``: an enum or a Literal."""
    LIST = "list"
    """An array of any length; ``parts``: its element."""
    TUPLE = "tuple"
    """An array by position; ``parts``: its elements, of which ``required`` must be there."""
    MAP = "map"
    """``parts``: its key and its value."""
    OBJECT = "object"
    """A map from names to values: ``fields``."""
    UNION = "union"
    """One of ``parts``."""


class Field(msgspec.Struct, frozen=True, array_like=True):
    """A field of an OBJECT."""

    name: str
    node: int
    """Where its node is in the table."""
    required: bool
    """Whether it must be there for a value to decode."""
    always: bool
    """Whether it is there in every value that is sent."""


class Node(msgspec.Struct, frozen=True, omit_defaults=True):
    """One type in the table of a shape; it refers to others by their place in the table."""

    kind: NodeKind
    parts: tuple[int, ...] = ()
    fields: tuple[Field, ...] = ()
    values: tuple[int | str | bool | None, ...] = ()
    required: int = 0
    open: bool = False
    """TUPLE, OBJECT: whether further elements or fields are ignored instead of refused."""


class Shape(msgspec.Struct, frozen=True):
    """The structure of an item type, as it travels in the handshake.

    Raises ValueError when built, or decoded, from a table that is too large or does not hold
    together: shapes come from peers.
    """

    name: str
    """The type as people write it; for messages only."""
    nodes: tuple[Node, ...]
    """The table; its first node is the item."""

    def __post_init__(self) -> None:
        if len(self.name) > _MAX_NAME_LENGTH or not self.name.isprintable():
            raise ValueError("the name of a shape is too long or not printable")
        if not 1 <= len(self.nodes) <= MAX_NODES:
            raise ValueError(f"a shape has 1 to {MAX_NODES} nodes, not {len(self.nodes)}")
        for node in self.nodes:
            if not _is_sound(node, len(self.nodes)):
                raise ValueError(f"a shape has an invalid node of the kind {node.kind.value!r}")


def _is_sound(node: Node, table_size: int) -> bool:
    match node.kind:
        case NodeKind.LIST:
            complete = len(node.parts) == 1
        case NodeKind.MAP:
            complete = len(node.parts) == 2
        case NodeKind.UNION:
            complete = len(node.parts) > 0
        case NodeKind.LITERAL:
            complete = len(node.values) > 0
        case NodeKind.TUPLE:
            complete = 0 <= node.required <= len(node.parts)
        case _:
            complete = True
    references = (*node.parts, *(field.node for field in node.fields))
    return complete and all(0 <= reference < table_size for reference in references)


# --- From a type to its shape ---------------------------------------------------------------------


def describe(item_type: object, codec_name: str) -> Shape:
    """The shape of an item type as the named codec writes it.

    Only "msgpack", "json" and "gob" have a structure; all others, and types too large to describe,
    are ANY. The codec must be able to carry the type (see `distchan.codecs.resolve`).
    """
    name = _printable(type_name(item_type))
    nodes = _nodes(item_type, codec_name)
    if len(nodes) <= MAX_NODES:
        shape = Shape(name, tuple(nodes))
        if len(msgspec.msgpack.encode(shape)) <= _MAX_ENCODED_SIZE:
            return shape
    return Shape(name, (_ANY,))


def _nodes(item_type: object, codec_name: str) -> list[Node]:
    if codec_name in ("msgpack", "json"):
        return _Table(is_json=codec_name == "json").build(inspect.type_info(item_type))
    if codec_name == "gob":
        from distchan.gob import _shape  # which the other codecs do without

        return _shape.nodes(item_type)
    return [_ANY]


def _printable(name: str) -> str:
    name = "".join(c if c.isprintable() else "?" for c in name)
    return name if len(name) <= _MAX_NAME_LENGTH else name[: _MAX_NAME_LENGTH - 3] + "..."


_ANY: Final = Node(NodeKind.ANY)

_SCALARS: Final[dict[type[inspect.Type], NodeKind]] = {
    inspect.AnyType: NodeKind.ANY,
    inspect.RawType: NodeKind.ANY,
    inspect.CustomType: NodeKind.ANY,
    inspect.NoneType: NodeKind.NIL,
    inspect.BoolType: NodeKind.BOOL,
    inspect.IntType: NodeKind.INT,
    inspect.FloatType: NodeKind.FLOAT,
    inspect.StrType: NodeKind.STR,
    inspect.BytesType: NodeKind.BYTES,
    inspect.ByteArrayType: NodeKind.BYTES,
    inspect.MemoryViewType: NodeKind.BYTES,
    inspect.DateTimeType: NodeKind.DATETIME,
    inspect.DateType: NodeKind.DATE,
    inspect.TimeType: NodeKind.TIME,
    inspect.TimeDeltaType: NodeKind.TIMEDELTA,
    inspect.UUIDType: NodeKind.UUID,
    inspect.DecimalType: NodeKind.DECIMAL,
    inspect.ExtType: NodeKind.EXT,
}


class _Table:
    """Builds the table of one type, breadth first, so that no type is too deep for it."""

    def __init__(self, *, is_json: bool) -> None:
        self._is_json = is_json
        self._places: dict[object, int] = {}
        self._to_describe: list[Callable[[], Node]] = []

    def build(self, info: inspect.Type) -> list[Node]:
        """The nodes, the first being ``info``; more than MAX_NODES if they are too many."""
        self._type(info)
        nodes: list[Node] = []
        # Describing a node may append others.
        while len(nodes) < len(self._to_describe) and len(nodes) <= MAX_NODES:
            nodes.append(self._to_describe[len(nodes)]())
        return nodes

    def _place(self, key: object, describe_node: Callable[[], Node]) -> int:
        place = self._places.setdefault(key, len(self._to_describe))
        if place == len(self._to_describe):
            self._to_describe.append(describe_node)
        return place

    def _simple(self, node: Node) -> int:
        return self._place(node, lambda: node)

    def _type(self, info: inspect.Type, *, told_by_tag: bool = False) -> int:
        """The place of a type. A Struct may be one of several that only their tags tell apart."""
        if isinstance(info, inspect.Metadata):
            info = info.type
        kind = _SCALARS.get(type(info))
        if kind is NodeKind.BYTES and self._is_json:
            kind = NodeKind.BASE64
        if kind is not None:
            return self._simple(Node(kind))
        # A recursive type contains itself as the same object; all of them live as long as the
        # outermost, so their ids do not come back.
        key = (id(info), told_by_tag)
        return self._place(key, lambda: self._compound(info, told_by_tag=told_by_tag))

    def _types(self, infos: Iterable[inspect.Type]) -> tuple[int, ...]:
        return tuple(map(self._type, infos))

    def _compound(self, info: inspect.Type, *, told_by_tag: bool) -> Node:
        match info:
            case inspect.UnionType(types):
                several = sum(isinstance(option, inspect.StructType) for option in types) > 1
                return Node(
                    NodeKind.UNION,
                    tuple(self._type(option, told_by_tag=several) for option in types),
                )
            case inspect.LiteralType(values):
                return Node(NodeKind.LITERAL, values=values)
            case inspect.EnumType(cls):
                return _describe_enum(cls)
            case inspect.TupleType(item_types):
                parts = self._types(item_types)
                return Node(NodeKind.TUPLE, parts, required=len(parts))
            case inspect.CollectionType(item_type):
                return Node(NodeKind.LIST, (self._type(item_type),))
            case inspect.DictType(key_type, value_type):
                # Keys in JSON are strings, whatever they were.
                key = self._simple(_ANY) if self._is_json else self._type(key_type)
                return Node(NodeKind.MAP, (key, self._type(value_type)))
            case inspect.NamedTupleType(_, fields):
                return self._positional(fields)
            case inspect.StructType(_, fields, array_like=True):
                is_open = not info.forbid_unknown_fields
                return self._positional(fields, tag=self._tag(info), is_open=is_open)
            case inspect.StructType():
                return self._struct(info, told_by_tag=told_by_tag)
            case inspect.DataclassType(cls, fields) | inspect.TypedDictType(cls, fields):
                # With a default, a field may be missing from what is sent: NotRequired, or a
                # default that is kept in the class alone.
                described = self._fields(cls, fields, always={f.name for f in fields if f.required})
                return Node(NodeKind.OBJECT, fields=described, open=True)
        return _ANY  # a type of a later msgspec

    def _positional(
        self, fields: tuple[inspect.Field, ...], tag: int | None = None, is_open: bool = False
    ) -> Node:
        first = () if tag is None else (tag,)
        last_required = max((i for i, field in enumerate(fields, 1) if field.required), default=0)
        return Node(
            NodeKind.TUPLE,
            first + self._types(field.type for field in fields),
            required=len(first) + last_required,
            open=is_open,
        )

    def _struct(self, info: inspect.StructType, *, told_by_tag: bool) -> Node:
        omits = _class(info.cls).__struct_config__.omit_defaults
        always = {field.name for field in info.fields if field.required or not omits}
        fields = self._fields(info.cls, info.fields, always)
        tag = self._tag(info)
        if tag is not None:
            assert info.tag_field is not None
            # Where no other Struct can be meant, it decodes without its tag as well.
            fields = (Field(info.tag_field, tag, required=told_by_tag, always=True), *fields)
        return Node(NodeKind.OBJECT, fields=fields, open=not info.forbid_unknown_fields)

    def _tag(self, info: inspect.StructType) -> int | None:
        if info.tag is None:
            return None
        return self._simple(Node(NodeKind.LITERAL, values=(info.tag,)))

    def _fields(
        self, cls: type, fields: tuple[inspect.Field, ...], always: set[str]
    ) -> tuple[Field, ...]:
        always = always - _names_that_may_be_unset(cls)
        return tuple(
            Field(f.encode_name, self._type(f.type), f.required, f.name in always) for f in fields
        )


def _class(cls: Any) -> Any:
    """The class itself, where msgspec has kept a generic one with its arguments."""
    return typing.get_origin(cls) or cls


def _names_that_may_be_unset(cls: type) -> set[str]:
    """The fields annotated ``... | UnsetType``, which msgspec's description does not tell."""
    hints = typing.get_type_hints(_class(cls))
    return {name for name, hint in hints.items() if msgspec.UnsetType in typing.get_args(hint)}


def _describe_enum(cls: type[enum.Enum]) -> Node:
    values = tuple(member.value for member in cls)
    if any("_missing_" in vars(base) for base in cls.__mro__ if base is not enum.Enum):
        # It makes members of other values as well, as enum.Flag does of combined flags.
        is_int = all(isinstance(value, int) for value in values)
        return Node(NodeKind.INT if is_int else NodeKind.STR)
    return Node(NodeKind.LITERAL, values=values)


# --- Whether two shapes fit -----------------------------------------------------------------------


class _Wire(enum.Flag):
    """Classes of scalar values that a decoder tells apart."""

    NIL = enum.auto()
    BOOL = enum.auto()
    INT = enum.auto()
    FLOAT = enum.auto()
    BINARY = enum.auto()
    EXT = enum.auto()
    TIMESTAMP = enum.auto()
    """msgpack's own extension type, of a datetime with a time zone."""
    DATETIME = enum.auto()
    """From here on: strings, by what they can be read as."""
    DATE = enum.auto()
    TIME = enum.auto()
    TIMEDELTA = enum.auto()
    UUID = enum.auto()
    NUMBER = enum.auto()
    BASE64 = enum.auto()
    OTHER_TEXT = enum.auto()
    TEXT = DATETIME | DATE | TIME | TIMEDELTA | UUID | NUMBER | BASE64 | OTHER_TEXT


#: What may be on the wire for a value of this kind ...
_EMITS: Final[dict[NodeKind, _Wire]] = {
    NodeKind.NIL: _Wire.NIL,
    NodeKind.BOOL: _Wire.BOOL,
    NodeKind.INT: _Wire.INT,
    NodeKind.FLOAT: _Wire.FLOAT | _Wire.NIL,  # JSON has null for NaN
    NodeKind.STR: _Wire.TEXT,
    NodeKind.BYTES: _Wire.BINARY,
    # Letters and digits: also read as "PT5S", "1234" and 32 hexadecimal digits.
    NodeKind.BASE64: _Wire.BASE64 | _Wire.TIMEDELTA | _Wire.NUMBER | _Wire.UUID,
    NodeKind.DATETIME: _Wire.DATETIME | _Wire.TIMESTAMP,
    NodeKind.DATE: _Wire.DATE,
    NodeKind.TIME: _Wire.TIME,
    NodeKind.TIMEDELTA: _Wire.TIMEDELTA | _Wire.BASE64,
    NodeKind.UUID: _Wire.UUID,
    NodeKind.DECIMAL: _Wire.NUMBER | _Wire.UUID | _Wire.BASE64,
    NodeKind.EXT: _Wire.EXT | _Wire.TIMESTAMP,
}

#: ... and what decodes as one.
_ACCEPTS: Final[dict[NodeKind, _Wire]] = {
    NodeKind.NIL: _Wire.NIL,
    NodeKind.BOOL: _Wire.BOOL,
    NodeKind.INT: _Wire.INT,
    NodeKind.FLOAT: _Wire.FLOAT | _Wire.INT,
    NodeKind.STR: _Wire.TEXT,
    NodeKind.BYTES: _Wire.BINARY,
    NodeKind.BASE64: _Wire.BASE64,
    NodeKind.DATETIME: _Wire.DATETIME | _Wire.TIMESTAMP,
    NodeKind.DATE: _Wire.DATE,
    NodeKind.TIME: _Wire.TIME,
    NodeKind.TIMEDELTA: _Wire.TIMEDELTA,
    NodeKind.UUID: _Wire.UUID | _Wire.BINARY,
    NodeKind.DECIMAL: _Wire.NUMBER | _Wire.INT | _Wire.FLOAT,
    NodeKind.EXT: _Wire.EXT | _Wire.TIMESTAMP,
}


def _values(node: Node) -> set[tuple[type, object]]:
    """The values of a LITERAL; True is not 1 on the wire, though equal in Python."""
    return {(type(value), value) for value in node.values}


def _literal_classes(node: Node) -> _Wire:
    classes = _Wire(0)
    for value in node.values:
        if value is None:
            classes |= _Wire.NIL
        elif isinstance(value, bool):
            classes |= _Wire.BOOL
        else:
            classes |= _Wire.INT if isinstance(value, int) else _Wire.TEXT
    return classes


def _emits(node: Node) -> _Wire:
    if node.kind is NodeKind.LITERAL:
        return _literal_classes(node)
    return _EMITS.get(node.kind, _Wire(0))


def _accepts(node: Node) -> _Wire:
    if node.kind is NodeKind.LITERAL:
        return _literal_classes(node)
    return _ACCEPTS.get(node.kind, _Wire(0))


#: A node of the sender and one of the receiver, by their places.
_Pair = tuple[int, int]


class _Demand(NamedTuple):
    """Which other pairs must fit for a pair to fit: every one of them, or any."""

    every: bool
    pairs: tuple[_Pair, ...]


_FITS: Final = _Demand(True, ())
_NEVER: Final = _Demand(False, ())


def compatible(sender: Shape, receiver: Shape) -> bool:
    """Whether values of the sender's type could ever decode as the receiver's.

    Both shapes must come from the same codec. The work is bounded, whatever the shapes.
    """
    return _Comparison(sender, receiver).outcome()


class _Comparison:
    """Finds out which pairs of nodes fit.

    Types may contain themselves, so every pair is presumed to fit; then those that demand what is
    not so are struck out, and those that depended on them, until no more fall.
    """

    def __init__(self, sender: Shape, receiver: Shape) -> None:
        # One more node each: the names of an object's fields, to compare with the keys of a map.
        self._sender = (*sender.nodes, Node(NodeKind.STR))
        self._receiver = (*receiver.nodes, Node(NodeKind.STR))

    def outcome(self) -> bool:
        demands = self._explore()
        return demands is None or (0, 0) not in _unfit(demands)

    def _explore(self) -> dict[_Pair, _Demand] | None:
        """The demands of all pairs that matter to the outermost; None if they are too many."""
        demands: dict[_Pair, _Demand] = {}
        pending = [(0, 0)]
        steps = 0
        while pending:
            pair = pending.pop()
            if pair in demands:
                continue
            sender, receiver = self._sender[pair[0]], self._receiver[pair[1]]
            demand = demands[pair] = self._demand(pair, sender, receiver)
            pending.extend(demand.pairs)
            steps += _size(sender) + _size(receiver) + len(demand.pairs)
            if steps > _MAX_STEPS:
                return None
        return demands

    def _demand(self, pair: _Pair, sender: Node, receiver: Node) -> _Demand:
        match sender.kind, receiver.kind:
            case (NodeKind.ANY, _) | (_, NodeKind.ANY):
                return _FITS
            case NodeKind.UNION, _:
                return _Demand(False, tuple((part, pair[1]) for part in sender.parts))
            case _, NodeKind.UNION:
                return _Demand(False, tuple((pair[0], part) for part in receiver.parts))
            case NodeKind.LITERAL, NodeKind.LITERAL:
                return _FITS if _values(sender) & _values(receiver) else _NEVER
            case NodeKind.LIST, NodeKind.LIST:
                return _Demand(True, ((sender.parts[0], receiver.parts[0]),))
            case NodeKind.LIST, NodeKind.TUPLE:
                element, needed = sender.parts[0], receiver.parts[: receiver.required]
                return _Demand(True, tuple((element, part) for part in needed))
            case NodeKind.TUPLE, NodeKind.LIST:
                return _Demand(True, tuple((part, receiver.parts[0]) for part in sender.parts))
            case NodeKind.TUPLE, NodeKind.TUPLE:
                return _tuple_to_tuple(sender, receiver)
            case NodeKind.MAP, NodeKind.MAP:
                return _Demand(True, tuple(zip(sender.parts, receiver.parts, strict=True)))
            case NodeKind.MAP, NodeKind.OBJECT:
                return self._map_to_object(sender, receiver)
            case NodeKind.OBJECT, NodeKind.MAP:
                return self._object_to_map(sender, receiver)
            case NodeKind.OBJECT, NodeKind.OBJECT:
                return _object_to_object(sender, receiver)
            case _:
                return _FITS if _emits(sender) & _accepts(receiver) else _NEVER

    def _map_to_object(self, sender: Node, receiver: Node) -> _Demand:
        key, value = sender.parts
        names = (key, len(self._receiver) - 1)
        needed = ((value, field.node) for field in receiver.fields if field.required)
        return _Demand(True, (names, *needed))

    def _object_to_map(self, sender: Node, receiver: Node) -> _Demand:
        key, value = receiver.parts
        names = (len(self._sender) - 1, key)
        sent = ((field.node, value) for field in sender.fields if field.always)
        return _Demand(True, (names, *sent))


def _size(node: Node) -> int:
    return 1 + len(node.parts) + len(node.fields) + len(node.values)


def _tuple_to_tuple(sender: Node, receiver: Node) -> _Demand:
    length = len(sender.parts)
    if length < receiver.required or (length > len(receiver.parts) and not receiver.open):
        return _NEVER
    return _Demand(True, tuple(zip(sender.parts, receiver.parts, strict=False)))


def _object_to_object(sender: Node, receiver: Node) -> _Demand:
    sent = {field.name: field for field in sender.fields}
    known = {field.name: field for field in receiver.fields}
    if any(field.required and field.name not in sent for field in receiver.fields):
        return _NEVER
    if not receiver.open and any(f.always and f.name not in known for f in sender.fields):
        return _NEVER
    return _Demand(
        True, tuple((sent[name].node, known[name].node) for name in known if name in sent)
    )


def _unfit(demands: dict[_Pair, _Demand]) -> set[_Pair]:
    """The pairs that do not fit: those without a hope, and whoever depends on them."""
    dependents: defaultdict[_Pair, list[_Pair]] = defaultdict(list)
    for pair, demand in demands.items():
        for other in demand.pairs:
            dependents[other].append(pair)
    hopes = {pair: len(demand.pairs) for pair, demand in demands.items() if not demand.every}
    struck_out = [pair for pair, count in hopes.items() if count == 0]
    unfit = set(struck_out)
    while struck_out:
        for dependent in dependents[struck_out.pop()]:
            if dependent in hopes:
                hopes[dependent] -= 1
                if hopes[dependent] > 0:
                    continue
            if dependent not in unfit:
                unfit.add(dependent)
                struck_out.append(dependent)
    return unfit
