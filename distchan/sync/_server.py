"""The server, for threads."""

from collections.abc import Iterable, Iterator
from concurrent import futures
from itertools import repeat
from types import TracebackType
from typing import Any, Self

from distchan import server
from distchan._jobs import resolve
from distchan._mapping import Mapping, new_payload, submit, submit_now
from distchan._progress import show
from distchan.server import ClientInfo, ServerStatistics
from distchan.sync._channel import Channel, wrapped
from distchan.sync._mapping import map_items
from distchan.sync._runtime import runtime
from distchan.sync._teller import Teller

__all__ = ["Server"]


class Server:
    """See distchan.Server, whose options it takes: a context manager whose methods block."""

    def __init__(
        self,
        address: str | None,
        outgoing: Channel | None,
        incoming: Channel | None,
        **options: Any,
    ) -> None:
        self._runtime = runtime()
        self._server = server.Server(
            address,
            None if outgoing is None else outgoing._channel,
            None if incoming is None else incoming._channel,
            **options,
        )
        self._dead_letters = wrapped(self._server.dead_letters)
        #: Made when the first future has a result.
        self._teller: Teller | None = None

    @property
    def address(self) -> str:
        """Where it listens: ``"127.0.0.1:5678"``, ``"[::1]:5678"`` or ``"unix:PATH"``."""
        return self._server.address

    @property
    def num_clients(self) -> int:
        """How many clients are connected."""
        return self._runtime.call(lambda: self._server.num_clients)

    @property
    def ready(self) -> bool:
        """Whether a client is connected that can be dealt work."""
        return self._runtime.call(lambda: self._server.ready)

    @property
    def clients(self) -> tuple[ClientInfo, ...]:
        """The connected clients, in joining order."""
        return self._runtime.call(lambda: self._server.clients)

    @property
    def dead_letters(self) -> Channel:
        """Items that were given up: the newest 1,000, as distchan.DeadLetter."""
        return self._dead_letters

    def statistics(self) -> ServerStatistics:
        """A snapshot of the server's counters."""
        return self._runtime.call(self._server.statistics)

    def wait_ready(self, clients: int = 1, timeout: float | None = None) -> None:
        """Wait until so many clients are connected that can be dealt work."""
        self._runtime.wait(self._server.wait_ready, clients, timeout=timeout)

    def map(
        self,
        items: Iterable[Any],
        *,
        ordered: bool = True,
        return_exceptions: bool = False,
        progress: bool = False,
        timeout: float | None = None,
    ) -> Iterator[Any]:
        """Have the clients work on items; the result of each of them, see distchan.Server.map().

        timeout: if a result is not there so many seconds after this call, the iteration ends with
            TimeoutError (default: it waits).

        Leaving the loop early drops what has not been dealt, as soon as the iterator is closed or
        nobody refers to it any longer.
        """
        hub = self._server._clientele.job_hub
        mapping = Mapping(hub, ordered=ordered, return_exceptions=return_exceptions)
        bar = show(progress, items, lambda: self._server._clientele.workers)
        return map_items(self._runtime, mapping, zip(items, repeat(1)), bar, timeout)

    def submit(self, item: Any, timeout: float | None = None) -> "futures.Future[Any]":
        """Send one item that waits for its own result, see distchan.Server.submit(): that of the
        future, which is one of concurrent.futures and cannot be cancelled. The callbacks of a
        server's futures are called one after the other in a thread of their own, and so must not
        wait for each other's."""
        result: futures.Future[Any] = futures.Future()
        result.set_running_or_notify_cancel()
        hub = self._server._clientele.job_hub

        def tell(value: Any, error: Exception | None) -> None:
            if self._teller is None:
                self._teller = Teller("distchan-futures")
            self._teller.soon(lambda: resolve(result, value, error))

        payload = self._runtime.call(new_payload, hub, item)
        if self._runtime.call(submit_now, hub, payload, tell):
            self._runtime.turn.busy = True
        else:
            self._runtime.wait(submit, hub, payload, tell, timeout=timeout)
        return result

    def __enter__(self) -> Self:
        self._runtime.wait(self._server.__aenter__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._runtime.wait(self._server.__aexit__, kind, error, traceback)
        finally:
            self._end_teller()

    def shutdown(self) -> None:
        """Begin the orderly end: close ``outgoing``, or do without one what that would do."""
        self._runtime.call(self._server.shutdown)

    def close(self, timeout: float | None = None) -> None:
        """Close in good order, see distchan.Server.aclose()."""
        try:
            self._runtime.wait(self._server.aclose, timeout)
        finally:
            self._end_teller()

    def _end_teller(self) -> None:
        if self._teller is not None:
            self._teller.end()
