"""Frames to bytes and back: the twin in Python of ``_framing.pyx``.

Both twins follow the same plan. The encoder appends frames to one buffer and hands the buffer
itself to the transport. The decoder never touches what it was fed: it walks through a piece with
an offset, and only a frame that is spread over several pieces is put together in a buffer of its
own, which grows with the bytes that really arrive, whatever length the frame claims. (The compiled
twin receives a large payload where it stays.)
"""

import struct
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from ._frames import (
    MAX_LENGTH,
    NOW,
    REFERENCE_THRESHOLD,
    SHARED_MEMORY,
    GivenBack,
    Items,
    Ranges,
    Results,
    Undecodable,
    bad_data_length,
    bad_field,
    bad_header,
    bad_number,
    bad_settle,
    checked_first,
    checked_max_frame_size,
    checked_signature,
    not_bytes,
    reentered,
    too_large,
    undecodable,
)
from ._wire import (
    CONTROL_LIMIT,
    DATA_PREFIX,
    HEADER_SIZE,
    ITEM_NUMBER_SIZE,
    MOST_RESULTS,
    MOST_SETTLED,
    RESULT_LENGTH_SIZE,
    SETTLE_PREFIX,
    TICKET_SIZE,
    Kind,
    Outcome,
)
from .errors import ProtocolError

__all__ = ["Decoder", "Encoder"]

# Plain integers: a member of an enumeration is slower to come by, to compare and to pack.
_ITEM: Final = int(Kind.ITEM)
_SETTLE: Final = int(Kind.SETTLE)
_RESULT: Final = int(Kind.RESULT)
_DONE: Final = int(Outcome.DONE)

#: The least and the largest length of a control frame.
_CONTROL_BOUNDS: Final = (1, CONTROL_LIMIT)

_pack_header = struct.Struct("<Ii").pack
_pack_control = struct.Struct("<IiB").pack
_pack_item = struct.Struct("<IiBQQI").pack
_pack_result = struct.Struct("<IiBQ").pack
_pack_result_length = struct.Struct("<I").pack
_pack_settle = struct.Struct("<BI").pack_into
_pack_header_into = struct.Struct("<Ii").pack_into
_unpack_header = struct.Struct("<Ii").unpack_from
_unpack_data_header = struct.Struct("<IiBQ").unpack_from
_unpack_settle = struct.Struct("<BI").unpack_from
_unpack_result_length = struct.Struct("<I").unpack_from

# Most SETTLE frames settle one item with one result. To treat them as a whole makes a worker that
# echoes tiny items a quarter faster.
_pack_single = struct.Struct("<IiBQBIQI").pack
_unpack_single = struct.Struct("<BIQI").unpack_from
_SINGLE_PREFIX: Final = DATA_PREFIX + SETTLE_PREFIX + ITEM_NUMBER_SIZE + RESULT_LENGTH_SIZE


