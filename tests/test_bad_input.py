"""Peers that break the rules, over real sockets: each harms only itself."""

import asyncio
import contextlib
import logging
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import pytest

from distchan import Channel, Client, ConnectionLost, InvalidSignature, ProtocolError, Server
from distchan._wire import SIGNATURE, Kind
from tests.helpers import wiring


def frame(payload: bytes, *, signature: int = SIGNATURE, length: int | None = None) -> bytes:
    return struct.pack("<Ii", signature, len(payload) if length is None else length) + payload


def hello(**changes: Any) -> bytes:
    """The HELLO of a proper client of str and str, with changes."""
    proper = msgspec.structs.replace(wiring(str, str, prefetch=100).hello, **changes)
    return frame(bytes([Kind.HELLO]) + proper.pack())


HOSTILE = {
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "another signature": frame(b"\x01", signature=0x7F38B034),
    "length zero": frame(b"", length=0),
    "negative length": frame(b"", length=-5),
    "absurd length": frame(b"", length=2**31 - 1),
    "large for a handshake": frame(b"", length=100_000),
    "no hello": frame(bytes([Kind.CREDIT]) + bytes(24)),
    "data before hello": frame(bytes([Kind.RESULT]) + bytes(8) + b"\xa1x"),
    "hello of garbage": frame(bytes([Kind.HELLO]) + b"\xc1\xc1"),
    "hello of another version": hello(version=99),
    "hello with a bad probe": hello(probe=b"?"),
    "hello, then garbage": hello() + b"\x00" * 20,
    "hello, then an unknown kind": hello() + frame(b"\x63"),
    "a second hello": hello() * 2,
    "hello, then too large an item": hello() + frame(b"\x03", length=2**24),
    "hello, then a wrong number": hello() + frame(b"\x03" + struct.pack("<Q", 7) + b"\xa1x"),
    "hello, then data without credit": hello()
    + b"".join(frame(b"\x03" + struct.pack("<Q", n) + b"\xa1x") for n in range(300)),
    "hello, then more confirmed than sent": hello()
    + frame(bytes([Kind.CREDIT]) + struct.pack("<QQQ", 50, 60, 60)),
    "hello, then a wrong count": hello() + frame(bytes([Kind.CLOSE]) + struct.pack("<Q", 3)),
    "hello, then closed twice": hello() + frame(bytes([Kind.CLOSE]) + bytes(8)) * 2,
}


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[Server, Channel[str], Channel[str]]]:
    """A server with a well-behaved worker, which must not notice anything."""
    out, in_ = Channel(str), Channel(str)
    w_out, w_in = Channel(str), Channel(str)

    async def work() -> None:
        async for text in w_in:
            await w_out.send(text.upper())
        w_out.close()

    limits = {"prefetch": 10, "max_frame_size": 1 << 20} | options
    async with Server("localhost:0", out, in_, **limits) as server:
        async with Client(server.address, w_out, w_in, **limits):
            worker = asyncio.create_task(work())
            await server.wait_ready()
            yield server, out, in_
            out.close()
            await worker
            assert [item async for item in in_] == []


@pytest.mark.parametrize("attack", HOSTILE)
async def test_a_hostile_peer_is_turned_away_and_harms_nobody(
    attack: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as (server, out, in_):
        host, port = server.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        peer = "{}:{}".format(*writer.get_extra_info("sockname"))
        writer.write(HOSTILE[attack])
        told = await reader.read()  # until the server closes the connection
        writer.close()
        await writer.wait_closed()
        assert bytes([Kind.ERROR]) in told
        assert server.num_clients == 1
        # The reason is logged, with the address.
        assert any(
            peer in line and ("refused" in line or "left" in line)
            for line in caplog.text.splitlines()
        )
        results = []
        for text in ("a", "b", "c"):
            await out.send(text)
            result = await in_.receive()
            results.append(result)
        assert results == ["A", "B", "C"]


async def test_good_results_before_bad_ones_are_kept() -> None:
    async with serving() as (server, _, in_):
        host, port = server.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        good = frame(b"\x03" + struct.pack("<Q", 0) + b"\xa4good")
        writer.write(hello() + good + frame(b"\x63"))
        await reader.read()
        writer.close()
        await writer.wait_closed()
        assert await in_.receive() == "good"


async def test_results_that_do_not_decode_are_left_out_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as (server, _, in_):
        host, port = server.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        results = (b"\xa1a", b"\xc1", b"\x05", b"\xa1b")
        writer.write(
            hello()
            + b"".join(
                frame(b"\x03" + struct.pack("<Q", number) + result)
                for number, result in enumerate(results)
            )
        )
        assert [await in_.receive(), await in_.receive()] == ["a", "b"]
        writer.close()
        await writer.wait_closed()
        await reader.read()
        assert server.statistics().undecodable == 2
    assert "data frame 1 does not decode" in caplog.text
    assert "data frame 2 does not decode: ValidationError: Expected `str`, got `int`" in caplog.text


@dataclass
class Order:
    number: int


async def test_items_that_do_not_decode_are_left_out_and_nothing_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    out, first, second = Channel(Order), Channel(Order), Channel(Order)
    async with Server("localhost:0", out, None) as server:
        async with Client(server.address, None, first, prefetch=6):
            for number in (0, "one", 2, "three", 4, "five"):
                await out.send(Order(number))  # type: ignore[arg-type]
            async for order in first:
                assert order.number == 0
                break
        # The rest of what the first one had goes to the second.
        async with Client(server.address, None, second):
            out.close()
            assert [order.number async for order in second] == [2, 4]
        assert server.statistics().lost == 0
    assert "could not decode an item: data frame 1 does not decode" in caplog.text


async def test_a_peer_that_says_nothing_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(handshake_timeout=0.05) as (server, _, _):
        host, port = server.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        assert bytes([Kind.ERROR]) in await reader.read()
        writer.close()
        await writer.wait_closed()
    assert "did not introduce itself within 0.05 s" in caplog.text


async def test_a_connection_cut_in_mid_frame_is_the_end_of_that_client_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with serving() as (server, out, in_):
        host, port = server.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(hello() + frame(b"\x03", length=500))
        await reader.read(1)  # it has been welcomed
        assert server.num_clients == 2
        writer.transport.abort()
        while server.num_clients > 1:
            await asyncio.sleep(0)
        await out.send("a")
        assert await in_.receive() == "A"
    assert "left" in caplog.text


class HostileServer(asyncio.Protocol):
    """Answers a HELLO with its own, and then with whatever it was given."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._answer)
        self._answer = b""


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (hello() + b"GET / HTTP/1.1", InvalidSignature),
        (hello() + frame(bytes([Kind.LEAVE])), ProtocolError),
        (hello() + frame(b"", length=-1), ProtocolError),
    ],
)
async def test_a_hostile_server_is_a_readable_error(answer: bytes, cause: type[Exception]) -> None:
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: HostileServer(answer), "127.0.0.1", 0)
    address = "{}:{}".format(*listener.sockets[0].getsockname())
    out, in_ = Channel(str), Channel(str)
    client = await Client(address, out, in_).__aenter__()
    with pytest.raises(ConnectionLost, match=address) as raised:
        await in_.receive()
    assert isinstance(raised.value.__cause__, cause)
    with pytest.raises(ConnectionLost):
        await out.send("x")
    with pytest.raises(ConnectionLost):
        await client.aclose()
    listener.close()
    await listener.wait_closed()
