"""Worker processes on this machine, without any set-up."""

import os
import secrets
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Generic, Self, TypeVar

from distchan._cpus import cpus
from distchan._remote_calls import EXECUTOR_FUNCTION
from distchan.sync._executor import Executor

__all__ = ["Pool"]

T = TypeVar("T")
R = TypeVar("R")


class Pool(Generic[T, R]):
    """Calls one function in processes of this machine, for any number of items::

        with Pool(resize, processes=4) as pool:
            for image in pool.map(paths):
                ...

    function: one that other processes can import. A script must make its pool under
        ``if __name__ == "__main__"``. Items and results are pickled.
    processes: how many (default: one per CPU). One that crashes is started again; an item that has
        taken down three raises RemoteError.
    threads: how many items each works on at a time (default: 1).

    The processes are reached by a Unix socket in a directory that only its owner may enter, and
    share a random key with this one. Use it as a context manager: leaving the block normally waits
    for what has been submitted, leaving it with an exception cancels what has not been begun.
    """

    def __init__(
        self, function: Callable[[T], R], processes: int | None = None, *, threads: int = 1
    ) -> None:
        from distchan._workers import Job, Workers  # which needs distchan.sync itself

        self._function = function
        self._directory = tempfile.mkdtemp(prefix="distchan-")
        is_posix = os.name == "posix"
        address = f"unix:{self._directory}/socket" if is_posix else "127.0.0.1:0"
        authkey = secrets.token_bytes(32)
        self._executor = Executor(address, authkey=authkey)
        self._count = processes or cpus()
        self._ahead = 4 * self._count * threads
        job = Job(EXECUTOR_FUNCTION, self._executor.address, threads, {"authkey": authkey})
        self._workers = Workers(job, self._count)
        self._runner = threading.Thread(target=self._run, name="distchan-pool", daemon=True)
        self._runner.start()

    def _run(self) -> None:
        try:
            self._workers.run()
        except Exception as error:
            self._executor.fail(error)
        finally:
            shutil.rmtree(self._directory, ignore_errors=True)

    def submit(self, item: T) -> "Future[R]":
        """Have the function called for one item. See Executor.submit()."""
        return self._executor.submit(self._function, item)

    def map(self, items: Iterable[T]) -> Iterator[R]:
        """The results, in the order of the items, which may be endless.

        Items are taken as results are: no more than four per process and thread are under way or
        wait to be received. Raises what the function does; what has not been begun is cancelled
        then, as it is if the iterator is left early.
        """
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(self.submit(item))
                if len(waiting) >= self._ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        """Wait for what has been submitted, and end the processes."""
        self._executor.shutdown()
        self._workers.leave()  # those that have not even joined
        self._runner.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
        self.close()
