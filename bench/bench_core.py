"""The compiled core against its Python twins: encoding, decoding, choosing the next client.

One round handles COUNT frames or turns, so the figures divided by COUNT are those of one.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import msgspec
import pytest

from distchan import _framing_py, _roundrobin_py
from distchan._wire import SIGNATURE, Kind

COUNT = 1000
ITEM = int(Kind.ITEM)
PAYLOAD = msgspec.msgpack.encode("x" * 32)

Benchmark = Callable[[Callable[[], Any]], Any]


def twins(compiled: str, python: ModuleType) -> Any:
    """The parameters of a benchmark that runs on both twins of a module."""
    return pytest.mark.parametrize(
        "twin",
        [
            pytest.param(lambda: pytest.importorskip(f"distchan.{compiled}"), id="cython"),
            pytest.param(lambda: python, id="python"),
        ],
    )


@twins("_framing", _framing_py)
@pytest.mark.benchmark(group="encode 1000 frames of 33 bytes")
def bench_encode(benchmark: Benchmark, twin: Callable[[], Any]) -> None:
    encoder = twin().Encoder(SIGNATURE)

    def encode() -> None:
        for number in range(COUNT):
            encoder.add_data(ITEM, number, PAYLOAD)
        encoder.take()

    benchmark(encode)


@twins("_framing", _framing_py)
@pytest.mark.benchmark(group="decode 1000 frames of 33 bytes")
def bench_decode(benchmark: Any, twin: Callable[[], Any]) -> None:
    module = twin()
    encoder = module.Encoder(SIGNATURE)
    for number in range(COUNT):
        encoder.add_data(ITEM, number, PAYLOAD)
    data = b"".join(encoder.take())
    decode = msgspec.msgpack.Decoder(str).decode

    def fresh() -> tuple[tuple[Any], dict[str, Any]]:
        decoder = module.Decoder(SIGNATURE, 1 << 20)
        decoder.expect_data(Kind.ITEM, decode)
        return (decoder,), {}

    def run(decoder: Any) -> None:
        decoder.feed(data)
        _, batch = decoder.read()
        assert len(batch.values) == COUNT

    benchmark.pedantic(run, setup=fresh, rounds=200)


@twins("_roundrobin", _roundrobin_py)
@pytest.mark.parametrize("clients", [10, 1000])
@pytest.mark.benchmark(group="select 1000 times")
def bench_select(benchmark: Benchmark, twin: Callable[[], Any], clients: int) -> None:
    ring = twin().Ring()
    for client in range(clients):
        ring.join(client, client % 10 == 0)  # one in ten has credit

    def select() -> None:
        for _ in range(COUNT):
            ring.select()

    benchmark(select)
