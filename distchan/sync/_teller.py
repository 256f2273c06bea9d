"""Who tells futures what has become of their calls."""

import logging
import queue
import threading
from collections.abc import Callable

from distchan.sync._flag import Flag

__all__ = ["Teller"]

logger = logging.getLogger("distchan")


class Teller:
    """A thread for that, as futures call whatever the user wants: it may fail, and take its time,
    and use distchan.sync."""

    def __init__(self, name: str) -> None:
        self._news: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._has_ended = False
        self._over = Flag()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while (tell := self._news.get()) is not None:
                try:
                    tell()
                except Exception:  # the others are still to be told
                    logger.exception("in the thread %s", self._thread.name)
        finally:
            self._over.set()

    def soon(self, tell: Callable[[], object]) -> None:
        """Have it called in the thread, after what came before; after end() here and now."""
        with self._lock:
            if not self._has_ended:
                self._news.put(tell)
                return
        tell()

    def end(self) -> None:
        """End the thread when it has called everything. Idempotent."""
        with self._lock:
            if not self._has_ended:
                self._has_ended = True
                self._news.put(None)

    def join(self) -> None:
        """Wait until it has ended. Raises RuntimeError in the thread itself."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("a callback cannot wait for what comes after it")
        self._over.wait()  # Thread.join() takes a thread for ended once it has been interrupted
