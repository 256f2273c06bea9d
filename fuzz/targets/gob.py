"""gob: any definitions and any values, in a stream or in frames of the Go original's wire."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from distchan import gob
from distchan._go.frames import END, header
from distchan._go.session import GoSession
from distchan._wire import GO_SIGNATURE
from distchan.errors import DistchanError, EncodeError
from distchan.gob._buffers import Output
from distchan.gob._definitions import WireType, write_wire_type
from distchan.gob._types import Kind
from fuzz.source import Source, cuts

__all__ = ["run", "seeds"]


class Point(NamedTuple):
    x: int = 0
    y: gob.Int8 = 0


class Tree(msgspec.Struct):
    label: str = ""
    kids: "list[Tree]" = []
    named: "dict[str, Tree] | None" = None


@dataclass
class Many:
    flag: bool = False
    count: gob.UInt16 = 0
    ratio: gob.Float32 = 0.0
    both: complex = 0j
    data: bytes = b""
    point: Point | None = None
    corner: tuple[Point, Point] = (Point(), Point())
    keys: dict[Point, bool] = field(default_factory=dict)
    numbers: dict[int, float] = field(default_factory=dict)
    at: datetime = datetime(1, 1, 1, tzinfo=UTC)
    any: Any = None


_REGISTRY: Final = gob.Registry()
_REGISTRY.register("main.Point", Point)
_REGISTRY.register("main.Tree", Tree)
_REGISTRY.register("[]interface {}", list[Any])

_VALUES: Final[list[tuple[Any, list[Any]]]] = [
    (Any, [1, "a", [1, 2], {"a": 1.5}]),
    (int, [5, -(2**63)]),
    (str, ["text", "\udcff"]),
    (list[Point], [[Point(1, 2), Point()]]),
    (Tree, [Tree("a", [Tree("b")], {"c": Tree()}), Tree()]),
    (
        Many,
        [Many(True, 7, 0.5, 1j, b"x", Point(1), (Point(2), Point()), {Point(): True}, {1: 2.0})],
    ),
    (Many, [Many(any=[1, "b", Point(3, 4), Tree("t")], at=datetime(2001, 2, 3, tzinfo=UTC))]),
    (dict[str, list[bytes]], [{"a": [b"", b"\x00"]}]),
]
_KINDS: Final = (Kind.STRUCT, Kind.SLICE, Kind.MAP, Kind.ARRAY, Kind.MARSHALER)
#: Small ones, so that what is within them is soon done.
_LIMITS: Final = {
    "max_size": 1 << 16,
    "max_depth": 30,
    "max_values": 5_000,
    "max_types": 20,
    "max_fields": 60,
}
_SLIPS: Final = (LookupError, ArithmeticError, AttributeError, AssertionError, RecursionError)
_PLAIN, _STRUCTURED, _FRAMES = range(3)


def seeds() -> list[bytes]:
    found = []
    for index, (item_type, values) in enumerate(_VALUES):
        encoder = gob.Encoder(item_type, registry=_REGISTRY)
        for value in values:
            message = encoder.encode(value)
            framed = header(GO_SIGNATURE, len(message)) + message + header(GO_SIGNATURE, END)
            found += [bytes([_PLAIN, index]) + message, bytes([_FRAMES, index, 0]) + framed]
    chance = random.Random(1)
    return found + [bytes([_STRUCTURED, n]) + chance.randbytes(100) for n in range(len(_VALUES))]


def run(data: bytes) -> object:
    source = Source(data)
    mode = source.below(3)
    item_type, _ = source.choice(_VALUES)
    if mode == _FRAMES:
        places = [source.below(256) for _ in range(source.below(4))]
        stream = source.rest()
        whole = _received(item_type, [stream])
        assert _received(item_type, list(cuts(stream, places or range(len(stream))))) == whole
        return whole
    payloads = [source.rest()] if mode == _PLAIN else _messages(source)
    decoder, other = _decoder(item_type), _decoder(item_type)
    outcomes: list[str] = []
    for payload in payloads:
        try:
            value = decoder.decode(payload)
        except gob.GobDecodeError as error:
            outcomes.append(_in_words(error))
        else:
            outcomes.append(repr(value))
            # What failed before has left no trace.
            assert repr(other.decode(payload)) == repr(value)
            _check_it_comes_again(item_type, value)
    return outcomes


def _in_words(error: Exception) -> str:
    """What is wrong with the bytes; it is no slip of the decoder that was made into that."""
    assert not isinstance(error.__cause__, _SLIPS), repr(error.__cause__)
    return str(error)


def _decoder(item_type: Any) -> Any:
    return gob.Decoder(item_type, registry=_REGISTRY, **_LIMITS)


def _check_it_comes_again(item_type: Any, value: Any) -> None:
    """But for pointers to zero, which gob does not tell from nil: so that it is done twice."""
    for _ in range(2):
        before = value
        try:
            payload = gob.Encoder(item_type, registry=_REGISTRY).encode(value)
        except EncodeError:
            return
        value = gob.Decoder(item_type, registry=_REGISTRY).decode(payload)
    assert repr(value) == repr(before)


def _received(item_type: Any, pieces: list[bytes]) -> object:
    session = GoSession(
        signature=GO_SIGNATURE,
        max_frame_size=1 << 16,
        decode=_decoder(item_type).decode,
        writer=None,
    )
    items: list[str] = []
    total = 0
    for piece in pieces:
        new, size = session.receive(piece)
        items += map(repr, new)
        total += size
        if session.error is not None:
            break
    assert session.error is None or isinstance(session.error, DistchanError)
    assert total <= sum(map(len, pieces))
    if session.error is not None:  # the connection is closed, whatever else has come
        return items, total, str(session.error)
    return items, total, session.ended, session.in_mid_frame


def _messages(source: Source) -> list[bytes]:
    """Payloads of definitions that refer to each other, and of values of what they define."""
    payloads: list[bytes] = []
    payload = b""
    while source:
        if source.below(3):
            payload += _message(lambda out: _define(out, source))
        else:
            payload += _message(lambda out: _write_value(out, source))
            payloads.append(payload)
            payload = b""
    return [*payloads, payload]


def _message(write: Callable[[Any], None]) -> bytes:
    out = Output(None)
    write(out)
    message: bytes = out.take_message()
    return message


def _define(out: Any, source: Source) -> None:
    type_id = 65 + source.below(8)
    out.write_int(-type_id, 64)
    fields = tuple((f"F{n}", _type_id(source)) for n in range(source.below(4)))
    kind = source.choice(_KINDS)
    elem, key = _type_id(source), _type_id(source)
    write_wire_type(out, WireType(kind, "T", type_id, elem, key, source.below(5), fields))


def _type_id(source: Source) -> int:
    return source.choice((2, 6, 65, 66, 67, 68, 69, 70, 71, 72, 1, 3, 4, 5, 7, 8, 64, 0, -1))


def _write_value(out: Any, source: Source) -> None:
    type_id = _type_id(source)
    out.write_int(type_id, 64)
    if source.flag():
        out.write_uint(0)
    out.write_raw(source.take(source.below(48)))
