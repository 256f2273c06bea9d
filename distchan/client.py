"""The client: receives items from a server on one channel, sends results on another."""

import asyncio
import logging
import random
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

from distchan import _address
from distchan._address import TcpAddress, UnixAddress
from distchan._connecting import connect
from distchan._connection import Connection
from distchan._dealer import Dealer
from distchan._session import (
    Arrived,
    Bye,
    ClientSession,
    Closed,
    Credited,
    Event,
    Rejected,
    Undecodable,
)
from distchan._wire import SIGNATURE
from distchan._wiring import ANY_PREFETCH, ANY_PREFETCH_BYTES, Options, Wiring, check_seconds
from distchan.channel import Channel
from distchan.codecs import Codec
from distchan.errors import (
    AlreadyStarted,
    ConnectionLost,
    DistchanError,
    FrameTooLarge,
    RemoteError,
)
from distchan.transforms import Transform

__all__ = ["Client"]


#: After a connection that lasted less than so many seconds there is a pause before the next.
_SHORT_LIVED: Final = 1.0


class Client:
    """Connects to a server, receives items from it on ``incoming``, sends results on ``outgoing``.

    When the server's work is done, ``incoming`` ends; then close ``outgoing``. Either channel may
    be None: a client without ``incoming`` is dealt no items, one without ``outgoing`` sends no
    results.

    Use it as an async context manager, once. Entering connects, trying again until
    ``connect_timeout`` has passed, and returns after the handshake. Leaving the block normally
    closes ``outgoing``, gives items that nobody received back to the server and waits until the
    server has confirmed the results, see aclose(). Leaving it with an exception gives them back,
    too, but waits for no confirmation, only a second at the most for the connection to close.

    If the connection is cut, the client connects again, for ``connect_timeout`` at the most. When
    that fails, or the server refuses, both channels end with ConnectionLost.

    address: ``"host:port"`` or ``"unix:PATH"``. None if ``sock`` is given.
    connect_timeout: seconds; with 0 there is one attempt only.
    prefetch: how many items, received by none of its tasks yet, it holds at most, if that is to be
        less than what the server allows.
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
        prefetch: int | None = None,
        prefetch_bytes: int | None = None,
        handshake_timeout: float = 5.0,
        drain_timeout: float = 10.0,
        sock: socket.socket | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        if (address is None) == (sock is None):
            raise TypeError("a client needs either an address or sock=, and not both")
        check_seconds("connect_timeout", connect_timeout)
        self._connect_timeout = connect_timeout
        self._target: TcpAddress | UnixAddress | socket.socket
        if address is not None:
            self._target, self._address = _address.parse(address), address
        elif sock is not None:
            self._target, self._address = sock, "the other end of the given socket"
        self._options = Options(
            codec=codec,
            transforms=transforms,
            signature=signature,
            max_frame_size=max_frame_size,
            prefetch=ANY_PREFETCH if prefetch is None else prefetch,
            prefetch_bytes=ANY_PREFETCH_BYTES if prefetch_bytes is None else prefetch_bytes,
            handshake_timeout=handshake_timeout,
            drain_timeout=drain_timeout,
            logger=logger,
        )
        self._wiring = Wiring(
            outgoing,
            incoming,
            self._options,
            relays=False,  # an item is done when a task says so
            work_finished=self._on_results_finished,
            drained=self._on_drained,
        )
        self._logger = self._wiring.logger
        self._dealer = self._wiring.dealer
        self._inbox = self._wiring.inbox

        self._started = False
        self._connection: Connection | None = None
        self._connected_at = 0.0
        self._reconnecting: asyncio.Task[None] | None = None
        #: Connections whose transport is not closed yet.
        self._connections: set[Connection] = set()
        self._released = asyncio.Event()
        self._released.set()
        #: The server has said that no more items will come.
        self._no_more_items = incoming is None
        self._leaving = False
        self._closed = False
        #: Results that were on their way when a connection was cut.
        self._lost_results = 0
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
            if self._inbox is not None:
                self._inbox.discard()  # a connection that was opened has given them back
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
            if not self._is_handing_over():
                self._finish()
            async with asyncio.timeout(self._options.drain_timeout if timeout is None else timeout):
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
        """Ask for no more items, and say that no more results will come."""
        self._leaving = True
        await self._return_items()
        if self._inbox is not None:
            self._inbox.channel.close()
        if self._dealer is not None:
            self._dealer.channel.close()

    async def _return_items(self) -> None:
        """What no task has received goes back to the server, which gives it to others."""
        try:
            if self._inbox is not None:
                await self._inbox.channel._hand_over_reserved()
        finally:
            if self._inbox is not None:
                self._inbox.discard()
            if self._connection is not None:
                self._connection.leave()

    async def _abort(self) -> None:
        """Close; give back what nobody received, but wait for no confirmation."""
        self._closed = True
        try:
            if self._reconnecting is not None:
                self._reconnecting.cancel()
                await asyncio.wait((self._reconnecting,))
            await self._return_items()
        finally:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
            self._fail(ConnectionLost("the client has been closed"))
        await self._released.wait()  # a second at the most, if the server has stopped reading

    def _finish(self) -> None:
        """Everything has been said; whether all of it was heard is another question."""
        if self._lost_results:
            self._fail(
                ConnectionLost(
                    f"{self._lost_results} results were on their way to {self._address} when the "
                    "connection was cut; they may be lost"
                )
            )
        elif not self._done.done():
            self._done.set_result(None)

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
        connection = await connect(
            self._target,
            lambda: self._wiring.connection(ClientSession, self),
            name=self._address,
            connect_timeout=self._connect_timeout,
            handshake_timeout=self._options.handshake_timeout,
        )
        self._logger.info("connected to %s", self._address)
        if self._dealer is not None:
            self._adopt_limit(self._dealer, connection)
        self._connection = connection
        self._connected_at = asyncio.get_running_loop().time()
        if self._leaving or (self._inbox is not None and self._inbox.channel.closed):
            connection.leave()
        if self._dealer is not None:
            if self._dealer.finished:
                connection.finish_sending(self._dealer.last_words)
            else:
                self._dealer.join(connection)
        if connection.over:  # since the handshake
            self._on_over(connection, connection.reason)

    def _adopt_limit(self, dealer: Dealer, connection: Connection) -> None:
        """From here on the server's max_frame_size counts, also for what is encoded already."""
        limit = connection.session.peer.max_frame_size
        dealer.encode = self._wiring.encoder(limit)
        if (largest := dealer.largest_waiting()) > limit:
            error = FrameTooLarge(
                f"an item of {largest} bytes waits to be sent, but the max_frame_size of the "
                f"server at {self._address} is {limit}"
            )
            connection.refuse(error)
            raise error

    async def _reconnect(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            if loop.time() - self._connected_at < _SHORT_LIVED:
                await asyncio.sleep(random.uniform(0.5, 1) * _SHORT_LIVED / 4)
            await self._connect()
        except Exception as error:
            self._give_up(error)
        finally:
            if self._reconnecting is asyncio.current_task():  # no other one has been started
                self._reconnecting = None

    def _give_up(self, reason: Exception | None) -> None:
        why = reason or "the server closed the connection"
        error = ConnectionLost(f"the connection to {self._address} is lost: {why}")
        error.__cause__ = reason
        self._fail(error)

    # -- events -----------------------------------------------------------------------------------

    def _on_connected(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._released.clear()

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
                if self._inbox is not None and not self._inbox.channel.closed:
                    self._inbox.skip(connection, size)
            case Rejected(words):
                self._logger.warning("%s could not decode a result: %s", self._address, words)
            case Closed(error):
                self._no_more_items = True
                if self._inbox is not None:
                    self._inbox.channel._close(RemoteError(error) if error else None, None)
            case Bye():
                self._finish()
            # Opened() is for connect(), which waits for it.

    def _on_over(self, connection: Connection, reason: Exception | None) -> None:
        if connection is self._connection:
            self._connection = None
            if not connection.session.finished and not self._done.done() and not self._closed:
                self._on_cut(connection, reason)

    def _on_lost(self, connection: Connection) -> None:
        self._connections.remove(connection)
        if not self._connections:
            self._released.set()

    def _on_cut(self, connection: Connection, reason: Exception | None) -> None:
        session = connection.session
        unsent = session.unsent()
        lost = session.outstanding - len(unsent)
        self._lost_results += lost
        self._logger.warning(
            "the connection to %s was cut (%s); results on their way that may be lost: %d",
            self._address,
            reason or "the server closed it",
            lost,
        )
        if self._dealer is not None:
            self._dealer.leave(connection, unsent)
        nothing_to_send = self._dealer is None or self._dealer.finished
        if self._leaving and nothing_to_send:
            self._finish()
            return
        finished = self._no_more_items and nothing_to_send
        given = isinstance(self._target, socket.socket)
        if isinstance(reason, DistchanError) or finished or given:
            self._give_up(reason)
        else:
            self._reconnecting = asyncio.get_running_loop().create_task(self._reconnect())

    def _on_results_finished(self) -> None:
        if self._connection is not None and self._dealer is not None:
            self._connection.finish_sending(self._dealer.last_words)

    def _on_drained(self) -> None:
        if not self._no_more_items and self._connection is not None:
            self._connection.leave()  # the user wants no more
