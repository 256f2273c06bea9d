"""The right to use the loop, which one thread has at a time."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from distchan._stand_in import StandIn
from distchan._tasks import act

__all__ = ["Turn"]

T = TypeVar("T")


class Turn:
    """A lock, held for as long as a call takes that waits for nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.acquire = self._lock.acquire
        self.release = self._lock.release
        #: A thread has just done something without having to wait: it may be in the middle of a
        #: long series.
        self.busy = False

    def use(
        self,
        loop: asyncio.AbstractEventLoop,
        stand_in: StandIn,
        function: Callable[..., T],
        arguments: tuple[object, ...],
    ) -> T:
        """Call a function that uses the loop; stand_in acts as the running task.

        Whatever a signal handler raises, and wherever: it is not kept.
        """
        with self._lock:
            act(loop, stand_in)
            return function(*arguments)
