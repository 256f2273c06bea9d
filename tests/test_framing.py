"""``_framing``: one suite over both twins, and both against each other."""

import gc
import itertools
import struct
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distchan import _frames
from distchan._frames import (
    MAX_LENGTH,
    REFERENCE_THRESHOLD,
    GivenBack,
    Items,
    Ranges,
    Results,
    Undecodable,
    numbers_of,
)
from distchan._wire import (
    CONTROL_LIMIT,
    DATA_PREFIX,
    MAX_FRAME_SIZE,
    MOST_SETTLED,
    SETTLE_PREFIX,
    SIGNATURE,
    TICKET_SIZE,
    Kind,
    Outcome,
)
from distchan.errors import DecodeError, FrameTooLarge, InvalidSignature, ProtocolError
from tests import twins
from tests.twins import TWINS


def load(twin: str) -> Any:
    return twins.load(twin, "_framing")


@pytest.fixture(params=["python", "cython"])
def framing(request: pytest.FixtureRequest) -> Any:
    if request.param not in TWINS:
        pytest.skip("the compiled twins are not in use")
    return load(request.param)


def run_of_items(first: int, values: list[Any], tickets: list[bytes], size: int) -> Items:
    return Items(first, values, bytearray().join(tickets), size)


def run_of_results(
    values: list[Any], size: int, settled: list[int], frames: int, last: int
) -> Results:
    """settled: the numbers one by one."""
    ranges: Ranges = []
    for number in settled:
        if ranges and ranges[-1][1] + 1 == number:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return Results(values, size, ranges, frames, last)


# The frames as docs/protocol.md lays them out, independently of the twins.


def header(length: int, signature: int = SIGNATURE) -> bytes:
    return struct.pack("<Ii", signature, length)


def control(kind: int, body: bytes = b"") -> bytes:
    return header(1 + len(body)) + bytes([kind]) + body


def data(kind: int, number: int, body: bytes) -> bytes:
    return control(kind, struct.pack("<Q", number) + body)


def ticket(item_id: int = 0, attempt: int = 1) -> bytes:
    return struct.pack("<QI", item_id, attempt)


def item(number: int, payload: bytes, item_id: int = 0, attempt: int = 1) -> bytes:
    return data(Kind.ITEM, number, ticket(item_id, attempt) + payload)


def result(number: int, payload: bytes) -> bytes:
    return data(Kind.RESULT, number, payload)


def settle(
    number: int,
    items: Sequence[int],
    entries: Iterable[bytes],
    outcome: int = Outcome.DONE,
    count: int | None = None,
) -> bytes:
    body = struct.pack("<BI", outcome, len(items) if count is None else count)
    body += b"".join(struct.pack("<Q", item) for item in items)
    body += b"".join(struct.pack("<I", len(entry)) + entry for entry in entries)
    return data(Kind.SETTLE, number, body)


def identity(payload: bytes) -> bytes:
    assert type(payload) is bytes
    return payload


def fussy(payload: bytes) -> bytes:
    if payload.startswith(b"!"):
        raise ValueError(payload.decode("latin-1"))
    return identity(payload)


def items_decoder(
    framing: Any,
    decode: Callable[[bytes], object] = identity,
    max_frame_size: int = 2**20,
) -> Any:
    """A client's decoder that is past the handshake."""
    decoder = framing.Decoder(SIGNATURE, max_frame_size)
    decoder.expect_items(decode)
    return decoder


def results_decoder(
    framing: Any,
    decode: Callable[[bytes], object] = identity,
    max_frame_size: int = 2**20,
) -> Any:
    """A server's decoder that is past the handshake."""
    decoder = framing.Decoder(SIGNATURE, max_frame_size)
    decoder.expect_results(decode)
    return decoder


#: The ends of a connection: how the decoder is made there, and data frames that it expects.
ENDS: dict[str, tuple[Callable[..., Any], bytes, list[Any]]] = {
    "client": (
        items_decoder,
        item(0, b"a", 7, 1) + item(1, b"b", 8, 2),
        [run_of_items(0, [b"a", b"b"], [ticket(7, 1), ticket(8, 2)], 2)],
    ),
    "server": (
        results_decoder,
        settle(0, [5], [b"a"]) + result(1, b"b"),
        [run_of_results([b"a", b"b"], 2, [5], 2, 1)],
    ),
}


def comparable(thing: Any) -> Any:
    """Undecodable without its error, which equals nothing but itself."""
    if not isinstance(thing, Undecodable):
        return thing
    assert type(thing.error) is DecodeError
    return (
        *(thing.kind, thing.number, thing.count, thing.size, thing.settled),
        str(thing.error),
        repr(thing.error.__cause__),
    )


def join(things: list[Any], thing: Any) -> None:
    """Append, but make one run of two: where they are cut depends on how the bytes arrive."""
    last = things[-1] if things else None
    if isinstance(last, Items) and isinstance(thing, Items):
        assert last.first + len(last.values) == thing.first
        things[-1] = Items(
            last.first,
            last.values + thing.values,
            last.tickets + thing.tickets,
            last.size + thing.size,
        )
    elif isinstance(last, Results) and isinstance(thing, Results):
        things[-1] = run_of_results(
            last.values + thing.values,
            last.size + thing.size,
            [*numbers_of(last.settled), *numbers_of(thing.settled)],
            last.frames + thing.frames,
            thing.last if thing.values else last.last,
        )
    else:
        things.append(comparable(thing))


Ending = tuple[list[Any], type[BaseException] | None, str]


def ending(decoder: Any, pieces: Iterable[bytes]) -> Ending:
    """All that comes out of a stream, and how it fails, if it does."""
    things: list[Any] = []
    try:
        for piece in pieces:
            decoder.feed(piece)
            while (thing := decoder.read()) is not None:
                join(things, thing)
    except Exception as error:
        return things, type(error), str(error)
    return things, None, ""


