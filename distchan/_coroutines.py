"""What a call of a channel's methods returns, as coroutines: see _calls.py."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distchan._calls import Callee

__all__ = ["EMPTY", "receiving", "sending"]


class Empty:
    """The type of EMPTY, which says "nothing there" where None may be an item."""


EMPTY = Empty()


async def sending(channel: "Callee", item: Any, sender: Any, grip: int) -> None:
    rest = channel._start_send(item, sender, grip)
    if rest is not None:
        await rest


async def receiving(channel: "Callee", caller: Any, iterating: bool) -> Any:
    item = channel._start_receive(caller)
    if item is EMPTY:
        return await channel._finish_receive(caller, iterating)
    return item
