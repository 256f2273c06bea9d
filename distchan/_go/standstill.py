"""Why a server on the Go original's wire does not move on."""

from collections.abc import Callable

from distchan._go.hub import GoHub
from distchan._standstill import Standstill

__all__ = ["GoStandstill"]


class GoStandstill(Standstill):
    """work_done: whether the clients have been told that no item will follow."""

    def __init__(self, hub: GoHub, work_done: Callable[[], bool]) -> None:
        super().__init__()
        self._hub = hub
        self._work_done = work_done

    def _queues(self) -> str:
        dealer, inbox = self._hub.dealer, self._hub.inbox
        return (
            f"items that wait for one: {0 if dealer is None else dealer.waiting}, "
            f"results not received here: {0 if inbox is None else inbox.count}"
        )

    def _figures(self, clients: int) -> tuple[int, ...]:
        dealer, inbox = self._hub.dealer, self._hub.inbox
        return (
            clients,
            0 if dealer is None else dealer.dealt,
            self._hub.arrived,
            0 if inbox is None else inbox.taken,
        )

    def _cause(self, clients: int) -> str | None:
        dealer, inbox = self._hub.dealer, self._hub.inbox
        if inbox is not None and inbox.count and not inbox.channel._demand:
            return "for somebody to receive the results"
        if dealer is not None and (dealer.waiting or dealer.channel.statistics().waiting_senders):
            if not clients:
                return "for a client to deal to"
            return "for clients to read, as the sockets of all of them are full"
        if clients and self._work_done():
            return "for clients to leave"
        return None
