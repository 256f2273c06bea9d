"""The items that one client has and has not settled."""

from collections.abc import Iterator

__all__ = ["Item", "Outstanding", "new_item"]


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

    def add(self, item: Item) -> None:
        self._items.append(item)
        self.count += 1
        self.size += len(item.payload)

    def strike(self, numbers: list[int]) -> list[Item]:
        """Remove those items and return them. Raises KeyError if one is not there, and does nothing
        then."""
        items = self._items
        base = self._base
        end = base + len(items)
        struck: list[Item] = []
        size = 0
        for number in numbers:
            item = items[number - base] if base <= number < end else None
            if item is None:
                for other, returned in zip(numbers, struck, strict=False):
                    items[other - base] = returned
                raise KeyError(number)
            items[number - base] = None
            struck.append(item)
            size += len(item.payload)
        self.count -= len(struck)
        self.size -= size
        self._cut_off_holes()
        return struck

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
