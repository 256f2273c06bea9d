"""Credit, end to end: no account runs away from the other end's, however long a session lasts."""

import asyncio

import pytest

from distchan import Channel, Client, Server


@pytest.mark.parametrize("results", ["settled", "stream"])
async def test_far_more_results_than_there_is_credit_for_at_once(results: str) -> None:
    out, in_ = Channel(bytes), Channel(bytes)
    items = [b"x" * (number % 20) for number in range(600)]

    async def work(address: str) -> None:
        w_out, w_in = Channel(bytes), Channel(bytes)
        async with Client(address, w_out, w_in, codec="raw", results=results):  # type: ignore[arg-type]
            number = 0
            async for item in w_in:
                for _ in range(number % 3):
                    await w_out.send(item)
                number += 1

    # So few bytes that each result needs what has been granted for earlier ones.
    async with Server("localhost:0", out, in_, codec="raw", prefetch_bytes=50) as server:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(work(server.address))
            tasks.create_task(out.send_many(items))
            for number, item in enumerate(items):
                for _ in range(number % 3):
                    assert await in_.receive() == item
            out.close()
        assert server.statistics().settled == len(items)


@pytest.mark.parametrize("batch", [1, 2, 3, 8])
async def test_a_worker_with_tiny_items_soon_has_many_at_hand(batch: int) -> None:
    """However many it takes at a time: what it has at hand grows with what it has done."""
    out, w_in = Channel(int), Channel(int)

    async def work() -> None:
        while True:
            await w_in.receive_many(batch)

    async with (
        Server("localhost:0", out, None, drain_timeout=0) as server,
        Client(server.address, None, w_in),
    ):
        worker = asyncio.create_task(work())
        most_held = 0
        for item in range(5000):
            await out.send(item)
            most_held = max(most_held, server.statistics().held)
        worker.cancel()
        assert most_held > 20
