"""The server's end of a session: judges the client, owns its items until they are settled.

``outstanding`` has every item that was sent and not settled, by the number of its ITEM frame, in
order. ``handed`` is the client's word for how far its tasks may have got: if it dies, the suspects
are the unsettled items up to one past that. An item that has taken a worker down before is sent
alone: the client gets nothing else until it is settled, so that blame is exact.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from distchan import _frames
from distchan._authentication import Authentication, Key, Role
from distchan._frames import Items, Ranges, Results
from distchan._handshake import AUTO_PREFETCH, Hello, check_as_server
from distchan._outstanding import Item, Outstanding, ranges_of
from distchan._session import (
    COUNT,
    CREDITED,
    THREE_COUNTS,
    TWO_COUNTS,
    Event,
    Opened,
    Session,
    check_size,
)
from distchan._wire import Kind, Outcome
from distchan.errors import DecodeError, HandshakeError, ProtocolError
from distchan.transforms import Transform

__all__ = [
    "Arrived",
    "GivenBack",
    "Left",
    "Remembered",
    "Resumed",
    "ServerSession",
    "Undecodable",
]


# C integers in the compiled module.
_WINDOW: Final = int(Kind.WINDOW)
_LEAVE: Final = int(Kind.LEAVE)
_CREDIT: Final = int(Kind.CREDIT)

#: The largest window that a client may choose for itself, in items.
_MOST_AUTO: Final = 65_536


class Arrived(Event, frozen=True):
    """Results have come, items have been settled, or both."""

    values: list[Any]
    size: int
    """Bytes of the encoded results."""
    items: list[Item]
    """They are the owner's again."""
    paired: bool = False
    """Whether each of those items has one of the results, in the same order."""


class Undecodable(Event, frozen=True):
    """Results that do not decode, in their place between the others. They still count as such."""

    error: DecodeError
    count: int
    size: int
    items: list[Item]
    """The items that they belong to, if any: they are the owner's again."""


class GivenBack(Event, frozen=True):
    """Items that the client has not done: they are the owner's again."""

    items: list[Item]
    outcome: Outcome
    reason: str


class Left(Event, frozen=True):
    """The client wants no more items. Those that no task was handed are the owner's again."""

    items: list[Item]


class Resumed(Event, frozen=True):
    """The connection belongs to an older session, which goes on."""

    session: "ServerSession"


class Remembered(msgspec.Struct, frozen=True):
    """What a server remembers of a session that it has given up."""

    memory: dict[int | None, int]
    """See ServerSession.memory."""


