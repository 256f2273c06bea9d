"""What the handshake says of types in gob: gob itself is the judge of which fit."""

import dataclasses
import itertools
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import pytest

from distchan import Channel, Client, Server, TypeMismatch, gob
from distchan._shapes import compatible, describe
from distchan.errors import DecodeError


@dataclasses.dataclass
class Tree:
    user_id: int
    tags: list[str]
    left: "Tree | None" = None


class Leaf(msgspec.Struct):
    UserId: gob.Int8
    extra: float = 0.5


class Text(msgspec.Struct):
    userid: str


class Twice(msgspec.Struct):
    """Two names that differ in case only."""

    AB: int
    Ab: str


CATALOGUE: list[tuple[Any, Any]] = [
    (bool, True),
    (int, 1),
    (gob.UInt16, 2),
    (float, 1.5),
    (complex, 1j),
    (str, "a"),
    (bytes, b"a"),
    (list[int], [1]),
    (list[str], ["a"]),
    (tuple[int, int], (1, 2)),
    (dict[str, int], {"a": 1}),
    (dict[int, int], {1: 1}),
    (datetime, datetime(2026, 1, 2, tzinfo=UTC)),
    (Tree, Tree(1, ["a"], Tree(2, []))),
    (Leaf, Leaf(1)),
    (Text, Text("a")),
    (Twice, Twice(1, "a")),
    (Annotated[int, "a comment"], 1),
    (Any, 1),
]


def fits(sender: object, receiver: object) -> bool:
    return compatible(describe(sender, "gob"), describe(receiver, "gob"))


@pytest.mark.parametrize(("sender", "value"), CATALOGUE)
def test_what_decodes_fits(sender: Any, value: Any) -> None:
    data = gob.dumps(value) if sender is Any else gob.dumps(value, sender)
    for receiver, _ in CATALOGUE:
        try:
            gob.loads(data, receiver)
        except DecodeError:
            continue
        assert fits(sender, receiver), receiver


def test_what_cannot_decode_does_not_fit() -> None:
    kinds = [bool, int, float, str, bytes, list[int], dict[str, int], datetime, Tree]
    # Other codecs do take an int for a float, and a dict for a struct.
    alike = [(int, float), (dict[str, int], Tree), (Tree, dict[str, int])]
    for pair in itertools.permutations(kinds, 2):
        assert pair in alike or not fits(*pair), pair
    assert not fits(Tree, Text)
    assert not fits(list[int], list[str])
    assert not fits(dict[str, int], dict[int, int])


async def test_the_handshake_refuses_types_that_do_not_fit() -> None:
    async with Server("localhost:0", Channel(Tree), None, codec="gob") as server:
        with pytest.raises(TypeMismatch, match="this server sends Tree, the client expects Text"):
            async with Client(server.address, None, Channel(Text), codec="gob"):
                pass
        in_: Channel[Leaf] = Channel(Leaf)
        async with Client(server.address, None, in_, codec="gob"):
            pass
