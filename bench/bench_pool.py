"""Calls of a function that does nothing, in two worker processes: what a call itself costs.

The standard library's pool does the same beside it.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

from distchan.sync import Pool

_NUMBERS = range(1000)
_MANY = range(20_000)


def same(number: int) -> int:
    return number


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool[int, int]]:
    with Pool(same, processes=2) as pool:
        list(pool.map(range(10)))  # the processes are there
        yield pool


@pytest.fixture(scope="module")
def executor() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        list(executor.map(same, range(10)))
        yield executor


@pytest.mark.benchmark(group="1,000 calls, map")
def bench_map(benchmark: Any, pool: Pool[int, int]) -> None:
    assert len(benchmark(lambda: list(pool.map(_NUMBERS)))) == len(_NUMBERS)


@pytest.mark.benchmark(group="1,000 calls, map")
def bench_map_of_concurrent_futures(benchmark: Any, executor: ProcessPoolExecutor) -> None:
    assert len(benchmark(lambda: list(executor.map(same, _NUMBERS)))) == len(_NUMBERS)


@pytest.mark.benchmark(group="20,000 calls, map in chunks of 100")
def bench_map_in_chunks(benchmark: Any, pool: Pool[int, int]) -> None:
    assert len(benchmark(lambda: list(pool.map(_MANY, chunksize=100)))) == len(_MANY)


@pytest.mark.benchmark(group="20,000 calls, map in chunks of 100")
def bench_map_in_chunks_of_concurrent_futures(
    benchmark: Any, executor: ProcessPoolExecutor
) -> None:
    assert len(benchmark(lambda: list(executor.map(same, _MANY, chunksize=100)))) == len(_MANY)


@pytest.mark.benchmark(group="1,000 calls, futures")
def bench_submit(benchmark: Any, pool: Pool[int, int]) -> None:
    benchmark(lambda: [future.result() for future in [pool.submit(n) for n in _NUMBERS]])


@pytest.mark.benchmark(group="1,000 calls, futures")
def bench_submit_of_concurrent_futures(benchmark: Any, executor: ProcessPoolExecutor) -> None:
    benchmark(lambda: [f.result() for f in [executor.submit(same, n) for n in _NUMBERS]])
