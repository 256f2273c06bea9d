"""The event loop behind the blocking calls: one for each process, in a thread of its own.

Whoever has the *turn* may use its channels: the loop's own thread, which lets go of it while it
waits for the network, or a thread that is inside a blocking call. So a call that has nothing to
wait for is done in the thread that makes it, as in a task; only what must wait is handed to the
loop's thread.
"""

import _thread
import asyncio
import atexit
import os
import selectors
import threading
import time
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final, Generic, TypeVar

from distchan._stand_in import ACTING, StandIn
from distchan._tasks import act
from distchan.sync._turn import Turn

__all__ = ["Runtime", "runtime"]

T = TypeVar("T")

#: While threads go on and on without having to wait, the loop waits for them: so many times, and so
#: many seconds each.
_PATIENCE: Final = 10
_NAP: Final = 50e-6
#: In seconds: what a call takes to return.
_MOMENT: Final = 1e-3


class _Selector(selectors.DefaultSelector):
    """Waits for the network without the turn."""

    def __init__(self, turn: Turn) -> None:
        super().__init__()
        self._turn = turn
        #: The loop's thread is waiting: what somebody else schedules must wake it.
        self.waiting = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        waits = self.waiting = timeout is None or timeout > 0
        turn = self._turn
        turn.release()
        try:
            events = super().select(timeout)
            # Whatever is done for each of a series of calls should be done for all of them at once.
            patience = _PATIENCE if waits else 0
            while turn.busy and patience:
                turn.busy = False
                time.sleep(_NAP)
                patience -= 1
            return events
        finally:
            turn.acquire()
            self.waiting = False


class _Loop(asyncio.SelectorEventLoop):
    """A loop in which other threads may schedule something while they have the turn."""

    def __init__(self, turn: Turn) -> None:
        self._waker = _Selector(turn)
        super().__init__(self._waker)
        self.set_debug(False)  # in which it would refuse other threads

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = super().call_soon(callback, *args, context=context)
        self._wake()
        return handle

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = super().call_at(when, callback, *args, context=context)
        self._wake()
        return handle

    def _wake(self) -> None:
        if self._waker.waiting:
            self._waker.waiting = False
            self.call_soon_threadsafe(_nothing)


class _Life:
    """In a thread's local storage, which is emptied when the thread ends."""

    def __init__(self, loop: _Loop) -> None:
        self._loop = loop
        self.stand_in = StandIn(threading.current_thread().name)
        #: With which the thread ends.
        self.exception: BaseException | None = None

    def __del__(self) -> None:
        self.stand_in.ended = True
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.stand_in.end, self.exception)


class Runtime:
    """The loop, its thread, and what the threads that use it have in common.

    While a thread has the turn, and acts (see _tasks.act()), it may use what belongs to the loop.
    """

    def __init__(self) -> None:
        self.turn: Final = Turn()
        self.loop: Final = _Loop(self.turn)
        self.lives: Any = threading.local()
        #: The process was forked, and the loop's thread is in the other one.
        self._is_lost = False
        self._thread = threading.Thread(target=self._run, name="distchan", daemon=True)
        self._thread.start()
        atexit.register(self._stop)

    def _run(self) -> None:
        with self.turn:
            self.loop.run_forever()

    def _stop(self) -> None:
        if not self._is_lost:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()

    def lose(self) -> None:
        """This process has been forked."""
        self._is_lost = True

    def stand_in(self) -> StandIn:
        """That of this thread. RuntimeError in a process that was forked since."""
        if self._is_lost:
            raise RuntimeError(
                "this was made before the process was forked, and belongs to the other one; make "
                "channels, servers and clients in the process that uses them"
            )
        lives = self.lives
        if getattr(lives, "stand_in", None) is None:
            lives.life = _Life(self.loop)
            lives.stand_in = lives.life.stand_in
            _watch_exceptions()
        stand_in: StandIn = lives.stand_in
        return stand_in

    def dies(self, error: BaseException | None) -> None:
        """This thread is about to end with an error."""
        life: _Life | None = getattr(self.lives, "life", None)
        if life is not None:
            life.exception = error

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """What a function returns that suspends nobody."""
        stand_in = self.stand_in()
        with self.turn:
            act(self.loop, stand_in)
            return function(*arguments)

    def wait(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """What a coroutine returns, in the loop. Call it without the turn.

        Raises TimeoutError after so many seconds, when the coroutine has been cancelled; if it was
        done at that very moment, that counts. What a signal handler raises, such as
        KeyboardInterrupt, does the same.
        """
        if asyncio._get_running_loop() is not None:
            coroutine.close()
            raise RuntimeError("a blocking call in an event loop; there, use distchan without sync")
        waiting = _Waiting(coroutine)
        self.turn.busy = False
        try:
            self.call(waiting.begin, self.loop, self.stand_in())
            in_time = waiting.is_over(timeout)
        except BaseException as error:
            if waiting.task is None:
                coroutine.close()
                raise
            self._cancel(waiting)
            if not isinstance(error, KeyboardInterrupt) or not waiting.succeeded:
                raise
            # What has been done must get into the caller's hands; that is interrupted in its place.
            threading.Timer(_MOMENT, _thread.interrupt_main).start()
        else:
            if not in_time:
                self._cancel(waiting)
        return waiting.result(timeout)

    def _cancel(self, waiting: "_Waiting[Any]") -> None:
        assert waiting.task is not None
        self.call(waiting.task.cancel)
        waiting.is_over(None)


class _Waiting(Generic[T]):
    """A thread that waits for what a coroutine does in the loop."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self.task: asyncio.Task[T] | None = None
        self._over = threading.Lock()
        self._over.acquire()

    def begin(self, loop: _Loop, stand_in: StandIn) -> None:
        """Have it done for a thread. In the loop's turn."""
        token = ACTING.set(stand_in)
        try:
            self.task = asyncio.Task(self._coroutine, loop=loop)
        finally:
            ACTING.reset(token)
        self.task.add_done_callback(lambda _: self._over.release())

    def is_over(self, timeout: float | None) -> bool:
        """Wait until it has been done, or cancelled; False if that takes longer."""
        return self._over.acquire(timeout=-1 if timeout is None else max(0, timeout))

    def result(self, timeout: float | None) -> T:
        """What the coroutine has returned or raised."""
        assert self.task is not None
        if self.task.cancelled() and timeout is not None:
            raise TimeoutError(f"not done within {timeout:g} s")
        return self.task.result()

    @property
    def succeeded(self) -> bool:
        """Whether there is a result."""
        return self.task is not None and not self.task.cancelled() and not self.task.exception()


def _nothing() -> None:
    """Wakes the loop, which then looks at what else there is."""


_runtime: Runtime | None = None
_making = threading.Lock()


def runtime() -> Runtime:
    """The one of this process."""
    global _runtime
    if _runtime is None:
        with _making:
            if _runtime is None:
                _runtime = Runtime()
    return _runtime


def _after_fork() -> None:
    global _runtime, _making
    _making = threading.Lock()
    if _runtime is not None:
        _runtime.lose()
        _runtime = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _watch_exceptions() -> None:
    """Threads tell nobody but threading.excepthook with what error they end."""
    before = threading.excepthook
    if getattr(before, "is_distchans", False):
        return

    def excepthook(arguments: threading.ExceptHookArgs) -> None:
        if _runtime is not None:
            _runtime.dies(arguments.exc_value)
        before(arguments)

    excepthook.is_distchans = True  # type: ignore[attr-defined]
    threading.excepthook = excepthook
