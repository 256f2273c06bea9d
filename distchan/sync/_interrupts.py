"""Ctrl-C, where the main thread makes blocking calls: never when something is half done, and always
after that."""

import _thread
import asyncio
import os
import signal
import threading
from types import FrameType
from typing import Final

from distchan._stand_in import StandIn

__all__ = ["forget_interruptions", "interrupt_soon", "watch_interruptions"]

#: In seconds: what a call takes to return.
_MOMENT: Final = 1e-3
#: In seconds: what Python takes to handle a signal, if it knows of it.
_GRACE: Final = 0.05


def watch_interruptions(stand_in: StandIn, loop: asyncio.AbstractEventLoop) -> None:
    """Have Ctrl-C wait until the main thread has finished what would not bear it.

    If the program handles SIGINT in its own way, that stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    watch = _Watch(loop) if os.name == "posix" else None

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        if watch is not None:
            watch.forget()
        if stand_in.busy:
            stand_in.interrupted = True
        else:
            signal.default_int_handler(number, frame)

    on_interrupt.is_distchans = True  # type: ignore[attr-defined]
    signal.signal(signal.SIGINT, on_interrupt)


def _is_watched() -> bool:
    return getattr(signal.getsignal(signal.SIGINT), "is_distchans", False)


def forget_interruptions() -> None:
    """In a process that was forked, until there is another watch."""
    if _is_watched():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.set_wakeup_fd(-1)  # it would wake the other process


class _Watch:
    """Sees to it that a signal is handled.

    One that comes when the main thread has just decided to wait for a lock, or that another thread
    gets, is noted by Python, but wakes nobody: the main thread would handle it whenever it goes on.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        #: A signal has come that has not been handled.
        self._is_pending = False
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(writer, False)
        before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        if before == -1:
            loop.call_soon_threadsafe(loop.add_reader, self._reader, self._on_signal)
        else:  # somebody else wants to know
            signal.set_wakeup_fd(before)
            os.close(writer)

    def forget(self) -> None:
        """It is being handled."""
        self._has_come()  # so that what _on_signal() still finds has not been handled
        self._is_pending = False

    def _on_signal(self) -> None:
        was_pending = self._is_pending
        self._is_pending = True
        if self._has_come():
            self._loop.call_later(_GRACE, self._insist)
        elif not was_pending:
            self._is_pending = False

    def _has_come(self) -> bool:
        try:
            return signal.SIGINT in os.read(self._reader, 4096)
        except BlockingIOError:
            return False

    def _insist(self) -> None:
        if self._is_pending and _is_watched():
            _interrupt_main()  # which is heard again


def interrupt_soon(stand_in: StandIn) -> None:
    """Interrupt the main thread when what has just been done is in its caller's hands."""
    stand_in.interrupted = False
    threading.Timer(_MOMENT, _interrupt_main).start()


def _interrupt_main() -> None:
    if hasattr(signal, "pthread_kill"):  # also if it waits for a lock
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)
    else:
        _thread.interrupt_main()
