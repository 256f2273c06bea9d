"""Go's select: the first of several channels that can go on."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any, TypeAlias

from distchan._calls import EMPTY
from distchan._ports import Sender
from distchan._rendezvous import new_waiter
from distchan.channel import Channel

__all__ = ["select"]

#: An item and, on a channel bound to the network, its encoded form.
_Entry: TypeAlias = tuple[Any, bytes | None]

_Case: TypeAlias = "Channel[Any] | tuple[Channel[Any], Any]"


def select(
    *cases: _Case, default: Any = EMPTY
) -> Coroutine[Any, Any, tuple[Channel[Any] | None, Any]]:
    """Receive from one of several channels or send on one of them, whichever can go first.

    Each case is a channel to receive from, or a pair ``(channel, item)`` to send. Exactly one of
    them happens; the return value is its channel and the item received or sent. If several could
    happen at once, one of them is chosen at random. If none can and ``default`` is given,
    ``(None, default)`` is returned at once; otherwise select waits, first come first served with
    all others. When it is cancelled, nothing has happened (but see Channel.receive_nowait, which
    may take the item that a select is waiting to send).

    A channel that is closed ends the select: EndOfChannel (or the error that it was closed with)
    if it was to be received from and is drained, ChannelClosed if it was to be sent on; the
    ``channel`` attribute of both says which one it was. Other errors as for send(). ValueError if
    there are no cases, or two with the same channel; TypeError for anything that is no case.

    For what a task holds (see Channel.receive), it is a call on each channel to be received from.
    """
    receives, sends = _sorted_cases(cases)
    # Noted at the call, see _ports.py. A send that can be staged will be.
    callers = {channel: channel._caller() for channel in receives}
    senders: dict[Channel[Any], tuple[Sender, int]] = {}
    for channel in sends:
        sender = channel._sender()
        if sender is not None:
            senders[channel] = sender, sender.grip
    return _select(callers, sends, senders, default)


async def _select(
    callers: dict[Channel[Any], Any],
    items: dict[Channel[Any], Any],
    senders: dict[Channel[Any], tuple[Sender, int]],
    default: Any,
) -> tuple[Channel[Any] | None, Any]:
    channels = [*callers, *items]
    for channel in channels:
        channel._adopt_loop()
    for channel in callers:
        if channel._inlet is not None and channel._inlet.owing():
            await channel._inlet.paid()
    tired = next(
        (channel for channel in channels if channel._streak >= channel._longest_streak), None
    )
    if tired is not None:
        await tired._breathe()
    channels[0]._streak += 1
    waits = default is EMPTY
    while True:
        # Anew in each round: a channel may have been closed or bound to the network meanwhile.
        sends = {channel: (item, channel._admit(item)) for channel, item in items.items()}
        random.shuffle(channels)
        for channel in channels:
            if channel in sends:
                entry = sends[channel]
                sender, grip = senders.get(channel, (None, 0))
                staged = sender is not None and sender.stage(entry[1], grip)
                if staged or channel._try_send(*entry):
                    channel._sent += 1
                    return channel, entry[0]
            elif channel._available() > 0:
                return channel, channel._take(callers[channel])
            elif channel._closed and channel._drained():
                raise channel._end_error()
            elif not waits and channel._receivable_now():
                return channel, channel._take_now(callers[channel])
            elif waits and (channel._senders or channel._granted):
                item = await channel._ask_senders(callers[channel])
                if item is not EMPTY:
                    return channel, item
                break  # the other cases may have changed in that turn
        else:
            if not waits:
                return None, default
            chosen = await _wait_any(callers, sends)
            if chosen is not None:
                return chosen


def _sorted_cases(cases: tuple[_Case, ...]) -> tuple[list[Channel[Any]], dict[Channel[Any], Any]]:
    """The channels to receive from, and the items to be sent on others."""
    receives: list[Channel[Any]] = []
    sends: dict[Channel[Any], Any] = {}
    for case in cases:
        match case:
            case Channel():
                receives.append(case)
            case tuple((Channel() as channel, item)):
                sends[channel] = item
            case _:
                raise TypeError(f"a case is a channel or a pair (channel, item), not {case!r}")
    if not cases:
        raise ValueError("select needs at least one case")
    if len({*receives, *sends}) < len(cases):
        raise ValueError("a channel may stand in one case of a select only")
    return receives, sends


async def _wait_any(
    callers: dict[Channel[Any], Any], sends: dict[Channel[Any], _Entry]
) -> tuple[Channel[Any], Any] | None:
    """Stand in all queues at once until one case has happened; None if it is to be tried anew."""
    waiter = new_waiter(asyncio.get_running_loop())
    for channel in callers:
        channel._receivers[waiter] = None
        channel._end_streak()
    for channel, entry in sends.items():
        channel._stand_in_line(waiter, entry)
        channel._end_streak()
    for channel in callers:
        channel._grant()
        if channel._inlet is not None:
            channel._inlet.awaited()
    try:
        await waiter.future
        chosen = waiter.channel
        if chosen in sends and (waiter.sent or chosen._commit_granted(waiter)):
            chosen._sent += 1
            return chosen, sends[chosen][0]
        if chosen is not None and chosen not in sends:
            item = chosen._take_reserved(waiter, callers[chosen])
            return None if item is EMPTY else (chosen, item)
        return None
    finally:
        for channel in callers:
            channel._forget_receiver(waiter)
        for channel in sends:
            channel._forget_sender(waiter)
