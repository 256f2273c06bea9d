"""Python and Go on the Go original's wire, in all four combinations of server and worker.

    python -m bench.go_wire [--items N] [--rounds N] [--size BYTES]

"there and back": the worker sends back the sum of each pair of numbers. "one way": it counts them.
Go's side is tests/go/peer: frames as the original's, in two or three writes each, one encoder and
one decoder per connection. They take turns: a round has every combination once.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import distchan

ROOT = Path(__file__).parents[1]


@dataclass
class Input:
    A: int
    B: int
    Data: bytes = b""


@dataclass
class Result:
    Sum: int


# -- Python's side --------------------------------------------------------------------------------


async def work(address: str, kind: str) -> None:
    out, in_ = distchan.Channel(Result), distchan.Channel(Input)
    async with distchan.Client(address, out, in_, wire="go"):
        count = 0
        async for item in in_:
            count += 1
            if kind == "there":
                await out.send(Result(item.A + item.B))
        if kind == "one-way":
            await out.send(Result(count))


async def serve(kind: str, items: int, size: int, start_worker: Any) -> float:
    out, in_ = distchan.Channel(Input), distchan.Channel(Result)
    async with distchan.Server("127.0.0.1:0", out, in_, wire="go") as server:
        worker = await start_worker(server.address)
        await server.wait_ready()
        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(produce(out, items, size))
            results = [result.Sum async for result in in_]
        seconds = time.perf_counter() - began
        check(kind, items, len(results), sum(results))
        await worker.wait()
    return seconds


async def produce(out: distchan.Channel[Input], items: int, size: int) -> None:
    data = bytes(size)
    for number in range(items):
        await out.send(Input(number, 1, data))
    out.close()


# -- Go's side ------------------------------------------------------------------------------------


async def serve_go(go: str, kind: str, items: int, size: int, start_worker: Any) -> float:
    options = (go, "server", "-items", str(items), "-size", str(size))
    server = await asyncio.create_subprocess_exec(*options, stdout=PIPE)
    assert server.stdout is not None
    _, address = (await server.stdout.readline()).decode().split()
    worker = await start_worker(address)
    _, count, total = (await server.stdout.readline()).split()
    check(kind, items, int(count), int(total))
    _, seconds = (await server.stdout.readline()).split()
    await worker.wait()
    await server.wait()
    return float(seconds)


def check(kind: str, items: int, count: int, total: int) -> None:
    expected = (1, items) if kind == "one-way" else (items, items * (items + 1) // 2)
    assert (count, total) == expected, f"wrong results: {count}, {total}"


# -- all of them ----------------------------------------------------------------------------------


async def measure(go: str, server: str, worker: str, kind: str, items: int, size: int) -> float:
    """Items per second."""

    async def start_worker(address: str) -> Process:
        if worker == "go":
            mode = "count" if kind == "one-way" else ""
            options = (go, "worker", "-address", address, "-mode", mode)
            return await asyncio.create_subprocess_exec(*options, stdout=PIPE)
        options = (sys.executable, "-m", "bench.go_wire", "--worker", address, kind)
        return await asyncio.create_subprocess_exec(*options, cwd=ROOT)

    if server == "go":
        return items / await serve_go(go, kind, items, size, start_worker)
    return items / await serve(kind, items, size, start_worker)


async def compare(items: int, rounds: int, size: int) -> None:
    rates: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as directory:
        go = f"{directory}/peer"
        build = await asyncio.create_subprocess_exec(
            "go", "build", "-o", go, ".", cwd=ROOT / "tests/go/peer"
        )
        if await build.wait():
            sys.exit("the Go side could not be built")
        for _ in range(rounds):
            for kind in ("there", "one-way"):
                for server in ("go", "python"):
                    for worker in ("go", "python"):
                        rate = await measure(go, server, worker, kind, items, size)
                        rates[server, worker, kind].append(rate)
    print(
        f"{distchan.BACKEND} backend; items/s of {size} bytes of data, {rounds} rounds of "
        f"{items:,}: median (least to most)\n"
    )
    print("| server | worker | there and back | one way |\n|---|---|---|---|")
    for server in ("go", "python"):
        for worker in ("go", "python"):
            there, one_way = (spread(rates[server, worker, kind]) for kind in ("there", "one-way"))
            print(f"| {server} | {worker} | {there} | {one_way} |")


def spread(figures: list[float]) -> str:
    return f"{statistics.median(figures):,.0f} ({min(figures):,.0f} to {max(figures):,.0f})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=0, help="of the data in each item")
    parser.add_argument("--worker", nargs=2, metavar=("ADDRESS", "KIND"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        distchan.run(work(*arguments.worker))
    else:
        distchan.run(compare(arguments.items, arguments.rounds, arguments.size))
