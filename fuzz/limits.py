"""Bounds on what one input may cost, and what is kept of those that break a rule."""

import hashlib
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["Watch"]

#: For one input of at most a few KiB, on a slow machine and with the library instrumented.
_MOST_CPU_SECONDS: Final = 5.0
#: By so much may one input raise the peak of the process's memory.
_MOST_MEMORY: Final = 128 * 1024 * 1024
_UNIT: Final = 1 if sys.platform == "darwin" else 1024


class Watch:
    """Runs inputs, counts them, and saves those that raise, take too long or too much memory."""

    def __init__(self, run: Callable[[bytes], object], findings: Path) -> None:
        self._run = run
        self._directory = findings
        self.executions = 0
        #: The names of the files, one for each place in the code.
        self.findings: set[str] = set()

    def __call__(self, data: bytes) -> None:
        self.executions += 1
        began, peak = time.process_time(), _peak()
        try:
            self._run(data)
            spent, grown = time.process_time() - began, _peak() - peak
            assert spent < _MOST_CPU_SECONDS, f"{spent:.1f} s for {len(data)} bytes"
            assert grown < _MOST_MEMORY, f"{grown} bytes of memory for {len(data)} bytes"
        except Exception as error:
            self._save(data, error)

    def _save(self, data: bytes, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        places = "".join(f"{frame.filename}:{frame.lineno} " for frame in frames)
        name = hashlib.sha1(f"{type(error).__name__} {places}".encode()).hexdigest()[:12]
        if name not in self.findings:
            self.findings.add(name)
            (self._directory / name).write_bytes(data)
            text = "".join(traceback.format_exception(error))
            (self._directory / f"{name}.txt").write_text(text, errors="backslashreplace")


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
