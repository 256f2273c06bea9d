"""Compression with zlib, which every Python has."""

import zlib

from distchan.transforms._bounds import DEFAULT_MAX_SIZE, checked_max_size, inflate

__all__ = ["Zlib"]


class Zlib:
    """Compresses items, each by itself, in the format of RFC 1950.

    level: 1 (fastest, the default) to 9 (smallest); 0: not at all; -1: zlib's own default.
    max_size: how many bytes an item may have when decompressed (default: 64 MiB). A larger one does
        not decode; no more than that is ever decompressed.

    ``decode`` raises ValueError or zlib.error for what is too large, cut short, damaged or followed
    by anything. Raises TypeError or ValueError for senseless options.
    """

    def __init__(self, level: int = 1, *, max_size: int = DEFAULT_MAX_SIZE) -> None:
        if not -1 <= level <= 9:
            raise ValueError(f"level must be -1 to 9, not {level}")
        self._level = level
        self._max_size = checked_max_size(max_size)

    def encode(self, data: bytes, /) -> bytes:
        return zlib.compress(data, self._level)

    def decode(self, data: bytes, /) -> bytes:
        return inflate(zlib.decompressobj(), data, self._max_size)

    def __repr__(self) -> str:
        return f"Zlib({self._level}, max_size={self._max_size})"
