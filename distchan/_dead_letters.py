"""Items that were given up, kept for whoever wants to look at them."""

from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from distchan.channel import Channel

__all__ = ["DeadLetter", "DeadLetters"]

T = TypeVar("T")

#: So many are kept: the newest ones.
_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class DeadLetter(Generic[T]):
    """An item that was given up, see :attr:`Server.dead_letters`."""

    item: T | bytes
    """The item; its encoded form if that does not decode."""
    reason: str
    """Why the last attempt failed. If by an exception, that is the first line; the end of its
    traceback follows, 8 KiB at most in all."""
    attempts: int
    """How many there have been."""


class DeadLetters:
    """A channel with the newest of them. Nothing waits for anybody to read it."""

    def __init__(self) -> None:
        self.channel: Channel[DeadLetter[Any]] = Channel(DeadLetter, _MOST)
        #: How many there have been.
        self.count = 0

    def put(self, item: Any, reason: str, attempts: int) -> None:
        self.count += 1
        if self.channel.closed:  # by a user who does not want them
            return
        if len(self.channel) == _MOST:
            self.channel.receive_nowait()
        self.channel.send_nowait(DeadLetter(item, reason, attempts))
