"""``_framing``: one suite over both twins, and both against each other."""

import importlib
import itertools
import struct
import tracemalloc
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distchan import BACKEND
from distchan._frames import MAX_LENGTH, REFERENCE_THRESHOLD, Run, Undecodable
from distchan._wire import CONTROL_LIMIT, DATA_PREFIX, MAX_FRAME_SIZE, SIGNATURE, Kind
from distchan.errors import DecodeError, FrameTooLarge, InvalidSignature, ProtocolError

#: Nobody asked for the compiled twins, or no compiler made them: `make test` sees to the latter.
TWINS = ["python"] if BACKEND == "python" else ["python", "cython"]
MODULES = {"python": "distchan._framing_py", "cython": "distchan._framing"}


def load(twin: str) -> ModuleType:
    return importlib.import_module(MODULES[twin])


@pytest.fixture(params=["python", "cython"])
def framing(request: pytest.FixtureRequest) -> ModuleType:
    if request.param not in TWINS:
        pytest.skip("the compiled twins are not in use")
    return load(request.param)


def header(length: int, signature: int = SIGNATURE) -> bytes:
    return struct.pack("<Ii", signature, length)


def control(kind: int, body: bytes = b"") -> bytes:
    return header(1 + len(body)) + bytes([kind]) + body


def data(number: int, payload: bytes, kind: int = Kind.ITEM) -> bytes:
    return header(DATA_PREFIX + len(payload)) + struct.pack("<BQ", kind, number) + payload


def identity(payload: bytes) -> bytes:
    assert type(payload) is bytes
    return payload


def new_decoder(
    framing: ModuleType,
    decode: Callable[[bytes], object] = identity,
    max_frame_size: int = 2**20,
) -> Any:
    """A decoder that is past the handshake."""
    decoder = framing.Decoder(SIGNATURE, max_frame_size)
    decoder.expect_data(Kind.ITEM, decode)
    return decoder


Outcome = tuple[list[tuple[int, Any]], type[BaseException] | None, str]


def outcome(decoder: Any, pieces: Iterable[bytes]) -> Outcome:
    """All that comes out of a stream: the frames, then how it fails, if it does."""
    things: list[tuple[int, Any]] = []
    try:
        for piece in pieces:
            decoder.feed(piece)
            while (thing := decoder.read()) is not None:
                kind, content = thing
                if isinstance(content, Run):
                    things += [(kind, [value]) for value in content.values]
                elif isinstance(content, Undecodable):
                    things.append((kind, (content.number, content.size, str(content.error))))
                else:
                    things.append(thing)
    except Exception as error:
        return things, type(error), str(error)
    return things, None, ""