def split(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(cuts), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


def ways_to_split(stream: bytes, cuts: Iterable[int]) -> list[list[bytes]]:
    return [
        [stream],
        split(stream, range(1, len(stream))),
        split(stream, (cut % (len(stream) + 1) for cut in cuts)),
    ]


# --- Encoder ------------------------------------------------------------------------------------


def test_encoder_lays_frames_out_as_the_wire_says(framing: Any) -> None:
    encoder = framing.Encoder(SIGNATURE)
    encoder.add(Kind.BYE)
    encoder.add(Kind.HELLO, b"hi")
    encoder.add_item(0x0102030405060708, 0x1112131415161718, 0x21222324, b"abc")
    encoder.add_result(0x0102030405060708, b"abc")
    encoder.add_settle(0x0102030405060708, 3, [0x3132333435363738, 2], [b"ab", b"", b"c"])
    assert b"".join(encoder.take()) == (
        b"dhc1\x01\0\0\0\x09"
        b"dhc1\x03\0\0\0\x01hi"
        b"dhc1\x18\0\0\0\x02\x08\x07\x06\x05\x04\x03\x02\x01"
        b"\x18\x17\x16\x15\x14\x13\x12\x11\x24\x23\x22\x21abc"
        b"dhc1\x0c\0\0\0\x04\x08\x07\x06\x05\x04\x03\x02\x01abc"
        b"dhc1\x2d\0\0\0\x03\x08\x07\x06\x05\x04\x03\x02\x01\x03\x02\0\0\0"
        b"\x38\x37\x36\x35\x34\x33\x32\x31\x02\0\0\0\0\0\0\0"
        b"\x02\0\0\0ab\0\0\0\0\x01\0\0\0c"
    )


@pytest.mark.parametrize("size", [0, 1, 3, MOST_SETTLED])
def test_settle_frames_of_any_number_of_items_and_entries(framing: Any, size: int) -> None:
    items = list(range(2**40, 2**40 + size))
    entries = [bytes([size % 256]) * (size % 100) for size in range(size)]
    encoder = framing.Encoder(SIGNATURE)
    encoder.add_settle(1, Outcome.DONE, items, entries)
    encoder.add_settle(2, Outcome.FAILED, [], entries)
    encoder.add_settle(3, Outcome.RETURNED, items, [])
    assert b"".join(encoder.take()) == (
        settle(1, items, entries)
        + settle(2, [], entries, Outcome.FAILED)
        + settle(3, items, [], Outcome.RETURNED)
    )


def test_items_that_are_done_in_a_row_share_a_frame_unless_they_have_results(framing: Any) -> None:
    encoder = framing.Encoder(SIGNATURE)
    assert encoder.add_done(0, 5, 5, None)
    assert not encoder.add_done(1, 6, 8, None)
    assert not encoder.add_done(1, 2, 2, None)  # whatever their numbers
    assert encoder.add_done(1, 9, 9, b"r")
    assert encoder.add_done(2, 10, 11, b"")
    assert encoder.add_done(3, 12, 12, None)
    encoder.add(Kind.BYE)
    assert encoder.add_done(4, 13, 13, None)
    large = b"x" * REFERENCE_THRESHOLD
    assert encoder.add_done(5, 14, 14, large)
    assert encoder.add_done(6, 15, 15, None)
    taken = encoder.take()
    assert large in taken
    assert encoder.add_done(7, 16, 16, None)  # not into what has been handed over
    taken += encoder.take()
    assert b"".join(taken) == (
        settle(0, [5, 6, 7, 8, 2], [])
        + settle(1, [9], [b"r"])
        + settle(2, [10, 11], [b""])
        + settle(3, [12], [])
        + control(Kind.BYE)
        + settle(4, [13], [])
        + settle(5, [14], [large])
        + settle(6, [15], [])
        + settle(7, [16], [])
    )


def test_a_shared_frame_is_full_some_time(framing: Any) -> None:
    encoder = framing.Encoder(SIGNATURE)
    assert encoder.add_done(0, 0, MOST_SETTLED - 2, None)
    assert encoder.add_done(1, MOST_SETTLED - 1, MOST_SETTLED, None)
    assert not encoder.add_done(2, MOST_SETTLED + 1, MOST_SETTLED + 1, None)
    assert b"".join(encoder.take()) == (
        settle(0, list(range(MOST_SETTLED - 1)), [])
        + settle(1, [MOST_SETTLED - 1, MOST_SETTLED, MOST_SETTLED + 1], [])
    )


def test_the_result_of_done_items_is_bytes(framing: Any) -> None:
    encoder = framing.Encoder(SIGNATURE)
    with pytest.raises(TypeError, match="payload must be bytes, not str"):
        encoder.add_done(0, 1, 1, "x")
    assert encoder.take() == []


@pytest.mark.parametrize("signature", [0, 0x7F38B034, 0xFFFF_FFFF])
def test_every_signature_of_32_bits_goes_through(framing: Any, signature: int) -> None:
    encoder = framing.Encoder(signature)
    encoder.add(1)
    encoder.add_settle(0, 0, [], [])
    stream = b"".join(encoder.take())
    assert stream[:4] == stream[9:13] == signature.to_bytes(4, "little")
    decoder = framing.Decoder(signature, 100)
    decoder.feed(stream)
    assert decoder.read() == (1, b"")
    assert decoder.read() == (Kind.SETTLE, bytes(13))


@pytest.mark.parametrize("signature", [-1, 2**32])
def test_a_signature_beyond_32_bits_is_refused(framing: Any, signature: int) -> None:
    with pytest.raises(ValueError, match=f"must fit 32 bits without a sign, not {signature}$"):
        framing.Encoder(signature)
    with pytest.raises(ValueError, match=f"must fit 32 bits without a sign, not {signature}$"):
        framing.Decoder(signature, 100)


def test_encoder_size_follows_what_is_pending(framing: Any) -> None:
    encoder = framing.Encoder(SIGNATURE)
    large = b"x" * REFERENCE_THRESHOLD
    steps: list[tuple[str, tuple[Any, ...], int]] = [
        ("add", (Kind.CLOSE, b"12345"), 14),
        ("add_item", (0, 0, 0, large), 29 + len(large)),
        ("add", (Kind.BYE,), 9),
        ("add_result", (0, b"12"), 19),
        ("add_settle", (0, 0, [1], [b"12"]), 36),
        ("add_settle", (0, 0, [1], [large, b"1", large]), 43 + 2 * len(large)),
        ("add_settle", (0, 0, [], [large]), 26 + len(large)),
    ]
    expected = 0
    assert encoder.size == 0
    assert encoder.take() == []
    for method, arguments, size in steps:
        getattr(encoder, method)(*arguments)
        expected += size
        assert encoder.size == expected
    assert sum(map(len, encoder.take())) == expected
    assert encoder.size == 0
    assert encoder.take() == []
    with pytest.raises(AttributeError):
        encoder.size = 1


def test_large_payloads_are_handed_over_uncopied_and_in_order(framing: Any) -> None:
    copied, referenced = b"c" * (REFERENCE_THRESHOLD - 1), b"r" * REFERENCE_THRESHOLD
    encoder = framing.Encoder(SIGNATURE)
    encoder.add_item(0, 1, 2, copied)
    encoder.add_item(1, 2, 3, referenced)
    encoder.add_result(2, referenced)
    encoder.add(Kind.ERROR, referenced)
    encoder.add(Kind.BYE)
    taken = encoder.take()
    assert [buffer is referenced for buffer in taken] == [False, True] * 3 + [False]
    assert b"".join(taken) == (
        item(0, copied, 1, 2)
        + item(1, referenced, 2, 3)
        + result(2, referenced)
        + control(Kind.ERROR, referenced)
        + control(Kind.BYE)
    )


def test_large_entries_of_a_settle_frame_are_handed_over_uncopied(framing: Any) -> None:
    copied, referenced = b"c" * (REFERENCE_THRESHOLD - 1), b"r" * REFERENCE_THRESHOLD
    encoder = framing.Encoder(SIGNATURE)
    encoder.add(Kind.PING)
    encoder.add_settle(0, 0, [1, 2], [b"1", referenced, referenced, copied, referenced, b"2"])
    encoder.add_settle(1, 0, [3], [referenced])
    encoder.add_settle(2, 0, [4], [copied])
    taken = encoder.take()
    assert [buffer is referenced for buffer in taken] == [False, True] * 4 + [False]
    assert b"".join(taken) == (
        control(Kind.PING)
        + settle(0, [1, 2], [b"1", referenced, referenced, copied, referenced, b"2"])
        + settle(1, [3], [referenced])
        + settle(2, [4], [copied])
    )


def test_what_was_taken_is_never_touched_again(framing: Any) -> None:
    encoder = framing.Encoder(SIGNATURE)
    encoder.add_result(0, b"first")
    taken = encoder.take()
    # Transports hold views; a bytearray with a view on it can neither grow nor shrink.
    views = [memoryview(buffer) for buffer in taken]
    for number in range(1000):
        encoder.add_item(number, 0, 1, b"later")
        encoder.add_settle(number, 0, [1], [b"later"])
    assert b"".join(views) == result(0, b"first")
    assert b"".join(encoder.take()) == b"".join(
        item(number, b"later") + settle(number, [1], [b"later"]) for number in range(1000)
    )
    assert taken == [result(0, b"first")]


class Subclass(bytes):
    pass


GREATEST = 2**64 - 1
LARGE_ENTRY = bytes(REFERENCE_THRESHOLD)

BadCall = tuple[str, tuple[Any, ...], type[Exception]]
BAD_CALLS: list[BadCall] = [
    *(
        (method, arguments, TypeError)
        for wrong in [bytearray(b"x"), memoryview(b"x"), "x", None, Subclass(b"x")]
        for method, arguments in [
            ("add", (1, wrong)),
            ("add_item", (1, 2, 3, wrong)),
            ("add_result", (1, wrong)),
            ("add_settle", (1, 0, [1], [wrong])),
            ("add_settle", (1, 0, [1], [b"1", LARGE_ENTRY, b"2", wrong])),
        ]
    ),
    *(
        (method, tuple(arguments), error)
        for method, limits in [
            ("add", [255]),
            ("add_item", [GREATEST, GREATEST, 2**32 - 1]),
            ("add_result", [GREATEST]),
            ("add_settle", [GREATEST, 255]),
        ]
        for place, limit in enumerate(limits)
        for bad, error in [
            (limit + 1, OverflowError),
            (-1, OverflowError),
            (2**70, OverflowError),
            ("2", TypeError),
            (None, TypeError),
        ]
        for arguments in [
            [bad if index == place else 1 for index in range(len(limits))]
            + ([[1], [b"x"]] if method == "add_settle" else [b"x"])
        ]
    ),
    *(
        ("add_done", arguments, error)
        for arguments, error in [
            ((GREATEST + 1, 1, 1, b"x"), OverflowError),
            ((1, GREATEST + 1, GREATEST + 1, b"x"), OverflowError),
            ((1, -1, -1, b"x"), OverflowError),
            (("2", 1, 1, b"x"), TypeError),
            ((1, None, None, b"x"), TypeError),
        ]
    ),
    *(
        ("add_settle", (1, 0, items, [LARGE_ENTRY]), error)
        for items, error in [
            ([-1], OverflowError),
            ([1, 2, 2**64], OverflowError),
            ([1, "2", -1], TypeError),
            ([1, None], TypeError),
        ]
    ),
]


@pytest.mark.parametrize(("method", "arguments", "error"), BAD_CALLS)
def test_a_frame_that_cannot_be_written_leaves_no_trace(
    framing: Any,
    method: str,
    arguments: tuple[Any, ...],
    error: type[Exception],
) -> None:
    encoder = framing.Encoder(SIGNATURE)
    encoder.add(Kind.PING)
    with pytest.raises(error):
        getattr(encoder, method)(*arguments)
    assert encoder.size == 9
    encoder.add(Kind.PONG)
    taken = encoder.take()
    assert taken == [control(Kind.PING) + control(Kind.PONG)]


def test_the_largest_numbers_pass(framing: Any) -> None:
    encoder = framing.Encoder(SIGNATURE)
    encoder.add(255)
    encoder.add_item(GREATEST, GREATEST, 2**32 - 1, b"x")
    encoder.add_result(GREATEST, b"x")
    encoder.add_settle(GREATEST, 255, [GREATEST], [b"x"])
    assert b"".join(encoder.take()) == (
        control(255)
        + item(GREATEST, b"x", GREATEST, 2**32 - 1)
        + result(GREATEST, b"x")
        + settle(GREATEST, [GREATEST], [b"x"], 255)
    )


def test_encoder_refuses_what_an_int32_cannot_tell(framing: Any) -> None:
    message = f"^frame length {MAX_LENGTH + 1} exceeds the limit of {MAX_LENGTH}$"
    # Zeros that were never written to: the system does not really provide the memory.
    half = bytes(2**30)
    rest = bytes(MAX_LENGTH - 2**30 - (DATA_PREFIX + SETTLE_PREFIX + 8 + 3 * 4))
    encoder = framing.Encoder(SIGNATURE)
    with pytest.raises(FrameTooLarge, match=message):
        encoder.add_settle(0, 0, [1], [half, rest, b"x"])
    assert encoder.size == 0
    encoder.add_settle(0, 0, [1], [half, rest, b""])
    assert encoder.size == 8 + MAX_LENGTH

    encoder.take()
    del half, rest
    payload = bytes(MAX_LENGTH + 1 - DATA_PREFIX)
    with pytest.raises(FrameTooLarge, match=message):
        encoder.add_result(0, payload)
    assert encoder.size == 0
    encoder.add(Kind.ERROR, payload)  # eight bytes fewer in front of it
    assert encoder.size == 9 + len(payload)


# --- Decoder: frames ----------------------------------------------------------------------------


def test_a_client_gets_control_frames_and_runs_in_order(framing: Any) -> None:
    decoder = items_decoder(framing)
    decoder.feed(
        control(Kind.CREDIT, b"credit")
        + item(0, b"a", 2**64 - 1, 2**32 - 1)
        + item(1, b"", 7, 1)
        + item(2, b"ccc", 8, 2)
        + control(Kind.PING)
        + control(Kind.BYE)
        + item(3, b"dd", 9, 1)
    )
    assert decoder.read() == (Kind.CREDIT, b"credit")
    tickets = [b"\xff" * 12, ticket(7, 1), ticket(8, 2)]
    assert decoder.read() == run_of_items(0, [b"a", b"", b"ccc"], tickets, 4)
    assert decoder.read() == (Kind.PING, b"")
    assert decoder.read() == (Kind.BYE, b"")
    assert decoder.read() == run_of_items(3, [b"dd"], [ticket(9, 1)], 2)
    assert decoder.read() is None


def test_a_server_gets_control_frames_and_runs_in_order(framing: Any) -> None:
    decoder = results_decoder(framing)
    decoder.feed(
        control(Kind.WINDOW, b"window")
        + settle(0, [3], [b"a"])
        + result(1, b"bb")
        + settle(2, [2**64 - 1, 1], [])
        + settle(3, [], [b"ccc", b"", b"d"])
        + control(Kind.LEAVE)
        + result(4, b"e")
        + control(Kind.PONG)
        + settle(5, [], [])
    )
    assert decoder.read() == (Kind.WINDOW, b"window")
    assert decoder.read() == run_of_results(
        [b"a", b"bb", b"ccc", b"", b"d"], 7, [3, 2**64 - 1, 1], frames=4, last=3
    )
    assert decoder.read() == (Kind.LEAVE, b"")
    assert decoder.read() == run_of_results([b"e"], 1, [], frames=1, last=1)
    assert decoder.read() == (Kind.PONG, b"")
    assert decoder.read() == run_of_results([], 0, [], frames=1, last=0)
    assert decoder.read() is None


def test_the_last_frame_that_counts_for_credit_is_the_last_with_results(
    framing: Any,
) -> None:
    decoder = results_decoder(framing)
    decoder.feed(result(0, b"a") + settle(1, [0], [b"b", b"c"]) + settle(2, [1], []))
    assert decoder.read() == run_of_results([b"a", b"b", b"c"], 3, [0, 1], frames=3, last=2)
    decoder.feed(settle(3, [2], []))
    assert decoder.read() == run_of_results([], 0, [2], frames=1, last=0)


@pytest.mark.parametrize("size", [1, 7, 10**9])
def test_runs_can_show_which_result_belongs_to_which_item(framing: Any, size: int) -> None:
    large = b"l" * (2 * REFERENCE_THRESHOLD)
    stream = (
        settle(0, [5], [b"a"])
        + settle(1, [4], [b"bb"])
        + settle(2, [6], [])
        + settle(3, [7], [b"ccc"])
        + settle(4, [8, 9], [b"d", b"e"])
        + settle(5, [10], [b"f", b"g"])
        + result(6, b"h")
        + result(7, large)
        + settle(8, [11, 12], [])
        + settle(9, [13], [b"i"])
    )
    decoder = results_decoder(framing)
    decoder.pair_results()
    runs = []
    for piece in split(stream, range(0, len(stream), size)):
        decoder.feed(piece)
        while (run := decoder.read()) is not None:
            runs.append((run.values, [*numbers_of(run.settled)], run.paired, run.frames, run.last))
    paired = [run for run in runs if run[2]]
    assert [value for values, *_ in paired for value in values] == [b"a", b"bb", b"ccc", b"i"]
    assert [number for _, settled, *_ in paired for number in settled] == [5, 4, 7, 13]
    assert all(frames == len(values) and last == 1 for values, _, _, frames, last in paired)
    assert [run for run in runs if not run[2]] == [
        ([], [6], False, 1, 0),
        ([b"d", b"e"], [8, 9], False, 1, 2),
        ([b"f", b"g"], [10], False, 1, 2),
        ([b"h"], [], False, 1, 1),
        ([large], [], False, 1, 1),
        ([], [11, 12], False, 1, 0),
    ]
    decoder.expect_results(identity)  # for another connection
    decoder.feed(settle(0, [1], []) + settle(1, [2], [b"a"]))
    assert decoder.read() == run_of_results([b"a"], 1, [1, 2], frames=2, last=1)


def test_what_gives_items_back_comes_by_itself(framing: Any) -> None:
    decoder = results_decoder(framing)
    decoder.feed(
        result(0, b"a")
        + settle(1, [3, 4], [b"why"], Outcome.FAILED)
        + settle(2, [5], [b"\xff", b"and more"], Outcome.RETURNED)
        + settle(3, [], [], Outcome.UNDECODABLE)
        + settle(4, [6], [b"unknown"], 255)
        + control(Kind.PING)
        + settle(5, [7], [b"b"])
    )
    assert decoder.read() == run_of_results([b"a"], 1, [], frames=1, last=1)
    assert decoder.read() == GivenBack(Outcome.FAILED, [3, 4], b"why")
    assert decoder.read() == GivenBack(Outcome.RETURNED, [5], b"\xff")
    assert decoder.read() == GivenBack(Outcome.UNDECODABLE, [], b"")
    assert decoder.read() == GivenBack(255, [6], b"unknown")
    assert decoder.read() == (Kind.PING, b"")
    assert decoder.read() == run_of_results([b"b"], 1, [7], frames=1, last=1)
    assert decoder.read() is None


@pytest.mark.parametrize("end", ENDS)
def test_a_run_spans_what_was_fed_in_pieces(framing: Any, end: str) -> None:
    new_decoder, stream, expected = ENDS[end]
    decoder = new_decoder(framing)
    for piece in split(stream, range(0, len(stream), 7)):
        decoder.feed(piece)
    assert [decoder.read(), decoder.read()] == [*expected, None]


def test_an_incomplete_frame_does_not_hold_back_the_run_before_it(framing: Any) -> None:
    stream = settle(0, [1], [b"a"]) + settle(1, [2], [b"b"])
    decoder = results_decoder(framing)
    decoder.feed(stream[:-1])
    assert decoder.read() == run_of_results([b"a"], 1, [1], 1, 1)
    assert decoder.read() is None
    decoder.feed(stream[-1:])
    assert decoder.read() == run_of_results([b"b"], 1, [2], 1, 1)


def test_the_two_ends_have_their_own_data_frames(framing: Any) -> None:
    client, server = items_decoder(framing), results_decoder(framing)
    for decoder in (client, server):
        decoder.feed(item(0, b"i") + result(0, b"r") + settle(1, [2], [b"s"]))
    assert client.read() == run_of_items(0, [b"i"], [ticket()], 1)
    assert client.read() == (Kind.RESULT, bytes(8) + b"r")
    assert client.read() == (Kind.SETTLE, settle(1, [2], [b"s"])[9:])
    assert server.read() == (Kind.ITEM, bytes(8) + ticket() + b"i")
    assert server.read() == run_of_results([b"r", b"s"], 2, [2], 2, 1)


def test_before_anything_is_expected_every_frame_is_a_control_frame(framing: Any) -> None:
    frames = {Kind.HELLO: control(Kind.HELLO, b"hi"), Kind.ITEM: item(7, b"early")}
    frames |= {Kind.SETTLE: settle(7, [1], [b"early"]), Kind.RESULT: result(7, b"early")}
    decoder = framing.Decoder(SIGNATURE, 2**20)
    decoder.feed(b"".join(frames.values()) + item(0, b"in time"))
    for kind, frame in frames.items():
        assert decoder.read() == (kind, frame[9:])
    decoder.expect_items(identity)
    assert decoder.read() == run_of_items(0, [b"in time"], [ticket()], 7)


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_decoder_takes_any_buffer_and_keeps_none_that_may_change(
    framing: Any, wrap: Callable[[bytearray], Any]
) -> None:
    stream = bytearray(settle(0, [1], [b"first"]) + result(1, b"second"))
    stream += control(Kind.CLOSE, b"close")
    decoder = results_decoder(framing)
    for piece in (stream[:20], stream[20:]):
        source = bytearray(piece)
        decoder.feed(wrap(source))
        source[:] = b"?" * len(source)
    assert decoder.read() == run_of_results([b"first", b"second"], 11, [1], 2, 1)
    assert decoder.read() == (Kind.CLOSE, b"close")


@pytest.mark.parametrize("wrong", [5, "text", None])
def test_decoder_takes_nothing_but_buffers(framing: Any, wrong: Any) -> None:
    with pytest.raises(TypeError, match="a bytes-like object is required"):
        items_decoder(framing).feed(wrong)


def test_large_frames_arrive_in_pieces(framing: Any) -> None:
    payload = bytes(range(256)) * 16 * 1024
    stream = result(0, payload) + settle(1, [7], [payload, b""]) + control(Kind.PING)
    decoder = results_decoder(framing, max_frame_size=len(payload))
    pieces = [stream[start : start + 65_537] for start in range(0, len(stream), 65_537)]
    things = []
    for count, piece in enumerate(pieces, 1):
        decoder.feed(piece)
        while (thing := decoder.read()) is not None:
            things.append((count, thing))
    assert things == [
        (64, run_of_results([payload], len(payload), [], 1, 1)),
        (128, run_of_results([payload, b""], len(payload), [7], 1, 2)),
        (128, (Kind.PING, b"")),
    ]


# --- Decoder: numbers ---------------------------------------------------------------------------


def test_repeated_items_are_skipped(framing: Any) -> None:
    decoder = items_decoder(framing, fussy)
    decoder.feed(item(0, b"a", 1) + item(0, b"a", 1))
    assert decoder.read() == run_of_items(0, [b"a"], [ticket(1)], 1)
    decoder.feed(item(0, b"!", 1))
    assert decoder.read() is None
    # They neither break up a run nor are they decoded.
    decoder.feed(item(1, b"b", 2) + item(0, b"!") + item(1, b"!") + item(2, b"c", 3))
    assert decoder.read() == run_of_items(1, [b"b", b"c"], [ticket(2), ticket(3)], 2)
    assert decoder.read() is None


def test_repeated_results_are_skipped(framing: Any) -> None:
    decoder = results_decoder(framing, fussy, max_frame_size=100)
    repeated = [
        result(0, b"!"),
        settle(1, [1], [b"!"]),
        settle(0, [1], [b"!"], Outcome.FAILED),
        settle(1, [1], [], count=2),  # not even looked at
        settle(1, [1], [bytes(101)]),
    ]
    decoder.feed(settle(0, [5], [b"a"]) + result(1, b"b") + b"".join(repeated))
    assert decoder.read() == run_of_results([b"a", b"b"], 2, [5], 2, 1)
    decoder.feed(b"".join(repeated))
    assert decoder.read() is None
    decoder.feed(result(2, b"c") + b"".join(repeated) + settle(3, [6], [b"d"]))
    assert decoder.read() == run_of_results([b"c", b"d"], 2, [6], 2, 1)
    assert decoder.read() is None


def test_repeated_frames_must_keep_to_the_limits_of_their_kind(framing: Any) -> None:
    decoder = items_decoder(framing, max_frame_size=10)
    decoder.feed(item(0, b"a") + item(0, bytes(11)))
    assert decoder.read() == run_of_items(0, [b"a"], [ticket()], 1)
    with pytest.raises(FrameTooLarge, match=r"^frame length 32 exceeds the limit of 31$"):
        decoder.read()


def test_what_came_back_by_itself_has_had_its_number(framing: Any) -> None:
    decoder = results_decoder(framing, fussy)
    decoder.feed(settle(0, [1], [b"no"], Outcome.FAILED) + result(1, b"!") + settle(2, [2], [b"!"]))
    for _ in range(3):
        assert isinstance(decoder.read(), GivenBack | Undecodable)
    for number in range(3):
        decoder.feed(result(number, b"repeated"))
        assert decoder.read() is None
    decoder.feed(result(3, b"a"))
    assert decoder.read() == run_of_results([b"a"], 1, [], 1, 1)


@pytest.mark.parametrize("first", [0, 1, 2**32, 2**63 - 1])
def test_numbers_begin_with_the_first_that_is_expected(framing: Any, first: int) -> None:
    client = framing.Decoder(SIGNATURE, 100)
    client.expect_items(identity, first)
    client.feed(b"".join(item(number, b"i") for number in (0, first - 1, first) if number >= 0))
    client.feed(item(first + 1, b"j") + item(first + 3, b"k"))
    assert client.read() == run_of_items(first, [b"i", b"j"], [ticket()] * 2, 2)
    with pytest.raises(ProtocolError, match=rf" {first + 2} or a repeated one, got {first + 3}$"):
        client.read()

    server = framing.Decoder(SIGNATURE, 100)
    server.expect_results(identity, first=first)
    server.feed(b"".join(result(number, b"r") for number in (0, first - 1, first) if number >= 0))
    server.feed(settle(first + 1, [1], [b"s"]) + settle(first + 3, [1], [b"t"]))
    assert server.read() == run_of_results([b"r", b"s"], 2, [1], 2, 1)
    with pytest.raises(ProtocolError, match=rf" {first + 2} or a repeated one, got {first + 3}$"):
        server.read()


@pytest.mark.parametrize("first", [-1, 2**63, 2**70])
def test_the_first_number_must_fit(framing: Any, first: int) -> None:
    decoder = framing.Decoder(SIGNATURE, 100)
    for expect in (decoder.expect_items, decoder.expect_results):
        with pytest.raises(ValueError, match=f"^first must be 0 to {2**63 - 1}, not {first}$"):
            expect(identity, first)
    decoder.feed(item(0, b"x"))
    assert decoder.read() == (Kind.ITEM, bytes(8) + ticket() + b"x")


# --- Decoder: refusals --------------------------------------------------------------------------

SMALL, LARGE = 10, 100_000  # of max_frame_size: below and above the limit of control frames

BELOW_1 = "is below the minimum of 1"
OTHER_PROGRAM = "another program, or another option"
CONTRADICTION = "a SETTLE frame whose lengths contradict each other"


class Refusal(NamedTuple):
    end: str
    max_frame_size: int
    bad: bytes
    error: type[ProtocolError]
    message: str

    @property
    def needs_the_whole_frame(self) -> bool:
        """It is not the header or the kind that is wrong."""
        return len(self.bad) > 16


def kind_header(length: int, kind: int) -> bytes:
    return header(length) + bytes([kind])


REFUSALS = {
    "another program": Refusal(
        "client",
        LARGE,
        b"GET / HTTP/1.1\r\n",
        InvalidSignature,
        f"expected signature 0x31636864, got 0x20544547: {OTHER_PROGRAM}",
    ),
    "signature first": Refusal(
        "server",
        LARGE,
        header(-5, 1),
        InvalidSignature,
        f"expected signature 0x31636864, got 0x00000001: {OTHER_PROGRAM}",
    ),
    **{
        f"{name} at the {end}": Refusal(
            end, LARGE, header(length), ProtocolError, f"frame length {length} {BELOW_1}"
        )
        for name, length in [("no kind", 0), ("negative", -5), ("least", -(2**31))]
        for end in ENDS
    },
    **{
        name: Refusal(
            end, size, bad, FrameTooLarge, f"frame length {length} exceeds the limit of {limit}"
        )
        for name, end, size, bad, length, limit in [
            ("header at the client", "client", LARGE, header(100_022), 100_022, 100_021),
            ("header at the server", "server", LARGE, header(165_537), 165_537, 165_536),
            ("longest at the client", "client", SMALL, header(2**31 - 1), 2**31 - 1, 65_536),
            ("longest at the server", "server", SMALL, header(2**31 - 1), 2**31 - 1, 65_546),
            ("long item", "client", SMALL, kind_header(32, Kind.ITEM), 32, 31),
            ("long result", "server", SMALL, kind_header(20, Kind.RESULT), 20, 19),
            ("long settle", "server", SMALL, kind_header(65_547, Kind.SETTLE), 65_547, 65_546),
            ("long error", "client", LARGE, kind_header(65_537, Kind.ERROR), 65_537, 65_536),
            ("long hello", "server", SMALL, kind_header(65_537, Kind.HELLO), 65_537, 65_536),
            ("result to client", "client", LARGE, kind_header(65_537, Kind.RESULT), 65_537, 65_536),
            ("settle to client", "client", LARGE, kind_header(65_537, Kind.SETTLE), 65_537, 65_536),
            ("item to server", "server", LARGE, kind_header(65_537, Kind.ITEM), 65_537, 65_536),
            ("entry", "server", SMALL, settle(2, [1], [b"", bytes(11)]), 11, 10),
            ("single entry", "server", SMALL, settle(2, [1], [bytes(11)]), 11, 10),
        ]
    },
    **{
        f"short {kind.name}": Refusal(
            end,
            LARGE,
            kind_header(least - 1, kind),
            ProtocolError,
            f"data frame length {least - 1} is below the minimum of {least}",
        )
        for end, kind, least in [
            ("client", Kind.ITEM, DATA_PREFIX + TICKET_SIZE),
            ("server", Kind.RESULT, DATA_PREFIX),
            ("server", Kind.SETTLE, DATA_PREFIX + SETTLE_PREFIX),
        ]
    },
    **{
        f"number {number} of {kind.name}": Refusal(
            end,
            LARGE,
            data(kind, number, bytes(24)),
            ProtocolError,
            f"expected data frame number 2 or a repeated one, got {number}",
        )
        for end, kind in [
            ("client", Kind.ITEM),
            ("server", Kind.RESULT),
            ("server", Kind.SETTLE),
        ]
        for number in (3, 7, 2**64 - 1)
    },
    **{
        name: Refusal("server", SMALL, bad, ProtocolError, CONTRADICTION)
        for outcome in (Outcome.DONE, Outcome.FAILED)
        for name, bad in [
            (f"{outcome.name}, too many", settle(2, range(MOST_SETTLED + 1), [], outcome)),
            (f"{outcome.name}, no items", settle(2, [], [], outcome, count=1)),
            (f"{outcome.name}, 1 too few", settle(2, [1], [b"1234"], outcome, count=3)),
            (f"{outcome.name}, part of an item", settle(2, [1], [b"123"], outcome, count=2)),
            (f"{outcome.name}, great count", settle(2, [1], [], outcome, count=2**32 - 1)),
            *(
                (f"{outcome.name}, {name}", data(Kind.SETTLE, 2, bytes([outcome]) + body))
                for name, body in [
                    ("1 stray byte", bytes(4) + b"\0"),
                    ("3 stray bytes", bytes(4) + b"\0\0\0"),
                    ("stray byte after items", b"\1\0\0\0" + bytes(8) + b"\0"),
                    ("stray byte after entries", bytes(4) + b"\1\0\0\0x" + b"\0"),
                    ("an entry beyond the end", bytes(4) + b"\2\0\0\0x"),
                    ("a large entry beyond the end", bytes(4) + b"\xff\xff\xff\xffx"),
                    ("a second one", bytes(4) + b"\1\0\0\0x" + b"\2\0\0\0x"),
                ]
            ),
        ]
    },
}


@pytest.mark.parametrize("byte_by_byte", [False, True])
@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(framing: Any, name: str, byte_by_byte: bool) -> None:
    refusal = REFUSALS[name]
    new_decoder, good, expected = ENDS[refusal.end]
    decoder = new_decoder(framing, max_frame_size=refusal.max_frame_size)
    stream = control(Kind.PING) + good + refusal.bad
    pieces = split(stream, range(1, len(stream))) if byte_by_byte else [stream]
    # Everything before it comes out first; the last byte of ``bad`` brings the refusal.
    things, error, text = ending(decoder, pieces)
    assert things == [(Kind.PING, b""), *expected]
    assert (error, text) == (refusal.error, refusal.message)
    # It stays, whatever is fed.
    for _ in range(3):
        decoder.feed(control(Kind.BYE))
        with pytest.raises(ProtocolError) as caught:
            decoder.read()
        assert (type(caught.value), str(caught.value)) == (refusal.error, refusal.message)


@pytest.mark.parametrize(
    "name", [name for name, refusal in REFUSALS.items() if not refusal.needs_the_whole_frame]
)
def test_refusals_wait_for_no_more_than_they_need(framing: Any, name: str) -> None:
    refusal = REFUSALS[name]
    decoder = ENDS[refusal.end][0](framing, max_frame_size=refusal.max_frame_size)
    decoder.feed(refusal.bad[:7])
    assert decoder.read() is None
    decoder.feed(refusal.bad[7:9])
    with pytest.raises(ProtocolError):
        decoder.read()


def test_a_contradiction_is_found_before_anything_is_decoded(framing: Any) -> None:
    decoded: list[bytes] = []
    decoder = results_decoder(framing, decoded.append)
    decoder.feed(settle(0, [1], [b"a", b"b"])[:-1])
    assert decoder.read() is None
    decoder = results_decoder(framing, decoded.append)
    frame = settle(0, [1], [b"a", b"b"])
    decoder.feed(frame[:-5] + b"\2" + frame[-4:])
    with pytest.raises(ProtocolError, match=f"^{CONTRADICTION}$"):
        decoder.read()
    assert decoded == []


@pytest.mark.parametrize("max_frame_size", [0, SMALL, LARGE])
def test_frames_at_their_limits_pass(framing: Any, max_frame_size: int) -> None:
    longest_control = control(Kind.ERROR, b"e" * (CONTROL_LIMIT - 1))
    payload = b"p" * max_frame_size
    client = items_decoder(framing, max_frame_size=max_frame_size)
    client.feed(longest_control + item(0, payload))
    assert client.read() == (Kind.ERROR, b"e" * (CONTROL_LIMIT - 1))
    assert client.read() == run_of_items(0, [payload], [ticket()], max_frame_size)

    most = list(range(MOST_SETTLED))
    server = results_decoder(framing, max_frame_size=max_frame_size)
    server.feed(longest_control + result(0, payload) + settle(1, most, [payload, b""]))
    assert server.read() == (Kind.ERROR, b"e" * (CONTROL_LIMIT - 1))
    assert server.read() == run_of_results([payload, payload, b""], 2 * max_frame_size, most, 2, 2)
    # No limit but that of the frame applies to a reason.
    reason = b"r" * (max_frame_size + CONTROL_LIMIT - DATA_PREFIX - SETTLE_PREFIX - 4)
    server.feed(settle(2, [], [reason], Outcome.FAILED))
    assert server.read() == GivenBack(Outcome.FAILED, [], reason)


def test_before_anything_is_expected_frames_must_be_short(framing: Any) -> None:
    decoder = framing.Decoder(SIGNATURE, 2**20)
    decoder.feed(control(Kind.HELLO, b"h" * (CONTROL_LIMIT - 1)) + header(CONTROL_LIMIT + 1))
    assert decoder.read() == (Kind.HELLO, b"h" * (CONTROL_LIMIT - 1))
    with pytest.raises(FrameTooLarge, match=r"^frame length 65537 exceeds the limit of 65536$"):
        decoder.read()


@pytest.mark.parametrize("size", [-1, MAX_FRAME_SIZE + 1])
def test_max_frame_size_must_fit(framing: Any, size: int) -> None:
    with pytest.raises(ValueError, match=f"^max_frame_size must be 0 to 2147418111, not {size}$"):
        framing.Decoder(SIGNATURE, size)


@pytest.mark.parametrize(
    ("end", "kind", "length"),
    [
        ("client", Kind.ITEM, MAX_FRAME_SIZE + DATA_PREFIX + TICKET_SIZE),
        ("server", Kind.RESULT, MAX_FRAME_SIZE + DATA_PREFIX),
        ("server", Kind.SETTLE, MAX_LENGTH),
    ],
)
def test_a_hostile_header_costs_no_memory(framing: Any, end: str, kind: int, length: int) -> None:
    decoder = ENDS[end][0](framing, max_frame_size=MAX_FRAME_SIZE)
    tracemalloc.start()
    try:
        decoder.feed(kind_header(length, kind))
        assert decoder.read() is None
        for _ in range(16):
            decoder.feed(b"\xff" * 1024)
            assert decoder.read() is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024


@pytest.mark.parametrize("rest", [b"", header(100)])
def test_what_has_been_read_is_not_kept_alive(framing: Any, rest: bytes) -> None:
    decoder = results_decoder(framing, fussy)
    tracemalloc.start()
    try:
        decoder.feed(
            result(0, bytes(2**20))
            + settle(1, [1], [bytes(2**20)])
            + settle(2, [2], [bytes(2**20)], Outcome.FAILED)
            + settle(3, [3], [bytes(2**20), b"!"])
            + rest
        )
        assert decoder.read().size == 2**21
        assert len(decoder.read().reason) == 2**20
        assert decoder.read().size == 2**20 + 1
        assert decoder.read() is None
        gc.collect()  # what decode() raised, and the frames in its traceback, refer to each other
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 64 * 1024


def test_an_error_releases_what_was_fed(framing: Any) -> None:
    decoder = items_decoder(framing)
    tracemalloc.start()
    try:
        decoder.feed(header(0) + bytes(2**20))
        decoder.feed(bytes(2**20))
        with pytest.raises(ProtocolError):
            decoder.read()
        decoder.feed(bytes(2**20))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 64 * 1024


def test_repeated_errors_do_not_pile_up_tracebacks(framing: Any) -> None:
    decoder = items_decoder(framing)
    decoder.feed(header(0))
    lengths = []
    for _ in range(3):
        with pytest.raises(ProtocolError) as caught:
            decoder.read()
        lengths.append(len(caught.traceback))
    assert lengths[0] == lengths[1] == lengths[2]


# --- Decoder: decode() --------------------------------------------------------------------------


def test_an_item_that_does_not_decode_ends_the_run_and_nothing_else(framing: Any) -> None:
    original = ValueError("no such word")

    def decode(payload: bytes) -> object:
        if payload == b"bad":
            raise original
        return payload

    decoder = items_decoder(framing, decode)
    decoder.feed(item(0, b"good", 5) + item(1, b"bad", 6) + item(2, b"better", 7) + item(3, b"bad"))
    assert decoder.read() == run_of_items(0, [b"good"], [ticket(5)], 4)
    failed = decoder.read()
    assert (failed.kind, failed.number, failed.count, failed.size) == (Kind.ITEM, 1, 1, 3)
    assert failed.settled == []
    assert type(failed.error) is DecodeError
    assert str(failed.error) == "data frame 1 does not decode: ValueError: no such word"
    assert failed.error.__cause__ is original
    assert decoder.read() == run_of_items(2, [b"better"], [ticket(7)], 6)
    assert decoder.read().number == 3
    assert decoder.read() is None


def test_of_a_settle_frame_all_results_decode_or_none_counts(framing: Any) -> None:
    def undecodable(*figures: Any) -> tuple[Any, ...]:
        number = figures[1]
        return (*figures, f"data frame {number} does not decode: ValueError: !", "ValueError('!')")

    decoder = results_decoder(framing, fussy)
    decoder.feed(
        result(0, b"a")
        + settle(1, [1, 2], [b"bb", b"!", b"ccc"])
        + settle(2, [3], [b"!"])
        + result(3, b"!")
        + settle(4, [4], [b"d"])
    )
    assert decoder.read() == run_of_results([b"a"], 1, [], 1, 1)
    assert comparable(decoder.read()) == undecodable(Kind.SETTLE, 1, 3, 6, [1, 2])
    assert comparable(decoder.read()) == undecodable(Kind.SETTLE, 2, 1, 1, [3])
    assert comparable(decoder.read()) == undecodable(Kind.RESULT, 3, 1, 1, [])
    assert decoder.read() == run_of_results([b"d"], 1, [4], 1, 1)
    assert decoder.read() is None


def test_the_reason_why_items_come_back_is_not_decoded(framing: Any) -> None:
    decoder = results_decoder(framing, fussy)
    decoder.feed(settle(0, [1], [b"!"], Outcome.RETURNED))
    assert decoder.read() == GivenBack(Outcome.RETURNED, [1], b"!")


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize(
    ("end", "stream", "expected"),
    [
        (
            "client",
            item(0, b"a", 1) + item(1, b"b", 2) + item(2, b"c", 3),
            run_of_items(0, [b"a", b"b", b"c"], [ticket(1), ticket(2), ticket(3)], 3),
        ),
        (
            "server",
            result(0, b"a") + settle(1, [1], [b"b"]) + result(2, b"c"),
            run_of_results([b"a", b"b", b"c"], 3, [1], 3, 1),
        ),
        (
            "server",
            settle(0, [1], [b"a"]) + settle(1, [2, 3], [b"b", b"c", b"d"]),
            run_of_results([b"a", b"b", b"c", b"d"], 4, [1, 2, 3], 2, 3),
        ),
    ],
)
def test_an_interrupted_read_loses_nothing(
    framing: Any,
    interruption: type[BaseException],
    end: str,
    stream: bytes,
    expected: object,
) -> None:
    interruptions = [interruption()]

    def decode(payload: bytes) -> object:
        if payload == b"c" and interruptions:
            raise interruptions.pop()
        return payload

    decoder = ENDS[end][0](framing, decode)
    decoder.feed(stream[:25])  # the first frames come from two pieces
    decoder.feed(stream[25:])
    with pytest.raises(interruption):
        decoder.read()
    assert decoder.read() == expected
    assert decoder.read() is None


def test_decode_may_feed_the_decoder(framing: Any) -> None:
    more = [result(number, b"more" * number) for number in range(200, 1, -1)]

    def decode(payload: bytes) -> object:
        if more:
            decoder.feed(more.pop())
            decoder.feed(b"")
        return payload

    decoder = results_decoder(framing, decode)
    # Put together in a buffer of its own.
    for piece in split(result(0, b"first") + settle(1, [5], [b"second", b"third"]), [10, 40]):
        decoder.feed(piece)
    expected = [b"first", b"second", b"third", *(b"more" * number for number in range(2, 201))]
    assert decoder.read() == run_of_results(expected, sum(map(len, expected)), [5], 201, 1)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    "use",
    [
        lambda decoder: decoder.read(),
        lambda decoder: decoder.expect_items(identity),
        lambda decoder: decoder.expect_results(identity, 7),
    ],
)
def test_decode_may_only_feed_the_decoder(
    framing: Any, end: str, use: Callable[[Any], object]
) -> None:
    new_decoder, stream, _ = ENDS[end]
    decoder: Any = new_decoder(framing, lambda payload: use(decoder))
    decoder.feed(stream)
    for number in range(2):
        failed = decoder.read()
        assert failed.number == number
        assert isinstance(failed.error.__cause__, RuntimeError)
        assert str(failed.error.__cause__) == (
            "while a read() of the decoder is under way, only feed() may be called"
        )
    assert decoder.read() is None


