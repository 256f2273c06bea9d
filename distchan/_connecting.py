"""How a client reaches its server: attempts with pauses, each of them ended by a handshake."""

import asyncio
import logging
import random
import socket
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from distchan._address import TcpAddress, UnixAddress
from distchan._tls import Above, Secure
from distchan.errors import ConnectError, DistchanError

__all__ = ["Target", "connect"]

#: What a client connects to; or a socket of the user's own that is connected already.
Target: TypeAlias = TcpAddress | UnixAddress | socket.socket

#: Pauses between attempts, in seconds: doubled each time, half of it at random.
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0


class _Connection(Above, Protocol):
    """What must be known of a connection to wait for it."""

    #: Done when the handshake is, that of TLS included.
    opened: "asyncio.Future[None]"

    @property
    def is_open(self) -> bool:
        """Whether the handshake is done, even if ``opened`` has not been told yet."""

    def abandon(self) -> None:
        """Nobody wants it any longer."""


C = TypeVar("C", bound=_Connection)


async def connect(
    target: Target,
    make_connection: Callable[[], C],
    *,
    name: str,
    connect_timeout: float,
    handshake_timeout: float,
    secure: Secure | None,
    logger: logging.Logger,
) -> C:
    """A connection whose handshake is done.

    Tries until ``connect_timeout`` has passed, once if that is 0 or the target is a socket.
    ``secure`` puts TLS below it. The first failure is logged. Raises ConnectError if no server
    answers; if one refuses, or is refused, that is final: HandshakeError, ...
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + connect_timeout
    pause = _FIRST_PAUSE
    has_told = False
    while True:
        left = deadline - loop.time() if connect_timeout else handshake_timeout
        try:
            timeout = min(left, handshake_timeout)
            return await _attempt(target, make_connection, timeout, secure)
        except DistchanError:
            raise
        except OSError as error:
            problem = error
        pause = min(pause * 2, _LONGEST_PAUSE)
        wait = pause * random.uniform(0.5, 1)
        if isinstance(target, socket.socket) or loop.time() + wait > deadline:
            raise ConnectError(
                f"no server at {name} within {connect_timeout:g} s: {problem}"
            ) from problem
        if not has_told:
            has_told = True
            logger.info("no server at %s yet, trying for %g s: %s", name, connect_timeout, problem)
        await asyncio.sleep(wait)


async def _attempt(
    target: Target, make_connection: Callable[[], C], timeout: float, secure: Secure | None
) -> C:
    connections: list[C] = []

    def protocol() -> Any:
        connections.append(make_connection())
        return connections[-1] if secure is None else secure(connections[-1])

    try:
        async with asyncio.timeout(timeout):
            await _open_transport(target, protocol)
            await connections[-1].opened
    except BaseException as error:
        if isinstance(error, TimeoutError) and connections and connections[-1].is_open:
            return connections[-1]  # at the last moment
        for connection in connections:
            connection.abandon()
        if isinstance(error, TimeoutError) and not isinstance(error, DistchanError):
            raise TimeoutError(
                "it accepted the connection but did not introduce itself in time"
                if connections
                else "it did not answer in time"
            ) from None
        raise
    return connections[-1]


async def _open_transport(target: Target, protocol: Callable[[], Any]) -> None:
    loop = asyncio.get_running_loop()
    match target:
        case TcpAddress(host, port):
            await loop.create_connection(protocol, host or "localhost", port)
        case UnixAddress(path):
            await loop.create_unix_connection(protocol, path)
        case sock:
            sock.setblocking(False)
            await loop.create_connection(protocol, sock=sock)
