"""Why a server does not move on: one line for each standstill."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from distchan._hub import Hub

__all__ = ["NativeStandstill", "Standstill"]


class Standstill(ABC):
    """Asked from time to time, it says what a server waits for if nothing has moved meanwhile.

    Once for each standstill, except where nobody is connected who could end it: then each time.
    """

    def __init__(self) -> None:
        self._before: tuple[int, ...] = ()
        self._told = False

    def explain(self, clients: int) -> Iterator[str]:
        figures = self._figures(clients)
        moved, self._before = figures != self._before, figures
        if moved:
            self._told = False
        cause = None if moved and clients else self._cause(clients)
        if cause is None or (self._told and clients):
            return
        self._told = True
        yield f"waits {cause}; clients: {clients}, {self._queues()}"

    @abstractmethod
    def _figures(self, clients: int) -> tuple[int, ...]:
        """What changes whenever something moves."""

    @abstractmethod
    def _cause(self, clients: int) -> str | None:
        """What it waits for; None if that is nothing to complain about."""

    @abstractmethod
    def _queues(self) -> str:
        """How many items and results are where."""


class NativeStandstill(Standstill):
    """Of a server on the native wire."""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._hub = hub

    def _queues(self) -> str:
        hub, dealer = self._hub, self._hub.dealer
        return (
            f"items that wait for one: {0 if dealer is None else dealer.waiting}, "
            f"items dealt and not settled: {hub.held}, "
            f"results not received here: {0 if hub.inbox is None else hub.inbox.count}"
        )

    def _figures(self, clients: int) -> tuple[int, ...]:
        hub = self._hub
        return (
            clients,
            0 if hub.dealer is None else hub.dealer.dealt,
            hub.settled,
            hub.results,
            0 if hub.inbox is None else hub.inbox.taken,
        )

    def _cause(self, clients: int) -> str | None:
        hub = self._hub
        dealer, inbox = hub.dealer, hub.inbox
        if inbox is not None and inbox.count and not inbox.channel._demand:
            return "for somebody to receive the results"
        if hub.ended:
            return None
        if dealer is not None:
            if dealer.waiting or dealer.channel.statistics().waiting_senders:
                if not hub.workers:
                    return "for a client to deal to"
                return "for clients to settle items, as all of them hold what they may hold"
            if hub.held and not clients:
                return "for clients that were cut off to come back"
            if not dealer.channel.closed:
                return None  # nothing is to be done
            if hub.held:
                return "for clients to settle the last items"
        if hub.sessions and hub.work_done:
            return "for clients to close their outgoing channels"
        return None