@pytest.mark.parametrize("end", ENDS)
def test_a_large_control_frame_is_no_payload_wherever_it_is_cut(framing: Any, end: str) -> None:
    # It begins as data frames do: with the number of the next one, as an ordinary CLOSE does.
    body = (0).to_bytes(8, "little") + b"w" * 40_000
    stream = control(Kind.CLOSE, body)
    for cut in range(1, 40):
        decoder = ENDS[end][0](framing)
        decoder.feed(stream[:cut])
        assert decoder.read() is None
        decoder.feed(stream[cut:])
        assert decoder.read() == (Kind.CLOSE, body)


# --- Properties, and the twins against each other -----------------------------------------------

uint64s = st.integers(0, 2**64 - 1)
payloads = st.one_of(st.binary(max_size=60), st.binary(max_size=5).map(lambda tail: b"!" + tail))
some_items = st.lists(uint64s, max_size=3)
some_entries = st.lists(payloads, max_size=4)

#: The method of the encoder, and its arguments without the number.
Call = tuple[str, tuple[Any, ...]]
item_calls = st.tuples(st.just("add_item"), st.tuples(uint64s, st.integers(0, 2**32 - 1), payloads))
result_calls = st.one_of(
    st.tuples(st.just("add_result"), st.tuples(payloads)),
    st.tuples(st.just("add_settle"), st.tuples(st.integers(0, 4), some_items, some_entries)),
    st.tuples(st.just("add_settle"), st.tuples(st.just(0), some_items, some_entries)),
)
control_calls = st.tuples(
    st.just("add"),
    st.tuples(st.integers(0, 255).filter(lambda kind: kind not in (2, 3, 4)), payloads),
)
#: Repeats the frame with that number, if there has been one.
repetitions = st.tuples(st.just("repeat"), st.tuples(st.integers(0, 5)))
client_calls = st.lists(st.one_of(item_calls, control_calls, repetitions), max_size=12)
server_calls = st.lists(st.one_of(result_calls, control_calls, repetitions), max_size=12)


