"""The names of the types of interface values, as Go's gob.Register gives them."""

from datetime import datetime
from typing import Any, Final

from distchan._typecheck import type_name
from distchan.gob._annotations import (
    Complex64,
    Float32,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
)
from distchan.gob._errors import GobEncodeError
from distchan.gob._schema import describe
from distchan.gob._types import Type

__all__ = ["DEFAULT", "Registry", "infer", "register"]


class Registry:
    """Which name stands for which type where Go has an ``interface{}``.

    A new one knows what Go knows from the start: ``int``, ``string``, ``[]float64`` and the like.
    """

    def __init__(self) -> None:
        self._types: dict[str, Type] = dict(_BASICS)
        self._names: dict[Any, str] = dict(_BASIC_NAMES)

    def register(self, name: str, item_type: Any) -> None:
        """Give a type the name under which Go knows it: ``register("main.Job", Job)``.

        Go's gob.Register uses the path of the package, a dot and the name of the type, with ``*``
        in front for a pointer. The type of an unnamed one is its name: ``[]interface {}`` (a
        ``list[Any]``), ``map[string]int``. Doing it twice alike is harmless; ValueError if the
        name belongs to another type or the type has another name, TypeError for a type that gob
        does not have.
        """
        if not name:
            raise ValueError("the empty name stands for nil")
        described = describe(item_type)
        known = self._types.get(name)
        if known is not None and known.identity != described.identity:
            raise ValueError(f"{name!r} is the name of another type already")
        if self._names.get(item_type, name) != name:
            raise ValueError(
                f"{type_name(item_type)} has the name {self._names[item_type]!r} already"
            )
        self._types[name] = described
        self._names[item_type] = name

    def find(self, name: str) -> Type | None:
        """The type with that name, if it is registered."""
        return self._types.get(name)

    def name_and_type(self, value: Any) -> tuple[str, Type]:
        """What a value is called in an interface. GobEncodeError if its type has no name."""
        item_type = infer(value)
        for candidate in (item_type, _generalised(item_type)):
            name = self._names.get(candidate)
            if name is not None:
                return name, self._types[name]
        raise GobEncodeError(
            f"{type_name(item_type)} has no name for interfaces; "
            f'register one: gob.register("main.{type(value).__name__.title()}", ...)'
        )


def infer(value: Any) -> Any:
    """The annotation that a value itself suggests.

    Of containers that is ``list[int]`` or ``dict[str, Job]`` if what is in them agrees, and ``Any``
    in those places if it does not, or if there is nothing. GobEncodeError for None.
    """
    kind = type(value)
    if value is None:
        raise GobEncodeError("gob has no value for None, except in fields and interfaces")
    if issubclass(kind, datetime):
        return datetime
    if kind is list:
        return list[_common(value)]  # type: ignore[misc]
    if kind is tuple:
        return tuple[_common(value), ...]  # type: ignore[misc]
    if kind is dict:
        return dict[_common(value), _common(value.values())]  # type: ignore[misc]
    return kind


def _common(values: Any) -> Any:
    """One level deep, so that it takes bounded time also for a list that contains itself."""
    kinds = set(map(type, values))
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind is None or kind in (type(None), list, tuple, dict):
        return Any
    return datetime if issubclass(kind, datetime) else kind


def _generalised(item_type: Any) -> Any:
    origin = getattr(item_type, "__origin__", None)
    if origin is dict:
        return dict[item_type.__args__[0], Any]
    return list[Any] if origin in (list, tuple) else item_type


#: As registerBasics of Go's encoding/gob has them. Of types with the same Python type the first
#: is the one that values are written as.
_BASIC_TYPES: Final[list[tuple[str, Any]]] = [
    ("int", int),
    ("int8", Int8),
    ("int16", Int16),
    ("int32", Int32),
    ("int64", Int64),
    ("uint", UInt),
    ("uint8", UInt8),
    ("uint16", UInt16),
    ("uint32", UInt32),
    ("uint64", UInt64),
    ("float32", Float32),
    ("float64", float),
    ("complex64", Complex64),
    ("complex128", complex),
    ("uintptr", UInt64),
    ("bool", bool),
    ("string", str),
]
_BASICS: Final[dict[str, Type]] = {
    **{name: describe(item_type) for name, item_type in _BASIC_TYPES},
    **{f"[]{name}": describe(list[item_type]) for name, item_type in _BASIC_TYPES},  # type: ignore[valid-type]
    "[]uint8": describe(bytes),
}
_BASIC_NAMES: Final[dict[Any, str]] = {
    **{item_type: name for name, item_type in reversed(_BASIC_TYPES)},
    **{list[item_type]: f"[]{name}" for name, item_type in reversed(_BASIC_TYPES)},  # type: ignore[valid-type]
    **dict.fromkeys((bytes, bytearray, memoryview), "[]uint8"),
}

#: Where no other is given.
DEFAULT: Final = Registry()


def register(name: str, item_type: Any) -> None:
    """Registry.register in the registry that is used where no other is given."""
    DEFAULT.register(name, item_type)
