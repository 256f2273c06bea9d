"""Servers and clients in one process, on a network in memory and in a time that stands still.

They are the real ones. But their loop turns only when told to, its clock is set by hand, and a
link carries as many bytes as it is told to, or loses them. So whatever may happen between a server
and its clients can be made to happen, in any order, and happens the same way again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final
from unittest import mock

from distchan import Channel, Client, Server
from distchan._connection import Connection
from distchan._server_session import ServerSession
from distchan._wire import HEADER_SIZE, Kind

#: Of the loop, without coming to rest, and of the network. Both need few for whatever has happened.
_MOST_TURNS: Final = 10_000
_MOST_ROUNDS: Final = 2_000

#: What a peer may send again, immediately or later: data frames have numbers, figures are absolute.
_REPEATABLE: Final = {
    Kind.ITEM,
    Kind.RESULT,
    Kind.SETTLE,
    Kind.CREDIT,
    Kind.CLOSE,
    Kind.LEAVE,
    Kind.PING,
    Kind.PONG,
}

QUIET: Final = logging.getLogger("distchan.tests.quiet")
QUIET.setLevel(logging.CRITICAL + 1)


class Clockwork(asyncio.SelectorEventLoop):
    """A loop that turns when told to, and knows one server: its own."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._turns = 0
        super().__init__()
        self._accept: Callable[[], asyncio.BufferedProtocol] | None = None
        #: Whether clients get through to the server, by the host in the address that they use.
        self.open: dict[str, asyncio.Event] = {}
        #: All connections that there have been, the oldest first.
        self.links: list[Link] = []
        self.complaints: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.complaints.append(context))

    # -- time -------------------------------------------------------------------------------------

    def time(self) -> float:
        return self._now

    def turn(self) -> None:
        self.call_soon(self.stop)
        self.run_forever()

    def rest(self) -> None:
        """Turn until nothing is left to be done."""
        if self._ready:  # type: ignore[attr-defined]
            self._turns = 0
            self.call_soon(self._rest)
            self.run_forever()
            assert self._turns < _MOST_TURNS, "the loop does not come to rest"

    def _rest(self) -> None:
        self._turns += 1
        if self._ready and self._turns < _MOST_TURNS:  # type: ignore[attr-defined]
            self.call_soon(self._rest)
        else:
            self.stop()

    def advance(self, seconds: float) -> None:
        """Let time pass, and whatever was to be done meanwhile be done at its time."""
        end = self._now + seconds
        while True:
            self.rest()
            times = [
                timer.when()
                for timer in self._scheduled  # type: ignore[attr-defined]
                if not timer.cancelled()
            ]
            if not times or min(times) > end:
                break
            self._now = max(self._now, min(times))
            self.turn()
        self._now = end

    # -- the network ------------------------------------------------------------------------------

    async def create_server(self, accept: Any, *_: Any, **__: Any) -> Any:  # type: ignore[override]
        self._accept = accept
        return _Listener()

    async def create_connection(  # type: ignore[override]
        self, factory: Any, host: str, *_: Any, **__: Any
    ) -> Any:
        await self.open[host].wait()
        assert self._accept is not None
        link = Link(self, host, factory(), self._accept())
        self.links.append(link)
        await asyncio.sleep(0)  # connection_made() has been called when this returns
        return link.client, link.client.protocol

    def let_in(self, host: str, allowed: bool = True) -> None:
        """Whether connections from there get through from now on."""
        gate = self.open.setdefault(host, asyncio.Event())
        if allowed:
            gate.set()
        else:
            gate.clear()

    def of(self, host: str) -> Iterator["Link"]:
        """The links of a host, the oldest first."""
        return (link for link in self.links if link.host == host)

    def carry(self) -> bool:
        """Carry what is on its way, once; whether there was anything."""
        moved = False
        for link in self.links:
            for pipe in link.pipes:
                if pipe.loaded:
                    moved = True
                    pipe.carry()
        return moved

    def settle(self) -> None:
        """Carry and turn until nothing moves."""
        self.rest()
        for _ in range(_MOST_ROUNDS):
            if not self.carry():
                return
            self.rest()
        raise AssertionError("the network does not come to rest")

    def finish(self) -> None:
        """Cancel what is still running, and close."""
        for task in asyncio.all_tasks(self):
            task.cancel()
        self.advance(10)
        self.close()


class _Listener:
    async def start_serving(self) -> None:
        """There is nothing to do."""

    def close(self) -> None:
        """Nor here."""


class _Socket:
    """Just enough of one for a Server to believe that it listens, and to let it be."""

    family = 0

    def getsockname(self) -> tuple[str, int]:
        return "memory", 0

    def fileno(self) -> int:
        raise OSError("there is none")


class Link:
    """A connection: two pipes, and an end on either side."""

    def __init__(
        self,
        loop: Clockwork,
        host: str,
        client: asyncio.BufferedProtocol,
        server: asyncio.BufferedProtocol,
    ) -> None:
        self.host = host
        self.to_server = Pipe(loop)
        self.to_client = Pipe(loop)
        self.pipes = self.to_server, self.to_client
        self.client = End(loop, client, self.to_client, self.to_server)
        self.server = End(loop, server, self.to_server, self.to_client)

    @property
    def session(self) -> ServerSession:
        """The session that the server has with this client."""
        connection = self.server.protocol
        assert isinstance(connection, Connection)
        assert isinstance(connection.session, ServerSession)
        return connection.session

    @property
    def over(self) -> bool:
        return self.client.lost and self.server.lost

    def cut(self) -> None:
        """Both ends learn that there is no connection any more; what is on its way is lost."""
        for end in (self.client, self.server):
            end.lose()


