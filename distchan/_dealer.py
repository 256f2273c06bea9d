"""From a channel to connections: encodes items and deals them round robin."""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from distchan._backend import Ring
from distchan._connection import Connection
from distchan.channel import Channel
from distchan.errors import DistchanError

__all__ = ["Dealer"]


class Dealer:
    """The Outlet of an outgoing channel, for a Server with many connections or a Client with one.

    ``encode`` makes the payload of an item. ``finished`` is called when nothing is left to deal
    and nothing will come: the channel is closed and drained, and nothing that was returned waits.
    """

    def __init__(
        self,
        channel: Channel[Any],
        encode: Callable[[Any], bytes],
        finished: Callable[[], None],
        logger: logging.Logger,
    ) -> None:
        self.channel = channel
        self.encode = encode
        self._on_finished = finished
        self._logger = logger
        #: Items from another network that this one cannot carry.
        self.unencodable = 0
        self._ring: Ring[Connection] = Ring()
        #: Payloads that came back from a connection: dealt before anything new.
        self._returned: deque[bytes] = deque()
        self._channel_finished = False

    # -- the channel's side -----------------------------------------------------------------------

    @property
    def live(self) -> bool:
        return self._ring.any_ready and not self._returned

    def room(self) -> int:
        return sum(connection.session.credit for connection in self._ring) if self.live else 0

    def put(self, payload: bytes) -> None:
        connection = self._ring.select()
        assert connection is not None, "put() is for a live outlet"
        if not connection.send(payload):
            self._ring.mark(connection, False)

    def relay(self, item: Any) -> None:
        try:
            payload = self.encode(item)
        except DistchanError as error:
            self.unencodable += 1
            self._logger.warning("an item could not be relayed and is left out: %s", error)
        else:
            self.put(payload)

    def finish(self) -> None:
        self._channel_finished = True
        if self.finished:
            self._on_finished()

    # -- the connections' side --------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Items that are to be dealt: returned ones and those in the channel."""
        return len(self._returned) + len(self.channel)

    def largest_waiting(self) -> int:
        """The size of the largest payload that waits to be dealt, in bytes."""
        return max(map(len, (*self._returned, *self.channel._payloads())), default=0)

    @property
    def finished(self) -> bool:
        return self._channel_finished and not self._returned

    @property
    def last_words(self) -> str:
        """The error with which the channel was closed, for the other end; empty if with none."""
        error = self.channel._end
        return "" if error is None else str(error) or type(error).__name__

    def join(self, connection: Connection) -> None:
        """A new connection, at the end of the rotation."""
        self._ring.join(connection)
        self.credited(connection)

    def leave(self, connection: Connection, returned: Iterable[bytes] = ()) -> None:
        """A connection is no more; the payloads that it returned go to others first."""
        if connection in self._ring:
            self._ring.leave(connection)
        self._returned.extendleft(reversed(list(returned)))
        self._deal_waiting()

    def credited(self, connection: Connection) -> None:
        """A connection may have got credit."""
        if connection in self._ring:
            self._ring.mark(connection, connection.session.credit > 0)
            self._deal_waiting()

    def discard(self) -> int:
        """Give up what was returned; how many items that were."""
        count = len(self._returned)
        self._returned.clear()
        return count

    def _deal_waiting(self) -> None:
        had_returned = bool(self._returned)
        while self._returned and self._ring.any_ready:
            self.put(self._returned.popleft())
        if self.live:
            self.channel._serve()
        if had_returned and self.finished:
            self._on_finished()
