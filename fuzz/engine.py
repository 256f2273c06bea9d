"""One process that fuzzes one target on one backend: ``python -m fuzz.engine``.

The engine is atheris where it is installed: libFuzzer, guided by the coverage of the library's
bytecode, in which the corpus grows by each input that reaches something new. Elsewhere inputs are
made from the corpus by blind mutation, which finds less.

The compiled backend has no bytecode. On that, every input also goes through the library on the
Python backend, which guides and with which the outcome is compared.

The last line of the output is a JSON object: what has been done.
"""

import contextlib
import hashlib
import importlib
import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn, cast

from fuzz.limits import Watch
from fuzz.targets import TARGETS
from fuzz.twins import Backend, Twin

__all__ = ["engine_name", "mutated"]

#: Inputs have at most so many bytes.
_LONGEST: Final = 4096
#: libFuzzer's own limits, which end the run: beyond those of Watch.
_TIMEOUT: Final = 60
_MOST_MEMORY_MIB: Final = 2048


def _atheris() -> Any | None:
    try:
        return importlib.import_module("atheris")
    except ImportError:
        return None


def engine_name() -> str:
    """What makes the inputs here."""
    return "mutation" if _atheris() is None else "atheris"


def main(target: str, backend: Backend, seconds: float, corpus: Path) -> None:
    """``seconds`` are of CPU time; loading the library does not count."""
    atheris = _atheris()
    with _instrumenting(atheris, target):
        python = Twin("python", target)
    run: Callable[[bytes], object] = python.run
    if backend == "cython":
        run = _both(python, Twin("cython", target))
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in python.seeds():
        (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    findings = corpus.with_name(f"{corpus.name}-findings")
    findings.mkdir(exist_ok=True)
    watch = Watch(run, findings)
    end = time.process_time() + seconds

    def test_one_input(data: bytes) -> None:
        watch(data)
        if time.process_time() >= end:
            _finish(watch, seconds)

    if atheris is None:
        _mutate(test_one_input, corpus)
    # Seeds are kept even if coverage does not tell them apart: that of msgspec is not known.
    limits = [
        "-keep_seed=1",
        f"-max_len={_LONGEST}",
        f"-timeout={_TIMEOUT}",
        f"-rss_limit_mb={_MOST_MEMORY_MIB}",
    ]
    artifacts = f"-artifact_prefix={findings}/"
    atheris.Setup([sys.argv[0], str(corpus), *limits, artifacts], test_one_input)
    atheris.Fuzz()


def _finish(watch: Watch, seconds: float) -> NoReturn:
    """Neither libFuzzer nor its corpus needs more than that to come to an end."""
    done = {
        "engine": engine_name(),
        "executions": watch.executions,
        "cpu_seconds": round(seconds, 1),
        "findings": sorted(watch.findings),
    }
    print(json.dumps(done), flush=True)
    os._exit(1 if watch.findings else 0)


def _both(python: Twin, compiled: Twin) -> Callable[[bytes], object]:
    def run(data: bytes) -> object:
        expected, outcome = python.run(data), compiled.run(data)
        assert outcome == expected, f"Python: {expected!r:.2000}\nCython: {outcome!r:.2000}"
        return outcome

    return run


def _instrumenting(atheris: Any | None, target: str) -> contextlib.AbstractContextManager[None]:
    """Only what the target is about is to guide: all of the library takes long to instrument."""
    if atheris is None:
        return contextlib.nullcontext()
    about = tuple(f"distchan.{name}." for name in TARGETS[target])
    files = Path("distchan").rglob("*.py")
    names = [".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in files]
    others = [name for name in names if not f"{name}.".startswith(about)]
    context: contextlib.AbstractContextManager[None] = atheris.instrument_imports(
        ["distchan"], others
    )
    return context


def _mutate(test_one_input: Callable[[bytes], None], corpus: Path) -> NoReturn:
    """Without guidance the corpus stays as it is."""
    inputs = [file.read_bytes() for file in sorted(corpus.iterdir())]
    for data in inputs:
        test_one_input(data)
    chance = random.Random()
    while True:
        test_one_input(mutated(inputs, chance))


def mutated(inputs: list[bytes], chance: random.Random) -> bytes:
    """One of the inputs, changed in a few places."""
    data = bytearray(chance.choice(inputs))
    for _ in range(chance.randint(1, 4)):
        start = chance.randint(0, len(data))
        end = start + chance.choice((0, 1, 1, 1, 4, 8, 40))
        match chance.randrange(4):
            case 0:
                data[start:end] = chance.randbytes(end - start)
            case 1:
                data[start:start] = chance.choice(inputs)[start:end]
            case 2:
                del data[start:end]
            case _:
                data[start:start] = data[start:end] * chance.randint(1, 3)
    return bytes(data[:_LONGEST])


if __name__ == "__main__":
    _target, _backend, _seconds, _corpus = sys.argv[1:]
    main(_target, cast(Backend, _backend), float(_seconds), Path(_corpus))
