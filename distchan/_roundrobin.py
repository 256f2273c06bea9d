"""Whose turn it is: the twin in Python of ``_roundrobin.pyx``.

Members sit in slots in joining order, and a string of bytes says of each slot whether it is ready.
The search for the next turn is a search for a byte, so a thousand members that are not ready cost
nanoseconds. A member that leaves leaves a hole, which is never ready.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["Ring"]

M = TypeVar("M")


class Ring(Generic[M]):
    """Members in joining order, some of them ready; ``select()`` deals out turns among those."""

    __slots__ = ("_cursor", "_members", "_ready", "_slots", "ready")

    def __init__(self) -> None:
        self._members: list[M | None] = []  # by slot; None in a hole
        self._ready = bytearray()  # by slot; 1 or 0
        self._slots: dict[M, int] = {}  # in joining order, too
        self._cursor = 0  # the slot after the one selected last
        #: How many members are ready: whether select() would return one.
        self.ready = 0

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, member: object) -> bool:
        return member in self._slots

    def __iter__(self) -> Iterator[M]:
        """Iterate in joining order over the members of this moment."""
        return iter(list(self._slots))

    def join(self, member: M, ready: bool = False) -> None:
        """Put a member at the end of the order; its turn comes when the rotation gets there."""
        if member in self._slots:
            raise ValueError(f"{member!r} is a member already")
        self._slots[member] = len(self._members)
        self._members.append(member)
        self._ready.append(ready)
        self.ready += ready

    def leave(self, member: M) -> None:
        """Remove a member; the turns of the others are not disturbed."""
        slot = self._slots.pop(member)
        self._members[slot] = None
        self._set(slot, False)
        # Only then: one pass over all slots for as many departures.
        if len(self._members) > 2 * len(self._slots):
            self._close_holes()

    def mark(self, member: M, ready: bool) -> None:
        """Say whether a member is ready; it keeps its place in the order."""
        self._set(self._slots[member], ready)

    def _set(self, slot: int, ready: bool) -> None:
        self.ready += ready - self._ready[slot]
        self._ready[slot] = ready

    def select(self) -> M | None:
        """Return the first ready member after the one selected last, None if none is ready."""
        slot = self._ready.find(1, self._cursor)
        if slot < 0:
            slot = self._ready.find(1, 0, self._cursor)
            if slot < 0:
                return None
        self._cursor = slot + 1
        return self._members[slot]

    def _close_holes(self) -> None:
        taken = self._slots.values()
        self._cursor = sum(slot < self._cursor for slot in taken)
        self._ready = bytearray(self._ready[slot] for slot in taken)
        self._members = list(self._slots)
        self._slots = {member: slot for slot, member in enumerate(self._slots)}
