"""What the two ends tell each other first, and whether they fit together.

The client speaks first; the server judges, and answers with its own HELLO or with a refusal in
words. Whatever one end alone can judge (its transforms cannot undo the other's probe, its limits)
it judges for itself.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from distchan._payloads import check_probe
from distchan._shapes import Shape, compatible
from distchan._wire import VERSION
from distchan.errors import HandshakeError, ProtocolError, TypeMismatch
from distchan.transforms import Transform

__all__ = ["AUTO_PREFETCH", "MOST_PREFETCH", "Hello", "check_as_client", "check_as_server"]

#: Of a session's id, in bytes. Whoever knows it can take the session over.
_SHORTEST_ID: Final = 16
_LONGEST_ID: Final = 64


#: In place of a number: the client adapts its prefetch to the work.
AUTO_PREFETCH: Final = 0
MOST_PREFETCH: Final = 2**32 - 1


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a HELLO frame: a msgpack map with these keys. Unknown keys are ignored."""

    version: int = VERSION
    codec: str
    """The codec's name."""
    sends: Shape | None
    """The type of the outgoing channel's items; None: there is no such channel."""
    receives: Shape | None
    """The same of the incoming channel."""
    probe: bytes
    """The fixed bytes of _payloads.PROBE, put through the sender's transforms."""
    max_frame_size: int
    """The largest payload of an item, in bytes. The client adopts the server's value."""
    prefetch: int
    """The most unsettled items that one client may hold: what the server allows and what the client
    wants; 0: as many as it finds useful. The smaller number counts."""
    prefetch_bytes: int
    """The same in bytes of payload; the item that crosses the limit is still accepted. The server's
    value also limits the results of one client that nobody has taken."""
    result_window: int
    """The most results of one client, not yet taken by a receiver, that the server accepts."""
    keeps: bool
    """Whether the sender delivers at least once. If not both do, delivery is at most once."""

    session: bytes = b""
    """The client's random id of the session that this connection begins or resumes."""
    epoch: int = 0
    """Grows with each of the client's attempts to connect. A higher epoch replaces a connection
    that the server still believes in."""
    begun: int | None = None
    """The epoch of the connection that began the session which the client means; None: it knows of
    none."""
    received: int | None = None
    """How many data frames of the session's other end have arrived. None: it has begun just now,
    or, from a server that does not resume it, nothing is known of it any longer."""
    resumed: bool = False
    """From the server: the session goes on where the figures say. If not, it begins anew."""

    def pack(self) -> bytes:
        return _encoder.encode(self)

    @staticmethod
    def unpack(body: bytes) -> "Hello":
        """Raises ProtocolError, also for figures that make no sense."""
        try:
            hello = _decoder.decode(body)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ProtocolError(f"the HELLO frame does not decode: {error}") from error
        limits = (hello.max_frame_size, hello.prefetch_bytes, hello.result_window)
        counts = (hello.prefetch, hello.epoch, hello.begun or 0, hello.received or 0)
        if min(limits) < 1 or min(counts) < 0 or len(hello.session) > _LONGEST_ID:
            raise ProtocolError("the HELLO frame has figures that make no sense")
        return hello


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Hello)


def check_as_server(server: Hello, client: Hello, transforms: Sequence[Transform]) -> None:
    """Raise HandshakeError or TypeMismatch, in words for the client's user, if they do not fit."""
    if client.version != server.version:
        raise HandshakeError(
            f"this server speaks version {server.version} of the protocol, "
            f"the client version {client.version}"
        )
    if len(client.session) < _SHORTEST_ID:
        raise ProtocolError(f"the client's session id has only {len(client.session)} bytes")
    if client.codec != server.codec:
        raise HandshakeError(
            f"this server's codec is {server.codec!r}, the client's is {client.codec!r}"
        )
    if client.sends is not None:
        if server.receives is None:
            raise HandshakeError(
                "this server takes no results (it has no incoming channel), "
                "but the client has an outgoing channel"
            )
        if not _fit(client.sends, server.receives):
            raise TypeMismatch(
                f"this server expects {server.receives.name}, the client sends {client.sends.name}"
            )
    if client.receives is not None:
        if server.sends is None:
            raise HandshakeError(
                "this server deals no items (it has no outgoing channel), "
                "but the client has an incoming channel"
            )
        if not _fit(server.sends, client.receives):
            raise TypeMismatch(
                f"this server sends {server.sends.name}, the client expects {client.receives.name}"
            )
    _check_transforms(client, transforms)


def check_as_client(client: Hello, server: Hello, transforms: Sequence[Transform]) -> None:
    """Raise HandshakeError for what only the client can know."""
    _check_transforms(server, transforms)
    if server.max_frame_size > client.max_frame_size:
        raise HandshakeError(
            f"this server's max_frame_size is {server.max_frame_size} bytes, "
            f"the client's only {client.max_frame_size}"
        )


def _fit(sender: Shape, receiver: Shape) -> bool:
    try:
        return compatible(sender, receiver)
    except ValueError as error:
        raise ProtocolError(f"the HELLO frame describes no type: {error}") from error


def _check_transforms(peer: Hello, transforms: Sequence[Transform]) -> None:
    if not check_probe(transforms, peer.probe):
        raise HandshakeError(
            "the transforms of server and client differ (others, another order or another key)"
        )
