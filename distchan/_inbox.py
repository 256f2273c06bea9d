"""From connections to a channel: what has arrived and not been received yet."""

from collections import deque
from collections.abc import Callable
from typing import Any

from distchan._connection import Connection
from distchan.channel import Channel

__all__ = ["Inbox"]


class _Run:
    """Items that arrived together, the oldest at the end; none: a frame that carries no item."""

    __slots__ = ("connection", "items", "size")

    def __init__(self, connection: Connection, items: list[Any], size: int) -> None:
        self.connection = connection
        self.items = items
        self.size = size


class Inbox:
    """The Inlet of an incoming channel, for a Server with many connections or a Client with one.

    It tells each connection what has been taken of its items, so that the peer gets credit on
    consumption, not on receipt. ``drained`` is called when the channel is closed and drained.
    """

    def __init__(self, channel: Channel[Any], drained: Callable[[], None], *, relays: bool) -> None:
        self.channel = channel
        self.relays = relays
        self._on_drained = drained
        self._runs: deque[_Run] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def take(self) -> Any:
        run = self._runs[0]
        item = run.items.pop()
        self._count -= 1
        if run.items:
            run.connection.took(1, 0)
        else:
            # The bytes of a run are granted anew when all of it has been taken.
            self._runs.popleft()
            run.connection.took(1, run.size)
            while self._runs and not self._runs[0].items:
                gap = self._runs.popleft()
                gap.connection.took(1, gap.size)
        return item

    def drained(self) -> None:
        self._on_drained()

    def arrive(self, connection: Connection, items: list[Any], size: int) -> None:
        """Items that have come on a connection, in order. The list is the inbox's from here on."""
        items.reverse()
        self._runs.append(_Run(connection, items, size))
        self._count += len(items)
        self.channel._serve()

    def skip(self, connection: Connection, size: int) -> None:
        """One data frame that carries no item: it is taken when those before it are.

        A connection must be told of what is taken in the order in which it came.
        """
        if self._runs:
            self._runs.append(_Run(connection, [], size))
        else:
            connection.took(1, size)

    def discard(self) -> int:
        """Drop what nobody has taken; how many items that were."""
        count = self._count
        self._runs.clear()
        self._count = 0
        return count