def encode(framing: Any, calls: list[Call]) -> list[bytes | bytearray]:
    encoder = framing.Encoder(SIGNATURE)
    sent: list[Call] = []
    for call in calls:
        method, arguments = call
        if method == "add":
            encoder.add(*arguments)
            continue
        number = len(sent)
        if method == "repeat":
            (number,) = arguments
            if number >= len(sent):
                continue
            method, arguments = sent[number]
        else:
            sent.append(call)
        getattr(encoder, method)(number, *arguments)
    taken: list[bytes | bytearray] = encoder.take()
    return taken


def what_comes_out(calls: list[Call]) -> list[Any]:
    """A model of both twins."""
    things: list[Any] = []
    numbers = itertools.count()
    for method, arguments in calls:
        if method == "add":
            things.append(arguments)
            continue
        if method == "repeat":
            continue
        number = next(numbers)
        entries = arguments[-1] if method == "add_settle" else [arguments[-1]]
        kind = {"add_item": 2, "add_settle": 3, "add_result": 4}[method]
        items = arguments[1] if method == "add_settle" else []
        size = sum(map(len, entries))
        bad = [entry.decode("latin-1") for entry in entries if entry.startswith(b"!")]
        if method == "add_settle" and arguments[0] != Outcome.DONE:
            things.append(GivenBack(arguments[0], items, entries[0] if entries else b""))
        elif bad:
            error = ValueError(bad[0])
            words = f"data frame {number} does not decode: ValueError: {error}"
            things.append((kind, number, len(entries), size, items, words, repr(error)))
        elif method == "add_item":
            join(things, run_of_items(number, entries, [ticket(*arguments[:2])], size))
        else:
            join(things, run_of_results(entries, size, items, 1, len(entries)))
    return things


