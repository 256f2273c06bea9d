"""Every error that distchan raises on its own account.

::

    DistchanError
    ├── ChannelClosed            you sent on a closed channel
    │   └── EndOfChannel         the senders have finished and nothing is left
    ├── WouldBlock               a *_nowait call would have had to wait
    ├── ChannelInUse             the channel is already bound to a Server or Client
    ├── AlreadyStarted           a Server or Client was entered twice
    ├── EncodeError              the codec or a transform cannot encode the item
    ├── AddressInUse             another program listens there
    ├── ConnectError             no server could be reached
    ├── ConnectionLost           the connection broke and could not be mended
    ├── HandshakeError           the two ends do not fit together
    │   ├── AuthenticationError  ... because one did not prove who it is
    │   └── TypeMismatch         ... because of the types of their items
    ├── ProtocolError            the peer broke the rules of the wire
    │   ├── InvalidSignature     ... with a frame that opens with another signature
    │   ├── FrameTooLarge        ... with a frame above max_frame_size (also raised by send)
    │   └── DecodeError          ... with a payload that does not decode
    ├── InsecureConnection       whoever can reach that address could do harm
    └── RemoteError              the other end closed its channel with an error, or failed

Where a builtin exception fits, the class derives from it too, so that
``except ConnectionError`` or ``except OSError`` work as one would expect.
"""

__all__ = [
    "AddressInUse",
    "AlreadyStarted",
    "AuthenticationError",
    "ChannelClosed",
    "ChannelInUse",
    "ConnectError",
    "ConnectionLost",
    "DecodeError",
    "DistchanError",
    "EncodeError",
    "EndOfChannel",
    "FrameTooLarge",
    "HandshakeError",
    "InsecureConnection",
    "InvalidSignature",
    "ProtocolError",
    "RemoteError",
    "TypeMismatch",
    "WouldBlock",
]


class DistchanError(Exception):
    """Base class of all errors of this library."""


class ChannelClosed(DistchanError):
    """An item was sent on a channel that is closed; it has not been sent."""

    def __init__(self, message: str, channel: object = None) -> None:
        super().__init__(message)
        #: The closed channel, so that the caller of ``select`` knows which one it was.
        self.channel = channel


class EndOfChannel(ChannelClosed):
    """The channel is closed and everything that was in it has been received."""


class WouldBlock(DistchanError):
    """``send_nowait`` or ``receive_nowait`` would have had to wait."""


class ChannelInUse(DistchanError, RuntimeError):
    """The channel already serves another Server or Client in that direction."""


class AlreadyStarted(DistchanError, RuntimeError):
    """A Server or Client was entered a second time; each object serves once."""


class EncodeError(DistchanError, ValueError):
    """The codec or a transform cannot turn an item into bytes; it has not been sent."""


class AddressInUse(DistchanError, OSError):
    """Somebody else is listening on the server's address."""

    def __str__(self) -> str:
        return str(self.strerror)  # without the "[Errno 98]"


class ConnectError(DistchanError, ConnectionError):
    """No server answered at the address within ``connect_timeout``."""


class ConnectionLost(DistchanError, ConnectionError):
    """The connection was cut and could not be mended, or ended before all was confirmed."""


class HandshakeError(DistchanError, ConnectionError):
    """The peer was refused, or refused us, for the reason in the message. It is final."""


class TypeMismatch(HandshakeError, TypeError):
    """The items that one end sends could never be decoded by the other."""


class AuthenticationError(HandshakeError):
    """The peer did not prove who it is."""


class ProtocolError(DistchanError, ConnectionError):
    """The peer sent something that the protocol does not allow."""


class InvalidSignature(ProtocolError):
    """A frame does not begin with the agreed signature: another program, or another option."""


class FrameTooLarge(ProtocolError, ValueError):
    """An item or a frame is larger than ``max_frame_size``."""


class DecodeError(ProtocolError, ValueError):
    """The payload of a frame is not what the codec and the transforms expect."""


class InsecureConnection(DistchanError):
    """Whoever can reach that address could harm this end or the other."""


class RemoteError(DistchanError):
    """Something went wrong at the other end: it closed its channel with ``close(error=...)``, or a
    function failed there. The message is the error's text, or its traceback."""