def split(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(cuts), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


# --- Encoder ------------------------------------------------------------------------------------


def test_encoder_lays_frames_out_as_the_wire_says(framing: ModuleType) -> None:
    encoder = framing.Encoder(SIGNATURE)
    encoder.add(Kind.LEAVE)
    encoder.add(Kind.HELLO, b"hi")
    encoder.add_data(Kind.ITEM, 0x0102030405060708, b"abc")
    assert b"".join(encoder.take()) == (
        b"dhc1\x01\0\0\0\x06"
        b"dhc1\x03\0\0\0\x01hi"
        b"dhc1\x0c\0\0\0\x02\x08\x07\x06\x05\x04\x03\x02\x01abc"
    )


@pytest.mark.parametrize("signature", [0, 0x7F38B034, 0xFFFF_FFFF])
def test_every_signature_of_32_bits_goes_through(framing: ModuleType, signature: int) -> None:
    encoder = framing.Encoder(signature)
    encoder.add(1)
    stream = b"".join(encoder.take())
    assert stream[:4] == signature.to_bytes(4, "little")
    decoder = framing.Decoder(signature, 100)
    decoder.feed(stream)
    assert decoder.read() == (1, b"")


@pytest.mark.parametrize("signature", [-1, 2**32])
def test_a_signature_beyond_32_bits_is_refused(framing: ModuleType, signature: int) -> None:
    with pytest.raises(ValueError, match=f"must fit 32 bits without a sign, not {signature}$"):
        framing.Encoder(signature)
    with pytest.raises(ValueError, match=f"must fit 32 bits without a sign, not {signature}$"):
        framing.Decoder(signature, 100)


def test_encoder_size_follows_what_is_pending(framing: ModuleType) -> None:
    encoder = framing.Encoder(SIGNATURE)
    assert encoder.size == 0
    assert encoder.take() == []
    encoder.add(Kind.CLOSE, b"12345")
    assert encoder.size == 14
    encoder.add_data(Kind.ITEM, 0, b"x" * REFERENCE_THRESHOLD)
    assert encoder.size == 14 + 17 + REFERENCE_THRESHOLD
    encoder.add(Kind.BYE)
    assert encoder.size == 14 + 17 + REFERENCE_THRESHOLD + 9
    assert sum(map(len, encoder.take())) == 14 + 17 + REFERENCE_THRESHOLD + 9
    assert encoder.size == 0
    assert encoder.take() == []
    with pytest.raises(AttributeError):
        encoder.size = 1


def test_large_payloads_are_handed_over_uncopied_and_in_order(framing: ModuleType) -> None:
    copied, referenced = b"c" * (REFERENCE_THRESHOLD - 1), b"r" * REFERENCE_THRESHOLD
    encoder = framing.Encoder(SIGNATURE)
    encoder.add_data(Kind.ITEM, 0, copied)
    encoder.add_data(Kind.ITEM, 1, referenced)
    encoder.add_data(Kind.ITEM, 2, referenced)
    encoder.add(Kind.ERROR, referenced)
    encoder.add(Kind.BYE)
    taken = encoder.take()
    assert [buffer is referenced for buffer in taken] == [False, True] * 3 + [False]
    assert b"".join(taken) == (
        data(0, copied)
        + data(1, referenced)
        + data(2, referenced)
        + control(Kind.ERROR, referenced)
        + control(Kind.BYE)
    )


def test_what_was_taken_is_never_touched_again(framing: ModuleType) -> None:
    encoder = framing.Encoder(SIGNATURE)
    encoder.add_data(Kind.ITEM, 0, b"first")
    taken = encoder.take()
    # Transports hold views; a bytearray with a view on it can neither grow nor shrink.
    views = [memoryview(buffer) for buffer in taken]
    for number in range(1000):
        encoder.add_data(Kind.ITEM, number, b"later")
    assert b"".join(views) == data(0, b"first")
    assert b"".join(encoder.take()) == b"".join(data(n, b"later") for n in range(1000))
    assert taken == [data(0, b"first")]


@pytest.mark.parametrize("payload", [bytearray(b"x"), memoryview(b"x"), "x", None])
def test_a_payload_must_be_bytes(framing: ModuleType, payload: Any) -> None:
    encoder = framing.Encoder(SIGNATURE)
    message = f"^payload must be bytes, not {type(payload).__name__}$"
    with pytest.raises(TypeError, match=message):
        encoder.add_data(Kind.ITEM, 0, payload)
    with pytest.raises(TypeError, match=message):
        encoder.add(Kind.HELLO, payload)
    assert encoder.size == 0


def test_a_payload_must_be_exactly_bytes(framing: ModuleType) -> None:
    class Subclass(bytes):
        pass

    with pytest.raises(TypeError, match=r"not Subclass$"):
        framing.Encoder(SIGNATURE).add_data(Kind.ITEM, 0, Subclass(b"x"))


@pytest.mark.parametrize(
    ("kind", "number", "error", "message"),
    [
        (256, 0, ValueError, "kind must be 0 to 255, not 256"),
        (-1, 0, ValueError, "kind must be 0 to 255, not -1"),
        (2**70, 0, ValueError, f"kind must be 0 to 255, not {2**70}"),
        ("2", 0, TypeError, "kind must be an int, not str"),
        (2.0, 0, TypeError, "kind must be an int, not float"),
        (2, -1, ValueError, f"number must be 0 to {2**64 - 1}, not -1"),
        (2, 2**64, ValueError, f"number must be 0 to {2**64 - 1}, not {2**64}"),
        (2, None, TypeError, "number must be an int, not NoneType"),
    ],
)
def test_kind_and_number_must_fit(
    framing: ModuleType, kind: Any, number: Any, error: type[Exception], message: str
) -> None:
    encoder = framing.Encoder(SIGNATURE)
    with pytest.raises(error) as caught:
        encoder.add_data(kind, number, b"payload")
    assert (type(caught.value), str(caught.value)) == (error, message)
    if number == 0:
        with pytest.raises(error) as caught:
            encoder.add(kind)
        assert (type(caught.value), str(caught.value)) == (error, message)
    assert encoder.size == 0


def test_whatever_has_an_index_is_an_integer(framing: ModuleType) -> None:
    class Index:
        def __index__(self) -> int:
            return 2

    encoder = framing.Encoder(SIGNATURE)
    encoder.add_data(Index(), Index(), b"x")
    encoder.add_data(255, 2**64 - 1, b"x")
    assert b"".join(encoder.take()) == data(2, b"x", 2) + data(2**64 - 1, b"x", 255)


def test_encoder_refuses_what_an_int32_cannot_tell(framing: ModuleType) -> None:
    encoder = framing.Encoder(SIGNATURE)
    # Zeros that were never written to: the system does not really provide the memory.
    payload = bytes(MAX_FRAME_SIZE + 1)
    message = f"^frame length {MAX_LENGTH + 1} exceeds the limit of {MAX_LENGTH}$"
    with pytest.raises(FrameTooLarge, match=message):
        encoder.add_data(Kind.ITEM, 0, payload)
    assert encoder.size == 0
    encoder.add(Kind.ERROR, payload)  # eight bytes fewer in front of it
    assert encoder.size == 9 + len(payload)


# --- Decoder: frames ----------------------------------------------------------------------------


def test_decoder_returns_control_frames_and_runs_in_order(framing: ModuleType) -> None:
    decoder = new_decoder(framing)
    decoder.feed(
        control(Kind.CREDIT, b"credit")
        + data(0, b"a")
        + data(1, b"")
        + data(2, b"ccc")
        + control(Kind.LEAVE)
        + control(Kind.BYE)
        + data(3, b"dd")
    )
    assert decoder.read() == (Kind.CREDIT, b"credit")
    assert decoder.read() == (Kind.ITEM, Run([b"a", b"", b"ccc"], 4))
    assert decoder.read() == (Kind.LEAVE, b"")
    assert decoder.read() == (Kind.BYE, b"")
    assert decoder.read() == (Kind.ITEM, Run([b"dd"], 2))
    assert decoder.read() is None


def test_a_run_spans_what_was_fed_in_pieces(framing: ModuleType) -> None:
    stream = b"".join(data(number, b"payload") for number in range(5))
    decoder = new_decoder(framing)
    for piece in split(stream, range(0, len(stream), 7)):
        decoder.feed(piece)
    assert decoder.read() == (Kind.ITEM, Run([b"payload"] * 5, 35))
    assert decoder.read() is None


def test_an_incomplete_frame_does_not_hold_back_the_run_before_it(framing: ModuleType) -> None:
    stream = data(0, b"a") + data(1, b"b")
    decoder = new_decoder(framing)
    decoder.feed(stream[:-1])
    assert decoder.read() == (Kind.ITEM, Run([b"a"], 1))
    assert decoder.read() is None
    decoder.feed(stream[-1:])
    assert decoder.read() == (Kind.ITEM, Run([b"b"], 1))


def test_the_two_directions_have_their_own_data_kinds(framing: ModuleType) -> None:
    decoder = framing.Decoder(SIGNATURE, 100)
    decoder.expect_data(Kind.RESULT, bytes.decode)
    decoder.feed(data(0, b"r", Kind.RESULT) + data(0, b"i", Kind.ITEM))
    assert decoder.read() == (Kind.RESULT, Run(["r"], 1))
    assert decoder.read() == (Kind.ITEM, struct.pack("<Q", 0) + b"i")


def test_before_expect_data_every_frame_is_a_control_frame(framing: ModuleType) -> None:
    decoder = framing.Decoder(SIGNATURE, 2**20)
    decoder.feed(control(Kind.HELLO, b"hello") + data(7, b"early") + data(0, b"in time"))
    assert decoder.read() == (Kind.HELLO, b"hello")
    assert decoder.read() == (Kind.ITEM, struct.pack("<Q", 7) + b"early")
    decoder.expect_data(Kind.ITEM, identity)
    assert decoder.read() == (Kind.ITEM, Run([b"in time"], 7))


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_decoder_takes_any_buffer_and_keeps_none_that_may_change(
    framing: ModuleType, wrap: Callable[[bytearray], Any]
) -> None:
    stream = bytearray(data(0, b"first") + data(1, b"second") + control(Kind.BYE, b"bye"))
    decoder = new_decoder(framing)
    for piece in (stream[:20], stream[20:]):
        source = bytearray(piece)
        decoder.feed(wrap(source))
        source[:] = b"?" * len(source)
    assert decoder.read() == (Kind.ITEM, Run([b"first", b"second"], 11))
    assert decoder.read() == (Kind.BYE, b"bye")


@pytest.mark.parametrize("wrong", [5, "text", None])
def test_decoder_takes_nothing_but_buffers(framing: ModuleType, wrong: Any) -> None:
    with pytest.raises(TypeError, match="a bytes-like object is required"):
        new_decoder(framing).feed(wrong)


def test_a_large_frame_arrives_in_pieces(framing: ModuleType) -> None:
    payload = bytes(range(256)) * 16 * 1024
    stream = data(0, payload) + data(1, b"next") + control(Kind.BYE)
    decoder = new_decoder(framing, max_frame_size=len(payload))
    pieces = [stream[start : start + 65_537] for start in range(0, len(stream), 65_537)]
    for piece in pieces[:-1]:
        decoder.feed(piece)
        assert decoder.read() is None
    decoder.feed(pieces[-1])
    assert decoder.read() == (Kind.ITEM, Run([payload, b"next"], len(payload) + 4))
    assert decoder.read() == (Kind.BYE, b"")


# --- Decoder: refusals --------------------------------------------------------------------------

SMALL, LARGE = 10, 100_000  # of max_frame_size: below and above the limit of control frames

REFUSALS = {
    "another program": (
        LARGE,
        b"GET / HTTP/1.1\r\n",
        InvalidSignature,
        "expected signature 0x31636864, got 0x20544547: another program, or another option",
    ),
    "no kind": (LARGE, header(0), ProtocolError, "frame length 0 is below the minimum of 1"),
    "negative": (LARGE, header(-5), ProtocolError, "frame length -5 is below the minimum of 1"),
    "least": (
        LARGE,
        header(-(2**31)),
        ProtocolError,
        "frame length -2147483648 is below the minimum of 1",
    ),
    "signature first": (
        LARGE,
        header(-5, 1),
        InvalidSignature,
        "expected signature 0x31636864, got 0x00000001: another program, or another option",
    ),
    "header too long": (
        LARGE,
        header(LARGE + DATA_PREFIX + 1),
        FrameTooLarge,
        "frame length 100010 exceeds the limit of 100009",
    ),
    "longest": (
        SMALL,
        header(2**31 - 1),
        FrameTooLarge,
        "frame length 2147483647 exceeds the limit of 65536",
    ),
    "data too long": (
        SMALL,
        header(SMALL + DATA_PREFIX + 1) + bytes([Kind.ITEM]),
        FrameTooLarge,
        "frame length 20 exceeds the limit of 19",
    ),
    "control too long": (
        LARGE,
        header(CONTROL_LIMIT + 1) + bytes([Kind.ERROR]),
        FrameTooLarge,
        "frame length 65537 exceeds the limit of 65536",
    ),
    "data too short": (
        LARGE,
        header(DATA_PREFIX - 1) + bytes([Kind.ITEM]),
        ProtocolError,
        "data frame length 8 is below the minimum of 9",
    ),
    "wrong number": (
        LARGE,
        data(7, b"x"),
        ProtocolError,
        "expected data frame number 2, got 7",
    ),
    "greatest number": (
        LARGE,
        data(2**64 - 1, b"x"),
        ProtocolError,
        f"expected data frame number 2, got {2**64 - 1}",
    ),
    "repeated number": (
        LARGE,
        data(1, b"x"),
        ProtocolError,
        "expected data frame number 2, got 1",
    ),
}


@pytest.mark.parametrize("byte_by_byte", [False, True])
@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(framing: ModuleType, name: str, byte_by_byte: bool) -> None:
    max_frame_size, bad, error_class, message = REFUSALS[name]
    good = control(Kind.CREDIT, b"c") + data(0, b"a") + data(1, b"b")
    decoder = new_decoder(framing, max_frame_size=max_frame_size)
    stream = good + bad
    pieces = split(stream, range(1, len(stream))) if byte_by_byte else [stream]
    # Everything before it comes out first; the last byte of ``bad`` brings the refusal.
    things, error, text = outcome(decoder, pieces)
    assert things == [(Kind.CREDIT, b"c"), (Kind.ITEM, [b"a"]), (Kind.ITEM, [b"b"])]
    assert (error, text) == (error_class, message)
    # It stays, whatever is fed.
    for _ in range(3):
        decoder.feed(control(Kind.BYE))
        with pytest.raises(ProtocolError) as caught:
            decoder.read()
        assert (type(caught.value), str(caught.value)) == (error_class, message)


@pytest.mark.parametrize("name", [name for name in REFUSALS if "number" not in name])
def test_refusals_wait_for_no_more_than_they_need(framing: ModuleType, name: str) -> None:
    max_frame_size, bad, *_ = REFUSALS[name]
    decoder = new_decoder(framing, max_frame_size=max_frame_size)
    decoder.feed(bad[:7])
    assert decoder.read() is None
    decoder.feed(bad[7:9])
    with pytest.raises(ProtocolError):
        decoder.read()


def test_frames_at_their_limits_pass(framing: ModuleType) -> None:
    longest_control = control(Kind.ERROR, b"e" * (CONTROL_LIMIT - 1))
    for max_frame_size in (SMALL, LARGE, 0):
        payload = b"p" * max_frame_size
        decoder = new_decoder(framing, max_frame_size=max_frame_size)
        decoder.feed(longest_control + data(0, payload))
        assert decoder.read() == (Kind.ERROR, b"e" * (CONTROL_LIMIT - 1))
        assert decoder.read() == (Kind.ITEM, Run([payload], max_frame_size))


def test_before_expect_data_frames_must_be_short(framing: ModuleType) -> None:
    decoder = framing.Decoder(SIGNATURE, 2**20)
    decoder.feed(control(Kind.HELLO, b"h" * (CONTROL_LIMIT - 1)) + header(CONTROL_LIMIT + 1))
    assert decoder.read() == (Kind.HELLO, b"h" * (CONTROL_LIMIT - 1))
    with pytest.raises(FrameTooLarge, match=r"^frame length 65537 exceeds the limit of 65536$"):
        decoder.read()


@pytest.mark.parametrize("size", [-1, MAX_FRAME_SIZE + 1])
def test_max_frame_size_must_fit(framing: ModuleType, size: int) -> None:
    with pytest.raises(ValueError, match=f"^max_frame_size must be 0 to 2147483638, not {size}$"):
        framing.Decoder(SIGNATURE, size)


@pytest.mark.parametrize("kind", [-1, 256])
def test_the_data_kind_must_be_a_kind(framing: ModuleType, kind: int) -> None:
    with pytest.raises(ValueError, match=f"^kind must fit a byte, not {kind}$"):
        framing.Decoder(SIGNATURE, 100).expect_data(kind, identity)


def test_a_hostile_header_costs_no_memory(framing: ModuleType) -> None:
    decoder = new_decoder(framing, max_frame_size=MAX_FRAME_SIZE)
    tracemalloc.start()
    try:
        decoder.feed(header(MAX_LENGTH) + bytes([Kind.ITEM]))
        assert decoder.read() is None
        for _ in range(16):
            decoder.feed(bytes(1024))
            assert decoder.read() is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024


@pytest.mark.parametrize("rest", [b"", header(100)])
def test_what_has_been_read_is_not_kept_alive(framing: ModuleType, rest: bytes) -> None:
    decoder = new_decoder(framing)
    tracemalloc.start()
    try:
        decoder.feed(data(0, bytes(2**20)) + rest)
        assert decoder.read()[1].size == 2**20
        assert decoder.read() is None
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 64 * 1024


def test_an_error_releases_what_was_fed(framing: ModuleType) -> None:
    decoder = new_decoder(framing)
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


# --- Decoder: decode() --------------------------------------------------------------------------


def test_what_decode_raises_ends_the_run_and_nothing_else(framing: ModuleType) -> None:
    original = ValueError("no such word")

    def decode(payload: bytes) -> object:
        if payload == b"bad":
            raise original
        return payload

    decoder = new_decoder(framing, decode)
    decoder.feed(data(0, b"good") + data(1, b"bad") + data(2, b"better") + data(3, b"bad"))
    assert decoder.read() == (Kind.ITEM, Run([b"good"], 4))
    _, failed = decoder.read()
    assert (failed.number, failed.size) == (1, 3)
    assert type(failed.error) is DecodeError
    assert str(failed.error) == "data frame 1 does not decode: ValueError: no such word"
    assert failed.error.__cause__ is original
    assert decoder.read() == (Kind.ITEM, Run([b"better"], 6))
    _, failed = decoder.read()
    assert failed.number == 3
    assert decoder.read() is None


def test_repeated_errors_do_not_pile_up_tracebacks(framing: ModuleType) -> None:
    decoder = new_decoder(framing)
    decoder.feed(header(0))
    lengths = []
    for _ in range(3):
        with pytest.raises(ProtocolError) as caught:
            decoder.read()
        lengths.append(len(caught.traceback))
    assert lengths[0] == lengths[1] == lengths[2]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, GeneratorExit])
