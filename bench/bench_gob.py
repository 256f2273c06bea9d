"""gob: COUNT small structs, one by one, and as many in a list, to bytes or back, a round."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from distchan import gob

COUNT = 1000


class Input(msgspec.Struct):
    """What the adder of the Go original's examples is sent."""

    A: int
    B: int


INPUTS = [Input(number, 1000 * number) for number in range(COUNT)]


def each(function: Callable[[Any], Any], arguments: list[Any]) -> None:
    for argument in arguments:
        function(argument)


@pytest.mark.benchmark(group=f"gob: encode {COUNT} structs")
def bench_encode_each(benchmark: Any) -> None:
    benchmark(each, gob.Encoder(Input).encode, INPUTS)


@pytest.mark.benchmark(group=f"gob: encode {COUNT} structs")
def bench_encode_list(benchmark: Any) -> None:
    benchmark(gob.Encoder(list[Input]).encode, INPUTS)


@pytest.mark.benchmark(group=f"gob: decode {COUNT} structs")
def bench_decode_each(benchmark: Any) -> None:
    encoder, decoder = gob.Encoder(Input), gob.Decoder(Input)
    decoder.decode(encoder.send_definitions() + encoder.encode(INPUTS[0]))
    benchmark(each, decoder.decode, [encoder.encode(value) for value in INPUTS])


@pytest.mark.benchmark(group=f"gob: decode {COUNT} structs")
def bench_decode_list(benchmark: Any) -> None:
    encoder, decoder = gob.Encoder(list[Input]), gob.Decoder(list[Input])
    decoder.decode(encoder.encode(INPUTS))
    benchmark(decoder.decode, encoder.encode(INPUTS))
