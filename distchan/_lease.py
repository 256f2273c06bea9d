"""Holding one item for a block instead of for a task."""

from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

from distchan._calls import receiving

if TYPE_CHECKING:
    from distchan._holdings import Holder
    from distchan._rendezvous import Channel

__all__ = ["Lease"]

T = TypeVar("T")


class Lease(Generic[T]):
    """An async context manager that receives one item and holds it, see Channel.lease().

    ``id`` and ``attempt`` identify the execution, as an idempotency key: the id is the item's own,
    whatever happens to it, and no other item of its server has the same; the attempt is 1 at first
    and grows with each attempt that failed. Both are None before the block is entered, and for an
    item that did not come from a server.
    """

    def __init__(self, channel: "Channel") -> None:
        self._channel = channel
        #: Set by a Client's side of the channel when it hands the item out.
        self.holder: Holder | None = None
        self.id: int | None = None
        self.attempt: int | None = None

    async def __aenter__(self) -> T:
        item: T = await receiving(self._channel, self, False)
        self.begin()
        return item

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        holder = self.end(error)
        if holder is not None and error is None and holder.owes:
            await holder.paid()

    def begin(self) -> None:
        """The item is there, and the block begins."""
        if self.holder is not None:
            self.id, self.attempt = self.holder.ticket
            self.holder.enter()

    def end(self, error: BaseException | None) -> "Holder | None":
        """The block has ended, in that way. Returns who has held the item, if anybody did."""
        holder, self.holder = self.holder, None
        if holder is not None:
            holder.leave(error)
        return holder
