"""Starts and drives one of the programs in peers/, each a server with workers of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

#: Where `bench` can be imported from.
ROOT = Path(__file__).parents[1]

#: A program that has not answered after so many seconds is given up.
PATIENCE = 60.0


class Failed(Exception):
    """A contestant that cannot run, with the reason in its own words."""


class Pair:
    """A running program; it is ended with all processes that it has started."""

    def __init__(
        self, program: str, *options: str, environment: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._name = program
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"bench.peers.{program}", *options],
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,  # so that its workers can be ended with it
        )
        try:
            if self._answer() != "ready":
                raise Failed(f"{program} did not start: {self._last_words()}")
        except BaseException:
            self.close()
            raise

    def run(self, count: int, size: int) -> float:
        """Have so many items of that size carried; the seconds that it took, as measured there."""
        return float(self.command(f"{count} {size}"))

    def command(self, line: str) -> str:
        assert self._process.stdin is not None
        try:
            print(line, file=self._process.stdin, flush=True)
        except BrokenPipeError:
            pass  # the answer will be missing, too
        if not (answer := self._answer()):
            raise Failed(f"{self._name} failed at {line!r}: {self._last_words()}")
        return answer

    def close(self) -> None:
        """End the program in good order if it will, and what is left of it in any case."""
        try:
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=15)
        finally:
            self._kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._errors.close()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        timer = threading.Timer(PATIENCE, self._kill)
        timer.start()
        try:
            return self._process.stdout.readline().strip()
        finally:
            timer.cancel()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _last_words(self) -> str:
        """The last line of its standard error, where Python says what went wrong."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        self._errors.seek(0)
        lines = [line for line in self._errors.read().splitlines() if line.strip()]
        return lines[-1] if lines else f"no answer within {PATIENCE:.0f} s"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
