"""Go's select, for threads."""

from typing import Any, TypeAlias

from distchan import _select
from distchan._calls import EMPTY
from distchan.sync._channel import Channel
from distchan.sync._runtime import runtime

__all__ = ["select"]

_Case: TypeAlias = "Channel | tuple[Channel, Any]"


def select(
    *cases: _Case, default: Any = EMPTY, timeout: float | None = None
) -> tuple[Channel | None, Any]:
    """Receive from one of several channels or send on one of them, see distchan.select.

    Raises TimeoutError if none can go on within so many seconds; nothing has happened then.
    """
    channels = {_channel_of(case)._channel: _channel_of(case) for case in cases}
    loop = runtime()
    selecting = loop.call(lambda: _select.select(*map(_inner, cases), default=default))
    chosen, item = loop.wait(lambda: selecting, timeout=timeout)
    return None if chosen is None else channels[chosen], item


def _channel_of(case: _Case) -> Channel:
    match case:
        case Channel() | (Channel(), _):
            return case if isinstance(case, Channel) else case[0]
        case _:
            raise TypeError(f"a case is a channel or a pair (channel, item), not {case!r}")


def _inner(case: _Case) -> Any:
    return case._channel if isinstance(case, Channel) else (case[0]._channel, case[1])