@pytest.mark.parametrize(("encoding", "decoding"), list(itertools.product(TWINS, TWINS)))
@settings(deadline=None)
@given(
    end_and_calls=st.one_of(
        st.tuples(st.just("client"), client_calls), st.tuples(st.just("server"), server_calls)
    ),
    cuts=st.lists(st.integers(0, 1000)),
)
def test_what_goes_in_comes_out_however_it_is_cut(
    encoding: str, decoding: str, end_and_calls: tuple[str, list[Call]], cuts: list[int]
) -> None:
    end, calls = end_and_calls
    new_decoder = ENDS[end][0]
    stream = b"".join(encode(load(encoding), calls))
    expected = what_comes_out(calls)
    for pieces in ways_to_split(stream, cuts):
        # Once reading after every piece, and once only at the end: then runs are of full length.
        decoder = new_decoder(load(decoding), fussy)
        assert ending(decoder, pieces) == (expected, None, "")
        decoder = new_decoder(load(decoding), fussy)
        for piece in pieces:
            decoder.feed(piece)
        assert [comparable(thing) for thing in iter(decoder.read, None)] == expected


large_or_not = st.one_of(
    payloads, st.sampled_from([bytes(REFERENCE_THRESHOLD - 1), bytes(REFERENCE_THRESHOLD)])
)


