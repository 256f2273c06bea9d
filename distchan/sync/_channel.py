"""Channels for threads."""

import sys
import time
import types
from _thread import get_ident
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from distchan import _lease
from distchan._calls import EMPTY
from distchan._stand_in import StandIn
from distchan._tasks import act, runs_in
from distchan.channel import Channel as _Channel
from distchan.channel import ChannelStatistics
from distchan.errors import EndOfChannel
from distchan.sync._interrupts import interrupt_soon
from distchan.sync._runtime import Runtime, runtime
from distchan.sync._turn import Turn

__all__ = ["Channel", "Lease", "wrapped"]

T = TypeVar("T")


class Channel:
    """See distchan.Channel: the same channel, for threads in place of tasks.

    Where a method waits, ``timeout`` is how many seconds at the most (default: without limit): then
    TimeoutError, and nothing has happened. Ctrl-C does the same in the main thread. Everything else
    is raised as there. Any number of threads may use a channel.

    On the channels of a Client, a *thread* holds the items that it has received: when it asks for
    the next one, or ends, they are done; if it ends with an exception, they have failed. (That is
    learnt from threading.excepthook: one that is set later should call the one before it.)

    A channel belongs to the process that has made it: after a fork, its methods raise RuntimeError
    in the child. So do those that wait in a thread that runs an event loop.
    """

    __class_getitem__ = classmethod(types.GenericAlias)  # type: ignore[var-annotated]

    def __init__(self, item_type: object = Any, capacity: int = 0) -> None:
        self._wrap(_Channel(item_type, capacity))

    def _wrap(self, channel: _Channel[Any]) -> None:
        self._runtime: Runtime = runtime()
        self._loop = self._runtime.loop
        self._turn: Turn = self._runtime.turn
        self._caller: StandIn | None = None
        self._caller_thread = 0
        #: What waits and what is bound to the network; for that it is one like any other.
        self._channel = channel
        channel._front = self
        self._runtime.wait_briefly(_adopt, channel)

    @property
    def item_type(self) -> Any:
        """The type given when the channel was made."""
        return self._channel.item_type

    @property
    def capacity(self) -> int:
        """How many items may wait in it without anybody waiting for them."""
        return self._channel.capacity

    @property
    def closed(self) -> bool:
        """Whether close() has been called or the other end has closed it."""
        return self._channel.closed

    def __len__(self) -> int:
        return self._runtime.call(self._channel.__len__)

    def __bool__(self) -> bool:
        """True: an empty channel is a channel."""
        return True

    def __repr__(self) -> str:
        return "<sync." + repr(self._channel)[1:]

    def __reduce__(self) -> Any:
        raise TypeError(
            "a channel stays in its process; give the other one the server's address, for a Client"
        )

    def statistics(self) -> ChannelStatistics:
        """A snapshot of the channel's queues and counters."""
        return self._runtime.call(self._channel.statistics)

    def _stand_in(self) -> StandIn:
        """Runtime.stand_in(), faster for the thread that called last."""
        stand_in = self._caller
        if stand_in is None or stand_in.ended or not runs_in(self._caller_thread):
            self._caller_thread = 0  # lest another thread take our stand-in for its own meanwhile
            stand_in = self._caller = self._runtime.stand_in()
            self._caller_thread = get_ident()
        return stand_in

    # -- sending ----------------------------------------------------------------------------------

    def send(self, item: Any, timeout: float | None = None) -> None:
        """Send one item; wait until a receiver takes it or a place in the buffer is free."""
        stand_in = self._stand_in()
        channel = self._channel
        stand_in.busy = True
        self._turn.acquire()
        try:
            act(self._loop, stand_in)
            sender = channel._sender()
            grip = 0 if sender is None else sender.grip
            rest = channel._start_send(item, sender, grip)
        finally:
            self._turn.release()
            stand_in.busy = False
            if stand_in.interrupted:
                interrupt_soon(stand_in)
        if rest is not None:
            # That was to go on before anything else happens. What another thread has done since
            # may have made room: so it is tried once more, in the loop.
            rest.close()
            self._runtime.wait(channel._send_many, (item,), sender, grip, timeout=timeout)
        else:
            self._turn.busy = True

    def send_nowait(self, item: Any) -> None:
        """Send one item if that is possible without waiting, else raise WouldBlock."""
        self._runtime.call(self._channel.send_nowait, item)

    def send_many(self, items: Iterable[Any], timeout: float | None = None) -> None:
        """Send the items in order. If it is interrupted, the first of them have been sent.

        ``timeout`` is for all of them together. Those of a list, tuple or range are sent at once;
        others are taken in this thread, one by one, and may take their time.
        """
        if isinstance(items, list | tuple | range):
            sending = self._runtime.call(self._channel.send_many, items)
            self._runtime.wait(_same, sending, timeout=timeout)
            return
        end = None if timeout is None else time.monotonic() + timeout
        for item in items:
            left = None if end is None else max(0.0, end - time.monotonic())
            try:
                self.send(item, left)
            except TimeoutError:
                raise TimeoutError(f"not done within {timeout:g} s") from None

    # -- receiving --------------------------------------------------------------------------------

    def receive(self, timeout: float | None = None) -> Any:
        """Receive the next item; wait until there is one."""
        return self._receive(None, timeout)

    def _receive(self, lease: "_lease.Lease[Any] | None", timeout: float | None) -> Any:
        stand_in = self._stand_in()
        channel = self._channel
        stand_in.busy = True
        self._turn.acquire()
        try:
            act(self._loop, stand_in)
            caller = channel._caller() if lease is None else lease
            item = channel._start_receive(caller)
        finally:
            self._turn.release()
            stand_in.busy = False
            if stand_in.interrupted:
                interrupt_soon(stand_in)
        if item is EMPTY:
            return self._runtime.wait(channel._finish_receive, caller, False, timeout=timeout)
        self._turn.busy = True
        return item

    def __iter__(self) -> Self:
        """Receive until the channel is closed and drained."""
        return self

    def __next__(self) -> Any:
        try:
            return self._receive(None, None)
        except EndOfChannel:
            raise StopIteration from None

    def receive_nowait(self) -> Any:
        """Receive the next item if that is possible without waiting, else raise WouldBlock."""
        return self._runtime.call(self._channel.receive_nowait)

    def receive_many(self, limit: int, timeout: float | None = None) -> list[Any]:
        """Receive at least one and at most ``limit`` items: those that are there."""
        receiving = self._runtime.call(self._channel.receive_many, limit)
        return self._runtime.wait(_same, receiving, timeout=timeout)

    def lease(self, timeout: float | None = None) -> "Lease[Any]":
        """Receive one item and hold it for a block: ``with channel.lease() as item: ...``"""
        return Lease(self, timeout)

    def close(self, error: BaseException | None = None) -> None:
        """Say that nothing more will be sent. Idempotent; the first call counts."""
        self._runtime.call(self._channel.close, error)


