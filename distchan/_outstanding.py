"""The items that one client has and has not settled."""

from collections.abc import Iterable, Iterator

from distchan._frames import Ranges, numbers_of

__all__ = ["Item", "Outstanding", "new_item", "ranges_of"]


class Item:
    """An item that the server owns, encoded."""

    __slots__ = ("alone", "attempt", "id", "payload")

    id: int
    payload: bytes
    attempt: int
    """Grows with each attempt that failed."""
    alone: bool
    """It is suspected of having taken a worker down."""


def new_item(item_id: int, payload: bytes, attempt: int = 1, alone: bool = False) -> Item:
    """Without __init__, which takes longer to call: this is done for every item."""
    item = Item.__new__(Item)
    item.id = item_id
    item.payload = payload
    item.attempt = attempt
    item.alone = alone
    return item


def ranges_of(numbers: Iterable[int]) -> Ranges:
    """Those numbers, each of them as a range."""
    return [(number, number) for number in numbers]


class Outstanding:
    """Items by number, in order. They are numbered 0, 1, 2, ... as they are added.

    A list with holes where items have been settled: mostly that happens in order, so that the holes
    are at its beginning, where they are cut off now and then.
    """

    __slots__ = ("_base", "_items", "_start", "count", "size")

    def __init__(self) -> None:
        self._items: list[Item | None] = []
        #: The number of what is or was at the beginning of the list.
        self._base = 0
        #: All holes before that index.
        self._start = 0
        self.count = 0
        #: Of their payloads, in bytes.
        self.size = 0

    def __len__(self) -> int:
        return self.count

    def items(self) -> Iterator[tuple[int, Item]]:
        """Numbers and items."""
        for number, item in enumerate(self._items, self._base):
            if item is not None:
                yield number, item

    def values(self) -> list[Item]:
        return [item for item in self._items if item is not None]

    def below(self, end: int) -> Ranges:
        """The numbers of all before that one."""
        ranges: Ranges = []
        first = self._base
        stop = min(end, first + len(self._items))
        for number in range(first, stop):
            if self._items[number - self._base] is None:
                if first < number:
                    ranges.append((first, number - 1))
                first = number + 1
        if first < stop:
            ranges.append((first, stop - 1))
        return ranges

    def add(self, item: Item) -> None:
        self._items.append(item)
        self.count += 1
        self.size += len(item.payload)

    def strike(self, ranges: Ranges) -> list[Item]:
        """Remove those items and return them. Raises KeyError if one is not there, and does nothing
        then."""
        items = self._items
        base = self._base
        length = len(items)
        struck: list[Item] = []
        size = 0
        for first, last in ranges:
            if first < base or last >= base + length:
                self._put_back(ranges, struck)
                raise KeyError(first if first < base else max(first, base + length))
            for index in range(first - base, last - base + 1):
                item = items[index]
                if item is None:
                    self._put_back(ranges, struck)
                    raise KeyError(base + index)
                items[index] = None
                struck.append(item)
                size += len(item.payload)
        self.count -= len(struck)
        self.size -= size
        self._cut_off_holes()
        return struck

    def _put_back(self, ranges: Ranges, struck: list[Item]) -> None:
        """Undo the removal of the first items of those ranges."""
        for number, item in zip(numbers_of(ranges), struck, strict=False):
            self._items[number - self._base] = item

    def _cut_off_holes(self) -> None:
        items = self._items
        start = self._start
        length = len(items)
        while start < length and items[start] is None:
            start += 1
        # Only then: each removal shifts what is behind, which is no more than what is removed.
        if start * 2 >= length:
            del items[:start]
            self._base += start
            start = 0
        self._start = start

    def clear(self) -> None:
        """Remove all. Those that are added later go on with the next number."""
        self._base += len(self._items)
        self._items.clear()
        self._start = self.count = self.size = 0
