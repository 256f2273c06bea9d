"""From annotations to the types of Go that they stand for."""

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from datetime import date, datetime
from operator import methodcaller
from typing import Any, Final, get_args, get_origin

import msgspec

from distchan._typecheck import type_name
from distchan.gob._annotations import INTERFACE, Marshaler, Name, Width
from distchan.gob._types import NO_DEFAULT, Field, Form, Kind, Type, basic

__all__ = ["describe", "folded"]


def describe(annotation: Any) -> Type:
    """The Go type that an annotation stands for; TypeError, in words, if there is none."""
    try:
        return _describe_known(annotation)
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
    return _Describer().describe(annotation)


def folded(name: str) -> str:
    """What remains of a field's name if case and underscores do not count."""
    return name.replace("_", "").lower()


class _Describer:
    """Describes one annotation. Each class is described once, as it may contain itself."""

    def __init__(self) -> None:
        self._classes: dict[type, Type] = {}

    def describe(self, annotation: Any) -> Type:
        if isinstance(annotation, typing.NewType):
            return self.describe(annotation.__supertype__)
        if type(annotation).__name__ == "TypeAliasType":  # ``type X = ...``
            return self.describe(annotation.__value__)
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is typing.Annotated:
            return self._annotated(annotation, arguments[0], arguments[1:])
        if origin is typing.Union or origin is types.UnionType:
            return self._optional(annotation, arguments)
        if annotation is Any or annotation is object:
            return basic("interface {}")
        if annotation is datetime:
            return Type.time()
        if annotation in _SCALARS:
            return basic(_SCALARS[annotation])
        if annotation in (bytes, bytearray, memoryview):
            return _bytes(annotation)
        container = origin or annotation
        if container is list:
            return self._slice(list, (arguments or (Any,))[0])
        if container is tuple:
            return self._tuple(annotation, arguments or (Any, ...))
        if container is dict:
            return self._map(*(arguments or (Any, Any)))
        if isinstance(annotation, type) and origin is None:
            return self._class(annotation)
        raise _inexpressible(annotation)

    def _annotated(self, annotation: Any, inner: Any, metadata: tuple[Any, ...]) -> Type:
        described: Type | None = None
        for mark in metadata:
            match mark:
                case Width(name):
                    described = basic(name)
                    if _SCALAR_KINDS.get(inner) is not described.kind and inner is not int:
                        raise TypeError(f"gob has no {name} that is {type_name(inner)} in Python")
                case Marshaler():
                    described = _marshaler(mark.name, mark.form, mark)
                    described.encode, described.decode = mark.encode, mark.decode
                    described.marshaler_zero = mark.zero
                case _ if mark is INTERFACE:
                    described = basic("interface {}")
        return described or self.describe(inner)

    def _optional(self, annotation: Any, members: tuple[Any, ...]) -> Type:
        rest = [member for member in members if member is not types.NoneType]
        if len(rest) != 1:
            raise TypeError(
                f"gob has no unions such as {type_name(annotation)}; use Any and register the types"
            )
        inner = self.describe(rest[0])
        if inner.kind in (Kind.POINTER, Kind.INTERFACE):  # which can be None already
            return inner
        return Type(Kind.POINTER, ("*", inner.identity), elem=inner)

    def _slice(self, python: type, item: Any) -> Type:
        elem = self.describe(item)
        if elem.identity == "uint8":
            return _bytes(python)
        return Type(Kind.SLICE, ("[]", elem.identity), python, elem=elem)

    def _tuple(self, annotation: Any, items: tuple[Any, ...]) -> Type:
        if len(items) == 2 and items[1] is ...:
            return self._slice(tuple, items[0])
        elems = [self.describe(item) for item in items]
        if len({elem.identity for elem in elems}) != 1:
            raise TypeError(
                f"a tuple is an array in Go, whose elements have one type; {type_name(annotation)} "
                "could be a dataclass or a NamedTuple"
            )
        identity = ("[]", elems[0].identity, len(items))
        return Type(Kind.ARRAY, identity, tuple, elem=elems[0], length=len(items))

    def _map(self, key_type: Any, item_type: Any) -> Type:
        key, elem = self.describe(key_type), self.describe(item_type)
        if key.kind in (Kind.SLICE, Kind.MAP, Kind.BYTES):
            raise TypeError(f"neither Go nor Python has dicts with {type_name(key_type)} as a key")
        return Type(Kind.MAP, ("map", key.identity, elem.identity), dict, key=key, elem=elem)

    def _class(self, cls: type) -> Type:
        if cls in self._classes:
            return self._classes[cls]
        for form, encode, decode in _METHODS:
            if hasattr(cls, encode) and hasattr(cls, decode):
                described = _marshaler(cls.__name__, form, cls)
                described.encode = methodcaller(encode)
                described.decode = getattr(cls, decode)
                return described
        for recognises, fields in _STRUCTS:
            if recognises(cls):
                return self._struct(cls, fields(cls))
        raise _inexpressible(cls)

    def _struct(self, cls: type, members: "Iterator[_Member]") -> Type:
        python = dict if typing.is_typeddict(cls) else cls
        struct = self._classes[cls] = Type(Kind.STRUCT, cls, python, name=cls.__name__)
        try:
            hints = typing.get_type_hints(cls, include_extras=True)
        except Exception as error:  # it evaluates annotations, which may raise anything
            raise TypeError(f"the annotations of {cls.__name__} are unclear: {error}") from error
        fields = []
        for member in members:
            annotation = hints[member.attribute]
            while get_origin(annotation) in (typing.Required, typing.NotRequired):
                annotation = get_args(annotation)[0]
            try:
                described = self.describe(annotation)
                name = member.name or _marked_name(annotation) or member.attribute
                fields.append(Field(member.attribute, _exported(name), described, *member.rest))
            except TypeError as error:
                raise TypeError(f"{cls.__name__}.{member.attribute}: {error}") from None
        names = [field.name for field in fields]
        if len(set(names)) < len(names):
            raise TypeError(f"two fields of {cls.__name__} have the same name in Go: {names}")
        struct.fields = tuple(fields)
        _require_finite(struct, struct)
        return struct