def test_an_interrupted_read_loses_nothing(
    framing: ModuleType, interruption: type[BaseException]
) -> None:
    interruptions = [interruption()]

    def decode(payload: bytes) -> object:
        if payload == b"c" and interruptions:
            raise interruptions.pop()
        return payload

    decoder = new_decoder(framing, decode)
    stream = b"".join(data(number, payload) for number, payload in enumerate([b"a", b"b", b"c"]))
    decoder.feed(stream[:25])  # the first frames come from two pieces
    decoder.feed(stream[25:])
    with pytest.raises(interruption):
        decoder.read()
    assert decoder.read() == (Kind.ITEM, Run([b"a", b"b", b"c"], 3))
    assert decoder.read() is None


def test_decode_may_feed_the_decoder(framing: ModuleType) -> None:
    more = [data(number, b"more" * number) for number in range(200, 0, -1)]

    def decode(payload: bytes) -> object:
        if more:
            decoder.feed(more.pop())
            decoder.feed(b"")
        return payload

    decoder = new_decoder(framing, decode)
    for piece in split(data(0, b"first"), [10]):  # put together in a buffer of its own
        decoder.feed(piece)
    expected = [b"first", *(b"more" * number for number in range(1, 201))]
    assert decoder.read() == (Kind.ITEM, Run(expected, sum(map(len, expected))))


