"""Items whose results somebody waits for, each for its own."""

from typing import Any

from distchan._outstanding import Item

__all__ = ["Job"]


class Job(Item):
    """An item that is told itself what becomes of it.

    Its results do not go to the server's incoming channel, nor it itself to the dead letters. All
    this happens in the event loop, once; it may still come after somebody has lost interest.
    """

    __slots__ = ()

    def __init__(self, payload: bytes) -> None:
        self.id = 0  # until it is submitted
        self.payload = payload
        self.attempt = 1
        self.alone = False

    def begin(self) -> bool:
        """It is about to be dealt, for the first time. False: nobody wants it any longer."""
        raise NotImplementedError

    def done(self, value: Any, size: int) -> None:
        """It is done, with that result, of about so many bytes; None if its worker sends none."""
        raise NotImplementedError

    def fail(self, error: Exception) -> None:
        """It is given up."""
        raise NotImplementedError
