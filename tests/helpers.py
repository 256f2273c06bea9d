"""What several test files share."""

import gc
import os
from collections.abc import Callable
from typing import Any

from distchan import Channel, Client, Server
from distchan._client_session import ClientSession
from distchan._native_clientele import NativeClientele
from distchan._native_membership import NativeMembership
from distchan._server_session import Remembered, Resumed, ServerSession
from distchan._session import Event, Session
from distchan._wiring import Options, Wiring
from distchan.errors import DistchanError

OPTIONS: dict[str, Any] = {
    "codec": "msgpack",
    "transforms": (),
    "signature": 0x3163_6864,
    "max_frame_size": 1 << 20,
    "delivery": "at-least-once",
    "prefetch": 8,
    "prefetch_bytes": 1 << 16,
    "heartbeat": 10.0,
    "handshake_timeout": 5.0,
    "drain_timeout": 5.0,
}


def wiring(outgoing: object, incoming: object, **options: Any) -> Wiring:
    """The two channels of an endpoint; a type makes a channel of it, None no channel."""
    return Wiring(
        None if outgoing is None else Channel(outgoing),
        None if incoming is None else Channel(incoming),
        Options(**(OPTIONS | options)),
    )


def clientele(server: Server) -> NativeClientele:
    """The inside of a server on the native wire."""
    assert isinstance(server._clientele, NativeClientele)
    return server._clientele


def membership(client: Client) -> NativeMembership:
    """The inside of a client on the native wire."""
    assert isinstance(client._membership, NativeMembership)
    return client._membership


def open_files() -> int:
    return len(os.listdir("/dev/fd"))


def alive(kind: type) -> int:
    """How many of them there are, garbage not included. It is collected, and its files closed."""
    gc.collect()
    return sum(type(thing) is kind for thing in gc.get_objects())


class Link:
    """A server's and a client's session, linked in memory; ``carry`` plays the network.

    ``cut`` ends the connection, whatever is on its way; ``reconnect`` begins another one, as a
    Server and a Client would. ``forget`` has the server give the session up, or start again.
    """

    def __init__(self, server: Wiring, client: Wiring) -> None:
        self.server_wiring = server
        self.client_wiring = client
        self._found: ServerSession | Remembered | None = None
        self.server = self._stranger()
        self.client = client.session(ClientSession)
        self.server.start()
        self.client.start()

    def _stranger(self) -> ServerSession:
        return self.server_wiring.session(ServerSession, find=lambda hello: self._found)

    def cut(self, *, noticed: bool = True) -> None:
        """``noticed``: by the server, too, before the client is back."""
        if noticed:
            self.server.cut()
        self.client.cut()
        self._found = self.server

    def forget(self, *, restarted: bool = False) -> None:
        self._found = None if restarted else Remembered(self.server.memory)

    def reconnect(self) -> None:
        self.server = self._stranger()
        self.server.start()
        self.client.start()

    def encode(self, item: object) -> bytes:
        return self.server_wiring.encoder(1 << 20).encode(item)

    def encode_result(self, result: object) -> bytes:
        return self.client_wiring.encoder(1 << 20).encode(result)

    def carry(
        self, cut: Callable[[bytes], list[bytes]] = lambda data: [data]
    ) -> tuple[list[Event | DistchanError], list[Event | DistchanError]]:
        """Carry bytes both ways until nothing moves; what server and client made of them."""
        at_server: list[Event | DistchanError] = []
        at_client: list[Event | DistchanError] = []
        while self.server.pending or self.client.pending:
            deliver(self.client, self.server, at_server, cut)
            if at_server and isinstance(at_server[-1], Resumed):
                self.server = at_server[-1].session
                at_server += read(self.server)
            deliver(self.server, self.client, at_client, cut)
        return at_server, at_client


def deliver(
    source: Session,
    target: Session,
    events: list[Event | DistchanError],
    cut: Callable[[bytes], list[bytes]] = lambda data: [data],
) -> None:
    data = b"".join(source.data_to_send())
    for piece in cut(data):
        target.feed(piece)
        events += read(target)


def read(session: Session) -> list[Event | DistchanError]:
    """All events that are there, and the error that ends them, if any."""
    events: list[Event | DistchanError] = []
    try:
        while (event := session.next_event()) is not None:
            events.append(event)
    except DistchanError as error:
        events.append(error)
    return events
