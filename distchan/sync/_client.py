"""The client, for threads."""

from types import TracebackType
from typing import Any, Self

from distchan import client
from distchan.sync._channel import Channel
from distchan.sync._runtime import runtime

__all__ = ["Client"]


class Client:
    """See distchan.Client, whose options it takes: a context manager whose methods block.

    A *thread* holds the items that it has received on ``incoming``, see Channel. A thread that
    computes for long, also without ever releasing the interpreter's lock, stays a member: nobody
    asks it, unless the server sets ``hang_timeout``.
    """

    def __init__(
        self,
        address: str | None,
        outgoing: Channel | None,
        incoming: Channel | None,
        **options: Any,
    ) -> None:
        self._runtime = runtime()
        self._client = client.Client(
            address,
            None if outgoing is None else outgoing._channel,
            None if incoming is None else incoming._channel,
            **options,
        )

    def __enter__(self) -> Self:
        self._runtime.wait(self._client.__aenter__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._runtime.wait(self._client.__aexit__, kind, error, traceback)

    def done(self, timeout: float | None = None) -> None:
        """Wait until all work is handed over and confirmed by the server."""
        self._runtime.wait(self._client.done, timeout=timeout)

    def close(self, timeout: float | None = None) -> None:
        """Close in good order, see distchan.Client.aclose()."""
        self._runtime.wait(self._client.aclose, timeout)
