"""The clients of a server on the native wire: connections, sessions that outlive them, deadlines.

What is done about their sessions is in _hub.py.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from distchan._attempts import Attempts
from distchan._clientele import Clientele, ClientInfo, ServerStatistics
from distchan._connection import Connection
from distchan._hub import Hub
from distchan._server_session import Resumed, ServerSession
from distchan._session import Event
from distchan._standstill import NativeStandstill
from distchan._wiring import Wiring
from distchan.errors import AuthenticationError, ConnectionLost, HandshakeError

__all__ = ["NativeClientele"]

#: How often suspects that wait are looked after, in seconds: they need a client that holds nothing
#: else.
_HELP_EVERY: Final = 1.0

#: The most connections in their handshake. Beyond it the oldest has to go, not the newest: an
#: honest client needs a round trip, and so gets through while somebody holds all places.
_MOST_STRANGERS: Final = 100


class NativeClientele(Clientele):
    """See Clientele, and Server for the options."""

    def __init__(
        self,
        wiring: Wiring,
        *,
        hang_timeout: float | None,
        resume_timeout: float,
        max_attempts: int,
        work_done: Callable[[], None],
        drained: Callable[[], None],
    ) -> None:
        super().__init__(wiring.logger)
        self._options = wiring.options
        self._hang_timeout = hang_timeout
        self._resume_timeout = resume_timeout
        self._hub = Hub(wiring, max_attempts=max_attempts, work_done=work_done, drained=drained)
        self.outlet = self._hub.dealer
        self.inlet = self._hub.inbox
        self.dead_letters = self._hub.dead_letters
        self._standstill = NativeStandstill(self._hub)
        #: All connections, those before their handshake, and those of sessions.
        self._connections: set[Connection] = set()
        self._strangers: dict[Connection, None] = {}  # a set in the order of their coming
        self._attempts = Attempts()
        self._clients: dict[ServerSession, Connection] = {}
        #: Sessions without a connection, and when they will be given up.
        self._cut_off: dict[ServerSession, asyncio.TimerHandle] = {}
        self._closed = False
        self._refused = 0

    # -- what it is -------------------------------------------------------------------------------

    @property
    def num_clients(self) -> int:
        return len(self._clients)

    @property
    def workers(self) -> int:
        return self._hub.workers

    @property
    def work_done(self) -> bool:
        return self._hub.work_done

    def infos(self) -> tuple[ClientInfo, ...]:
        return tuple(
            ClientInfo(
                address=self._clients[session].peer_address,
                held=len(session.outstanding),
                settled=session.settled,
                blamed=session.blamed,
            )
            for session in self._hub.sessions.values()
            if session in self._clients
        )

    def statistics(self) -> ServerStatistics:
        hub, dealer = self._hub, self._hub.dealer
        return ServerStatistics(
            num_clients=self.num_clients,
            sessions=len(hub.sessions),
            dealt=0 if dealer is None else dealer.dealt,
            settled=hub.settled,
            waiting=0 if dealer is None else dealer.waiting,
            held=hub.held,
            redelivered=hub.redelivered,
            dead_lettered=hub.dead_letters.count,
            results=hub.results,
            lost=hub.lost,
            undecodable=hub.undecodable,
            refused=self._refused,
            dropped_items=hub.dropped_items + (0 if dealer is None else dealer.unencodable),
            dropped_results=hub.dropped_results,
        )

    def watch(self, on_news: Callable[[], None] | None) -> None:
        self._hub.on_news = on_news

    @property
    def job_hub(self) -> Hub:
        if self._hub.dealer is None:
            raise ValueError("this server has no outgoing channel, so that it cannot deal items")
        if self._options.delivery != "at-least-once":
            raise ValueError("no result belongs to an item where delivery is at most once")
        return self._hub

    # -- beginning and end ------------------------------------------------------------------------

    def start(self, address: str) -> None:
        super().start(address)
        if self._hub.dealer is not None:
            self._repeat("suspects", _HELP_EVERY, self._hub.dealer.help_suspects)
        if self._hang_timeout is not None:
            self._repeat("hang", self._hang_timeout / 4, self._check_for_hangs)

    def accept(self) -> Connection:
        return Connection(
            self._hub.session(),
            self,
            self._hub,
            handshake_timeout=self._options.handshake_timeout,
            heartbeat=self._options.heartbeat,
            logger=self._logger,
        )

    def shut_down(self) -> None:
        self._hub.shut_down()

    def release(self) -> None:
        self._closed = True
        super().release()
        for timer in self._cut_off.values():
            timer.cancel()
        self._cut_off.clear()
        self._hub.drop_rest(ConnectionLost("the server has closed"))

    def say_goodbye(self) -> None:
        for connection in tuple(self._connections):
            if connection.session.finished:
                connection.close()
            else:
                connection.refuse(ConnectionLost("the server has closed"))

    def abort(self) -> None:
        """The clients see a cut, and may find the server restarted."""
        for connection in tuple(self._connections):
            connection.abort()

    # -- events -----------------------------------------------------------------------------------

    def _on_connected(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._strangers[connection] = None
        self.nobody.clear()
        delay = self._attempts.delay(connection.peer_address, asyncio.get_running_loop().time())
        if delay:
            connection.slow_down(delay)
        if len(self._strangers) > _MOST_STRANGERS:
            self._evict(next(iter(self._strangers)))
        if self._closed:
            connection.abort()  # a cut, after which it may find the server restarted

    def _evict(self, connection: Connection) -> None:
        """Without a word: its client tries again."""
        error = HandshakeError("too many others are about to introduce themselves")
        connection.session.fail(error)
        connection.abort()
        self._on_over(connection, error)

    def _on_opened(self, connection: Connection, event: Event) -> None:
        if isinstance(event, Resumed):
            self._on_resumed(connection, event.session)
        else:
            self._on_joined(connection)

    def _on_joined(self, connection: Connection) -> None:
        if self._closed:
            connection.abort()
            return
        session = connection.session
        assert isinstance(session, ServerSession)
        same = self._hub.sessions.get(session.id)
        if same is not None:  # begun anew, by a client that has never heard of it
            self._drop_connection(same)
        self._hub.join(session)
        del self._strangers[connection]
        self._clients[session] = connection
        self._logger.info(
            "client %s joined; %d connected", connection.peer_address, self.num_clients
        )
        self._tell_news()

    def _on_resumed(self, connection: Connection, session: ServerSession) -> None:
        self._strangers.pop(connection, None)
        self._drop_connection(session)
        self._clients[session] = connection
        connection.adopt(session)
        self._hub.resumed(session)
        self._logger.info(
            "client %s is back; %d connected", connection.peer_address, self.num_clients
        )
        self._tell_news()

    def _drop_connection(self, session: ServerSession) -> None:
        """Another connection takes the place of the one that a session has, or waits for."""
        earlier = self._clients.pop(session, None)
        if earlier is not None:
            earlier.displace()
        timer = self._cut_off.pop(session, None)
        if timer is not None:
            timer.cancel()

    def _tell_news(self) -> None:
        if self._hub.on_news is not None:
            self._hub.on_news()

    def _on_over(self, connection: Connection, reason: Exception | None) -> None:
        session = connection.session
        assert isinstance(session, ServerSession)
        if connection in self._strangers:
            del self._strangers[connection]
            self._refused += 1
            if isinstance(reason, AuthenticationError):
                now = asyncio.get_running_loop().time()
                self._attempts.failed(connection.peer_address, now)
            self._logger.warning(
                "refused %s: %s", connection.peer_address, reason or "it closed the connection"
            )
        elif self._clients.get(session) is connection:
            del self._clients[session]
            self._on_cut(connection, session, reason)

    def _on_cut(
        self, connection: Connection, session: ServerSession, reason: Exception | None
    ) -> None:
        words = str(reason or "it closed the connection")
        in_order = session.finished and reason is None
        self._logger.log(
            logging.INFO if in_order else logging.WARNING,
            "client %s left%s; %d connected",
            connection.peer_address,
            "" if in_order else f" ({words})",
            self.num_clients,
        )
        if self._closed:
            return
        if self._hub.cut(session, words, connection.heard_all):
            self._cut_off[session] = asyncio.get_running_loop().call_later(
                self._resume_timeout, self._give_up, session
            )

    def _give_up(self, session: ServerSession) -> None:
        del self._cut_off[session]
        how_long = f" for more than {self._resume_timeout:g} s" if self._resume_timeout else ""
        self._hub.give_up(session, f"cut off{how_long}")

    def _on_lost(self, connection: Connection) -> None:
        self._connections.remove(connection)
        if not self._connections:
            self.nobody.set()

    # -- from time to time ------------------------------------------------------------------------

    def _explain(self) -> None:
        for line in self._standstill.explain(self.num_clients):
            self._logger.warning("%s %s", self._address, line)

    def _check_for_hangs(self) -> None:
        """Ask clients that have been silent for a while for a sign of life; give up dead ones."""
        assert self._hang_timeout is not None
        now = asyncio.get_running_loop().time()
        for session, connection in tuple(self._clients.items()):
            if not session.outstanding:
                continue
            silence = now - connection.last_heard
            if silence >= self._hang_timeout:
                error = ConnectionLost(f"silent for {silence:.1f} s")
                connection.reason = error
                session.fail(error)
                connection.abort()
                self._on_over(connection, error)
            elif silence >= self._hang_timeout / 2:
                session.ping()
