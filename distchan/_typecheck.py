"""Item types at run time: what ``send`` checks, and how a type is called in a message."""

import types
import typing
from typing import Any

__all__ = ["runtime_types", "type_name"]

#: Types whose annotation also stands for others (PEP 484's numeric tower, and the bytes-like).
_PROMOTED: dict[type, tuple[type, ...]] = {
    float: (float, int),
    complex: (complex, float, int),
    bytes: (bytes, bytearray, memoryview),
}


def runtime_types(item_type: object) -> type | tuple[type, ...] | None:
    """What isinstance() may check the outermost type of an item against; None: anything goes.

    Raises TypeError for something that is no type at all, such as ``Channel(5)``.
    """
    accepted = _accepted(item_type)
    if accepted is None:
        return None
    unique = tuple(dict.fromkeys(accepted))
    return unique[0] if len(unique) == 1 else unique


def _accepted(item_type: object) -> tuple[type, ...] | None:
    if item_type is Any or item_type is object or isinstance(item_type, (typing.TypeVar, str)):
        return None
    if item_type is None:
        return (type(None),)
    if isinstance(item_type, typing.NewType):
        return _accepted(item_type.__supertype__)
    value = getattr(item_type, "__value__", None)
    if value is not None and type(item_type).__name__ == "TypeAliasType":  # ``type X = ...``
        return _accepted(value)
    origin = typing.get_origin(item_type)
    if origin is typing.Annotated:
        return _accepted(typing.get_args(item_type)[0])
    if origin is typing.Literal:
        return tuple(type(value) for value in typing.get_args(item_type))
    if origin is typing.Union or isinstance(item_type, types.UnionType):
        members = [_accepted(member) for member in typing.get_args(item_type)]
        if any(member is None for member in members):
            return None
        return tuple(kind for member in members if member for kind in member)
    if origin is not None:
        return _accepted(origin)
    if typing.is_typeddict(item_type):
        return (dict,)
    if isinstance(item_type, type):
        if getattr(item_type, "_is_protocol", False):
            return None  # isinstance() would look at every member, or refuse
        return _PROMOTED.get(item_type, (item_type,))
    raise TypeError(f"an item type is a type or a type expression, not {item_type!r}")


def type_name(item_type: object) -> str:
    """The type as people write it: ``Job``, ``list[int]``, ``str | None``."""
    if item_type is None or item_type is type(None):
        return "None"
    if isinstance(item_type, types.GenericAlias) or typing.get_origin(item_type) is not None:
        origin, arguments = typing.get_origin(item_type), typing.get_args(item_type)
        if origin is typing.Annotated:
            return type_name(arguments[0])
        if origin is typing.Union or origin is types.UnionType:
            return " | ".join(map(type_name, arguments))
        if origin is typing.Literal:
            return f"Literal[{', '.join(map(repr, arguments))}]"
        names = ", ".join("..." if a is ... else type_name(a) for a in arguments)
        return f"{type_name(origin)}[{names}]"
    name = getattr(item_type, "__name__", None)
    return name if isinstance(name, str) else str(item_type)