class _Shared(threading.local):
    """Memory that all decoders of a thread receive into."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(SHARED_MEMORY))


_shared = _Shared()


class Encoder:
    """Collects frames in one growing buffer until they are taken."""

    __slots__ = ("_buffer", "_closed", "_closed_size", "_done_at", "_done_end", "_signature")

    def __init__(self, signature: int) -> None:
        self._signature = checked_signature(signature)
        self._closed: list[bytes | bytearray] = []
        self._closed_size = 0
        self._buffer = bytearray()
        #: Where the SETTLE frame begins and ends to which more items without results may be added;
        #: nothing but it ends there, if it is the last frame in the buffer.
        self._done_at = self._done_end = 0

    @property
    def size(self) -> int:
        """How many bytes are pending."""
        return self._closed_size + len(self._buffer)

    def add(self, kind: int, body: bytes = b"") -> None:
        """Append a control frame."""
        length = self._checked(1, body)
        try:
            prefix = _pack_control(self._signature, length, kind)
        except struct.error:
            raise bad_field(kind) from None
        self._append(prefix, body)

    def add_item(self, number: int, id: int, attempt: int, payload: bytes) -> None:  # noqa: A002
        """Append an ITEM frame."""
        length = self._checked(DATA_PREFIX + TICKET_SIZE, payload)
        try:
            prefix = _pack_item(self._signature, length, _ITEM, number, id, attempt)
        except struct.error:
            raise bad_field(number, id, attempt) from None
        self._append(prefix, payload)

    def add_result(self, number: int, payload: bytes) -> None:
        """Append a RESULT frame."""
        length = self._checked(DATA_PREFIX, payload)
        try:
            prefix = _pack_result(self._signature, length, _RESULT, number)
        except struct.error:
            raise bad_field(number) from None
        self._append(prefix, payload)

    def add_settle(self, number: int, outcome: int, items: list[int], entries: list[bytes]) -> None:
        """Append a SETTLE frame."""
        count = len(items)
        try:
            prefix = struct.pack(f"<BQBI{count}Q", _SETTLE, number, outcome, count, *items)
        except struct.error:
            raise bad_field(number, outcome, *items) from None
        length = len(prefix)
        for entry in entries:
            if type(entry) is not bytes:
                raise not_bytes(entry)
            length += RESULT_LENGTH_SIZE + len(entry)
        if length > MAX_LENGTH:
            raise too_large(length, MAX_LENGTH)
        fresh = bytearray(_pack_header(self._signature, length) + prefix)
        closed: list[bytes | bytearray] = []
        for entry in entries:
            fresh += _pack_result_length(len(entry))
            if len(entry) < REFERENCE_THRESHOLD:
                fresh += entry
            else:
                closed += (fresh, entry)
                fresh = bytearray()
        if not closed:
            self._buffer += fresh
        else:
            self._buffer += closed[0]
            closed[0] = self._buffer
            self._close(closed, fresh)

    def add_done(self, number: int, first: int, last: int, result: bytes | None) -> bool:
        """Append a SETTLE frame: the items from ``first`` to ``last`` are done.

        Without a result they are added to the frame before, if that is one of the same kind and has
        room. Returns whether a frame was begun.
        """
        if result is not None and first == last:
            length = self._checked(_SINGLE_PREFIX, result)
            try:
                prefix = _pack_single(
                    self._signature, length, _SETTLE, number, _DONE, 1, first, len(result)
                )
            except struct.error:
                raise bad_field(number, first) from None
            self._append(prefix, result)
            return True
        items = list(range(first, last + 1))
        buffer = self._buffer
        if result is None and self._done_end and self._done_end == len(buffer):
            at = self._done_at + HEADER_SIZE + DATA_PREFIX
            outcome, count = _unpack_settle(buffer, at)
            count += len(items)
            if count <= MOST_SETTLED:
                buffer += struct.pack(f"<{len(items)}Q", *items)
                self._done_end = len(buffer)
                _pack_settle(buffer, at, outcome, count)
                length = self._done_end - self._done_at - HEADER_SIZE
                _pack_header_into(buffer, self._done_at, self._signature, length)
                return False
        start = len(buffer)
        self.add_settle(number, _DONE, items, [] if result is None else [result])
        if result is None:
            self._done_at, self._done_end = start, len(buffer)
        return True

    def add_encoded(self, frame: bytes) -> None:
        """Append a frame that has been encoded before, header included."""
        self._buffer += frame

    def take(self) -> list[bytes | bytearray]:
        """Hand over everything pending, in order, and start anew."""
        taken = self._closed
        if self._buffer:
            taken.append(self._buffer)
            self._begin_buffer(bytearray())
        self._closed = []
        self._closed_size = 0
        return taken

    @staticmethod
    def _checked(prefix: int, payload: bytes) -> int:
        """The length of a frame: so many bytes and the payload."""
        if type(payload) is not bytes:
            raise not_bytes(payload)
        length = prefix + len(payload)
        if length > MAX_LENGTH:
            raise too_large(length, MAX_LENGTH)
        return length

    def _append(self, prefix: bytes, payload: bytes) -> None:
        if len(payload) < REFERENCE_THRESHOLD:
            # One append, not two: a frame gets in whole or, when memory runs out, not at all.
            self._buffer += prefix + payload
        else:
            self._buffer += prefix
            self._close([self._buffer, payload], bytearray())

    def _close(self, closed: list[bytes | bytearray], fresh: bytearray) -> None:
        """Put what will not change any more in front of a buffer for what follows."""
        self._closed += closed
        self._closed_size += sum(map(len, closed))
        self._begin_buffer(fresh)

    def _begin_buffer(self, fresh: bytearray) -> None:
        self._buffer = fresh
        self._done_end = 0


class Decoder:
    """Cuts a byte stream into frames. Feed it, then read until there is nothing more."""

    __slots__ = (
        "_apart",
        "_bounds",
        "_buffer",
        "_count",
        "_decode",
        "_error",
        "_first",
        "_last",
        "_limit",
        "_max_frame_size",
        "_next_number",
        "_pairs",
        "_position",
        "_reading",
        "_settled",
        "_signature",
        "_size",
        "_taken",
        "_tickets",
        "_values",
        "_waiting",
    )

    def __init__(self, signature: int, max_frame_size: int) -> None:
        self._signature = checked_signature(signature)
        self._max_frame_size = checked_max_frame_size(max_frame_size)
        # Of each kind of data frame, the least and the largest length. There is none until one of
        # the expect methods has been called: every frame is a control frame.
        self._bounds: dict[int, tuple[int, int]] = {}
        self._limit = CONTROL_LIMIT
        self._decode: Callable[[bytes], object] = bytes
        self._next_number = 0
        # The bytes being cut: a piece as it was fed (bytes), or the one frame that is being put
        # together from several pieces (bytearray, from its start).
        self._buffer: bytes | bytearray = b""
        self._position = 0
        # The pieces after it, and how much of the first of them has gone into the buffer.
        self._waiting: deque[bytes] = deque()
        self._taken = 0
        # The run so far. Kept here so that an interrupted read() loses nothing.
        self._count = 0
        self._first = 0
        self._last = 0
        self._values: list[Any] = []
        self._tickets = bytearray()
        self._settled: Ranges = []
        self._size = 0
        # The data frame after the run, if it is none for a run.
        self._apart: Results | GivenBack | Undecodable | None = None
        #: Whether runs show which result belongs to which item, see pair_results().
        self._pairs = False
        self._error: ProtocolError | None = None
        self._reading = False

    def expect_items(self, decode: Callable[[bytes], object], first: int = 0) -> None:
        """Allow ITEM frames from now on, from number ``first``; ``decode`` makes their values."""
        self._expect(decode, first)
        least = DATA_PREFIX + TICKET_SIZE
        self._allow(_ITEM, least, self._max_frame_size + least)

    def expect_results(self, decode: Callable[[bytes], object], first: int = 0) -> None:
        """Allow RESULT and SETTLE frames from now on, from number ``first``."""
        self._pairs = False
        self._expect(decode, first)
        self._allow(_RESULT, DATA_PREFIX, self._max_frame_size + DATA_PREFIX)
        self._allow(_SETTLE, DATA_PREFIX + SETTLE_PREFIX, self._max_frame_size + CONTROL_LIMIT)

    def pair_results(self) -> None:
        """Let it be known from now on which result belongs to which item.

        Runs are then of frames that settle one item with one result each; any other frame makes
        a run by itself.
        """
        self._pairs = True

    @property
    def in_mid_frame(self) -> bool:
        """Whether part of a frame has come, and the rest has not; for after a ``read()``."""
        return self._position < len(self._buffer)

    def get_buffer(self) -> memoryview:
        """Where the next bytes of the stream may be put, for ``buffer_updated()``.

        All decoders of a thread share it, so that it must be taken in before another receives
        something there.
        """
        return _shared.view

    def buffer_updated(self, size: int) -> int:
        """So many bytes have been put there: what now, see _frames."""
        self.feed(bytes(_shared.view[:size]))
        return NOW

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take in the next bytes of the stream. Nothing is looked at before ``read()``."""
        piece = data if type(data) is bytes else bytes(memoryview(data))
        if self._error is None:
            self._waiting.append(piece)

    def read(self) -> tuple[int, bytes] | Items | Results | GivenBack | Undecodable | None:
        """Return the next control frame or run of data frames; None when bytes are missing.

        A data frame that gives items back or does not decode ends a run and is returned by itself.

        What is wrong with the stream is raised once all before it has been returned, and then
        for ever.
        """
        if self._reading:
            raise reentered()
        self._reading = True
        control = None
        try:
            if self._error is None and self._apart is None:
                control = self._cut()
        except ProtocolError as error:
            self._error = error
            self._buffer = b""
            self._waiting.clear()
        finally:
            self._reading = False
        if self._count:
            return self._end_run()
        if self._apart is not None:
            apart, self._apart = self._apart, None
            return apart
        if self._error is not None:
            # Without with_traceback() the traceback would grow with every repetition.
            raise self._error.with_traceback(None)
        return control

    def _expect(self, decode: Callable[[bytes], object], first: int) -> None:
        if self._reading:
            raise reentered()
        self._next_number = checked_first(first)
        self._decode = decode

    def _allow(self, kind: int, least: int, most: int) -> None:
        self._bounds[kind] = (least, most)
        self._limit = max(self._limit, most)

    def _end_run(self) -> Items | Results:
        run: Items | Results
        if self._tickets:
            run = Items(self._first, self._values, self._tickets, self._size)
            self._tickets = bytearray()
        else:
            run = Results(
                self._values, self._size, self._settled, self._count, self._last, self._pairs
            )
            self._settled = []
            self._last = 0
        self._values = []
        self._size = 0
        self._count = 0
        return run

    def _cut(self) -> tuple[int, bytes] | None:
        """Move data frames into the run; stop at, and without a run return, a control frame."""
        bounds = self._bounds
        while True:
            buffer = self._buffer
            while True:
                start = self._position
                available = len(buffer) - start
                needed = HEADER_SIZE
                if available >= HEADER_SIZE + DATA_PREFIX:
                    signature, length, kind, number = _unpack_data_header(buffer, start)
                elif available < HEADER_SIZE:
                    break
                else:
                    signature, length = _unpack_header(buffer, start)
                    kind = buffer[start + HEADER_SIZE] if available > HEADER_SIZE else None
                if signature != self._signature or not 1 <= length <= self._limit:
                    raise bad_header(self._signature, signature, length, self._limit)
                needed += length
                if kind is not None:
                    least, most = bounds.get(kind, _CONTROL_BOUNDS)
                    if not least <= length <= most:
                        raise bad_data_length(length, least, most)
                if available < needed:
                    break

                # A bytearray holds this frame alone.
                frame = buffer[start : start + needed] if type(buffer) is bytes else bytes(buffer)
                if kind not in bounds:
                    if self._count:
                        return None
                    self._position += needed
                    return kind, frame[HEADER_SIZE + 1 :]
                if number > self._next_number:
                    raise bad_number(self._next_number, number)
                # A lower number is that of a repeated frame.
                if number == self._next_number:
                    if kind == _SETTLE:
                        self._take_settle(frame)
                    else:
                        self._take_single(kind, frame)
                    self._next_number += 1
                self._position += needed
                if self._apart is not None:
                    return None
            if not self._refill(needed):
                return None

    def _take_single(self, kind: int, frame: bytes) -> None:
        """Move the item, or the result that belongs to none, of a frame into the run."""
        body = HEADER_SIZE + DATA_PREFIX
        ticket_end = body + TICKET_SIZE if kind == _ITEM else body
        payload = frame[ticket_end:]
        try:
            value = self._decode(payload)
        except Exception as error:
            self._apart = undecodable(kind, self._next_number, 1, len(payload), [], error)
            return
        if kind == _ITEM:
            if not self._tickets:
                self._first = self._next_number
            self._tickets += frame[body:ticket_end]
        elif self._pairs:
            self._apart = Results([value], len(payload), [], 1, 1)
            return
        self._values.append(value)
        self._size += len(payload)
        self._last = 1
        self._count += 1

    def _take_settle(self, frame: bytes) -> None:
        """Move what is in a SETTLE frame into the run, or put it apart."""
        end = len(frame)
        at = HEADER_SIZE + DATA_PREFIX
        single = HEADER_SIZE + _SINGLE_PREFIX
        if end >= single:
            outcome, count, item, size = _unpack_single(frame, at)
            if count == 1 and size == end - single and size <= self._max_frame_size:
                self._settle(outcome, [item], [frame[single:]], size)
                return
        outcome, count = _unpack_settle(frame, at)
        at += SETTLE_PREFIX
        if count > MOST_SETTLED or ITEM_NUMBER_SIZE * count > end - at:
            raise bad_settle()
        items = list(struct.unpack_from(f"<{count}Q", frame, at))
        at += ITEM_NUMBER_SIZE * count
        entries: list[bytes] = []
        size = 0
        while at < end:
            if end - at < RESULT_LENGTH_SIZE:
                raise bad_settle()
            (length,) = _unpack_result_length(frame, at)
            at += RESULT_LENGTH_SIZE
            if length > end - at or len(entries) == MOST_RESULTS:
                raise bad_settle()
            if length > self._max_frame_size and outcome == _DONE:
                raise too_large(length, self._max_frame_size)
            entries.append(frame[at : at + length])
            at += length
            size += length
        self._settle(outcome, items, entries, size)

    def _settle(self, outcome: int, items: list[int], entries: list[bytes], size: int) -> None:
        """Move the values of a SETTLE frame into the run, or put it apart."""
        if outcome != _DONE:
            self._apart = GivenBack(outcome, items, entries[0] if entries else b"")
            return
        decode = self._decode
        try:
            values = [decode(entry) for entry in entries]
        except Exception as error:
            self._apart = undecodable(_SETTLE, self._next_number, len(entries), size, items, error)
            return
        if self._pairs and not len(items) == len(entries) == 1:
            ranges = [(item, item) for item in items]
            self._apart = Results(values, size, ranges, 1, len(entries))
            return
        self._values += values
        settled = self._settled
        for item in items:
            if settled and settled[-1][1] == item - 1:
                settled[-1] = (settled[-1][0], item)
            else:
                settled.append((item, item))
        self._size += size
        if entries:
            self._last = len(entries)
        self._count += 1

    def _refill(self, needed: int) -> bool:
        """Bring in more bytes of an incomplete frame, at most ``needed`` in all; False if none."""
        waiting = self._waiting
        if self._position == len(self._buffer):
            if not waiting:
                self._buffer, self._position = b"", 0
                return False
            # Nothing to put together: go on in the next piece itself.
            self._buffer, self._position = waiting.popleft(), self._taken
            self._taken = 0
            return True
        if type(self._buffer) is not bytearray:
            # Also when nothing is waiting: the rest must not keep the whole piece alive.
            self._buffer, self._position = bytearray(self._buffer[self._position :]), 0
        grown = False
        while waiting and (missing := needed - len(self._buffer)):
            grown = True
            fresh = memoryview(waiting[0])[self._taken : self._taken + missing]
            self._buffer += fresh
            self._taken += len(fresh)
            if self._taken == len(waiting[0]):
                waiting.popleft()
                self._taken = 0
        return grown
