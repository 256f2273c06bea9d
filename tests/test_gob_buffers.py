"""``gob._buffers`` and ``gob._making``: both twins, against each other."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distchan.gob import GobDecodeError, GobEncodeError
from tests import twins
from tests.twins import TWINS

NUMBERS = st.integers(-(2**70), 2**70) | st.sampled_from([-(2**63), 2**63 - 1, 2**63, 2**64 - 1])


class Unwilling:
    def __float__(self) -> float:
        raise LookupError("no number today")


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, "5", 1.5, b"5", [], True, 10**400, float("nan"), "\ud800", "\udcff", Unwilling()]
)
BITS = st.sampled_from([8, 16, 32, 64])
WRITES: list[tuple[str, tuple[st.SearchStrategy[Any], ...]]] = [
    ("write_uint", (st.integers(0, 2**64 - 1),)),
    ("write_bool", (st.booleans() | ODD,)),
    ("write_int", (NUMBERS | ODD, BITS)),
    ("write_unsigned", (NUMBERS | ODD, BITS)),
    ("write_float", (st.floats() | NUMBERS | ODD, st.sampled_from([32, 64]))),
    ("write_string", (st.text() | ODD,)),
    (
        "write_bytes",
        (
            st.binary()
            | st.binary().map(bytearray)
            | st.binary().map(lambda data: memoryview(data))
            | ODD,
        ),
    ),
    ("write_raw", (st.binary(max_size=400),)),
    ("size", ()),
    ("truncate", (st.integers(0, 50),)),
    ("is_zero_since", (st.integers(0, 50),)),
    ("take", ()),
    ("take_message", ()),
]
READS: list[tuple[str, tuple[st.SearchStrategy[Any], ...]]] = [
    *((name, ()) for name in ("read_uint", "read_bool", "read_string", "read_bytes")),
    *((name, ()) for name in ("skip_bytes", "read_count", "next_message", "end_message")),
    *((name, ()) for name in ("has_more", "is_message_read", "leave")),
    *((name, (st.integers(0, 5),)) for name in ("enter", "spend")),
    ("read_int", (BITS,)),
    ("read_unsigned", (BITS,)),
    ("read_float", (st.sampled_from([32, 64]),)),
]


def calls(of: list[tuple[str, tuple[st.SearchStrategy[Any], ...]]]) -> st.SearchStrategy[Any]:
    return st.lists(
        st.sampled_from(of).flatmap(
            lambda method: st.tuples(st.just(method[0]), st.tuples(*method[1]))
        ),
        max_size=20,
    )


def outcome(call: Callable[..., Any], arguments: tuple[Any, ...]) -> str:
    """What a call returns or raises. That a compiled one returns 0 where there is nothing to return
    makes no difference."""
    try:
        return repr(call(*arguments) or None)
    except (GobEncodeError, GobDecodeError, LookupError) as error:
        return str(error)


needs_both = pytest.mark.skipif(len(TWINS) < 2, reason="the compiled twins are not in use")


@needs_both
@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text takes seconds to make
@given(calls(WRITES))
def test_the_twins_write_the_same(methods: list[tuple[str, tuple[Any, ...]]]) -> None:
    outputs = [twins.load(twin, "gob._buffers").Output(None) for twin in TWINS]
    for name, arguments in methods:
        python, compiled = (outcome(getattr(output, name), arguments) for output in outputs)
        assert python == compiled, name
    python, compiled = (output.take() for output in outputs)
    assert python == compiled


@needs_both
@given(st.binary(max_size=60), calls(READS))
def test_the_twins_read_the_same(data: bytes, methods: list[tuple[str, tuple[Any, ...]]]) -> None:
    data = bytes([len(data)]) + data
    inputs = [twins.load(twin, "gob._buffers").Input(data, 0, None, 3, 10) for twin in TWINS]
    for name, arguments in [("next_message", ()), *methods]:
        python, compiled = (outcome(getattr(source, name), arguments) for source in inputs)
        assert python == compiled, name
        assert inputs[0].position == inputs[1].position, name


@pytest.mark.parametrize("twin", TWINS)
def test_a_class_is_called_with_the_values_in_a_list(twin: str) -> None:
    make = twins.load(twin, "gob._making").make
    values = [1, 2]
    assert make(complex, values, [3, 4]) == 1 + 2j
    assert values == [3, 4]
    assert make(complex, [], []) == 0
    with pytest.raises(TypeError):
        make(complex, ["a", "b"], [3, 4])
