"""Two processes on loopback, on either backend and either event loop."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bench.pairs import Pair
from tests.twins import TWINS

SIZE = 32
ITEMS = 20_000
ROUND_TRIPS = 1_000

Start = Callable[..., Pair]


@pytest.fixture(params=TWINS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["asyncio", "uvloop"])
def start(request: pytest.FixtureRequest, backend: str) -> Iterator[Start]:
    """Starts the processes for one kind of work; ends them after the benchmark."""
    running: list[Pair] = []

    def start(work: str, *options: str) -> Pair:
        if request.param == "uvloop":
            pytest.importorskip("uvloop")
        loop = ["--loop", "asyncio"] if request.param == "asyncio" else []
        environment = {"DISTCHAN_NO_EXTENSIONS": "1" if backend == "python" else ""}
        running.append(Pair("distchan_pair", work, *options, *loop, environment=environment))
        return running[-1]

    yield start
    for pair in running:
        pair.close()


@pytest.mark.benchmark(group=f"{ITEMS} strings of {SIZE} bytes there and back")
def bench_there_and_back(benchmark: Any, start: Start) -> None:
    benchmark.pedantic(start("there").run, (ITEMS, SIZE), rounds=7, warmup_rounds=1)


@pytest.mark.benchmark(group=f"{ITEMS} strings of {SIZE} bytes there and back, in batches")
def bench_batches_there_and_back(benchmark: Any, start: Start) -> None:
    pair = start("there", "--batches")
    benchmark.pedantic(pair.run, (ITEMS, SIZE), rounds=7, warmup_rounds=1)


@pytest.mark.benchmark(group=f"{ITEMS} strings of {SIZE} bytes one way")
def bench_one_way(benchmark: Any, start: Start) -> None:
    benchmark.pedantic(start("one-way").run, (ITEMS, SIZE), rounds=7, warmup_rounds=1)


@pytest.mark.benchmark(group=f"{ROUND_TRIPS} round trips, one after another")
def bench_round_trip(benchmark: Any, start: Start) -> None:
    benchmark.pedantic(start("round-trips").run, (ROUND_TRIPS, SIZE), rounds=7, warmup_rounds=1)
