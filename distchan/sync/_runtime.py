"""The event loop behind the blocking calls: one for each process, in a thread of its own.

Whoever has the *turn* may use its channels: the loop's own thread, which lets go of it while it
waits for the network, or a thread that is inside a blocking call. So a call that has nothing to
wait for is done in the thread that makes it, as in a task; only what must wait is handed to the
loop's thread.
"""

import asyncio
import atexit
import contextlib
import os
import selectors
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context
from typing import Any, Final, Generic, TypeVar

from distchan._stand_in import ACTING, StandIn
from distchan.sync._flag import Flag
from distchan.sync._interrupts import forget_interruptions, interrupt_soon, watch_interruptions
from distchan.sync._turn import Turn

__all__ = ["Runtime", "refuse_in_event_loop", "runtime"]

T = TypeVar("T")

#: While threads go on and on without having to wait, the loop lets them: for so many seconds. Each
#: time that it runs costs them the interpreter's lock.
_NAP: Final = 500e-6
#: How long the process may wait for it at its end, in seconds.
_SHUTDOWN: Final = 1.0


class _Selector(selectors.DefaultSelector):
    """Waits for the network without the turn."""

    def __init__(self, turn: Turn) -> None:
        super().__init__()
        self._turn = turn
        #: The loop's thread is waiting: what somebody else schedules must wake it.
        self.waiting = False
        self._naps = False
        self._alarm = threading.Lock()
        self._alarm.acquire()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        waits = self.waiting = timeout is None or timeout > 0
        turn = self._turn
        turn.release()
        try:
            events = super().select(timeout)
            # Whatever is done for each of a series of calls should be done for all of them at once.
            if waits and turn.busy:
                turn.busy = False
                self._naps = True
                self._alarm.acquire(timeout=_NAP)
                self._naps = False
            return events
        finally:
            turn.acquire()
            self.waiting = False

    def let_go(self) -> None:
        """In a process that was forked: the network belongs to the other one, whose death is to be
        seen at the other ends, even if this one lives on."""
        # In place of closing it, for its owner may still do that.
        with contextlib.suppress(OSError), open(os.devnull) as nothing:
            for key in self.get_map().values():
                os.dup2(nothing.fileno(), key.fd, inheritable=False)

    def hurry(self) -> None:
        """Somebody waits for the loop now."""
        if self._naps:
            with contextlib.suppress(RuntimeError):  # somebody else has said so
                self._alarm.release()


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

    def let_go(self) -> None:
        """This process has been forked."""
        self._waker.let_go()

    def hurry(self) -> None:
        """Somebody waits for it now."""
        self._waker.hurry()

    def _wake(self) -> None:
        if self._waker.waiting:
            self.call_soon_threadsafe(_nothing)
            self._waker.waiting = False


class _Life:
    """In a thread's local storage, which is emptied when the thread ends."""

    def __init__(self, runtime: "Runtime") -> None:
        self._runtime = runtime
        self.stand_in = StandIn()
        #: With which the thread ends.
        self.exception: BaseException | None = None

    def __del__(self) -> None:
        self.stand_in.end(self.exception)
        self._runtime.soon(self.stand_in.conclude)


