"""Programs that tests start as processes: ``python programs.py NAME ADDRESS``."""

import asyncio
import sys

import distchan


async def echo(address: str) -> None:
    """A worker that sends back what it gets."""
    out, in_ = distchan.Channel(int), distchan.Channel(int)
    async with distchan.Client(address, out, in_):
        async for item in in_:
            await out.send(item)
        out.close()


async def hoard(address: str) -> None:
    """A worker that never receives what it is dealt."""
    async with distchan.Client(address, None, distchan.Channel(int)):
        await asyncio.Event().wait()


async def dawdle(address: str) -> None:
    """A worker that sends results for its first items, but never comes back for others."""
    out, in_ = distchan.Channel(int), distchan.Channel(int)
    async with distchan.Client(address, out, in_):
        await out.send_many(await in_.receive_many(5))
        print("sent", flush=True)
        await asyncio.Event().wait()


async def count(address: str) -> None:
    """A server that deals numbers for ever, and says where."""
    out = distchan.Channel(int)
    async with distchan.Server(address, out, None) as server:
        print(server.address, flush=True)
        number = 0
        while True:
            await out.send(number)
            number += 1


if __name__ == "__main__":
    name, address = sys.argv[1:]
    programs = {"echo": echo, "hoard": hoard, "dawdle": dawdle, "count": count}
    distchan.run(programs[name](address))
