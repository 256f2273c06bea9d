"""The built-in codecs: any payload is a value of the item type, or a DecodeError.

Not pickle: its decoding runs whatever the bytes say, by design, so that no bytes are wrong.
"""

import datetime
import decimal
import enum
import uuid
from typing import Any, Final, Literal, NamedTuple, TypedDict

import msgspec

from distchan import codecs
from distchan._payloads import PayloadEncoder, decoder
from distchan.errors import DecodeError, EncodeError
from fuzz.source import Source
from fuzz.targets._payload import decoded

__all__ = ["run", "seeds"]


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(NamedTuple):
    x: int
    y: int = 0


class Options(TypedDict, total=False):
    name: str
    level: int


class Tree(msgspec.Struct):
    label: str = ""
    kids: "list[Tree]" = []


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    tricks: set[str]


_TYPES: Final[list[tuple[Any, Any]]] = [
    (Any, {"a": [1, 2.5, None, True, "x", {"b": []}]}),
    (str, "text \u00e9 \U0001f600"),
    (int, 2**40),
    (float, 1.5),
    (bytes, b"\x00\xff"),
    (list[int], [1, -2, 2**62]),
    (dict[str, float], {"a": 1.0}),
    (tuple[int, str], (1, "a")),
    (int | str | None, None),
    (datetime.datetime, datetime.datetime(2001, 2, 3, tzinfo=datetime.UTC)),
    (datetime.timedelta, datetime.timedelta(days=3, seconds=1.5)),
    (uuid.UUID, uuid.UUID(int=5)),
    (decimal.Decimal, decimal.Decimal("1.50")),
    (Colour, Colour.BLUE),
    (Literal["a", 1], 1),
    (Point, Point(1, 2)),
    (Options, {"name": "n", "level": 3}),
    (Tree, Tree("a", [Tree("b"), Tree("c", [Tree()])])),
    (Cat | Dog, Dog({"sit"})),
    (frozenset[int], frozenset({1, 2})),
]
_CODECS: Final = [
    *((name, *typed) for name in ("msgpack", "json") for typed in _TYPES),
    *(("gob", *typed) for typed in _TYPES if typed[0] in (Any, str, bytes, list[int], Point, Tree)),
    ("raw", bytes, b"raw"),
]
#: What msgspec raises, also for what is no UTF-8 and what is nested without end; and gob.
_CAUSES: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, DecodeError)
_MADE: Final = [codecs.resolve(name, item_type) for name, item_type, _ in _CODECS]


def seeds() -> list[bytes]:
    return [
        bytes([index]) + codec.encode(1 if (codec.name, item_type) == ("gob", Any) else value)
        for index, (codec, (_, item_type, value)) in enumerate(zip(_MADE, _CODECS, strict=True))
    ]


def run(data: bytes) -> object:
    source = Source(data)
    codec = source.choice(_MADE)
    value = _decoded(codec, source.rest())
    if isinstance(value, DecodeError):
        return str(value)
    # What has come may be sent on, and comes again.
    try:
        payload = PayloadEncoder(codec, (), 1 << 20).encode(value)
    except EncodeError as error:
        return _canonical(value), type(error).__name__
    assert _canonical(_decoded(codec, payload)) == _canonical(value), value
    return _canonical(value)


def _canonical(value: object) -> object:
    """The same for values that are alike: sets have no order, NaN is not itself."""
    try:
        return _sorted(value)
    except (TypeError, ValueError, OverflowError):
        return repr(value)


_sorted = msgspec.msgpack.Encoder(order="sorted").encode


def _decoded(codec: Any, payload: bytes) -> object:
    value = decoded(payload, decoder(codec.decode, ()))
    if isinstance(value, DecodeError):
        assert isinstance(value.__cause__, _CAUSES), repr(value.__cause__)
    return value
