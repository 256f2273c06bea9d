"""Workers and servers that come to harm: ``python chaos_programs.py LOOP NAME ADDRESS ...``."""

import asyncio
import contextlib
import itertools
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import distchan
from distchan import Channel, Client, Server

Results: TypeAlias = Channel[tuple[int, int]]

#: The exit status of poisoned workers.
POISONED: Final = 70

# -- workers that die of poison: negative numbers, by a signal those that are odd -----------------


def swallow(number: int) -> None:
    if number < 0:
        if number % 2:
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(POISONED)


async def in_a_stream(out: Results, in_: Channel[int]) -> None:
    async for number in in_:
        swallow(number)
        await out.send((number, 0))


async def with_turns(out: Results, in_: Channel[int]) -> None:
    """With many tasks, several of them ask for an item in the same turn of the loop."""
    async for number in in_:
        swallow(number)
        await out.send((number, 0))
        await asyncio.sleep(0.001 * (number % 3))


async def with_leases(out: Results, in_: Channel[int]) -> None:
    with contextlib.suppress(distchan.EndOfChannel):
        while True:
            lease = in_.lease()
            async with lease as number:
                swallow(number)
                await out.send((number, lease.attempt or 0))


async def in_batches(out: Results, in_: Channel[int]) -> None:
    with contextlib.suppress(distchan.EndOfChannel):
        while True:
            for number in await in_.receive_many(64):
                swallow(number)
                await out.send((number, 0))


async def without_waiting(out: Results, in_: Channel[int]) -> None:
    with contextlib.suppress(distchan.EndOfChannel):
        while True:
            try:
                number = in_.receive_nowait()
            except distchan.WouldBlock:
                number = await in_.receive()
            swallow(number)
            out.send_nowait((number, 0))


MANNERS: dict[str, Callable[[Results, Channel[int]], Awaitable[None]]] = {
    "stream": in_a_stream,
    "turns": with_turns,
    "leases": with_leases,
    "batches": in_batches,
    "nowait": without_waiting,
}


async def eat(address: str, manner: str, tasks: str) -> None:
    """Sends back each number and its attempt, if that is known."""
    out: Results = Channel(tuple[int, int])
    in_ = Channel(int)
    async with Client(address, out, in_):
        await asyncio.gather(*(MANNERS[manner](out, in_) for _ in range(int(tasks))))


# -- workers that are slow ------------------------------------------------------------------------


async def work(address: str, pause: str) -> None:
    """Sends back each number and its process id, after a pause."""
    out: Results = Channel(tuple[int, int])
    in_ = Channel(int)
    async with Client(address, out, in_):
        async for number in in_:
            await asyncio.sleep(float(pause))
            await out.send((number, os.getpid()))


async def compute(address: str, seconds: str) -> None:
    """Sends back each item. Over an empty one it computes, and holds the GIL all the time.

    Half of that in Python, half of it in one call.
    """
    out, in_ = Channel(bytes), Channel(bytes)
    async with Client(address, out, in_):
        async for item in in_:
            if not item:
                end = time.monotonic() + float(seconds) / 2
                while time.monotonic() < end:
                    pass
                deque(itertools.repeat(None, _steps(float(seconds) / 2)), maxlen=0)
            await out.send(item)


def _steps(seconds: float) -> int:
    """About how many steps of a C loop take so long."""
    began = time.perf_counter()
    deque(itertools.repeat(None, 1_000_000), maxlen=0)
    return int(1_000_000 * max(seconds, 0) / (time.perf_counter() - began))


async def multiply(address: str, count: str) -> None:
    """Sends back each item so many times."""
    out, in_ = Channel(bytes), Channel(bytes)
    async with Client(address, out, in_, codec="raw"):
        async for item in in_:
            await out.send_many(itertools.repeat(item, int(count)))


# -- servers --------------------------------------------------------------------------------------


async def serve(address: str, first: str, count: str) -> None:
    """Deals numbers, says where, and then for which of them results come."""
    out = Channel(int)
    in_: Results = Channel(tuple[int, int])
    async with Server(address, out, in_) as server, asyncio.TaskGroup() as tasks:
        print(server.address, flush=True)
        tasks.create_task(_deal(out, range(int(first), int(first) + int(count))))
        async for number, _ in in_:
            print(number, flush=True)
        print("end", flush=True)


async def _deal(out: Channel[int], numbers: range) -> None:
    await out.send_many(numbers)
    out.close()


PROGRAMS: dict[str, Callable[..., Awaitable[None]]] = {
    "eat": eat,
    "work": work,
    "compute": compute,
    "multiply": multiply,
    "serve": serve,
}


async def main(name: str, *arguments: str) -> None:
    await PROGRAMS[name](*arguments)


if __name__ == "__main__":
    loop, *rest = sys.argv[1:]
    if loop == "asyncio":
        asyncio.run(main(*rest))
    else:
        distchan.run(main(*rest))
