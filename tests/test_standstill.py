"""A server that does not move on says why, in one line; a peer that stops half-way is cut off."""

import asyncio
import logging
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from distchan import Channel, Client, Server
from distchan._wire import SIGNATURE, Kind
from tests.helpers import clientele, membership, wiring


class Listener(logging.Handler):
    """The warnings of a logger, to be awaited."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: asyncio.Queue[str] = asyncio.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self.lines.put_nowait(record.getMessage())


@asynccontextmanager
async def serving(
    monkeypatch: pytest.MonkeyPatch, out: Any, in_: Any, **options: Any
) -> AsyncIterator[tuple[Server, Listener]]:
    """A server that looks every few milliseconds whether anything has moved."""
    monkeypatch.setattr("distchan._clientele._EXPLAIN_EVERY", 0.02)
    logger = logging.Logger("test")  # noqa: LOG001 - one of its own, which nobody else listens to
    listener = Listener()
    logger.addHandler(listener)
    settings: dict[str, Any] = {"drain_timeout": 0, "logger": logger, **options}
    async with Server("localhost:0", out, in_, **settings) as server:
        yield server, listener


async def test_nobody_receives_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    in_, w_out = Channel(int), Channel(int)
    async with serving(monkeypatch, None, in_) as (server, listener):
        async with Client(server.address, w_out, None):
            await w_out.send(1)
            line = await listener.lines.get()
            assert "waits for somebody to receive the results; clients: 1" in line
            assert line.endswith("results not received here: 1")
            # Once for each standstill: the next line is about the next one.
            await in_.receive()
            await w_out.send(2)
            await w_out.send(3)
            assert (await listener.lines.get()).endswith("results not received here: 2")
            await in_.receive_many(2)


async def test_all_clients_have_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Channel(int)
    async with serving(monkeypatch, out, None, prefetch=2) as (server, listener):
        async with Client(server.address, None, Channel(int)):
            sending = asyncio.create_task(out.send_many(range(3)))
            line = await listener.lines.get()
            assert "waits for clients to settle items" in line
            assert "items dealt and not settled: 2" in line
            sending.cancel()


async def test_no_client_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Channel(int, capacity=1)
    async with serving(monkeypatch, out, None) as (_, listener):
        await out.send(1)
        for _ in range(3):  # again and again
            line = await listener.lines.get()
            assert "waits for a client to deal to; clients: 0, items that wait for one: 1" in line


async def test_unsettled_and_nobody_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    out, in_ = Channel(int), Channel(int)
    async with serving(monkeypatch, out, None, resume_timeout=1000) as (server, listener):
        client = await Client(server.address, None, in_, connect_timeout=0).__aenter__()
        await out.send(1)
        await in_.receive()
        membership(client)._reconnect = asyncio.sleep  # type: ignore[assignment]
        membership(client)._connections.copy().pop().abort()
        while "left" not in await listener.lines.get():
            pass
        for _ in range(3):
            line = await listener.lines.get()
            assert "waits for clients that were cut off to come back" in line
    await client.__aexit__(KeyboardInterrupt, KeyboardInterrupt(), None)


async def test_nothing_to_do_is_no_standstill(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Channel(int)
    async with serving(monkeypatch, out, None) as (server, listener):
        async with Client(server.address, None, Channel(int)):
            looks = asyncio.Event()
            explain = clientele(server)._standstill.explain
            count = 0

            def counting(clients: int) -> Any:
                nonlocal count
                count += 1
                if count == 5:
                    looks.set()
                return explain(clients)

            clientele(server)._standstill.explain = counting  # type: ignore[method-assign]
            await looks.wait()
            assert listener.lines.empty()


@pytest.mark.parametrize("half", [b"\x31", struct.pack("<Ii", SIGNATURE, 100), None])
async def test_a_peer_that_stops_in_mid_frame_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, half: bytes | None
) -> None:
    """None: it stops between two frames, and is left alone."""
    monkeypatch.setattr("distchan._liveness._LONGEST_STALL", 0.1)
    out = Channel(str)
    async with serving(monkeypatch, out, None, heartbeat=0.1) as (server, listener):
        host, port = server.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        hello = msgspec.structs.replace(wiring(str, str).hello, sends=None, session=bytes(16))
        payload = bytes([Kind.HELLO]) + hello.pack()
        writer.write(struct.pack("<Ii", SIGNATURE, len(payload)) + payload)
        while not server.num_clients:
            await asyncio.sleep(0)
        if half is None:
            (connection,) = clientele(server)._connections
            checks = asyncio.Event()
            check = connection._watch.look_later
            count = 0

            def counting() -> None:
                nonlocal count
                count += 1
                if count == 4:
                    checks.set()
                check()

            connection._watch.look_later = counting  # type: ignore[method-assign]
            await checks.wait()
            assert server.num_clients == 1
        else:
            writer.write(half)
            assert "it stopped in the middle of a frame" in await listener.lines.get()
            assert server.num_clients == 0
        writer.close()
        await reader.read()
