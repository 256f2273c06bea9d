"""Addresses as users write them: ``"host:port"``, ``"[::1]:port"``, ``"unix:PATH"``."""

import asyncio
import contextlib
import errno
import os
import socket
import stat
import sys
from typing import Any, Final

import msgspec

from distchan.errors import AddressInUse

__all__ = [
    "BACKLOG",
    "LONGEST_UNIX_PATH",
    "TcpAddress",
    "UnixAddress",
    "UnixPath",
    "listen",
    "parse",
    "spell",
]

BACKLOG: Final = 512

#: In bytes: sun_path of unix(7), or of unix(4) elsewhere, without the NUL at its end.
LONGEST_UNIX_PATH: Final = 107 if sys.platform == "linux" else 103


class TcpAddress(msgspec.Struct, frozen=True):
    host: str
    port: int


class UnixAddress(msgspec.Struct, frozen=True):
    path: str


class UnixPath:
    """The file of a listening Unix socket, to be unlinked unless somebody has replaced it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._identity = self._identify()

    def unlink(self) -> None:
        with contextlib.suppress(OSError):
            if self._identify() == self._identity:
                os.unlink(self._path)

    def _identify(self) -> tuple[int, int]:
        status = os.stat(self._path)
        return status.st_dev, status.st_ino


def parse(address: str) -> TcpAddress | UnixAddress:
    """Raises ValueError, or TypeError for something that is no str."""
    if not isinstance(address, str):
        raise TypeError(f'an address is a str like "localhost:5678", not {address!r}')
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        if not path or "\0" in path:
            raise ValueError(f'an address like "unix:PATH" needs a path, got {address!r}')
        if len(os.fsencode(path)) > LONGEST_UNIX_PATH:
            raise ValueError(
                f"the path in an address has at most {LONGEST_UNIX_PATH} bytes, got {address!r}"
            )
        return UnixAddress(path)
    if "://" in address:
        raise ValueError(f'an address has no scheme: "localhost:5678", not {address!r}')
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f'an IPv6 address needs brackets, as in "[::1]:5678", got {address!r}')
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise ValueError(f"{host!r} is no host name: {error}") from error
    if not (colon and port.isascii() and port.isdigit()):
        raise ValueError(f'an address is "host:port" or "unix:PATH", got {address!r}')
    if int(port) > 65535:
        raise ValueError(f"the port of an address is 0 to 65535, got {address!r}")
    return TcpAddress(host, int(port))


def spell(name: Any) -> str:
    """What getsockname() and getpeername() return, as an address."""
    if isinstance(name, tuple):
        host, port = name[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    return f"unix:{name}" if name else "unix:"  # a client's end of a Unix socket has no name


async def listen(address: TcpAddress | UnixAddress) -> socket.socket:
    """A listening socket. Raises AddressInUse, or OSError if the address cannot be bound."""
    if isinstance(address, UnixAddress):
        return _listen_unix(address.path)
    loop = asyncio.get_running_loop()
    # An empty host is every address of the machine, as in Go.
    try:
        found = await loop.getaddrinfo(
            address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        words = f"cannot listen on {address.host!r}: {error.strerror}"
        raise OSError(error.errno, words) from error
    family, kind, protocol, _, bound = min(found, key=lambda info: info[0] != socket.AF_INET)
    sock = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return _bind(sock, bound, spell(bound))
    except BaseException:
        sock.close()
        raise


def _listen_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            return _bind(sock, path, f"unix:{path}")
        except AddressInUse:
            if not _is_stale(path):
                raise
        os.unlink(path)
        return _bind(sock, path, f"unix:{path}")
    except BaseException:
        sock.close()
        raise


def _bind(sock: socket.socket, name: Any, address: str) -> socket.socket:
    try:
        sock.bind(name)
        if isinstance(name, str):
            os.chmod(name, 0o600)  # before listen(), up to which every connection is refused
        sock.listen(BACKLOG)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from error
        raise AddressInUse(errno.EADDRINUSE, f"{address} is in use by another program") from error
    sock.setblocking(False)
    return sock


def _is_stale(path: str) -> bool:
    """Whether the path is a socket that a server which has died left behind."""
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False
