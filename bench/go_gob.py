"""``distchan.gob`` beside Go's encoding/gob: ``python -m bench.go_gob [ROUNDS]``.

Both encode and decode the same two values, with an encoder and a decoder that last: a struct of two
ints, and 1,000 of those in a slice. They take turns, for five rounds unless told otherwise, on the
processor that this program starts on. Needs Go on the PATH.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from distchan import BACKEND, gob

#: How many operations one measurement makes.
COUNTS = {"input": 100_000, "slice": 300}


class Input(msgspec.Struct):
    A: int
    B: int


VALUES = {"input": Input(1234, 567890), "slice": [Input(i, i * 1000) for i in range(1000)]}
TYPES = {"input": Input, "slice": list[Input]}


def encode(shape: str, count: int) -> float:
    encoder = gob.Encoder(TYPES[shape])
    value = VALUES[shape]
    encoder.encode(value)
    start = time.perf_counter()
    for _ in range(count):
        encoder.encode(value)
    return (time.perf_counter() - start) / count * 1e9


def decode(shape: str, count: int) -> float:
    encoder, decoder = gob.Encoder(TYPES[shape]), gob.Decoder(TYPES[shape])
    decoder.decode(encoder.encode(VALUES[shape]))
    data = encoder.encode(VALUES[shape])
    assert decoder.decode(data) == VALUES[shape]
    start = time.perf_counter()
    for _ in range(count):
        decoder.decode(data)
    return (time.perf_counter() - start) / count * 1e9


MEASURES: dict[str, Callable[[str, int], float]] = {"encode": encode, "decode": decode}


def build(folder: str) -> str:
    program = str(Path(folder, "gogob"))
    source = Path(__file__).parent / "peers/gogob"
    subprocess.run(["go", "build", "-o", program, "."], cwd=source, check=True)
    return program


def go(process: "subprocess.Popen[str]", what: str, shape: str, count: int) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{what} {shape} {count}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def spread(figures: list[float]) -> str:
    return f"{statistics.median(figures):,.0f} ({min(figures):,.0f} to {max(figures):,.0f})"


def main(rounds: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(f"{BACKEND} backend, {rounds} rounds; ns for one value: median (least to most)\n")
    print("| | distchan.gob | Go, encoding/gob | ratio |\n|---|---|---|---|")
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [build(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        for shape, count in COUNTS.items():
            for what, measure in MEASURES.items():
                ours, theirs = [], []
                for _ in range(rounds):
                    ours.append(measure(shape, count))
                    theirs.append(go(process, what, shape, count))
                ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
                ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
                print(f"| {what} {shape} | {spread(ours)} | {spread(theirs)} | {ratio} |")
        assert process.stdin is not None
        process.stdin.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