class ServerSession(Session):
    """The server's end.

    ``find`` looks up the session that a HELLO wants to resume, or what is remembered of it; it
    raises HandshakeError for one that comes too late.
    """

    def __init__(
        self,
        hello: Hello,
        *,
        signature: int,
        transforms: Sequence[Transform],
        decode: Callable[[bytes], object],
        find: "Callable[[Hello], ServerSession | Remembered | None]",
        authkey: Key | None = None,
    ) -> None:
        super().__init__(
            hello, signature=signature, transforms=transforms, decode=decode, authkey=authkey
        )
        self._find = find
        self.outstanding = Outstanding()
        self._window = 0
        self._window_bytes = 0
        #: Holds an item that must be alone.
        self._alone = False
        #: The last items that have not even been collected by data_to_send().
        self._unflushed = 0
        self.left = False
        self._pairs = False
        self.handed = 0
        #: Whether all has arrived that the client had written when its connection ended.
        self.heard_all = True
        #: Of the session that the client knew before this one, if it is not known whether it has
        #: heard of this one: see ``memory``.
        self._before: dict[int | None, int] = {}
        self.settled = 0
        #: Attempts of items that failed here.
        self.blamed = 0

        self.results = 0
        self._result_bytes = 0
        self._taken = 0
        self._taken_bytes = 0
        #: How many results, and bytes of them, may wait to be taken.
        self._result_window = hello.result_window
        self._result_bytes_window = hello.prefetch_bytes
        self._granted = self._result_window
        self._granted_bytes = self._result_bytes_window
        self._confirmed = 0
        self._confirmed_bytes = 0
        self._credit_due = False

    @property
    def memory(self) -> dict[int | None, int]:
        """How many frames have arrived, by the epoch that began the session they belong to.

        There may be two: if this session began on a connection that was cut before the client heard
        of it, it will still speak of the one before.
        """
        return {**self._before, self.begun: self.received}

    @property
    def wants_items(self) -> bool:
        """Whether the client is there and has said that it has work for at least one item."""
        return self.opened and self.sending and self._window > 0

    # -- items ------------------------------------------------------------------------------------

    @property
    def credit(self) -> int:
        """How many items may be sent now."""
        if (
            not (self.opened and self.sending)
            or self._alone
            or self.outstanding.size >= self._window_bytes
        ):
            return 0
        return max(0, self._window - self.outstanding.count)

    def send(self, item: Item) -> bool:
        """Send one item; needs credit. Returns whether there is credit for another."""
        number = self.sent
        self.sent = number + 1
        outstanding = self.outstanding
        outstanding.add(item)
        self._unflushed += 1
        self._encoder.add_item(number, item.id, item.attempt, item.payload)
        if not self._awake:
            self.wake()
        if item.alone:
            self._alone = True
            return False
        return outstanding.count < self._window and outstanding.size < self._window_bytes

    def pair_results(self) -> None:
        """Let Arrived events say from now on which result belongs to which item."""
        self._pairs = True
        self._decoder.pair_results()

    def surrender(self) -> tuple[list[Item], list[Item]]:
        """The client is given up: its unsettled items, suspects and others, are the caller's.

        If the end of its words is missing, nobody knows how far it had got: all are suspects.
        """
        last = self.handed if self.heard_all else self.sent
        suspects = [item for number, item in self.outstanding.items() if number <= last]
        others = [item for number, item in self.outstanding.items() if number > last]
        self._clear_outstanding()
        return suspects, others

    def surrender_unsent(self) -> list[Item]:
        """The same where delivery is at most once: what has certainly not left the process."""
        unsent = self.outstanding.values()[len(self.outstanding) - self._unflushed :]
        self._clear_outstanding()
        return unsent

    def _clear_outstanding(self) -> None:
        self.outstanding.clear()
        self._unflushed = 0
        self._alone = False

    def _pop(self, ranges: Ranges) -> list[Item]:
        """Strike items off the list of those outstanding: all of them, or none."""
        try:
            items = self.outstanding.strike(ranges)
        except KeyError as error:
            raise ProtocolError(f"item {error} is settled, but is not outstanding") from None
        if self._alone:
            self._alone = any(item.alone for item in self.outstanding.values())
        return items

    def _settle(self, ranges: Ranges) -> list[Item]:
        items = self._pop(ranges)
        for _, last in ranges:  # they have been handed out, or will never be
            # Several frames may have come at once, and tasks settle in any order.
            self.handed = max(self.handed, last + 1)
        return items

    # -- results ----------------------------------------------------------------------------------

    def took(self, count: int, size: int) -> None:
        """Results have been received by the user; grant as many new ones, sooner or later.

        Later, because a CREDIT frame for each would double the traffic; at once when all is taken,
        since the client may be waiting for just that.
        """
        self._taken += count
        self._taken_bytes += size
        due = self._taken + self._result_window - self._granted
        due_bytes = self._taken_bytes + self._result_bytes_window - self._granted_bytes
        if (
            self._taken == self.results
            or due * 4 >= self._result_window
            or due_bytes * 4 >= self._result_bytes_window
        ):
            self._granted = self._taken + self._result_window
            self._granted_bytes = self._taken_bytes + self._result_bytes_window
            self._credit_is_due()

    def _credit_is_due(self) -> None:
        if not self._credit_due and self.opened and not self.over:
            self._credit_due = True
            self.wake()

    def _confirm_later(self, frames: int, size: int) -> None:
        """Data frames have arrived for good; the client keeps them until it is told."""
        self.received += frames
        self._result_bytes += size
        if (self.received - self._confirmed) * 4 >= self._result_window or (
            self._result_bytes - self._confirmed_bytes
        ) * 4 >= self._result_bytes_window:
            self._credit_is_due()

    def _count_results(self, count: int, last: int, size: int) -> None:
        """Results have come, ``last`` of them in the last frame, which may cross the limits."""
        if not count:
            return
        if not self.receiving:
            raise ProtocolError("a result where none is expected any more")
        if (
            self.results + count - last >= self._granted
            or self._result_bytes >= self._granted_bytes
            or self._result_bytes + size > self._granted_bytes + self._hello.max_frame_size
        ):
            raise ProtocolError("more results than were granted")
        self.results += count

    # -- bytes ------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        return self._encoder.size + self._credit_due

    @property
    def has_stalled(self) -> bool:
        # A client with items may compute for as long as it likes, its loop standing still.
        return super().has_stalled and not self.outstanding

    def data_to_send(self) -> list[bytes | bytearray]:
        self._unflushed = 0
        if self._credit_due:
            # Only now, so that a peer that reads nothing does not make frames pile up.
            self._credit_due = False
            self._confirmed, self._confirmed_bytes = self.received, self._result_bytes
            if not self.over:
                self._encoder.add(
                    _CREDIT,
                    THREE_COUNTS.pack(self.received, self._granted, self._granted_bytes),
                )
        # Not super(), which methods that are compiled to C functions do not have.
        return Session.data_to_send(self)

    # -- the handshake ----------------------------------------------------------------------------

    def _role(self) -> Role:
        return "server"

    def _on_heard(self, kind: int, authentication: Authentication) -> None:
        if kind == Kind.HELLO:
            self._say(Kind.NONCE, authentication.nonce)

    def _on_hello(self, peer: Hello) -> Event:
        check_as_server(self._hello, peer, self._transforms)
        found = self._find(peer)
        if isinstance(found, ServerSession):
            if peer.epoch <= found.epoch:
                raise HandshakeError("this session has a newer connection")
            if found.begun == peer.begun and (found.keeps or found.finished):
                found._resume(self, peer)
                return Resumed(found)
        self.id, self.epoch, self.begun = peer.session, peer.epoch, peer.epoch
        received = None if found is None else found.memory.get(peer.begun)
        if received is not None:
            self._before = {peer.begun: received}
        self._answer(msgspec.structs.replace(self._hello, resumed=False, received=received))
        self._set_directions(peer)
        self._open(peer)
        return Opened()

    def _resume(self, newcomer: "ServerSession", peer: Hello) -> None:
        """Go on with the connection of another session, which has just said who it is."""
        missing = self.sent if peer.received is None else peer.received
        if missing > self.sent:
            raise ProtocolError(f"{missing} items have arrived, but only {self.sent} were sent")
        self.epoch = peer.epoch
        self.heard_all = True
        self._encoder, self._decoder = newcomer._encoder, newcomer._decoder
        self._authentication = newcomer._authentication
        self._answer(msgspec.structs.replace(self._hello, resumed=True, received=self.received))
        self._open(peer)
        for number, item in self.outstanding.items():
            if number >= missing:
                self._encoder.add_item(number, item.id, item.attempt, item.payload)
        if not self.sending and not self.left:
            self._encode_close()
        self._credit_due = True
        if self.finished:
            self._encoder.add(Kind.BYE)
        self._say_bye_if_due()

    def _answer(self, hello: Hello) -> None:
        self._say(Kind.HELLO, hello.pack())
        if self._authentication is not None:
            self._say(Kind.PROOF, self._authentication.proof())

    def _open(self, peer: Hello) -> None:
        super()._open(peer)
        self._window_bytes = min(self._hello.prefetch_bytes, peer.prefetch_bytes)
        self._window = 0  # until the client says that it wants something
        self._decoder.expect_results(self._decode, self.received)
        if self._pairs:
            self._decoder.pair_results()

    # -- the rules --------------------------------------------------------------------------------

    def close(self, error: str = "") -> None:
        super().close(error)
        self._say_bye_if_due()

    def _on_data(
        self, frame: Items | Results | _frames.GivenBack | _frames.Undecodable
    ) -> Event | None:
        if type(frame) is Results:
            self._count_results(len(frame.values), frame.last, frame.size)
            struck = self._settle(frame.settled)
            self.settled += len(struck)
            self._confirm_later(frame.frames, frame.size)
            self._say_bye_if_due()
            return Arrived(frame.values, frame.size, struck, frame.paired)
        if type(frame) is _frames.Undecodable:
            self._count_results(frame.count, frame.count, frame.size)
            items = self._settle(ranges_of(frame.settled))
            self._confirm_later(1, frame.size)
            self._say_bye_if_due()
            return Undecodable(frame.error, frame.count, frame.size, items)
        assert isinstance(frame, _frames.GivenBack)
        try:
            outcome = Outcome(frame.outcome)
        except ValueError as error:
            raise ProtocolError(str(error)) from None
        returned = outcome is Outcome.RETURNED  # which also happens to those not handed out
        ranges = ranges_of(frame.items)
        items = self._pop(ranges) if returned else self._settle(ranges)
        self._confirm_later(1, 0)
        if outcome is Outcome.FAILED:
            self.blamed += len(items)
        self._say_bye_if_due()
        return GivenBack(items, outcome, frame.reason.decode(errors="replace"))

    def _on_own(self, kind: int, body: bytes) -> Event | None:
        if kind == _WINDOW:
            return self._on_window(body)
        if kind == _LEAVE:
            return self._on_leave(body)
        return Session._on_own(self, kind, body)

    def _on_window(self, body: bytes) -> Event | None:
        check_size("WINDOW", body, TWO_COUNTS.size)
        window, handed = TWO_COUNTS.unpack(body)
        most = self._hello.prefetch
        self._window = min(window, _MOST_AUTO if most == AUTO_PREFETCH else most)
        self._have_been_handed(handed)
        return CREDITED

    def _have_been_handed(self, handed: int) -> None:
        if handed > self.sent:
            raise ProtocolError(f"{handed} items have been handed out, but only {self.sent} sent")
        if not self.keeps:  # that is all that an item needs
            self.settled += len(self._pop(self.outstanding.below(handed)))
        self.handed = max(self.handed, handed)

    def _on_leave(self, body: bytes) -> Event | None:
        check_size("LEAVE", body, COUNT.size)
        if self.left:
            return None  # repeated, after a cut
        (handed,) = COUNT.unpack(body)
        self.left = True
        self.sending = False
        self._have_been_handed(handed)
        items = self._pop(ranges_of(n for n, _ in self.outstanding.items() if n >= handed))
        self._unflushed = 0
        self._say_bye_if_due()
        return Left(items)

    def _on_close(self, body: bytes) -> Event | None:
        event = super()._on_close(body)
        self._say_bye_if_due()
        return event

    def _say_bye_if_due(self) -> None:
        if not (self.sending or self.receiving or self.outstanding or self.over) and self.opened:
            self._encoder.add(Kind.BYE)
            self.wake()
            self._credit_due = False
            self.finished = True
