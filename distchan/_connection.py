"""One connection: an asyncio transport under a session, which may outlive it.

How it begins, is watched and ends; the traffic is in _pump.py.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol, cast

from distchan._address import spell
from distchan._client_session import ClientSession
from distchan._last_words import unread
from distchan._liveness import Watch
from distchan._nearness import keep_in_cache
from distchan._pump import Handler, Pump
from distchan._session import Event, Session
from distchan._tls import channel_binding
from distchan.errors import DistchanError, HandshakeError

__all__ = ["Connection", "HandshakeTimeout", "Owner"]

#: How long a connection may take to close, in seconds.
_LINGER: Final = 1.0


class HandshakeTimeout(HandshakeError, TimeoutError):
    """The peer accepted the connection but did not introduce itself in time."""


class Owner(Protocol):
    """The Server or Client that a connection belongs to."""

    def _on_connected(self, connection: "Connection") -> None:
        """The transport is there, the handshake is about to begin."""

    def _on_opened(self, connection: "Connection", event: Event) -> None:
        """The handshake is done. ``event``: whether the session is a new one."""

    def _on_over(self, connection: "Connection", reason: Exception | None) -> None:
        """The session has ended, well or badly. ``reason``: what broke it, if anything did."""

    def _on_lost(self, connection: "Connection") -> None:
        """The transport is gone, too."""


class Connection(Pump, asyncio.BufferedProtocol):
    """The protocol of a transport.

    ``owner`` is told how the connection gets on; ``handler`` gets the events of its session.
    """

    def __init__(
        self,
        session: Session,
        owner: Owner,
        handler: Handler,
        *,
        handshake_timeout: float | None,
        heartbeat: float,
        logger: logging.Logger,
    ) -> None:
        super().__init__(session, handler, logger)
        self._owner = owner
        self._handshake_timeout = handshake_timeout
        self._heartbeat = heartbeat
        #: The connection has ended, and what broke it, if anything did.
        self.over = False
        self.reason: Exception | None = None
        #: The peer has closed its end in good order, so that all its words have been heard.
        self.heard_all = False
        #: Done when the handshake is.
        self.opened = self._loop.create_future()
        #: For the handshake, then for closing.
        self._deadline: asyncio.TimerHandle | None = None
        self._watch: Watch

    # -- the transport's side ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # With the default limits uvloop keeps what is written until the end of the loop's turn.
        self._transport.set_write_buffer_limits(high=0)
        self.peer_address = spell(transport.get_extra_info("peername"))
        sock = transport.get_extra_info("socket")
        keep_in_cache(sock)
        if self._handshake_timeout is not None:
            self._set_deadline(self._handshake_timeout, self._too_late)
        self._watch = Watch(
            sock,
            self._heartbeat,
            silence=lambda: self._loop.time() - self.last_heard,
            has_stalled=lambda: self.session.has_stalled,
            cut=self._cut,
        )
        self._owner._on_connected(self)
        if transport.get_extra_info("sslcontext") is None:
            self.secured()

    def secured(self) -> None:
        """TLS has been set up, where there is TLS: our own handshake may begin."""
        self.session.on_pending = self.wake
        binding = b""
        if self.session.authenticates and self._transport is not None:
            binding = channel_binding(self._transport)
        self.session.start(binding)
        self.wake()

    @property
    def is_open(self) -> bool:
        """Whether the handshake is done."""
        return self.session.opened

    def greet(self, event: Event) -> None:
        if not self.opened.done():  # given up at that very moment
            self._set_deadline(None)
            self.opened.set_result(None)
        self._owner._on_opened(self, event)

    def slow_down(self, seconds: float) -> None:
        """Write nothing for so long, which is when it has just been made."""
        self._writable = False
        self._loop.call_later(seconds, self.resume_writing)

    def adopt(self, session: Session) -> None:
        """Go on with an older session, which has taken over the state of this connection."""
        self.session = session
        session.on_pending = self.wake
        self.wake()

    def eof_received(self) -> None:
        """The peer has closed: from here on, nothing that is written arrives."""
        self.receive_due()
        self.heard_all = True
        self._closing = True
        self._set_deadline(_LINGER, self.abort)
        self._end()

    def broken(self, error: Exception) -> None:
        """TLS has failed, or was not closed in good order: nothing more can be read."""
        self.receive_due()
        if self._closing:
            return
        if isinstance(error, DistchanError):
            self.refuse(error)
        else:
            self.reason = error
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is None:
            return  # it has been abandoned before
        self.receive_due()
        if error is not None and not self._closing:
            self._hear_last_words(self._transport)
        self._closing = True
        self._transport = None
        self._set_deadline(None)
        self._watch.cancel()
        self.reason = self.reason or error
        try:
            self._end()
        finally:
            self._owner._on_lost(self)

    def _hear_last_words(self, transport: asyncio.Transport) -> None:
        """They say how far the peer had got with its items."""
        for data in unread(transport):
            if not self._closing:
                self.session.feed(data)
                self.read_events()

    def _end(self) -> None:
        if self.over:
            return
        self.over = True
        if not self.opened.done():
            self.opened.set_exception(
                self.reason
                or ConnectionResetError(
                    "it closes connections in the handshake, as another program does, or a server "
                    'with wire="go"'
                )
            )
            self.opened.exception()  # on a server, nobody waits for it
        self._owner._on_over(self, self.reason)

    # -- deadlines --------------------------------------------------------------------------------

    def _set_deadline(self, seconds: float | None, act: Callable[[], None] = lambda: None) -> None:
        """Replace the deadline by another one, or by none."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self._loop.call_later(seconds, act)

    def _too_late(self) -> None:
        self.refuse(
            HandshakeTimeout(f"it did not introduce itself within {self._handshake_timeout:g} s")
        )

    def _cut(self, reason: str) -> None:
        self.reason = TimeoutError(reason)
        self.abort()

    # -- the owner's side -------------------------------------------------------------------------

    def refuse(self, error: DistchanError) -> None:
        """Tell the peer what is wrong, and close."""
        self.reason = error
        self.session.refuse(error)
        self.close()

    def close(self) -> None:
        """Write what is pending and half-close; the peer's closing, or a second, ends it.

        Closing outright, with unread bytes in the socket, would reset the connection and destroy
        what the peer has not read yet.
        """
        transport = self._transport
        if transport is None or self._closing:
            return
        self._writable = True  # the transport's buffer takes these last words in any case
        self.write()
        self._closing = True
        self._set_deadline(_LINGER, self.abort)
        try:
            if transport.can_write_eof():
                transport.write_eof()
            else:
                transport.close()
        except OSError:  # the peer was faster
            transport.abort()
        self._end()

    def abort(self) -> None:
        """Close at once; what is pending is lost."""
        if self._transport is not None:
            self._transport.abort()

    def abandon(self) -> None:
        """Have nothing more to do with a client's connection that nobody wants any longer.

        Its transport may be one that the loop has closed without telling us.
        """
        session = self.session
        if session.opened:
            assert isinstance(session, ClientSession)
            session.leave()
            session.close()
            self.close()
        else:
            self.abort()
            self.connection_lost(None)

    def displace(self) -> None:
        """Another connection has taken over the session."""
        self._closing = True
        self.abort()
