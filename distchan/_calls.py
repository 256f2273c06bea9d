"""What a call of a channel's methods returns: something to be awaited, once.

Nothing happens before it is awaited. What can be done at once is done without suspending; for the
rest there is a coroutine of the channel's own, which is made only then.
"""

from collections.abc import Coroutine
from typing import Any

from distchan._coroutines import EMPTY, receiving, sending

__all__ = ["EMPTY", "Callee", "receiving", "sending"]


class Callee:
    """What a channel has for that."""

    __slots__ = ()

    def _start_send(self, item: Any, sender: Any, grip: int) -> Coroutine[Any, Any, None] | None:
        """Send one item if that is possible at once; else what is to be awaited for it."""
        raise NotImplementedError

    def _start_receive(self, caller: Any) -> Any:
        """The next item if it is there; else EMPTY."""
        raise NotImplementedError

    async def _finish_receive(self, caller: Any, iterating: bool) -> Any:
        """The next item, whatever has to be waited for."""
        raise NotImplementedError
