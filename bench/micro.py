"""Pieces of the core, measured in this process: both twins of framing, and the rotation.

Each function prepares one measurement: it returns a function that does so many operations and
returns the seconds they took. The codec is left out: payloads are bytes and stay bytes.
"""

import time
from collections.abc import Callable
from typing import Any

from distchan._wire import SIGNATURE, Outcome

Run = Callable[[int], float]

#: A string of 32 characters in msgpack is one byte longer.
PAYLOAD = b"x" * 33
DONE = int(Outcome.DONE)
#: How many frames are in the encoder, or go to the decoder, at once.
BATCH = 1000


def add_items(encoder: Any) -> None:
    for number in range(BATCH):
        encoder.add_item(number, number, 1, PAYLOAD)


def add_settles(encoder: Any) -> None:
    items, entries = [0], [PAYLOAD]
    for number in range(BATCH):
        items[0] = number
        encoder.add_settle(number, DONE, items, entries)


def encode(framing: Any, add: Callable[[Any], None]) -> Run:
    encoder = framing.Encoder(SIGNATURE)

    def run(count: int) -> float:
        rounds = -(-count // BATCH)
        start = time.perf_counter()
        for _ in range(rounds):
            add(encoder)
            encoder.take()
        return (time.perf_counter() - start) * count / (rounds * BATCH)

    return run


def encoded(framing: Any, add: Callable[[Any], None]) -> bytes:
    """BATCH frames."""
    encoder = framing.Encoder(SIGNATURE)
    add(encoder)
    return b"".join(encoder.take())


def decoder(framing: Any, expect: str) -> Any:
    """A fresh one, since the numbers of the frames begin at 0."""
    decoder = framing.Decoder(SIGNATURE, 1 << 20)
    getattr(decoder, expect)(bytes)  # which returns them as they are
    return decoder


def decode_once(decoder: Any, data: bytes) -> None:
    decoder.feed(data)
    values = decoder.read().values
    assert len(values) == BATCH


def decode(framing: Any, add: Callable[[Any], None], expect: str) -> Run:
    data = encoded(framing, add)

    def run(count: int) -> float:
        rounds = -(-count // BATCH)
        taken = 0.0
        for _ in range(rounds):
            fresh = decoder(framing, expect)
            start = time.perf_counter()
            decode_once(fresh, data)
            taken += time.perf_counter() - start
        return taken * count / (rounds * BATCH)

    return run


def ring(roundrobin: Any, members: int, ready: str) -> Any:
    """A Ring of so many: ``"all"`` are ready, or ``"one"``, the one that was selected last.

    The search for the latter's next turn passes over all the others.
    """
    ring = roundrobin.Ring()
    for member in range(members):
        ring.join(member, ready == "all" or member == 0)
    return ring


def select(roundrobin: Any, members: int, ready: str) -> Run:
    select = ring(roundrobin, members, ready).select

    def run(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            select()
        return time.perf_counter() - start

    return run


def leave_and_join(roundrobin: Any, members: int) -> Run:
    """The oldest member leaves and comes again as the newest: no slot is spared."""
    them = ring(roundrobin, members, "all")
    oldest = 0

    def run(count: int) -> float:
        nonlocal oldest
        start = time.perf_counter()
        for _ in range(count):
            them.leave(oldest)
            them.join(oldest, True)
            oldest = (oldest + 1) % members
        return time.perf_counter() - start

    return run
