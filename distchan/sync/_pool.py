"""A function and a list: worker processes without any set-up."""

import atexit
import inspect
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from distchan._address import LONGEST_UNIX_PATH
from distchan._callee import innermost, spoken_name
from distchan._cpus import cpus
from distchan._remote_calls import EXECUTOR_FUNCTION
from distchan.errors import ConnectError
from distchan.sync._executor import INTERRUPTIONS, Executor
from distchan.sync._flag import Flag
from distchan.sync._runtime import runtime

__all__ = ["Pool"]

T = TypeVar("T")
R = TypeVar("R")


class Pool(Generic[T, R]):
    """Calls one function in other processes, for any number of items::

        with Pool(resize, processes=4) as pool:
            for image in pool.map(paths):
                ...

    function: one that other processes can import. A script must make its pool under
        ``if __name__ == "__main__"``. Items and results are pickled.
    processes: how many are started on this machine (default: one per CPU). One that crashes is
        started again; an item that has taken down three raises RemoteError.
    threads: how many items each works on at a time (default: 1).
    address: in place of processes on this machine, those that ``distchan worker --executor`` starts
        anywhere come to this address: see Executor for what that needs.
    options: those of a Server.

    The processes of this machine are reached by a Unix socket in a directory that only its owner
    may enter (by TCP on Windows, or if the path of that directory is too long), and share a random
    key with this one. Use it as a context manager: leaving the block
    normally waits for what has been submitted, leaving it with an exception cancels what has not
    been begun. If it is interrupted or cancelled (KeyboardInterrupt, asyncio.CancelledError) it
    waits for nothing: what is not done raises ConnectionLost.

    Raises TypeError for a function that yields, is async, or that other processes cannot import for
    being a lambda or defined in another, and for ``processes`` or ``threads`` together with an
    address, ValueError for fewer than one of them; what an Executor does. If no process can begin
    to work, all results raise ConnectError.
    """

    def __init__(
        self,
        function: Callable[[T], R],
        processes: int | None = None,
        *,
        threads: int | None = None,
        address: str | None = None,
        **options: Any,
    ) -> None:
        _require_plain(function)
        self._function = function
        self._runtime = runtime()
        self._processes: _Processes | None = None
        if address is not None and (processes is not None or threads is not None):
            raise TypeError(
                "a pool with an address starts no processes itself: use "
                "`distchan worker --executor` with --processes and --threads"
            )
        with self._runtime.uninterrupted():  # lest anything be left that nobody knows of
            if address is not None:
                self._executor = Executor(address, **options)
            else:
                self._processes = _Processes(
                    cpus() if processes is None else processes,
                    1 if threads is None else threads,
                    options,
                )
                self._executor = self._processes.executor
            atexit.register(self._at_exit)

    @property
    def address(self) -> str:
        """Where the processes find it."""
        return self._executor.address

    def submit(self, item: T) -> "Future[R]":
        """Have the function called for one item. See Executor.submit()."""
        return self._executor.submit(self._function, item)

    def map(
        self,
        items: Iterable[T],
        *,
        ordered: bool = True,
        return_exceptions: bool = False,
        progress: bool = False,
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[R]:
        """The results of all items, which may be endless: they are taken as the processes have
        room for them.

        chunksize: so many items travel together, and so do their results: for calls that take less
            than a tenth of a millisecond (default: 1). They are worked on one after the other, and
            tried again together if their process crashes.

        Raises what the function does; what has not been begun is dropped then, as it is if the
        iterator is left early. The other options are those of Server.map(); with
        ``return_exceptions``, exceptions come as the function has raised them. ValueError if
        chunksize is below 1; RuntimeError if the pool has been closed.
        """
        return self._executor.map_calls(
            self._function,
            items,
            ordered=ordered,
            return_exceptions=return_exceptions,
            progress=progress,
            timeout=timeout,
            chunksize=chunksize,
        )

    def close(self) -> None:
        """Wait for what has been submitted, and end the processes. Python does this at its end.

        If that is interrupted, they end at once; what is not done raises ConnectionLost.
        """
        try:
            self._executor.shutdown()
            if self._processes is not None:
                self._processes.leave()
        except BaseException:
            self._abandon()
            raise
        atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        if not self._executor.is_lost:
            self.close()

    def _abandon(self) -> None:
        """Wait for nothing that may take long."""
        with self._runtime.uninterrupted():  # also by those who press Ctrl-C twice
            self._executor.abandon()
            if self._processes is not None:
                self._processes.leave(at_once=True)
            atexit.unregister(self._at_exit)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, INTERRUPTIONS):
            self._abandon()
            return
        if error is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
        self.close()


def _require_plain(function: Callable[..., Any]) -> None:
    inner, name = innermost(function, "pool"), spoken_name(function)
    if inspect.iscoroutinefunction(inner):
        raise TypeError(
            f"{name} is async; distchan.work() and `distchan worker` call such functions"
        )
    if inspect.isfunction(function) and "<" in name:  # <lambda>, <locals>
        raise TypeError(
            f"other processes cannot import {name}: define it with def, at the top of a module"
        )


class _Processes:
    """Those of a pool that has no address, and the executor that they serve."""

    def __init__(self, count: int, threads: int, options: dict[str, Any]) -> None:
        from distchan._workers import Duty, Workers, check_counts  # which need distchan.sync itself

        check_counts(processes=count, threads=threads)
        self._directory = tempfile.mkdtemp(prefix="distchan-")
        path = f"{self._directory}/socket"
        fits = os.name == "posix" and len(os.fsencode(path)) <= LONGEST_UNIX_PATH
        address = f"unix:{path}" if fits else "127.0.0.1:0"
        authkey = secrets.token_bytes(32)
        # Nothing comes between this process and its own but their death: no need to wait for them.
        options = {"resume_timeout": 0.0} | options
        try:
            self.executor = Executor(address, authkey=authkey, **options)
        except BaseException:
            self._remove_directory()
            raise
        worker_options = {"codec": "raw", "authkey": authkey}
        duty = Duty(EXECUTOR_FUNCTION, self.executor.address, threads, worker_options)
        self._new_workers = partial(Workers, duty, count)
        self._lock = threading.Lock()
        self._leaving = False
        #: Once they have begun.
        self._workers: Workers | None = None
        self._over = Flag()
        threading.Thread(target=self._run, name="distchan-pool", daemon=True).start()

    def _run(self) -> None:
        try:
            with self._lock:
                if self._leaving:
                    return
                self._workers = workers = self._new_workers()
            workers.run()
        except ConnectError as error:
            self.executor.fail(error)
        finally:
            self._remove_directory()
            self._over.set()

    def _remove_directory(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)

    def leave(self, *, at_once: bool = False) -> None:
        """End those that are left, even if they have not joined.

        at_once: also those that are in the midst of a call.
        """
        with self._lock:
            self._leaving = True
        if self._workers is not None:
            self._workers.leave(at_once=at_once)
            self._over.wait()  # Thread.join() takes a thread for ended once it was interrupted
        else:
            self._remove_directory()
