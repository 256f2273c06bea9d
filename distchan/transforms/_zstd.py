"""Compression with Zstandard: smaller and several times faster than zlib."""

import sys
from typing import Any

from distchan.transforms._bounds import DEFAULT_MAX_SIZE, checked_max_size, inflate, too_large

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    try:
        from backports import zstd
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Zstd needs Python 3.14 or backports.zstd: pip install 'distchan[zstd]'",
            name=error.name,
        ) from None

__all__ = ["Zstd"]

#: The smallest window that a decompressor can be limited to, as an exponent of 2.
_SMALLEST_WINDOW = 10


class Zstd:
    """Compresses items, each by itself, as one frame in the format of RFC 8878.

    level: 1 to 22; less than 0: faster still (default: 3).
    max_size: how many bytes an item may have when decompressed (default: 64 MiB). A larger one does
        not decode: if its frame says so, nothing is decompressed at all, and if it does not, no
        more than that. The memory for looking back is bounded by it, too.

    ``decode`` raises ValueError or ZstdError for what is too large, cut short, damaged, made with a
    dictionary, or followed by anything. Raises TypeError or ValueError for senseless options;
    importing it raises ModuleNotFoundError where neither Python nor ``distchan[zstd]`` has it.
    """

    def __init__(self, level: int = 3, *, max_size: int = DEFAULT_MAX_SIZE) -> None:
        least, most = zstd.CompressionParameter.compression_level.bounds()
        if not least <= level <= most:
            raise ValueError(f"level must be {least} to {most}, not {level}")
        self._level = level
        self._max_size = checked_max_size(max_size)
        _, largest = zstd.DecompressionParameter.window_log_max.bounds()
        window = min(max((max_size - 1).bit_length(), _SMALLEST_WINDOW), largest)
        self._options: dict[Any, int] = {zstd.DecompressionParameter.window_log_max: window}

    def encode(self, data: bytes, /) -> bytes:
        return zstd.compress(data, self._level)

    def decode(self, data: bytes, /) -> bytes:
        said = zstd.get_frame_info(data).decompressed_size  # None: it does not say
        if (said or 0) > self._max_size:
            raise too_large(self._max_size)
        return inflate(zstd.ZstdDecompressor(options=self._options), data, self._max_size)

    def __reduce__(self) -> Any:
        return _make, (self._level, self._max_size)

    def __repr__(self) -> str:
        return f"Zstd({self._level}, max_size={self._max_size})"


def _make(level: int, max_size: int) -> Zstd:
    return Zstd(level, max_size=max_size)
