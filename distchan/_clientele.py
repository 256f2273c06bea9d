"""What a Server needs of its clients, whatever wire they speak.

A Server listens and knows when it begins and ends; who its clients are, what they are dealt and
what becomes of it is the business of a Clientele. There is one for each wire.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from distchan._dead_letters import DeadLetters
from distchan._hub import Hub
from distchan._ports import Inlet, Outlet
from distchan._tls import Above

__all__ = ["ClientInfo", "Clientele", "ServerStatistics"]

#: How often a server looks whether anything moves, in seconds.
_EXPLAIN_EVERY: Final = 10.0


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """One connected client, see :attr:`Server.clients`."""

    address: str
    """Its end of the connection."""
    held: int
    """Items dealt to it and not settled."""
    settled: int
    """Items that it has settled."""
    blamed: int
    """Attempts that failed there: its tasks raised an exception."""


@dataclass(frozen=True, slots=True)
class ServerStatistics:
    """A snapshot of a server, see :meth:`Server.statistics`. Counts are since its start.

    With ``wire="go"`` an item is settled when it has been written, and nobody can tell what a
    client had not read of it when it left: ``redelivered`` and ``lost`` stay 0.
    """

    num_clients: int
    sessions: int
    """The same, and clients that were cut off and may still come back."""
    dealt: int
    """Items sent to clients; one that was dealt again counts twice."""
    settled: int
    """Items that clients have settled."""
    waiting: int
    """Items that wait for a client."""
    held: int
    """Items dealt and not settled."""
    redelivered: int
    """Items taken back because an attempt failed or their client was given up."""
    dead_lettered: int
    """Items given up, see :attr:`Server.dead_letters`."""
    results: int
    """Results that have come from clients."""
    lost: int
    """Where delivery is at most once: items dealt to clients whose connection broke, as far as
    those had not confirmed that a task received them."""
    undecodable: int
    """Items and results that did not decode where they arrived."""
    refused: int
    """Connections turned away, for whatever reason."""
    dropped_items: int
    """Items given up when the server closed before they were done, and items of a channel that is
    another server's ``incoming`` which this one cannot encode."""
    dropped_results: int
    """Results given up because nobody received them."""


class Clientele(ABC):
    """The clients of one server.

    ``drained`` is called when all work is done and all results have been received; ``work_done``
    when nothing is left to be dealt.
    """

    #: What the server's two channels are bound to.
    outlet: Outlet | None
    inlet: Inlet | None
    dead_letters: DeadLetters

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._address = ""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        #: Done when no connection is left.
        self.nobody = asyncio.Event()
        self.nobody.set()

    # -- what it is -------------------------------------------------------------------------------

    @property
    @abstractmethod
    def num_clients(self) -> int:
        """How many are connected."""

    @property
    @abstractmethod
    def workers(self) -> int:
        """How many of them can be dealt work; all, if there is no outgoing channel."""

    @property
    @abstractmethod
    def work_done(self) -> bool:
        """Whether nothing is left to be dealt, and nothing will follow."""

    @abstractmethod
    def infos(self) -> tuple[ClientInfo, ...]:
        """The connected ones, in joining order."""

    @abstractmethod
    def statistics(self) -> ServerStatistics:
        """A snapshot of the counters."""

    @abstractmethod
    def watch(self, on_news: Callable[[], None] | None) -> None:
        """Whom to tell whenever ``workers`` may have changed."""

    @property
    @abstractmethod
    def job_hub(self) -> Hub:
        """Where jobs can be submitted. Raises ValueError if results cannot be matched to items."""

    # -- beginning and end ------------------------------------------------------------------------

    def start(self, address: str) -> None:
        """The server listens at that address."""
        self._address = address
        self._repeat("explain", _EXPLAIN_EVERY, self._explain)

    @abstractmethod
    def accept(self) -> Above:
        """The protocol of a new connection."""

    @abstractmethod
    def shut_down(self) -> None:
        """Begin the orderly end."""

    def release(self) -> None:
        """Give up what is not done, end both channels; listen to nobody any more."""
        for timer in self._timers.values():
            timer.cancel()

    @abstractmethod
    def say_goodbye(self) -> None:
        """Close all connections in good order, as far as that is still possible."""

    @abstractmethod
    def abort(self) -> None:
        """Close all connections at once."""

    # -- from time to time ------------------------------------------------------------------------

    def _repeat(self, name: str, seconds: float, act: Callable[[], None]) -> None:
        def run() -> None:
            self._repeat(name, seconds, act)
            act()

        self._timers[name] = asyncio.get_running_loop().call_later(seconds, run)

    @abstractmethod
    def _explain(self) -> None:
        """Say why nothing moves, if nothing does."""
