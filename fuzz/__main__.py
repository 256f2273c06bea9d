"""The command: fuzzes targets one after the other, each in a process of its own."""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from fuzz import engine
from fuzz.targets import TARGETS
from fuzz.twins import Twin

#: In CPU seconds, the longest that a process runs. Then its record is written: so little is lost
#: when a long run is stopped.
_LONGEST_RUN: Final = 120.0


def main() -> int:
    arguments = _arguments()
    backends = _backends() if arguments.backend is None else [arguments.backend]
    print(f"fuzz: engine {engine.engine_name()}, backends {' and '.join(backends)}", flush=True)
    if engine.engine_name() == "mutation":
        print("fuzz: atheris is not installed here: no coverage guides the mutation", flush=True)
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        for target in arguments.targets or TARGETS:
            for backend in backends:
                corpus = (arguments.corpus or Path(scratch)) / f"{target}-{backend}"
                left = arguments.seconds - _seconds_done(arguments.records, target, backend)
                while left > 0:
                    record = _run(target, backend, min(left, _LONGEST_RUN), corpus)
                    left -= _LONGEST_RUN
                    print(json.dumps(record), flush=True)
                    failed |= bool(record["findings"])
                    if arguments.records is not None:
                        with arguments.records.open("a") as file:
                            file.write(json.dumps(record) + "\n")
    return int(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"all: {', '.join(TARGETS)}")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of CPU time, per target and backend: 60"
    )
    parser.add_argument("--backend", choices=("python", "cython"), help="both, if both are there")
    parser.add_argument(
        "--corpus", type=Path, help="the directory where inputs are kept, to go on with them later"
    )
    parser.add_argument(
        "--records",
        type=Path,
        help="a file of JSON lines: what is done is added to it, and what it has counts",
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    return arguments


def _backends() -> list[str]:
    try:
        Twin("cython", "framing")
    except ImportError:
        return ["python"]
    return ["python", "cython"]


def _seconds_done(records: Path | None, target: str, backend: str) -> float:
    if records is None or not records.exists():
        return 0.0
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    return sum(
        float(line["cpu_seconds"])
        for line in lines
        if (line["target"], line["backend"]) == (target, backend)
    )


def _run(target: str, backend: str, seconds: float, corpus: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "fuzz.engine", target, backend, str(seconds), str(corpus)]
    process = subprocess.run(command, capture_output=True, text=True, errors="replace")
    record: dict[str, Any] = {"target": target, "backend": backend}
    try:
        record |= json.loads(process.stdout.splitlines()[-1])
    except (IndexError, ValueError):  # it has crashed, or libFuzzer has ended it
        print(process.stderr[-10_000:], file=sys.stderr)
        record |= {"executions": 0, "cpu_seconds": seconds, "findings": ["crash"]}
    for name in record["findings"]:
        text = corpus.with_name(f"{corpus.name}-findings") / f"{name}.txt"
        print(text.read_text() if text.exists() else name, file=sys.stderr)
    # As libFuzzer prints them: edges in the bytecode that have been reached, and inputs kept.
    progress = re.findall(r"cov: (\d+) ft: \d+ corp: (\d+)", process.stderr)
    if progress:
        record |= {"edges": int(progress[-1][0]), "corpus": int(progress[-1][1])}
    return record


if __name__ == "__main__":
    sys.exit(main())
