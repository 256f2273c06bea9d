"""The state of one client's membership, on either end: sans-IO, no asyncio, no socket, no clock.

A session outlives its connections. Bytes from the peer go into feed(); next_event() then says, one
at a time, what they mean. What is to be sent is asked for by calls and by the rules here, and
collected with data_to_send(); ``on_pending`` is called when there is something to collect. When the
connection is cut(), the session waits for the next one, which begins with a handshake that says
what has arrived on both ends; what has not is repeated. If the server has given the session up
meanwhile, it begins anew, and nothing that belongs to the old one counts any longer.

The states of a connection: the handshake (``opened`` is False, only HELLO and ERROR are legal, with
a shared key NONCE and PROOF, too), then data and credit flow both ways. The server ends its
direction with CLOSE when no item will follow, the client its own when no result will. A client that
wants no more items says LEAVE. When both directions have ended and every item is settled, the
server says BYE, and that is the end of the session (``finished``): everything has been processed.

This module has what both ends share; _server_session.py and _client_session.py have the rest.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from distchan._authentication import Authentication, Key, Role
from distchan._frames import GivenBack, Items, Results, Undecodable
from distchan._framing import Decoder, Encoder
from distchan._handshake import Hello
from distchan._shapes import Shape
from distchan._wire import MOST_WORDS, Kind
from distchan.errors import (
    AuthenticationError,
    ConnectionLost,
    DistchanError,
    HandshakeError,
    InvalidSignature,
    ProtocolError,
    TypeMismatch,
)
from distchan.transforms import Transform

__all__ = [
    "COUNT",
    "CREDITED",
    "THREE_COUNTS",
    "TWO_COUNTS",
    "Bye",
    "Closed",
    "Credited",
    "Event",
    "Opened",
    "Session",
    "check_size",
    "words",
]

COUNT: Final = struct.Struct("<Q")
TWO_COUNTS: Final = struct.Struct("<QQ")
THREE_COUNTS: Final = struct.Struct("<QQQ")
#: With so many bytes waiting to be written, PING is not answered: the peer does not read.
_MOST_PENDING: Final = 1024 * 1024

# C integers in the compiled module.
_HELLO: Final = int(Kind.HELLO)
_ERROR: Final = int(Kind.ERROR)
_PING: Final = int(Kind.PING)
_PONG: Final = int(Kind.PONG)
_CLOSE: Final = int(Kind.CLOSE)
_NONCE: Final = int(Kind.NONCE)

#: Which error a refusal is, on both ends. The first that fits is sent.
_ERROR_CODES: Final[tuple[tuple[int, type[DistchanError]], ...]] = (
    (1, TypeMismatch),
    (6, AuthenticationError),
    (2, HandshakeError),
    (3, InvalidSignature),
    (4, ProtocolError),
    (5, ConnectionLost),
)


class Event(msgspec.Struct, frozen=True):
    """What bytes from the peer mean to the owner of a session."""


class Opened(Event, frozen=True):
    """The handshake of a session's first connection is done."""


class Credited(Event, frozen=True):
    """The peer allows more than before, when that may be waited for."""


#: There are as many of these as there are round trips.
CREDITED: Final = Credited()


class Closed(Event, frozen=True):
    """The peer's direction has ended."""

    error: str
    """The words with which its channel was closed; empty for an ordinary close."""


class Bye(Event, frozen=True):
    """The server has processed everything; the session is over."""


