"""Server.map and Server.submit: the way of items that wait for their own results."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from distchan._calls import EMPTY
from distchan._hub import Hub
from distchan._jobs import Job
from distchan._progress import Progress

__all__ = ["Failed", "Mapping", "Step", "map_items", "new_payload", "submit", "submit_now"]

#: How many results of one mapping may wait to be taken before it sends no more items.
_MOST_WAITING: Final = 4096


def new_payload(hub: Hub, item: Any) -> bytes:
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
            step = mapping.take()
            result = None if step is None else mapping.result(step.outcome)
            while mapping.wants_item and (item := source.next()) is not EMPTY:
                mapping.send(item)
            if step is not None:
                progress.done(mapping.failures)
                yield result
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


async def submit(hub: Hub, payload: bytes, tell: "_Tell") -> None:
    """Wait until an item is dealt to a worker. What becomes of it is told to that function: a
    result, or an error in its place."""
    call = _Call(payload, tell)
    hub.submit(call)
    try:
        await call.dealt()
    except asyncio.CancelledError:
        _withdraw(hub, call)
        raise


def submit_now(hub: Hub, payload: bytes, tell: "_Tell") -> bool:
    """The same without waiting. False, and nothing has happened, if that is not possible."""
    call = _Call(payload, tell)
    hub.submit(call)
    if call.is_in_line:
        _withdraw(hub, call)
    return not call.is_in_line


def _withdraw(hub: Hub, job: Job) -> None:
    assert hub.dealer is not None
    hub.dealer.withdraw([job])


_Tell: TypeAlias = Callable[[Any, Exception | None], object]


class _Call(Job):
    """A job by itself."""

    __slots__ = ("_dealt", "_tell", "is_in_line")

    def __init__(self, payload: bytes, tell: _Tell) -> None:
        super().__init__(payload)
        self._tell = tell
        self._dealt: asyncio.Future[None] | None = None
        #: It has not been dealt.
        self.is_in_line = True

    async def dealt(self) -> None:
        """Wait until it is dealt to a worker."""
        if self.is_in_line:
            self._dealt = asyncio.get_running_loop().create_future()
            await self._dealt

    def begin(self) -> bool:
        self._leave_line()
        return True

    def done(self, value: Any, size: int) -> None:
        self._tell(value, None)

    def fail(self, error: Exception) -> None:
        self._leave_line()
        self._tell(None, error)

    def _leave_line(self) -> None:
        self.is_in_line = False
        if self._dealt is not None and not self._dealt.done():
            self._dealt.set_result(None)


class Mapping:
    """Items on their way to the workers, and their results.

    One item at a time waits to be dealt; how many are under way is up to the workers' credit.
    Results that nobody has taken are no more than ``_MOST_WAITING``, or ``prefetch_bytes`` of
    them, and what was under way when there were so many.
    """

    def __init__(self, hub: Hub, *, ordered: bool = True, return_exceptions: bool = False) -> None:
        self._hub = hub
        self._ordered = ordered
        self._return_exceptions = return_exceptions
        self._most_bytes = hub.most_result_bytes
        #: All that were sent and not taken, in order; if that does not matter, those that are done.
        self._line: deque[Step] = deque()
        self._under_way = 0
        self._waiting = self._waiting_bytes = 0
        self.failures = 0
        self._unsent: Step | None = None
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

    def send(self, item: Any, count: int = 1) -> None:
        """Send one item, which will have so many results for whoever maps. Raises what sending it
        on the outgoing channel would."""
        step = self._unsent = Step(new_payload(self._hub, item), self, count)
        self._under_way += 1
        if self._ordered:
            self._line.append(step)
        self._is_sending = True
        self._hub.submit(step)
        self._is_sending = False

    def take(self) -> "Step | None":
        """The next item that has ended; None if it is not there yet."""
        self._has_changed = False
        line = self._line
        if not line or not line[0].ended:
            return None
        step = line.popleft()
        self._waiting -= step.count
        self._waiting_bytes -= step.size
        return step

    def result(self, outcome: Any) -> Any:
        """What whoever maps gets. Raises what there is in place of a result, or returns it."""
        if not isinstance(outcome, Failed):
            return outcome
        self.failures += 1
        if not self._return_exceptions:
            raise outcome.error
        return outcome.error

    def close(self) -> None:
        """Nobody wants any more results."""
        self.closed = True
        if self._unsent is not None:
            _withdraw(self._hub, self._unsent)
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

    def _on_ended(self, step: "Step") -> None:
        self._under_way -= 1
        self._waiting += step.count
        self._waiting_bytes += step.size
        if step is self._unsent:
            self._unsent = None
        if not self._ordered:
            self._line.append(step)
        if self._line and self._line[0].ended:
            self.tell()


@dataclass(frozen=True, slots=True)
class Failed:
    """In place of a result."""

    error: Exception


class Step(Job):
    """One item of a mapping."""

    __slots__ = ("count", "ended", "mapping", "outcome", "size")

    def __init__(self, payload: bytes, mapping: Mapping, count: int) -> None:
        super().__init__(payload)
        self.mapping = mapping
        self.count = count
        self.ended = False
        #: Its result, or Failed.
        self.outcome: Any = None
        self.size = 0

    def begin(self) -> bool:
        self.mapping._on_begun()
        return not self.mapping.closed

    def done(self, value: Any, size: int) -> None:
        self._end(value, size)

    def fail(self, error: Exception) -> None:
        self._end(Failed(error), 0)

    def _end(self, outcome: Any, size: int) -> None:
        if not self.ended and not self.mapping.closed:
            self.ended = True
            self.outcome, self.size = outcome, size
            self.mapping._on_ended(self)
