"""A client's membership of a server on the Go original's wire: one connection, and when it is over.

The server says with an END frame that no item will follow. A client says nothing: it closes its
connection when it has written its last result, and that is how the server knows.
"""

import asyncio
from typing import Any

from distchan._connecting import Target, connect
from distchan._go.connection import GoConnection
from distchan._go.hub import GoHub
from distchan._go.wiring import GoWiring
from distchan._tls import Secure
from distchan.errors import ConnectionLost

__all__ = ["GoMembership"]


class GoMembership:
    """See Membership, and Client for the options. It is the owner of the connection, too."""

    deals_again = False

    def __init__(
        self,
        target: Target,
        address: str,
        wiring: GoWiring,
        *,
        connect_timeout: float,
        handshake_timeout: float,
        secure: Secure | None,
    ) -> None:
        self._target = target
        self._address = address
        self._wiring = wiring
        self._connect_timeout = connect_timeout
        self._handshake_timeout = handshake_timeout  # for each attempt
        self._secure = secure
        self._logger = wiring.logger
        self._hub = GoHub(
            wiring,
            finished=self._close_if_finished,
            drained=lambda: None,
            bury=lambda item, reason: self._logger.error("a result is given up: %s", reason),
        )
        self._connection: GoConnection | None = None
        #: The server has said that no item will follow; or nobody here wants one any longer.
        self._no_more_items = False
        self._joined = False
        self._closed = False
        #: How many connections have a transport: one, apart from attempts that failed.
        self._transports = 0
        self._released = asyncio.Event()
        self._released.set()
        self._done: asyncio.Future[None]

    # -- beginning and end ------------------------------------------------------------------------

    async def join(self) -> None:
        self._done = asyncio.get_running_loop().create_future()
        self._wiring.bind(self._hub.dealer, self._hub.inbox)
        try:
            connection = await connect(
                self._target,
                self._make_connection,
                name=self._address,
                connect_timeout=self._connect_timeout,
                handshake_timeout=self._handshake_timeout,
                secure=self._secure,
                logger=self._logger,
            )
        except BaseException:
            self._wiring.unbind()
            raise
        self._logger.info("connected to %s", self._address)
        # Only now may anything be dealt: before, the caller could have cancelled.
        self._joined = True
        if connection.lost:
            self._conclude(connection.reason)
            return
        self._hub.join(connection)
        if connection.session.ended:
            self.on_ended(connection)
        self._close_if_finished()

    async def done(self) -> None:
        await asyncio.shield(self._done)

    async def leave(self, timeout: float) -> None:
        if self._closed:
            return
        try:
            await self._say_goodbye()
            async with asyncio.timeout(timeout):
                await self.done()
        except TimeoutError:
            if not self._finished:
                raise ConnectionLost(
                    f"the server at {self._address} did not take the last results in time"
                ) from None
        finally:
            await self.abort(None)

    async def abort(self, error: BaseException | None) -> None:
        self._closed = True
        if self._connection is not None:
            self._connection.close()
        if self._hub.inbox is not None:
            self._hub.inbox.discard()
        self._fail(ConnectionLost("the client has been closed"))
        await self._released.wait()

    async def _say_goodbye(self) -> None:
        """Take no more items, send what there still is, and then close the connection."""
        inbox, dealer = self._hub.inbox, self._hub.dealer
        if inbox is not None:
            await inbox.channel._hand_over_reserved()
            inbox.channel.close()
            if dropped := inbox.discard():
                self._logger.warning(
                    "items from %s that no task received: %d", self._address, dropped
                )
        self._no_more_items = True
        if dealer is not None:
            dealer.channel.close()
        self._close_if_finished()

    @property
    def _finished(self) -> bool:
        """Whether everything has been said, and the kernel has it."""
        dealer, connection = self._hub.dealer, self._connection
        return (
            self._no_more_items
            and (dealer is None or dealer.finished)
            and (connection is None or connection.flushed)
        )

    def _close_if_finished(self) -> None:
        """When the last result has been dealt and no more items will come, close the connection."""
        dealer, connection = self._hub.dealer, self._connection
        if self._no_more_items and connection is not None and (dealer is None or dealer.finished):
            connection.close(patient=True)

    def _conclude(self, reason: Exception | None) -> None:
        """There is no connection any more."""
        if self._finished:
            if not self._done.done():
                self._done.set_result(None)
            return
        error = ConnectionLost(
            f"the connection to {self._address} is lost: "
            f"{reason or 'the server closed the connection'}"
        )
        error.__cause__ = reason
        self._fail(error)

    def _fail(self, error: ConnectionLost) -> None:
        """End whatever has not ended yet."""
        dealer, inbox = self._hub.dealer, self._hub.inbox
        if dealer is not None:
            dealer.channel._fail(error)
        if inbox is not None and not (inbox.channel.closed and inbox.count):
            inbox.channel._fail(error)
        if not self._done.done():
            self._done.set_exception(error)
            self._done.exception()  # it is no oversight if nobody awaits done()

    # -- the connection ---------------------------------------------------------------------------

    def _make_connection(self) -> GoConnection:
        return GoConnection(self._wiring.session(), self, heartbeat=self._wiring.options.heartbeat)

    def on_connected(self, connection: GoConnection) -> None:
        self._transports += 1
        self._released.clear()
        self._connection = connection

    def on_opened(self, connection: GoConnection) -> None:
        """connect() waits for it."""

    def on_items(self, connection: GoConnection, items: list[Any], size: int) -> None:
        self._hub.arrive(items, size)

    def on_ended(self, connection: GoConnection) -> None:
        if not self._joined:
            return
        self._no_more_items = True
        if self._hub.inbox is not None:
            self._hub.inbox.channel._close(None, None)
        self._close_if_finished()

    def on_writable(self, connection: GoConnection) -> None:
        self._hub.update(connection)

    def on_lost(self, connection: GoConnection) -> None:
        if self._hub.leave(connection) and self._joined and not self._closed:
            if connection.reason is not None:
                self._logger.warning(
                    "the connection to %s was cut (%s)", self._address, connection.reason
                )
            self._conclude(connection.reason)

    def on_released(self, connection: GoConnection) -> None:
        self._transports -= 1
        if not self._transports:
            self._released.set()
