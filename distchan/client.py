"""The client: receives items from a server on one channel, sends results on another."""

import asyncio
import contextlib
import logging
import random
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

from distchan import _address
from distchan._address import TcpAddress, UnixAddress
from distchan._connection import Connection, HandshakeTimeout
from distchan._session import (
    Arrived,
    Bye,
    ClientSession,
    Closed,
    Credited,
    Event,
    Opened,
    Rejected,
    Undecodable,
)
from distchan._wire import SIGNATURE
from distchan._wiring import Options, Wiring, check_seconds
from distchan.channel import Channel
from distchan.codecs import Codec
from distchan.errors import (
    AlreadyStarted,
    ConnectError,
    ConnectionLost,
    DistchanError,
    RemoteError,
)
from distchan.transforms import Transform

__all__ = ["Client"]


#: Pauses between attempts to connect, in seconds: doubled each time, half of it at random.
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0


class Client:
    """Connects to a server, receives items from it on ``incoming``, sends results on ``outgoing``.

    When the server's work is done, ``incoming`` ends; then close ``outgoing``. Either channel may
    be None: a client without ``incoming`` is dealt no items, one without ``outgoing`` sends no
    results.

    Use it as an async context manager, once. Entering connects, trying again until
    ``connect_timeout`` has passed, and returns after the handshake. Leaving the block normally
    closes ``outgoing``, gives items that nobody received back to the server and waits until the
    server has confirmed the results, see aclose(); leaving it with an exception waits for nothing.

    If the connection is cut, the client connects again, for ``connect_timeout`` at the most. When
    that fails, or the server refuses, both channels end with ConnectionLost.

    address: ``"host:port"`` or ``"unix:PATH"``. None if ``sock`` is given.
    connect_timeout: seconds; with 0 there is one attempt only.
    prefetch: how many items, received by nobody yet, it holds at most.
    prefetch_bytes: the same in bytes; always at least one item.
    drain_timeout: seconds that leaving the block waits for the server's confirmation.
    sock: a connected stream socket of your own, in place of an address; never connected again.
    codec, transforms, signature: must be those of the server.
    max_frame_size: bytes of an encoded item; must be at least the server's, whose value counts.
    handshake_timeout, logger: as for a Server.

    Entering raises ConnectError if no server answers in time, HandshakeError, TypeMismatch or
    InvalidSignature if it refuses, ChannelInUse if a channel is bound already, ChannelClosed if
    ``incoming`` is closed, AlreadyStarted the second time.
    """

    def __init__(
        self,
        address: str | None,
        outgoing: Channel[Any] | None,
        incoming: Channel[Any] | None,
        *,
        connect_timeout: float = 30.0,
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
            raise TypeError("a client needs either an address or sock=, and not both")
        check_seconds("connect_timeout", connect_timeout)
        self._connect_timeout = connect_timeout
        self._endpoint = None if address is None else _address.parse(address)
        self._address = "the given socket" if address is None else address
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
            work_finished=self._on_results_finished,
            drained=self._on_drained,
        )
        self._logger = self._wiring.logger
        self._dealer = self._wiring.dealer
        self._inbox = self._wiring.inbox

        self._started = False
        self._connection: Connection | None = None
        #: The connection whose handshake is under way, and what becomes of it.
        self._candidate: Connection | None = None
        self._opened: asyncio.Future[None]
        self._reconnecting: asyncio.Task[None] | None = None
        #: Connections whose transport is not closed yet.
        self._connections: set[Connection] = set()
        self._released = asyncio.Event()
        self._released.set()
        #: The server has said that no more items will come.
        self._no_more_items = incoming is None
        self._leaving = False
        self._closed = False
        self._done: asyncio.Future[None]

    # -- beginning and end ------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._started:
            raise AlreadyStarted("this client has been started before; make a new one")
        self._started = True
        self._done = asyncio.get_running_loop().create_future()
        self._wiring.bind()
        try:
            await self._connect()
        except BaseException:
            self._wiring.unbind()
            self._started = False
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.aclose()
        else:
            await self._abort()

    async def done(self) -> None:
        """Wait until all work is handed over and confirmed by the server.

        That is: the server has no more items (or was told that no more are wanted), ``outgoing`` is
        closed, and everything sent on it has arrived. Raises ConnectionLost if that cannot be,
        RuntimeError if the client was not entered.
        """
        if not self._started:
            raise RuntimeError("this client has not been started: use `async with Client(...)`")
        await asyncio.shield(self._done)

    async def aclose(self, timeout: float | None = None) -> None:
        """Close in good order: close ``outgoing``, give back what nobody received, wait for done().

        Raises ConnectionLost if the server has not confirmed everything within ``timeout`` seconds
        (default: ``drain_timeout``). Idempotent.
        """
        if self._closed or not self._started:
            return
        try:
            await self._leave()
            if self._done.done() or self._is_handing_over():
                seconds = self._options.drain_timeout if timeout is None else timeout
                async with asyncio.timeout(seconds):
                    await self.done()
        except TimeoutError:
            raise ConnectionLost(
                f"the server at {self._address} did not confirm the last results in time"
            ) from None
        finally:
            await self._abort()

    def _is_handing_over(self) -> bool:
        """Whether there is anybody to confirm, or anything to be confirmed."""
        connected = self._connection is not None
        return connected or (self._dealer is not None and self._dealer.waiting > 0)

    async def _leave(self) -> None:
        """Ask for no more items and say that no more results will come."""
        self._leaving = True
        if self._inbox is not None and not self._inbox.channel.closed:
            await self._inbox.channel._hand_over_reserved()
            self._inbox.discard()  # the server gives them to others
            self._inbox.channel.close()
        if self._dealer is not None:
            self._dealer.channel.close()

    async def _abort(self) -> None:
        """Close at once; only give back what can be given back without waiting."""
        self._closed = True
        if self._reconnecting is not None:
            self._reconnecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reconnecting
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.leave()
            connection.close()
        self._fail(ConnectionLost("the client has been closed"))
        await self._released.wait()  # a turn of the loop, unless the server has stopped reading

    def _fail(self, error: ConnectionLost) -> None:
        """End whatever has not ended yet."""
        for end in (self._dealer, self._inbox):
            if end is not None:
                end.channel._fail(error)
        if not self._done.done():
            self._done.set_exception(error)
            self._done.exception()  # it is no oversight if nobody awaits done()

    # -- connecting -------------------------------------------------------------------------------

    async def _connect(self) -> None:
        """Connect and shake hands; try again until connect_timeout has passed."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._connect_timeout
        pause = _FIRST_PAUSE
        while True:
            try:
                return await self._attempt()
            except DistchanError as error:
                if not isinstance(error, HandshakeTimeout):
                    raise  # a refusal is final
                problem: Exception = error
            except OSError as error:
                problem = error
            pause = min(pause * 2, _LONGEST_PAUSE)
            wait = pause * random.uniform(0.5, 1)
            if self._sock is not None or loop.time() + wait > deadline:
                raise ConnectError(
                    f"no server at {self._address} within {self._connect_timeout:g} s: {problem}"
                ) from problem
            await asyncio.sleep(wait)

    async def _attempt(self) -> None:
        self._candidate = None
        self._opened = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._options.handshake_timeout):
                await self._open_transport()
            await self._opened  # the connection itself watches over the time of the handshake
        except BaseException:
            if self._candidate is not None:
                self._candidate.abort()
            await self._released.wait()
            raise
        finally:
            self._candidate = None

    async def _open_transport(self) -> None:
        loop = asyncio.get_running_loop()

        def connection() -> Connection:
            return self._wiring.connection(ClientSession, self)

        match self._endpoint:
            case TcpAddress(host, port):
                await loop.create_connection(connection, host or "localhost", port)
            case UnixAddress(path):
                await loop.create_unix_connection(connection, path)
            case None:
                assert self._sock is not None
                self._sock.setblocking(False)
                await loop.create_connection(connection, sock=self._sock)

    async def _reconnect(self) -> None:
        try:
            await self._connect()
        except DistchanError as error:
            self._give_up(error)
        finally:
            self._reconnecting = None

    def _give_up(self, reason: Exception | None) -> None:
        why = reason or "the server closed the connection"
        error = ConnectionLost(f"the connection to {self._address} is lost: {why}")
        error.__cause__ = reason
        self._fail(error)

    # -- events -----------------------------------------------------------------------------------

    def _on_connected(self, connection: Connection) -> None:
        self._candidate = connection
        self._connections.add(connection)
        self._released.clear()
        assert isinstance(connection.session, ClientSession)
        connection.session.start()

    def _on_event(self, connection: Connection, event: Event) -> None:
        match event:
            case Arrived(values, size):
                if self._inbox is not None and not self._inbox.channel.closed:
                    self._inbox.arrive(connection, values, size)
                # What comes after the user closed the channel goes back to the server.
            case Credited():
                if self._dealer is not None:
                    self._dealer.credited(connection)
            case Undecodable(error, size):
                self._logger.warning("an item from %s: %s", self._address, error)
                if self._inbox is not None:
                    self._inbox.skip(connection, size)
            case Rejected(words):
                self._logger.warning("%s could not decode a result: %s", self._address, words)
            case Opened():
                self._on_opened(connection)
            case Closed(error):
                self._no_more_items = True
                if self._inbox is not None:
                    self._inbox.channel._close(RemoteError(error) if error else None, None)
            case Bye():
                if not self._done.done():
                    self._done.set_result(None)

    def _on_over(self, connection: Connection, reason: Exception | None) -> None:
        if connection is self._connection:
            self._connection = None
            if not connection.session.finished and not self._done.done():
                self._on_cut(connection, reason)
        elif connection is self._candidate and not self._opened.done():
            self._opened.set_exception(
                reason or ConnectionResetError("it closed the connection in the handshake")
            )

    def _on_lost(self, connection: Connection) -> None:
        self._connections.remove(connection)
        if not self._connections:
            self._released.set()

    def _on_opened(self, connection: Connection) -> None:
        self._connection = connection
        self._logger.info("connected to %s", self._address)
        if not self._opened.done():
            self._opened.set_result(None)
        if self._leaving or (self._inbox is not None and self._inbox.channel.closed):
            connection.leave()
        if self._dealer is not None:
            self._dealer.encode = self._wiring.encoder(connection.session.peer.max_frame_size)
            if self._dealer.finished:
                connection.finish_sending(self._dealer.last_words)
            else:
                self._dealer.join(connection)

    def _on_cut(self, connection: Connection, reason: Exception | None) -> None:
        session = connection.session
        unsent = session.unsent()
        self._logger.warning(
            "the connection to %s was cut (%s); results on their way that may be lost: %d",
            self._address,
            reason or "the server closed it",
            session.outstanding - len(unsent),
        )
        if self._dealer is not None:
            self._dealer.leave(connection, unsent)
        finished = self._no_more_items and (self._dealer is None or self._dealer.finished)
        if isinstance(reason, DistchanError) or finished or self._sock is not None:
            self._give_up(reason)
        else:
            self._reconnecting = asyncio.get_running_loop().create_task(self._reconnect())

    def _on_results_finished(self) -> None:
        if self._connection is not None and self._dealer is not None:
            self._connection.finish_sending(self._dealer.last_words)

    def _on_drained(self) -> None:
        if not self._no_more_items and self._connection is not None:
            self._connection.leave()  # the user wants no more
