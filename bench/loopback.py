"""The processes that bench_loopback.py measures; not meant to be started by hand.

Without an argument: the server. It starts one worker, prints the backend, and then carries out the
commands on its standard input, "stream N" and "pingpong N", answering "done" to each.
"""

import asyncio
import sys

import distchan

ITEM = "x" * 32


async def serve() -> None:
    out = distchan.Channel(str)
    in_ = distchan.Channel(str)
    async with distchan.Server("localhost:0", out, in_) as server:
        worker = await asyncio.create_subprocess_exec(sys.executable, __file__, server.address)
        await server.wait_ready()
        print(distchan.BACKEND, flush=True)
        while command := await asyncio.to_thread(sys.stdin.readline):
            name, count = command.split()
            await (stream if name == "stream" else ping_pong)(out, in_, int(count))
            print("done", flush=True)
    await worker.wait()


async def stream(out: distchan.Channel[str], in_: distchan.Channel[str], count: int) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send(out, count))
        for _ in range(count):
            await in_.receive()


async def send(out: distchan.Channel[str], count: int) -> None:
    for _ in range(count):
        await out.send(ITEM)


async def ping_pong(out: distchan.Channel[str], in_: distchan.Channel[str], count: int) -> None:
    for _ in range(count):
        await out.send(ITEM)
        await in_.receive()


async def work(address: str) -> None:
    out = distchan.Channel(str)
    in_ = distchan.Channel(str)
    async with distchan.Client(address, out, in_):
        async for item in in_:
            await out.send(item)
        out.close()


if __name__ == "__main__":
    distchan.run(work(sys.argv[1]) if len(sys.argv) > 1 else serve())
