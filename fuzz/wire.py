"""Frames of the native wire as docs/protocol.md lays them out, right and wrong ones."""

import struct
from collections.abc import Iterable, Sequence
from typing import Final

from fuzz.source import Source

__all__ = [
    "SIGNATURE",
    "any_frame",
    "control",
    "data",
    "header",
    "item",
    "numbers",
    "result",
    "settle",
]

SIGNATURE: Final = 0x3163_6864
ITEM, SETTLE, RESULT = 2, 3, 4


def header(length: int, signature: int = SIGNATURE) -> bytes:
    return struct.pack("<Ii", signature, length)


def control(kind: int, body: bytes = b"") -> bytes:
    return header(1 + len(body)) + bytes([kind]) + body


def numbers(*figures: int) -> bytes:
    """Figures of 64 bits, as control frames have them."""
    return struct.pack(f"<{len(figures)}Q", *figures)


def data(kind: int, number: int, body: bytes) -> bytes:
    return control(kind, numbers(number) + body)


def item(number: int, payload: bytes, item_id: int = 0, attempt: int = 1) -> bytes:
    return data(ITEM, number, struct.pack("<QI", item_id, attempt) + payload)


def result(number: int, payload: bytes) -> bytes:
    return data(RESULT, number, payload)


def settle(
    number: int, outcome: int, count: int, items: Sequence[int], entries: Iterable[bytes]
) -> bytes:
    body = struct.pack("<BI", outcome, count & 0xFFFF_FFFF) + numbers(*items)
    body += b"".join(struct.pack("<I", len(entry)) + entry for entry in entries)
    return data(SETTLE, number, body)


def any_frame(source: Source) -> bytes:
    """Something that is hardly a frame: any bytes, any length, any kind, any signature."""
    match source.below(4):
        case 0:
            return source.take(source.below(64))
        case 1:
            length = source.number() & 0x7FFF_FFFF
            return header(length if source.flag() else -length) + source.take(source.below(32))
        case 2:
            return control(source.below(256), source.take(source.below(64)))
        case _:
            body = source.take(1 + source.below(32)) or b"\0"
            return header(len(body), int.from_bytes(source.take(4), "little")) + body