@settings(deadline=None)
@given(
    calls=st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.tuples(st.integers(0, 255), large_or_not)),
            st.tuples(
                st.just("add_item"), st.tuples(uint64s, st.integers(0, 2**32 - 1), large_or_not)
            ),
            st.tuples(st.just("add_result"), st.tuples(large_or_not)),
            st.tuples(
                st.just("add_settle"),
                st.tuples(
                    st.integers(0, 255),
                    st.one_of(some_items, st.just([1] * MOST_SETTLED)),
                    st.lists(large_or_not, max_size=5),
                ),
            ),
            st.tuples(
                st.just("add_done"),
                st.tuples(st.just(7), st.integers(7, 9), st.none() | large_or_not),
            ),
        ),
        max_size=30,
    )
)
def test_the_twins_encode_into_the_same_buffers(calls: list[Call]) -> None:
    results = [
        [(type(buffer), bytes(buffer)) for buffer in encode(load(twin), calls)] for twin in TWINS
    ]
    assert all(result == results[0] for result in results)


#: Of the fields that tell how long something is, or the most of which are wrong.
small_numbers = st.integers(0, 3)
#: Streams that are right up to some point, and bytes that are anything.
hostile = st.lists(
    st.one_of(
        payloads,
        st.builds(item, small_numbers, payloads),
        st.builds(result, small_numbers, payloads),
        st.builds(settle, small_numbers, some_items, some_entries, st.integers(0, 2)),
        st.builds(
            settle,
            small_numbers,
            some_items,
            some_entries,
            st.integers(0, 1),
            st.one_of(st.integers(0, 5), st.integers(0, 2**32 - 1)),
        ),
        st.builds(data, st.sampled_from([2, 3, 4]), small_numbers, payloads),
        st.builds(control, st.integers(0, 255), payloads),
        st.builds(header, st.integers(-(2**31), 2**31 - 1)),
        st.builds(header, st.integers(-2, 40)),
        st.builds(kind_header, st.integers(1, CONTROL_LIMIT + 100), st.integers(1, 5)),
    ),
    max_size=8,
).map(b"".join)


