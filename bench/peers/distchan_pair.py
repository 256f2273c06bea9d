"""distchan, by its public interface.

--batches   send_many() and receive_many() instead of one item at a time
--delivery  at-least-once, or at-most-once
--loop      that of distchan.run(), or asyncio's own
--items     strings         of the default codec, msgpack
            bytes           of the codec "raw"
            arrays          NumPy arrays of float64, of the codec "raw"; the receiver makes
                            an array of the bytes
            pickled-arrays  the same of the codec "pickle"
"""

import argparse
import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import distchan
from bench.peers import program

#: How many items go into one call with --batches.
BATCH = 1000

CODECS = {
    "strings": (str, "msgpack"),
    "bytes": (bytes, "raw"),
    "arrays": (Any, "raw"),
    "pickled-arrays": (Any, "pickle"),
}

Channel = distchan.Channel[Any]


def main() -> None:
    parser = program.parser()
    parser.add_argument("--batches", action="store_true")
    parser.add_argument("--delivery", default="at-least-once")
    parser.add_argument("--loop", default="", choices=["", "asyncio"])
    parser.add_argument("--items", default="strings", choices=CODECS)
    options = parser.parse_args()
    run = asyncio.run if options.loop == "asyncio" else distchan.run
    run(work(options) if options.connect else serve(options))


def channels(items: str) -> tuple[Channel, Channel]:
    item_type, _ = CODECS[items]
    return distchan.Channel(item_type), distchan.Channel(item_type)


# -- The server ------------------------------------------------------------------------------


async def serve(options: argparse.Namespace) -> None:
    out, in_ = channels(options.items)
    _, codec = CODECS[options.items]
    send = send_in_batches if options.batches else send_singly
    receive = receive_in_batches if options.batches else receive_singly

    async def there(count: int, size: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send(out, made(options.items, size), count))
            await receive(in_, count)

    async def one_way(count: int, size: int) -> None:
        await send(out, made(options.items, size), count)
        await out.send(last(options.items))
        program.check(int(await in_.receive()), count)

    async def round_trips(count: int, size: int) -> None:
        item = made(options.items, size)
        for _ in range(count):
            await out.send(item)
            await in_.receive()

    async with distchan.Server(
        "localhost:0",
        out,
        in_,
        codec=codec,
        delivery=options.delivery,
        insecure=codec == "pickle",
    ) as server:
        with program.workers(options.workers, server.address):
            await server.wait_ready(options.workers)
            kinds = {"there": there, "one-way": one_way, "round-trips": round_trips}
            await program.serve_async(kinds, options.work)
            out.close()
            async for _ in in_:  # ends when the workers have left
                pass


def made(items: str, size: int) -> Any:
    if items == "strings":
        return program.item(size)
    if items == "bytes":
        return program.item(size).encode()
    import numpy as np

    return np.arange(size // 8, dtype=np.float64)


def last(items: str) -> Any:
    if items == "strings":
        return program.LAST
    if items == "bytes":
        return program.LAST.encode()
    return made(items, 8)  # told from the others by its length


async def send_singly(out: Channel, item: Any, count: int) -> None:
    for _ in range(count):
        await out.send(item)


async def send_in_batches(out: Channel, item: Any, count: int) -> None:
    for size in batches(count):
        await out.send_many([item] * size)


async def receive_singly(in_: Channel, count: int) -> None:
    for _ in range(count):
        await in_.receive()


async def receive_in_batches(in_: Channel, count: int) -> None:
    while count:
        count -= len(await in_.receive_many(min(BATCH, count)))


def batches(count: int) -> Iterator[int]:
    while count:
        yield min(BATCH, count)
        count -= min(BATCH, count)


# -- The worker ------------------------------------------------------------------------------


async def work(options: argparse.Namespace) -> None:
    out, in_ = channels(options.items)
    _, codec = CODECS[options.items]
    async with distchan.Client(
        options.connect,
        out,
        in_,
        codec=codec,
        delivery=options.delivery,
        insecure=codec == "pickle",
    ):
        if options.work != "one-way":
            await (echo_batches if options.batches else echo)(in_, out)
        elif options.items == "arrays":
            import numpy as np

            await count_arrays(in_, out, np.frombuffer)
        elif options.items == "pickled-arrays":
            await count_arrays(in_, out)
        else:
            await (count_batches if options.batches else count)(in_, out, last(options.items))


async def echo(in_: Channel, out: Channel) -> None:
    async for item in in_:
        await out.send(item)


async def echo_batches(in_: Channel, out: Channel) -> None:
    while True:
        try:
            items = await in_.receive_many(BATCH)
        except distchan.EndOfChannel:
            break
        await out.send_many(items)


async def count(in_: Channel, out: Channel, last: Any) -> None:
    seen = 0
    async for item in in_:
        if item == last:
            await out.send(answer(last, seen))
            seen = 0
        else:
            seen += 1


async def count_batches(in_: Channel, out: Channel, last: Any) -> None:
    seen = 0
    while True:
        try:
            items = await in_.receive_many(BATCH)
        except distchan.EndOfChannel:
            break
        for item in items:
            if item == last:
                await out.send(answer(last, seen))
                seen = 0
            else:
                seen += 1


async def count_arrays(
    in_: Channel, out: Channel, view: Callable[[Any], Any] = lambda array: array
) -> None:
    seen = 0
    async for item in in_:
        if len(view(item)) == 1:
            await out.send(answer(b"", seen))
            seen = 0
        else:
            seen += 1


def answer(like: str | bytes, seen: int) -> str | bytes:
    """The count, as what the codec can carry."""
    return str(seen) if isinstance(like, str) else str(seen).encode()


if __name__ == "__main__":
    main()
