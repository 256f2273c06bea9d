"""What both kinds of compression have in common: what comes out is bounded."""

from typing import Any, Final

__all__ = ["DEFAULT_MAX_SIZE", "checked_max_size", "inflate", "too_large"]

#: In bytes; that of ``max_frame_size``.
DEFAULT_MAX_SIZE: Final = 64 * 1024 * 1024


def checked_max_size(max_size: object) -> int:
    """Raises TypeError or ValueError for what is no number of bytes."""
    if not isinstance(max_size, int) or isinstance(max_size, bool):
        raise TypeError(f"max_size must be an int, not {max_size!r}")
    if max_size < 1:
        raise ValueError(f"max_size must be at least 1, not {max_size}")
    return max_size


def too_large(max_size: int) -> ValueError:
    return ValueError(f"decompressed, it has more than {max_size} bytes (max_size)")


def inflate(decompressor: Any, data: bytes, max_size: int) -> bytes:
    """All of one stream, and nothing else. ValueError for anything other.

    decompressor: as those of zlib and of compression.zstd. It makes no more than a byte too many.
    """
    plain: bytes = decompressor.decompress(data, max_size + 1)
    if len(plain) > max_size:
        raise too_large(max_size)
    if not decompressor.eof:
        raise ValueError("the compressed data is cut short")
    if decompressor.unused_data:
        raise ValueError(f"{len(decompressor.unused_data)} bytes follow the compressed data")
    return plain
