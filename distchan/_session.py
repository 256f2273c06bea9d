"""The state of one connection: sans-IO, with no asyncio, no socket and no clock.

Bytes from the peer go into feed(); next_event() then says, one at a time, what they mean. What is
to be sent is asked for by send(), close(), ... and by the rules here, and collected with
data_to_send(). Both ends follow the same rules; the two subclasses add what only one end does.

The states: a session begins in the handshake (``opened`` is False, only HELLO and ERROR are legal),
then data frames and credit flow both ways. Each direction ends with a CLOSE, after which no data
frame may follow. A client that wants no more items says LEAVE. When the client has sent its CLOSE
and the server has either sent its own or been left, the server says BYE, and that is the end of the
session (``finished``): everything has been processed.

Data frames are numbered from 0. The receiver confirms those that its user has *taken*, in order,
and the sender keeps each payload until then (``_outstanding``): what a leaving peer has not taken
can be given to another. A payload that does not decode is rejected by its number (REJECT), counts
as taken, and ends nothing.
"""

import struct
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, Final, TypeAlias

from distchan import _frames
from distchan._backend import Decoder, Encoder
from distchan._frames import Run
from distchan._handshake import Hello, check_as_client, check_as_server
from distchan._wire import Kind
from distchan.errors import (
    ConnectionLost,
    DecodeError,
    DistchanError,
    HandshakeError,
    InvalidSignature,
    ProtocolError,
    TypeMismatch,
)
from distchan.transforms import Transform

__all__ = [
    "Arrived",
    "Bye",
    "ClientSession",
    "Closed",
    "Credited",
    "Event",
    "Left",
    "Opened",
    "Rejected",
    "ServerSession",
    "Session",
    "Undecodable",
]

_CREDIT: Final = struct.Struct("<QQQ")
_COUNT: Final = struct.Struct("<Q")
_MAX_WORDS: Final = 1000
#: With so many bytes waiting to be written, what is only for the peer's information is left out.
_MOST_PENDING: Final = 1024 * 1024

#: Which error a refusal is, on both ends. The first that fits is sent.
_ERROR_CODES: Final[tuple[tuple[int, type[DistchanError]], ...]] = (
    (1, TypeMismatch),
    (2, HandshakeError),
    (3, InvalidSignature),
    (4, ProtocolError),
    (5, ConnectionLost),
)


@dataclass(frozen=True, slots=True)
class Opened:
    """The handshake is done."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """Data frames, decoded, in order."""

    values: list[Any]
    size: int
    """Bytes of their payloads."""


@dataclass(frozen=True, slots=True)
class Undecodable:
    """One data frame whose payload does not decode, in its place between the others."""

    error: DecodeError
    size: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """The peer says that one of our data frames does not decode."""

    words: str


@dataclass(frozen=True, slots=True)
class Credited:
    """The peer has taken items or allows more."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The peer will send no more data."""

    error: str
    """The words with which its channel was closed; empty for an ordinary close."""


@dataclass(frozen=True, slots=True)
class Left:
    """The client wants no more items; reclaim() says which ones it has not taken."""


@dataclass(frozen=True, slots=True)
class Bye:
    """The server has processed everything; the session is over."""


Event: TypeAlias = Opened | Arrived | Undecodable | Rejected | Credited | Closed | Left | Bye


