"""Values that go to a Go program and come back (tests/go/echo), made up by hypothesis."""

import math
import struct
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distchan import gob
from tests.gob_types import (
    ECHO_REGISTRY,
    Composite,
    EchoHeld,
    EchoScalars,
    Point,
)
from tests.golang import SOURCES, build

Echo = Callable[[int, bytes], bytes]


@pytest.fixture(scope="module")
def echo() -> Iterator[Echo]:
    """Sends a stream to the Go program, with the number of its type there; the answer's stream."""
    with subprocess.Popen(
        [build(SOURCES / "echo")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        to_go, from_go = process.stdin, process.stdout

        def send(type_number: int, data: bytes) -> bytes:
            to_go.write(struct.pack(">IB", len(data) + 1, type_number) + data)
            to_go.flush()
            (length,) = struct.unpack(">I", from_go.read(4))
            answer = from_go.read(length)
            assert answer[:1] == b"\0", answer[1:].decode()
            return answer[1:]

        yield send
        to_go.close()


INT64 = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False)
SINGLES = st.floats(width=32, allow_nan=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.binary().map(
    lambda data: data.decode("utf-8", "surrogateescape")
)
POINTS = st.builds(Point, INT64, INT64)
MOMENTS = st.datetimes(
    min_value=datetime(2, 1, 1),  # noqa: DTZ001
    max_value=datetime(9998, 1, 1),  # noqa: DTZ001
    timezones=st.integers(-1439, 1439)
    .filter(lambda minutes: minutes != -1)
    .map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
SCALARS = st.builds(
    EchoScalars,
    st.booleans(),
    INT64,
    st.integers(-128, 127),
    st.integers(-(2**15), 2**15 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 255),
    st.integers(0, 2**64 - 1),
    SINGLES,
    FLOATS,
    st.complex_numbers(allow_nan=False),
    TEXTS,
    st.binary(),
)


def composites(following: st.SearchStrategy[Composite | None]) -> st.SearchStrategy[Any]:
    return st.builds(
        Composite,
        st.lists(INT64, max_size=5),
        st.lists(st.booleans(), max_size=5),
        st.dictionaries(TEXTS, TEXTS, max_size=3),
        st.dictionaries(INT64, st.lists(SCALARS, max_size=2), max_size=2),
        st.tuples(FLOATS, FLOATS, FLOATS),
        following,
        POINTS,
        st.none() | POINTS,
        MOMENTS,
    )


def held(values: st.SearchStrategy[Any]) -> st.SearchStrategy[EchoHeld]:
    return st.builds(
        EchoHeld,
        TEXTS,
        values,
        st.lists(values, max_size=3),
        st.dictionaries(TEXTS, values, max_size=3),
        INT64,
    )


COMPOSITES = st.recursive(st.none(), composites, max_leaves=3).filter(lambda value: value)
LEAVES = (
    st.none() | st.booleans() | INT64 | FLOATS | TEXTS | st.binary() | POINTS | MOMENTS
) | st.lists(INT64, min_size=1, max_size=3)
HELD = held(st.recursive(LEAVES, held, max_leaves=5))

#: By the number of the type in tests/go/echo/main.go.
CASES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (EchoScalars, SCALARS),
    (Composite, COMPOSITES),
    (EchoHeld, HELD),
    (list[EchoScalars], st.lists(SCALARS, max_size=5)),
    (dict[str, list[int]], st.dictionaries(TEXTS, st.lists(INT64, max_size=3), max_size=3)),
    (int, INT64),
    (str, TEXTS),
    (datetime, MOMENTS),
    (gob.Interface, LEAVES.filter(lambda value: value is not None)),
]


@pytest.mark.parametrize("number", range(len(CASES)))
@settings(max_examples=50, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_values_come_back_from_go(echo: Echo, number: int, data: st.DataObject) -> None:
    item_type, values = CASES[number]
    value = data.draw(values)
    sent = gob.dumps(value, item_type, registry=ECHO_REGISTRY)
    answer = echo(number, sent)
    assert gob.loads(answer, item_type, registry=ECHO_REGISTRY) == value


def test_go_reads_what_python_numbers_are_at_their_limits(echo: Echo) -> None:
    for value in (math.inf, -math.inf, 5e-324, 1.7976931348623157e308):
        scalars = EchoScalars(False, 0, 0, 0, 0, 0, 0, 0, 0.0, value, 0j, "", b"")
        assert gob.loads(echo(0, gob.dumps(scalars)), EchoScalars) == scalars


def test_streams_with_all_definitions_first_are_read_by_go(echo: Echo) -> None:
    inner = EchoHeld("b", Point(1, 2), [], {}, 1)
    value = EchoHeld("a", inner, [datetime(2024, 1, 1, tzinfo=UTC)], {"k": inner}, 2)
    encoder = gob.Encoder(EchoHeld, registry=ECHO_REGISTRY, definitions_first=True)
    answer = echo(2, encoder.encode(value))
    assert gob.loads(answer, EchoHeld, registry=ECHO_REGISTRY) == value