def test_decode_may_not_read_the_decoder(framing: ModuleType) -> None:
    decoder = new_decoder(framing, lambda payload: decoder.read())
    decoder.feed(data(0, b"x") + data(1, b"y"))
    _, failed = decoder.read()
    assert isinstance(failed.error.__cause__, RuntimeError)
    assert str(failed.error.__cause__) == (
        "read() was called while another read() of the same decoder is under way"
    )


def test_decode_may_change_what_is_expected(framing: ModuleType) -> None:
    def decode(payload: bytes) -> object:
        decoder.expect_data(Kind.ITEM, bytes.decode)
        return payload

    decoder = new_decoder(framing, decode)
    decoder.feed(data(0, b"old") + data(1, b"old"))
    assert decoder.read() == (Kind.ITEM, Run([b"old", b"old"], 6))
    decoder.feed(data(2, b"new"))
    assert decoder.read() == (Kind.ITEM, Run(["new"], 3))


# --- Properties, and the twins against each other -----------------------------------------------

small_bytes = st.binary(max_size=60)
frames = st.lists(
    st.one_of(
        st.tuples(st.just(True), st.just(int(Kind.ITEM)), small_bytes),
        st.tuples(
            st.just(False), st.integers(0, 255).filter(lambda kind: kind != Kind.ITEM), small_bytes
        ),
    ),
    max_size=12,
)
Frames = list[tuple[bool, int, bytes]]