class Session:
    """What both ends have in common. See the module's text for the rules."""

    _sends: ClassVar[int]
    _receives: ClassVar[int]

    def __init__(
        self,
        hello: Hello,
        *,
        signature: int,
        transforms: Sequence[Transform],
        decode: Callable[[bytes], object],
    ) -> None:
        self._hello = hello
        self._transforms = transforms
        self._decode = decode
        self._encoder = Encoder(signature)
        self._decoder = Decoder(signature, hello.max_frame_size)

        self.opened = False
        #: No CLOSE has been sent (or received), so data may still flow that way.
        self.sending = hello.sends is not None
        self.receiving = hello.receives is not None
        self.finished = False
        #: The error that ended the session, ours or the peer's.
        self.error: DistchanError | None = None
        self.peer: Hello

        #: Payloads sent that the peer's user has not taken; how many of the last ones have not
        #: even been collected by data_to_send().
        self._outstanding: deque[bytes] = deque()
        #: The numbers of those among them that the peer cannot decode.
        self._rejected: set[int] = set()
        self._unflushed = 0
        self.sent = 0
        #: Of these, what the peer's user has taken.
        self.confirmed = 0
        self._sent_bytes = 0
        self._item_limit = 0
        self._byte_limit = 0

        self.received = 0
        self._received_bytes = 0
        self.taken = 0
        self._taken_bytes = 0
        #: How much may have come and not been taken, and the limits granted by that so far.
        self._window = 0
        self._window_bytes = 0
        self._granted_items = 0
        self._granted_bytes = 0
        self._credit_due = False

    # -- sending data -----------------------------------------------------------------------------

    @property
    def outstanding(self) -> int:
        """How many data frames the peer's user has not taken yet."""
        return len(self._outstanding)

    @property
    def credit(self) -> int:
        """How many data frames may be sent now."""
        if not (self.opened and self.sending) or self._sent_bytes >= self._byte_limit:
            return 0
        return self._item_limit - self.sent

    def send(self, payload: bytes) -> bool:
        """Send one data frame; needs credit. Returns whether there is credit for another."""
        self._encoder.add_data(self._sends, self.sent, payload)
        self._outstanding.append(payload)
        self._unflushed += 1
        self.sent += 1
        self._sent_bytes += len(payload)
        return self.sent < self._item_limit and self._sent_bytes < self._byte_limit

    def start(self) -> None:
        """Called when there is a connection. The client speaks first."""

    def close(self, error: str = "") -> None:
        """Say that no more data will be sent. Idempotent."""
        if self.opened and self.sending:
            self.sending = False
            self._encoder.add(Kind.CLOSE, _COUNT.pack(self.sent) + _words(error))

    def unsent(self) -> list[bytes]:
        """The payloads that have certainly not left the process."""
        return list(islice(self._outstanding, len(self._outstanding) - self._unflushed, None))

    # -- receiving data ---------------------------------------------------------------------------

    def took(self, count: int, size: int) -> None:
        """The user has taken data frames; grant the peer as many new ones, sooner or later.

        Later, because a CREDIT frame for each would double the traffic; at once when all is taken,
        since the peer may be waiting for just that.
        """
        self.taken += count
        self._taken_bytes += size
        due = self.taken + self._window - self._granted_items
        due_bytes = self._taken_bytes + self._window_bytes - self._granted_bytes
        if (
            self.taken == self.received
            or due * 4 >= self._window
            or due_bytes * 4 >= self._window_bytes
        ):
            self._grant()

    def _grant(self) -> None:
        if self.finished or self.error is not None:
            return
        self._granted_items = self.taken + self._window
        self._granted_bytes = self._taken_bytes + self._window_bytes
        self._credit_due = True

    def _encode_credit(self) -> None:
        self._credit_due = False
        self._encoder.add(
            Kind.CREDIT, _CREDIT.pack(self.taken, self._granted_items, self._granted_bytes)
        )

    # -- bytes ------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """About how many bytes data_to_send() would return; 0 if and only if none."""
        return self._encoder.size + self._credit_due

    def data_to_send(self) -> list[bytes | bytearray]:
        """Everything that is to be written, in order; it counts as sent from here on."""
        if self.error is None:
            self._unflushed = 0
            if self._credit_due:
                # Only now, so that a peer that reads nothing does not make frames pile up.
                self._encode_credit()
        return self._encoder.take()

    def feed(self, data: bytes) -> None:
        """Take in bytes from the peer."""
        self._decoder.feed(data)

    def next_event(self) -> Event | None:
        """The next thing that the bytes fed so far mean; None if more are needed.

        Raises ProtocolError or HandshakeError if the peer broke the rules or does not fit, after
        which the words for the peer are in data_to_send(); and the peer's own error if it sent
        one. Either is the end of the session.
        """
        if self.error is not None or self.finished:
            return None
        try:
            while (frame := self._decoder.read()) is not None:
                kind, body = frame
                event: Event | None
                if isinstance(body, Run):
                    event = self._on_data(body)
                elif isinstance(body, _frames.Undecodable):
                    event = self._on_undecodable(body)
                else:
                    event = self._on_control(kind, body)
                if event is not None:
                    return event
        except DistchanError as error:
            self.refuse(error)
            raise
        return None

    def refuse(self, error: DistchanError) -> None:
        """End the session with an error, and tell the peer unless it was the peer's own."""
        if self.error is None:
            self._fail(error)
            code = next((n for n, kind in _ERROR_CODES if isinstance(error, kind)), 4)
            self._encoder.add(Kind.ERROR, bytes([code]) + _words(str(error)))

    def _fail(self, error: DistchanError) -> None:
        self.error = error
        self._credit_due = False
        self._encoder.take()  # what is pending stays with us: unsent() knows it

    # -- the rules --------------------------------------------------------------------------------

    def _on_data(self, run: Run) -> Event | None:
        self._count(len(run.values), run.size)
        return Arrived(run.values, run.size)

    def _on_undecodable(self, frame: _frames.Undecodable) -> Event | None:
        self._count(1, frame.size)
        if self._encoder.size < _MOST_PENDING:  # else the peer does not read its rejections
            words = _words(str(frame.error))
            self._encoder.add(Kind.REJECT, _COUNT.pack(frame.number) + words)
        return Undecodable(frame.error, frame.size)

    def _count(self, frames: int, size: int) -> None:
        """Data frames have come."""
        if not self.receiving:
            raise ProtocolError("data after CLOSE")
        self.received += frames
        self._received_bytes += size
        # The last frame may cross the limit in bytes, by its own size at the most.
        if (
            self.received > self._granted_items
            or self._received_bytes > self._granted_bytes + self._hello.max_frame_size
        ):
            raise ProtocolError("more data than was granted")

    def _on_control(self, kind: int, body: bytes) -> Event | None:
        if kind == Kind.ERROR and body:
            words = body[1:].decode(errors="replace")
            error = next((e for n, e in _ERROR_CODES if n == body[0]), ProtocolError)(words)
            self._fail(error)
            raise error
        if not self.opened:
            if kind != Kind.HELLO:
                raise ProtocolError(f"expected HELLO, got a frame of kind {kind}")
            return self._on_hello(Hello.unpack(body))
        if kind == Kind.CREDIT:
            return self._on_credit(body)
        if kind == Kind.CLOSE:
            return self._on_close(body)
        if kind == Kind.REJECT:
            return self._on_reject(body)
        return self._on_own(kind, body)

    def _on_own(self, kind: int, body: bytes) -> Event | None:
        """A frame that only one end may get."""
        raise ProtocolError(f"unexpected frame of kind {kind}")

    def _on_hello(self, peer: Hello) -> Opened:
        raise NotImplementedError

    def _set_windows(self, items: int, size: int) -> None:
        """Begin with so much credit for items; the server's HELLO says how much for results."""
        raise NotImplementedError

    def _open(self, peer: Hello) -> Opened:
        self.peer = peer
        self.opened = True
        self._set_windows(
            min(self._hello.prefetch, peer.prefetch),
            min(self._hello.prefetch_bytes, peer.prefetch_bytes),
        )
        self._granted_items, self._granted_bytes = self._window, self._window_bytes
        # A direction exists if the one end has an outgoing and the other an incoming channel.
        self.sending = self.sending and peer.receives is not None
        self.receiving = self.receiving and peer.sends is not None
        if self.receiving:
            self._decoder.expect_data(self._receives, self._decode)
        return Opened()

    def _on_credit(self, body: bytes) -> Credited | None:
        if len(body) != _CREDIT.size:
            raise ProtocolError(f"a CREDIT frame of {len(body)} bytes")
        taken, items, size = _CREDIT.unpack(body)
        if taken > self.sent:
            raise ProtocolError(f"{taken} data frames confirmed, but only {self.sent} sent")
        for _ in range(min(taken - self.confirmed, len(self._outstanding))):
            self._outstanding.popleft()
        self.confirmed = max(self.confirmed, taken)
        self._rejected = {number for number in self._rejected if number >= self.confirmed}
        self._item_limit = max(self._item_limit, items)
        self._byte_limit = max(self._byte_limit, size)
        return Credited()

    def _on_reject(self, body: bytes) -> Rejected:
        if len(body) < _COUNT.size:
            raise ProtocolError(f"a REJECT frame of {len(body)} bytes")
        (number,) = _COUNT.unpack_from(body)
        if not self.confirmed <= number < self.sent:
            raise ProtocolError(f"data frame {number} is rejected, but is not on its way")
        self._rejected.add(number)
        return Rejected(body[_COUNT.size :].decode(errors="replace"))

    def _on_close(self, body: bytes) -> Closed:
        if len(body) < _COUNT.size:
            raise ProtocolError(f"a CLOSE frame of {len(body)} bytes")
        if not self.receiving:
            raise ProtocolError("a second CLOSE")
        (count,) = _COUNT.unpack_from(body)
        if count != self.received:
            raise ProtocolError(f"{count} data frames announced at the end, {self.received} came")
        self.receiving = False
        return Closed(body[_COUNT.size :].decode(errors="replace"))


