"""One connection: a session with an asyncio transport under it."""

import asyncio
import logging
from typing import Final, Protocol, cast

from distchan._address import spell
from distchan._session import ClientSession, Event, Opened, Session
from distchan.errors import DistchanError, HandshakeError, ProtocolError

__all__ = ["Connection", "HandshakeTimeout", "Owner"]

#: What is waiting to be written is written once per turn of the loop, or at so many bytes.
_FLUSH_AT: Final = 64 * 1024
#: How long a connection may take to close, in seconds.
_LINGER: Final = 1.0


class HandshakeTimeout(HandshakeError, TimeoutError):
    """The peer accepted the connection but did not introduce itself in time."""


class Owner(Protocol):
    """The Server or Client that a connection belongs to."""

    def _on_connected(self, connection: "Connection") -> None:
        """The transport is there, the handshake is about to begin."""

    def _on_event(self, connection: "Connection", event: Event) -> None: ...

    def _on_over(self, connection: "Connection", reason: Exception | None) -> None:
        """The session has ended, well or badly. ``reason``: what broke it, if anything did."""

    def _on_lost(self, connection: "Connection") -> None:
        """The transport is gone, too."""


class Connection(asyncio.Protocol):
    """Feeds the session, hands its events to the owner, flushes what is to be written."""

    def __init__(
        self,
        session: Session,
        owner: Owner,
        *,
        handshake_timeout: float,
        logger: logging.Logger,
    ) -> None:
        self.session = session
        self.peer_address = "?"
        self._owner = owner
        self._logger = logger
        self._handshake_timeout = handshake_timeout
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._flush_scheduled = False
        self._writable = True
        self._closing = False
        #: The session has ended, and what broke it, if anything did.
        self.over = False
        self.reason: Exception | None = None
        #: Done when the handshake is.
        self.opened = self._loop.create_future()
        self._deadline: asyncio.TimerHandle | None = None

    # -- the transport's side ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.peer_address = spell(transport.get_extra_info("peername"))
        self._deadline = self._loop.call_later(self._handshake_timeout, self._too_late)
        self._owner._on_connected(self)
        self.session.start()
        self.flush_soon()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return  # an error has been reported, or everything said
        self.session.feed(data)
        try:
            while (event := self._next_event()) is not None:
                self._owner._on_event(self, event)
        except Exception as error:
            self._logger.exception("error while reading from %s", self.peer_address)
            self.refuse(ProtocolError(f"internal error: {error!r}"))
        self._follow_session()

    def _next_event(self) -> Event | None:
        try:
            event = self.session.next_event()
        except DistchanError as error:
            self.reason = error
            return None
        if isinstance(event, Opened):
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None
            if not self.opened.done():
                self.opened.set_result(None)
        return event

    def eof_received(self) -> None:
        """The peer has closed: from here on, nothing that is written arrives."""
        self._closing = True
        self._abort_later()
        self._end()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is None:
            return  # it has been abandoned before
        self._closing = True
        self._transport = None
        if self._deadline is not None:
            self._deadline.cancel()
        self.reason = self.reason or error
        try:
            self._end()
        finally:
            self._owner._on_lost(self)

    def _end(self) -> None:
        if self.over:
            return
        self.over = True
        if not self.opened.done():
            self.opened.set_exception(
                self.reason or ConnectionResetError("it closed the connection in the handshake")
            )
            self.opened.exception()  # on a server, nobody waits for it
        self._owner._on_over(self, self.reason)

    def _too_late(self) -> None:
        self.refuse(
            HandshakeTimeout(
                "it accepted the connection but did not introduce itself within "
                f"{self._handshake_timeout:g} s"
            )
        )

    # -- the owner's side -------------------------------------------------------------------------

    def send(self, payload: bytes) -> bool:
        """Send one data frame; needs credit. Returns whether there is credit for another."""
        more = self.session.send(payload)
        if not self._flush_scheduled:
            self.flush_soon()
        elif self.session.pending >= _FLUSH_AT:
            self._write()
        return more

    def took(self, count: int, size: int) -> None:
        """Items of this connection have been received by the user."""
        self.session.took(count, size)
        if self.session.pending and not self._flush_scheduled:
            self.flush_soon()

    def finish_sending(self, error: str = "") -> None:
        """Tell the peer that no more data will come."""
        self.session.close(error)
        self._follow_session()

    def leave(self) -> None:
        """Ask the server for no more items."""
        assert isinstance(self.session, ClientSession)
        self.session.leave()
        self._follow_session()

    def flush_soon(self) -> None:
        """Write what the session has to say, in this turn of the loop."""
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

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
        self._write()
        self._closing = True
        self._abort_later()
        try:
            if transport.can_write_eof():
                transport.write_eof()
            else:
                transport.close()
        except OSError:  # the peer was faster
            transport.abort()
        self._end()

    def _abort_later(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(_LINGER, self.abort)

    def abort(self) -> None:
        """Close at once; what is pending is lost."""
        if self._transport is not None:
            self._transport.abort()

    def abandon(self) -> None:
        """Have nothing more to do with a connection that nobody wants any longer.

        It may have been opened, and dealt items, in the very turn in which that was decided. If
        not, its transport may be one that the loop has closed without telling us.
        """
        if self.session.opened:
            self.leave()
            self.close()
        else:
            self.abort()
            self.connection_lost(None)

    def _follow_session(self) -> None:
        if self.session.error is not None or self.session.finished:
            self.close()
        elif self.session.pending:
            self.flush_soon()

    def _flush(self) -> None:
        self._flush_scheduled = False
        self._write()

    def _write(self) -> None:
        transport = self._transport
        if transport is None or self._closing or not self._writable or transport.is_closing():
            return
        buffers = self.session.data_to_send()
        if len(buffers) == 1:
            transport.write(buffers[0])
        elif buffers:
            transport.writelines(buffers)