def encode(framing: ModuleType, sequence: Frames) -> list[bytes | bytearray]:
    encoder = framing.Encoder(SIGNATURE)
    numbers = itertools.count()
    for is_data, kind, payload in sequence:
        if is_data:
            encoder.add_data(kind, next(numbers), payload)
        else:
            encoder.add(kind, payload)
    taken: list[bytes | bytearray] = encoder.take()
    return taken


@pytest.mark.parametrize(("encoding", "decoding"), list(itertools.product(TWINS, TWINS)))
@settings(deadline=None)
@given(sequence=frames, cuts=st.lists(st.integers(0, 500)))
def test_what_goes_in_comes_out_however_it_is_cut(
    encoding: str, decoding: str, sequence: Frames, cuts: list[int]
) -> None:
    stream = b"".join(encode(load(encoding), sequence))
    framing = load(decoding)
    expected = [
        (kind, [payload]) if is_data else (kind, payload) for is_data, kind, payload in sequence
    ]
    for pieces in (
        [stream],
        split(stream, range(1, len(stream))),
        split(stream, (cut % (len(stream) + 1) for cut in cuts)),
    ):
        # Once reading after every piece, and once only at the end.
        assert outcome(new_decoder(framing), pieces) == (expected, None, "")
        decoder = new_decoder(framing)
        for piece in pieces:
            decoder.feed(piece)
        assert outcome(decoder, [b""]) == (expected, None, "")