class ServerSession(Session):
    """The server's end: judges the client, can be left, says BYE."""

    _sends = int(Kind.ITEM)  # a plain int is converted faster than an enum
    _receives = int(Kind.RESULT)
    left = False

    def close(self, error: str = "") -> None:
        super().close(error)
        self._say_bye_if_due()

    def reclaim(self) -> list[bytes]:
        """The payloads that a client which has left did not take: they are the caller's again."""
        payloads = [
            payload
            for number, payload in enumerate(self._outstanding, start=self.confirmed)
            if number not in self._rejected
        ]
        self._outstanding.clear()
        self._unflushed = 0
        return payloads

    def _on_hello(self, peer: Hello) -> Opened:
        check_as_server(self._hello, peer, self._transforms)
        self._encoder.add(Kind.HELLO, self._hello.pack())
        return self._open(peer)

    def _set_windows(self, items: int, size: int) -> None:
        self._item_limit, self._byte_limit = items, size
        self._window, self._window_bytes = self._hello.result_window, self._hello.prefetch_bytes

    def _on_close(self, body: bytes) -> Closed:
        event = super()._on_close(body)
        self._say_bye_if_due()
        return event

    def _on_own(self, kind: int, body: bytes) -> Event | None:
        if kind != Kind.LEAVE or self.left:
            return super()._on_own(kind, body)
        self.left = True
        self.sending = False
        self._say_bye_if_due()
        return Left()

    def _say_bye_if_due(self) -> None:
        if self.opened and not self.sending and not self.receiving and not self.finished:
            self._encoder.add(Kind.BYE)
            self._credit_due = False
            self.finished = True