class Pipe:
    """The bytes that are on their way to one end of a link, in order."""

    def __init__(self, loop: Clockwork) -> None:
        self._loop = loop
        self.end: End
        self.data = bytearray()
        #: What follows the data, if anything does.
        self.closing: Callable[[], None] | None = None
        #: How many bytes have been carried.
        self.carried = 0
        #: Kinds of the frames that were written, and where each of them ended.
        self.kinds: set[int] = set()
        self.boundaries = [0]
        #: Those that may be repeated.
        self._frames: list[bytes] = []

    @property
    def loaded(self) -> bool:
        return bool(self.data) or self.closing is not None

    def put(self, data: bytes) -> None:
        if not (self.end.lost or self.end.deaf):
            self.data += data
            self._note_frames(data)

    def _note_frames(self, data: bytes) -> None:
        """Everything is written in whole frames."""
        at = 0
        while at < len(data):
            size = HEADER_SIZE + int.from_bytes(data[at + 4 : at + 8], "little")
            frame, at = data[at : at + size], at + size
            assert len(frame) == size
            kind = frame[HEADER_SIZE]
            self.kinds.add(kind)
            self.boundaries.append(self.boundaries[-1] + size)
            if kind == Kind.WINDOW:  # its figures may shrink: only the latest may be repeated
                self._frames = [old for old in self._frames if old[HEADER_SIZE] != kind]
                self._frames.append(frame)
            elif kind in _REPEATABLE:
                self._frames.append(frame)

    def repeat(self, index: int) -> None:
        """Write a frame again that was written some time ago: 0 is the last one."""
        if self._frames and self.closing is None and not self.end.lost:
            self.data += self._frames[-1 - index % len(self._frames)]

    def carry(self, count: int | None = None) -> None:
        """Deliver so many bytes, or all of them."""
        piece = bytes(self.data[:count])
        del self.data[:count]
        self.carried += len(piece)
        if piece:
            self._loop.call_soon(self.end.receive, piece)
        if not self.data and self.closing is not None and count is None:
            self._loop.call_soon(self.closing)
            self.closing = None

    def lose(self) -> None:
        self.data.clear()
        self.closing = None


class End(asyncio.Transport):
    """One end of a link."""

    def __init__(
        self, loop: Clockwork, protocol: asyncio.BufferedProtocol, incoming: Pipe, outgoing: Pipe
    ) -> None:
        super().__init__({"peername": ("memory", 0), "socket": _Socket()})
        self._loop = loop
        self.protocol = protocol
        self._in = incoming
        self._out = outgoing
        incoming.end = self
        #: It can write nothing more; the connection is gone, for this end.
        self._closing = False
        self.lost = False
        self.deaf = False
        self.blocked = False
        loop.call_soon(protocol.connection_made, self)

    def receive(self, data: bytes) -> None:
        if not (self.lost or self.deaf):
            asyncio.protocols._feed_data_to_buffered_proto(self.protocol, data)  # type: ignore[attr-defined]

    def receive_eof(self) -> None:
        if not (self.lost or self.deaf):
            self.protocol.eof_received()
            self.close()

    def lose(self, error: Exception | None = None) -> None:
        """This end learns that the connection is gone. The other one may take longer."""
        if not self.lost:
            self.lost = self._closing = True
            self._in.lose()
            self._loop.call_soon(self.protocol.connection_lost, error or ConnectionResetError())

    def vanish(self) -> None:
        """The process of this end has died: it can say nothing more, and hears nothing."""
        self._closing = self.deaf = True
        self._in.lose()

    def block(self, blocked: bool) -> None:
        """The other end has stopped reading, or goes on."""
        if blocked != self.blocked and not self.lost:
            self.blocked = blocked
            if blocked:
                self.protocol.pause_writing()
            else:
                self.protocol.resume_writing()

    # -- what a transport does --------------------------------------------------------------------

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """It buffers nothing."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closing:
            self._out.put(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._closing:
            self._closing = True
            self._out.closing = self._out.end.receive_eof

    def close(self) -> None:
        self.write_eof()
        if not self.lost:
            self.lost = True
            self._in.lose()
            self._loop.call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        """What has been written may or may not arrive; then the other end finds out."""
        if not self._closing:
            self._out.closing = self._out.end.lose
        self.lose()

    def is_closing(self) -> bool:
        return self._closing


def server(outgoing: Channel[Any], incoming: Channel[Any], **options: Any) -> Server:
    """A Server that listens on the network in memory."""
    sock: Any = _Socket()
    return Server(None, outgoing, incoming, sock=sock, logger=QUIET, insecure=True, **options)


def client(host: str, outgoing: Channel[Any], incoming: Channel[Any], **options: Any) -> Client:
    """A Client that connects there, by a way of its own."""
    defaults: dict[str, Any] = {"logger": QUIET, "connect_timeout": 1e9, "insecure": True}
    return Client(f"{host}:1", outgoing, incoming, **(defaults | options))


@contextlib.contextmanager
def clock(now: Callable[[], float]) -> Iterator[None]:
    """Have clients measure their pace by another clock."""
    with mock.patch("distchan._holdings.now", now), mock.patch("distchan._intake.now", now):
        yield


@contextlib.contextmanager
def result_window(size: int) -> Iterator[None]:
    """How many results that nobody has received a server made in the block accepts of a client."""
    with mock.patch("distchan._wiring.RESULT_WINDOW", size):
        yield