@settings(deadline=None)
@given(
    stream=hostile,
    cuts=st.lists(st.integers(0, 500), max_size=6),
    max_frame_size=st.sampled_from([0, 20, 70_000, MAX_FRAME_SIZE]),
    expecting=st.sampled_from(["nothing", "expect_items", "expect_results"]),
    first=small_numbers,
)
def test_any_bytes_have_one_ending(
    stream: bytes, cuts: list[int], max_frame_size: int, expecting: str, first: int
) -> None:
    endings = []
    for twin in TWINS:
        for pieces in ways_to_split(stream, cuts):
            decoder = load(twin).Decoder(SIGNATURE, max_frame_size)
            if expecting != "nothing":
                getattr(decoder, expecting)(fussy, first)
            endings.append(ending(decoder, pieces))
    assert all(result == endings[0] for result in endings)
    error = endings[0][1]
    assert error is None or issubclass(error, ProtocolError)


# --- Receiving without a copy ---------------------------------------------------------------------

LARGE_PAYLOADS = [b"a" * 10, b"b" * 300_000, b"c" * 3_000_000, b"", b"d" * 262_200, b"e"]
LARGE_ITEMS = b"".join(item(number, each) for number, each in enumerate(LARGE_PAYLOADS))


def receive(decoder: Any, stream: bytes, step: int, every: bool = True) -> list[Any]:
    """As a transport does it, at most ``step`` bytes at once; what comes of it."""
    things: list[Any] = []
    position = 0
    while position < len(stream):
        view = decoder.get_buffer()
        assert len(view) > 0
        size = min(step, len(view), len(stream) - position)
        view[:size] = stream[position : position + size]
        decoder.buffer_updated(size)
        position += size
        if every or position == len(stream):
            for thing in iter(decoder.read, None):
                join(things, thing)
    return things


