"""From a client's channel to its session: results."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from distchan._client_session import ClientSession
from distchan._holdings import Holder, Holdings
from distchan._payloads import PayloadEncoder
from distchan._ports import Outlet
from distchan._rendezvous import Channel

__all__ = ["Outbox"]


class Outbox(Outlet):
    """The Outlet of a client's outgoing channel.

    ``encoder`` makes the payload of a result. ``finished`` is called when the channel is closed and
    drained.
    """

    def __init__(
        self,
        channel: Channel,
        encoder: PayloadEncoder,
        holdings: Holdings,
        finished: Callable[[], None],
        logger: logging.Logger,
    ) -> None:
        super().__init__(encoder, asks_for_sender=True, logger=logger)
        self.channel = channel
        self._holdings = holdings
        self._on_finished = finished
        self.session: ClientSession | None = None
        self.finished = False

    def live(self) -> bool:
        return not (self.session is None or self.session.exhausted or self._holdings.owing)

    def room(self) -> int:
        return self.session.credit if self.session is not None and self.live() else 0

    def sender(self, task: "asyncio.Task[Any] | None") -> Holder | None:
        return self._holdings.sender(task)

    def offer(self, payload: bytes | None) -> bool:
        session = self.session
        if session is None or session.exhausted or self._holdings.owing:
            return False
        assert payload is not None
        session.send_result(payload)
        return True

    def finish(self) -> None:
        self.finished = True
        self._on_finished()

    def credited(self) -> None:
        """There may be credit."""
        if self.live():
            self.channel._serve()

    @property
    def last_words(self) -> str:
        """The error with which the channel was closed, for the other end; empty if with none."""
        return self.channel._last_words

    def largest_waiting(self) -> int:
        """The size of the largest payload that waits to be sent, in bytes."""
        return max(map(len, self.channel._payloads()), default=0)
