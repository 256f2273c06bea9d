"""The built-in codecs, and what may serve as a codec."""

import array
import dataclasses
import datetime
import enum
import pickle
import sys
import types
import typing
import uuid
from decimal import Decimal
from typing import Annotated, Any, NewType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distchan.codecs import Codec, resolve

BUILTINS = ["msgpack", "json", "raw", "pickle"]


class Job(msgspec.Struct):
    name: str
    steps: list[int] = []


@dataclasses.dataclass
class Point:
    x: float
    y: float


class Colour(enum.Enum):
    RED = "red"


class Reversed:
    """The smallest codec of one's own."""

    name = "reversed"

    def encode(self, item: str, /) -> bytes:
        return item[::-1].encode()

    def decode(self, data: bytes, /) -> str:
        return data.decode()[::-1]


class Tree(msgspec.Struct):
    children: "list[Tree]"


class Opaque:
    """A class that msgspec does not know."""


TYPED_VALUES: list[tuple[object, object]] = [
    (str, "häuser"),
    (int, -3),
    (None, None),
    (bytes, b"\x00\xff"),
    (list[int], [1, 2]),
    (dict[int, str], {1: "a"}),
    (str | None, None),
    (Job, Job("a", [1])),
    (Tree, Tree([Tree([])])),
    (Point, Point(1.5, -2.0)),
    (Colour, Colour.RED),
    (Decimal, Decimal("1.10")),
    (uuid.UUID, uuid.UUID(int=7)),
    (datetime.datetime, datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC)),
    (Annotated[int, msgspec.Meta(ge=0)], 3),
]


@pytest.mark.parametrize("name", ["msgpack", "json", "pickle"])
@pytest.mark.parametrize(("item_type", "item"), TYPED_VALUES)
def test_items_come_back_as_their_type(name: str, item_type: object, item: object) -> None:
    codec = resolve(name, item_type)
    decoded = codec.decode(codec.encode(item))
    assert decoded == item
    assert type(decoded) is type(item)


@pytest.mark.parametrize("name", BUILTINS)
def test_a_builtin_codec_bears_its_name(name: str) -> None:
    assert resolve(name, bytes).name == name


@pytest.mark.parametrize("name", BUILTINS)
@pytest.mark.parametrize("item_type", [Any, bytes])
def test_builtins_add_no_python_frame(name: str, item_type: object) -> None:
    codec = resolve(name, item_type)
    frames: list[types.FrameType] = []

    def note(frame: types.FrameType, event: str, argument: object) -> None:
        if event == "call":
            frames.append(frame)

    encode, decode = codec.encode, codec.decode
    sys.setprofile(note)
    try:
        decode(encode(b"item"))
    finally:
        sys.setprofile(None)
    assert frames == []


@pytest.mark.parametrize("name", ["msgpack", "json"])
def test_the_decoder_is_strict_about_the_item_type(name: str) -> None:
    data = resolve(name, Any).encode("5")
    with pytest.raises(msgspec.ValidationError):
        resolve(name, int).decode(data)
    with pytest.raises(msgspec.ValidationError):
        resolve(name, None).decode(data)


def test_pickle_uses_protocol_5_and_carries_what_msgspec_cannot() -> None:
    codec = resolve("pickle", complex)
    data = codec.encode(1j)
    assert data == pickle.dumps(1j, protocol=5)
    assert codec.decode(data) == 1j


# --- raw ------------------------------------------------------------------------------------------


@given(st.binary())
def test_raw_references_exact_bytes(item: bytes) -> None:
    codec = resolve("raw", bytes)
    assert codec.encode(item) is item
    assert codec.decode(item) is item


class Blob(bytes):
    pass


@pytest.mark.parametrize(
    "item", [bytearray(b"abc"), memoryview(b"abc"), memoryview(bytearray(b"abc")), Blob(b"abc")]
)
def test_raw_makes_exact_bytes_of_what_is_bytes_like(item: bytes) -> None:
    data = resolve("raw", Any).encode(item)
    assert type(data) is bytes
    assert data == b"abc"


def test_raw_copies_what_may_change() -> None:
    item = bytearray(b"abc")
    data = resolve("raw", bytearray).encode(item)
    item[0] = 0
    assert data == b"abc"


def test_raw_takes_any_buffer() -> None:
    assert resolve("raw", Any).encode(array.array("B", [1, 2])) == b"\x01\x02"


