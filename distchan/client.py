"""The client: receives items from a server on one channel, sends results on another."""

import logging
import socket
from collections.abc import Sequence
from functools import partial
from ssl import SSLContext
from types import TracebackType
from typing import Any, Literal, Self

from distchan import _address, _security
from distchan._authentication import Key
from distchan._connecting import Target
from distchan._go.membership import GoMembership
from distchan._go.wiring import GoWiring, refuse_native_options
from distchan._membership import Membership
from distchan._native_membership import NativeMembership
from distchan._tls import Secure, TlsLayer, check_context
from distchan._wire import GO_SIGNATURE, SIGNATURE
from distchan._wiring import (
    ANY_PREFETCH_BYTES,
    CommonOptions,
    Options,
    Wiring,
    check_choice,
    check_seconds,
    default,
)
from distchan.channel import Channel
from distchan.codecs import Codec
from distchan.errors import AlreadyStarted
from distchan.transforms import Transform

__all__ = ["Client"]


class Client:
    """Connects to a server, receives items from it on ``incoming``, sends results on ``outgoing``.

    A task that receives an item holds it until it asks for the next one or ends; that settles the
    item, and what the task has sent meanwhile travels with the settlement. See Channel.receive,
    Channel.send and Channel.lease. When the server's work is done, ``incoming`` ends; then close
    ``outgoing``. Either channel may be None: a client without ``incoming`` is dealt no items, one
    without ``outgoing`` sends no results.

    Use it as an async context manager, once. Entering connects, trying again until
    ``connect_timeout`` has passed, and returns after the handshake. Leaving the block normally
    closes ``outgoing``, settles what tasks still hold, gives items that nobody received back to
    the server and waits until the server has confirmed the results, see aclose(). Leaving it with
    an exception gives back what is held, too, and waits for no confirmation, only a second at the
    most for the connection to close; what the leaving task itself holds has failed then.

    If the connection is cut, the client connects again, for ``connect_timeout`` at the most, and
    goes on where it was; what the server has not confirmed is repeated. If the server has given the
    session up meanwhile, items that no task has received are dropped, as they go to others, results
    for those in hand are discarded with a warning, and work goes on in a new session. When there is
    no server any more, or it refuses, both channels end with ConnectionLost.

    address: ``"host:port"`` (port 0: ValueError) or ``"unix:PATH"``. None if ``sock`` is given.
    wire: ``"native"``, or ``"go"`` to work for a program that uses
        ``github.com/dradtke/distchan``. That wire has no handshake; a connection that is cut ends
        both channels with ConnectionLost, and an item or result on its way then is lost. See
        docs/go.md. Options marked with * are the native wire's alone: ValueError with ``"go"``.
    connect_timeout: seconds (default: 30); with 0 there is one attempt only.
    results*: ``"settled"`` (default): what a task sends while it holds an item travels with the
        settlement, all or nothing, max_frame_size at the most. ``"stream"``: at once and on its
        own; it may come twice if the item is worked on again.
    delivery: as for a Server. What either end asks for holds for both.
    prefetch*: how many unsettled items it holds at most, if that is to be less than what the server
        allows.
    prefetch_bytes*: the same in bytes; always at least one item.
    heartbeat: seconds (default: 10) after which a server host that acknowledges nothing is taken
        for dead.
    drain_timeout: seconds (default: 10) that leaving the block waits for the server's confirmation.
    sock: a connected stream socket of your own, in place of an address; never connected again.
    ssl: TLS from the first byte, with this SSLContext for clients, see distchan.tls. None
        (default): none. A certificate that either end refuses is final, as are other refusals.
    server_hostname: what the server's certificate has to be for: a host name or an IP address. The
        default is the host of the address; a Unix socket and ``sock`` have none.
    authkey*, insecure: as for a Server.
    codec, transforms, signature: must be those of the server; the defaults are the same.
    max_frame_size: bytes of an encoded item (default: 64 MiB); on the native wire it must be at
        least the server's, whose value counts.
    handshake_timeout*, logger: as for a Server. The first is for each attempt to connect.

    The constructor raises InsecureConnection for what ``insecure`` is needed for. Entering raises
    ConnectError if no server answers in time, HandshakeError, TypeMismatch, AuthenticationError or
    InvalidSignature if it refuses or is refused, ChannelInUse if a channel is bound already,
    ChannelClosed if ``incoming`` is closed, AlreadyStarted the second time.
    """

    def __init__(
        self,
        address: str | None,
        outgoing: Channel[Any] | None,
        incoming: Channel[Any] | None,
        *,
        wire: Literal["native", "go"] = "native",
        connect_timeout: float = 30.0,
        codec: str | Codec | None = None,
        transforms: Sequence[Transform] = (),
        signature: int | None = None,
        results: Literal["settled", "stream"] | None = None,
        delivery: Literal["at-least-once", "at-most-once"] | None = None,
        prefetch: int | Literal["auto"] | None = None,
        prefetch_bytes: int | None = None,
        max_frame_size: int = 64 * 1024 * 1024,
        heartbeat: float = 10.0,
        handshake_timeout: float | None = None,
        drain_timeout: float = 10.0,
        sock: socket.socket | None = None,
        ssl: SSLContext | None = None,
        server_hostname: str | None = None,
        authkey: bytes | None = None,
        insecure: bool = False,
        logger: logging.Logger | None = None,
    ) -> None:
        if (address is None) == (sock is None):
            raise TypeError("a client needs either an address or sock=, and not both")
        check_choice("wire", wire, ("native", "go"))
        check_seconds("connect_timeout", connect_timeout)
        target: Target
        if address is not None:
            target, name = _address.parse(address), address
            if isinstance(target, _address.TcpAddress) and not target.port:
                raise ValueError(f"a client needs to know its server's port, got {address!r}")
        else:
            assert sock is not None
            target, name = sock, "the other end of the given socket"
        secure = _secure(ssl, server_hostname, target)
        key = None if authkey is None else Key(authkey)
        _security.check(
            target,
            "client",
            insecure=insecure,
            has_authkey=key is not None,
            context=ssl,
            unpickles=codec == "pickle",
            wire=wire,
        )
        self._drain_timeout = drain_timeout
        self._started = False
        self._membership: Membership
        if wire == "go":
            refuse_native_options(
                delivery=delivery,
                prefetch=prefetch,
                prefetch_bytes=prefetch_bytes,
                # There is no handshake but that of TLS.
                handshake_timeout=None if ssl is not None else handshake_timeout,
                results=results,
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
            handshake_timeout = default(handshake_timeout, 5.0)
            check_seconds("handshake_timeout", handshake_timeout)
            self._membership = GoMembership(
                target,
                name,
                go,
                connect_timeout=connect_timeout,
                handshake_timeout=handshake_timeout,
                secure=secure,
            )
        else:
            results = "settled" if results is None else results
            check_choice("results", results, ("settled", "stream"))
            native = Wiring(
                outgoing,
                incoming,
                Options(
                    codec="msgpack" if codec is None else codec,
                    transforms=transforms,
                    signature=default(signature, SIGNATURE),
                    delivery=default(delivery, "at-least-once"),
                    prefetch=default(prefetch, "auto"),
                    prefetch_bytes=default(prefetch_bytes, ANY_PREFETCH_BYTES),
                    max_frame_size=max_frame_size,
                    heartbeat=heartbeat,
                    handshake_timeout=default(handshake_timeout, 5.0),
                    authkey=key,
                    drain_timeout=drain_timeout,
                    logger=logger,
                ),
            )
            self._membership = NativeMembership(
                target,
                name,
                native,
                connect_timeout=connect_timeout,
                secure=secure,
                results=results,
            )

    async def __aenter__(self) -> Self:
        if self._started:
            raise AlreadyStarted("this client has been started before; make a new one")
        self._started = True
        try:
            await self._membership.join()
        except BaseException:
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
            await self._membership.abort(error)

    async def done(self) -> None:
        """Wait until all work is handed over and confirmed by the server.

        That is: the server has no more items (or was told that no more are wanted), all of them are
        settled, ``outgoing`` is closed, and everything sent on it has arrived. Raises
        ConnectionLost if that cannot be, RuntimeError if the client was not entered.

        With ``wire="go"`` nothing is confirmed: everything has been written, and the connection is
        closed.
        """
        if not self._started:
            raise RuntimeError("this client has not been started: use `async with Client(...)`")
        await self._membership.done()

    async def aclose(self, timeout: float | None = None) -> None:
        """Close in good order: settle what tasks hold, close ``outgoing``, give back what nobody
        received, wait for done().

        Raises ConnectionLost if the server has not confirmed everything within ``timeout`` seconds
        (default: ``drain_timeout``). Idempotent.

        With ``wire="go"`` what nobody received is lost; it waits until the server has closed the
        connection, too, and raises ConnectionLost if not everything could be written.
        """
        if self._started:
            await self._membership.leave(default(timeout, self._drain_timeout))


def _secure(context: SSLContext | None, hostname: str | None, target: Target) -> Secure | None:
    """What puts TLS below a connection. Raises TypeError or ValueError for wrong options."""
    if context is None:
        if hostname is not None:
            raise ValueError("server_hostname means nothing without ssl")
        return None
    check_context(context, server_side=False)
    if hostname is None and isinstance(target, _address.TcpAddress):
        hostname = target.host or "localhost"
    if hostname is None and context.check_hostname:
        raise ValueError(
            "with ssl, a client needs server_hostname: what the server's certificate is for"
        )
    return partial(TlsLayer, context=context, server_hostname=hostname)
