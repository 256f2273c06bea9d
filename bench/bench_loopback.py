"""Two processes on loopback, on either backend: items there and back, and single round trips."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ITEMS = 20_000
ROUND_TRIPS = 1_000


class Pair:
    """A server process (see loopback.py) with one worker process of its own."""

    def __init__(self, backend: str) -> None:
        environment = os.environ | {"DISTCHAN_NO_EXTENSIONS": "1" if backend == "python" else ""}
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("loopback.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.backend = self._answer()

    def run(self, command: str) -> None:
        assert self._process.stdin is not None
        print(command, file=self._process.stdin, flush=True)
        assert self._answer() == "done"

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture(params=["cython", "python"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    pair = Pair(request.param)
    try:
        if pair.backend != request.param:
            pytest.skip("the extensions have not been built")
        yield pair
    finally:
        pair.close()


@pytest.mark.benchmark(group=f"{ITEMS} strings of 32 bytes there and back")
def bench_there_and_back(benchmark: Any, pair: Pair) -> None:
    benchmark.pedantic(pair.run, (f"stream {ITEMS}",), rounds=7, warmup_rounds=1)


@pytest.mark.benchmark(group=f"{ROUND_TRIPS} round trips, one after another")
def bench_round_trip(benchmark: Any, pair: Pair) -> None:
    benchmark.pedantic(pair.run, (f"pingpong {ROUND_TRIPS}",), rounds=7, warmup_rounds=1)
