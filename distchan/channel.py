"""Channels: typed, first in first out, between tasks; and between processes, see distchan.server.

_rendezvous.py is how they work, for items of any type; here they get their type.
"""

from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from distchan._lease import Lease
from distchan._rendezvous import ChannelStatistics, Rendezvous

__all__ = ["Channel", "ChannelStatistics"]

T = TypeVar("T")


class Channel(Rendezvous, Generic[T]):
    """A typed first-in-first-out channel between tasks, like Go's ``chan``.

    Any number of tasks may send and receive; those that wait are served first come, first served.
    Cancelling a waiting call loses and doubles nothing. ``None`` is an ordinary item.

    item_type: what the channel carries. ``send`` checks the outermost type; a Server or Client
        encodes and decodes against the whole of it. ``Any`` (the default) takes everything.
    capacity: how many items it holds for receivers that have not come yet. With 0, the default,
        ``send`` waits until a receiver takes the item.

    A channel belongs to the event loop in which it is first awaited. Sending, receiving and closing
    raise RuntimeError when called from another loop or thread.

    Raises TypeError or ValueError for a capacity that is not a whole number of at least 0.
    """

    if TYPE_CHECKING:

        @overload
        def __init__(self, item_type: type[T], capacity: int = 0) -> None: ...
        @overload
        def __init__(self: "Channel[Any]", item_type: object = Any, capacity: int = 0) -> None: ...
        def __init__(self, item_type: object = Any, capacity: int = 0) -> None: ...

        def send(self, item: T) -> Coroutine[Any, Any, None]: ...
        def send_nowait(self, item: T) -> None: ...
        def send_many(self, items: Iterable[T]) -> Coroutine[Any, Any, None]: ...
        def receive(self) -> Coroutine[Any, Any, T]: ...
        def receive_nowait(self) -> T: ...
        def receive_many(self, limit: int) -> Coroutine[Any, Any, list[T]]: ...
        def lease(self) -> Lease[T]: ...
        def __aiter__(self) -> Self: ...
        def __anext__(self) -> Coroutine[Any, Any, T]: ...
