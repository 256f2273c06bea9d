"""Frames and payloads of ``wire="go"``, without any network."""

import dataclasses
import itertools
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distchan import EncodeError, FrameTooLarge, InvalidSignature, ProtocolError, gob
from distchan._go.frames import END, FrameReader, header
from distchan._go.payloads import GobWriter
from distchan._wire import GO_SIGNATURE as SIGNATURE

LIMIT = 1000


def frame(payload: bytes) -> bytes:
    return struct.pack("<Ii", SIGNATURE, len(payload)) + payload


ENDING = struct.pack("<Ii", SIGNATURE, -1)


def read(pieces: list[bytes]) -> tuple[list[bytes], FrameReader]:
    reader = FrameReader(SIGNATURE, LIMIT)
    return [payload for piece in pieces for payload in reader.receive(piece)], reader


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[begin:end] for begin, end in itertools.pairwise(bounds)]


def test_a_frame_is_what_the_original_writes() -> None:
    assert header(SIGNATURE, 4) == bytes.fromhex("34b0387f 04000000")
    assert header(SIGNATURE, END) == bytes.fromhex("34b0387f ffffffff")


@given(
    payloads=st.lists(st.binary(max_size=50)),
    ends=st.booleans(),
    places=st.lists(st.integers(0, 10_000)),
)
def test_it_does_not_matter_where_the_stream_is_cut(
    payloads: list[bytes], ends: bool, places: list[int]
) -> None:
    stream = b"".join(map(frame, payloads)) + (ENDING if ends else b"")
    for pieces in ([stream], cut(stream, places), [bytes([byte]) for byte in stream]):
        got, reader = read(pieces)
        assert got == payloads
        assert (reader.ended, reader.error, reader.in_mid_frame) == (ends, None, False)


@given(places=st.lists(st.integers(0, 100)), length=st.integers(1, 40))
def test_part_of_a_frame_is_noticed(places: list[int], length: int) -> None:
    whole = frame(b"first")
    part = frame(bytes(40))[:length]
    got, reader = read(cut(whole + part, places))
    assert got == [b"first"]
    assert reader.in_mid_frame


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        (
            struct.pack("<Ii", 1, 1),
            InvalidSignature,
            "expected signature 0x7f38b034, got 0x00000001",
        ),
        (struct.pack("<Ii", SIGNATURE, -2), ProtocolError, "a frame of -2 bytes"),
        (struct.pack("<Ii", SIGNATURE, -(2**31)), ProtocolError, "a frame of -2147483648"),
        (struct.pack("<Ii", SIGNATURE, LIMIT + 1), FrameTooLarge, "max_frame_size is 1000"),
    ],
)
@given(places=st.lists(st.integers(0, 100)))
def test_what_comes_before_a_bad_header_counts_and_nothing_after_it(
    bad: bytes, error: type[Exception], words: str, places: list[int]
) -> None:
    got, reader = read(cut(frame(b"good") + bad + frame(b"late"), places))
    assert got == [b"good"]
    assert type(reader.error) is error
    assert words in str(reader.error)
    assert reader.receive(frame(b"later")) == []


def test_what_follows_the_end_is_dropped() -> None:
    got, reader = read([frame(b"a") + ENDING + frame(b"b"), b"nonsense" * 100])
    assert (got, reader.error) == ([b"a"], None)


@given(st.binary(max_size=100), st.lists(st.integers(0, 100)))
def test_any_bytes_give_payloads_or_an_error(data: bytes, places: list[int]) -> None:
    got, reader = read(cut(data, places))
    assert (got, type(reader.error)) == (read([data])[0], type(read([data])[1].error))


# -- payloads in gob ------------------------------------------------------------------------------


class Reversed:
    """A transform that would notice definitions which it has not seen."""

    def encode(self, data: bytes) -> bytes:
        return data[::-1]

    def decode(self, data: bytes) -> bytes:
        return data[::-1]


@pytest.mark.parametrize("transforms", [(), (Reversed(),)])
def test_each_reader_gets_each_definition_once(transforms: tuple[Reversed, ...]) -> None:
    """Whatever the order in which items take their connections."""
    writer = GobWriter(Any, transforms, 10_000)
    items: list[Any] = [1, [1, 2], {"a": [1]}, [3], {"b": [4, 5]}, [[6]], "x"]
    payloads = [writer.encode(item) for item in items]
    for chosen in ([0, 1, 2, 3, 4, 5, 6], [4, 1, 5], [6, 5], [3], [2, 2]):
        decoder, known = gob.Decoder(Any), 0
        for number in chosen:
            payload, known = writer.complete(payloads[number], known)
            for transform in transforms:
                payload = transform.decode(payload)
            assert decoder.decode(payload) == items[number]


def test_definitions_count_for_the_limit() -> None:
    writer = GobWriter(list[list[str]], (), 100)
    with pytest.raises(FrameTooLarge, match="its types have"):
        writer.encode([["x" * 80]])
    payload = writer.encode([["y"]])  # what was too large has done no harm
    assert gob.Decoder(list[list[str]]).decode(writer.complete(payload, 0)[0]) == [["y"]]


def test_what_was_too_large_leaves_no_definitions() -> None:
    wide = dataclasses.make_dataclass("Wide", [("a" * 990, int)])
    writer = GobWriter(Any, (), 500)
    before = writer.encode(1)
    with pytest.raises(FrameTooLarge):
        writer.encode(wide(1))
    after = writer.encode(["a"])
    assert gob.Decoder().decode(writer.complete(before, 0)[0]) == 1
    assert gob.Decoder().decode(writer.complete(after, 0)[0]) == ["a"]


def test_an_item_that_cannot_be_encoded_leaves_the_stream_as_it_was() -> None:
    writer = GobWriter(list[int], (), 1000)
    with pytest.raises(EncodeError):
        writer.encode([2**64])
    payload = writer.encode([1])
    assert gob.Decoder(list[int]).decode(writer.complete(payload, 0)[0]) == [1]


@pytest.mark.parametrize("transforms", [(), (Reversed(),)])
def test_definitions_that_came_later_make_no_item_too_large(
    transforms: tuple[Reversed, ...],
) -> None:
    writer = GobWriter(Any, transforms, 120)
    items: list[Any] = ["x" * 100, ["y" * 80], {"a": 1}]
    payloads = [writer.encode(item) for item in items]
    for number, item in enumerate(items):
        payload, known = writer.complete(payloads[number], 0)
        assert len(payload) <= 120
        for transform in transforms:
            payload = transform.decode(payload)
        assert gob.Decoder().decode(payload) == item
        assert writer.complete(payloads[0], known)[1] == known  # and takes nothing back
