"""From sessions to a server's channel: what has arrived and not been received yet."""

from collections import deque
from collections.abc import Callable
from typing import Any

from distchan._ports import Inlet
from distchan._rendezvous import Rendezvous
from distchan._server_session import ServerSession

__all__ = ["Inbox"]


class _Run:
    """Results that arrived together, the oldest at the end.

    ``unreadable``: instead of those, so many that did not decode.
    """

    __slots__ = ("results", "session", "size", "unreadable")

    def __init__(
        self, session: ServerSession, results: list[Any], size: int, unreadable: int = 0
    ) -> None:
        self.session = session
        self.results = results
        self.size = size
        self.unreadable = unreadable


class Inbox(Inlet):
    """The Inlet of a server's incoming channel.

    It tells each session what has been taken of its results, so that the client gets credit on
    consumption, not on receipt. ``drained`` is called when the channel is closed and drained.
    """

    def __init__(self, channel: Rendezvous, drained: Callable[[], None]) -> None:
        super().__init__()
        self.channel = channel
        self._on_drained = drained
        self._runs: deque[_Run] = deque()
        self.taken = 0

    def take(self, caller: object) -> Any:
        run = self._runs[0]
        result = run.results.pop()
        self.count -= 1
        self.taken += 1
        if run.results:
            run.session.took(1, 0)
        else:
            # The bytes of a run are granted anew when all of it has been taken.
            self._runs.popleft()
            run.session.took(1, run.size)
            self._skip_unreadable()
        return result

    def drained(self) -> None:
        self._on_drained()

    def arrive(self, session: ServerSession, results: list[Any], size: int) -> None:
        """Results that have come, in order. The list is the inbox's from here on."""
        results.reverse()
        self._runs.append(_Run(session, results, size))
        self.count += len(results)
        self.channel._serve()

    def skip(self, session: ServerSession, count: int, size: int) -> None:
        """Results that do not decode: they are taken when those before them are."""
        self._runs.append(_Run(session, [], size, count))
        if not self.count:
            self._skip_unreadable()

    def _skip_unreadable(self) -> None:
        while self._runs:
            run = self._runs[0]
            if run.results:
                break
            self._runs.popleft()
            run.session.took(run.unreadable, run.size)

    def discard(self) -> int:
        """Drop what nobody has taken; how many results that were."""
        count = self.count
        self._runs.clear()
        self.count = 0
        return count
