"""The right to use the loop, which one thread has at a time."""

import threading
from types import TracebackType

__all__ = ["Turn"]


class Turn:
    """A lock, held for as long as a call takes that waits for nothing."""

    def __init__(self) -> None:
        lock = threading.Lock()
        self.acquire = lock.acquire
        self.release = lock.release
        self._lock = lock
        #: A thread has just done something without having to wait: it may be in the middle of a
        #: long series.
        self.busy = False

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()
