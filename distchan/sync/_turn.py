"""The right to use the loop, which one thread has at a time."""

import threading

__all__ = ["Turn"]


class Turn:
    """A lock, held for as long as a call takes that waits for nothing."""

    def __init__(self) -> None:
        lock = threading.Lock()
        self.acquire = lock.acquire
        self.release = lock.release
        #: A thread has just done something without having to wait: it may be in the middle of a
        #: long series.
        self.busy = False
