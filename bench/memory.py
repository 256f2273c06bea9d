"""Whether memory stays flat: a million items there and back, through every codec, on both backends.

    python -m bench.memory [--items N] [CODEC ...]

A server and a client in one process, over a Unix socket. After each tenth of the items it looks at
what Python has allocated (tracemalloc) and at the process's resident memory, and prints both as
they were after the second tenth, when everything is warm, and at the end.
"""

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import tracemalloc
from typing import Any

from distchan import BACKEND, Channel, Client, Server

__all__: list[str] = []

_ITEMS = {
    "msgpack": (dict, {"id": 1, "name": "an item", "values": [1.5, 2.5]}),
    "json": (dict, {"id": 1, "name": "an item", "values": [1.5, 2.5]}),
    "raw": (bytes, b"thirty-two bytes, more or less.."),
    "pickle": (tuple, (1, "an item", [1.5, 2.5])),
    "gob": (list[str], ["an", "item"]),
}


def resident() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


async def echo(address: str, codec: str, item_type: Any) -> None:
    out, in_ = Channel(item_type), Channel(item_type)
    async with Client(address, out, in_, codec=codec):
        async for item in in_:
            await out.send(item)
        out.close()


async def run(codec: str, count: int, folder: str) -> list[tuple[int, int]]:
    """What is allocated and resident, in bytes, after each tenth."""
    item_type, item = _ITEMS[codec]
    samples = []
    out, in_ = Channel(item_type), Channel(item_type)
    address = f"unix:{folder}/socket"
    async with Server(address, out, in_, codec=codec) as server, asyncio.TaskGroup() as tasks:
        tasks.create_task(echo(server.address, codec, item_type))

        async def send() -> None:
            for _ in range(count):
                await out.send(item)
            out.close()

        tasks.create_task(send())
        received = 0
        async for _ in in_:
            received += 1
            if received % (count // 10) == 0:
                gc.collect()
                samples.append((tracemalloc.get_traced_memory()[0], resident()))
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description="whether memory stays flat")
    parser.add_argument("codecs", nargs="*", default=[*_ITEMS], metavar="CODEC")
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--here", action="store_true", help="one codec, on this backend, as JSON")
    options = parser.parse_args()
    if options.here:
        tracemalloc.start()
        with tempfile.TemporaryDirectory() as folder:
            samples = asyncio.run(run(options.codecs[0], options.items, folder))
        print(json.dumps([BACKEND, samples]))
        return
    print(f"{'codec':8} {'backend':8} {'allocated, MiB':>20} {'resident, MiB':>20}")
    for codec in options.codecs:
        for without in ("0", "1"):
            done = subprocess.run(
                [sys.executable, "-m", "bench.memory", "--here", f"--items={options.items}", codec],
                env=os.environ | {"DISTCHAN_NO_EXTENSIONS": without},
                stdout=subprocess.PIPE,
                check=True,
            )
            backend, samples = json.loads(done.stdout)
            (allocated, before), (at_end, after) = samples[1], samples[-1]
            print(
                f"{codec:8} {backend:8} {allocated / 2**20:9.2f} -> {at_end / 2**20:7.2f}"
                f" {before / 2**20:9.1f} -> {after / 2**20:7.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