class Session:
    """What both ends have in common. See the module's text for the rules."""

    def __init__(
        self,
        hello: Hello,
        *,
        signature: int,
        transforms: Sequence[Transform],
        decode: Callable[[bytes], object],
        authkey: Key | None = None,
    ) -> None:
        self._hello = hello
        self._authkey = authkey
        self._signature = signature
        self._transforms = transforms
        self._decode = decode
        #: Called when there is something to be written, once until data_to_send() is.
        self.on_pending: Callable[[], None] = _nobody
        self._awake = False
        #: The client's id, the epoch of its last connection, and of the one that began the session.
        self.id = b""
        self.epoch = 0
        self.begun: int | None = None
        #: Whether delivery is at least once.
        self.keeps = hello.keeps
        self.peer: Hello

        #: No CLOSE has been sent (or received), so data may still flow that way.
        self.sending = hello.sends is not None
        self.receiving = hello.receives is not None
        self.finished = False
        #: The error that ended the session, ours or the peer's.
        self.error: DistchanError | None = None

        #: How many data frames have been sent, and how many have arrived.
        self.sent = 0
        self.received = 0
        self._last_words = ""
        self._begin_connection()

    def _begin_connection(self) -> None:
        self.opened = False
        self._authentication: Authentication | None = None
        self._encoder = Encoder(self._signature)
        self._decoder = Decoder(self._signature, self._hello.max_frame_size)

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it, well or badly."""
        return self.finished or self.error is not None

    @property
    def authenticates(self) -> bool:
        """Whether the peer has to prove that it has a key."""
        return self._authkey is not None

    def start(self, binding: bytes = b"") -> None:
        """Called when there is a connection. The client speaks first.

        binding: what identifies the encrypted channel on both ends, empty if it is none.
        """
        if self._authkey is not None:
            self._authentication = Authentication(self._authkey, self._role(), binding)

    def cut(self) -> None:
        """The connection is gone; another one may take its place."""
        self._begin_connection()
        self.on_pending = _nobody
        self._awake = False

    def wake(self) -> None:
        """There is something to be written."""
        if not self._awake:
            self._awake = True
            self.on_pending()

    def close(self, error: str = "") -> None:
        """Say that the own direction has ended. Idempotent."""
        if self.sending:
            self.sending = False
            self._last_words = error
            self._encode_close()

    def ping(self) -> None:
        """Ask the peer for a sign of life."""
        self._add_if_open(Kind.PING)

    # -- bytes ------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """About how many bytes data_to_send() would return; 0 if and only if none."""
        return self._encoder.size

    @property
    def has_stalled(self) -> bool:
        """Whether part of a frame has come, and the rest is to be expected at once."""
        return self._decoder.in_mid_frame

    def data_to_send(self) -> list[bytes | bytearray]:
        """Everything that is to be written, in order."""
        self._awake = False
        return self._encoder.take()

    def feed(self, data: bytes) -> None:
        """Take in bytes from the peer."""
        self._decoder.feed(data)

    def get_buffer(self) -> memoryview:
        """Where the next bytes from the peer may be put, see Decoder."""
        return self._decoder.get_buffer()

    def buffer_updated(self, size: int) -> int:
        """So many bytes have been put there: when next_event() is to be called, see _frames."""
        return self._decoder.buffer_updated(size)

    def next_event(self) -> Event | None:
        """The next thing that the bytes fed so far mean; None if more are needed.

        Raises ProtocolError or HandshakeError if the peer broke the rules or does not fit, after
        which the words for the peer are in data_to_send(); and the peer's own error if it sent
        one. Either is the end of the session.
        """
        if self.over:
            return None
        try:
            while (frame := self._decoder.read()) is not None:
                if isinstance(frame, tuple):
                    kind, body = frame
                    event = self._on_control(kind, body)
                else:
                    event = self._on_data(frame)
                if event is not None:
                    return event
        except DistchanError as error:
            self.refuse(error)
            raise
        return None

    def refuse(self, error: DistchanError) -> None:
        """End the session with an error, and tell the peer unless it was the peer's own."""
        if self.error is None:
            self.fail(error)
            code = next((n for n, kind in _ERROR_CODES if isinstance(error, kind)), 4)
            self._encoder.add(Kind.ERROR, bytes([code]) + words(str(error)))

    def fail(self, error: DistchanError) -> None:
        """End the session with an error, without a word."""
        self.error = error
        self._encoder.take()

    def _add_if_open(self, kind: int, body: bytes = b"") -> None:
        if self.opened and not self.over:
            self._encoder.add(kind, body)
            self.wake()

    def _encode_close(self) -> None:
        self._add_if_open(Kind.CLOSE, COUNT.pack(self.sent) + words(self._last_words))

    # -- the rules --------------------------------------------------------------------------------

    def _on_data(self, frame: Items | Results | GivenBack | Undecodable) -> Event | None:
        raise NotImplementedError

    def _on_control(self, kind: int, body: bytes) -> Event | None:
        if kind == _ERROR and body:
            error = _error_of(body)
            self.fail(error)
            raise error
        if not self.opened:
            return self._on_handshake(kind, body)
        if kind == _PING:
            if self.pending < _MOST_PENDING:
                self._add_if_open(Kind.PONG)
            return None
        if kind == _PONG:
            return None
        if kind == _CLOSE:
            return self._on_close(body)
        return self._on_own(kind, body)

    def _on_own(self, kind: int, body: bytes) -> Event | None:
        """A frame that only one end may get."""
        raise ProtocolError(f"unexpected frame of kind {kind}")

    def _on_handshake(self, kind: int, body: bytes) -> Event | None:
        if self._authkey is None:
            if kind == _NONCE:
                raise AuthenticationError(f"the peer has an authkey, this {self._role()} has none")
            if kind != _HELLO:
                raise ProtocolError(f"expected HELLO, got a frame of kind {kind}")
            return self._on_hello(Hello.unpack(body))
        authentication = self._authentication
        assert authentication is not None
        authentication.hear(kind, body)
        if authentication.succeeded:
            return self._on_hello(Hello.unpack(authentication.hello))
        self._on_heard(kind, authentication)
        self.wake()
        return None

    def _role(self) -> Role:
        raise NotImplementedError

    def _on_heard(self, kind: int, authentication: Authentication) -> None:
        """Go on with proving that this end has the key."""
        raise NotImplementedError

    def _say(self, kind: int, body: bytes) -> None:
        """A frame of the handshake."""
        self._encoder.add(kind, body)
        if self._authentication is not None:
            self._authentication.say(kind, body)

    def _on_hello(self, peer: Hello) -> Event:
        raise NotImplementedError

    def _open(self, peer: Hello) -> None:
        """The handshake is done. The first one decides what the session is like."""
        self._authentication = None
        self.peer = peer
        self.opened = True
        self.keeps = self._hello.keeps and peer.keeps
        self.wake()

    def _set_directions(self, peer: Hello) -> None:
        """A direction exists if the one end has an outgoing and the other an incoming channel."""
        self.sending = _both(self._hello.sends, peer.receives)
        self.receiving = _both(self._hello.receives, peer.sends)

    def _on_close(self, body: bytes) -> Event | None:
        if len(body) < COUNT.size:
            raise ProtocolError(f"a CLOSE frame of {len(body)} bytes")
        if not self.receiving:
            return None  # repeated, after a cut
        (count,) = COUNT.unpack_from(body)
        if count != self.received:
            raise ProtocolError(f"{count} data frames announced at the end, {self.received} came")
        self.receiving = False
        return Closed(body[COUNT.size :].decode(errors="replace"))


def _error_of(body: bytes) -> DistchanError:
    """The error that a peer's ERROR frame stands for."""
    kind = next((kind for code, kind in _ERROR_CODES if code == body[0]), ProtocolError)
    return kind(body[1:].decode(errors="replace"))


def check_size(kind: str, body: bytes, size: int) -> None:
    """Raise ProtocolError unless the body of a control frame has the size that it must have."""
    if len(body) != size:
        raise ProtocolError(f"a {kind} frame of {len(body)} bytes")


def words(text: str, most: int = MOST_WORDS) -> bytes:
    """UTF-8 of at most so many bytes, whole characters only."""
    return text.encode(errors="replace")[:most].decode(errors="ignore").encode()


def _both(sends: Shape | None, receives: Shape | None) -> bool:
    return sends is not None and receives is not None


def _nobody() -> None:
    """Nobody is to be woken: there is no connection."""
