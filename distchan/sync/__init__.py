"""distchan for threads: the same channels, servers and clients, whose calls block.

For programs that have no event loop. Names and promises are those of ``distchan``; where it says
task, read thread. What waits takes ``timeout=``, in seconds.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from distchan.sync import _channel
from distchan.sync._channel import Lease
from distchan.sync._client import Client
from distchan.sync._executor import Executor
from distchan.sync._pool import Pool
from distchan.sync._select import select
from distchan.sync._server import Server

__all__ = ["Channel", "Client", "Executor", "Lease", "Pool", "Server", "select"]

T = TypeVar("T")


if TYPE_CHECKING:

    class Channel(_channel.Channel, Generic[T]):
        @overload
        def __init__(self, item_type: type[T], capacity: int = 0) -> None: ...
        @overload
        def __init__(self: "Channel[Any]", item_type: object = Any, capacity: int = 0) -> None: ...
        def __init__(self, item_type: object = Any, capacity: int = 0) -> None: ...

        def send(self, item: T, timeout: float | None = None) -> None: ...
        def send_nowait(self, item: T) -> None: ...
        def send_many(self, items: Iterable[T], timeout: float | None = None) -> None: ...
        def receive(self, timeout: float | None = None) -> T: ...
        def receive_nowait(self) -> T: ...
        def receive_many(self, limit: int, timeout: float | None = None) -> list[T]: ...
        def lease(self, timeout: float | None = None) -> Lease[T]: ...
        def __iter__(self) -> Self: ...
        def __next__(self) -> T: ...

else:
    from distchan.sync._channel import Channel
