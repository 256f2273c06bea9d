"""What a Client needs of its wire: to join a server, and to leave it."""

from typing import Protocol

__all__ = ["Membership"]


class Membership(Protocol):
    """How a client belongs to a server. There is one kind for each wire."""

    async def join(self) -> None:
        """Bind the channels and connect. Raises as entering a Client does."""

    async def done(self) -> None:
        """Wait until all work is done and handed over. Raises ConnectionLost if that cannot be."""

    async def leave(self, timeout: float) -> None:
        """Leave in good order, see Client.aclose()."""

    async def abort(self, error: BaseException | None) -> None:
        """Leave without waiting for more than a second, because of that error, if any."""
