"""From a channel to connections on the Go original's wire: round robin over those that can write.

A Server has any number of connections, a Client one.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from distchan._go.connection import GoConnection
from distchan._payloads import PayloadEncoder
from distchan._ports import Outlet
from distchan._rendezvous import Channel
from distchan._roundrobin import Ring
from distchan.errors import DistchanError

__all__ = ["GoDealer"]

#: How many waiting senders are let in for each connection that can write.
_ROOM: Final = 64


class GoDealer(Outlet):
    """The Outlet of an outgoing channel.

    ``finished`` is called when nothing is left to deal: the channel is closed and drained, and
    nothing that came back waits. ``bury`` is called with an item that could not be sent although it
    had been encoded, and the reason.
    """

    def __init__(
        self,
        channel: Channel,
        encoder: PayloadEncoder,
        *,
        finished: Callable[[], None],
        bury: Callable[[bytes, str], None],
        logger: logging.Logger,
    ) -> None:
        super().__init__(encoder, asks_for_sender=False, logger=logger)
        self.channel = channel
        self._on_finished = finished
        self._bury = bury
        self._ring: Ring[GoConnection] = Ring()
        #: Items of connections that are gone, which had not been written. They come first.
        self._returned: deque[bytes] = deque()
        self._channel_finished = False
        self.dealt = 0

    # -- the channel's side -----------------------------------------------------------------------

    def live(self) -> bool:
        return self._ring.ready > 0 and not self._returned

    def room(self) -> int:
        return self._ring.ready * _ROOM if self.live() else 0

    def offer(self, payload: bytes | None) -> bool:
        if self._returned or not self._ring.ready:
            return False
        assert payload is not None, "everything in a bound channel is encoded"
        self._deal(payload)
        return True

    def finish(self) -> None:
        self._channel_finished = True
        if self.finished:
            self._on_finished()

    # -- the connections' side --------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        return self._channel_finished and not self._returned

    @property
    def waiting(self) -> int:
        """Items that are to be dealt: those that came back and those in the channel."""
        return len(self._returned) + len(self.channel)

    def join(self, connection: GoConnection) -> None:
        """A new one, at the end of the rotation."""
        self._ring.join(connection)
        self.update(connection)

    def leave(self, connection: GoConnection, unwritten: list[bytes]) -> None:
        """A connection is gone; what it was dealt and has not written goes to others."""
        self._ring.leave(connection)
        self._returned.extendleft(reversed(unwritten))
        self._deal_waiting()

    def update(self, connection: GoConnection) -> None:
        """Whether a connection can write may have changed."""
        if connection in self._ring:
            self._ring.mark(connection, connection.writable)
            self._deal_waiting()

    def discard(self) -> int:
        """Give up what came back; how many items that were."""
        count = len(self._returned)
        self._returned.clear()
        return count

    def _deal(self, payload: bytes) -> None:
        connection = self._ring.select()
        assert connection is not None, "somebody must be able to write"
        try:
            connection.send(payload)
        except DistchanError as error:  # a transform that refuses the definitions in front of it
            self._bury(payload, str(error))
        else:
            self.dealt += 1

    def _deal_waiting(self) -> None:
        came_back = bool(self._returned)
        while self._returned and self._ring.ready:
            self._deal(self._returned.popleft())
        if self.live():
            self.channel._serve()
        if came_back and self.finished:
            self._on_finished()
