"""Typed channels between tasks and between processes.

Items sent on a channel that is bound to a Server are dealt round robin to the Clients connected to
it; what they send comes back on the server's other channel. See the README for complete programs.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from distchan._backend import BACKEND
from distchan.errors import (
    AddressInUse,
    AlreadyStarted,
    AuthenticationError,
    ChannelClosed,
    ChannelInUse,
    ConnectError,
    ConnectionLost,
    DecodeError,
    DistchanError,
    EncodeError,
    EndOfChannel,
    FrameTooLarge,
    HandshakeError,
    InsecureConnection,
    InvalidSignature,
    ProtocolError,
    RemoteError,
    TypeMismatch,
    WouldBlock,
)

if TYPE_CHECKING:
    from distchan import gob as gob
    from distchan import sync as sync
    from distchan._lease import Lease
    from distchan._run import run
    from distchan._select import select
    from distchan._workers import work
    from distchan.channel import Channel, ChannelStatistics
    from distchan.client import Client
    from distchan.codecs import Codec
    from distchan.server import ClientInfo, DeadLetter, Server, ServerStatistics
    from distchan.transforms import Transform

__all__ = [
    "BACKEND",
    "AddressInUse",
    "AlreadyStarted",
    "AuthenticationError",
    "Channel",
    "ChannelClosed",
    "ChannelInUse",
    "ChannelStatistics",
    "Client",
    "ClientInfo",
    "Codec",
    "ConnectError",
    "ConnectionLost",
    "DeadLetter",
    "DecodeError",
    "DistchanError",
    "EncodeError",
    "EndOfChannel",
    "FrameTooLarge",
    "HandshakeError",
    "InsecureConnection",
    "InvalidSignature",
    "Lease",
    "ProtocolError",
    "RemoteError",
    "Server",
    "ServerStatistics",
    "Transform",
    "TypeMismatch",
    "WouldBlock",
    "run",
    "select",
    "work",
]

__version__ = "0.1.0"

#: Where the names are that are imported when somebody first asks for them: a worker needs no
#: server, and a program that perhaps uses neither starts as fast as without them.
_MODULES = {
    "Channel": "channel",
    "ChannelStatistics": "channel",
    "Client": "client",
    "ClientInfo": "server",
    "Codec": "codecs",
    "DeadLetter": "server",
    "Lease": "_lease",
    "Server": "server",
    "ServerStatistics": "server",
    "Transform": "transforms",
    "run": "_run",
    "select": "_select",
    "work": "_workers",
}


if not TYPE_CHECKING:  # type checkers would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name in _MODULES:
            value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        elif name in _MODULES.values() or name in ("gob", "sync"):  # without an import of it
            value = import_module(f"{__name__}.{name}")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted(globals().keys() | _MODULES.keys())
