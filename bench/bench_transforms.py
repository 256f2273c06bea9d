"""The transforms: one item to bytes, or back, a round. The item is text that compresses well."""

from typing import Any

import pytest

from distchan.transforms import AESGCM, Transform, Zlib, Zstd

SIZES = [1 << 10, 1 << 16, 1 << 20]
TRANSFORMS = {
    "zlib-1": Zlib(),
    "zlib-6": Zlib(6),
    "zstd-3": Zstd(),
    "zstd--1": Zstd(-1),
    "aesgcm": AESGCM(bytes(32)),
}


def text(size: int) -> bytes:
    """Lines as of a log file."""
    lines = (b"%07d INFO worker %d has done item %x\n" % (n, n % 7, n * n) for n in range(size))
    data = bytearray()
    while len(data) < size:
        data += next(lines)
    return bytes(data[:size])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", TRANSFORMS)
def bench_encode(benchmark: Any, name: str, size: int) -> None:
    transform: Transform = TRANSFORMS[name]
    benchmark.group = f"encode {size >> 10} KiB"
    data = text(size)
    benchmark.extra_info["compressed to"] = len(transform.encode(data)) / size
    benchmark(transform.encode, data)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", TRANSFORMS)
def bench_decode(benchmark: Any, name: str, size: int) -> None:
    transform: Transform = TRANSFORMS[name]
    benchmark.group = f"decode {size >> 10} KiB"
    benchmark(transform.decode, transform.encode(text(size)))