class ClientSession(Session):
    """The client's end: speaks first, may leave, gets BYE."""

    _sends = int(Kind.RESULT)
    _receives = int(Kind.ITEM)
    _left = False

    def start(self) -> None:
        """Introduce oneself: the first thing that is sent on a connection."""
        self._encoder.add(Kind.HELLO, self._hello.pack())

    def leave(self) -> None:
        """Ask for no more items. Those that have not been taken go to others. Idempotent."""
        if self.opened and self.receiving and not self._left:
            self._left = True
            self._grant()  # the server must know exactly what has been taken
            self._encode_credit()
            self._encoder.add(Kind.LEAVE)

    def _on_hello(self, peer: Hello) -> Opened:
        check_as_client(self._hello, peer, self._transforms)
        return self._open(peer)

    def _set_windows(self, items: int, size: int) -> None:
        self._window, self._window_bytes = items, size
        self._item_limit, self._byte_limit = self.peer.result_window, self.peer.prefetch_bytes

    def _on_data(self, run: Run) -> Event | None:
        event = super()._on_data(run)
        return None if self._left else event  # what was under way belongs to others now

    def _on_undecodable(self, frame: _frames.Undecodable) -> Event | None:
        if self._left:
            self._count(1, frame.size)
            return None
        return super()._on_undecodable(frame)

    def _on_own(self, kind: int, body: bytes) -> Event | None:
        if kind != Kind.BYE or self.sending:
            return super()._on_own(kind, body)
        self.finished = True
        return Bye()


def _words(text: str) -> bytes:
    """UTF-8 of at most what fits into a control frame, whole characters only."""
    return text.encode(errors="replace")[:_MAX_WORDS].decode(errors="ignore").encode()
