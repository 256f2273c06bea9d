"""The client's end of a session: whatever the server says, and however often it is cut off."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from distchan._client_session import Arrived, ClientSession, Fenced, Undecodable
from distchan._session import Event
from fuzz import wire
from fuzz.source import Source
from fuzz.targets._script import HELLO, ID, Script, decode, outcomes, seeds

__all__ = ["run", "seeds"]

_CREDIT, _CLOSE, _BYE = 6, 7, 9


def run(data: bytes) -> object:
    return outcomes(data, _Client)


class _Client(Script):
    """A client, whose server may forget it."""

    session: ClientSession

    def __init__(self, source: Source, cut: Callable[[bytes], Iterable[bytes]]) -> None:
        super().__init__(source, cut)
        self.session = ClientSession(
            msgspec.structs.replace(HELLO, keeps=source.below(8) > 0),
            signature=wire.SIGNATURE,
            transforms=(),
            decode=decode,
        )
        self.session.id = ID  # not a random one
        #: The numbers of items that have come and are not settled, in order.
        self._held: list[int] = []
        #: How many items have come.
        self._arrived = 0
        self._left = False
        self._connected = True
        #: What this end has sent, at the most.
        self._sent = 0

    def begin(self) -> None:
        self.session.start()
        if self.source.below(8):
            self.feed(self._server_hello())

    def step(self) -> None:
        session, source = self.session, self.source
        kind = source.below(16)
        if kind < 6 and not session.over:
            self._act(kind)
        elif not self._connected:
            session.start()
            self._connected = True
            self.feed(self._server_hello())
        elif kind == 6 and session.opened:
            session.cut()
            self._connected = False
        elif kind < 12:
            ticket = source.below(4), source.below(4)
            self.feed(wire.item(self.figure(session.received), self.payload(), *ticket))
        elif kind == 12:
            figures = (self.figure(n) for n in (session.sent, 10 + self._sent, 10_000))
            self.feed(wire.control(_CREDIT, wire.numbers(*figures)))
        elif kind == 13:
            count = wire.numbers(self.figure(session.received))
            self.feed(wire.control(_CLOSE, count + source.take(source.below(8))))
        elif kind == 14:
            self.feed(wire.control(_BYE) if source.flag() else self._server_hello())
        else:
            self.feed(wire.any_frame(source))

    def _act(self, kind: int) -> None:
        """What the tasks of the client do."""
        session, source = self.session, self.source
        match kind:
            case 0:
                session.want(source.below(12))
                session.announce(session.received + source.below(2))
            case 1 | 2 if self._held and session.keeps:
                count = 1 + source.below(len(self._held))
                items, self._held = self._held[:count], self._held[count:]
                self._settle(items)
            case 3 if session.credit:
                session.send_result(b"\xa1r")
                self._sent += 1
            case 4 if source.below(4) == 3:
                session.close("why" if source.flag() else "")
            case 5 if source.below(4) == 3:
                session.handed = self._held[-1] + 1 if self._held else session.received
                session.leave()
                self._left = True

    def _settle(self, items: list[int]) -> None:
        session, source = self.session, self.source
        result = b"\xa1r" if session.credit and source.flag() else None
        match source.below(4):
            case 0:
                session.give_back(source.below(2) + 1, items, "why")
            case 1:
                results = [] if result is None else [result] * min(3, session.credit)
                session.settle(items, results, 2 * len(results))
            case _:
                for item in items:
                    result = result if session.credit else None
                    session.settle_range(item, item, result)
        self._sent += len(items)

    def _server_hello(self) -> bytes:
        session, source = self.session, self.source
        resumed = session.begun is not None and source.below(4) > 0
        received = self.figure(session.confirmed + source.below(3)) if source.flag() else None
        if resumed and received is None:
            received = session.sent
        return self.hello(resumed=resumed, received=received, keeps=source.below(8) > 0)

    def comparable(self, event: Event) -> list[Any]:
        match event:
            case Arrived():
                count = len(event.values)
                assert len(event.tickets) == 12 * count
                self._held += range(event.first, event.first + count)
                self._arrived += count
                tickets = bytes(event.tickets)
                return [
                    ("item", value, tickets[12 * index : 12 * index + 12])
                    for index, value in enumerate(event.values)
                ]
            case Undecodable():
                self._arrived += 1
                return [("undecodable", str(event.error))]
            case Fenced():
                self._held.clear()
                self._arrived = 0
                return [("fenced", event.lost)]
        return [type(event).__name__]

    def check(self) -> None:
        session = self.session
        assert 0 <= session.confirmed <= session.sent
        assert session.credit >= 0
        # After leave() nothing arrives any more, though it is received; nor does what was too much.
        assert self._arrived == session.received or self._left or session.over
        assert session.pending <= 4096 + 10 * self.fed + 300 * self._sent
