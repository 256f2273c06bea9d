"""An asyncio transport under a session on the Go original's wire."""

import asyncio
from typing import Any, Final, Protocol, cast

from distchan._address import spell
from distchan._go.session import GoSession
from distchan._last_words import unread
from distchan._liveness import Watch, unacknowledged
from distchan.errors import ConnectionLost, DistchanError

__all__ = ["GoConnection", "GoOwner"]

#: How long a connection that nobody waits for may take to close, in seconds.
_LINGER: Final = 1.0
#: With so many bytes at hand they are written at once, not at the end of the loop's turn.
_ENOUGH: Final = 64 * 1024


class GoOwner(Protocol):
    """The end of a Server or Client that a connection belongs to.

    ``deals_again``: whether items that have not been written can go to somebody else.
    """

    deals_again: bool

    def on_connected(self, connection: "GoConnection") -> None:
        """The transport is there."""

    def on_opened(self, connection: "GoConnection") -> None:
        """Items may come and go: if there is TLS, its handshake is done."""

    def on_items(self, connection: "GoConnection", items: list[Any], size: int) -> None:
        """Items have come, whose payloads have so many bytes."""

    def on_ended(self, connection: "GoConnection") -> None:
        """The peer has said that no item will follow."""

    def on_writable(self, connection: "GoConnection") -> None:
        """It has become writable, or has ceased to be."""

    def on_lost(self, connection: "GoConnection") -> None:
        """No item comes or goes any longer, or ever has. Called once; ``reason`` says why."""

    def on_released(self, connection: "GoConnection") -> None:
        """The transport is gone, too."""


