"""Typed channels between tasks and between processes.

Items sent on a channel that is bound to a Server are dealt round robin to the Clients connected to
it; what they send comes back on the server's other channel. See the README for complete programs.
"""

from distchan._backend import BACKEND
from distchan._lease import Lease
from distchan._run import run
from distchan._select import select
from distchan.channel import Channel, ChannelStatistics
from distchan.client import Client
from distchan.codecs import Codec
from distchan.errors import (
    AddressInUse,
    AlreadyStarted,
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
    InvalidSignature,
    ProtocolError,
    RemoteError,
    TypeMismatch,
    WouldBlock,
)
from distchan.server import ClientInfo, DeadLetter, Server, ServerStatistics
from distchan.transforms import Transform

__all__ = [
    "BACKEND",
    "AddressInUse",
    "AlreadyStarted",
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
]

__version__ = "0.1.0"
