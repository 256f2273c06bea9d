"""The server's end of a session: whatever the client says, every item is somewhere, once."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from distchan._outstanding import new_item
from distchan._server_session import (
    Arrived,
    GivenBack,
    Left,
    Remembered,
    Resumed,
    ServerSession,
    Undecodable,
)
from distchan._session import Event, Opened
from fuzz import wire
from fuzz.source import Source
from fuzz.targets._script import HELLO, ID, Script, decode, outcomes, seeds

__all__ = ["run", "seeds"]

_WINDOW, _CLOSE, _LEAVE = 5, 7, 8


def run(data: bytes) -> object:
    return outcomes(data, _Server)


class _Server(Script):
    """A server with one client, which may come back."""

    session: ServerSession

    def __init__(self, source: Source, cut: Callable[[bytes], Iterable[bytes]]) -> None:
        super().__init__(source, cut)
        self._has_jobs = source.flag()
        self._hello = msgspec.structs.replace(HELLO, keeps=source.below(8) > 0)
        #: What a connection that is not opened yet may resume.
        self._found: ServerSession | Remembered | None = None
        self._epoch = 0
        #: How many items this session's client has given back, and how many items there have been.
        self._given_back = 0
        self._items = 0
        #: How many results nobody has taken.
        self._waiting = 0
        self.session = self._stranger()

    def _stranger(self) -> ServerSession:
        session = ServerSession(
            self._hello,
            signature=wire.SIGNATURE,
            transforms=(),
            decode=decode,
            find=lambda hello: self._found,
        )
        if self._has_jobs:
            session.pair_results()
        return session

    def begin(self) -> None:
        if self.source.below(8):
            self.feed(self._client_hello())

    def step(self) -> None:
        session, source = self.session, self.source
        match source.below(16):
            case 0:
                self._connect_again()
            case 1 | 2 | 3:
                self._send()
            case 4:
                count = min(self._waiting, source.below(5))
                self._waiting -= count
                session.took(count, source.below(20))
            case 5:
                session.close("why" if source.flag() else "")
            case 6 | 7:
                figures = wire.numbers(self.figure(8), self.figure(session.handed))
                self.feed(wire.control(_WINDOW, figures))
            case 8 | 9:
                self.feed(wire.result(self.figure(session.received), self.payload()))
            case 10 | 11 | 12:
                self.feed(self._settlement())
            case 13:
                self.feed(wire.control(_LEAVE, wire.numbers(self.figure(session.handed))))
            case 14:
                sent = wire.numbers(self.figure(session.received))
                self.feed(wire.control(_CLOSE, sent + source.take(source.below(8))))
            case _:
                self.feed(self._client_hello() if source.flag() else wire.any_frame(source))

    def _send(self) -> None:
        for _ in range(self.source.below(9)):
            if self.session.credit:
                alone = self.source.below(16) == 15
                self.session.send(new_item(self._items, b"\xa1x", 1, alone))
                self._items += 1

    def _settlement(self) -> bytes:
        """Mostly of what is outstanding."""
        source = self.source
        outstanding = [number for number, _ in self.session.outstanding.items()]
        items = [self.figure(number) for number in outstanding[: source.below(4)]]
        outcome = source.below(4) if source.flag() else 0
        entries = [self.payload() for _ in range(source.below(3))]
        count = self.figure(len(items))
        return wire.settle(self.figure(self.session.received), outcome, count, items, entries)

    def _connect_again(self) -> None:
        source = self.source
        if self.session.opened:
            self._found = self.session
        if source.flag():
            self.session.cut()
        if isinstance(self._found, ServerSession) and source.below(4) == 3:
            self._found.surrender()
            self._found = Remembered(self._found.memory)
        self.session = self._stranger()
        self.feed(self._client_hello())

    def _client_hello(self) -> bytes:
        found = self._found
        self._epoch += 1
        begun, received = None, None
        if isinstance(found, ServerSession) and self.source.below(8):
            begun, received = found.begun, self.figure(found.sent)
        elif isinstance(found, Remembered):
            begun = self.source.choice([*found.memory])
        epoch = self.figure(self._epoch)
        return self.hello(
            session=ID, epoch=epoch, begun=begun, received=received, keeps=self.source.below(8) > 0
        )

    def comparable(self, event: Event) -> list[Any]:
        match event:
            case Arrived():
                self._waiting += len(event.values)
                assert not event.paired or self._has_jobs
                return [("result", value) for value in event.values]
            case Opened():
                self._given_back = self._waiting = 0
            case Resumed():
                self.session = event.session
            case Undecodable():
                self._waiting += event.count
                self._given_back += len(event.items)
                return [("undecodable", str(event.error), event.count, _ids(event))]
            case GivenBack() | Left():
                self._given_back += len(event.items)
                return [(type(event).__name__, _ids(event))]
        return [type(event).__name__]

    def check(self) -> None:
        session = self.session
        outstanding = session.outstanding.values()
        assert session.outstanding.count == len(outstanding)
        assert session.outstanding.size == sum(len(item.payload) for item in outstanding)
        if session.opened:
            assert session.settled + self._given_back + len(outstanding) == session.sent
        assert 0 <= session.credit <= 8
        assert session.handed <= session.sent
        assert session.pending <= 4096 + 10 * self.fed + 100 * self._items


def _ids(event: Undecodable | GivenBack | Left) -> list[int]:
    return [item.id for item in event.items]
