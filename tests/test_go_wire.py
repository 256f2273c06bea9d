"""``wire="go"``: Python at both ends, or a bare socket at one of them."""

import asyncio
import contextlib
import logging
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from distchan import (
    Channel,
    ChannelClosed,
    Client,
    ConnectError,
    ConnectionLost,
    EndOfChannel,
    FrameTooLarge,
    Server,
    WouldBlock,
)
from distchan._go.clientele import GoClientele
from distchan._wire import GO_SIGNATURE as SIGNATURE

ENDING = struct.pack("<Ii", SIGNATURE, -1)


def frame(payload: bytes, signature: int = SIGNATURE) -> bytes:
    return struct.pack("<Ii", signature, len(payload)) + payload


#: 0 and 1 in gob.
ZERO, ONE = bytes.fromhex("03040000"), bytes.fromhex("03040002")


class Peer:
    """A bare socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Peer]:
    host, port = server.address.split(":")
    count = server.num_clients
    peer = Peer(*await asyncio.open_connection(host, int(port)))
    while server.num_clients == count:
        await asyncio.sleep(0)
    try:
        yield peer
    finally:
        await peer.close()


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, "asyncio.Queue[Peer]"]]:
    """A bare server: its address, and those who have connected."""
    peers: asyncio.Queue[Peer] = asyncio.Queue()
    server = await asyncio.start_server(lambda r, w: peers.put_nowait(Peer(r, w)), "127.0.0.1")
    host, port = server.sockets[0].getsockname()[:2]
    async with server:
        yield f"{host}:{port}", peers


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0)


def inside(server: Server) -> GoClientele:
    assert isinstance(server._clientele, GoClientele)
    return server._clientele


# -- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "option",
    [
        {"delivery": "at-least-once"},
        {"prefetch": 1},
        {"prefetch": "auto"},
        {"prefetch_bytes": 1},
        {"handshake_timeout": 1.0},
    ],
)
@pytest.mark.parametrize("end", [Server, Client])
def test_options_that_mean_nothing_are_refused(end: Any, option: dict[str, Any]) -> None:
    (name,) = option
    with pytest.raises(ValueError, match=f'^{name}=.* means nothing with wire="go": '):
        end("localhost:1", Channel(int), Channel(int), wire="go", **option)


@pytest.mark.parametrize(
    ("end", "option"),
    [
        (Server, {"hang_timeout": 1.0}),
        (Server, {"resume_timeout": 1.0}),
        (Server, {"max_attempts": 3}),
        (Client, {"results": "settled"}),
    ],
)
def test_options_of_one_end_that_mean_nothing_are_refused(end: Any, option: Any) -> None:
    with pytest.raises(ValueError, match='means nothing with wire="go"'):
        end("localhost:1", Channel(int), Channel(int), wire="go", **option)


def test_at_most_once_is_what_it_is() -> None:
    Server("localhost:1", Channel(int), None, wire="go", delivery="at-most-once")


@pytest.mark.parametrize("end", [Server, Client])
def test_no_other_wires(end: Any) -> None:
    with pytest.raises(ValueError, match="wire must be 'native' or 'go', not 'rust'"):
        end("localhost:1", Channel(int), None, wire="rust")


def test_types_that_gob_cannot_express_are_refused_at_once() -> None:
    words = r'^codec "gob" cannot carry set\[int\]: gob has no type for set\[int\]; use a list$'
    with pytest.raises(TypeError, match=words):
        Server("localhost:1", Channel(set[int]), None, wire="go")
    with pytest.raises(TypeError, match=words):
        Client("localhost:1", None, Channel(set[int]), wire="go")


# -- the bytes ------------------------------------------------------------------------------------


async def test_what_a_server_writes_and_reads() -> None:
    out, in_ = Channel(int), Channel(int)
    async with Server("127.0.0.1:0", out, in_, wire="go") as server, connected(server) as peer:
        await out.send_many([0, 1])
        out.close()
        expected = frame(ZERO) + frame(ONE) + ENDING
        assert await peer.reader.readexactly(len(expected)) == expected
        stream = frame(ONE) + frame(ZERO)
        for byte in stream:
            await peer.write(bytes([byte]))
        assert [await in_.receive(), await in_.receive()] == [1, 0]
        assert server.num_clients == 1
        assert not in_.closed  # it may still send something
        await peer.close()
        with pytest.raises(EndOfChannel):
            await in_.receive()


async def test_what_a_client_writes_and_reads() -> None:
    out, in_ = Channel(int), Channel(int)
    async with listening() as (address, peers):
        async with Client(address, out, in_, wire="go") as client:
            peer = await peers.get()
            await peer.write(frame(ONE) + frame(ZERO) + ENDING)
            assert [item async for item in in_] == [1, 0]
            await out.send(0)
            out.close()
            assert await peer.reader.read() == frame(ZERO)  # and then TCP's end, at once
            await client.done()
        await peer.close()


@pytest.mark.parametrize("codec", ["gob", "json", "raw", "msgpack", "pickle"])
async def test_other_codecs_and_signatures(codec: str) -> None:
    out, in_ = Channel(bytes), Channel(bytes)
    options: dict[str, Any] = {"wire": "go", "codec": codec, "signature": 7}
    options["insecure"] = codec == "pickle"

    async def echo(address: str) -> None:
        w_out, w_in = Channel(bytes), Channel(bytes)
        async with Client(address, w_out, w_in, **options):
            async for item in w_in:
                await w_out.send(item)

    async with Server("127.0.0.1:0", out, in_, **options) as server:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(echo(server.address))
            await server.wait_ready()
            await out.send_many([b"", b"a", b"b" * 300_000])
            out.close()
            assert [item async for item in in_] == [b"", b"a", b"b" * 300_000]


async def test_over_a_unix_socket(tmp_path: Any) -> None:
    out, in_ = Channel(int), Channel(int)
    async with Server(f"unix:{tmp_path}/socket", out, None, wire="go") as server:
        async with Client(server.address, None, in_, wire="go"):
            await out.send(5)
            assert await in_.receive() == 5


# -- the server's side ----------------------------------------------------------------------------


async def test_items_take_turns_and_a_late_client_hears_of_the_end() -> None:
    out, in_ = Channel(int), Channel(int)
    async with Server("127.0.0.1:0", out, in_, wire="go") as server:
        assert not server.ready
        async with connected(server) as first, connected(server) as second:
            await server.wait_ready(2)
            await out.send_many([0, 1, 0, 1])
            out.close()
            expected = 2 * frame(ZERO) + ENDING
            assert await first.reader.readexactly(len(expected)) == expected
            expected = 2 * frame(ONE) + ENDING
            assert await second.reader.readexactly(len(expected)) == expected
            assert [info.settled for info in server.clients] == [2, 2]
            async with connected(server) as late:
                assert await late.reader.readexactly(8) == ENDING
            with pytest.raises(ChannelClosed):
                await server.wait_ready(1)
        assert [result async for result in in_] == []
        figures = server.statistics()
        assert (figures.dealt, figures.settled, figures.held) == (4, 4, 0)


async def test_what_has_not_left_the_process_goes_to_another_client() -> None:
    out, in_ = Channel(int), Channel(int)
    async with Server("127.0.0.1:0", out, in_, wire="go") as server:
        async with connected(server) as first, connected(server) as second:
            for number in (0, 1, 0, 1):
                out.send_nowait(number)
            assert [info.held for info in server.clients] == [2, 2]
            next(iter(inside(server)._hub.connections)).abort()  # in the very same turn
            await until(lambda: server.num_clients == 1)
            out.close()
            expected = 2 * frame(ONE) + 2 * frame(ZERO) + ENDING
            assert await second.reader.readexactly(len(expected)) == expected
            with contextlib.suppress(ConnectionError):
                assert await first.reader.read() == b""


@pytest.mark.parametrize("data", [b"", ENDING, b"garbage, garbage"], ids=["eof", "end", "garbage"])
async def test_nothing_more_is_written_to_a_client_that_has_left(data: bytes) -> None:
    out, in_ = Channel(int), Channel(int)
    async with Server("127.0.0.1:0", out, in_, wire="go") as server:
        async with connected(server), connected(server) as second:
            for number in (0, 1, 0, 1):
                out.send_nowait(number)
            leaver = next(iter(inside(server)._hub.connections))
            if data:  # what it has said is read in the very same turn
                leaver.data_received(data)
            else:
                leaver.eof_received()
            out.close()
            expected = 2 * frame(ONE) + 2 * frame(ZERO) + ENDING
            assert await second.reader.readexactly(len(expected)) == expected


async def test_no_client_makes_send_wait() -> None:
    out, in_ = Channel(int), Channel(int)
    async with Server("127.0.0.1:0", out, in_, wire="go") as server:
        sending = asyncio.ensure_future(out.send(1))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not sending.done()
        async with connected(server) as peer:
            await sending
            assert await peer.reader.readexactly(12) == frame(ONE)


async def test_nobody_there_at_the_end() -> None:
    out, in_ = Channel(int), Channel(int)
    async with Server("127.0.0.1:0", out, in_, wire="go"):
        out.close()
        assert [result async for result in in_] == []


async def test_a_server_whose_results_nobody_reads_stops_reading() -> None:
    in_ = Channel(bytes)
    async with Server("127.0.0.1:0", None, in_, wire="go", codec="raw", drain_timeout=0) as server:
        async with connected(server) as peer:
            count = 200
            item = frame(bytes(1 << 20))
            writing = asyncio.ensure_future(peer.write(item * count))
            await until(lambda: len(in_) >= 8)
            for _ in range(100):
                await asyncio.sleep(0)
            (connection,) = inside(server)._hub.connections
            assert not connection._reading
            assert len(in_) < 20
            for _ in range(count):
                assert len(await in_.receive()) == 1 << 20
                assert len(in_) < 20
            await writing


async def test_a_client_that_sends_what_nobody_expects_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    out = Channel(int)
    async with Server("127.0.0.1:0", out, None, wire="go") as server:
        async with connected(server) as peer:
            await peer.write(frame(ONE))
            assert await peer.reader.read() == b""
            assert server.num_clients == 0
    assert "there is no incoming channel" in caplog.text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (frame(ONE, 5), "got 0x00000005"),
        (struct.pack("<Ii", SIGNATURE, -2), "a frame of -2 bytes"),
        (struct.pack("<Ii", SIGNATURE, 1 << 30), "max_frame_size"),
        (frame(b""), "a frame of 0 bytes"),
        (frame(b"nonsense"), "a frame of 8 bytes"),
    ],
)
async def test_a_client_that_breaks_the_rules_is_closed(
    data: bytes, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    out, in_ = Channel(int), Channel(int)
    async with Server("127.0.0.1:0", out, in_, wire="go") as server:
        async with connected(server) as bad, connected(server) as good:
            await bad.write(frame(ONE) + data)
            assert await in_.receive() == 1
            assert await bad.reader.read() == b""
            await good.write(frame(ZERO))
            assert await in_.receive() == 0
            assert server.num_clients == 1
            assert server.statistics().refused == 1
    assert words in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_client_that_stops_in_mid_frame_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("distchan._liveness._LONGEST_STALL", 0.1)
    out, in_ = Channel(int), Channel(int)
    async with Server("127.0.0.1:0", out, in_, wire="go", heartbeat=0.1) as server:
        async with connected(server) as peer:
            await peer.write(frame(ONE)[:-1])
            with contextlib.suppress(ConnectionError):
                assert await peer.reader.read() == b""
            await until(lambda: not server.num_clients)
    assert "it stopped in the middle of a frame" in caplog.text


async def test_a_client_that_never_leaves_is_dropped_at_the_end() -> None:
    out, in_ = Channel(int), Channel(int)
    server = Server("127.0.0.1:0", out, in_, wire="go", drain_timeout=0.05)
    async with server:
        host, port = server.address.split(":")
        peer = Peer(*await asyncio.open_connection(host, int(port)))
        await server.wait_ready()
        await out.send(1)
        closing = asyncio.ensure_future(server.aclose())
        assert await peer.reader.read() == frame(ONE) + ENDING
        await closing
    with pytest.raises(ConnectionLost):  # who knows what it would have sent
        await in_.receive()
    await peer.close()


async def test_items_that_nobody_took_are_counted() -> None:
    out, in_ = Channel(int, 10), Channel(int)
    async with Server("127.0.0.1:0", out, in_, wire="go", drain_timeout=0) as server:
        await out.send_many([1, 2, 3])
    assert server.statistics().dropped_items == 3


async def test_an_item_that_is_too_large_harms_nobody() -> None:
    out, in_ = Channel(bytes), Channel(bytes)
    async with Server("127.0.0.1:0", out, None, wire="go", max_frame_size=100) as server:
        async with Client(server.address, None, in_, wire="go"):
            with pytest.raises(FrameTooLarge):
                await out.send(bytes(200))
            await out.send(b"good")
            assert await in_.receive() == b"good"


async def test_an_error_at_the_end_is_logged_as_it_cannot_be_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    out, in_ = Channel(int), Channel(int)
    async with Server("127.0.0.1:0", out, None, wire="go") as server:
        async with Client(server.address, None, in_, wire="go"):
            out.close(ValueError("no more paper"))
            assert [item async for item in in_] == []
    assert "no more paper" in caplog.text


class Picky:
    """Refuses what is longer than what it has seen first."""

    def __init__(self) -> None:
        self._most = 0

    def encode(self, data: bytes) -> bytes:
        self._most = self._most or len(data)
        if len(data) > self._most:
            raise ValueError("longer than the first")
        return data

    def decode(self, data: bytes) -> bytes:
        return data


async def test_an_item_that_a_transform_refuses_in_the_end_is_a_dead_letter() -> None:
    """It took the value alone, but not with the definitions in front of it."""
    out = Channel(list[list[int]])
    async with Server("127.0.0.1:0", out, None, wire="go", transforms=[Picky()]) as server:
        async with connected(server):
            await out.send([[1]])
            letter = await server.dead_letters.receive()
            assert "longer than the first" in letter.reason
            assert server.statistics().dead_lettered == 1


async def test_one_logged_line_says_what_a_server_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("distchan._clientele._EXPLAIN_EVERY", 0.02)
    lines: asyncio.Queue[str] = asyncio.Queue()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "waits" in record.getMessage():
                lines.put_nowait(record.getMessage())

    logger = logging.getLogger("distchan.tests.standstill")
    logger.addHandler(Listener())
    out, in_ = Channel(int), Channel(int)
    options: dict[str, Any] = {"wire": "go", "logger": logger}
    async with Server("127.0.0.1:0", out, in_, **options) as server:
        sending = asyncio.ensure_future(out.send(1))
        assert "waits for a client to deal to" in await lines.get()
        async with connected(server) as peer:
            await sending
            await peer.write(frame(ONE))
            while "waits for somebody to receive the results" not in await lines.get():
                pass
            await in_.receive()
            out.close()
            while "waits for clients to leave" not in await lines.get():
                pass


# -- the client's side ----------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 3, 8, 10])
async def test_a_stream_that_was_cut_never_looks_finished(cut: int) -> None:
    out, in_ = Channel(int), Channel(int)
    async with listening() as (address, peers):
        with pytest.raises(ConnectionLost):
            async with Client(address, out, in_, wire="go") as client:
                peer = await peers.get()
                await peer.write(frame(ONE) + frame(ZERO)[:cut])
                await peer.close()
                assert await in_.receive() == 1
                with pytest.raises(ConnectionLost):
                    await in_.receive()
                with pytest.raises(ConnectionLost):
                    await out.send(1)
                with pytest.raises(ConnectionLost):
                    await client.done()
                raise ConnectionLost("as above")
        assert peers.empty()  # there is no coming back


async def test_a_server_that_leaves_before_the_last_result() -> None:
    out, in_ = Channel(int), Channel(int)
    async with listening() as (address, peers):
        async with Client(address, out, in_, wire="go") as client:
            peer = await peers.get()
            await peer.write(frame(ONE) + ENDING)
            await peer.close()
            assert [item async for item in in_] == [1]
            with pytest.raises(ConnectionLost):
                await client.done()
            with pytest.raises(ConnectionLost):
                await out.send(1)
            with contextlib.suppress(ConnectionLost):
                await client.aclose()


async def test_a_client_that_leaves_early_delivers_what_it_has_sent() -> None:
    out, in_ = Channel(int, 10), Channel(int)
    async with listening() as (address, peers):
        async with Client(address, out, in_, wire="go") as client:
            peer = await peers.get()
            await peer.write(frame(ONE) * 100)
            assert await in_.receive() == 1
            await out.send_many([0, 1])
            leaving = asyncio.ensure_future(client.aclose())
            assert await peer.reader.read() == frame(ZERO) + frame(ONE)
            await peer.write(frame(ONE))  # what still comes does no harm
            await peer.close()
            await leaving


async def test_a_client_that_leaves_early_waits_for_no_server_that_stays_on() -> None:
    out, in_ = Channel(int, 10), Channel(int)
    async with listening() as (address, peers):
        async with Client(address, out, in_, wire="go", drain_timeout=600) as client:
            peer = await peers.get()
            await peer.write(frame(ONE) * 100)
            assert await in_.receive() == 1
            await out.send(1)
            await client.aclose()
        assert await peer.reader.read() == frame(ONE)
        await peer.close()


async def test_a_client_without_outgoing_leaves_at_the_end() -> None:
    out, in_ = Channel(int), Channel(int)
    async with Server("127.0.0.1:0", out, None, wire="go") as server:
        async with Client(server.address, None, in_, wire="go") as client:
            await out.send(1)
            out.close()
            assert [item async for item in in_] == [1]
            await client.done()
        await until(lambda: not server.num_clients)


async def test_a_client_without_incoming() -> None:
    in_, w_out = Channel(int), Channel(int)
    async with Server("127.0.0.1:0", None, in_, wire="go") as server:
        async with Client(server.address, w_out, None, wire="go"):
            await w_out.send_many([1, 2])
        assert [await in_.receive(), await in_.receive()] == [1, 2]
        server.shutdown()
        assert [result async for result in in_] == []


async def test_an_item_that_does_not_decode_ends_the_client() -> None:
    out, in_ = Channel(int), Channel(int)
    async with listening() as (address, peers):
        client = await Client(address, out, in_, wire="go").__aenter__()
        peer = await peers.get()
        await peer.write(frame(ONE) + frame(b"nonsense"))
        assert await in_.receive() == 1
        with pytest.raises(ConnectionLost, match="a frame of 8 bytes"):
            await in_.receive()
        assert await peer.reader.read() == b""
        await peer.close()
        with contextlib.suppress(ConnectionLost):
            await client.aclose()


async def test_a_lease_has_no_id() -> None:
    out, in_ = Channel(int), Channel(int)
    async with Server("127.0.0.1:0", out, None, wire="go") as server:
        async with Client(server.address, None, in_, wire="go"):
            await out.send(3)
            lease = in_.lease()
            async with lease as item:
                assert item == 3
                assert (lease.id, lease.attempt) == (None, None)


async def test_no_server() -> None:
    out, in_ = Channel(int), Channel(int)
    async with listening() as (address, _):
        pass
    with pytest.raises(ConnectError):
        async with Client(address, out, in_, wire="go", connect_timeout=0):
            pass
    async with Server(address, out, in_, wire="go"):  # the channels are as they were
        out.close()


async def test_what_comes_from_a_go_server_can_be_dealt_on() -> None:
    """There is nothing to settle, so that it needs no task in between."""
    out, between, in_ = Channel(int), Channel(int), Channel(int)
    async with (
        Server("127.0.0.1:0", out, None, wire="go") as far,
        Server("127.0.0.1:0", between, None) as near,
        Client(far.address, None, between, wire="go"),
        Client(near.address, None, in_),
    ):
        await out.send_many([1, 2, 3])
        out.close()
        assert [item async for item in in_] == [1, 2, 3]


async def test_results_that_arrived_before_a_client_died_count() -> None:
    """They are in the socket when a write to it fails."""
    out, in_ = Channel(bytes), Channel(bytes)
    options: dict[str, Any] = {"wire": "go", "codec": "raw", "drain_timeout": 0}
    async with Server("127.0.0.1:0", out, in_, **options) as server:
        async with connected(server) as peer:
            (connection,) = inside(server)._hub.connections
            connection.read(False)
            await peer.write(frame(b"last words"))
            peer.writer.transport.abort()
            with contextlib.suppress(WouldBlock):
                while server.num_clients:
                    out.send_nowait(bytes(1000))
                    await asyncio.sleep(0)
            await until(lambda: not server.num_clients)
            assert await in_.receive() == b"last words"


@pytest.mark.parametrize("turns", range(8))
async def test_a_join_that_is_cancelled_takes_nothing(turns: int) -> None:
    results = Channel(int, 10)
    async with Server("127.0.0.1:0", None, results, wire="go") as server:
        out = Channel(int, 10)
        await out.send_many(range(3))
        client = Client(server.address, out, None, wire="go")
        joining = asyncio.ensure_future(client.__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        joining.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await joining
            await client.aclose()
        if joining.cancelled():
            assert len(out) == 3
            async with Client(server.address, out, None, wire="go"):
                pass
        assert [await results.receive() for _ in range(3)] == [0, 1, 2]


# -- the other wire -------------------------------------------------------------------------------


async def test_a_native_client_at_a_server_for_go(caplog: pytest.LogCaptureFixture) -> None:
    async with Server("127.0.0.1:0", Channel(int), None, wire="go") as server:
        with pytest.raises(ConnectError, match=r'closes connections in the handshake.* wire="go"'):
            async with Client(server.address, None, Channel(int), connect_timeout=0):
                pass
        await until(lambda: not server.num_clients)
    assert "the peer speaks the native wire" in caplog.text


async def test_a_client_for_go_at_a_native_server(caplog: pytest.LogCaptureFixture) -> None:
    out, in_ = Channel(int), Channel(int)
    async with Server("127.0.0.1:0", Channel(int), Channel(int)) as server:
        with pytest.raises(ConnectionLost, match="the peer speaks the native wire"):
            async with Client(server.address, out, in_, wire="go"):
                await out.send(1)
                await in_.receive()
    assert "the peer speaks the Go original's wire" in caplog.text
