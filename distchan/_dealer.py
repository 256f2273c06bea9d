"""From a server's channel to its sessions: encodes items and deals them round robin.

The line has three parts, dealt in this order: suspects, each of which needs a session that holds
nothing else; items that came back; and what is in the channel. As long as a suspect waits, nobody
who holds something is dealt anything, so that somebody soon holds nothing.
"""

import logging
import secrets
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from distchan._backend import Ring
from distchan._server_session import Item, ServerSession
from distchan.channel import Channel
from distchan.errors import DistchanError

__all__ = ["Dealer"]


class Dealer:
    """The Outlet of a server's outgoing channel.

    ``encode`` makes the payload of an item. ``finished`` is called when nothing is left to deal:
    the channel is closed and drained, and nothing that came back waits. ``bury`` is called with
    each item that has failed ``max_attempts`` times, and the reason of the last failure.
    """

    def __init__(
        self,
        channel: Channel[Any],
        encode: Callable[[Any], bytes],
        *,
        max_attempts: int,
        finished: Callable[[], None],
        bury: Callable[[Item, str], None],
        logger: logging.Logger,
    ) -> None:
        self.channel = channel
        self.encode = encode
        self._max_attempts = max_attempts
        self._on_finished = finished
        self._bury = bury
        self._logger = logger
        #: Items from another network that this one cannot carry.
        self.unencodable = 0
        self.dealt = 0
        # Ids serve users as idempotency keys: a restarted server must not use the same ones again.
        self._next_id = secrets.randbits(62)
        self._ring: Ring[ServerSession] = Ring()
        self._suspects: deque[Item] = deque()
        self._returned: deque[Item] = deque()
        self._channel_finished = False

    # -- the channel's side -----------------------------------------------------------------------

    @property
    def live(self) -> bool:
        return self._ring.any_ready and not self._returned and not self._suspects

    def room(self) -> int:
        return sum(session.credit for session in self._ring) if self.live else 0

    def sender(self) -> None:
        """Items of all tasks are equal here."""

    def put(self, payload: bytes) -> None:
        self._next_id = item_id = self._next_id + 1
        self._deal(Item(item_id, payload))

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

    # -- the sessions' side -----------------------------------------------------------------------

    @property
    def coming_back(self) -> int:
        """Items that came back and wait to be dealt again."""
        return len(self._returned) + len(self._suspects)

    @property
    def waiting(self) -> int:
        """Items that are to be dealt: those that came back and those in the channel."""
        return self.coming_back + len(self.channel)

    @property
    def finished(self) -> bool:
        return self._channel_finished and not self.coming_back

    @property
    def last_words(self) -> str:
        """The error with which the channel was closed, for the other end; empty if with none."""
        return self.channel._last_words

    def join(self, session: ServerSession) -> None:
        """A new session, at the end of the rotation."""
        self._ring.join(session)
        self.credited(session)

    def leave(self, session: ServerSession) -> None:
        """A session wants no more items."""
        if session in self._ring:
            self._ring.leave(session)

    def credited(self, session: ServerSession) -> None:
        """The credit of a session may have changed."""
        if session in self._ring:
            self._ring.mark(session, session.credit > 0)
            self._deal_waiting()

    def take_back(self, items: Iterable[Item]) -> None:
        """Items that nobody is blamed for: to the front of the line."""
        for item in reversed(list(items)):
            (self._suspects if item.alone else self._returned).appendleft(item)
        self._deal_waiting()

    def take_back_failed(self, items: Iterable[Item], reason: str) -> None:
        """Items that failed, which counts as an attempt. Their worker has lived to tell."""
        survivors = self._survivors(items, reason)
        for item in survivors:
            item.alone = False
        self.take_back(survivors)

    def take_back_suspects(self, items: Iterable[Item], reason: str) -> None:
        """Items that may have taken their worker down: counts, and from now on they go alone."""
        for item in self._survivors(items, reason):
            item.alone = True
            self._suspects.append(item)
        self._deal_waiting()

    def discard(self) -> int:
        """Give up what came back; how many items that were."""
        count = self.coming_back
        self._returned.clear()
        self._suspects.clear()
        return count

    def _survivors(self, items: Iterable[Item], reason: str) -> list[Item]:
        survivors = []
        for item in items:
            if item.attempt >= self._max_attempts:
                self._bury(item, reason)
            else:
                item.attempt += 1
                survivors.append(item)
        return survivors

    def _deal(self, item: Item) -> None:
        session = self._ring.select()
        assert session is not None, "somebody must have credit"
        self.dealt += 1
        if not session.send(item):
            self._ring.mark(session, False)

    def _deal_waiting(self) -> None:
        came_back = self.coming_back > 0
        if self._suspects:
            self._deal_suspects()
        while self._returned and not self._suspects and self._ring.any_ready:
            self._deal(self._returned.popleft())
        if self.live:
            self.channel._serve()
        if came_back and self.finished:
            self._on_finished()

    def _deal_suspects(self) -> None:
        for session in self._ring:
            if not self._suspects:
                break
            if session.credit and not session.outstanding:
                self.dealt += 1
                session.send(self._suspects.popleft())
                self._ring.mark(session, False)
