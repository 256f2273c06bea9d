"""The decoder of frames: any stream, cut anywhere, fed or received in place."""

import random
from collections.abc import Callable, Iterable
from typing import Any

from distchan._frames import GivenBack, Items, Results, Undecodable, numbers_of
from distchan._framing import Decoder
from distchan._wire import MAX_FRAME_SIZE
from distchan.errors import DecodeError, ProtocolError
from fuzz import wire
from fuzz.source import Source, cuts

__all__ = ["run", "seeds"]

_MAX_FRAME_SIZES = (64, 200_000, MAX_FRAME_SIZE)
#: More pieces than that take too long.
_MOST_PIECES = 256

_STREAMS = [
    b"".join(wire.item(number, b"payload %d" % number, 7, 1) for number in range(4)),
    wire.result(0, b"a") + wire.result(1, b"!bad") + wire.settle(2, 0, 2, [0, 1], [b"x", b""]),
    wire.settle(0, 1, 1, [3], [b"why"]) + wire.settle(1, 0, 1, [4], [b"r"]) + wire.control(10),
    wire.control(6, wire.numbers(1, 2, 3)) + wire.control(7, wire.numbers(4)) + wire.control(9),
]


def seeds() -> list[bytes]:
    valid = [
        bytes([ends, size, 1, put, 0]) + stream
        for stream in _STREAMS
        for ends in range(4)
        for size in (0, 1)
        for put in (0, 1)
    ]
    chance = random.Random(1)
    return valid + [bytes([n % 4, 1, 0, n % 2]) + chance.randbytes(150) for n in range(12)]


def run(data: bytes) -> object:
    source = Source(data)
    make_decoder = _ends(source)
    is_plain = source.flag()
    put = source.choice((_feed, _receive))
    places = [source.below(256) for _ in range(source.below(4))]
    stream = source.rest() if is_plain else _frames(source)
    whole = _outcome(make_decoder(), [stream], _feed)
    # Without any places: everywhere, as far as that is done soon.
    if not places:
        places = list(range(0, len(stream), max(1, len(stream) // _MOST_PIECES)))
    assert _outcome(make_decoder(), cuts(stream, places), put) == whole
    return whole


def _ends(source: Source) -> Callable[[], Any]:
    """Makes decoders of one of the ends, which may want pairs, or one still in the handshake."""
    expects = source.below(4)
    max_frame_size = source.choice(_MAX_FRAME_SIZES)

    def make() -> Any:
        decoder = Decoder(wire.SIGNATURE, max_frame_size)
        if expects == 1:
            decoder.expect_items(_fussy)
        elif expects >= 2:
            decoder.expect_results(_fussy)
            if expects == 3:
                decoder.pair_results()
        return decoder

    return make


def _fussy(payload: bytes) -> bytes:
    if payload.startswith(b"!"):
        raise LookupError(payload[:20])
    return payload


def _frames(source: Source) -> bytes:
    """Mostly frames, mostly with the numbers that are expected."""
    stream = bytearray()
    number = 0
    while source:
        kind = source.below(16)
        proper = number if kind < 12 else source.number()
        match kind % 6:
            case 0 | 1:
                frame = wire.item(proper, source.payload(), source.number(), source.below(4))
            case 2:
                frame = wire.result(proper, source.payload())
            case 3:
                items = [source.number() for _ in range(source.below(6))]
                count = len(items) if source.below(8) else source.number()
                entries = [source.payload() for _ in range(source.below(4))]
                frame = wire.settle(proper, source.below(5), count, items, entries)
            case 4:
                frame = wire.control(source.below(16), source.take(source.below(40)))
            case _:
                frame = wire.any_frame(source)
        if kind % 6 < 4 and proper == number:
            number += 1
        stream += frame
    return bytes(stream)


def _feed(decoder: Any, piece: bytes) -> None:
    decoder.feed(piece)


def _receive(decoder: Any, piece: bytes) -> None:
    """As a transport does it: into the decoder's memory, as much as there is room for."""
    while piece:
        room = decoder.get_buffer()
        size = min(len(room), len(piece))
        room[:size] = piece[:size]
        decoder.buffer_updated(size)
        piece = piece[size:]


def _outcome(
    decoder: Any, pieces: Iterable[bytes], put: Callable[[Any, bytes], None]
) -> tuple[list[object], str, bool]:
    """All that comes out of a stream, how it fails, and whether it ends in mid-frame."""
    things: list[Any] = []
    error = ""
    try:
        for piece in pieces:
            put(decoder, piece)
            for thing in iter(decoder.read, None):
                _join(things, _comparable(thing))
    except ProtocolError as raised:
        error = f"{type(raised).__name__}: {raised}"
    return things, error, decoder.in_mid_frame


def _comparable(thing: Any) -> tuple[Any, ...]:
    """Without what depends on how a stream was cut: where runs begin and end."""
    match thing:
        case Items():
            assert len(thing.tickets) == 12 * len(thing.values)
            return ("items", thing.first, thing.values, bytes(thing.tickets), thing.size)
        case Results():
            settled = list(numbers_of(thing.settled))
            last = [thing.last] if thing.values else []
            return ("results", thing.values, settled, last, thing.size, thing.frames)
        case GivenBack():
            return ("given back", thing.outcome, thing.items, thing.reason)
        case Undecodable():
            assert type(thing.error) is DecodeError
            figures = (thing.kind, thing.number, thing.count, thing.size, thing.settled)
            return ("undecodable", *figures, str(thing.error))
        case (int() as kind, bytes() as body):
            return kind, body
    raise AssertionError(f"read() returned {thing!r}")


def _join(things: list[Any], thing: tuple[Any, ...]) -> None:
    last: tuple[Any, ...] = things[-1] if things else ("nothing",)
    if last[0] == thing[0] == "items":
        assert last[1] + len(last[2]) == thing[1]
        things[-1] = ("items", last[1], *(a + b for a, b in zip(last[2:], thing[2:], strict=True)))
    elif last[0] == thing[0] == "results":
        joined = [a + b for a, b in zip(last[1:], thing[1:], strict=True)]
        joined[2] = joined[2][-1:]  # how many results the last frame with any has
        things[-1] = ("results", *joined)
    else:
        things.append(thing)
