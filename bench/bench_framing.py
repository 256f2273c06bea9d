"""Framing, on both twins: frames to bytes and back, without a codec.

A round handles micro.BATCH frames.
"""

from collections.abc import Callable
from typing import Any

import pytest

from bench import micro
from tests.twins import TWINS, load


@pytest.fixture(params=TWINS)
def framing(request: pytest.FixtureRequest) -> Any:
    return load(request.param, "_framing")


KINDS = [
    pytest.param("ITEM", micro.add_items, "expect_items", id="item"),
    pytest.param("SETTLE", micro.add_settles, "expect_results", id="settle"),
]


@pytest.mark.parametrize(("kind", "add", "expect"), KINDS)
def bench_encode(
    benchmark: Any, framing: Any, kind: str, add: Callable[[Any], None], expect: str
) -> None:
    benchmark.group = f"encode {micro.BATCH} {kind} frames with 33 bytes each"
    benchmark(micro.encode(framing, add), micro.BATCH)


@pytest.mark.parametrize(("kind", "add", "expect"), KINDS)
def bench_decode(
    benchmark: Any, framing: Any, kind: str, add: Callable[[Any], None], expect: str
) -> None:
    data = micro.encoded(framing, add)
    benchmark.group = f"decode {micro.BATCH} {kind} frames with 33 bytes each"
    benchmark.pedantic(
        micro.decode_once,
        setup=lambda: ((micro.decoder(framing, expect), data), {}),
        rounds=200,
        warmup_rounds=5,
    )
