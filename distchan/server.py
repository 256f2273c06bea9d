"""The server: deals the items of one channel to its clients, gathers their results in another."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from functools import partial
from ssl import SSLContext
from types import TracebackType
from typing import Any, Literal, Self

from distchan import _address, _security
from distchan._address import UnixPath
from distchan._authentication import Key
from distchan._clientele import Clientele, ClientInfo, ServerStatistics
from distchan._dead_letters import DeadLetter
from distchan._go.clientele import GoClientele
from distchan._go.wiring import GoWiring, refuse_native_options
from distchan._jobs import resolve
from distchan._mapping import Mapping, map_items, new_payload, submit
from distchan._native_clientele import NativeClientele
from distchan._progress import show
from distchan._tls import TlsLayer, check_context
from distchan._wire import GO_SIGNATURE, SIGNATURE
from distchan._wiring import (
    CommonOptions,
    Ends,
    Options,
    Wiring,
    check_choice,
    check_count,
    check_seconds,
    default,
)
from distchan.channel import Channel
from distchan.codecs import Codec
from distchan.errors import AlreadyStarted, ChannelClosed
from distchan.transforms import Transform

__all__ = ["ClientInfo", "DeadLetter", "Server", "ServerStatistics"]


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
        name binds its first address, IPv4 first) or ``"unix:PATH"``, a file that
        none but its owner may connect to. None if ``sock`` is given.
    wire: ``"native"``, or ``"go"`` to serve programs that use ``github.com/dradtke/distchan``. That
        wire has no handshake, and items are delivered at most once; docs/go.md has the details.
        Options marked with * are the native wire's alone: ValueError with ``"go"``.
    codec: ``"msgpack"``, ``"json"``, ``"raw"``, ``"pickle"``, ``"gob"``, or an object, see
        distchan.codecs. The default is "msgpack", with ``wire="go"`` it is "gob".
    transforms: applied to encoded items in this order, undone in reverse, see distchan.transforms.
    signature: the 32-bit number that opens every frame. Equal on both ends. The default is the
        wire's own: 0x31636864, with ``wire="go"`` 0x7F38B034.
    delivery: ``"at-least-once"``* (default), or ``"at-most-once"``: an item is settled when a task
        receives it, and lost if the connection is cut before. What either end asks for holds for
        both. With ``wire="go"`` it is at most once, and settled when it has been written.
    prefetch*: how many unsettled items one client may hold; or ``"auto"`` (default): those that its
        tasks hold or wait for, and a surplus that depends on how long they take for one.
    prefetch_bytes*: the same in bytes (default: 8 MiB), always at least one item; also for the
        results of one client that nobody has received here.
    max_frame_size: bytes of an encoded item (default: 64 MiB). Larger ones raise FrameTooLarge when
        they are sent, and end the session of the client that sends them.
    heartbeat: seconds (default: 10) after which a host that acknowledges nothing on TCP is taken
        for dead. A process that computes without answering is not.
    hang_timeout*: seconds after which a client that says nothing, although it holds items and was
        asked, is given up. None (default): never.
    resume_timeout*: seconds (default: 5) for which a client that was cut off may come back as if
        nothing had happened. Then it is given up.
    max_attempts*: after so many failed attempts (default: 3) an item goes to ``dead_letters``. An
        attempt fails if the task that holds the item raises an exception or its client dies over
        it.
    handshake_timeout*: seconds (default: 5) that a new connection has for introducing itself. With
        ``ssl`` it is for the handshake of TLS, too, and ``wire="go"`` has it as well.
    drain_timeout: seconds (default: 10) that leaving the block waits for the orderly end.
    sock: a bound stream socket of your own, in place of an address.
    ssl: TLS from the first byte, with this SSLContext for servers, see distchan.tls. None
        (default): none.
    authkey*: at least 16 random bytes that server and clients share. Either end must prove to the
        other that it has them; who cannot is refused. It does not encrypt, see docs/security.md.
    insecure: True allows without further ado what is refused otherwise: an address that other
        machines can reach without ``authkey`` or ``ssl``, and ``codec="pickle"`` at any address but
        a Unix socket without ``authkey`` or certificates of both ends.
    logger: where joins, leaves and refusals are logged. The default is the logger "distchan".

    The constructor raises InsecureConnection for what ``insecure`` is needed for. Entering raises
    AddressInUse or another OSError if it cannot listen, ChannelInUse if a channel is bound already,
    ChannelClosed if ``incoming`` is closed, AlreadyStarted the second time.
    """

    def __init__(
        self,
        address: str | None,
        outgoing: Channel[Any] | None,
        incoming: Channel[Any] | None,
        *,
        wire: Literal["native", "go"] = "native",
        codec: str | Codec | None = None,
        transforms: Sequence[Transform] = (),
        signature: int | None = None,
        delivery: Literal["at-least-once", "at-most-once"] | None = None,
        prefetch: int | Literal["auto"] | None = None,
        prefetch_bytes: int | None = None,
        max_frame_size: int = 64 * 1024 * 1024,
        heartbeat: float = 10.0,
        hang_timeout: float | None = None,
        resume_timeout: float | None = None,
        max_attempts: int | None = None,
        handshake_timeout: float | None = None,
        drain_timeout: float = 10.0,
        sock: socket.socket | None = None,
        ssl: SSLContext | None = None,
        authkey: bytes | None = None,
        insecure: bool = False,
        logger: logging.Logger | None = None,
    ) -> None:
        if (address is None) == (sock is None):
            raise TypeError("a server needs either an address or sock=, and not both")
        check_choice("wire", wire, ("native", "go"))
        self._endpoint = None if address is None else _address.parse(address)
        self._sock = sock
        if ssl is not None:
            check_context(ssl, server_side=True)
        self._ssl = ssl
        self._handshake_timeout = default(handshake_timeout, 5.0)
        check_seconds("handshake_timeout", self._handshake_timeout)
        key = None if authkey is None else Key(authkey)
        endpoint = self._endpoint or sock
        assert endpoint is not None
        _security.check(
            endpoint,
            "server",
            insecure=insecure,
            has_authkey=key is not None,
            context=ssl,
            unpickles=codec == "pickle",
            wire=wire,
        )
        self._drain_timeout = drain_timeout
        self._drained = asyncio.Event()
        self._ends: Ends
        self._clientele: Clientele
        if wire == "go":
            refuse_native_options(
                delivery=delivery,
                prefetch=prefetch,
                prefetch_bytes=prefetch_bytes,
                hang_timeout=hang_timeout,
                resume_timeout=resume_timeout,
                max_attempts=max_attempts,
                # There is no handshake but that of TLS.
                handshake_timeout=None if ssl is not None else handshake_timeout,
                authkey=key,
            )
            go = GoWiring(
                outgoing,
                incoming,
                CommonOptions(
                    codec="gob" if codec is None else codec,
                    transforms=transforms,
                    signature=default(signature, GO_SIGNATURE),
                    max_frame_size=max_frame_size,
                    heartbeat=heartbeat,
                    drain_timeout=drain_timeout,
                    logger=logger,
                ),
            )
            self._ends = go
            self._clientele = GoClientele(
                go, work_done=self._fail_ready_waiters, drained=self._drained.set
            )
        else:
            if hang_timeout is not None:
                check_seconds("hang_timeout", hang_timeout, least=0.01)
            resume_timeout = default(resume_timeout, 5.0)
            check_seconds("resume_timeout", resume_timeout)
            max_attempts = default(max_attempts, 3)
            check_count("max_attempts", max_attempts, 1, 2**32 - 1)
            native = Wiring(
                outgoing,
                incoming,
                Options(
                    codec="msgpack" if codec is None else codec,
                    transforms=transforms,
                    signature=default(signature, SIGNATURE),
                    delivery=default(delivery, "at-least-once"),
                    prefetch=default(prefetch, "auto"),
                    prefetch_bytes=default(prefetch_bytes, 8 * 1024 * 1024),
                    max_frame_size=max_frame_size,
                    heartbeat=heartbeat,
                    handshake_timeout=self._handshake_timeout,
                    drain_timeout=drain_timeout,
                    authkey=key,
                    logger=logger,
                ),
            )
            self._ends = native
            self._clientele = NativeClientele(
                native,
                hang_timeout=hang_timeout,
                resume_timeout=resume_timeout,
                max_attempts=max_attempts,
                work_done=self._fail_ready_waiters,
                drained=self._drained.set,
            )
        self._logger = self._ends.logger

        self._started = False
        self._listener: asyncio.Server | None = None
        self._address = ""
        self._unix_path: UnixPath | None = None
        self._ready_waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._closed = False

    # -- what it is -------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Where it listens: ``"127.0.0.1:5678"``, ``"[::1]:5678"`` or ``"unix:PATH"``."""
        return self._address

    @property
    def num_clients(self) -> int:
        """How many clients are connected."""
        return self._clientele.num_clients

    @property
    def ready(self) -> bool:
        """Whether a client is connected that can be dealt work."""
        return self._clientele.workers > 0

    @property
    def clients(self) -> tuple[ClientInfo, ...]:
        """The connected clients, in joining order."""
        return self._clientele.infos()

    @property
    def dead_letters(self) -> Channel[DeadLetter[Any]]:
        """Items that were given up: the newest 1,000. It is closed when the server is.

        An item is given up after ``max_attempts`` failed attempts, and at once if it or its result
        does not decode. Nothing waits for anybody to read this.
        """
        return self._clientele.dead_letters.channel

    def statistics(self) -> ServerStatistics:
        """A snapshot of the server's counters."""
        return self._clientele.statistics()

    async def wait_ready(self, clients: int = 1) -> None:
        """Wait until so many clients are connected that can be dealt work.

        Without an outgoing channel, all clients count. Raises ChannelClosed if the server closes
        first, ValueError if ``clients`` is below 1, RuntimeError if the server was not entered.
        """
        if clients < 1:
            raise ValueError(f"clients must be at least 1, not {clients}")
        if not self._started:
            raise RuntimeError("this server has not been started: use `async with Server(...)`")
        if self._closed or self._clientele.work_done:
            raise ChannelClosed("the server's work is done")
        if self._clientele.workers < clients:
            future = asyncio.get_running_loop().create_future()
            self._ready_waiters.append((clients, future))
            self._clientele.watch(self._tell_ready_waiters)
            try:
                await future
            finally:
                self._ready_waiters.remove((clients, future))
                if not self._ready_waiters:
                    self._clientele.watch(None)

    # -- items that wait for their own results ----------------------------------------------------

    def map(
        self,
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        ordered: bool = True,
        return_exceptions: bool = False,
        progress: bool = False,
    ) -> AsyncIterator[Any]:
        """Have the clients work on items; the result of each of them::

            async for result in server.map(items):
                ...

        The result of an item is what its worker sends while it holds it, or None if that is
        nothing; it comes here and not on ``incoming``. (What a client with ``results="stream"``
        sends goes to ``incoming`` all the same.) An item that was settled together with others that
        had results, or with more than one result, raises RemoteError. Items are what ``outgoing``
        carries, and are dealt by turns with what is sent there; the channel must not be closed. An
        item that fails is dealt again like any other, and raises RemoteError, with the worker's
        traceback, in place of becoming a dead letter.

        items: taken one by one as the clients have credit for them, so that there may be any number
            of them. If 4,096 results, or ``prefetch_bytes`` of them, wait to be taken, no more
            items are dealt.
        ordered: results come in the order of the items (default), or as soon as they are there.
        return_exceptions: an item that fails gives its RemoteError in place of a result (default:
            False, it is raised and ends the iteration).
        progress: show a progress bar on stderr, with the rate, the number of workers, and how many
            items have failed. Needs the extra ``distchan[progress]``.

        Leaving the iteration early, by an exception or ``break``, drops what has not been dealt;
        what clients are at is finished and ignored. To have that happen at once after ``break``,
        use ``contextlib.aclosing``.

        Raises ValueError with ``wire="go"``, with ``delivery="at-most-once"`` or without an
        ``outgoing`` channel; ModuleNotFoundError for a progress bar without tqdm. The iteration
        raises what sending an item raises, RemoteError, and ConnectionLost if the server is closed.
        """
        hub = self._clientele.job_hub
        mapping = Mapping(hub, ordered=ordered, return_exceptions=return_exceptions)
        return map_items(mapping, items, show(progress, items, lambda: self._clientele.workers))

    async def submit(self, item: Any) -> "asyncio.Future[Any]":
        """Send one item that waits for its own result, see map(): that of the future.

        Waits until a client has credit for it. The future raises RemoteError if the item fails.
        Cancelling it drops the result. Raises as map() does.
        """
        result = asyncio.get_running_loop().create_future()
        hub = self._clientele.job_hub
        await submit(hub, new_payload(hub, item), partial(resolve, result))
        return result

    # -- beginning and end ------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._started:
            raise AlreadyStarted("this server has been started before; make a new one")
        self._started = True
        try:
            listener = await self._listen()
            # Only now, for the channels may be finished already, which cannot be undone.
            self._ends.bind(self._clientele.outlet, self._clientele.inlet)
            try:
                await listener.start_serving()
            except BaseException:
                self._ends.unbind()
                raise
        except BaseException:
            self._stop_listening()
            self._started = False
            raise
        self._clientele.start(self._address)
        self._logger.info("listening on %s", self._address)
        return self

    async def _listen(self) -> asyncio.Server:
        """Bind the address; nobody is accepted yet."""
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
        return self._listener

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
        if self._unix_path is not None:
            self._unix_path.unlink()

    def _accept(self) -> Any:
        if self._closed:  # asyncio may be in the middle of accepting one when the listener closes
            raise ConnectionAbortedError("the server has closed")
        connection = self._clientele.accept()
        if self._ssl is None:
            return connection
        return TlsLayer(
            connection, self._ssl, server_side=True, handshake_timeout=self._handshake_timeout
        )

    def shutdown(self) -> None:
        """Begin the orderly end: close ``outgoing``, or do without one what that would do."""
        self._clientele.shut_down()

    async def aclose(self, timeout: float | None = None) -> None:
        """Close in good order: shut down, wait until all is done and received, release everything.

        What is not done within ``timeout`` seconds (default: ``drain_timeout``) is dropped; the
        counts are logged and kept in statistics(). Idempotent.
        """
        if not self._started:
            return
        if self._closed:
            await self._clientele.nobody.wait()
            return
        try:
            self.shutdown()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._drain_timeout if timeout is None else timeout):
                    await self._drained.wait()
            self._release()
            self._clientele.say_goodbye()
            await self._clientele.nobody.wait()  # connections linger for a second at the most
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
        self._fail_ready_waiters()
        self._clientele.release()
        figures = self._clientele.statistics()
        if figures.dropped_items or figures.dropped_results:
            self._logger.warning(
                "%s has closed; dropped items that were not done: %d, "
                "results that were not received: %d",
                self._address,
                figures.dropped_items,
                figures.dropped_results,
            )

    def _abort(self) -> None:
        """Close at once."""
        self._release()
        self._clientele.abort()

    # -- waiting for clients ----------------------------------------------------------------------

    def _tell_ready_waiters(self) -> None:
        workers = self._clientele.workers
        for needed, future in self._ready_waiters:
            if workers >= needed and not future.done():
                future.set_result(None)

    def _fail_ready_waiters(self) -> None:
        for _, future in self._ready_waiters:
            if not future.done():
                future.set_exception(ChannelClosed("the server's work is done"))
