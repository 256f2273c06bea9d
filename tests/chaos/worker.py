"""A worker of a chaos run: ``python worker.py ADDRESS LOOP TASKS PAUSE``.

It sends exactly one result for each item: the item and its own process id. It exits with 3 if it
could not stay connected or was refused, with 0 if it was told that the work is done.
"""

import asyncio
import logging
import os
import sys

import distchan


async def work(
    out: distchan.Channel[tuple[int, int]], in_: distchan.Channel[int], pause: float
) -> None:
    async for number in in_:
        await asyncio.sleep(pause)
        await out.send((number, os.getpid()))


async def main(address: str, tasks: int, pause: float) -> None:
    out: distchan.Channel[tuple[int, int]] = distchan.Channel(tuple[int, int])
    in_ = distchan.Channel(int)
    try:
        async with distchan.Client(address, out, in_):
            await asyncio.gather(*(work(out, in_, pause) for _ in range(tasks)))
    except (distchan.ConnectError, distchan.ConnectionLost, distchan.HandshakeError):
        sys.exit(3)


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # it is cut off all the time
    _, address, loop, tasks, pause = sys.argv
    program = main(address, int(tasks), float(pause))
    if loop == "asyncio":
        asyncio.run(program)
    else:
        distchan.run(program)
