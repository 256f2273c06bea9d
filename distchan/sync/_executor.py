"""concurrent.futures' Executor, for functions that are called in worker processes anywhere."""

import asyncio
import atexit
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from functools import partial
from types import TracebackType
from typing import Any, Final, ParamSpec, TypeVar

from distchan._jobs import Job, resolve
from distchan._mapping import Failed, Mapping, Step
from distchan._progress import show
from distchan._remote_calls import call_each, chunked, pickled, result_of
from distchan._security import require_safe_pickle
from distchan.errors import ConnectionLost, DistchanError
from distchan.sync._channel import Channel
from distchan.sync._mapping import map_items
from distchan.sync._runtime import runtime
from distchan.sync._server import Server
from distchan.sync._teller import Teller

__all__ = ["INTERRUPTIONS", "Executor"]

P = ParamSpec("P")
T = TypeVar("T")

#: What ends a block at once: Ctrl-C, also where asyncio makes it the end of a task.
INTERRUPTIONS: Final = (KeyboardInterrupt, asyncio.CancelledError)


class Executor(futures.Executor):
    """Calls functions in the processes that ``distchan worker --executor ADDRESS`` starts.

    A program that uses concurrent.futures.ProcessPoolExecutor has to change one line. Functions,
    arguments and results are pickled; functions travel by name, so that workers must be able to
    import them, also those that the program itself defines: start workers where its file is. What a
    function raises is raised by its future, caused by a RemoteError with the traceback. A call
    whose worker dies is made again elsewhere; if it takes down ``max_attempts`` workers, its future
    raises RemoteError. Calls that have been sent cannot be cancelled. A block that is interrupted
    or cancelled (KeyboardInterrupt, asyncio.CancelledError) waits for nothing: what is not done
    raises ConnectionLost. ``loop.run_in_executor()`` of asyncio takes one.

    Unpickling runs what the other end likes: so ``address`` is a Unix socket, unless there is an
    ``authkey``, an ``ssl`` context that wants certificates of the workers, or ``insecure=True``;
    else InsecureConnection is raised. ``options`` are those of a Server.

    Raises what entering a Server does.
    """

    def __init__(self, address: str, **options: Any) -> None:
        require_safe_pickle(address, "server", options)
        self._runtime = runtime()
        self._server = Server(address, Channel(bytes), Channel(bytes), codec="raw", **options)
        self._lock = threading.RLock()  # a future may be cancelled anywhere, by a finalizer, too
        #: Calls that have not ended.
        self._calls: set[_Call] = set()
        #: Calls whose futures have just been cancelled.
        self._cancelled: list[_Call] = []
        #: Why no more of them are accepted.
        self._refusal: Exception | None = None
        self._is_ending = False
        with self._runtime.uninterrupted():  # lest it listen, and nobody close it
            self._runtime.wait_briefly(self._server._server.__aenter__)
            self._hub = self._server._server._clientele.job_hub
            assert self._hub.dealer is not None
            self._dealer = self._hub.dealer
            self._encode = self._dealer.encoder.encode
            self._teller = Teller("distchan-executor")
            atexit.register(self._at_exit)

    @property
    def address(self) -> str:
        """Where workers find it."""
        return self._server.address

    @property
    def num_workers(self) -> int:
        """How many worker processes are connected."""
        return self._server.num_clients

    @property
    def is_lost(self) -> bool:
        """This process was forked, and the executor belongs to the other one."""
        return self._runtime.is_lost

    def wait_ready(self, workers: int = 1, timeout: float | None = None) -> None:
        """Wait until so many worker processes are connected."""
        self._server.wait_ready(workers, timeout)

    def submit(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> "futures.Future[T]":
        """Have a function called. Never waits.

        The future raises what pickle does if the call cannot be pickled, and FrameTooLarge if it is
        too large. Raises RuntimeError after shutdown(); ConnectError if no process of a pool can
        begin to work.
        """
        future: _Future[T] = _Future()
        try:
            payload = self._encode(pickled(function, args, kwargs))
        except Exception as error:  # as by concurrent.futures' own
            future.set_exception(error)
            return future
        with self._runtime.uninterrupted():  # here and now, or nowhere
            with self._lock:
                self._require_open()
                call = _Call(payload, future, self._on_cancelled, self._on_ended)
                self._calls.add(call)
            try:
                self._runtime.call(self._hub.submit, call)
            except BaseException:
                self._forget(call)
                raise
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        **options: Any,
    ) -> Iterator[T]:
        """See concurrent.futures.Executor.map(), whose options it takes: all items are taken and
        their calls sent at once.

        chunksize: see Pool.map(). Raises ValueError if it is below 1.
        """
        if chunksize == 1:
            return super().map(fn, *iterables, timeout=timeout, **options)
        chunks = chunked(zip(*iterables, strict=False), chunksize)
        results = super().map(partial(call_each, fn), chunks, timeout=timeout, **options)
        return (result_of(result) for chunk in results for result in chunk)

    def map_calls(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        ordered: bool,
        return_exceptions: bool,
        progress: bool,
        timeout: float | None,
        chunksize: int,
    ) -> Iterator[Any]:
        """Server.map() of calls of a function. See Pool.map()."""
        self._require_open()
        mapping = Mapping(self._hub, ordered=ordered, return_exceptions=return_exceptions)
        calls = self._chunks_of_calls(function, chunked(zip(items), chunksize))
        bar = show(progress, items, lambda: self.num_workers)
        return map_items(self._runtime, mapping, calls, bar, timeout, _outcomes)

    def _chunks_of_calls(
        self, function: Callable[[Any], Any], chunks: Iterable[Sequence[Sequence[Any]]]
    ) -> Iterator[tuple[bytes, int]]:
        for chunk in chunks:
            self._require_open()
            yield _pickled(function, chunk), len(chunk)

    def _require_open(self) -> None:
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls. Workers leave when those that were accepted are done. Python does
        this at its end.

        wait: until then. cancel_futures: cancel those that have not been sent.

        Raises RuntimeError in a process that was forked since, and if a future's callback waits.
        """
        self._runtime.stand_in()
        atexit.unregister(self._at_exit)
        self._refuse(RuntimeError("cannot schedule new futures: the executor has been shut down"))
        if cancel_futures:
            self._cancel()
        with self._lock:
            self._end_if_done()
        if wait:
            self._teller.join()

    def _at_exit(self) -> None:
        if not self.is_lost:
            self.shutdown()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Wait for what has been submitted; after an interruption drop what is not done."""
        if not isinstance(error, INTERRUPTIONS):
            return super().__exit__(kind, error, traceback)
        self.abandon()
        return None

    def abandon(self) -> None:
        """Wait for nothing that may take long."""
        with self._runtime.uninterrupted():
            self.shutdown(wait=False, cancel_futures=True)
            self.fail(ConnectionLost("interrupted"))

    def _refuse(self, error: Exception) -> None:
        """Accept no more calls."""
        with self._lock:
            self._refusal = self._refusal or error

    def _cancel(self) -> None:
        with self._lock:
            calls = [*self._calls]
        for call in calls:
            call.future.cancel()  # which calls what the user likes

    def _on_cancelled(self, call: "_Call") -> None:
        with self._lock:
            self._cancelled.append(call)
            if len(self._cancelled) == 1:  # for all that come in quick succession
                self._runtime.soon(self._withdraw_cancelled)

    def _withdraw_cancelled(self) -> None:
        with self._lock:
            cancelled, self._cancelled = self._cancelled, []
        self._dealer.withdraw(set(cancelled))
        for call in cancelled:
            call.begin()  # not any more

    def fail(self, error: DistchanError) -> None:
        """There will be no workers: fail what has not been done, and accept nothing more."""
        self._refuse(error)  # before anybody learns of it
        self._runtime.call(self._fail, error)
        with self._lock:
            self._end_if_done()
        self._runtime.wait_briefly(self._server._server.aclose, 0)

    def _fail(self, error: DistchanError) -> None:
        self._hub.fail_jobs(error)
        self._dealer.channel._fail(error)

    def _on_ended(self, call: "_Call") -> None:
        self._teller.soon(lambda: self._tell(call))

    def _tell(self, call: "_Call") -> None:
        call.tell()
        self._forget(call)

    def _forget(self, call: "_Call") -> None:
        with self._lock:
            self._calls.discard(call)
            self._end_if_done()

    def _end_if_done(self) -> None:
        """With the lock."""
        if self._refusal is not None and not self._calls and not self._is_ending:
            self._is_ending = True
            self._teller.soon(self._server.close)
            self._teller.end()


