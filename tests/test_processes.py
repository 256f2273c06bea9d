"""What becomes of the others when a process is killed."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from distchan import Channel, Client, ConnectionLost, Server

PROGRAMS = Path(__file__).with_name("programs.py")


@asynccontextmanager
async def processes() -> AsyncIterator[Callable[[str, str], Awaitable[Process]]]:
    """Starts the programs of programs.py; kills what is left of them."""
    started: list[Process] = []

    async def start(name: str, address: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, PROGRAMS, name, address, stdout=PIPE
        )
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def test_a_killed_worker_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    out, in_ = Channel(int), Channel(int)
    options: dict[str, Any] = {"prefetch": 10, "resume_timeout": 0.1}
    async with processes() as start, Server("localhost:0", out, in_, **options) as server:
        hoarder = await start("hoard", server.address)
        await server.wait_ready(1)
        await start("echo", server.address)
        await server.wait_ready(2)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(out.send_many(range(1000)))
            got = [await in_.receive() for _ in range(990)]
            assert server.clients[0].held == 10
            out.close()
            hoarder.kill()
            rest = [item async for item in in_]
        assert sorted({*range(1000)} - {*got}) == sorted(rest) == list(range(0, 20, 2))
        figures = server.statistics()
        assert (figures.settled, figures.results, figures.redelivered) == (1000, 1000, 10)
        assert (figures.lost, figures.dead_lettered) == (0, 0)
    assert "go to others: 9, and 1 more that may be to blame" in caplog.text


async def test_the_results_of_a_killed_worker_count_only_with_the_settlement() -> None:
    out, in_ = Channel(int), Channel(int)
    options: dict[str, Any] = {"prefetch": 10, "resume_timeout": 0.1}
    async with processes() as start, Server("localhost:0", out, in_, **options) as server:
        dawdler = await start("dawdle", server.address)
        assert dawdler.stdout is not None
        await server.wait_ready()
        await out.send_many(range(5))
        assert await dawdler.stdout.readline()
        out.close()
        dawdler.kill()
        assert server.statistics().results == 0
        await start("echo", server.address)
        assert sorted([item async for item in in_]) == list(range(5))
        assert server.statistics().redelivered == 5


async def test_with_delivery_at_most_once_a_killed_worker_costs_what_it_held_and_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    out, in_ = Channel(int), Channel(int)
    options: dict[str, Any] = {"prefetch": 10, "delivery": "at-most-once"}
    async with processes() as start, Server("localhost:0", out, in_, **options) as server:
        hoarder = await start("hoard", server.address)
        await server.wait_ready(1)
        await start("echo", server.address)
        await server.wait_ready(2)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(out.send_many(range(1000)))
            got = [await in_.receive() for _ in range(990)]
            assert server.clients[0].held == 10
            hoarder.kill()
            while server.num_clients == 2:
                await asyncio.sleep(0)
            out.close()
            assert [item async for item in in_] == []
        assert sorted({*range(1000)} - {*got}) == list(range(0, 20, 2))
        assert server.statistics().lost == 10
        assert server.statistics().redelivered == 0
    assert "items dealt to it that may be lost: 10" in caplog.text


async def test_clients_go_on_with_a_server_that_was_killed_and_restarted() -> None:
    in_ = Channel(int)
    async with processes() as start:
        first = await start("count", "localhost:0")
        assert first.stdout is not None
        address = (await first.stdout.readline()).decode().strip()
        async with Client(address, None, in_, prefetch=5):
            assert [await in_.receive() for _ in range(20)] == list(range(20))
            first.kill()
            await first.wait()
            second = await start("count", address)
            # What the first one had sent may come first.
            while await in_.receive():
                pass
            assert await in_.receive() == 1
            assert second.returncode is None


async def test_a_server_that_was_killed_for_good_ends_both_channels() -> None:
    in_ = Channel(int)
    async with processes() as start:
        server = await start("count", "localhost:0")
        assert server.stdout is not None
        address = (await server.stdout.readline()).decode().strip()
        client = await Client(address, None, in_, connect_timeout=0.2).__aenter__()
        await in_.receive()
        server.kill()
        with pytest.raises(ConnectionLost, match=f"the connection to {address} is lost: no server"):
            [item async for item in in_]
        with pytest.raises(ConnectionLost):
            await client.done()
        with pytest.raises(ConnectionLost):
            await client.aclose()
