"""The codecs: COUNT items to bytes, or back, a round."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from distchan.codecs import resolve

COUNT = 1000


@dataclasses.dataclass
class Job:
    """What a program might really send."""

    number: int
    name: str
    sizes: list[float]


JOB = Job(7, "x" * 32, [0.5] * 4)
CASES = [
    pytest.param("msgpack", str, "x" * 32, id="msgpack-str"),
    pytest.param("json", str, "x" * 32, id="json-str"),
    pytest.param("pickle", str, "x" * 32, id="pickle-str"),
    pytest.param("raw", bytes, b"x" * 32, id="raw-bytes"),
    pytest.param("msgpack", Job, JOB, id="msgpack-dataclass"),
    pytest.param("json", Job, JOB, id="json-dataclass"),
    pytest.param("pickle", Job, JOB, id="pickle-dataclass"),
]


def repeat(function: Callable[[Any], Any], argument: Any) -> None:
    for _ in range(COUNT):
        function(argument)


@pytest.mark.parametrize(("codec", "item_type", "item"), CASES)
@pytest.mark.benchmark(group=f"encode {COUNT} items")
def bench_encode(benchmark: Any, codec: str, item_type: object, item: Any) -> None:
    benchmark(repeat, resolve(codec, item_type).encode, item)


@pytest.mark.parametrize(("codec", "item_type", "item"), CASES)
@pytest.mark.benchmark(group=f"decode {COUNT} items")
def bench_decode(benchmark: Any, codec: str, item_type: object, item: Any) -> None:
    ready = resolve(codec, item_type)
    benchmark(repeat, ready.decode, ready.encode(item))