@settings(deadline=None)
@given(sequence=frames)
def test_runs_are_as_long_as_possible_and_know_their_size(sequence: Frames) -> None:
    expected: list[tuple[int, Any]] = []
    for is_data, group in itertools.groupby(sequence, key=lambda frame: frame[0]):
        if is_data:
            values = [payload for _, _, payload in group]
            expected.append((Kind.ITEM, Run(values, sum(map(len, values)))))
        else:
            expected += [(kind, payload) for _, kind, payload in group]
    for twin in TWINS:
        decoder = new_decoder(load(twin))
        decoder.feed(b"".join(encode(load(twin), sequence)))
        assert list(iter(decoder.read, None)) == expected


@settings(deadline=None)
@given(
    sequence=st.lists(
        st.tuples(
            st.booleans(),
            st.integers(0, 255),
            st.one_of(
                small_bytes,
                st.sampled_from([bytes(REFERENCE_THRESHOLD - 1), bytes(REFERENCE_THRESHOLD)]),
            ),
        ),
        max_size=40,
    )
)
def test_the_twins_encode_into_the_same_buffers(sequence: Frames) -> None:
    results = [
        [(type(buffer), bytes(buffer)) for buffer in encode(load(twin), sequence)] for twin in TWINS
    ]
    assert all(result == results[0] for result in results)


