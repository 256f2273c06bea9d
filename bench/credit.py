"""What credit is worth: one slow worker among others, and "auto" against fixed prefetch.

    python bench/credit.py slow      1,000 items of 50 ms, 4 workers, one of them 10 times slower
    python bench/credit.py tiny      items that take no time, prefetch 1 to 4096 and "auto"

Workers are processes; both print a table.
"""

import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import distchan

SLOW_ITEMS = 1_000
SECONDS = (0.05, 0.05, 0.05, 0.5)
TINY_ITEMS = 20_000
TINY_ROUNDS = 7
PREFETCH = (1, 4, 16, 64, 256, 1024, 4096, "auto")


async def work(address: str, seconds: float) -> None:
    out, in_ = distchan.Channel(int), distchan.Channel(int)
    async with distchan.Client(address, out, in_):
        async for item in in_:
            if seconds:
                await asyncio.sleep(seconds)
            await out.send(item)
        out.close()


@contextlib.asynccontextmanager
async def cluster(
    delays: tuple[float, ...], **options: Any
) -> AsyncIterator[tuple[distchan.Channel[int], distchan.Channel[int]]]:
    """A server with one worker process for each delay."""
    out, in_ = distchan.Channel(int), distchan.Channel(int)
    async with distchan.Server("localhost:0", out, in_, **options) as server:
        workers = [
            await asyncio.create_subprocess_exec(
                sys.executable, __file__, server.address, str(delay)
            )
            for delay in delays
        ]
        await server.wait_ready(len(delays))
        yield out, in_
    for worker in workers:
        await worker.wait()


async def run(out: distchan.Channel[int], in_: distchan.Channel[int], count: int) -> float:
    """Seconds for so many items there and back."""
    start = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(out.send_many(range(count)))
        for _ in range(count):
            await in_.receive()
    return time.perf_counter() - start


async def slow() -> None:
    ideal = SLOW_ITEMS / sum(1 / seconds for seconds in SECONDS)
    print(f"{SLOW_ITEMS} items, {len(SECONDS)} workers that take {SECONDS} s; ideal {ideal:.2f} s")
    for prefetch in ("auto", 1, 4, 16):
        async with cluster(SECONDS, prefetch=prefetch) as (out, in_):
            seconds = await run(out, in_, SLOW_ITEMS)
        print(f"prefetch {prefetch!s:>5}  {seconds:6.2f} s  {seconds / ideal:.3f} x ideal")


async def tiny() -> None:
    async with contextlib.AsyncExitStack() as stack:
        channels = {
            prefetch: await stack.enter_async_context(cluster((0,), prefetch=prefetch))
            for prefetch in PREFETCH
        }
        rates: dict[object, list[float]] = {prefetch: [] for prefetch in PREFETCH}
        for turn in range(TINY_ROUNDS + 1):
            for prefetch, (out, in_) in channels.items():
                rate = TINY_ITEMS / await run(out, in_, TINY_ITEMS)
                if turn:  # the first one warms up
                    rates[prefetch].append(rate)
    best = max(statistics.median(rates[p]) for p in PREFETCH if p != "auto")
    for prefetch in PREFETCH:
        seen = rates[prefetch]
        rate = statistics.median(seen)
        print(
            f"prefetch {prefetch!s:>5}  {rate:9,.0f} items/s ({min(seen):,.0f} to {max(seen):,.0f})"
            f"  {rate / best:.2f} x the best fixed one"
        )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["slow"]:
            distchan.run(slow())
        case ["tiny"]:
            distchan.run(tiny())
        case [address, seconds]:
            distchan.run(work(address, float(seconds)))
        case _:
            sys.exit(__doc__)
