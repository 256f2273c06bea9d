"""A client's membership of a server on the native wire: one session, connected again if cut."""

import asyncio
import random
import socket
from typing import Final, Literal

from distchan._client_session import ClientSession, Fenced, Resumed, Undecodable
from distchan._connecting import Target, connect
from distchan._connection import Connection
from distchan._holdings import Holdings
from distchan._intake import Intake
from distchan._member import Member
from distchan._outbox import Outbox
from distchan._session import Bye, Closed, Event
from distchan._stand_in import ACTING
from distchan._tls import Secure
from distchan._wire import Outcome
from distchan._wiring import Wiring
from distchan.errors import ConnectionLost, DistchanError, FrameTooLarge, RemoteError

__all__ = ["NativeMembership"]

#: After a connection that lasted less than so many seconds there is a pause before the next.
_SHORT_LIVED: Final = 1.0

_CLOSED: Final = "the client was closed"


class NativeMembership:
    """See Membership, and Client for the options."""

    def __init__(
        self,
        target: Target,
        address: str,
        wiring: Wiring,
        *,
        connect_timeout: float,
        secure: Secure | None,
        results: Literal["settled", "stream"],
    ) -> None:
        self._target = target
        self._address = address
        self._wiring = wiring
        self._options = wiring.options
        self._connect_timeout = connect_timeout
        self._secure = secure
        self._logger = wiring.logger
        self._holdings = Holdings(results, self._logger, self._address)
        self._outbox: Outbox | None = None
        self._intake: Intake | None = None
        if wiring.outgoing is not None:
            self._outbox = Outbox(
                wiring.outgoing,
                wiring.encoder(self._options.max_frame_size),
                self._holdings,
                self._close_if_finished,
                self._logger,
            )
        if wiring.incoming is not None:
            self._intake = Intake(wiring.incoming, self._holdings, self._write, self._on_drained)
        self._member = Member(
            self._intake,
            self._outbox,
            self._holdings,
            credited=self._close_if_finished,
            on_other=self._on_event,
        )

        self._session: ClientSession
        self._connection: Connection | None = None
        self._connected_at = 0.0
        self._reconnecting: asyncio.Task[None] | None = None
        #: Connections whose transport is not closed yet.
        self._connections: set[Connection] = set()
        self._released = asyncio.Event()
        self._released.set()
        #: The server has said that no more items will come.
        self._no_more_items = wiring.incoming is None
        self._leaving = False
        self._closed = False
        #: Results that were on their way when a session was lost.
        self._lost_results = 0
        self._done: asyncio.Future[None]

    # -- beginning and end ------------------------------------------------------------------------

    async def join(self) -> None:
        self._done = asyncio.get_running_loop().create_future()
        self._session = self._wiring.session(ClientSession)
        self._wiring.bind(self._outbox, self._intake)
        try:
            await self._connect(self._connect_timeout)
        except BaseException:
            self._wiring.unbind()
            raise

    async def done(self) -> None:
        await asyncio.shield(self._done)

    async def leave(self, timeout: float) -> None:
        if self._closed:
            return
        try:
            self._holdings.settle_all(Outcome.DONE)
            await self._say_goodbye()
            if self._reconnecting is not None and not self._has_something_to_say():
                self._reconnecting.cancel()
                self._start_reconnecting()  # more hastily
            async with asyncio.timeout(timeout):
                await self.done()
        except TimeoutError:
            if self._has_something_to_say():
                raise ConnectionLost(
                    f"the server at {self._address} did not confirm the last results in time"
                ) from None
        finally:
            await self.abort(None)

    async def _say_goodbye(self) -> None:
        """Ask for no more items, and say that no more results will come."""
        self._leaving = True
        await self._return_items()
        # What tasks were handed only in these last turns cannot be done.
        self._holdings.settle_all(Outcome.RETURNED, _CLOSED)
        if self._intake is not None:
            self._intake.channel.close()
        if self._outbox is not None:
            self._outbox.channel.close()
        self._close_if_finished()

    async def _return_items(self) -> None:
        """What no task has received goes back to the server, which gives it to others."""
        try:
            if self._intake is not None:
                await self._intake.channel._hand_over_reserved()
        finally:
            if self._intake is not None:
                self._intake.discard()
            self._session.leave()

    async def abort(self, error: BaseException | None) -> None:
        """Close; give back what is held or was not received, but wait for no confirmation."""
        self._closed = True
        try:
            if self._reconnecting is not None:
                self._reconnecting.cancel()
                await asyncio.wait((self._reconnecting,))
            task = ACTING.get() or asyncio.current_task()
            holder = None if task is None else self._holdings.tasks.get(task)
            if holder is not None:
                self._holdings.conclude(holder, error)
            self._holdings.settle_all(Outcome.RETURNED, _CLOSED)
            await self._return_items()
            self._holdings.settle_all(Outcome.RETURNED, _CLOSED)
            self._session.close()
        finally:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
            self._holdings.close()
            self._fail(ConnectionLost("the client has been closed"))
        await self._released.wait()  # a second at the most, if the server has stopped reading

    def _has_something_to_say(self) -> bool:
        """Whether there is anything that the server has not confirmed."""
        waiting = self._outbox is not None and len(self._outbox.channel) > 0
        return waiting or self._holdings.owing or self._session.unconfirmed > 0

    def _close_if_finished(self) -> None:
        """When all results have been given to the session, say that no more will come."""
        outbox = self._outbox
        if outbox is None:
            self._session.close()
        elif outbox.finished and self._holdings.staged:
            self._holdings.on_settled = self._close_if_finished
        elif outbox.finished:
            self._holdings.on_settled = None
            self._session.close(outbox.last_words)

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
        for end in (self._outbox, self._intake):
            if end is not None:
                end.channel._fail(error)
        if not self._done.done():
            self._done.set_exception(error)
            self._done.exception()  # it is no oversight if nobody awaits done()

    # -- connecting -------------------------------------------------------------------------------

    async def _connect(self, connect_timeout: float) -> None:
        connection = await connect(
            self._target,
            self._make_connection,
            name=self._address,
            connect_timeout=connect_timeout,
            handshake_timeout=self._options.handshake_timeout,
            secure=self._secure,
            logger=self._logger,
        )
        self._logger.info("connected to %s", self._address)
        session = self._session
        self._connection = connection
        self._connected_at = asyncio.get_running_loop().time()
        self._holdings.session = session
        self._holdings.limit = session.peer.max_frame_size
        if self._outbox is not None:
            self._adopt_limit(self._outbox, connection)
            self._outbox.session = session
        if self._intake is not None:
            self._intake.attach(session)
            if self._intake.channel.closed:
                session.leave()
        self._member.credited()
        self._close_if_finished()
        if connection.over:  # since the handshake
            self._on_over(connection, connection.reason)

    def _make_connection(self) -> Connection:
        self._session.cut()  # from an attempt that failed
        return Connection(
            self._session,
            self,
            self._member,
            handshake_timeout=None,  # connect() sees to that
            heartbeat=self._options.heartbeat,
            logger=self._logger,
        )

    def _adopt_limit(self, outbox: Outbox, connection: Connection) -> None:
        """From here on the server's max_frame_size counts, also for what is encoded already."""
        limit = connection.session.peer.max_frame_size
        outbox.encoder = self._wiring.encoder(limit)
        if (largest := outbox.largest_waiting()) > limit:
            error = FrameTooLarge(
                f"an item of {largest} bytes waits to be sent, but the max_frame_size of the "
                f"server at {self._address} is {limit}"
            )
            connection.refuse(error)
            raise error

    def _start_reconnecting(self) -> None:
        # A client that leaves, and only wants to say so, does not wait for a server to come back.
        hasty = self._leaving and not self._has_something_to_say()
        self._reconnecting = asyncio.get_running_loop().create_task(
            self._reconnect(0 if hasty else self._connect_timeout)
        )

    async def _reconnect(self, connect_timeout: float) -> None:
        try:
            loop = asyncio.get_running_loop()
            if connect_timeout and loop.time() - self._connected_at < _SHORT_LIVED:
                await asyncio.sleep(random.uniform(0.5, 1) * _SHORT_LIVED / 4)
            await self._connect(connect_timeout)
        except Exception as error:
            self._give_up(error)
        finally:
            if self._reconnecting is asyncio.current_task():  # no other one has been started
                self._reconnecting = None

    def _give_up(self, reason: Exception | None) -> None:
        if self._leaving and not self._has_something_to_say():
            self._finish()
            return
        why = reason or "the server closed the connection"
        error = ConnectionLost(f"the connection to {self._address} is lost: {why}")
        error.__cause__ = reason
        self._holdings.close()
        self._fail(error)

    # -- events -----------------------------------------------------------------------------------

    def _on_connected(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._released.clear()

    def _on_opened(self, connection: Connection, event: Event) -> None:
        match event:
            case Resumed():
                self._logger.info("the session with %s goes on", self._address)
            case Fenced(lost):
                self._on_fenced(lost)
            # Opened() is for connect(), which waits for it.

    def _on_event(self, event: Event) -> None:
        match event:
            case Undecodable(error):
                self._logger.warning("an item from %s: %s", self._address, error)
            case Closed(error):
                self._no_more_items = True
                if self._intake is not None:
                    self._intake.channel._close(RemoteError(error) if error else None, None)
            case Bye():
                self._finish()

    def _on_fenced(self, lost: int) -> None:
        self._lost_results += lost
        dropped = 0 if self._intake is None else self._intake.discard()
        self._logger.warning(
            "a new session with %s: the old one is lost; items dropped that no task had received: "
            "%d, results that may be lost: %d",
            self._address,
            dropped,
            lost,
        )
        if self._session.keeps:
            self._holdings.fence()

    def _on_over(self, connection: Connection, reason: Exception | None) -> None:
        if connection is self._connection:
            self._connection = None
            session = self._session
            if not session.finished and not self._done.done() and not self._closed:
                self._on_cut(reason)

    def _on_lost(self, connection: Connection) -> None:
        self._connections.remove(connection)
        if not self._connections:
            self._released.set()

    def _on_cut(self, reason: Exception | None) -> None:
        self._session.cut()
        self._logger.warning(
            "the connection to %s was cut (%s)", self._address, reason or "the server closed it"
        )
        if isinstance(reason, DistchanError) or isinstance(self._target, socket.socket):
            self._give_up(reason)
        else:
            self._start_reconnecting()

    def _write(self) -> None:
        if self._connection is not None:
            self._connection.write()

    def _on_drained(self) -> None:
        if not self._no_more_items:
            self._session.leave()  # the user wants no more
