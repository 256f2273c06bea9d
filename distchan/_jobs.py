"""Items whose results somebody waits for, each for its own."""

import asyncio
import logging
from concurrent import futures
from typing import Any, TypeAlias

from distchan._outstanding import Item

__all__ = ["Future", "Job", "resolve"]

Future: TypeAlias = asyncio.Future[Any] | futures.Future[Any]

logger = logging.getLogger("distchan")


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


def resolve(future: Future, value: Any = None, error: BaseException | None = None) -> None:
    """Tell a future what has become of its job, unless it has been cancelled.

    Those of concurrent.futures call the user's callbacks here and now, and let through what is no
    Exception: one that calls sys.exit() is not to end the thread that everybody waits for.
    """
    try:
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
    except (asyncio.InvalidStateError, futures.InvalidStateError):
        pass
    except BaseException:
        logger.exception("a callback of %r raised what is no Exception", future)
