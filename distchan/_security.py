"""What is refused as insecure unless the user insists: the only copy of these rules.

An address is *local* if nobody but programs of this machine can reach it, *private* if the file
system says who may (a Unix socket). docs/security.md explains the rules to users.
"""

import ipaddress
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Literal

from distchan._address import TcpAddress, UnixAddress, parse, spell
from distchan.errors import InsecureConnection

__all__ = ["check", "is_local", "is_private", "require_safe_pickle"]

Endpoint = TcpAddress | UnixAddress | socket.socket
Role = Literal["server", "client"]


def check(
    endpoint: Endpoint,
    role: Role,
    *,
    insecure: bool,
    has_authkey: bool,
    context: ssl.SSLContext | None,
    unpickles: bool = False,
    wire: Literal["native", "go"] = "native",
) -> None:
    """Raise InsecureConnection, in words that say what to do.

    context: of TLS, if there is any. If it wants certificates, the peer proves who it is.
    unpickles: what comes from the peer is unpickled, which runs whatever the peer likes.
    """
    if not isinstance(insecure, bool):
        raise TypeError(f"insecure must be True or False, not {insecure!r}")
    if insecure:
        return
    where = _words(endpoint, role)
    remedy = "ssl=" if wire == "go" else "authkey= or ssl="
    if not (is_local(endpoint, role) or context is not None or has_authkey):
        reach = (
            "can be reached from other machines, and whoever reaches it could take the work and "
            "send results"
            if role == "server"
            else "is not on this machine, and whoever is on the way could read and change it all"
        )
        raise InsecureConnection(
            f"{where} {reach}: give both ends {remedy}, or insecure=True if that is intended"
        )
    proves_who = context is not None and context.verify_mode is ssl.CERT_REQUIRED
    if unpickles and not (is_private(endpoint) or has_authkey or proves_who):
        remedy = "mutual TLS" if wire == "go" else "authkey= or mutual TLS"
        raise InsecureConnection(
            f"{where} is open to others, and pickle would let them run any program here: use a "
            f"Unix socket, give both ends {remedy}, or insecure=True if that is intended"
        )


def require_safe_pickle(address: str, role: Role, options: Mapping[str, Any]) -> None:
    """The same for a Server or Client whose items are unpickled whatever its codec: its address and
    options, as users write them. Raises ValueError as parse() does, too."""
    check(
        parse(address),
        role,
        insecure=options.get("insecure", False),
        has_authkey=options.get("authkey") is not None,
        context=options.get("ssl"),
        unpickles=True,
    )


def is_private(endpoint: Endpoint) -> bool:
    match endpoint:
        case TcpAddress():
            return False
        case UnixAddress():
            return True
    return endpoint.family == getattr(socket, "AF_UNIX", None)


def is_local(endpoint: Endpoint, role: Role) -> bool:
    """Names are judged by themselves, for what they resolve to may change: none but "localhost" is
    local, which RFC 6761 (section 6.3) keeps for that. A socket is judged by its own address."""
    if is_private(endpoint):
        return True
    if isinstance(endpoint, TcpAddress):
        # An empty host is every address of a server's machine, and a client's own machine.
        host = endpoint.host or ("localhost" if role == "client" else "")
    else:
        assert not isinstance(endpoint, UnixAddress)
        name = _name_of(endpoint, role)
        host = name[0] if isinstance(name, tuple) and name else ""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _words(endpoint: Endpoint, role: Role) -> str:
    match endpoint:
        case TcpAddress(host, port):
            return spell((host, port))
        case UnixAddress(path):
            return spell(path)
    name = _name_of(endpoint, role)
    return "a socket that is not connected" if name is None else spell(name)


def _name_of(sock: socket.socket, role: Role) -> Any:
    """Where a server's socket is bound, or a client's connected; None: nowhere."""
    try:
        return sock.getsockname() if role == "server" else sock.getpeername()
    except OSError:
        return None
