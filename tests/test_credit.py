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
