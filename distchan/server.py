"""The server: deals the items of one channel to its clients, gathers their results in another."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Literal, Self

from distchan import _address
from distchan._address import UnixPath
from distchan._connection import Connection
from distchan._hub import DeadLetter, Hub
from distchan._server_session import Resumed, ServerSession
from distchan._session import Event
from distchan._standstill import Standstill
from distchan._wire import SIGNATURE
from distchan._wiring import Options, Wiring, check_count, check_seconds
from distchan.channel import Channel
from distchan.codecs import Codec
from distchan.errors import (
    AlreadyStarted,
    ChannelClosed,
    ConnectionLost,
)
from distchan.transforms import Transform

__all__ = ["ClientInfo", "DeadLetter", "Server", "ServerStatistics"]

#: How often a server looks whether anything moves, in seconds.
_EXPLAIN_EVERY: Final = 10.0
#: The same for suspects, which wait for a client that holds nothing else.
_HELP_EVERY: Final = 1.0


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
    """A snapshot of a server, see :meth:`Server.statistics`. Counts are since its start."""

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


class Server:
    """Listens at an address and deals items round robin to the clients that connect.

    What is sent on ``outgoing`` goes to the clients in turn, item *i* to client *i mod n* as long
    as all of them have credit; what they send back arrives on ``incoming``. An item belongs to the
    server until a client has settled it: if that one dies before, it goes to another. Closing
    ``outgoing`` ends the work: once every item is settled, the clients' incoming channels end, and
    when they all have closed their outgoing ones (or left), ``incoming`` ends. Either channel may
    be None. Clients may join and leave at any time.

    Use it as an async context manager, once. Leaving the block normally closes ``outgoing`` and
    waits for the orderly end, see aclose(); leaving it with an exception drops everything at once.

    address: ``"host:port"`` (port 0: any free one; an empty host: every address of the machine; a
        name binds its first address, IPv4 first) or ``"unix:PATH"``. None if ``sock`` is given.
    codec: ``"msgpack"``, ``"json"``, ``"raw"``, ``"pickle"``, or an object, see distchan.codecs.
    transforms: applied to encoded items in this order, undone in reverse, see distchan.transforms.
    signature: the 32-bit number that opens every frame. Equal on both ends.
    delivery: ``"at-least-once"``, or ``"at-most-once"``: an item is settled when a task receives
        it, and lost if the connection is cut before. What either end asks for holds for both.
    prefetch: how many unsettled items one client may hold; or ``"auto"``: those that its tasks hold
        or wait for, and a surplus that depends on how long they take for one.
    prefetch_bytes: the same in bytes, always at least one item; also for the results of one client
        that nobody has received here.
    max_frame_size: bytes of an encoded item. Larger ones raise FrameTooLarge when they are sent,
        and end the session of the client that sends them.
    heartbeat: seconds after which a host that acknowledges nothing on TCP is taken for dead. A
        process that computes without answering is not.
    hang_timeout: seconds after which a client that says nothing, although it holds items and was
        asked, is given up. None: never.
    resume_timeout: seconds for which a client that was cut off may come back as if nothing had
        happened. Then it is given up.
    max_attempts: after so many failed attempts an item goes to ``dead_letters``. An attempt fails
        if the task that holds the item raises an exception or its client dies over it.
    handshake_timeout: seconds that a new connection has for introducing itself.
    drain_timeout: seconds that leaving the block waits for the orderly end.
    sock: a bound stream socket of your own, in place of an address.
    logger: where joins, leaves and refusals are logged. The default is the logger "distchan".

    Entering raises AddressInUse or another OSError if it cannot listen, ChannelInUse if a channel
    is bound already, ChannelClosed if ``incoming`` is closed, AlreadyStarted the second time.
    """

    def __init__(
        self,
        address: str | None,
        outgoing: Channel[Any] | None,
        incoming: Channel[Any] | None,
        *,
        codec: str | Codec = "msgpack",
        transforms: Sequence[Transform] = (),
        signature: int = SIGNATURE,
        delivery: Literal["at-least-once", "at-most-once"] = "at-least-once",
        prefetch: int | Literal["auto"] = "auto",
        prefetch_bytes: int = 8 * 1024 * 1024,
        max_frame_size: int = 64 * 1024 * 1024,
        heartbeat: float = 10.0,
        hang_timeout: float | None = None,
        resume_timeout: float = 5.0,
        max_attempts: int = 3,
        handshake_timeout: float = 5.0,
        drain_timeout: float = 10.0,
        sock: socket.socket | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        if (address is None) == (sock is None):
            raise TypeError("a server needs either an address or sock=, and not both")
        self._endpoint = None if address is None else _address.parse(address)
        self._sock = sock
        if hang_timeout is not None:
            check_seconds("hang_timeout", hang_timeout, least=0.01)
        check_seconds("resume_timeout", resume_timeout)
        check_count("max_attempts", max_attempts, 1, 2**32 - 1)
        self._hang_timeout = hang_timeout
        self._resume_timeout = resume_timeout
        self._options = Options(
            codec=codec,
            transforms=transforms,
            signature=signature,
            delivery=delivery,
            prefetch=prefetch,
            prefetch_bytes=prefetch_bytes,
            max_frame_size=max_frame_size,
            heartbeat=heartbeat,
            handshake_timeout=handshake_timeout,
            drain_timeout=drain_timeout,
            logger=logger,
        )
        self._wiring = Wiring(outgoing, incoming, self._options)
        self._drained = asyncio.Event()
        self._hub = Hub(
            self._wiring,
            max_attempts=max_attempts,
            work_done=self._fail_ready_waiters,
            drained=self._drained.set,
        )
        self._logger = self._wiring.logger

        self._started = False
        self._listener: asyncio.Server | None = None
        self._address = ""
        self._unix_path: UnixPath | None = None
        #: All connections, those before their handshake, and those of sessions.
        self._connections: set[Connection] = set()
        self._strangers: set[Connection] = set()
        self._clients: dict[ServerSession, Connection] = {}
        #: Sessions without a connection, and when they will be given up.
        self._cut_off: dict[ServerSession, asyncio.TimerHandle] = {}
        self._nobody = asyncio.Event()  # no connection is left
        self._nobody.set()
        self._ready_waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._standstill = Standstill(self._hub)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._closed = False
        self._refused = 0

    # -- what it is -------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Where it listens: ``"127.0.0.1:5678"``, ``"[::1]:5678"`` or ``"unix:PATH"``."""
        return self._address

    @property
    def num_clients(self) -> int:
        """How many clients are connected."""
        return len(self._clients)

    @property
    def ready(self) -> bool:
        """Whether a client is connected that can be dealt work."""
        return self._hub.workers > 0

    @property
    def clients(self) -> tuple[ClientInfo, ...]:
        """The connected clients, in joining order."""
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

    @property
    def dead_letters(self) -> Channel[DeadLetter[Any]]:
        """Items that were given up: the newest 1,000. It is closed when the server is.

        An item is given up after ``max_attempts`` failed attempts, and at once if it or its result
        does not decode. Nothing waits for anybody to read this.
        """
        return self._hub.dead_letters

    def statistics(self) -> ServerStatistics:
        """A snapshot of the server's counters."""
        hub, dealer = self._hub, self._hub.dealer
        return ServerStatistics(
            num_clients=self.num_clients,
            sessions=len(hub.sessions),
            dealt=0 if dealer is None else dealer.dealt,
            settled=hub.settled,
            waiting=0 if dealer is None else dealer.waiting,
            held=hub.held,
            redelivered=hub.redelivered,
            dead_lettered=hub.dead_lettered,
            results=hub.results,
            lost=hub.lost,
            undecodable=hub.undecodable,
            refused=self._refused,
            dropped_items=hub.dropped_items + (0 if dealer is None else dealer.unencodable),
            dropped_results=hub.dropped_results,
        )

    async def wait_ready(self, clients: int = 1) -> None:
        """Wait until so many clients are connected that can be dealt work.

        Without an outgoing channel, all clients count. Raises ChannelClosed if the server closes
        first, ValueError if ``clients`` is below 1, RuntimeError if the server was not entered.
        """
        if clients < 1:
            raise ValueError(f"clients must be at least 1, not {clients}")
        if not self._started:
            raise RuntimeError("this server has not been started: use `async with Server(...)`")
        if self._closed or self._hub.work_done:
            raise ChannelClosed("the server's work is done")
        if self._hub.workers < clients:
            future = asyncio.get_running_loop().create_future()
            self._ready_waiters.append((clients, future))
            self._hub.on_news = self._tell_ready_waiters
            try:
                await future
            finally:
                self._ready_waiters.remove((clients, future))
                if not self._ready_waiters:
                    self._hub.on_news = None

    # -- beginning and end ------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._started:
            raise AlreadyStarted("this server has been started before; make a new one")
        self._started = True
        self._wiring.bind(self._hub.dealer, self._hub.inbox)
        try:
            await self._listen()
        except BaseException:
            self._stop_listening()
            self._wiring.unbind()
            self._started = False
            raise
        self._repeat("explain", _EXPLAIN_EVERY, self._explain)
        if self._hub.dealer is not None:
            self._repeat("suspects", _HELP_EVERY, self._hub.dealer.help_suspects)
        if self._hang_timeout is not None:
            self._repeat("hang", self._hang_timeout / 4, self._check_for_hangs)
        self._logger.info("listening on %s", self._address)
        return self

    async def _listen(self) -> None:
        sock = self._sock
        if sock is None:
            assert self._endpoint is not None
            sock = await _address.listen(self._endpoint)
        self._address = _address.spell(sock.getsockname())
        loop = asyncio.get_running_loop()
        is_unix = sock.family == getattr(socket, "AF_UNIX", None)
        if is_unix and self._sock is None:
            self._unix_path = UnixPath(self._address.removeprefix("unix:"))
        create = loop.create_unix_server if is_unix else loop.create_server
        self._listener = await create(
            self._accept, sock=sock, backlog=_address.BACKLOG, start_serving=False
        )
        await self._listener.start_serving()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
        if self._unix_path is not None:
            self._unix_path.unlink()

    def _accept(self) -> Connection:
        if self._closed:  # asyncio may be in the middle of accepting one when the listener closes
            raise ConnectionAbortedError("the server has closed")
        return Connection(
            self._hub.session(),
            self,
            self._hub,
            handshake_timeout=self._options.handshake_timeout,
            heartbeat=self._options.heartbeat,
            logger=self._logger,
        )

    def shutdown(self) -> None:
        """Begin the orderly end: close ``outgoing``, or do without one what that would do."""
        self._hub.shut_down()

    async def aclose(self, timeout: float | None = None) -> None:
        """Close in good order: shut down, wait until all is done and received, release everything.

        What is not done within ``timeout`` seconds (default: ``drain_timeout``) is dropped; the
        counts are logged and kept in statistics(). Idempotent.
        """
        if not self._started:
            return
        if self._closed:
            await self._nobody.wait()
            return
        try:
            self.shutdown()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(
                    self._options.drain_timeout if timeout is None else timeout
                ):
                    await self._drained.wait()
            self._release()
            for connection in tuple(self._connections):
                connection.refuse(ConnectionLost("the server has closed"))
            await self._nobody.wait()  # connections linger for a second at the most
        finally:
            self._abort()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.aclose()
        else:
            self._abort()

    def _release(self) -> None:
        """Stop listening and end both channels."""
        if self._closed:
            return
        self._closed = True
        self._drained.set()  # whoever else waits for the orderly end need not any longer
        self._stop_listening()
        for timer in (*self._timers.values(), *self._cut_off.values()):
            timer.cancel()
        self._cut_off.clear()
        self._fail_ready_waiters()
        hub = self._hub
        hub.drop_rest(ConnectionLost("the server has closed"))
        if hub.dropped_items or hub.dropped_results:
            self._logger.warning(
                "%s has closed; dropped items that were not done: %d, "
                "results that were not received: %d",
                self._address,
                hub.dropped_items,
                hub.dropped_results,
            )

    def _abort(self) -> None:
        """Close at once. The clients see a cut, and may find the server restarted."""
        self._release()
        for connection in tuple(self._connections):
            connection.abort()

    # -- events -----------------------------------------------------------------------------------

    def _on_connected(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._strangers.add(connection)
        self._nobody.clear()
        if self._closed:
            connection.abort()  # a cut, after which it may find the server restarted

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
        self._strangers.remove(connection)
        self._clients[session] = connection
        self._logger.info(
            "client %s joined; %d connected", connection.peer_address, self.num_clients
        )
        self._tell_ready_waiters()

    def _on_resumed(self, connection: Connection, session: ServerSession) -> None:
        self._strangers.discard(connection)
        self._drop_connection(session)
        self._clients[session] = connection
        connection.adopt(session)
        self._hub.resumed(session)
        self._logger.info(
            "client %s is back; %d connected", connection.peer_address, self.num_clients
        )
        self._tell_ready_waiters()

    def _drop_connection(self, session: ServerSession) -> None:
        """Another connection takes the place of the one that a session has, or waits for."""
        earlier = self._clients.pop(session, None)
        if earlier is not None:
            earlier.displace()
        timer = self._cut_off.pop(session, None)
        if timer is not None:
            timer.cancel()

    def _on_over(self, connection: Connection, reason: Exception | None) -> None:
        session = connection.session
        assert isinstance(session, ServerSession)
        if connection in self._strangers:
            self._strangers.remove(connection)
            self._refused += 1
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
        self._hub.give_up(session, f"cut off for more than {self._resume_timeout:g} s")

    def _on_lost(self, connection: Connection) -> None:
        self._connections.remove(connection)
        if not self._connections:
            self._nobody.set()

    def _tell_ready_waiters(self) -> None:
        workers = self._hub.workers
        for needed, future in self._ready_waiters:
            if workers >= needed and not future.done():
                future.set_result(None)

    def _fail_ready_waiters(self) -> None:
        for _, future in self._ready_waiters:
            if not future.done():
                future.set_exception(ChannelClosed("the server's work is done"))

    # -- from time to time ------------------------------------------------------------------------

    def _repeat(self, name: str, seconds: float, act: Callable[[], None]) -> None:
        def run() -> None:
            self._repeat(name, seconds, act)
            act()

        self._timers[name] = asyncio.get_running_loop().call_later(seconds, run)

    def _explain(self) -> None:
        """Say why nothing moves, if nothing does."""
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
