"""concurrent.futures' Executor, for functions that are called in worker processes anywhere."""

import contextlib
import itertools
import queue
import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any, ParamSpec, TypeVar

from distchan import _security
from distchan._remote_calls import Call, Outcome, pickled, result_of
from distchan.errors import DistchanError, RemoteError
from distchan.sync._channel import Channel
from distchan.sync._server import Server

__all__ = ["Executor"]

P = ParamSpec("P")
T = TypeVar("T")


class Executor(futures.Executor):
    """Calls functions in the processes that ``distchan worker --executor ADDRESS`` starts.

    A program that uses concurrent.futures.ProcessPoolExecutor has to change one line. Functions,
    arguments and results are pickled; functions travel by name, so that workers must be able to
    import them. What a function raises is raised by its future, caused by a RemoteError with the
    traceback. A call whose worker dies is made again elsewhere; if it takes down ``max_attempts``
    workers, its future raises RemoteError. Calls that have been sent cannot be cancelled.

    Unpickling runs what the other end likes: so ``address`` is a Unix socket, unless there is an
    ``authkey`` (or ``insecure=True``); else InsecureConnection is raised. ``options`` are those of
    a Server.

    Raises what entering a Server does.
    """

    def __init__(self, address: str, **options: Any) -> None:
        _security.check_address(
            address,
            "server",
            insecure=options.get("insecure", False),
            has_authkey=options.get("authkey") is not None,
            unpickles=True,
        )
        self._out: Any = Channel(Call)
        self._in: Any = Channel(Outcome)
        self._server = Server(address, self._out, self._in, **options)
        self._lock = threading.Lock()
        self._ids = itertools.count()
        self._futures: dict[int, futures.Future[Any]] = {}
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._why_not: str | None = None
        self._server.__enter__()
        self._threads = [
            threading.Thread(target=work, name=f"distchan-{work.__name__}", daemon=True)
            for work in (self._send, self._receive, self._bury)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def address(self) -> str:
        """Where workers find it."""
        return self._server.address

    @property
    def num_workers(self) -> int:
        """How many worker processes are connected."""
        return self._server.num_clients

    def wait_ready(self, workers: int = 1, timeout: float | None = None) -> None:
        """Wait until so many worker processes are connected."""
        self._server.wait_ready(workers, timeout)

    def submit(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> "futures.Future[T]":
        """Have a function called. Never waits.

        The future raises what pickle does if the call cannot be pickled, and FrameTooLarge if it is
        too large. RuntimeError after shutdown().
        """
        future: futures.Future[T] = futures.Future()
        try:
            payload = pickled(function, args, kwargs)
        except Exception as error:  # as by concurrent.futures' own
            future.set_exception(error)
            return future
        with self._lock:
            if self._why_not is not None:
                raise RuntimeError(f"cannot schedule new futures: {self._why_not}")
            call = Call(next(self._ids), payload)
            self._futures[call.id] = future
            self._calls.put(call)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls. Workers leave when those that were accepted are done.

        wait: until then. cancel_futures: cancel those that have not been sent.
        """
        with self._lock:
            if self._why_not is None:
                self._why_not = "the executor has been shut down"
                self._calls.put(None)
            waiting = list(self._futures.values())
        if cancel_futures:
            for future in waiting:
                future.cancel()
        if wait:
            for thread in self._threads:
                thread.join()

    def fail(self, error: Exception) -> None:
        """There will be no workers: fail what has not been done, and accept nothing more."""
        with self._lock:
            if self._why_not is None:
                self._why_not = str(error)
                self._calls.put(None)
            pending, self._futures = self._futures, {}
        for future in pending.values():
            _settle(future, error)
        self._server.close(0)

    def _send(self) -> None:
        while (call := self._calls.get()) is not None:
            future = self._futures.get(call.id)
            if future is None:
                continue
            if not future.set_running_or_notify_cancel():
                self._futures.pop(call.id, None)
                continue
            try:
                self._out.send(call)
            except DistchanError as error:
                self._end(call.id, error)
        self._out.close()

    def _receive(self) -> None:
        try:
            with contextlib.suppress(DistchanError):  # it has been closed from outside
                for outcome in self._in:
                    try:
                        result = result_of(outcome)
                    except Exception as error:
                        self._end(outcome.id, error)
                    else:
                        self._end(outcome.id, None, result)
        finally:
            self._server.close()

    def _bury(self) -> None:
        for letter in self._server.dead_letters:
            self._end(letter.item.id, RemoteError(letter.reason))

    def _end(self, number: int, error: Exception | None, result: object = None) -> None:
        future = self._futures.pop(number, None)
        if future is not None:
            _settle(future, error, result)


def _settle(future: "futures.Future[Any]", error: Exception | None, result: object = None) -> None:
    with contextlib.suppress(futures.InvalidStateError):  # it has been cancelled
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
