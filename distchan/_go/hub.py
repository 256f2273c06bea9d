"""What both ends do about their connections on the Go original's wire: deal, gather, count."""

from collections.abc import Callable
from typing import Any

from distchan._go.connection import GoConnection
from distchan._go.dealer import GoDealer
from distchan._go.inbox import GoInbox
from distchan._go.wiring import GoWiring
from distchan.errors import DecodeError, DistchanError

__all__ = ["GoHub"]


class GoHub:
    """The two channels of an end and its connections.

    ``finished`` is called when all items have been dealt and none will follow, ``drained`` when the
    incoming channel is closed and drained, ``bury`` with the value of an item that cannot be sent
    after all and the reason.
    """

    def __init__(
        self,
        wiring: GoWiring,
        *,
        finished: Callable[[], None],
        drained: Callable[[], None],
        bury: Callable[[bytes, str], None],
    ) -> None:
        self._logger = wiring.logger
        self.dealer: GoDealer | None = None
        self.inbox: GoInbox | None = None
        if wiring.outgoing is not None:
            self.dealer = GoDealer(
                wiring.outgoing,
                wiring.encoder,
                finished=finished,
                bury=bury,
                logger=wiring.logger,
            )
        if wiring.incoming is not None:
            self.inbox = GoInbox(wiring.incoming, self._read, drained)
        #: Those that have neither ended nor been broken, in joining order.
        self.connections: dict[GoConnection, None] = {}
        self._written_before = 0  # by connections that are gone
        self.arrived = 0
        self.undecodable = 0
        self.dropped_items = 0
        self.dropped_arrivals = 0

    # -- figures ----------------------------------------------------------------------------------

    @property
    def held(self) -> int:
        """Items dealt and not written."""
        return sum(connection.session.held for connection in self.connections)

    @property
    def written(self) -> int:
        """Items that have left this process, as far as can be known."""
        return self._written_before + sum(c.session.written for c in self.connections)

    # -- connections ------------------------------------------------------------------------------

    def join(self, connection: GoConnection) -> None:
        """A new connection."""
        self.connections[connection] = None
        if self.inbox is not None and self.inbox.full:
            connection.read(False)
        if self.dealer is not None:
            self.dealer.join(connection)

    def leave(self, connection: GoConnection) -> bool:
        """A connection is gone. Returns whether it was there."""
        if connection not in self.connections:
            return False
        del self.connections[connection]
        if isinstance(connection.reason, DecodeError):
            self.undecodable += 1
        session = connection.session
        unwritten = session.surrender()
        self._written_before += session.written
        if self.dealer is not None:
            self.dealer.leave(connection, unwritten)
        return True

    def arrive(self, items: list[Any], size: int) -> None:
        """Items have come."""
        self.arrived += len(items)
        if self.inbox is None or self.inbox.channel.closed:  # by the user: nobody wants them
            self.dropped_arrivals += len(items)
        else:
            self.inbox.arrive(items, size)

    def update(self, connection: GoConnection) -> None:
        """Whether a connection can write may have changed."""
        if self.dealer is not None:
            self.dealer.update(connection)

    def write(self) -> None:
        """Write what has been dealt, now."""
        for connection in tuple(self.connections):
            connection.write()

    def drop_rest(self, error: DistchanError) -> None:
        """Give up what was not written or not received; end both channels."""
        if self.dealer is not None:
            self.dropped_items += self.dealer.discard() + self.dealer.channel._discard()
            self.dealer.channel._fail(error)
        if self.inbox is not None:
            self.dropped_arrivals += self.inbox.discard()
            self.inbox.channel._fail(error)

    def _read(self, wanted: bool) -> None:
        for connection in self.connections:
            connection.read(wanted)
