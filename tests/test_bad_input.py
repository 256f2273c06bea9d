"""Peers that break the rules, over real sockets: each harms only itself."""

import asyncio
import logging
import struct
from dataclasses import dataclass
from typing import cast

import msgspec
import pytest

from distchan import Channel, Client, ConnectionLost, InvalidSignature, ProtocolError, Server
from distchan._wire import Kind
from distchan._wiring import RESULT_WINDOW
from tests.hostile import frame, hello, result, serving, settlement, wants

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
    "hello, then too large a result": hello() + frame(bytes([Kind.RESULT]), length=2**24),
    "hello, then a wrong number": hello() + result(7),
    "hello, then results without credit": hello()
    + b"".join(result(n) for n in range(RESULT_WINDOW + 1)),
    "hello, then the settlement of nothing": hello() + settlement(0, 0, [5]),
    "hello, then an unknown outcome": hello() + settlement(0, 77, []),
    "hello, then lengths that contradict each other": hello()
    + frame(struct.pack("<BQBI", Kind.SETTLE, 0, 0, 1000)),
    "hello, then more handed out than sent": hello()
    + frame(struct.pack("<BQQ", Kind.WINDOW, 5, 60)),
    "hello, then a leave that has more than was sent": hello()
    + frame(struct.pack("<BQ", Kind.LEAVE, 1)),
    "hello, then a frame of the server": hello() + frame(bytes([Kind.CREDIT]) + bytes(24)),
    "hello, then a wrong count": hello() + frame(struct.pack("<BQ", Kind.CLOSE, 3)),
    "hello, then a result after the end": hello()
    + frame(bytes([Kind.CLOSE]) + bytes(8))
    + result(0),
    "hello of a session without figures that make sense": hello(epoch=-1),
}


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
            results.append(await in_.receive())
        assert results == ["A", "B", "C"]


async def test_good_results_before_bad_ones_are_kept() -> None:
    async with serving() as (server, _, in_):
        host, port = server.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(hello() + result(0, b"\xa4good") + frame(b"\x63"))
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
        payloads = (b"\xa1a", b"\xc1", b"\x05", b"\xa1b")
        writer.write(hello() + b"".join(result(*each) for each in enumerate(payloads)))
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


async def test_items_that_do_not_decode_are_dead_letters_and_no_other_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    out, first, second = Channel(Order), Channel(Order), Channel(Order)
    async with Server("localhost:0", out, None, prefetch=6) as server:
        async with Client(server.address, None, first):
            for number in (0, "one", 2, "three", 4, "five"):
                await out.send(Order(number))  # type: ignore[arg-type]
            async for order in first:
                assert order.number == 0
                break
        # The rest of what the first one had goes to the second.
        async with Client(server.address, None, second):
            out.close()
            assert [order.number async for order in second] == [2, 4]
        letters = [server.dead_letters.receive_nowait() for _ in range(3)]
        figures = server.statistics()
        assert (figures.undecodable, figures.dead_lettered, figures.settled) == (3, 3, 3)
    # They do not decode here, either.
    assert [msgspec.msgpack.decode(letter.item)["number"] for letter in letters] == [
        "one",
        "three",
        "five",
    ]
    assert [letter.attempts for letter in letters] == [1, 1, 1]
    assert all("Expected `int`, got `str`" in letter.reason for letter in letters)
    assert f"an item from {server.address}: data frame 1 does not decode" in caplog.text


async def test_what_a_hostile_peer_holds_goes_to_others_at_once() -> None:
    async with serving(resume_timeout=1000) as (server, out, in_):
        host, port = server.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(hello() + wants(10))
        await server.wait_ready(2)
        for _ in range(10):
            out.send_nowait("x")
        assert [client.held for client in server.clients] == [5, 5]
        writer.write(settlement(0, 0, [0, 0], b"\xa1?"))
        assert b"is not outstanding" in await reader.read()
        writer.close()
        await writer.wait_closed()
        assert [await in_.receive() for _ in range(10)] == ["X"] * 10
        assert server.statistics().redelivered == 5


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
        writer.write(hello() + frame(bytes([Kind.RESULT]), length=500))
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
        (hello() + frame(bytes([Kind.BYE])), ProtocolError),
        (hello() + frame(bytes([Kind.ITEM]) + bytes(20) + b"\xa1x") * 2, ProtocolError),
        (hello() + frame(struct.pack("<BQQQ", Kind.CREDIT, 50, 60, 60)), ProtocolError),
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
