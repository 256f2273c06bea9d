"""What is compared with what, and the goals: the rows of the comparison, as data."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from bench import micro
from bench.contestants import Code, Contestant, Figure, Import, Program
from tests import twins

PYZMQ = "pyzmq"
OURS = "distchan"


@dataclass(frozen=True)
class Comparison:
    """The median of one contestant, divided by that of another; by ``per`` without another."""

    ours: str
    theirs: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    per: float = 1.0

    @property
    def goal(self) -> str:
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return "" if self.at_most is None else f"≤ {self.at_most:g}"

    def met(self, ratio: float) -> bool:
        if self.at_least is not None and ratio < self.at_least:
            return False
        return self.at_most is None or ratio <= self.at_most


@dataclass(frozen=True)
class Row:
    """Contestants that do the same, side by side."""

    name: str
    title: str
    unit: str
    contestants: tuple[Contestant, ...]
    comparisons: tuple[Comparison, ...] = ()


PYTHON_BACKEND = (("DISTCHAN_NO_EXTENSIONS", "1"),)

THERE = Row(
    "there",
    "Strings of 32 bytes there and back, one worker",
    "items/s",
    (
        Program(OURS, "distchan_pair"),
        Program(PYZMQ, "zmq_blocking"),
        Program("pyzmq.asyncio, asyncio", "zmq_asyncio", ("--loop", "asyncio")),
        Program("pyzmq.asyncio, uvloop", "zmq_asyncio", ("--loop", "uvloop")),
        Program("streams, pickle, uvloop", "streams"),
        Program("multiprocessing.Queue", "mp_queue"),
        Program("zenoh", "zenoh"),
        Program("nats-py, nats-server", "nats"),
        Program("futures map", "futures"),
        Program("futures map, chunks of 1,000", "futures", ("--chunks", "1000")),
        Program("Go, net and gob", "go"),
    ),
    (
        Comparison(OURS, PYZMQ, at_least=3),
        Comparison(OURS, "pyzmq.asyncio, asyncio", at_least=25),
        Comparison(OURS, "pyzmq.asyncio, uvloop", at_least=25),
        Comparison(OURS, "streams, pickle, uvloop", at_least=8),
        Comparison(OURS, "multiprocessing.Queue", at_least=9),
        Comparison(OURS, "zenoh"),
        Comparison(OURS, "nats-py, nats-server"),
        Comparison(OURS, "futures map"),
        Comparison(OURS, "futures map, chunks of 1,000"),
        Comparison(OURS, "Go, net and gob"),
    ),
)

ONE_WAY = Row(
    "one-way",
    "Strings of 32 bytes one way, one worker",
    "items/s",
    tuple(
        replace(program, work="one-way")
        for program in (
            Program(OURS, "distchan_pair"),
            Program("at most once", "distchan_pair", ("--delivery", "at-most-once")),
            Program("batches", "distchan_pair", ("--batches",)),
            Program(PYZMQ, "zmq_blocking"),
            Program("Go, net and gob", "go"),
        )
    ),
    (
        Comparison(OURS, PYZMQ, at_least=1.75),
        Comparison("at most once", PYZMQ, at_least=2),
        Comparison("batches", PYZMQ, at_least=4),
        Comparison(OURS, "Go, net and gob"),
    ),
)


def raw(name: str, title: str, size: int, goal: float) -> Row:
    return Row(
        name,
        f'Bytes one way, codec="raw", {title} each',
        "items/s",
        (
            Program(OURS, "distchan_pair", ("--items", "bytes"), "one-way", size),
            Program("socket pair", "sockets", (), "one-way", size),
        ),
        (Comparison(OURS, "socket pair", at_least=goal),),
    )


def carried(name: str, items: str) -> Program:
    return Program(name, "distchan_pair", ("--items", items), "one-way", 100_000)


ARRAYS = Row(
    "arrays",
    "NumPy arrays of 100 kB one way",
    "items/s",
    (
        carried('arrays, codec="raw"', "arrays"),
        carried('arrays, codec="pickle"', "pickled-arrays"),
        carried("bytes of that size", "bytes"),
    ),
    (
        Comparison('arrays, codec="raw"', "bytes of that size", at_least=0.75),
        Comparison('arrays, codec="pickle"', "bytes of that size"),
    ),
)

ROUND_TRIP = Row(
    "round-trip",
    "One item there and back before the next",
    "µs",
    (
        Program(OURS, "distchan_pair", work="round-trips"),
        Program("uvloop protocol echo", "uvloop_echo", work="round-trips"),
        Program(PYZMQ, "zmq_blocking", work="round-trips"),
    ),
    (
        Comparison(OURS, "uvloop protocol echo", at_most=1.2),
        Comparison(OURS, PYZMQ),
    ),
)

PYTHON = Row(
    "python",
    "The Python backend on asyncio's own loop, strings of 32 bytes there and back",
    "items/s",
    (
        Program(
            "Python backend", "distchan_pair", ("--loop", "asyncio"), environment=PYTHON_BACKEND
        ),
        Program(PYZMQ, "zmq_blocking"),
    ),
    (Comparison("Python backend", PYZMQ, at_least=1),),
)


SYNC = Row(
    "sync",
    "Strings of 32 bytes there and back between threads that block",
    "items/s",
    (Program("distchan.sync", "distchan_sync"), Program(PYZMQ, "zmq_blocking")),
    (Comparison("distchan.sync", PYZMQ, at_least=1),),
)


def twin(name: str, title: str, module: str, prepare: Callable[[Any], micro.Run]) -> Row:
    def side(label: str, backend: str) -> Code:
        return Code(label, lambda: prepare(loaded(backend, module)))

    return Row(
        name,
        title,
        "ns",
        (side("Python", "python"), side("compiled", "cython")),
        (Comparison("Python", "compiled", at_least=3),),
    )


def loaded(backend: str, module: str) -> Any:
    """One twin of a module of the core."""
    if backend not in twins.TWINS:
        raise ModuleNotFoundError("the extensions have not been built")
    return twins.load(backend, module)


TWINS = (
    twin("encode", "Encode one ITEM", "_framing", lambda m: micro.encode(m, micro.add_items)),
    twin(
        "encode-settle",
        "Encode one SETTLE",
        "_framing",
        lambda m: micro.encode(m, micro.add_settles),
    ),
    twin(
        "decode",
        "Decode one ITEM",
        "_framing",
        lambda m: micro.decode(m, micro.add_items, "expect_items"),
    ),
    twin(
        "decode-settle",
        "Decode one SETTLE",
        "_framing",
        lambda m: micro.decode(m, micro.add_settles, "expect_results"),
    ),
    twin(
        "select", "Select one of 10, all ready", "_roundrobin", lambda m: micro.select(m, 10, "all")
    ),
)


def in_use(module: str) -> Any:
    return import_module(f"distchan.{module}")


def members(count: int, title: str, prepare: Callable[..., micro.Run], *details: str) -> Code:
    return Code(title, lambda: prepare(in_use("_roundrobin"), count, *details))


def selection(ready: str) -> Row:
    return Row(
        f"select-{ready}",
        f"Select with {ready} ready",
        "ns",
        (
            members(10_000, "10,000 members", micro.select, ready),
            members(1, "1 member", micro.select, ready),
        ),
        (Comparison("10,000 members", "1 member", at_most=2),),
    )


JOIN = Row(
    "join",
    "Leave and join again",
    "ns",
    (
        members(10_000, "10,000 members", micro.leave_and_join),
        members(100, "100 members", micro.leave_and_join),
    ),
    (Comparison("10,000 members", "100 members", at_most=2),),
)

MEMORY = Row(
    "memory",
    "Server memory per idle client, of 1,000",
    "bytes",
    (Figure("1,000 idle clients", "distchan_crowd", ("memory", "--idle", "1000")),),
    (Comparison("1,000 idle clients", at_most=16, per=1024),),
)

CROWD = Row(
    "crowd",
    "Strings of 32 bytes there and back, many clients",
    "items/s",
    (
        Program("1 worker", "distchan_crowd", ("--working", "1")),
        Program("1 worker, 999 idle", "distchan_crowd", ("--working", "1", "--idle", "999")),
        Program("1,000 workers", "distchan_crowd", ("--working", "1000")),
    ),
    (
        Comparison("1 worker, 999 idle", "1 worker", at_least=0.9),
        Comparison("1,000 workers", "1 worker"),
    ),
)

#: Most of the package is imported when it is first asked for.
ALL_OF_IT = "from distchan import Server, Client"

IMPORT = Row(
    "import",
    "A fresh interpreter and one import",
    "ms",
    (Import("import distchan"), Import(ALL_OF_IT), Import("import asyncio")),
    (
        Comparison("import distchan", "import asyncio", at_most=1.3),
        Comparison(ALL_OF_IT, "import asyncio"),
    ),
)

ROWS = (
    THERE,
    SYNC,
    ONE_WAY,
    raw("raw-1MiB", "1 MiB", 1 << 20, 0.85),
    raw("raw-64KiB", "64 KiB", 1 << 16, 0.9),
    ARRAYS,
    ROUND_TRIP,
    PYTHON,
    *TWINS,
    selection("one"),
    selection("all"),
    JOIN,
    MEMORY,
    CROWD,
    IMPORT,
)

# -- What the plots show ---------------------------------------------------------------------

SIZES = (32, 256, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20)
WORKERS = (1, 2, 3, 4, 5, 6, 7, 8)


#: From here on pyzmq is faster without copies.
LARGE = 1 << 18


def by_size(size: int) -> Row:
    no_copies = ("--no-copies",) if size >= LARGE else ()
    return Row(
        f"size-{size}",
        f"Strings of {size} bytes one way",
        "items/s",
        (
            Program(OURS, "distchan_pair", (), "one-way", size),
            Program(PYZMQ, "zmq_blocking", no_copies, "one-way", size),
        ),
    )


def by_workers(count: int) -> Row:
    options = ("--workers", str(count))
    return Row(
        f"workers-{count}",
        f"Strings of 32 bytes there and back, {count} workers",
        "items/s",
        (
            Program(OURS, "distchan_pair", options),
            Program(PYZMQ, "zmq_blocking", options),
        ),
    )
