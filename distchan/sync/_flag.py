"""Something that happens once, and for which a thread waits."""

import threading

__all__ = ["Flag"]


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
        if not self._is_set and self._gate.acquire(timeout=-1 if timeout is None else timeout):
            self._gate.release()  # for others that wait
        return self._is_set
