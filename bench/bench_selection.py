"""Whose turn it is, on both twins of the ring: COUNT turns, or departures and arrivals, a round."""

from typing import Any

import pytest

from bench import micro
from tests.twins import TWINS, load

COUNT = 1000


@pytest.fixture(params=TWINS)
def roundrobin(request: pytest.FixtureRequest) -> Any:
    return load(request.param, "_roundrobin")


@pytest.mark.parametrize("members", [1, 100, 10_000])
@pytest.mark.parametrize("ready", ["one", "all"])
def bench_select(benchmark: Any, roundrobin: Any, members: int, ready: str) -> None:
    benchmark.group = f"select {COUNT} times, {ready} ready"
    benchmark(micro.select(roundrobin, members, ready), COUNT)


@pytest.mark.parametrize("members", [100, 10_000])
def bench_leave_and_join(benchmark: Any, roundrobin: Any, members: int) -> None:
    benchmark.group = f"leave and join again {COUNT} times"
    benchmark(micro.leave_and_join(roundrobin, members), COUNT)
