"""Instruction counts of the compiled core, which a busy machine does not change.

    python -m bench.instructions            compare them with those in instructions.json
    python -m bench.instructions --update   write what was counted there

Valgrind's callgrind counts the instructions of a whole process. Each operation is run a few and
many times; the difference is that of the operations alone. Figures hold for one version of CPython
on one kind of processor: for another one there is nothing to compare with, which is said.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final
from unittest import mock

import distchan
from bench import micro
from distchan import _framing, _roundrobin
from distchan._dealer import Dealer
from distchan._session import Opened
from tests import helpers

FIGURES: Final = Path(__file__).with_suffix(".json")
#: By how much a figure may grow before it counts as a loss, and shrink before it is outdated.
TOLERANCE: Final = 0.05
FEW: Final = 2_000
MANY: Final = 12_000


def encode(count: int) -> None:
    micro.encode(_framing, micro.add_items)(count)


def decode(count: int) -> None:
    micro.decode(_framing, micro.add_items, "expect_items")(count)


def select(count: int) -> None:
    ring = _roundrobin.Ring[int]()
    for member in range(1000):
        ring.join(member, member % 10 == 0)
    for _ in range(count):
        ring.select()


def send(count: int) -> None:
    """From Channel.send to what is to be written to a client, without a network."""
    asyncio.run(_send(count))


async def _send(count: int) -> None:
    link = helpers.Link(
        helpers.wiring(str, None, prefetch=MANY, prefetch_bytes=1 << 30),
        helpers.wiring(None, str, prefetch=MANY, prefetch_bytes=1 << 30),
    )
    at_server, _ = link.carry()
    assert any(isinstance(event, Opened) for event in at_server)
    link.client.want(MANY)
    link.carry()
    channel = link.server_wiring.outgoing
    assert channel is not None
    dealer = Dealer(
        channel,
        link.server_wiring.encoder(1 << 20),
        max_attempts=3,
        finished=lambda: None,
        bury=lambda item, reason: None,
        logger=link.server_wiring.logger,
    )
    channel._bind_outlet(dealer)
    dealer.join(link.server)
    item = "x" * 32
    # Without a clock, since under callgrind everything takes long, and the loop would be given a
    # turn after every few items.
    with mock.patch("distchan._rendezvous.now", return_value=0.0):
        for _ in range(count // 1000):
            for _ in range(1000):
                await channel.send(item)
            link.server.data_to_send()


OPERATIONS: Final[dict[str, Callable[[int], None]]] = {
    "encode": encode,
    "decode": decode,
    "select": select,
    "send": send,
}


def counted(name: str, count: int) -> int:
    """The instructions of a process that does so many operations."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.run(
            [
                *("valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out"),
                *(sys.executable, "-m", "bench.instructions", "--run", name, str(count)),
            ],
            env=os.environ | {"PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
    found = re.search(r"Collected : (\d+)", process.stderr)
    if process.returncode or found is None:
        raise SystemExit(f"callgrind failed:\n{process.stderr}")
    return int(found[1])


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--update", action="store_true")
    arguments.add_argument("--run", nargs=2, metavar=("NAME", "COUNT"))
    options = arguments.parse_args()
    if options.run:
        name, count = options.run
        OPERATIONS[name](int(count))
        return 0
    if distchan.BACKEND != "cython":
        raise SystemExit("there is nothing compiled here")

    now = {
        name: round((counted(name, MANY) - counted(name, FEW)) / (MANY - FEW))
        for name in OPERATIONS
    }
    place = f"CPython {platform.python_version()}, {platform.machine()}"
    every = json.loads(FIGURES.read_text())
    before = every.get(place)
    if options.update:
        every[place] = now
        FIGURES.write_text(json.dumps(every, indent=4, sort_keys=True) + "\n")
    worse = False
    for name, figure in now.items():
        line = f"{name:8} {figure:6} instructions"
        if before is not None and name in before:
            change = figure / before[name] - 1
            worse = worse or change > TOLERANCE
            line += f", {change:+.1%} against {before[name]}"
            if change < -TOLERANCE:
                line += ": better; write it down with --update"
        print(line)
    if before is None:
        print(f"there are no figures to compare with for {place}")
    elif worse and not options.update:
        print(f"more than {TOLERANCE:.0%} slower than it was")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
