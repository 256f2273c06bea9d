"""Worker processes: started, restarted if they crash, and told to leave."""

import contextlib
import logging
import multiprocessing
import os
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Final, NamedTuple

from distchan import _address
from distchan._callee import Callee, load, name_of
from distchan._signals import Signals
from distchan._worker import serve
from distchan.errors import ConnectError

__all__ = ["Duty", "Workers", "check_counts", "log_to_stderr", "work"]

logger = logging.getLogger("distchan")

#: In seconds: the first pause before a restart, the longest, and how long a process has to run for
#: the next pause to be the first again.
_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_STABLE: Final = 10.0

#: What a process says of itself, the last of which counts; no exit code does, for the function may
#: end the process with any. JOINED: by the server. FAILED: another one would fare no better, unless
#: there are some that do.
_JOINED, _DRAINED, _FAILED = b"joined", b"drained", b"failed"

#: In seconds. The sentinel of a process that dies stays open as long as any that it has forked: so
#: it is looked for so often.
_LOOK_AROUND: Final = 1.0

#: How they are to end.
_WELL, _AT_ONCE = b"well", b"at once"


def work(
    function: Callable[..., Any],
    address: str,
    *,
    processes: int = 1,
    threads: int = 1,
    **options: Any,
) -> None:
    """Call a function for each item of the server at an address, and send what it returns.

    Blocks until the server has no more work. ``distchan worker`` does the same from the command
    line. The types of items and results are the annotations of the function's only required
    parameter and of its result (default: Any); one that is annotated to return None sends no
    results. An exception in the function fails the item, with the traceback as the reason: it is
    dealt again, and ends among the server's dead letters.

    function: called in threads; an ``async def`` function is called in tasks of one event loop.
    processes: with 1 (default) this process does the work. Otherwise so many others are started,
        which import the function (by ``multiprocessing``: where a script calls this, it must do so
        under ``if __name__ == "__main__"``); one that crashes is started again.
    threads: how many items each process works on at a time (default: 1).
    options: those of a Client, without ``sock``. ``ssl`` may also be a function that makes the
        context in each process, and has to be if there are several:
        ``functools.partial(distchan.tls.client_context, "ca.pem")``.

    SIGTERM or SIGINT, if this is the main thread: the items in hand are finished, the others go
    back to the server, and SystemExit(143) or KeyboardInterrupt is raised. The second SIGINT raises
    KeyboardInterrupt at once.

    Raises TypeError for a function that does not take one item, or that other processes cannot
    import, and for an SSLContext that they would have to be sent; ValueError for a wrong address or
    number; what a Client raises if it cannot join or loses its server, which is always ConnectError
    if there are several processes: they log why.
    """
    check_counts(processes=processes, threads=threads)
    _address.parse(address)
    callee = Callee(function)
    if processes == 1:
        received = serve(callee, address, threads=threads, options=options)
    else:
        if isinstance(options.get("ssl"), ssl.SSLContext):
            raise TypeError(
                "other processes cannot be sent an SSLContext: let ssl be a function that makes "
                'one, as in functools.partial(distchan.tls.client_context, "ca.pem")'
            )
        duty = Duty(name_of(function), address, threads, options)
        received = Workers(duty, processes).run()
    if received == signal.SIGINT:
        raise KeyboardInterrupt
    if received is not None:
        raise SystemExit(128 + received)


def check_counts(**counts: int) -> None:
    """Raise ValueError for fewer than one of anything."""
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, not {count}")


class Duty(NamedTuple):
    """What each process is told."""

    function: str
    address: str
    threads: int
    options: Mapping[str, Any]
    #: None: logging is as Python has it.
    log_level: str | None = None


class Workers:
    """A number of processes with the same duty. Made to be run, once.

    Raises ConnectError if there can be none.
    """

    def __init__(self, duty: Duty, count: int) -> None:
        self._duty = duty
        self._places = [_Place(number, duty) for number in range(1, count + 1)]
        try:
            #: Whoever waits for the reader is woken by the writer.
            self._reader, self._writer = multiprocessing.Pipe(duplex=False)
        except OSError as error:
            raise ConnectError(f"no worker process can be started: {error}") from error
        self._leaving = False
        #: Some process has seen the end of the work.
        self._drained = False
        self._failed = False

    def run(self) -> int | None:
        """Work until there is no more work, or a signal comes. Returns its number, or None.

        Raises ConnectError if the processes cannot be started, cannot join or lose their server.
        """
        with self._reader as reader, self._writer, Signals(self.leave) as signals:
            try:
                for place in self._places:
                    place.start()
                while any(place.is_busy for place in self._places):
                    if reader in wait([reader, *self._sentinels()], self._until_next_start()):
                        self._leaving = True
                        if reader.recv_bytes() == _AT_ONCE:
                            break
                        self._tell_to_leave(f"signal {signals.number}" if signals.number else "")
                    self._look_around()
            finally:
                signals.done = True  # whoever presses Ctrl-C a third time leaves no process behind
                for place in self._places:
                    place.kill()
                for place in self._places:
                    place.join()
        if not self._leaving and self._failed and not self._drained:
            raise ConnectError(
                f"the worker processes cannot work for {self._duty.address}: see what they say"
            )
        return signals.number

    def leave(self, *, at_once: bool = False) -> None:
        """Have the processes end when they have finished what they have in hand, or in the midst of
        that. In any thread, or a handler."""
        with contextlib.suppress(OSError):  # if it is over
            self._writer.send_bytes(_AT_ONCE if at_once else _WELL)

    def _sentinels(self) -> list[int]:
        return [place.process.sentinel for place in self._places if place.process is not None]

    def _until_next_start(self) -> float:
        now = time.monotonic()
        due = [place.due for place in self._places if place.due is not None]
        return max(0.0, min([*due, now + _LOOK_AROUND]) - now)

    def _look_around(self) -> None:
        now = time.monotonic()
        for place in self._places:
            if place.due is not None and place.due <= now:
                place.start()
        ended = [(place, code) for place in self._places if (code := place.ended()) is not None]
        self._drained |= any(place.word == _DRAINED for place, _ in ended)
        if self._drained:
            # All that was left is done: whoever has not joined by now is too late.
            for place in self._places:
                if place.due is not None or not place.word:
                    place.leave()
            return
        for place, code in ended:
            if not self._leaving and not self._failed:
                self._replace(place, code)

    def _replace(self, place: "_Place", code: int) -> None:
        if place.could_not_begin(code) or (
            place.word == _FAILED and not any(other.is_at_work for other in self._places)
        ):
            self._failed = True
            self._tell_to_leave("one of them cannot go on")
        else:
            place.start_later(code)

    def _tell_to_leave(self, why: str) -> None:
        for place in self._places:
            place.leave()
        logger.info("the worker processes finish what they have in hand: %s", why or "as asked")


