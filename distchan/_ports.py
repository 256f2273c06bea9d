"""What a Channel and the Server or Client bound to it know of each other.

A bound Server or Client is one more receiver of its outgoing channel (an Outlet) and one more
sender to its incoming channel (an Inlet). The channel never sees a connection, and the network
side never sees a waiting task.

Items of a Client are *held* by the task that asked for them, and what a holder sends belongs to its
item. Who asks and who sends must be noted when the method is called, not when its coroutine runs:
``asyncio.wait_for`` may run that in a task of its own.
"""

import asyncio
import logging
from typing import Any

from distchan._payloads import PayloadEncoder
from distchan.errors import DistchanError

__all__ = ["Inlet", "Outlet", "Sender", "pop_many"]


def pop_many(backwards: list[Any], count: int) -> list[Any]:
    """At most so many of what was put into a list the last one first: those that came first."""
    taken = backwards[-count:]
    del backwards[-count:]
    taken.reverse()
    return taken


class Sender:
    """Somebody whose items do not go out on their own."""

    __slots__ = ("grip",)

    def __init__(self) -> None:
        #: Grows whenever what it holds is settled or taken from it.
        self.grip = 0

    def stage(self, payload: bytes | None, grip: int) -> bool:
        """Keep an item with what was held when send() was called; False if it must go on its own.

        grip: what it was then.

        Raises FrameTooLarge if that is too much.
        """
        raise NotImplementedError


class Outlet:
    """Takes the items of a channel to the network.

    encoder: makes the payloads.
    asks_for_sender: whether it makes a difference who sends.
    logger: where items are mentioned that cannot go on to another network.
    """

    def __init__(
        self, encoder: PayloadEncoder, asks_for_sender: bool, logger: logging.Logger
    ) -> None:
        self.encoder = encoder
        self.asks_for_sender = asks_for_sender
        self._logger = logger
        #: Items from another network that this one cannot carry.
        self.unencodable = 0

    def live(self) -> bool:
        """Whether offer() would succeed now."""
        raise NotImplementedError

    def room(self) -> int:
        """About how many items could be sent now; 0 if and only if not live."""
        raise NotImplementedError

    def sender(self, task: "asyncio.Task[Any] | None") -> Sender | None:
        """Who is about to send, in that task, if that makes a difference now."""
        return None

    def offer(self, payload: bytes | None) -> bool:
        """Send one item if that is possible now, that is, while live. It has been encoded."""
        raise NotImplementedError

    def relay(self, item: Any) -> None:
        """Deal out an item that came from another network; log it if it cannot be encoded.

        Its sender is far away, so that there is nobody to raise an error to. Call only while live.
        """
        try:
            payload = self.encoder.encode(item)
        except DistchanError as error:
            self.unencodable += 1
            self._logger.warning("an item could not be relayed and is left out: %s", error)
        else:
            self.offer(payload)

    def finish(self) -> None:
        """The channel is closed and drained: no offer() will follow. Called once."""
        raise NotImplementedError


class Inlet:
    """Holds the items that have come from the network until a receiver takes them."""

    #: Whether the channel may have an outlet as well.
    relays = True

    def __init__(self) -> None:
        #: How many items there are.
        self.count = 0

    def caller(self, task: "asyncio.Task[Any] | None") -> Any:
        """Who is about to ask for an item, in that task. Settles what it has held so far."""
        return None

    def take(self, caller: Any) -> Any:
        """The oldest item, for a caller. Call only while there is one.

        ``caller`` comes from caller(); or it is the Lease that asks; or the task, if the inlet was
        not there yet when that asked; or None if no task did.
        """
        raise NotImplementedError

    def owing(self) -> bool:
        """Whether receivers must wait for paid() before they get anything.

        Whoever calls caller() meanwhile finds the channel's streak broken.
        """
        return False

    async def paid(self) -> None:
        """Wait until what has been settled is on its way."""

    def take_many(self, count: int, caller: Any) -> list[Any]:
        """The same for the oldest ``count`` items. Call only if there are so many."""
        taken: list[Any] = []
        while count:
            some = self.take_some(count, caller)
            taken += some
            count -= len(some)
        return taken

    def take_some(self, count: int, caller: Any) -> list[Any]:
        """As many of the oldest ``count`` items as arrived together, at least one."""
        raise NotImplementedError

    def awaited(self) -> None:
        """A task has begun to wait for an item, or does not wait any longer."""

    def pause(self) -> None:
        """A task lets the loop turn before it goes on taking."""

    def prepare(self, count: int) -> int:
        """A task is about to take so many items in a row. Returns how many it may take."""
        return count

    def drained(self) -> None:
        """The channel is closed and nothing is left. Called once."""
        raise NotImplementedError