@pytest.mark.parametrize("item", ["text", 3, None, [1, 2], (b"a",)])
def test_raw_refuses_what_is_not_bytes_like(item: object) -> None:
    with pytest.raises(TypeError):
        resolve("raw", Any).encode(item)


@pytest.mark.parametrize(
    "item_type",
    [
        Any,
        object,
        bytes,
        bytearray,
        memoryview,
        Blob,
        bytes | bytearray,
        typing.Union[bytes, memoryview],  # noqa: UP007 - another class than that of |
        NewType("Page", bytes),
        Annotated[bytes, "compressed"],
    ],
)
def test_raw_goes_with_bytes_like_types(item_type: object) -> None:
    assert resolve("raw", item_type).name == "raw"


@pytest.mark.parametrize("item_type", [str, int, None, bytes | None, list[bytes], Job])
def test_raw_goes_with_no_other_type(item_type: object) -> None:
    with pytest.raises(TypeError, match=r'"raw" carries bytes-like items.*codec="pickle"'):
        resolve("raw", item_type)


# --- types that a codec cannot carry --------------------------------------------------------------


class Holder(msgspec.Struct):
    inner: dict[str, list[Opaque]]


class Circle(msgspec.Struct):
    """Contains itself, and what msgspec does not know."""

    next: "Circle | None"
    opaque: Opaque


class Dangling(msgspec.Struct):
    missing: "Nowhere"  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize("name", ["msgpack", "json"])
@pytest.mark.parametrize(
    "item_type",
    [Opaque, complex, list[Opaque], Opaque | None, int | Opaque, Holder, Circle, Dangling, 5],
)
def test_types_that_msgspec_does_not_know_are_refused(name: str, item_type: object) -> None:
    with pytest.raises(TypeError, match=f'codec "{name}" cannot carry .*codec="pickle"'):
        resolve(name, item_type)


@pytest.mark.parametrize("name", BUILTINS)
def test_any_goes_with_every_codec(name: str) -> None:
    codec = resolve(name, Any)
    assert codec.decode(codec.encode(b"x")) in (b"x", "eA==")  # JSON has no bytes


@pytest.mark.parametrize("name", ["msgpack", "json"])
def test_object_is_as_good_as_any(name: str) -> None:
    codec = resolve(name, list[object])
    assert codec.decode(codec.encode([1, "a", None])) == [1, "a", None]


@pytest.mark.parametrize(
    "item_type",
    [msgspec.msgpack.Ext, dict[bool, int], dict[None, int], list[dict[tuple[int, int], str]]],
)
def test_what_only_msgpack_can_carry(item_type: object) -> None:
    assert resolve("msgpack", item_type).name == "msgpack"
    with pytest.raises(TypeError, match=r'codec "json" cannot carry .*codec="msgpack"'):
        resolve("json", item_type)


# --- codecs of one's own --------------------------------------------------------------------------


def test_an_own_codec_is_used_as_it_is() -> None:
    codec = Reversed()
    assert resolve(codec, str) is codec
    assert resolve(codec, Opaque) is codec


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown codec 'yaml'") as caught:
        resolve("yaml", str)
    assert all(repr(name) in str(caught.value) for name in BUILTINS)


@pytest.mark.parametrize(
    "codec",
    [
        None,
        3,
        Reversed,  # the class, where an instance is meant
        types.SimpleNamespace(name="a", encode=bytes),
        types.SimpleNamespace(name="a", decode=bytes),
        types.SimpleNamespace(encode=bytes, decode=bytes),
        types.SimpleNamespace(name=3, encode=bytes, decode=bytes),
        types.SimpleNamespace(name="a", encode=bytes, decode="no method"),
    ],
)
def test_an_object_that_is_no_codec_is_refused(codec: Any) -> None:
    with pytest.raises(TypeError, match="a codec is a name or an object with name"):
        resolve(codec, str)


@pytest.mark.parametrize("name", BUILTINS)
def test_an_own_codec_may_not_pose_as_a_builtin_one(name: str) -> None:
    codec = types.SimpleNamespace(name=name, encode=bytes, decode=bytes)
    with pytest.raises(ValueError, match="needs another name"):
        resolve(codec, bytes)


def test_a_resolved_codec_can_be_resolved_for_another_type() -> None:
    resolved: Codec = resolve("json", int)
    assert resolve(resolved, str).decode(b'"a"') == "a"
