"""The client's end of a session: speaks first, settles items, may leave, gets BYE.

What has been sent is kept in ``_unconfirmed``, as it was sent, until the server has confirmed that
it has the data frames in it: on the next connection, those that it does not have are repeated.
(Where delivery is at most once, only what was never collected by data_to_send() is kept.)

The server must know which items tasks may have been handed, before they are: it suspects those if
the client dies, and one more. Whatever is done or failed has been handed out; announce() says more
than that in advance. ``written`` is what the server knows once everything that data_to_send() has
returned arrives.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from distchan import _frames
from distchan._authentication import Authentication, Key, Role
from distchan._frames import GivenBack, Items, Results, split
from distchan._framing import Encoder
from distchan._handshake import AUTO_PREFETCH, MOST_PREFETCH, Hello, check_as_client
from distchan._session import (
    COUNT,
    CREDITED,
    THREE_COUNTS,
    TWO_COUNTS,
    Bye,
    Closed,
    Event,
    Opened,
    Session,
    check_size,
    words,
)
from distchan._wire import DATA_KINDS, DATA_PREFIX, HEADER_SIZE, MOST_REASON, Kind, Outcome
from distchan.errors import DecodeError, DistchanError, ProtocolError
from distchan.transforms import Transform

__all__ = ["Arrived", "ClientSession", "Fenced", "Resumed", "Undecodable"]


class Arrived(Event, frozen=True):
    """Items have come."""

    first: int
    """The number of the first of them."""
    values: list[Any]
    tickets: bytearray
    """The id and the attempt of each, see _frames.Items."""


class Undecodable(Event, frozen=True):
    """An item that does not decode. The server has been told."""

    error: DecodeError


class Resumed(Event, frozen=True):
    """The session goes on with a new connection. Nothing is lost, nothing is repeated."""


class Fenced(Event, frozen=True):
    """The server has given up the session, and a new one has begun.

    The items of the old one belong to others; whatever was not confirmed is void, except for
    results that belong to no item: those are sent again.
    """

    lost: int
    """Results that may be lost: where delivery is at most once, those not confirmed."""


class _Sent(msgspec.Struct, frozen=True):
    """What was to be sent at one time, control frames included."""

    first: int
    """The number of the first data frame in it."""
    end: int
    """The number of the one after the last."""
    buffers: list[bytes | bytearray]

    def data_frames(self) -> Iterator[tuple[int, bytes]]:
        """The data frames and their numbers, without those that were repeated then."""
        for frame in split(self.buffers):
            if frame[HEADER_SIZE] in DATA_KINDS:
                (number,) = COUNT.unpack_from(frame, HEADER_SIZE + 1)
                if number >= self.first:
                    yield number, frame


# C integers in the compiled module.
_CREDIT: Final = int(Kind.CREDIT)
_BYE: Final = int(Kind.BYE)
_WINDOW: Final = int(Kind.WINDOW)

#: More results than that are never sent, whatever the server allows; a C integer has it.
_UNLIMITED: Final = 2**62


class ClientSession(Session):
    """The client's end."""

    def __init__(
        self,
        hello: Hello,
        *,
        signature: int,
        transforms: Sequence[Transform],
        decode: Callable[[bytes], object],
        authkey: Key | None = None,
    ) -> None:
        super().__init__(
            hello, signature=signature, transforms=transforms, decode=decode, authkey=authkey
        )
        self.id = os.urandom(16)
        self._left = False
        #: Whether the window is to follow the work, and the largest one that both ends allow.
        self.adapts = True
        self.most_wanted = MOST_PREFETCH
        self._begin()

    def _begin(self) -> None:
        """A new session, where both ends count from 0."""
        self.sent = self.received = 0
        self._unconfirmed: list[_Sent] = []
        #: How many data frames have been kept there, or need not be.
        self._kept = 0
        #: For data frames while there is no connection.
        self._offline = Encoder(self._signature)
        self.confirmed = 0
        self._results = self._result_bytes = 0
        self._result_limit = self._byte_limit = 0
        #: There is no credit for results.
        self.exhausted = True

        #: How many unsettled items the tasks here could do with.
        self.window = 0
        #: What the server has been told; the largest figure counts for what it may send.
        self._window_said = 0
        self._most_window = 0
        #: Items that tasks have been handed, and items that they may have been handed as far as the
        #: server knows once what is pending is written.
        self.handed = 0
        self.announced = 0
        self.written = 0
        self._window_due = False
        self._settled = 0

    # -- results ----------------------------------------------------------------------------------

    @property
    def credit(self) -> int:
        """How many results may be sent now. One frame may exceed it."""
        return 0 if self.exhausted else max(1, self._result_limit - self._results)

    def _count_results(self, count: int, size: int) -> None:
        self._results += count
        self._result_bytes += size
        if self._results >= self._result_limit or self._result_bytes >= self._byte_limit:
            self.exhausted = True

    def _look_at_credit(self) -> None:
        self.exhausted = (
            self._results >= self._result_limit
            or self._result_bytes >= self._byte_limit
            or self.over
            or not self.sending
            or not (self.opened or self.keeps)
        )

    def close(self, error: str = "") -> None:
        super().close(error)
        self._look_at_credit()

    def fail(self, error: DistchanError) -> None:
        super().fail(error)
        self._look_at_credit()

    def cut(self) -> None:
        if self.opened:
            self._keep(self._encoder.take())
        super().cut()
        self._window_due = False  # the next handshake says it
        self._look_at_credit()

    @property
    def unconfirmed(self) -> int:
        """How many data frames the server has not confirmed."""
        return self.sent - self.confirmed

    def send_result(self, payload: bytes) -> None:
        """Send a result that belongs to no item; needs credit."""
        self._count_results(1, len(payload))
        self._for_data().add_result(self.sent, payload)
        self._added()

    def settle_range(self, first: int, last: int, result: bytes | None) -> None:
        """Items that follow each other are done, with one result or none; it needs credit."""
        self._settled += last + 1 - first
        if last >= self.announced:
            self.announced = last + 1
        if result is not None:
            self._count_results(1, len(result))
        if self._for_data().add_done(self.sent, first, last, result):
            self._added()

    def settle(self, items: list[int], results: list[bytes], size: int) -> None:
        """The same for items and results of any number; those have ``size`` bytes in all."""
        self._settled += len(items)
        last = items[-1]
        if last >= self.announced:
            self.announced = last + 1
        if results:
            self._count_results(len(results), size)
        self._for_data().add_settle(self.sent, 0, items, results)
        self._added()

    def give_back(self, outcome: int, items: list[int], reason: str) -> None:
        """Items are not done."""
        self._settled += len(items)
        if outcome != Outcome.RETURNED:  # which also happens to those that were not handed out
            self.announced = max(self.announced, items[-1] + 1)
        self._for_data().add_settle(self.sent, outcome, items, [words(reason, MOST_REASON)])
        self._added()

    def _for_data(self) -> Encoder:
        if self.opened and not self.finished and self.error is None:
            return self._encoder
        return self._offline

    def _added(self) -> None:
        self.sent += 1
        if self.opened and not self._awake:
            self.wake()

    def _keep(self, buffers: list[bytes | bytearray]) -> None:
        """Keep what contains data frames, up to the last one so far."""
        if self._kept < self.sent:
            self._unconfirmed.append(_Sent(self._kept, self.sent, buffers))
            self._kept = self.sent

    # -- items ------------------------------------------------------------------------------------

    def want(self, window: int) -> None:
        """Say how many unsettled items the tasks here could do with."""
        self.window = window
        said = self._window_said
        # Small figures are exact; of large ones, each little change need not be told.
        if window != said and (abs(window - said) * 8 >= max(window, said)):
            self._say_window()

    def announce(self, handed: int) -> None:
        """Say that tasks may be handed the items up to that number, as far as they have come.

        Nothing is said about one item more than the server knows of.
        """
        handed = min(handed, self.received)
        if handed > self.announced + 1:
            self.announced = handed
            self._say_window()

    def confirm_handed(self) -> None:
        """Where delivery is at most once: an item is settled when a task gets it."""
        news = self.handed - self.announced
        if self.handed == self.received or news * 4 >= self._window_said:
            self.announced = self.handed
            self._say_window()

    def _say_window(self) -> None:
        if not self._window_due and self.opened and not self.over:
            self._window_due = True
            self.wake()

    def leave(self) -> None:
        """Ask for no more items. Those that no task was handed go to others. Idempotent."""
        if self.receiving and not self._left:
            self._left = True
            self._encode_leave()

    def _encode_leave(self) -> None:
        self._add_if_open(Kind.LEAVE, COUNT.pack(self.handed))

    # -- bytes ------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        return self._encoder.size + self._window_due

    def data_to_send(self) -> list[bytes | bytearray]:
        if self._window_due:
            self._window_due = False
            if self.receiving and not self._left and not self.over:
                self._window_said = self.window
                self._most_window = max(self._most_window, self.window)
                self._encoder.add(_WINDOW, TWO_COUNTS.pack(self.window, self.announced))
        self.written = self.announced
        # Not super(), which methods that are compiled to C functions do not have.
        buffers = Session.data_to_send(self)
        if self.opened:
            if self.keeps:
                self._keep(buffers)
            else:
                self._unconfirmed.clear()
                self._kept = self.sent
        return buffers

    # -- the handshake ----------------------------------------------------------------------------

    def _role(self) -> Role:
        return "client"

    def start(self, binding: bytes = b"") -> None:
        super().start(binding)
        if self._authentication is not None:
            self._say(Kind.NONCE, self._authentication.nonce)
        self.epoch += 1
        hello = msgspec.structs.replace(
            self._hello,
            session=self.id,
            epoch=self.epoch,
            begun=self.begun,
            received=None if self.begun is None else self.received,
        )
        self._say(Kind.HELLO, hello.pack())

    def _on_heard(self, kind: int, authentication: Authentication) -> None:
        if kind == Kind.NONCE:
            self._say(Kind.PROOF, authentication.proof())

    def _on_hello(self, peer: Hello) -> Event:
        check_as_client(self._hello, peer, self._transforms)
        self._keep(self._offline.take())
        event: Event
        if peer.resumed:
            if peer.received is None or not self.confirmed <= peer.received <= self.sent:
                raise ProtocolError(f"the server resumes a session at frame {peer.received}")
            self._confirm(peer.received)
            event = Resumed()
        elif self.begun is not None:
            event = self._begin_anew(peer)
            self.begun = self.epoch
        else:
            event = Opened()
            self._set_directions(peer)
            self.begun = self.epoch
        self._open(peer)
        limits = [p for p in (self._hello.prefetch, peer.prefetch) if p != AUTO_PREFETCH]
        self.adapts = peer.prefetch == AUTO_PREFETCH
        self.most_wanted = min(limits, default=MOST_PREFETCH)
        self._result_limit = max(self._result_limit, min(peer.result_window, _UNLIMITED))
        self._byte_limit = max(self._byte_limit, peer.prefetch_bytes)
        self._look_at_credit()
        self._decoder.expect_items(self._decode, self.received)
        for sent in self._unconfirmed:
            for number, frame in sent.data_frames():
                if number >= self.confirmed:
                    self._encoder.add_encoded(frame)
        if self._left:
            self._encode_leave()
        if not self.sending:
            self._encode_close()
        self._say_window()
        return event

    def _begin_anew(self, peer: Hello) -> Event:
        """The server does not know the session any longer, except for how far it had come."""
        arrived = self.confirmed if peer.received is None else max(peer.received, self.confirmed)
        first = self._unconfirmed[0].first if self._unconfirmed else self.sent
        lost = 0 if self.keeps else max(0, first - arrived)
        results = [
            frame[HEADER_SIZE + DATA_PREFIX :]
            for sent in self._unconfirmed
            for number, frame in sent.data_frames()
            if number >= arrived and frame[HEADER_SIZE] == Kind.RESULT
        ]
        self._begin()
        for payload in results:
            self.send_result(payload)  # they fit: there is as much credit as there was
        self._keep(self._offline.take())
        self._set_directions_anew(peer)
        return Fenced(lost)

    def _set_directions_anew(self, peer: Hello) -> None:
        closed = not self.sending
        self._set_directions(peer)
        self.sending = self.sending and not closed

    # -- the rules --------------------------------------------------------------------------------

    def _on_data(self, frame: Items | Results | GivenBack | _frames.Undecodable) -> Event | None:
        count = len(frame.values) if type(frame) is Items else 1
        if not self.receiving:
            raise ProtocolError("an item after CLOSE")
        self.received += count
        if self._left:
            return None  # what was under way belongs to others now
        done = self._settled if self.keeps else self._settled + self.handed
        if self.received - done > self._most_window:
            raise ProtocolError("more items than were wanted")
        if type(frame) is Items:
            return Arrived(frame.first, frame.values, frame.tickets)
        assert isinstance(frame, _frames.Undecodable)
        self.give_back(Outcome.UNDECODABLE, [frame.number], str(frame.error))
        return Undecodable(frame.error)

    def _on_own(self, kind: int, body: bytes) -> Event | None:
        if kind == _CREDIT:
            return self._on_credit(body)
        if kind == _BYE and not self.sending:
            self.finished = True
            return Bye()
        return Session._on_own(self, kind, body)

    def _on_credit(self, body: bytes) -> Event | None:
        check_size("CREDIT", body, THREE_COUNTS.size)
        received, results, size = THREE_COUNTS.unpack(body)
        if received > self.sent:
            raise ProtocolError(f"{received} data frames confirmed, but only {self.sent} sent")
        self._confirm(received)
        self._result_limit = max(self._result_limit, min(results, _UNLIMITED))
        self._byte_limit = max(self._byte_limit, size)
        if not self.exhausted:
            return None  # nobody waits for it
        self._look_at_credit()
        return CREDITED

    def _confirm(self, received: int) -> None:
        self.confirmed = max(self.confirmed, received)
        done = 0
        for sent in self._unconfirmed:
            if sent.end > received:
                break
            done += 1
        del self._unconfirmed[:done]

    def _on_close(self, body: bytes) -> Event | None:
        event = super()._on_close(body)
        return event if isinstance(event, Closed) else None