async def _adopt(channel: _Channel[Any]) -> None:
    channel._adopt_loop()
    # Threads need not pause for the loop, which has a thread of its own.
    channel._longest_streak = sys.maxsize


def _same(awaitable: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
    return awaitable


def wrapped(channel: _Channel[Any]) -> Channel:
    """A channel of the loop's, for threads."""
    own = Channel.__new__(Channel)
    own._wrap(channel)
    return own


class Lease(Generic[T]):
    """A context manager that receives one item and holds it, see distchan.Lease.

    What the thread sends inside of the block belongs to the item; so does what other threads send
    in a copy of its context (``contextvars.copy_context().run``).
    """

    def __init__(self, channel: Channel, timeout: float | None) -> None:
        self._channel = channel
        self._runtime = channel._runtime
        self._lease: _lease.Lease[T] = _lease.Lease(channel._channel)
        self._timeout = timeout

    @property
    def id(self) -> int | None:
        """The item's own; None before the block, and for an item that came from no server."""
        return self._lease.id

    @property
    def attempt(self) -> int | None:
        """1 at first, more with each attempt that failed; None like ``id``."""
        return self._lease.attempt

    def __enter__(self) -> T:
        item: T = self._channel._receive(self._lease, self._timeout)
        self._runtime.call(self._lease.begin)
        return item

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        holder = self._runtime.call(self._lease.end, error)
        if holder is not None and error is None and holder.owes:
            self._runtime.wait(holder.paid)
