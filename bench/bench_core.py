"""The compiled core against its Python twins: encoding, decoding, choosing the next client.

One round handles COUNT frames or turns, so the figures divided by COUNT are those of one.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from distchan._wire import SIGNATURE, Outcome
from tests.twins import TWINS, load

COUNT = 1000
DONE = int(Outcome.DONE)
PAYLOAD = msgspec.msgpack.encode("x" * 32)

Benchmark = Callable[[Callable[[], Any]], Any]


def twin(name: str) -> Any:
    """The parameters of a benchmark that runs on both forms of a module."""
    return pytest.mark.parametrize(
        "module", [pytest.param((twin, name), id=twin) for twin in TWINS], indirect=True
    )


@pytest.fixture
def module(request: pytest.FixtureRequest) -> Any:
    return load(*request.param)


def add_items(encoder: Any) -> None:
    for number in range(COUNT):
        encoder.add_item(number, number, 1, PAYLOAD)


def add_settles(encoder: Any) -> None:
    for number in range(COUNT):
        encoder.add_settle(number, DONE, (number,), (PAYLOAD,))


@pytest.mark.parametrize(("kind", "add"), [("ITEM", add_items), ("SETTLE", add_settles)])
@twin("_framing")
def bench_encode(benchmark: Any, module: Any, kind: str, add: Callable[[Any], None]) -> None:
    encoder = module.Encoder(SIGNATURE)

    def encode() -> None:
        add(encoder)
        encoder.take()

    benchmark.group = f"encode 1000 {kind} frames of 33 bytes each"
    benchmark(encode)


@pytest.mark.parametrize(
    ("kind", "add", "expect"),
    [("ITEM", add_items, "expect_items"), ("SETTLE", add_settles, "expect_results")],
)
@twin("_framing")
def bench_decode(
    benchmark: Any, module: Any, kind: str, add: Callable[[Any], None], expect: str
) -> None:
    encoder = module.Encoder(SIGNATURE)
    add(encoder)
    data = b"".join(encoder.take())
    decode = msgspec.msgpack.Decoder(str).decode

    def fresh() -> tuple[tuple[Any], dict[str, Any]]:
        decoder = module.Decoder(SIGNATURE, 1 << 20)
        getattr(decoder, expect)(decode)
        return (decoder,), {}

    def run(decoder: Any) -> None:
        decoder.feed(data)
        assert len(decoder.read().values) == COUNT

    benchmark.group = f"decode 1000 {kind} frames of 33 bytes each"
    benchmark.pedantic(run, setup=fresh, rounds=200)


@twin("_roundrobin")
@pytest.mark.parametrize("clients", [10, 1000])
@pytest.mark.benchmark(group="select 1000 times")
def bench_select(benchmark: Benchmark, module: Any, clients: int) -> None:
    ring = module.Ring()
    for client in range(clients):
        ring.join(client, client % 10 == 0)  # one in ten has credit

    def select() -> None:
        for _ in range(COUNT):
            ring.select()

    benchmark(select)
