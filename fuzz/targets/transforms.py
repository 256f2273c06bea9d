"""Transforms: whatever has been done to the bytes, they are undone or the payload is refused."""

import zlib
from collections.abc import Callable
from typing import Any, Final

from distchan import transforms
from distchan._payloads import PayloadEncoder, check_probe, decoder, make_probe
from distchan.codecs import resolve
from distchan.errors import DecodeError
from fuzz.source import Source
from fuzz.targets._payload import decoded

__all__ = ["run", "seeds"]

#: Nothing may come out that is larger.
_MOST: Final = 1 << 16


class _Own:
    """Somebody's own transform, which has not been written with hostile peers in mind."""

    def encode(self, data: bytes) -> bytes:
        return bytes([len(data) % 256]) + data[::-1]

    def decode(self, data: bytes) -> bytes:
        if data[0] != (len(data) - 1) % 256:
            raise KeyError(data[0])
        if data[-1:] == b"?":
            return bytearray(data)  # type: ignore[return-value]
        return data[:0:-1]


class _Inflating:
    """As a user might write it, bounded."""

    def encode(self, data: bytes) -> bytes:
        return zlib.compress(data)

    def decode(self, data: bytes) -> bytes:
        return zlib.decompressobj().decompress(data, _MOST)


#: Those that the library has, as far as they are installed here.
_READY: Final[list[tuple[str, Callable[[Any], Any]]]] = [
    ("Zlib", lambda make: make(max_size=_MOST)),
    ("Zstd", lambda make: make(max_size=_MOST)),
    ("AESGCM", lambda make: make(bytes(16))),
]


def _ready() -> list[Any]:
    found = []
    for name, build in _READY:
        try:
            found.append(build(getattr(transforms, name)))
        except (AttributeError, ImportError):
            continue
    return found


_SINGLE: Final = [*_ready(), _Own(), _Inflating()]
_CHAINS: Final = [(one,) for one in _SINGLE] + [
    (first, second) for first in _SINGLE for second in _SINGLE if first is not second
]
_RAW: Final = resolve("raw", bytes)


def seeds() -> list[bytes]:
    return [
        bytes([index]) + PayloadEncoder(_RAW, chain, 1 << 20).encode(payload)
        for index, chain in enumerate(_CHAINS)
        for payload in (b"", b"payload", b"x" * 5000)
    ]


def run(data: bytes) -> object:
    source = Source(data)
    chain = source.choice(_CHAINS)
    assert check_probe(chain, make_probe(chain))
    payload = source.rest()
    passes = check_probe(chain, payload)
    value = decoded(payload, decoder(_RAW.decode, chain))
    if isinstance(value, DecodeError):
        assert not passes
        return str(value)
    assert type(value) is bytes
    assert len(value) <= _MOST
    again = PayloadEncoder(_RAW, chain, 1 << 20).encode(value)
    assert decoded(again, decoder(_RAW.decode, chain)) == value or isinstance(
        chain[0], _Own
    )  # it refuses some
    return value