class GoConnection(asyncio.Protocol):
    """The protocol of a transport. ``owner`` is told how it gets on."""

    def __init__(self, session: GoSession, owner: GoOwner, *, heartbeat: float) -> None:
        self.session = session
        self.peer_address = "?"
        self._owner = owner
        self._heartbeat = heartbeat
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        #: Done when items may come and go.
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self._open = False
        #: What broke the connection, if anything did.
        self.reason: Exception | None = None
        #: The peer has closed its end.
        self.heard_all = False
        #: The transport has taken all that it was given.
        self._drained = True
        self._flush_scheduled = False
        #: What still comes is dropped.
        self._deaf = False
        #: No item comes or goes any longer.
        self.lost = False
        self._reading = True
        self._last_heard = self._loop.time()
        self._deadline: asyncio.TimerHandle | None = None
        self._watch: Watch

    @property
    def is_open(self) -> bool:
        """Whether items may come and go, or could."""
        return self._open

    @property
    def writable(self) -> bool:
        """Whether an item may be sent: all before it are on their way, and the peer is there."""
        return self._drained and not self.lost and not self.session.closed

    @property
    def flushed(self) -> bool:
        """Whether the kernel has all that was to be written."""
        return self._drained and not self.session.pending

    # -- the transport's side ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # So that nothing is kept in this process that the kernel has no room for, except what is
        # left of one write: what waits elsewhere can go to another client.
        self._transport.set_write_buffer_limits(high=0)
        self.peer_address = spell(transport.get_extra_info("peername"))
        self._watch = Watch(
            transport.get_extra_info("socket"),
            self._heartbeat,
            silence=lambda: self._loop.time() - self._last_heard,
            has_stalled=lambda: self._reading and self.session.in_mid_frame,
            cut=lambda reason: self._break(TimeoutError(reason)),
        )
        self._owner.on_connected(self)
        if transport.get_extra_info("sslcontext") is None:
            self.secured()

    def secured(self) -> None:
        """TLS has been set up, where there is TLS."""
        self._open = True
        if not self.opened.done():  # given up at that very moment
            self.opened.set_result(None)
        self._owner.on_opened(self)

    def broken(self, error: Exception) -> None:
        """TLS has failed, or was not closed in good order: nothing more can be read."""
        if not self._deaf:
            self.reason = error
        self.close()

    def data_received(self, data: bytes) -> None:
        self._last_heard = self._loop.time()
        if self._deaf:
            return
        session = self.session
        items, size = session.receive(data)
        if items:
            self._owner.on_items(self, items, size)
        if session.error is not None:
            self.refuse(session.error)
        elif session.ended:
            self._deaf = True
            self._owner.on_ended(self)

    def eof_received(self) -> bool:
        self.heard_all = True
        if not self._deaf and self.session.in_mid_frame:
            self.reason = ConnectionLost("it closed the connection in the middle of a frame")
        self.close()
        return True  # until what is left has been written

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is None:
            return  # it has been abandoned before
        if error is not None:
            # It is a write that failed; the loop does not read what had arrived before.
            for data in unread(self._transport):
                self.data_received(data)
        self._transport = None
        self._watch.cancel()
        if self._deadline is not None:
            self._deadline.cancel()
        self.reason = self.reason or error
        self._lose()
        self._owner.on_released(self)

    def pause_writing(self) -> None:
        self._drained = False
        self._owner.on_writable(self)

    def resume_writing(self) -> None:
        self._drained = True
        self._owner.on_writable(self)

    # -- writing ----------------------------------------------------------------------------------

    def send(self, payload: bytes) -> None:
        """Send an item: with others, when the loop turns. Call only while writable."""
        self.session.send(payload)
        if self.session.pending >= _ENOUGH:
            self.write()
        else:
            self._write_soon()

    def end(self) -> None:
        """Say that no item will follow."""
        self.session.close()
        self._write_soon()

    def write(self) -> None:
        """Write what has been sent, now."""
        transport = self._transport
        if transport is not None and not transport.is_closing() and self.session.pending:
            data = self.session.data_to_send()
            if len(data) == 1:
                transport.write(data[0])
            else:
                transport.writelines(data)
                # Some versions of asyncio forget to call pause_writing() then, but not now.
                transport.set_write_buffer_limits(high=0)

    def _write_soon(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        self.write()

    # -- reading ----------------------------------------------------------------------------------

    def read(self, wanted: bool) -> None:
        """Whether to read on. What is not read stays in the sockets, and the peer has to wait."""
        transport = self._transport
        if wanted == self._reading or transport is None or transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self._last_heard = self._loop.time()
            transport.resume_reading()
        else:
            transport.pause_reading()

    # -- the end ----------------------------------------------------------------------------------

    def refuse(self, error: DistchanError) -> None:
        """The peer broke the rules: close."""
        self.reason = error
        self.close()

    def close(self, *, patient: bool = False) -> None:
        """Write what is pending, say that nothing follows, and wait for the peer to do the same.

        Closing outright, with unread bytes in the socket, would reset the connection and destroy
        what the peer has not read yet; but nothing comes from a peer that has said so.

        It waits for a second at the most. If ``patient``, until the peer's host has everything and
        the peer has been silent for a second: the original's server reads the end of a client that
        leaves, sends it nothing any more, and never closes its own end.
        """
        transport = self._transport
        if transport is None:
            return
        is_over = self.reason is not None or self.heard_all
        if self._owner.deals_again and (is_over or self.session.ended):
            self._lose()  # before anything more is written to somebody who has left
        self.write()
        self._deaf = True
        self.session.closed = True
        self.read(True)
        if self._deadline is not None:
            self._deadline.cancel()
        act = self._abort_when_heard if patient else self.abort
        self._deadline = self._loop.call_later(_LINGER, act)
        try:
            if self.heard_all or self.session.ended or not transport.can_write_eof():
                transport.close()
            else:
                transport.write_eof()
        except OSError:  # the peer was faster
            transport.abort()
        if is_over:
            self._lose()

    def abort(self) -> None:
        """Close at once; what is pending is lost."""
        if self._transport is not None:
            self._transport.abort()

    def abandon(self) -> None:
        """Nobody wants the connection any longer: it was being made for a client.

        Its transport may be one that the loop has closed without telling us.
        """
        self.abort()
        self.connection_lost(None)

    def _break(self, reason: Exception) -> None:
        self.reason = reason
        self.abort()

    def _lose(self) -> None:
        if not self.lost:
            self.lost = True
            self._deaf = True
            if not self.opened.done():
                self.opened.set_exception(
                    self.reason
                    or ConnectionResetError("it closes connections in the TLS handshake")
                )
                self.opened.exception()  # on a server, nobody waits for it
            self._owner.on_lost(self)

    def _abort_when_heard(self) -> None:
        if self._transport is None:
            return
        sock = self._transport.get_extra_info("socket")
        silence = self._loop.time() - self._last_heard
        if self.flushed and silence >= _LINGER and not unacknowledged(sock):
            self.abort()
        else:
            self._deadline = self._loop.call_later(_LINGER, self._abort_when_heard)