class Runtime:
    """The loop, its thread, and what the threads that use it have in common.

    While a thread has the turn, and acts (see _tasks.act()), it may use what belongs to the loop.
    """

    def __init__(self) -> None:
        self.turn: Final = Turn()
        self.loop: Final = _Loop(self.turn)
        self.lives: Any = threading.local()
        #: The process was forked, and the loop's thread is in the other one.
        self.is_lost = False
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="distchan", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.turn.acquire()
        self.loop.run_forever()
        self.turn.release()

    def stop(self) -> None:
        """Python is about to end, and nobody may wait for the loop any more."""
        self._is_stopped = True
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_SHUTDOWN)

    def lose(self) -> None:
        """This process has been forked."""
        self.is_lost = True
        self.loop.let_go()
        if stand_in := getattr(self.lives, "stand_in", None):
            stand_in.ended = True  # so that channels, which remember it, ask here

    def stand_in(self) -> StandIn:
        """That of this thread. RuntimeError in a process that was forked since."""
        if self.is_lost:
            raise RuntimeError(
                "this was made before the process was forked, and belongs to the other one; make "
                "channels, servers and clients in the process that uses them"
            )
        lives = self.lives
        if getattr(lives, "stand_in", None) is None:
            lives.life = _Life(self)
            lives.stand_in = lives.life.stand_in
            _watch_exceptions()
            watch_interruptions(lives.stand_in, self.loop)
        stand_in: StandIn = lives.stand_in
        return stand_in

    def dies(self, error: BaseException | None) -> None:
        """This thread is about to end with an error."""
        life: _Life | None = getattr(self.lives, "life", None)
        if life is not None:
            life.exception = error

    def soon(self, function: Callable[[], object]) -> None:
        """Have a function called in the loop: with the turn or without, also from a finalizer."""
        if not self.is_lost:
            self.loop.call_soon_threadsafe(function)

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """What a function returns that suspends nobody."""
        stand_in = self.stand_in()
        was_busy = stand_in.busy
        stand_in.busy = True
        try:
            return self.turn.use(self.loop, stand_in, function, arguments)
        finally:
            stand_in.busy = was_busy
            if stand_in.interrupted and not was_busy:
                interrupt_soon(stand_in)

    @contextlib.contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Ctrl-C waits for the end of the block, which must not take long."""
        stand_in = self.stand_in()
        was_busy = stand_in.busy
        stand_in.busy = True
        try:
            yield
        finally:
            stand_in.busy = was_busy
            if stand_in.interrupted and not was_busy:
                interrupt_soon(stand_in)

    def wait(
        self,
        function: Callable[..., Coroutine[Any, Any, T]],
        *arguments: Any,
        timeout: float | None = None,
    ) -> T:
        """What a coroutine function returns, in the loop. Call it without the turn.

        Raises TimeoutError after so many seconds, when the coroutine has been cancelled; if it was
        done at that very moment, that counts. What a signal handler raises, such as
        KeyboardInterrupt, does the same. RuntimeError in a thread that runs an event loop.
        """
        try:
            refuse_in_event_loop()
        except RuntimeError:
            function(*arguments).close()  # lest a coroutine be never awaited
            raise
        return self.wait_briefly(function, *arguments, timeout=timeout)

    def wait_briefly(
        self,
        function: Callable[..., Coroutine[Any, Any, T]],
        *arguments: Any,
        timeout: float | None = None,
    ) -> T:
        """The same for what takes so little time that an event loop may stand still meanwhile."""
        if self._is_stopped:
            if threading.current_thread().daemon:
                threading.Event().wait()  # until Python ends it, as in a wait for anything else
            raise RuntimeError("Python is about to end: nothing can be waited for any more")
        waiting = _Waiting(function, arguments)
        self.turn.busy = False
        try:
            self.call(waiting.begin, self.loop, self.stand_in())
            self.loop.hurry()
            if not waiting.is_over(timeout):
                self.call(waiting.give_up_soon, self.loop)
                self.loop.hurry()
                waiting.is_over(None)
        except BaseException as error:
            self._give_up(waiting)
            if not (isinstance(error, KeyboardInterrupt) and waiting.succeeded):
                raise
            # What has been done must get into the caller's hands; that is interrupted in its place.
            interrupt_soon(self.stand_in())
        return waiting.result(timeout)

    def _give_up(self, waiting: "_Waiting[Any]") -> None:
        self.call(waiting.give_up)
        waiting.is_over(None)


def refuse_in_event_loop() -> None:
    """Raise RuntimeError in a thread that runs one, which would stand still."""
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(
            "a blocking call in an event loop; there, use distchan without sync, or call this in a "
            "thread (asyncio.to_thread)"
        )


class _Waiting(Generic[T]):
    """A thread that waits for what a coroutine does in the loop."""

    def __init__(
        self, function: Callable[..., Coroutine[Any, Any, T]], arguments: tuple[Any, ...]
    ) -> None:
        self._function = function
        self._arguments = arguments
        self._given_up = False
        #: The task that does it, once it has begun.
        self.task: asyncio.Future[T] | None = None
        self._over = Flag()

    def begin(self, loop: _Loop, stand_in: StandIn) -> None:
        """Have it done for a thread. In the loop's turn."""
        token = ACTING.set(stand_in)
        try:
            loop.call_soon(self._begin)
        finally:
            ACTING.reset(token)

    def _begin(self) -> None:
        if self._given_up:
            return
        self.task = asyncio.ensure_future(self._function(*self._arguments))
        self.task.add_done_callback(lambda _: self._over.set())

    def give_up(self) -> None:
        """Nobody waits for it any longer. In the loop's turn."""
        if self.task is not None:
            self.task.cancel()
        elif not self._given_up:
            self._given_up = True
            self._function(*self._arguments).close()  # lest a coroutine be never awaited
            self._over.set()

    def give_up_soon(self, loop: _Loop) -> None:
        """The same when it has been tried: what can be done at once is done, also if there is no
        time to wait. In the loop's turn."""
        # After _begin(), if that is yet to come, and after the first step of the task.
        loop.call_soon(loop.call_soon, self.give_up)

    def is_over(self, timeout: float | None) -> bool:
        """Wait until it has been done, or cancelled; False if that takes longer."""
        return self._over.wait(timeout)

    @property
    def succeeded(self) -> bool:
        """Whether there is a result."""
        task = self.task
        return task is not None and not task.cancelled() and task.exception() is None

    def result(self, timeout: float | None) -> T:
        """What the coroutine has returned or raised."""
        if self.task is None or (self.task.cancelled() and timeout is not None):
            raise TimeoutError(f"not done within {timeout:g} s")
        return self.task.result()


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


@atexit.register  # on import, so as to come after what users register
def _stop() -> None:
    if _runtime is not None:
        _runtime.stop()


def _after_fork() -> None:
    global _runtime, _making
    _making = threading.Lock()
    if _runtime is not None:
        _runtime.lose()
        _runtime = None
        forget_interruptions()


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
