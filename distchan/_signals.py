"""SIGTERM and SIGINT as requests to leave in good order."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final, Self

__all__ = ["Leaving", "Signals"]

_REQUESTS: Final = (signal.SIGTERM, signal.SIGINT)


class Leaving(BaseException):
    """What is being waited for is wanted no more."""


class Signals:
    """Inside of the block the first SIGTERM or SIGINT calls ``stop``, at whatever moment.

    Any SIGINT after that raises KeyboardInterrupt, until ``done``. Signals that are ignored remain
    so, and all of them do what they did before unless the block is in the main thread.
    """

    def __init__(self, stop: Callable[[], object]) -> None:
        #: Called in a signal handler: it may raise, and must not take locks.
        self.stop = stop
        #: The first signal that came.
        self.number: int | None = None
        #: There is nothing left that could be interrupted.
        self.done = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _REQUESTS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number
            self.stop()
        elif number == signal.SIGINT and not self.done:
            raise KeyboardInterrupt
