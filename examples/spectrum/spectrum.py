"""The mean power spectrum of a long recording, chunk by chunk (Welch's method), with NumPy.

python examples/spectrum/spectrum.py                    in worker processes, one per CPU
python examples/spectrum/spectrum.py --processes 4
python examples/spectrum/spectrum.py --plain            without any, to compare
python examples/spectrum/spectrum.py --file FILE.npy    of another recording than an invented one

What travels is small: items are the bounds of chunks, results are one sum for each chunk. The
samples stay in a file that each process maps into its memory.
"""

import argparse
import functools
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from distchan import sync

WINDOW = 4096
#: Samples per item: enough for a call to take a few milliseconds.
CHUNK = 64 * WINDOW


class Chunk(NamedTuple):
    path: str
    first: int
    last: int


@functools.cache
def samples(path: str) -> Any:
    """The recording; mapped once per process."""
    return np.load(path, mmap_mode="r")


def power(chunk: Chunk) -> Any:
    """The sum of the power spectra of a chunk's windows, which overlap by one half."""
    part = np.asarray(samples(chunk.path)[chunk.first : chunk.last], dtype=np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(part, WINDOW)[:: WINDOW // 2]
    spectra = np.fft.rfft(windows * np.hanning(WINDOW))
    return (spectra.real**2 + spectra.imag**2).sum(axis=0)


def chunks(path: str) -> Iterator[Chunk]:
    """Those of a recording; each begins half a window before the end of the one before."""
    length = len(samples(path))
    for first in range(0, length - WINDOW + 1, CHUNK):
        yield Chunk(path, first, min(first + CHUNK + WINDOW // 2, length))


def invent(path: Path, count: int) -> None:
    """A recording of two tones in noise."""
    time = np.arange(count)
    tones = np.sin(2 * np.pi * 0.1 * time) + 0.1 * np.sin(2 * np.pi * 0.31 * time)
    noise = np.random.default_rng(1).normal(size=count)
    np.save(path, (tones + noise).astype(np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description="mean power spectrum of a recording")
    parser.add_argument("--file", type=Path, help="one-dimensional array in a .npy file")
    parser.add_argument("--samples", type=int, default=30_000_000, help="to invent, without --file")
    parser.add_argument("--processes", type=int, help="default: one per CPU")
    parser.add_argument("--plain", action="store_true", help="without worker processes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.file or Path(folder, "recording.npy")
        if options.file is None:
            invent(path, options.samples)
        start = time.perf_counter()
        if options.plain:
            show(map(power, chunks(str(path))))
        else:
            with sync.Pool(power, options.processes) as pool:
                show(pool.map(chunks(str(path))))
        print(f"{time.perf_counter() - start:.2f} s", file=sys.stderr)


def show(parts: Iterable[Any]) -> None:
    """Print where the spectrum has its highest peaks."""
    spectrum = sum(parts)
    peaks = np.argsort(spectrum)[-5:]
    print("strongest at", *sorted(f"{peak / WINDOW:.4f}" for peak in peaks), "of the sampling rate")


if __name__ == "__main__":
    main()
