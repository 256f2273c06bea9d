"""Codecs: how one item becomes bytes, and how the bytes become the item again.

The built-in ones, by name:

=========== ======================================================================================
"msgpack"   compact and fast; any type that msgspec knows (scalars, containers, dataclasses,
            ``msgspec.Struct``, ``TypedDict``, enums, dates, unions)
"json"      the same types as readable text
"gob"       what Go's encoding/gob reads and writes; the types are in `distchan.gob`
"raw"       bytes-like items as they are; they arrive as ``bytes``
"pickle"    nearly any Python object. Decoding executes whatever code the peer has put into the
            bytes: only for peers that you trust as much as yourself
=========== ======================================================================================

Anything else: an object of your own with ``name``, ``encode`` and ``decode`` (see `Codec`).
"""

import functools
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol, get_args, get_origin

import msgspec
from msgspec import inspect

from distchan._typecheck import type_name

__all__ = ["Codec", "resolve"]


class Codec(Protocol):
    """What an object must have to serve as ``codec=``.

    Both ends must use codecs of the same name, and ``decode(encode(item))`` must give an equal
    item. The name must not be that of a built-in codec. Whatever ``encode`` raises reaches the
    sender as `distchan.EncodeError`; whatever ``decode`` raises makes the frame undecodable.
    """

    @property
    def name(self) -> str:
        """Tells this codec from others; the two ends compare it when they connect."""

    def encode(self, item: Any, /) -> bytes:
        """The item as ``bytes``. The item may be changed as soon as this has returned."""

    def decode(self, data: bytes, /) -> Any:
        """The item that was encoded as ``data``."""


class _Builtin(msgspec.Struct, frozen=True):
    """A built-in codec. All but gob's callables are C functions: no Python frame per item."""

    name: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def resolve(codec: str | Codec, item_type: object) -> Codec:
    """The codec for items of one type: a built-in one by its name, or an object as it is.

    Raises ValueError for an unknown name and for an object that bears the name of a built-in
    codec, TypeError for an object that is no `Codec` and for an item type that the codec cannot
    carry. ``Any`` goes with every codec.
    """
    if isinstance(codec, _Builtin):  # resolved before, perhaps for another type
        codec = codec.name
    if not isinstance(codec, str):
        return _checked(codec)
    try:
        build = _BUILTINS[codec]
    except KeyError:
        known = ", ".join(map(repr, _BUILTINS))
        raise ValueError(
            f"unknown codec {codec!r}; the built-in ones are {known}, "
            "and an object with name, encode and decode will do as well"
        ) from None
    return build(item_type)


def _checked(codec: Codec) -> Codec:
    name = getattr(codec, "name", None)
    methods = (getattr(codec, "encode", None), getattr(codec, "decode", None))
    if isinstance(codec, type) or not isinstance(name, str) or not all(map(callable, methods)):
        raise TypeError(
            "a codec is a name or an object with name (a str), encode(item) and decode(data), "
            f"not {codec!r}"
        )
    if name in _BUILTINS:
        # Two ends with this name would believe that they understand each other.
        raise ValueError(f"a codec of your own needs another name than the built-in {name!r}")
    return codec


def _msgpack(item_type: Any) -> Codec:
    _require_msgspec_type("msgpack", item_type)
    decoder = msgspec.msgpack.Decoder[Any](item_type)
    return _Builtin("msgpack", msgspec.msgpack.Encoder().encode, decoder.decode)


def _json(item_type: Any) -> Codec:
    _require_msgspec_type("json", item_type)
    decoder = msgspec.json.Decoder[Any](item_type)
    return _Builtin("json", msgspec.json.Encoder().encode, decoder.decode)


def _gob(item_type: Any) -> Codec:
    from distchan.gob._payloads import PayloadCodec  # which the other codecs do without

    try:
        codec = PayloadCodec(item_type)
    except TypeError as error:
        raise TypeError(f'codec "gob" cannot carry {type_name(item_type)}: {error}') from error
    return _Builtin("gob", codec.encode, codec.decode)


def _raw(item_type: object) -> Codec:
    if not _is_bytes_like(item_type):
        raise TypeError(
            'codec "raw" carries bytes-like items (bytes, bytearray, memoryview), '
            f"not {type_name(item_type)}; " + _OTHER_CODECS
        )
    # b"" + item is the item itself if that is exact bytes, a copy if it is otherwise bytes-like,
    # and a TypeError if it is not. bytes(data) is the data.
    return _Builtin("raw", b"".__add__, bytes)


def _pickle(item_type: object) -> Codec:
    import pickle  # which the other codecs do without

    return _Builtin("pickle", functools.partial(pickle.dumps, protocol=5), pickle.loads)


_BUILTINS: Final[dict[str, Callable[[object], Codec]]] = {
    "msgpack": _msgpack,
    "json": _json,
    "gob": _gob,
    "raw": _raw,
    "pickle": _pickle,
}

_OTHER_CODECS: Final = (
    'use codec="pickle" (if you trust the peers) or a codec of your own: '
    "an object with name, encode and decode"
)

_NO_JSON_KEYS: Final = (
    inspect.NoneType,
    inspect.BoolType,
    inspect.CollectionType,
    inspect.TupleType,
    inspect.NamedTupleType,
    inspect.StructType,
    inspect.DataclassType,
)


def _require_msgspec_type(codec_name: str, item_type: object) -> None:
    refusal = f'codec "{codec_name}" cannot carry {type_name(item_type)}'
    try:
        info = inspect.type_info(item_type)
    except Exception as error:  # it evaluates annotations, which may raise anything
        raise TypeError(f"{refusal}: {error}; {_OTHER_CODECS}") from error
    for part in _parts(info):
        match part:
            case inspect.CustomType(cls) if cls is not object:
                raise TypeError(
                    f"{refusal}: msgspec does not know {type_name(cls)}; {_OTHER_CODECS}"
                )
            case inspect.ExtType() if codec_name == "json":
                raise TypeError(f'{refusal}: msgspec.msgpack.Ext needs codec="msgpack"')
            case inspect.DictType(key) if codec_name == "json" and isinstance(key, _NO_JSON_KEYS):
                raise TypeError(
                    f"{refusal}: the keys of a dict in JSON are strings or numbers; "
                    'use codec="msgpack"'
                )


def _parts(info: inspect.Type) -> Iterator[inspect.Type]:
    """The type and every type inside it, each once; types may contain themselves."""
    seen: set[int] = set()
    pending: list[object] = [info]
    while pending:
        part = pending.pop()
        if isinstance(part, tuple):
            pending.extend(part)
        elif isinstance(part, inspect.Field):
            pending.append(part.type)
        elif isinstance(part, inspect.Type) and id(part) not in seen:
            seen.add(id(part))
            yield part
            pending.extend(getattr(part, name) for name in part.__struct_fields__)


def _is_bytes_like(item_type: object) -> bool:
    if item_type is Any or item_type is object:
        return True
    if isinstance(item_type, typing.NewType):
        return _is_bytes_like(item_type.__supertype__)
    origin = get_origin(item_type)
    if origin is typing.Annotated:
        return _is_bytes_like(get_args(item_type)[0])
    if origin is typing.Union or origin is types.UnionType:
        return all(map(_is_bytes_like, get_args(item_type)))
    return isinstance(item_type, type) and issubclass(item_type, bytes | bytearray | memoryview)