class _Member(typing.NamedTuple):
    """A field as its class declares it."""

    attribute: str
    name: str | None = None
    """Explicitly given."""
    default: Any = NO_DEFAULT
    default_factory: Callable[[], Any] | None = None
    keyword_only: bool = False
    settable_only: bool = False

    @property
    def rest(self) -> tuple[Any, ...]:
        return self[2:]


def _msgspec_members(cls: Any) -> Iterator[_Member]:
    for field in msgspec.structs.fields(cls):
        yield _Member(
            field.name,
            field.encode_name if field.encode_name != field.name else None,
            NO_DEFAULT if field.default is msgspec.NODEFAULT else field.default,
            None if field.default_factory is msgspec.NODEFAULT else field.default_factory,
            keyword_only=field.name not in cls.__match_args__,
        )


def _dataclass_members(cls: Any) -> Iterator[_Member]:
    for field in dataclasses.fields(cls):
        yield _Member(
            field.name,
            field.metadata.get("gob"),
            NO_DEFAULT if field.default is dataclasses.MISSING else field.default,
            None if field.default_factory is dataclasses.MISSING else field.default_factory,
            field.kw_only is True,
            not field.init,
        )


def _named_tuple_members(cls: Any) -> Iterator[_Member]:
    for name in cls._fields:
        yield _Member(name, None, cls._field_defaults.get(name, NO_DEFAULT))


def _typed_dict_members(cls: Any) -> Iterator[_Member]:
    return map(_Member, cls.__annotations__)


_STRUCTS: Final[list[tuple[Callable[[type], bool], Callable[[Any], Iterator[_Member]]]]] = [
    (lambda cls: issubclass(cls, msgspec.Struct) and cls is not msgspec.Struct, _msgspec_members),
    (dataclasses.is_dataclass, _dataclass_members),
    (lambda cls: issubclass(cls, tuple) and hasattr(cls, "_fields"), _named_tuple_members),
    (typing.is_typeddict, _typed_dict_members),
]

#: In the order in which Go looks for them.
_METHODS: Final[list[tuple[Form, str, str]]] = [
    ("gob", "gob_encode", "gob_decode"),
    ("binary", "marshal_binary", "unmarshal_binary"),
    ("text", "marshal_text", "unmarshal_text"),
]

_SCALARS: Final[dict[Any, str]] = {
    bool: "bool",
    int: "int",
    float: "float64",
    complex: "complex128",
    str: "string",
}
_SCALAR_KINDS: Final = {python: basic(name).kind for python, name in _SCALARS.items()}


def _bytes(python: type) -> Type:
    return Type(Kind.BYTES, "[]uint8", python, name="[]uint8")


def _marshaler(name: str, form: Form, identity: object) -> Type:
    package, _, plain_name = name.rpartition(".")
    described = Type(Kind.MARSHALER, identity, name=plain_name)
    described.package = package
    described.form = form
    return described


def _marked_name(annotation: Any) -> str | None:
    if get_origin(annotation) is typing.Annotated:
        for mark in get_args(annotation)[1:]:
            if isinstance(mark, Name):
                return mark.name
    return None


def _exported(name: str) -> str:
    """The name of a field as Go exports it."""
    if not name[:1].isupper():
        name = "".join(word[:1].upper() + word[1:] for word in name.split("_"))
    if not name[:1].isupper() or not name.isidentifier():
        raise TypeError(f"Go exports only names that begin with a capital, which {name!r} does not")
    return name


def _require_finite(struct: Type, part: Type) -> None:
    """Raises TypeError if a struct contains itself without a pointer, slice or map between."""
    for field_type in part.parts:
        inner = field_type
        while inner.kind is Kind.ARRAY:
            inner = inner.parts[0]
        if inner is struct:
            raise TypeError(
                f"{struct.name} contains itself; make the field Optional, or a list, or a dict"
            )
        if inner.kind is Kind.STRUCT:
            _require_finite(struct, inner)


def _inexpressible(annotation: Any) -> TypeError:
    return TypeError(f"gob has no type for {type_name(annotation)}; {_remedy(annotation)}")


def _remedy(annotation: Any) -> str:
    if annotation in (None, type(None)):
        return "use Optional for fields that may be None"
    cls = get_origin(annotation) or annotation
    if isinstance(cls, type):
        if issubclass(cls, (set, frozenset, Set, Sequence)):
            return "use a list"
        if issubclass(cls, Mapping):
            return "use a dict"
        if issubclass(cls, enum.Enum):
            return "use the type of its values"
        if issubclass(cls, date):
            return "use a datetime"
    return "make it a dataclass, or say how it becomes bytes with distchan.gob.Marshaler"


@functools.lru_cache(maxsize=256)
def _describe_known(annotation: Any) -> Type:
    return _Describer().describe(annotation)