def _pickled(function: Callable[..., Any], chunk: Sequence[Sequence[Any]]) -> bytes:
    """Calls with these arguments."""
    if len(chunk) == 1:  # by itself, which is 16 us for a call that does nothing, in place of 21
        return pickled(function, chunk[0], {})
    return pickled(call_each, (function, chunk), {})


def _outcomes(step: Step) -> list[Any]:
    """What has become of them."""
    if isinstance(step.outcome, Failed):
        return [step.outcome] * step.count
    if step.count == 1:
        return [_outcome(step.outcome)]
    try:
        return [_outcome(result) for result in result_of(step.outcome)]
    except Exception as error:  # the function could not even be imported
        return [Failed(error)] * step.count


def _outcome(result: bytes) -> Any:
    try:
        return result_of(result)
    except Exception as error:
        return Failed(error)


class _Future(futures.Future[T]):
    """One that tells that it is cancelled."""

    #: As long as it can be.
    on_cancelled: Callable[[], None] | None = None

    def cancel(self) -> bool:
        is_cancelled = super().cancel()
        if is_cancelled and (on_cancelled := self.on_cancelled) is not None:
            on_cancelled()
        return is_cancelled


class _Call(Job):
    """A job that has a future."""

    __slots__ = ("_on_ended", "error", "future", "has_ended", "outcome")

    def __init__(
        self,
        payload: bytes,
        future: _Future[Any],
        on_cancelled: "Callable[[_Call], None]",
        on_ended: "Callable[[_Call], None]",
    ) -> None:
        super().__init__(payload)
        self.future = future
        future.on_cancelled = partial(on_cancelled, self)
        self._on_ended = on_ended
        self.outcome: Any = None
        self.error: Exception | None = None
        self.has_ended = False

    def begin(self) -> bool:
        if self.has_ended:
            return False
        self.future.on_cancelled = None
        if self.future.set_running_or_notify_cancel():
            return True
        self.end()
        return False

    def done(self, value: Any, size: int) -> None:
        self.end(value)

    def fail(self, error: Exception) -> None:
        self.end(error=error)

    def end(self, outcome: Any = None, error: Exception | None = None) -> None:
        """Have the future told, the first time. In the loop's turn."""
        if not self.has_ended:
            self.has_ended = True
            self.future.on_cancelled = None
            self.outcome, self.error = outcome, error
            self._on_ended(self)

    def tell(self) -> None:
        """Tell the future what has become of the call."""
        result: Any = None
        error: BaseException | None = self.error
        if error is None:
            try:
                result = result_of(self.outcome)
            except BaseException as raised:  # the user's own unpickling, too
                error = raised
        resolve(self.future, result, error)
