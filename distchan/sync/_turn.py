"""The right to use the loop, which one thread has at a time."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from distchan._stand_in import StandIn
from distchan._tasks import act
from distchan.sync._nesting import nested_call

__all__ = ["Turn"]

T = TypeVar("T")


class Turn:
    """A lock, held for as long as a call takes that waits for nothing."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # which tells its owner from others
        self._is_mine = self._lock._is_owned  # type: ignore[attr-defined]
        # No function of ours: one could be interrupted before it does anything.
        self.release = self._lock.release
        #: A thread has just done something without having to wait: it may be in the middle of a
        #: long series.
        self.busy = False

    def acquire(self) -> None:
        """Wait for it. Raises RuntimeError in the thread that has it.

        Whatever a signal handler raises, and wherever: it is not kept then.
        """
        if self._is_mine():
            raise nested_call()
        try:
            self._lock.acquire()
        except BaseException:
            if self._is_mine():
                self._lock.release()
            raise

    def use(
        self,
        loop: asyncio.AbstractEventLoop,
        stand_in: StandIn,
        function: Callable[..., T],
        arguments: tuple[object, ...],
    ) -> T:
        """Call a function that uses the loop; stand_in acts as the running task."""
        self.acquire()
        try:
            act(loop, stand_in)
            return function(*arguments)
        finally:
            self.release()
