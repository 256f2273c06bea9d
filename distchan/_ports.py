"""What a Channel and the Server or Client bound to it know of each other.

A bound Server or Client is one more receiver of its outgoing channel (an Outlet) and one more
sender to its incoming channel (an Inlet). The channel never sees a connection, and the network
side never sees a waiting task.
"""

from typing import Any, Protocol


class Outlet(Protocol):
    """Takes the items of a channel to the network."""

    @property
    def live(self) -> bool:
        """Whether put() may be called now."""

    def room(self) -> int:
        """About how many items could be put now; 0 if and only if not live."""

    def encode(self, item: Any) -> bytes:
        """The payload of an item. Raises EncodeError or FrameTooLarge; changes nothing."""

    def relay(self, item: Any) -> None:
        """Deal out an item that came from another network; log it if it cannot be encoded.

        Its sender is far away, so that there is nobody to raise an error to. Call only while live.
        """

    def put(self, payload: bytes) -> None:
        """Deal one item out. Call only while live."""

    def finish(self) -> None:
        """The channel is closed and drained: no put() will follow. Called once."""


class Inlet(Protocol):
    """Holds the items that have come from the network until a receiver takes them."""

    @property
    def relays(self) -> bool:
        """Whether the channel may have an outlet as well."""

    def __len__(self) -> int: ...

    def take(self) -> Any:
        """The oldest item. Call only while there is one."""

    def drained(self) -> None:
        """The channel is closed and nothing is left. Called once."""