@pytest.mark.parametrize("step", [50_000, 65_537, 10**9])
@pytest.mark.parametrize("every", [True, False])
def test_large_payloads_are_received_as_small_ones_are(
    framing: Any, step: int, every: bool
) -> None:
    decoder = items_decoder(framing, identity, 2**22)
    (run,) = receive(decoder, LARGE_ITEMS, step, every)
    assert run.values == LARGE_PAYLOADS
    assert bytes(run.tickets) == ticket() * len(LARGE_PAYLOADS)
    assert run.size == sum(map(len, LARGE_PAYLOADS))
    assert not decoder.in_mid_frame


@pytest.mark.parametrize("fed_first", [1, 30, 200_000, 400_000, 3_300_100])
def test_what_is_fed_and_what_is_received_are_one_stream(framing: Any, fed_first: int) -> None:
    decoder = items_decoder(framing, identity, 2**22)
    things: list[Any] = []
    middle = fed_first + 100_000
    decoder.feed(LARGE_ITEMS[:fed_first])
    for thing in iter(decoder.read, None):
        join(things, thing)
    for thing in receive(decoder, LARGE_ITEMS[fed_first:middle], 30_000):
        join(things, thing)
    assert decoder.in_mid_frame
    for start in range(middle, len(LARGE_ITEMS), 70_000):
        decoder.feed(LARGE_ITEMS[start : min(start + 70_000, len(LARGE_ITEMS))])
    for thing in iter(decoder.read, None):
        join(things, thing)
    (run,) = things
    assert run.values == LARGE_PAYLOADS


@pytest.mark.parametrize("step", [29, 4_000, 40_029, 65_537, 10**9])
def test_reading_as_advised_gets_everything_and_keeps_little_waiting(
    framing: Any, step: int
) -> None:
    payloads = [*LARGE_PAYLOADS, *[b"f" * 40_000] * 60, b"g", *[b"h" * 700_000] * 3, b"i" * 31_000]
    stream = b"".join(item(number, each) for number, each in enumerate(payloads))
    decoder = items_decoder(framing, identity, 2**22)
    things: list[Any] = []
    position = 0
    unread = 0
    while position < len(stream):
        view = decoder.get_buffer()
        size = min(step, len(view), len(stream) - position)
        view[:size] = stream[position : position + size]
        advice = decoder.buffer_updated(size)
        position += size
        unread += size
        if advice == _frames.SOON:
            assert unread < 2 * _frames.BURST + 3_000_000
            continue
        unread = 0
        run = decoder.read()
        if advice == _frames.NOW_AND_PAUSE:
            assert run.size >= _frames.BURST
        while run is not None:
            join(things, run)
            run = decoder.read()
    (run,) = things
    assert run.values == payloads
    assert not decoder.in_mid_frame


def test_a_control_frame_behind_a_large_item_waits_for_its_turn(framing: Any) -> None:
    decoder = items_decoder(framing, identity, 2**22)
    stream = item(0, b"x" * 100_000) + control(Kind.PING) + item(1, b"y" * 100_000)
    run, ping, last = receive(decoder, stream, 10**9, every=False)
    assert (run.values, ping, last.values) == (
        [b"x" * 100_000],
        (Kind.PING, b""),
        [b"y" * 100_000],
    )


def test_a_large_item_that_does_not_decode_harms_no_other(framing: Any) -> None:
    decoder = items_decoder(framing, fussy, 2**22)
    stream = item(0, b"!" * 500_000) + item(1, b"x" * 500_000)
    failed, run = receive(decoder, stream, 100_000)
    assert failed[:4] == (Kind.ITEM, 0, 1, 500_000)
    assert run.values == [b"x" * 500_000]


def test_repeated_large_items_are_skipped_and_wrong_ones_refused(framing: Any) -> None:
    decoder = items_decoder(framing, identity, 2**22)
    first, second = item(0, b"x" * 500_000), item(1, b"y" * 500_000)
    (run,) = receive(decoder, first + first + second, 100_000)
    assert run.values == [b"x" * 500_000, b"y" * 500_000]
    with pytest.raises(ProtocolError, match="expected data frame number 2"):
        receive(decoder, item(7, b"z" * 500_000), 100_000)


def test_an_interrupted_read_keeps_a_large_item(framing: Any) -> None:
    interrupts = [KeyboardInterrupt]

    def decode(payload: bytes) -> bytes:
        if interrupts:
            raise interrupts.pop()
        return payload

    decoder = items_decoder(framing, decode, 2**22)
    with pytest.raises(KeyboardInterrupt):
        receive(decoder, item(0, b"x" * 500_000), 100_000)
    assert decoder.read().values == [b"x" * 500_000]


def test_the_length_that_a_large_frame_claims_costs_no_memory(framing: Any) -> None:
    decoder = framing.Decoder(SIGNATURE, 2**30)
    decoder.expect_items(identity)
    tracemalloc.start()
    try:
        start = item(0, b"")[8:] + b"x" * 300_000
        receive(decoder, header(2**29) + start, 50_000)
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()
