"""From connections on the Go original's wire to a channel: what nobody has received yet."""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from distchan._ports import Inlet, pop_many
from distchan._rendezvous import Channel

__all__ = ["GoInbox"]

#: With so many items or bytes that nobody has received, no more is read from the sockets, until it
#: is half as many.
_MOST_ITEMS: Final = 4096
_MOST_BYTES: Final = 8 * 1024 * 1024


class GoInbox(Inlet):
    """The Inlet of an incoming channel.

    ``hungry`` is called when it has become full, and when it is no longer. ``drained`` is called
    when the channel is closed and drained.
    """

    def __init__(
        self, channel: Channel, hungry: Callable[[bool], None], drained: Callable[[], None]
    ) -> None:
        super().__init__()
        self.channel = channel
        self._on_hungry = hungry
        self._on_drained = drained
        #: What has come at once, the oldest item at the end; and the bytes of its payloads.
        self._runs: deque[tuple[list[Any], int]] = deque()
        self._size = 0
        self.full = False
        self.taken = 0

    def take(self, caller: object) -> Any:
        items, _ = self._runs[0]
        item = items.pop()
        self._took(items, 1)
        return item

    def take_some(self, count: int, caller: object) -> list[Any]:
        items, _ = self._runs[0]
        some = pop_many(items, count)
        self._took(items, len(some))
        return some

    def _took(self, items: list[Any], count: int) -> None:
        self.count -= count
        self.taken += count
        if not items:
            _, size = self._runs.popleft()
            self._size -= size
        if self.full and self.count <= _MOST_ITEMS // 2 and self._size <= _MOST_BYTES // 2:
            self.full = False
            self._on_hungry(True)

    def drained(self) -> None:
        self._on_drained()

    def arrive(self, items: list[Any], size: int) -> None:
        """Items that have come, in order. The list is the inbox's from here on."""
        items.reverse()
        self._runs.append((items, size))
        self.count += len(items)
        self._size += size
        if not self.full and (self.count >= _MOST_ITEMS or self._size >= _MOST_BYTES):
            self.full = True
            self._on_hungry(False)
        self.channel._serve()

    def discard(self) -> int:
        """Drop what nobody has taken; how many items that were."""
        count = self.count
        self._runs.clear()
        self.count = self._size = 0
        if self.full:
            self.full = False
            self._on_hungry(True)
        return count
