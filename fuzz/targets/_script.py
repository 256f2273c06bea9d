"""Scripts: an end of a session, its peer's frames and what its owner does, one step at a time.

Most frames are such as would be right at that moment; else no script would come far. Each is played
twice, with the peer's bytes fed as they are and in small pieces, and ends with the first error.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from distchan._frames import split
from distchan._handshake import Hello
from distchan._payloads import make_probe
from distchan._session import Event, Session
from distchan._shapes import NodeKind, describe
from distchan.errors import DistchanError
from fuzz import wire
from fuzz.source import Source, cuts

__all__ = ["HELLO", "ID", "Script", "decode", "outcomes", "seeds"]

#: What both ends say of themselves, and how items are decoded.
HELLO: Final = Hello(
    codec="msgpack",
    sends=describe(str, "msgpack"),
    receives=describe(str, "msgpack"),
    probe=make_probe(()),
    max_frame_size=200_000,
    prefetch=8,
    prefetch_bytes=1000,
    result_window=6,
    keeps=True,
)
ID: Final = b"sixteen bytes ID"
decode: Final = msgspec.msgpack.Decoder(str).decode

_PAYLOADS: Final = (b"\xa1x", b"\xa0", b"\xa3abc", b"\x05", b"\xc1", b"", b"\xd9\x40" + b"y" * 64)
_HELLO_KIND: Final = 1
_KINDS: Final = tuple(kind.value for kind in NodeKind)


class Script:
    """One end of a session.

    ``begin`` and ``step`` do one thing, ``comparable`` says what an event means, apart from how
    the bytes were cut, and ``check`` raises AssertionError if the state is not what it should be.
    """

    session: Session

    def __init__(self, source: Source, cut: Callable[[bytes], Iterable[bytes]]) -> None:
        self.source = source
        self._cut = cut
        self.events: list[Any] = []
        #: Bytes of the peer so far.
        self.fed = 0

    def begin(self) -> None:
        raise NotImplementedError

    def step(self) -> None:
        raise NotImplementedError

    def comparable(self, event: Event) -> list[Any]:
        raise NotImplementedError

    def check(self) -> None:
        raise NotImplementedError

    def play(self) -> tuple[list[Any], str]:
        """The events, and the error that ends them."""
        try:
            self.begin()
            while self.source:
                self.step()
                self.check()
                if self.source.below(4) == 0:
                    self.flush()
        except DistchanError as error:
            assert self.session.over
            assert self.session.next_event() is None
            self.check()
            self.flush()
            return self.events, f"{type(error).__name__}: {error}"
        self.flush()
        return self.events, ""

    def feed(self, data: bytes) -> None:
        self.fed += len(data)
        for piece in self._cut(data):
            self.session.feed(piece)
            while (event := self.session.next_event()) is not None:
                self.events += self.comparable(event)

    def flush(self) -> None:
        """What is written are whole frames."""
        buffers = self.session.data_to_send()
        for frame in split(buffers):
            assert frame == wire.header(len(frame) - 8) + frame[8:]
            assert len(frame) > 8
        assert self.session.pending == 0

    def figure(self, proper: int) -> int:
        """Mostly the right one, or one close by."""
        kind = self.source.below(64)
        if kind < 56:
            return proper
        return max(0, proper + kind - 59) if kind < 62 else self.source.number()

    def payload(self) -> bytes:
        """Of an item or a result: mostly a string."""
        kind = self.source.below(32)
        if kind == 31:
            return self.source.payload()
        return _PAYLOADS[kind] if kind < len(_PAYLOADS) else b"\xa1x"

    def hello(self, **changes: Any) -> bytes:
        """A HELLO frame, mostly a proper one."""
        hello = msgspec.structs.replace(HELLO, **changes)
        fields = msgspec.to_builtins(hello, builtin_types=(bytes,))
        match self.source.below(32):
            case 29:
                fields[self.source.choice(list(fields))] = self.source.number()
            case 30:
                fields[self.source.choice(("sends", "receives"))] = _any_shape(self.source)
            case 31:
                del fields[self.source.choice(list(fields))]
        return wire.control(_HELLO_KIND, msgspec.msgpack.encode(fields))


def _any_shape(source: Source) -> object:
    if source.flag():
        return None
    size = 1 + source.below(6)
    return {"name": "shape", "nodes": [_any_node(source, size) for _ in range(size)]}


def _any_node(source: Source, size: int) -> dict[str, object]:
    node: dict[str, object] = {"kind": source.choice(_KINDS)}
    if source.flag():
        node["parts"] = [source.below(size) for _ in range(source.below(4))]
    if source.flag():
        node["fields"] = [
            [f"f{source.below(4)}", source.below(size), source.flag(), source.flag()]
            for _ in range(source.below(4))
        ]
    if source.flag():
        node["values"] = [source.below(4), "a", None, True][: source.below(5)]
    node["required"] = source.below(4)
    node["open"] = source.flag()
    return node


def seeds() -> list[bytes]:
    """Scripts of all lengths."""
    chance = random.Random(1)
    return [chance.randbytes(10 * length) for length in range(1, 31)]


def outcomes(data: bytes, script: Callable[[Source, Any], Script]) -> object:
    """Plays a script both ways. However the bytes were cut, it comes to the same.

    Only where the peer has done something wrong, what it did right just before may have been lost.
    """
    events, error = script(Source(data), lambda data: [data]).play()
    same_events, same_error = script(Source(data), _in_pieces).play()
    assert same_error.partition(":")[0] == error.partition(":")[0], (same_error, error)
    if error:
        assert _is_beginning(events, same_events), (events, same_events)
    else:
        assert same_events == events
    return events, error, same_events, same_error


def _in_pieces(data: bytes) -> Iterable[bytes]:
    return cuts(data, range(0, len(data), max(1, len(data) // 4)))


def _is_beginning(events: Sequence[Any], longer: Sequence[Any]) -> bool:
    return list(longer[: len(events)]) == list(events)
