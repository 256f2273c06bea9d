"""An input as a source of decisions: the same bytes make the same ones, any bytes make some."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

__all__ = ["Source", "cuts"]

T = TypeVar("T")

#: Where lengths, counts and figures turn over.
_EDGES: Final = sorted(
    {
        edge + step
        for edge in (0, 64, 4096, 2**16, 2**24, 2**31, 2**32, 2**53, 2**62, 2**63, 2**64)
        for step in (-1, 0, 1)
        if 0 <= edge + step < 2**64
    }
)
_FILLING_SIZES: Final = (30_000, 40_000, 70_000, 150_000)


class Source:
    """Takes bytes from the front. When none are left, every decision is the first choice."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        #: How many large payloads there may still be.
        self._fillings = 3

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        """So many bytes, or as many as there are."""
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    def rest(self) -> bytes:
        return self.take(len(self._data))

    def below(self, end: int) -> int:
        """A number from 0 up, of at most 256."""
        return (self.take(1) or b"\0")[0] % end

    def flag(self) -> bool:
        return self.below(2) == 1

    def choice(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def number(self) -> int:
        """Of 64 bits: mostly small, or where something turns over."""
        kind = self.below(256)
        if kind < 160:
            return kind % 16
        if kind < 240:
            return self.choice(_EDGES)
        return int.from_bytes(self.take(8), "little")

    def payload(self) -> bytes:
        """A few bytes; or, from as few, so many that they take another way."""
        size = self.below(256)
        if size < 250 or not self._fillings:
            return self.take(size % 32)
        self._fillings -= 1
        return (self.take(4) or b"\0") * (self.choice(_FILLING_SIZES) // 4)


def cuts(stream: bytes, places: Iterable[int]) -> Iterator[bytes]:
    """The stream in pieces, cut there (modulo its length)."""
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return (stream[start:end] for start, end in itertools.pairwise(edges))
