"""Server.map and Server.submit: the way of items that wait for their own results."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Final

from distchan._calls import EMPTY
from distchan._hub import Hub
from distchan._jobs import Future, Job, resolve
from distchan._progress import Progress

__all__ = ["Mapping", "map_items", "submit"]

#: How many results of one mapping may wait to be taken before it sends no more items.
_MOST_WAITING: Final = 4096


def _new_payload(hub: Hub, item: Any) -> bytes:
    """The encoded form of an item. Raises what sending it on the outgoing channel would, and
    RuntimeError if the server does not run."""
    assert hub.dealer is not None
    payload = hub.dealer.channel._admit(item)
    if payload is None:
        raise RuntimeError("this server has not been started: use `async with Server(...)`")
    return payload


async def map_items(
    mapping: "Mapping", items: Iterable[Any] | AsyncIterable[Any], progress: Progress
) -> AsyncIterator[Any]:
    """Send the items as they are wanted; the results as they come."""
    source = _Source(items, mapping.tell)
    try:
        while True:
            outcome = mapping.take()
            while mapping.wants_item and (item := source.next()) is not EMPTY:
                mapping.send(item)
            if outcome is not EMPTY:
                progress.done(mapping.failures)
                yield outcome
            elif source.is_over and mapping.is_empty:
                return
            else:
                await mapping.change()
    finally:
        source.close()
        mapping.close()
        progress.close()


class _Source:
    """The items of a mapping, from either kind of iterable."""

    def __init__(self, items: Iterable[Any] | AsyncIterable[Any], tell: Callable[[], None]) -> None:
        self._is_async = isinstance(items, AsyncIterable)
        self._iterator: Any = aiter(items) if isinstance(items, AsyncIterable) else iter(items)
        self._tell = tell
        self._coming: asyncio.Future[Any] | None = None
        self.is_over = False

    def next(self) -> Any:
        """The next item; EMPTY if it is not there yet, or there are no more."""
        if self.is_over:
            return EMPTY
        item = self._arrived() if self._is_async else next(self._iterator, EMPTY)
        if item is EMPTY and self._coming is None:
            self.is_over = True
        return item

    def _arrived(self) -> Any:
        if self._coming is None:
            # Called here, not in the task: if they are a channel's, this task is to hold them.
            self._coming = asyncio.ensure_future(_same(anext(self._iterator, EMPTY)))
            self._coming.add_done_callback(lambda _: self._tell())
        if not self._coming.done():
            return EMPTY
        coming, self._coming = self._coming, None
        return coming.result()

    def close(self) -> None:
        """No more are wanted."""
        if self._coming is not None:
            self._coming.cancel()


async def _same(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


async def submit(hub: Hub, item: Any, result: Future) -> None:
    """Wait until an item is dealt to a worker; that future is told its result."""
    job = _Call(_new_payload(hub, item), result)
    hub.submit(job)
    try:
        await job.dealt
    except asyncio.CancelledError:
        result.cancel()
        assert hub.dealer is not None
        hub.dealer.withdraw([job])
        raise


class _Call(Job):
    """A job that has a future."""

    __slots__ = ("dealt", "result")

    def __init__(self, payload: bytes, result: Future) -> None:
        super().__init__(payload)
        self.dealt: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.result = result

    def begin(self) -> bool:
        self._leave_line()
        return not self.result.done()

    def done(self, value: Any, size: int) -> None:
        resolve(self.result, value)

    def fail(self, error: Exception) -> None:
        self._leave_line()
        resolve(self.result, error=error)

    def _leave_line(self) -> None:
        if not self.dealt.done():
            self.dealt.set_result(None)


class Mapping:
    """Items on their way to the workers, and their results.

    One item at a time waits to be dealt; how many are under way is up to the workers' credit.
    Results that nobody has taken are no more than ``_MOST_WAITING``, or ``prefetch_bytes`` of
    them, and what was under way when there were so many.
    """

    def __init__(self, hub: Hub, *, ordered: bool = True, return_exceptions: bool = False) -> None:
        self._hub = hub
        self._ordered = ordered
        self.return_exceptions = return_exceptions
        self._most_bytes = hub.most_result_bytes
        #: All that were sent and not taken, in order; if that does not matter, those that are done.
        self._line: deque[_Step] = deque()
        self._under_way = 0
        self._waiting = self._waiting_bytes = 0
        self.failures = 0
        self._unsent: _Step | None = None
        self._is_sending = False
        #: Since the last take().
        self._has_changed = False
        self._news: asyncio.Future[None] | None = None
        self.closed = False

    @property
    def wants_item(self) -> bool:
        """Whether send() may be called."""
        return (
            self._unsent is None
            and self._waiting < _MOST_WAITING
            and self._waiting_bytes < self._most_bytes
        )

    @property
    def is_empty(self) -> bool:
        """Whether all results have been taken."""
        return not (self._under_way or self._waiting)

    def send(self, item: Any) -> None:
        """Send one item. Raises what sending it on the outgoing channel would."""
        step = self._unsent = _Step(_new_payload(self._hub, item), self)
        self._under_way += 1
        if self._ordered:
            self._line.append(step)
        self._is_sending = True
        self._hub.submit(step)
        self._is_sending = False

    def take(self) -> Any:
        """The next result; EMPTY if it is not there yet. Raises what the item has failed with, or
        returns it."""
        self._has_changed = False
        line = self._line
        if not line or not line[0].ended:
            return EMPTY
        step = line.popleft()
        self._waiting -= 1
        self._waiting_bytes -= step.size
        if step.failed:
            self.failures += 1
            if not self.return_exceptions:
                raise step.outcome
        return step.outcome

    def close(self) -> None:
        """Nobody wants any more results."""
        self.closed = True
        if self._unsent is not None:
            assert self._hub.dealer is not None
            self._hub.dealer.withdraw([self._unsent])
        self._line.clear()

    async def change(self) -> None:
        """Wait until there may be a result, or another item may be sent, since the last take()."""
        if not self._has_changed:
            self._news = asyncio.get_running_loop().create_future()
            await self._news

    def tell(self) -> None:
        """Something has changed."""
        self._has_changed = True
        news, self._news = self._news, None
        if news is not None and not news.done():
            news.set_result(None)

    def _on_begun(self) -> None:
        self._unsent = None
        if not self._is_sending:
            self.tell()

    def _on_ended(self, step: "_Step") -> None:
        self._under_way -= 1
        self._waiting += 1
        self._waiting_bytes += step.size
        if step is self._unsent:
            self._unsent = None
        if not self._ordered:
            self._line.append(step)
        if self._line and self._line[0].ended:
            self.tell()


class _Step(Job):
    """One item of a mapping."""

    __slots__ = ("ended", "failed", "mapping", "outcome", "size")

    def __init__(self, payload: bytes, mapping: Mapping) -> None:
        super().__init__(payload)
        self.mapping = mapping
        self.ended = self.failed = False
        self.outcome: Any = None
        self.size = 0

    def begin(self) -> bool:
        self.mapping._on_begun()
        return not self.mapping.closed

    def done(self, value: Any, size: int) -> None:
        self._end(value, size)

    def fail(self, error: Exception) -> None:
        self.failed = True
        self._end(error, 0)

    def _end(self, outcome: Any, size: int) -> None:
        if not self.ended and not self.mapping.closed:
            self.ended = True
            self.outcome, self.size = outcome, size
            self.mapping._on_ended(self)
