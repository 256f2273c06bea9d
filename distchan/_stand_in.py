"""A thread that calls blocking methods, as the bookkeeping of who holds what sees it."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

__all__ = ["ACTING", "StandIn"]


class StandIn:
    """What a task is elsewhere: it asks for items, sends results, and ends, well or with an error.

    Of a task's methods it has those that are needed of who holds items.
    """

    def __init__(self) -> None:
        #: The thread has ended, with that exception; conclude() may not have been called yet.
        self.ended = False
        self._exception: BaseException | None = None
        #: It is in the middle of something that no signal handler may interrupt, and whether one
        #: would have liked to.
        self.busy = False
        self.interrupted = False
        self._callbacks: list[Callable[[Any], object]] = []

    def done(self) -> bool:
        """Whether the thread has ended."""
        return self.ended

    def cancelled(self) -> bool:
        """Never: threads cannot be."""
        return False

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """To be called, with the stand-in, when the thread has ended."""
        self._callbacks.append(callback)

    def end(self, exception: BaseException | None) -> None:
        """The thread ends. Call it there."""
        self._exception = exception
        self.ended = True

    def conclude(self) -> None:
        """The thread has ended. Call it in the loop."""
        for callback in self._callbacks:
            callback(self)


#: Of a task that does what a thread waits for: that thread.
ACTING: Final[ContextVar[StandIn | None]] = ContextVar("distchan_acting", default=None)
