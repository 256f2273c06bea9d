"""From sessions to a server's channel: what has arrived and not been received yet."""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from distchan._ports import Inlet, pop_many
from distchan._rendezvous import Channel
from distchan._server_session import ServerSession

__all__ = ["Inbox"]

#: How often, in results, a session is told what has been taken.
_TAKEN_AT_ONCE: Final = 64


class _Run:
    """Results that arrived together, the oldest at the end.

    ``unreadable``: instead of those, so many that did not decode.
    """

    __slots__ = ("results", "session", "size", "taken", "unreadable")

    def __init__(
        self, session: ServerSession, results: list[Any], size: int, unreadable: int = 0
    ) -> None:
        self.session = session
        self.results = results
        self.size = size
        self.unreadable = unreadable
        #: Of the results, since the session was told.
        self.taken = 0


class Inbox(Inlet):
    """The Inlet of a server's incoming channel.

    It tells each session what has been taken of its results, so that the client gets credit on
    consumption, not on receipt. ``drained`` is called when the channel is closed and drained.
    """

    def __init__(self, channel: Channel, drained: Callable[[], None]) -> None:
        super().__init__()
        self.channel = channel
        self._on_drained = drained
        #: What is being taken from, if anything, and what is taken from after that.
        self._run: _Run | None = None
        self._runs: deque[_Run] = deque()
        self.taken = 0

    def take(self, caller: object) -> Any:
        run = self._run
        if run is None or not run.results:
            run = self._run = self._runs.popleft()
        result = run.results.pop()
        self._took(run, 1)
        return result

    def take_some(self, count: int, caller: object) -> list[Any]:
        run = self._run
        if run is None or not run.results:
            run = self._run = self._runs.popleft()
        results = pop_many(run.results, count)
        self._took(run, len(results))
        return results

    def _took(self, run: _Run, count: int) -> None:
        """Tell the session now and then."""
        self.count -= count
        self.taken += count
        run.taken += count
        if not run.results:
            # The bytes of a run are granted anew when all of it has been taken.
            run.session.took(run.taken, run.size)
            self._skip_unreadable()
        elif run.taken >= _TAKEN_AT_ONCE:
            run.session.took(run.taken, 0)
            run.taken = 0

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
        self._run = None
        self._runs.clear()
        self.count = 0
        return count
