"""What can be measured: programs, pieces of code in this process, fresh interpreters.

A contestant is opened once per row and measured once per round. Each finds out for itself how
much it has to do in one measurement to be told from noise.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from bench.pairs import ROOT, Failed, Pair

Measure = Callable[[], float]


class Contestant(Protocol):
    """Something with a name that can be measured."""

    @property
    def name(self) -> str: ...

    def opened(self, seconds: float) -> AbstractContextManager[Measure]:
        """Get ready and warm up; a measurement shall take about so many seconds."""


@dataclass(frozen=True)
class Program:
    """One of the programs in peers/; gives items per second, or microseconds per round trip."""

    name: str
    program: str
    options: tuple[str, ...] = ()
    work: str = "there"
    size: int = 32
    environment: tuple[tuple[str, str], ...] = ()

    @contextlib.contextmanager
    def opened(self, seconds: float) -> Iterator[Measure]:
        with Pair(
            self.program, self.work, *self.options, environment=dict(self.environment)
        ) as pair:
            once = Paced(lambda count: pair.run(count, self.size), seconds)
            if self.work == "round-trips":
                yield lambda: once() * 1e6
            else:
                yield lambda: 1 / once()


@dataclass(frozen=True)
class Figure:
    """A program that answers with the figure itself."""

    name: str
    program: str
    options: tuple[str, ...] = ()

    @contextlib.contextmanager
    def opened(self, seconds: float) -> Iterator[Measure]:
        def measure() -> float:
            # A program of its own each time: what one measurement leaves would falsify the next.
            with Pair(self.program, *self.options) as pair:
                return float(pair.command(""))

        yield measure


@dataclass(frozen=True)
class Code:
    """A piece of code in this process; gives nanoseconds per operation.

    ``prepare()`` returns a function that does so many operations and returns the seconds they took.
    """

    name: str
    prepare: Callable[[], Callable[[int], float]]

    @contextlib.contextmanager
    def opened(self, seconds: float) -> Iterator[Measure]:
        once = Paced(self.prepare(), seconds)
        yield lambda: once() * 1e9


@dataclass(frozen=True)
class Import:
    """An import statement in a fresh interpreter; gives milliseconds from start to exit."""

    name: str

    @contextlib.contextmanager
    def opened(self, seconds: float) -> Iterator[Measure]:
        command = [sys.executable, "-c", self.name]
        # Without its bytecode a package is compiled again each time, unlike the standard library.
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}

        def run(count: int) -> float:
            start = time.perf_counter()
            for _ in range(count):
                done = subprocess.run(
                    command, cwd=ROOT, env=environment, capture_output=True, check=False
                )
                if done.returncode:
                    raise Failed(f"{self.name} failed")
            return time.perf_counter() - start

        run(1)  # writes the bytecode
        once = Paced(run, seconds, first=1)
        yield lambda: once() * 1e3


class Paced:
    """Repeats something as often as takes about so long; gives the seconds for once.

    What takes less than half as long is repeated more often, what takes more than twice as long
    less often the next time: a program that begins slowly is no reason to measure too little of it
    when it has got going.
    """

    def __init__(self, run: Callable[[int], float], seconds: float, first: int = 100) -> None:
        self._run = run
        self._seconds = seconds
        self._count = first
        self()  # warms up, and finds out how often

    def __call__(self) -> float:
        while (taken := self._run(self._count)) < self._seconds / 2:
            self._count = round(self._count * min(10.0, max(1.5, self._seconds / taken)))
        count = self._count
        if taken > 2 * self._seconds:
            self._count = max(1, round(count * self._seconds / taken))
        return taken / count
