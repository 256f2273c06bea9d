"""Something that happens once, and for which a thread waits."""

import threading
import time
from typing import Final

__all__ = ["LOOK_UP", "Flag"]

#: In seconds. A signal that comes when the main thread is just about to wait for a lock is noted by
#: Python, but wakes nobody: so whoever waits there looks up so often.
LOOK_UP: Final = 1.0


class Flag:
    """A threading.Event without a lock of its own: what a signal handler raises in the midst of
    Event.wait() may leave that locked, and set() would never return."""

    def __init__(self) -> None:
        self._is_set = False
        self._gate = threading.Lock()
        self._gate.acquire()

    def set(self) -> None:
        """It has happened. For one thread to call, once."""
        self._is_set = True
        self._gate.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has happened; False if that takes longer than so many seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while not self._is_set:
            nap = LOOK_UP if end is None else min(LOOK_UP, end - time.monotonic())
            if nap < 0:
                break
            if self._gate.acquire(timeout=nap):
                self._gate.release()  # for others that wait
        return self._is_set
