"""The busy half of a connection: bytes from its transport to a session's events, and back.

What happens once per connection is in _connection.py.
"""

import asyncio
import logging
from typing import Final

from distchan._frames import NOW_AND_PAUSE, SOON
from distchan._session import Event, Session
from distchan.errors import DistchanError, ProtocolError

__all__ = ["Handler", "Pump"]

# C integers in the compiled module.
_SOON: Final = SOON
_NOW_AND_PAUSE: Final = NOW_AND_PAUSE


class Handler:
    """Does what the events of sessions call for, handshakes apart."""

    def on_event(self, session: Session, event: Event) -> None:
        raise NotImplementedError


class Pump:
    """Feeds a session, hands its events to a handler, writes what it has to say.

    The first event, with which the handshake is done, goes to greet().
    """

    def __init__(self, session: Session, handler: Handler, logger: logging.Logger) -> None:
        self.session = session
        self.peer_address = "?"
        self._handler = handler
        self._logger = logger
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._greeted = False
        self._receipt_due = False
        self._flush_scheduled = False
        self._writable = True
        self._closing = False
        #: When the last bytes came, in the loop's time.
        self.last_heard = self._loop.time()

    def greet(self, event: Event) -> None:
        """The handshake is done."""
        raise NotImplementedError

    def refuse(self, error: DistchanError) -> None:
        """Tell the peer what is wrong, and close."""
        raise NotImplementedError

    def close(self) -> None:
        """Write what is pending, and close."""
        raise NotImplementedError

    # -- reading ----------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.session.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        if self._closing:  # an error has been reported, or everything said
            return
        advice = self.session.buffer_updated(nbytes)
        if advice != _SOON:
            self.read_events()
            if advice == _NOW_AND_PAUSE:
                self._pause_reading()
        elif not self._receipt_due:
            self._receipt_due = True
            self._loop.call_soon(self.receive_due)

    def receive_due(self) -> None:
        """Do what has been put off until more has come."""
        if self._receipt_due:
            self._receipt_due = False
            if not self._closing:
                self.read_events()

    def _pause_reading(self) -> None:
        """Until the tasks that have just been woken have had their turn."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.pause_reading()
            self._loop.call_soon(self._resume_reading)

    def _resume_reading(self) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.resume_reading()

    def read_events(self) -> None:
        """Do what the bytes that have come call for."""
        self.last_heard = self._loop.time()
        try:
            while True:
                session = self.session  # handling an event may put another one in its place
                event = session.next_event()
                if event is None:
                    break
                if self._greeted:
                    self._handler.on_event(session, event)
                else:
                    self._greeted = True
                    self.greet(event)
        except DistchanError as error:
            self.refuse(error)
        except Exception as error:
            self._logger.exception("error while reading from %s", self.peer_address)
            self.refuse(ProtocolError(f"internal error: {error!r}"))
        session = self.session
        if session.finished or session.error is not None:
            self.close()

    # -- writing ----------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self.write()

    def wake(self) -> None:
        """Something is to be written: once per turn of the loop."""
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        self.write()

    def write(self) -> None:
        """Write what the session has to say, now."""
        transport = self._transport
        if transport is None or self._closing or not self._writable or transport.is_closing():
            return
        buffers = self.session.data_to_send()
        if len(buffers) == 1:
            transport.write(buffers[0])
        elif buffers:
            transport.writelines(buffers)
