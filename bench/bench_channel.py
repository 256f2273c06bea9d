"""Channels between tasks of one process: COUNT items a round, on both event loops.

A process has one backend: for the one in Python, start it with DISTCHAN_NO_EXTENSIONS=1.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

import distchan

COUNT = 10_000
BATCH = 1000

Channel = distchan.Channel[str]

Scenario = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture(params=["asyncio", "uvloop"], ids=lambda loop: f"{distchan.BACKEND}-{loop}")
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    factory = None
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield runner


async def send(channel: Channel) -> None:
    for _ in range(COUNT):
        await channel.send("x")
    channel.close()


async def one_by_one(capacity: int) -> None:
    channel = distchan.Channel(str, capacity)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send(channel))
        async for _ in channel:
            pass


async def unbuffered() -> None:
    await one_by_one(0)


async def buffered() -> None:
    await one_by_one(BATCH)


async def selected() -> None:
    """Two senders, one receiver that selects."""
    running = [distchan.Channel(str), distchan.Channel(str)]
    async with asyncio.TaskGroup() as tasks:
        for channel in running:
            tasks.create_task(send(channel))
        while running:
            try:
                await distchan.select(*running)
            except distchan.EndOfChannel as end:
                running = [channel for channel in running if channel is not end.channel]


async def in_batches() -> None:
    channel = distchan.Channel(str, BATCH)

    async def send_batches() -> None:
        for _ in range(COUNT // BATCH):
            await channel.send_many(["x"] * BATCH)
        channel.close()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send_batches())
        while True:
            try:
                await channel.receive_many(BATCH)
            except distchan.EndOfChannel:
                break


@pytest.mark.parametrize(
    ("title", "scenario"),
    [
        pytest.param("unbuffered", unbuffered, id="unbuffered"),
        pytest.param(f"capacity {BATCH}", buffered, id="buffered"),
        pytest.param("select, twice as many", selected, id="select"),
        pytest.param(f"batches of {BATCH}", in_batches, id="batches"),
    ],
)
def bench_channel(benchmark: Any, runner: asyncio.Runner, title: str, scenario: Scenario) -> None:
    benchmark.group = f"{COUNT} items between two tasks: {title}"
    benchmark.pedantic(lambda: runner.run(scenario()), rounds=20, warmup_rounds=2)
