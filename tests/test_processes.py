"""What becomes of the others when a process is killed."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

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


async def test_a_killed_worker_costs_what_it_held_and_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    out, in_ = Channel(int), Channel(int)
    async with processes() as start, Server("localhost:0", out, in_) as server:
        hoarder = await start("hoard", server.address)
        await server.wait_ready(1)
        await start("echo", server.address)
        await server.wait_ready(2)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(out.send_many(range(1000)))
            got = [await in_.receive() for _ in range(990)]
            assert [client.held for client in server.clients] == [10, 0]
            hoarder.kill()
            while server.num_clients == 2:
                await asyncio.sleep(0)
            out.close()
            assert [item async for item in in_] == []
        assert sorted({*range(1000)} - {*got}) == list(range(0, 20, 2))
        assert server.statistics().lost == 10
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
            # What had arrived before is received first.
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
