"""The clients of a server on the Go original's wire.

A client is a connection: it joins by connecting and leaves by closing, in whatever way. The server
says with an END frame that no item will follow; when every client has left after that, no result
will, either.
"""

import logging
from collections.abc import Callable
from typing import Any

from distchan._clientele import Clientele, ClientInfo, ServerStatistics
from distchan._dead_letters import DeadLetters
from distchan._go.connection import GoConnection
from distchan._go.hub import GoHub
from distchan._go.standstill import GoStandstill
from distchan._go.wiring import GoWiring
from distchan._hub import Hub
from distchan.errors import ConnectionLost, ProtocolError

__all__ = ["GoClientele"]


class GoClientele(Clientele):
    """See Clientele. It is the owner of the connections, too."""

    deals_again = True

    def __init__(
        self,
        wiring: GoWiring,
        *,
        work_done: Callable[[], None],
        drained: Callable[[], None],
    ) -> None:
        super().__init__(wiring.logger)
        self._wiring = wiring
        self._on_work_done = work_done
        self._on_drained = drained
        self._on_news: Callable[[], None] | None = None
        self._hub = GoHub(
            wiring,
            finished=self._check_work_done,
            drained=self._on_inbox_drained,
            bury=self._bury,
        )
        self.outlet = self._hub.dealer
        self.inlet = self._hub.inbox
        self.dead_letters = DeadLetters()
        self._standstill = GoStandstill(self._hub, lambda: self._work_done)
        #: All whose transport is there; the hub has those that take part.
        self._connections: set[GoConnection] = set()
        #: How far the end has come: asked for, all clients told, `incoming` closed, released.
        self._shutting_down = False
        self._work_done = False
        self._ended = False
        self._closed = False
        self._refused = 0

    # -- what it is -------------------------------------------------------------------------------

    @property
    def num_clients(self) -> int:
        return len(self._hub.connections)

    @property
    def workers(self) -> int:
        return self.num_clients

    @property
    def job_hub(self) -> Hub:
        raise ValueError('with wire="go" no result belongs to an item')

    @property
    def work_done(self) -> bool:
        return self._work_done

    def infos(self) -> tuple[ClientInfo, ...]:
        return tuple(
            ClientInfo(
                address=connection.peer_address,
                held=connection.session.held,
                settled=connection.session.written,
                blamed=0,
            )
            for connection in self._hub.connections
        )

    def statistics(self) -> ServerStatistics:
        hub, dealer = self._hub, self._hub.dealer
        return ServerStatistics(
            num_clients=self.num_clients,
            sessions=self.num_clients,
            dealt=0 if dealer is None else dealer.dealt,
            settled=hub.written,
            waiting=0 if dealer is None else dealer.waiting,
            held=hub.held,
            redelivered=0,
            dead_lettered=self.dead_letters.count,
            results=hub.arrived,
            lost=0,
            undecodable=hub.undecodable,
            refused=self._refused,
            dropped_items=hub.dropped_items + (0 if dealer is None else dealer.unencodable),
            dropped_results=hub.dropped_arrivals,
        )

    def watch(self, on_news: Callable[[], None] | None) -> None:
        self._on_news = on_news

    # -- beginning and end ------------------------------------------------------------------------

    def accept(self) -> GoConnection:
        return GoConnection(self._wiring.session(), self, heartbeat=self._wiring.options.heartbeat)

    def shut_down(self) -> None:
        self._shutting_down = True
        if self._hub.dealer is not None:
            self._hub.dealer.channel.close()
        self._check_work_done()

    def release(self) -> None:
        super().release()
        self._closed = self._work_done = self._ended = True
        self._hub.drop_rest(ConnectionLost("the server has closed"))
        self.dead_letters.channel.close()

    def say_goodbye(self) -> None:
        for connection in tuple(self._connections):
            connection.close()

    def abort(self) -> None:
        for connection in tuple(self._connections):
            connection.abort()

    def _check_work_done(self) -> None:
        """When everything has been dealt and written, tell all clients that no more will come."""
        dealer = self._hub.dealer
        if self._work_done or not (self._shutting_down if dealer is None else dealer.finished):
            return
        self._hub.write()
        if self._hub.held:
            return  # with a connection that is about to be lost, and will go to others
        self._work_done = True
        if dealer is not None and dealer.channel._last_words:
            self._logger.warning(
                "%s: the error with which the channel was closed cannot be told to clients: %s",
                self._address,
                dealer.channel._last_words,
            )
        for connection in self._hub.connections:
            connection.end()
        self._on_work_done()
        self._check_ended()

    def _check_ended(self) -> None:
        """When no client will send any more results, end the incoming channel."""
        if self._ended or not self._work_done or self._hub.connections:
            return
        self._ended = True
        inbox = self._hub.inbox
        if inbox is None or inbox.channel._finished:
            self._on_drained()
        else:
            inbox.channel.close()

    def _on_inbox_drained(self) -> None:
        if self._ended:
            self._on_drained()

    def _bury(self, item: bytes, reason: str) -> None:
        self._logger.error("an item is given up: %s", reason)
        self.dead_letters.put(bytes(item), reason, 1)

    # -- connections ------------------------------------------------------------------------------

    def on_connected(self, connection: GoConnection) -> None:
        self._connections.add(connection)
        self.nobody.clear()
        if self._closed:
            connection.abort()

    def on_opened(self, connection: GoConnection) -> None:
        if self._closed:
            connection.abort()
            return
        self._logger.info(
            "client %s joined; %d connected", connection.peer_address, self.num_clients + 1
        )
        if self._work_done:
            connection.end()
        self._hub.join(connection)
        self._tell_news()

    def on_items(self, connection: GoConnection, items: list[Any], size: int) -> None:
        if not self._closed:
            self._hub.arrive(items, size)

    def on_ended(self, connection: GoConnection) -> None:
        connection.close()  # the original never says so, but the meaning is clear

    def on_writable(self, connection: GoConnection) -> None:
        self._hub.update(connection)

    def on_lost(self, connection: GoConnection) -> None:
        reason = connection.reason
        if not connection.is_open:
            self._refused += 1
            self._logger.warning(
                "refused %s: %s", connection.peer_address, reason or "it closed the connection"
            )
        if not self._hub.leave(connection):
            return
        if isinstance(reason, ProtocolError):
            self._refused += 1
        self._logger.log(
            logging.INFO if reason is None else logging.WARNING,
            "client %s left%s; %d connected",
            connection.peer_address,
            "" if reason is None else f" ({reason})",
            self.num_clients,
        )
        if not self._closed:
            self._check_work_done()
            self._check_ended()
            self._tell_news()

    def on_released(self, connection: GoConnection) -> None:
        self._connections.remove(connection)
        if not self._connections:
            self.nobody.set()

    def _tell_news(self) -> None:
        if self._on_news is not None:
            self._on_news()

    def _explain(self) -> None:
        for line in self._standstill.explain(self.num_clients):
            self._logger.warning("%s %s", self._address, line)
