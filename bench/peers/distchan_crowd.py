"""distchan with many clients on one server, most of them in one process.

--working N   clients that send every item back
--idle N      clients that take nothing: they are connected, and nobody receives from their channel

With the work "there" it answers as the other programs do, with the seconds until so many results
have come back, while there are always more items than are taken. What idle clients are dealt
never comes back. With "memory" it answers any line with the bytes of server memory per client.
"""

import argparse
import asyncio
import contextlib
import gc
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import distchan
from bench.peers import program

#: Results that are not timed: until then every idle client has got what it will ever get, and
#: what is left of the command before has come back.
FIRST = 20_000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("work", choices=["there", "memory"])
    parser.add_argument("--working", type=int, default=0)
    parser.add_argument("--idle", type=int, default=0)
    parser.add_argument("--connect", help="be the clients of the server at this address")
    options = parser.parse_args()
    allow_many_connections()
    if options.connect:
        distchan.run(be_clients(options))
    else:
        distchan.run(measure_memory(options) if options.work == "memory" else serve(options))


def allow_many_connections() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def serve(options: argparse.Namespace) -> None:
    out, in_ = distchan.Channel(str), distchan.Channel(str)

    async def send(size: int) -> None:
        while True:
            await out.send(program.item(size))

    async with distchan.Server("localhost:0", out, in_, drain_timeout=0) as server:
        with contextlib.ExitStack() as processes:
            # The working ones have a process for themselves: the idle ones shall cost only the
            # server something.
            for kind, count in ("working", options.working), ("idle", options.idle):
                if count:
                    processes.enter_context(clients(server.address, kind, count))
            await server.wait_ready(options.working + options.idle)
            print("ready", flush=True)
            while line := await asyncio.to_thread(sys.stdin.readline):
                count, size = map(int, line.split())
                sender = asyncio.create_task(send(size))
                for _ in range(FIRST):
                    await in_.receive()
                start = time.perf_counter()
                for _ in range(count):
                    await in_.receive()
                print(time.perf_counter() - start, flush=True)
                sender.cancel()


async def measure_memory(options: argparse.Namespace) -> None:
    out, in_ = distchan.Channel(str), distchan.Channel(str)
    async with distchan.Server("localhost:0", out, in_, drain_timeout=0) as server:
        with clients(server.address, "idle", 1):
            await server.wait_ready(1)
        while server.num_clients:
            await asyncio.sleep(0.01)
        # What is allocated once, with the first client, is not counted.
        before = resident()
        with clients(server.address, "idle", options.idle):
            await server.wait_ready(options.idle)
            after = resident()
            print("ready", flush=True)
            while await asyncio.to_thread(sys.stdin.readline):
                print((after - before) / options.idle, flush=True)


def resident() -> int:
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def clients(address: str, kind: str, count: int) -> Iterator[None]:
    """A process with so many clients."""
    module = "bench.peers.distchan_crowd"
    process = subprocess.Popen(
        [sys.executable, "-m", module, "there", f"--{kind}", str(count), "--connect", address],
        stdin=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


async def be_clients(options: argparse.Namespace) -> None:
    at_once = asyncio.Semaphore(50)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(options.working):
            tasks.create_task(client(options.connect, at_once, works=True))
        for _ in range(options.idle):
            tasks.create_task(client(options.connect, at_once, works=False))


async def client(address: str, at_once: asyncio.Semaphore, works: bool) -> None:
    out, in_ = distchan.Channel(str), distchan.Channel(str)
    async with contextlib.AsyncExitStack() as stack:
        async with at_once:
            await stack.enter_async_context(distchan.Client(address, out, in_))
        if works:
            async for item in in_:
                await out.send(item)
        else:
            await asyncio.Event().wait()  # until the server ends this process


if __name__ == "__main__":
    main()