def fussy(payload: bytes) -> object:
    return payload.decode("ascii")


#: Streams that are right up to some point, and bytes that are anything.
hostile = st.lists(
    st.one_of(
        small_bytes,
        st.builds(data, st.integers(0, 3), small_bytes, st.sampled_from([2, 3])),
        st.builds(control, st.integers(0, 255), small_bytes),
        st.builds(header, st.integers(-(2**31), 2**31 - 1)),
        st.builds(header, st.integers(-2, 40)),
        st.builds(
            lambda length, kind: header(length) + bytes([kind]),
            st.integers(1, CONTROL_LIMIT + 100),
            st.integers(1, 4),
        ),
    ),
    max_size=8,
).map(b"".join)


@settings(deadline=None)
@given(
    stream=hostile,
    cuts=st.lists(st.integers(0, 500), max_size=6),
    max_frame_size=st.sampled_from([0, 20, 70_000, MAX_FRAME_SIZE]),
    expecting=st.booleans(),
)
def test_any_bytes_have_one_outcome(
    stream: bytes, cuts: list[int], max_frame_size: int, expecting: bool
) -> None:
    outcomes = []
    for twin in TWINS:
        for pieces in (
            [stream],
            split(stream, range(1, len(stream))),
            split(stream, (cut % (len(stream) + 1) for cut in cuts)),
        ):
            decoder = load(twin).Decoder(SIGNATURE, max_frame_size)
            if expecting:
                decoder.expect_data(Kind.ITEM, fussy)
            outcomes.append(outcome(decoder, pieces))
    assert all(result == outcomes[0] for result in outcomes)
    error = outcomes[0][1]
    assert error is None or issubclass(error, ProtocolError)
