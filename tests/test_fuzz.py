"""The fuzzing targets for a short while: the seeds, random inputs, mutations of the seeds.

docs/security.md has what they found when they were run for long.
"""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.engine import mutated
from fuzz.source import Source
from fuzz.targets import TARGETS
from fuzz.twins import Twin
from tests.twins import TWINS


@pytest.fixture(scope="module", params=TARGETS)
def twins(request: pytest.FixtureRequest) -> list[Any]:
    return [Twin(backend, request.param) for backend in TWINS]  # type: ignore[arg-type]


def check(twins: list[Any], data: bytes) -> None:
    outcome, *others = (twin.run(data) for twin in twins)
    assert others == [outcome] * len(others)


def test_seeds(twins: list[Any]) -> None:
    seeds = twins[0].seeds()
    assert len({*seeds}) >= 10
    for seed in seeds:
        check(twins, seed)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(data=st.binary(max_size=300))
def test_random_inputs(twins: list[Any], data: bytes) -> None:
    check(twins, data)


def test_mutated_seeds(twins: list[Any]) -> None:
    chance = random.Random(1)
    seeds = twins[0].seeds()
    for _ in range(200):
        check(twins, mutated(seeds, chance))


def test_a_source_makes_the_same_of_the_same_bytes_and_something_of_none() -> None:
    first, second = Source(b"\xff\x07payload"), Source(b"\xff\x07payload")
    assert (first.number(), first.payload()) == (second.number(), second.payload())
    empty = Source(b"")
    assert not empty
    assert (empty.below(5), empty.flag(), empty.number(), empty.rest()) == (0, False, 0, b"")
