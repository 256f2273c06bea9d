"""The server: deals the items of one channel to its clients, gathers their results in another."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from distchan import _address
from distchan._address import UnixPath
from distchan._connection import Connection
from distchan._session import (
    Arrived,
    Closed,
    Credited,
    Event,
    Left,
    Opened,
    Rejected,
    ServerSession,
    Undecodable,
)
from distchan._wire import SIGNATURE
from distchan._wiring import Options, Wiring
from distchan.channel import Channel
from distchan.codecs import Codec
from distchan.errors import (
    AlreadyStarted,
    ChannelClosed,
    ConnectionLost,
    DecodeError,
    HandshakeError,
)
from distchan.transforms import Transform

__all__ = ["ClientInfo", "Server", "ServerStatistics"]


#: How often a server that waits for something to end says what for, in seconds.
_EXPLAIN_EVERY: Final = 10.0


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """One connected client, see :attr:`Server.clients`."""

    address: str
    """Its end of the connection."""
    held: int
    """Items dealt to it that none of its tasks has received yet."""
    settled: int
    """Items that its tasks have received."""


@dataclass(frozen=True, slots=True)
class ServerStatistics:
    """A snapshot of a server, see :meth:`Server.statistics`. Counts are since its start."""

    num_clients: int
    dealt: int
    """Items sent to clients; one that was returned and dealt again counts twice."""
    waiting: int
    """Items that wait for a client."""
    held: int
    """Items dealt and not yet received by a task of a client."""
    results: int
    """Results that have come from clients."""
    lost: int
    """Items dealt to clients whose connection broke, as far as those had not confirmed that a task
    received them: at most so many are lost. What their tasks had in hand is not known here."""
    undecodable: int
    """Items and results that did not decode where they arrived: logged and left out."""
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
    as all of them keep up; what they send back arrives on ``incoming``. Closing ``outgoing`` ends
    the work: once every item has been received by a client, the clients' incoming channels end,
    and when they all have closed their outgoing ones (or left), ``incoming`` ends. Either channel
    may be None. Clients may join and leave at any time.

    Use it as an async context manager, once. Leaving the block normally closes ``outgoing`` and
    waits for the orderly end, see aclose(); leaving it with an exception drops everything at once.

    address: ``"host:port"`` (port 0: any free one; an empty host: every address of the machine; a
        name binds its first address, IPv4 first) or ``"unix:PATH"``. None if ``sock`` is given.
    codec: ``"msgpack"``, ``"json"``, ``"raw"``, ``"pickle"``, or an object, see distchan.codecs.
    transforms: applied to encoded items in this order, undone in reverse, see distchan.transforms.
    signature: the 32-bit number that opens every frame. Equal on both ends.
    max_frame_size: bytes of an encoded item. Larger ones raise FrameTooLarge when they are sent,
        and end the connection that they come on.
    prefetch: how many items, received by none of its tasks yet, one client may hold. 1 for long
        jobs: it spreads them by speed, and bounds what a killed client takes with it.
    prefetch_bytes: the same in bytes, always at least one item; also for the results of one client
        that nobody has received here.
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
        max_frame_size: int = 64 * 1024 * 1024,
        prefetch: int = 256,
        prefetch_bytes: int = 8 * 1024 * 1024,
        handshake_timeout: float = 5.0,
        drain_timeout: float = 10.0,
        sock: socket.socket | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        if (address is None) == (sock is None):
            raise TypeError("a server needs either an address or sock=, and not both")
        self._endpoint = None if address is None else _address.parse(address)
        self._sock = sock
        self._options = Options(
            codec=codec,
            transforms=transforms,
            signature=signature,
            max_frame_size=max_frame_size,
            prefetch=prefetch,
            prefetch_bytes=prefetch_bytes,
            handshake_timeout=handshake_timeout,
            drain_timeout=drain_timeout,
            logger=logger,
        )
        self._wiring = Wiring(
            outgoing,
            incoming,
            self._options,
            relays=True,
            work_finished=self._check_work_done,
            drained=self._on_drained,
        )
        self._logger = self._wiring.logger
        self._dealer = self._wiring.dealer
        self._inbox = self._wiring.inbox

        self._started = False
        self._listener: asyncio.Server | None = None
        self._address = ""
        self._unix_path: UnixPath | None = None
        #: All connections, those before their handshake, and those after it in joining order.
        self._connections: set[Connection] = set()
        self._strangers: set[Connection] = set()
        self._clients: dict[Connection, None] = {}
        self._nobody = asyncio.Event()  # no connection is left
        self._nobody.set()
        self._ready_waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._explainer: asyncio.TimerHandle | None = None

        #: How far the end has come: asked for, all clients told, `incoming` closed and read, over.
        self._shutting_down = False
        self._work_done = False
        self._ended = False
        self._drained = asyncio.Event()
        self._closed = False

        self._dealt_before = 0  # by connections that are no more
        self._results = 0
        self._lost = 0
        self._undecodable = 0
        self._refused = 0
        self._dropped_items = 0
        self._dropped_results = 0

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
        return self._workers() > 0

    @property
    def clients(self) -> tuple[ClientInfo, ...]:
        """The connected clients, in joining order."""
        return tuple(
            ClientInfo(
                address=client.peer_address,
                held=client.session.outstanding,
                settled=client.session.confirmed,
            )
            for client in self._clients
        )

    def statistics(self) -> ServerStatistics:
        """A snapshot of the server's counters."""
        sessions = [client.session for client in self._clients]
        return ServerStatistics(
            num_clients=len(sessions),
            dealt=self._dealt_before + sum(session.sent for session in sessions),
            waiting=0 if self._dealer is None else self._dealer.waiting,
            held=sum(session.outstanding for session in sessions),
            results=self._results,
            lost=self._lost,
            undecodable=self._undecodable,
            refused=self._refused,
            dropped_items=self._dropped_items
            + (0 if self._dealer is None else self._dealer.unencodable),
            dropped_results=self._dropped_results,
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
        if self._closed or self._work_done:
            raise ChannelClosed("the server's work is done")
        if self._workers() < clients:
            future = asyncio.get_running_loop().create_future()
            self._ready_waiters.append((clients, future))
            try:
                await future
            finally:
                self._ready_waiters.remove((clients, future))

    # -- beginning and end ------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._started:
            raise AlreadyStarted("this server has been started before; make a new one")
        self._started = True
        self._wiring.bind()
        try:
            await self._listen()
        except BaseException:
            self._stop_listening()
            self._wiring.unbind()
            self._started = False
            raise
        self._explainer = asyncio.get_running_loop().call_later(_EXPLAIN_EVERY, self._explain)
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
        return self._wiring.connection(ServerSession, self)

    def shutdown(self) -> None:
        """Begin the orderly end: close ``outgoing``, or do without one what that would do."""
        self._shutting_down = True
        if self._dealer is not None:
            self._dealer.channel.close()
        self._check_work_done()

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
        if self._explainer is not None:
            self._explainer.cancel()
        self._fail_ready_waiters()
        self._drop_rest()

    def _drop_rest(self) -> None:
        """What was not dealt or not received is given up, and nobody waits for it any longer."""
        if self._dealer is not None:
            held = sum(client.session.outstanding for client in self._clients)
            self._dropped_items = self._dealer.discard() + self._dealer.channel._discard() + held
            self._dealer.channel._fail(ConnectionLost("the server has closed"))
        if self._inbox is not None:
            self._dropped_results += self._inbox.discard()
            self._inbox.channel._fail(ConnectionLost("the server closed before the work was done"))
        if self._dropped_items or self._dropped_results:
            self._logger.warning(
                "%s has closed; dropped items that were not done: %d, "
                "results that were not received: %d",
                self._address,
                self._dropped_items,
                self._dropped_results,
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
        self._turn_away_if_over(connection)

    def _on_event(self, connection: Connection, event: Event) -> None:
        match event:
            case Arrived(values, size):
                self._on_results(connection, values, size)
            case Credited():
                if self._dealer is not None:
                    self._dealer.credited(connection)
                self._check_work_done()
            case Undecodable(error, size):
                self._on_undecodable(connection, error, size)
            case Rejected(words):
                self._undecodable += 1
                self._logger.warning(
                    "client %s could not decode an item: %s", connection.peer_address, words
                )
            case Opened():
                self._on_joined(connection)
            case Closed(error):
                if error:
                    self._logger.warning(
                        "client %s closed its channel with an error: %s",
                        connection.peer_address,
                        error,
                    )
                self._check_ended()
            case Left():
                assert isinstance(connection.session, ServerSession)
                self._take_back(connection, connection.session.reclaim())

    def _on_over(self, connection: Connection, reason: Exception | None) -> None:
        if connection in self._strangers:
            self._strangers.remove(connection)
            self._refused += 1
            self._logger.warning(
                "refused %s: %s", connection.peer_address, reason or "it closed the connection"
            )
        else:
            del self._clients[connection]
            self._on_left(connection, reason)

    def _on_lost(self, connection: Connection) -> None:
        self._connections.remove(connection)
        if not self._connections:
            self._nobody.set()

    def _on_joined(self, client: Connection) -> None:
        if self._turn_away_if_over(client):
            return
        self._strangers.remove(client)
        self._clients[client] = None
        self._logger.info("client %s joined; %d connected", client.peer_address, self.num_clients)
        if self._work_done:
            client.finish_sending(self._last_words)
        elif self._dealer is not None and client.session.sending:
            self._dealer.join(client)
        workers = self._workers()
        for needed, future in self._ready_waiters:
            if workers >= needed and not future.done():
                future.set_result(None)

    def _turn_away_if_over(self, connection: Connection) -> bool:
        if self._ended:
            connection.refuse(HandshakeError("this server's work is finished"))
        elif self._closed:
            connection.abort()  # a cut, after which it may find the server restarted
        return self._ended or self._closed

    def _on_results(self, client: Connection, values: list[Any], size: int) -> None:
        assert self._inbox is not None
        self._results += len(values)
        if self._inbox.channel.closed:
            # The user closed it: nobody wants results, and no client is to wait for us.
            self._dropped_results += len(values)
            client.took(len(values), size)
        else:
            self._inbox.arrive(client, values, size)

    def _on_undecodable(self, client: Connection, error: DecodeError, size: int) -> None:
        assert self._inbox is not None
        self._undecodable += 1
        self._logger.warning("a result of client %s: %s", client.peer_address, error)
        if self._inbox.channel.closed:
            client.took(1, size)
        else:
            self._inbox.skip(client, size)

    def _on_left(self, client: Connection, reason: Exception | None) -> None:
        session = client.session
        assert isinstance(session, ServerSession)
        self._dealt_before += session.sent
        unsent = session.unsent()
        lost = 0 if session.finished or self._closed else session.outstanding - len(unsent)
        self._lost += lost
        if lost:
            self._logger.warning(
                "client %s was cut off (%s); items dealt to it that may be lost: %d",
                client.peer_address,
                reason or "it closed the connection",
                lost,
            )
        else:
            in_order = reason is None or session.left
            self._logger.log(
                logging.INFO if in_order else logging.WARNING,
                "client %s left%s; %d connected",
                client.peer_address,
                "" if in_order else f" ({reason})",
                self.num_clients,
            )
        self._take_back(client, unsent)
        self._check_work_done()
        self._check_ended()

    def _take_back(self, client: Connection, payloads: list[bytes]) -> None:
        if self._dealer is not None and not self._closed:
            self._dealer.leave(client, payloads)
        self._check_work_done()

    def _on_drained(self) -> None:
        if self._ended:
            self._drained.set()

    # -- the end of the work ----------------------------------------------------------------------

    def _check_work_done(self) -> None:
        """When everything has been dealt and received, tell all clients that no more will come."""
        if self._work_done or self._closed or not self._is_work_done():
            return
        self._work_done = True
        self._fail_ready_waiters()
        for client in tuple(self._clients):
            client.finish_sending(self._last_words)
        self._check_ended()

    def _is_work_done(self) -> bool:
        if self._dealer is None:
            return self._shutting_down
        return self._dealer.finished and not any(c.session.outstanding for c in self._clients)

    def _check_ended(self) -> None:
        """When no client will send any more results, end the incoming channel."""
        if self._ended or self._closed or not self._work_done:
            return
        if any(client.session.receiving for client in self._clients):
            return
        self._ended = True
        if self._inbox is None or self._inbox.channel._finished:
            self._drained.set()
        else:
            self._inbox.channel.close()

    def _fail_ready_waiters(self) -> None:
        for _, future in self._ready_waiters:
            if not future.done():
                future.set_exception(ChannelClosed("the server's work is done"))

    @property
    def _last_words(self) -> str:
        return "" if self._dealer is None else self._dealer.last_words

    def _workers(self) -> int:
        if self._dealer is None:
            return len(self._clients)
        return sum(client.session.sending for client in self._clients)

    def _explain(self) -> None:
        """Say what keeps a server from ending or, with no client to deal to, from going on."""
        self._explainer = asyncio.get_running_loop().call_later(_EXPLAIN_EVERY, self._explain)
        if self._drained.is_set():
            return
        figures = self.statistics()
        if self._dealer is None:
            ending, stuck = self._shutting_down, False
        else:
            channel = self._dealer.channel
            ending = channel.closed
            stuck = not self.ready and figures.waiting + channel.statistics().waiting_senders > 0
        if ending or stuck:
            self._logger.warning(
                "%s waits %s; clients: %d, items that wait for one: %d, items dealt and not yet "
                "received: %d, results not yet received here: %d",
                self._address,
                "for a client to deal to" if stuck else "for its end",
                figures.num_clients,
                figures.waiting,
                figures.held,
                0 if self._inbox is None else len(self._inbox),
            )
