"""``distchan.gob`` against streams that Go's encoding/gob wrote (tests/go/vectors)."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

from distchan import gob
from tests.gob_types import (
    VECTOR_REGISTRY,
    ZERO_TIME,
    Arrays,
    Binary,
    Event,
    Held,
    List,
    Many,
    Maps,
    Marshalers,
    Nested,
    Ping,
    Point,
    Pointers,
    PointerSlices,
    Pong,
    Scalars,
    Tree,
)

VECTORS = json.loads(Path(__file__).with_name("data").joinpath("gob_vectors.json").read_text())[
    "vectors"
]

MOMENT = datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)
NO_POINTERS = Pointers(i=None, s=None, l=None, p=None, t=None)
DEEP_LIST = List(1, List(2, List(3)))
TREE = Tree("root", [Tree("a"), Tree("b", [Tree()])], {"k": Tree("c")})
PONG = Pong("a", [Ping(2)], [Pong("b")])
FULL_NESTED = Nested(
    "n",
    Point(1, 2),
    [Point(3, 4), Point()],
    (Point(), Point(5, 6)),
    {"k": Point(7, 8)},
    [[1], []],
    next=Point(9, 0),
)
ALL_SCALARS = Scalars(
    True, 1, -8, 16, -32, 64, 1, 8, 16, 32, 2**64 - 1, 0.1, 0.1, 1j, 1 + 2j, "s", b"data"
)
MANY = Many(
    "m",
    [1, "a", None, Point(1, 2), Held(Point(3, 4)), [Point(5, 6)], 2.5],
    {"k": Event(at=MOMENT, name="e")},
    9,
)
#: The type of each case and its values, in the order of tests/go/vectors/main.go.
CASES: dict[str, tuple[Any, list[Any]]] = {
    "bool": (bool, [True, False]),
    "int": (int, [0, 1, -1, 63, 64, -64, -65, 1 << 20, 2**63 - 1, -(2**63)]),
    "int8": (gob.Int8, [-128, 127]),
    "uint": (gob.UInt, [0, 127, 128, 255, 256, 2**64 - 1]),
    "float": (float, [0.0, -0.0, 1.0, -2.5, 0.1, math.inf, 1.7976931348623157e308, 5e-324]),
    "float32": (gob.Float32, [0.1, 3.4028234663852886e38]),
    "complex": (complex, [0j, 1 + 2j, complex(0, -0.5)]),
    "string": (str, ["", "häuser", "\udcff\udcfe not UTF-8", "\x00"]),
    "bytes": (bytes, [b"", b"\x00\xff", b"x" * 300]),
    "slice of int": (list[int], [[], [0, 1, -1]]),
    "slice of string": (list[str], [["a", ""]]),
    "slice of bool": (list[bool], [[True, False]]),
    "slice of float": (list[float], [[0.0, 1.5]]),
    "slice of bytes": (list[bytes], [[b"", b"a"]]),
    "slice of slice": (list[list[list[int]]], [[[[1], []], []]]),
    "array": (tuple[int, int, int], [(0, 1, 2)]),
    "array of arrays": (
        tuple[tuple[str, str, str], tuple[str, str, str]],
        [(("a", "", ""), ("", "", "b"))],
    ),
    "map": (dict[str, int], [{"a": 0}, {}]),
    "map of slices": (dict[int, list[str]], [{-1: ["a"]}]),
    "point": (Point, [Point(22, 33), Point(), Point(0, -1)]),
    "slice of point": (list[Point], [[Point(1, 2), Point(), Point(0, 3)]]),
    "map of point": (dict[str, Point], [{"a": Point(1, 2)}]),
    "map by point": (dict[Point, Point], [{Point(1, 2): Point(3, 4)}]),
    "array of point": (tuple[Point, Point], [(Point(1, 2), Point(3, 4))]),
    "scalars": (Scalars, [Scalars()]),
    "all scalars": (Scalars, [ALL_SCALARS]),
    "negative zero": (Scalars, [Scalars(F64=-0.0, I=5)]),
    "nested": (Nested, [Nested()]),
    "full nested": (Nested, [FULL_NESTED]),
    "list": (List, [DEEP_LIST]),
    "tree": (Tree, [TREE]),
    "ping": (Ping, [Ping(1, [PONG])]),
    "pong": (Pong, [PONG]),
    "pointers": (
        Pointers,
        [
            NO_POINTERS,
            Pointers(i=1, s="a", l=[1], p=Point(1, 0), t=MOMENT),
            Pointers(i=0, s=None, l=None, p=None, t=None),
        ],
    ),
    "pointer slices": (PointerSlices, [PointerSlices([Point(1, 2)], {"a": Point(3, 4)})]),
    "time": (
        datetime,
        [
            MOMENT,
            MOMENT.astimezone(timezone(timedelta(hours=1))),
            MOMENT.astimezone(timezone(-timedelta(seconds=3661))),
            ZERO_TIME,
        ],
    ),
    "event": (Event, [Event(at=MOMENT, name="now"), Event()]),
    "arrays": (
        Arrays,
        [
            Arrays((0, 0, 0), (0, 0, 0, 0), ("", "")),
            Arrays((1, 2, 3), (1, 255, 0, 0), ("", "a")),
        ],
    ),
    "marshalers": (Marshalers, [Marshalers(Binary(1), "g", [Binary(2)])]),
    "binary": (Binary, [Binary(7)]),
    "maps": (
        Maps,
        [Maps(), Maps({}, None, {1: "a"}, {"a": {"b": [1]}}, {Point(1, 2): True})],
    ),
    "interface of int": (gob.Interface, [5, "text"]),
    "nil held": (Held, [Held()]),
    "many": (Many, [MANY, MANY]),
    "deep interfaces": (
        Held,
        [Held(Held(Held(Many("x", [Held(Point(1, 2)), Event()], None, 1)))), Held(5)],
    ),
    "slice of interface": (list[Any], [[None, 1, Point(1, 2), Point(), "a"]]),
    "map of interface": (dict[str, Any], [{"a": Tree("t")}]),
}
HELD = {
    "int": 7,
    "string": "seven",
    "bool": True,
    "float": 7.5,
    "complex": 7j,
    "bytes": b"7",
    "ints": [7],
    "point": Point(7, 8),
    "pointer": Point(1, 2),
    "time": MOMENT,
    "points": [Point(1, 2)],
    "nested held": Held(Held(Point(1, 2))),
}
CASES |= {f"held {name}": (Held, [Held(value)] * 2) for name, value in HELD.items()}

#: What Go cannot tell apart, or Python cannot express: on reading only.
SINGLE = 0.10000000149011612  # the nearest to 0.1
READ_AS: dict[str, list[Any]] = {
    "float32": [SINGLE, 3.4028234663852886e38],
    "all scalars": [msgspec.structs.replace(ALL_SCALARS, F32=SINGLE)],
    "negative zero": [Scalars(I=5)],
    "pointers": [*CASES["pointers"][1][:2], NO_POINTERS],
}


def encoded(name: str) -> list[bytes]:
    return [bytes.fromhex(text) for text in VECTORS[name]]


def test_there_is_a_case_for_each_vector() -> None:
    assert set(CASES) == set(VECTORS) - {"empty array"}


@pytest.mark.parametrize("name", CASES)
def test_values_are_encoded_as_go_encodes_them(name: str) -> None:
    item_type, values = CASES[name]
    encoder = gob.Encoder(item_type, registry=VECTOR_REGISTRY)
    assert [encoder.encode(value).hex() for value in values] == VECTORS[name]


@pytest.mark.parametrize("name", CASES)
def test_what_go_encoded_is_decoded(name: str) -> None:
    item_type, values = CASES[name]
    decoder = gob.Decoder(item_type, registry=VECTOR_REGISTRY)
    decoded = [decoder.decode(data) for data in encoded(name)]
    assert repr(decoded) == repr(READ_AS.get(name, values))  # which tells -0.0 from 0.0
    together = decoder_of(name).decode_all(b"".join(encoded(name)))
    assert repr(list(together)) == repr(decoded)


def decoder_of(name: str) -> gob.Decoder:
    return gob.Decoder(CASES[name][0], registry=VECTOR_REGISTRY)


@pytest.mark.parametrize("name", VECTORS)
def test_what_go_encoded_is_decoded_without_a_type(name: str) -> None:
    decoder = gob.Decoder()
    if name in ("maps", "map by point"):
        with pytest.raises(gob.GobDecodeError, match="unhashable"):
            [decoder.decode(data) for data in encoded(name)]
    else:
        assert len([decoder.decode(data) for data in encoded(name)]) == len(VECTORS[name])


@pytest.mark.parametrize("name", CASES)
def test_a_stream_cut_at_any_byte_is_an_error(name: str) -> None:
    for data in encoded(name)[:1]:
        for size in range(len(data)):
            with pytest.raises(gob.GobDecodeError):
                decoder_of(name).decode(data[:size])