class _Place:
    """One of several processes, and those that come in its place."""

    def __init__(self, number: int, duty: Duty) -> None:
        self._name = f"worker-{number}"
        self._duty = duty
        self._context = multiprocessing.get_context("spawn")
        #: What the process has said last; empty: it has not joined yet.
        self.word = b""
        self._reader: Connection | None = None
        self.process: SpawnProcess | None = None
        #: When another one is to be started.
        self.due: float | None = None
        self._pause = _PAUSE
        self._started = 0.0

    @property
    def is_busy(self) -> bool:
        return self.process is not None or self.due is not None

    @property
    def is_at_work(self) -> bool:
        return self.process is not None and self.word == _JOINED

    def start(self) -> None:
        self.due = None
        self._started = time.monotonic()
        self.word = b""
        if self._reader is not None:
            self._reader.close()
        try:
            self._reader, writer = self._context.Pipe(duplex=False)
            with writer, _interrupts_later():
                arguments = self._duty, writer
                process = self._context.Process(target=_main, args=arguments, name=self._name)
                process.start()
        except Exception as error:
            raise ConnectError(f"{self._name} cannot be started: {error}") from error
        self.process = process
        logger.info("%s: process %d started", self._name, process.pid)

    def start_later(self, code: int) -> None:
        if time.monotonic() - self._started >= _STABLE:
            self._pause = _PAUSE
        end = f"signal {-code}" if code < 0 else f"exit code {code}"
        what = "failed" if self.word == _FAILED else f"crashed with {end}"
        logger.warning("%s %s; another one is started in %.1f s", self._name, what, self._pause)
        self.due = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def ended(self) -> int | None:
        """The exit code of a process that has ended since the last time."""
        code = None if self.process is None else self.process.exitcode
        self._hear()
        if code is not None:
            self._let_go()
        return code

    def _let_go(self) -> None:
        """Close what belongs to a process that has ended; multiprocessing keeps it open."""
        assert self.process is not None
        # An interruption may have kept its end from multiprocessing.
        with contextlib.suppress(ValueError):
            self.process.close()
        self.process = None

    def _hear(self) -> None:
        assert self._reader is not None
        with contextlib.suppress(OSError, EOFError):  # it has ended, and all has been heard
            while self._reader.poll():
                self.word = self._reader.recv_bytes()

    def could_not_begin(self, code: int) -> bool:
        """Whether it has ended by itself before it had joined, as others would: what Python does
        if the main module cannot be imported again, or starts processes when it is."""
        if self.word or not 0 <= code < 128:  # from 128 on: by a signal
            return False
        logger.error(
            "%s ended with exit code %d before it had joined; another would do the same",
            self._name,
            code,
        )
        return True

    def leave(self) -> None:
        self.due = None
        if self.process is not None:
            self.process.terminate()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def join(self) -> None:
        if self.process is not None:
            self.process.join()
            self._let_go()
        if self._reader is not None:
            self._reader.close()


@contextlib.contextmanager
def _interrupts_later() -> Iterator[None]:
    """Ctrl-C waits until the end of the block. In a process that is started there it waits for
    _main(): otherwise Python would show what it had been importing."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which would unblock it if it were started there
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _main(duty: Duty, place: Connection) -> None:
    """What a worker process does. It tells its place."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first one decides
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_die_with_parent, name="distchan-parent", daemon=True).start()
    if duty.log_level is not None:
        log_to_stderr(duty.log_level)
    try:
        callee = Callee(load(duty.function))
        received = serve(
            callee,
            duty.address,
            threads=duty.threads,
            options=duty.options,
            on_joined=lambda: place.send_bytes(_JOINED),
        )
    except Exception as error:
        logger.error("%s cannot work for %s: %s", duty.function, duty.address, error)
        place.send_bytes(_FAILED)
        sys.exit(1)
    if received is not None:
        sys.exit(128 + received)
    place.send_bytes(_DRAINED)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    while not wait([parent.sentinel], _LOOK_AROUND) and os.getppid() == parent.pid:
        pass
    os._exit(1)


def log_to_stderr(level: str) -> None:
    """Show what is logged, and which process it is from."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)s %(processName)s %(process)d: %(message)s")
    )
    logger.addHandler(handler)
    logger.setLevel(level.upper())
