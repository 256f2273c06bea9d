"""What the handshake says of an item type in gob, see ``distchan._shapes``.

It errs on the side of "they fit", as everywhere: widths, lengths of arrays and the difference
between signed and unsigned numbers are left out. All fields may be missing, and all others are
skipped.
"""

from typing import Any, Final

from distchan._shapes import Field, Node, NodeKind
from distchan.gob._schema import describe, folded
from distchan.gob._types import Kind, Type

__all__ = ["nodes"]

_SCALARS: Final = {
    Kind.BOOL: NodeKind.BOOL,
    Kind.INT: NodeKind.INT,
    Kind.UINT: NodeKind.INT,
    Kind.FLOAT: NodeKind.FLOAT,
    Kind.STRING: NodeKind.STR,
    Kind.BYTES: NodeKind.BYTES,
}


def nodes(item_type: Any) -> list[Node]:
    """The table of its shape."""
    table: list[Node] = []
    _add(describe(item_type), table, {})
    return table


def _add(described: Type, table: list[Node], places: dict[Type, int]) -> int:
    """The place of a type in the table. Types may contain themselves."""
    described = described.base  # a pointer is what it points to, or missing
    if described in places:
        return places[described]
    place = places[described] = len(table)
    table.append(Node(_SCALARS.get(described.kind, NodeKind.ANY)))
    match described.kind:
        case Kind.STRUCT:
            fields = {
                folded(field.name): _add(field.type, table, places) for field in described.fields
            }
            if len(fields) < len(
                described.fields
            ):  # which of them is meant depends on the other end
                fields = {}
            table[place] = Node(
                NodeKind.OBJECT,
                fields=tuple(Field(name, part, False, False) for name, part in fields.items()),
                open=True,
            )
        case Kind.ARRAY | Kind.SLICE | Kind.MAP:
            parts = tuple(_add(part, table, places) for part in described.parts)
            kind = NodeKind.MAP if described.kind is Kind.MAP else NodeKind.LIST
            table[place] = Node(kind, parts)
        case Kind.MARSHALER if described.identity == "time.Time":
            table[place] = Node(NodeKind.EXT)  # DATETIME could be a string as well
    return place
