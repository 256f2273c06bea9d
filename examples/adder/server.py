"""Deals pairs of random numbers to workers, prints the sums that come back and checks them.

In one terminal:            python examples/adder/server.py 20
In another, once or more:   python examples/adder/worker.py

With --wire go the workers may be programs in Go: see worker.go, and docs/go.md.
"""

import argparse
import asyncio
import random
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Literal

import distchan


@dataclass
class Pair:
    """In Go: ``type Pair struct{ A, B int }``."""

    a: int
    b: int


async def main(address: str, count: int, workers: int, wire: Literal["native", "go"]) -> None:
    pairs = [Pair(random.randrange(1000), random.randrange(1000)) for _ in range(count)]
    sums: Counter[int] = Counter()

    out = distchan.Channel(Pair)
    in_ = distchan.Channel(int)
    async with distchan.Server(address, out, in_, wire=wire) as server:
        print(f"listening on {server.address}, waiting for {workers} worker(s)", file=sys.stderr)
        await server.wait_ready(workers)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(produce(pairs, out))
            async for total in in_:
                print(total)
                sums[total] += 1

    # Several workers answer in any order, so it is the sums as a whole that are compared.
    if sums != Counter(pair.a + pair.b for pair in pairs):
        sys.exit(f"server: {sums.total()} sums for {count} pairs, and they are not the right ones")
    print(f"{count} pairs, all sums are right")


async def produce(pairs: list[Pair], out: distchan.Channel[Pair]) -> None:
    for pair in pairs:
        await out.send(pair)  # or all at once: await out.send_many(pairs)
    out.close()  # every worker learns that no more work is coming


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Have workers add up pairs of random numbers.")
    parser.add_argument("count", type=int, nargs="?", default=10, help="default: %(default)s")
    parser.add_argument("--address", default="localhost:5678", help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=1, help="to wait for (default: 1)")
    parser.add_argument(
        "--wire", choices=["native", "go"], default="native", help="default: %(default)s"
    )
    options = parser.parse_args()
    try:
        distchan.run(main(options.address, options.count, options.workers, options.wire))
    except KeyboardInterrupt:
        sys.exit("server: interrupted")
    except (distchan.DistchanError, OSError, ValueError) as error:
        sys.exit(f"server: {error}")
