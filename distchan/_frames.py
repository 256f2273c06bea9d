"""What both twins of the framing share: what they return, the checks and the words of refusals.

The twins differ in how they look at bytes. Everything that a caller could tell them apart by
stands here, once.
"""

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import msgspec

from ._wire import CONTROL_LIMIT, HEADER_SIZE, MAX_FRAME_SIZE, wrong_signature
from .errors import DecodeError, FrameTooLarge, InvalidSignature, ProtocolError

#: Payloads from this size on are handed to the transport as they are, not copied. A transport has
#: its own costs per buffer; through a socket, a copy clearly costs more than those from here on.
REFERENCE_THRESHOLD: Final = 32 * 1024

#: How much may be received at once, in bytes, in memory that all decoders of a thread share.
SHARED_MEMORY: Final = 256 * 1024

#: What a decoder advises when it has received something: to read() at once; to read() soon, for
#: there is more of it to come and nothing is lost by reading all of it together; or at once, and
#: to have it handed on before more is received. From BURST bytes on it is the last: when they are
#: gone, their memory is used again, and fresh memory costs more than what is written into it.
NOW: Final = 0
SOON: Final = 1
NOW_AND_PAUSE: Final = 2
BURST: Final = 1024 * 1024

#: The largest length that the int32 of a header can hold.
MAX_LENGTH: Final = MAX_FRAME_SIZE + CONTROL_LIMIT


#: The first and the last of numbers that follow each other, of each group of them.
Ranges: TypeAlias = list[tuple[int, int]]


# There may be as many of these as items, and a Struct is made five times faster than a named tuple.


class Items(msgspec.Struct, frozen=True):
    """Consecutive ITEM frames, decoded."""

    first: int
    """The number of the first of them."""
    values: list[Any]
    tickets: bytearray
    """Of each, TICKET_SIZE bytes: uint64 id, uint32 attempt, as they were on the wire."""
    size: int
    """The sum of the sizes of the encoded items."""


class Results(msgspec.Struct, frozen=True):
    """Consecutive RESULT frames and SETTLE frames with the outcome DONE, decoded."""

    values: list[Any]
    """The results of all of them, in order."""
    size: int
    """The sum of the sizes of the encoded results."""
    settled: Ranges
    """The numbers of the items that the SETTLE frames settle, in order."""
    frames: int
    last: int
    """How many results are in the last of them that has any."""
    paired: bool = False
    """Whether they are SETTLE frames that settle one item with one result each."""


class GivenBack(msgspec.Struct, frozen=True):
    """One SETTLE frame with another outcome than DONE."""

    outcome: int
    items: list[int]
    """Their numbers."""
    reason: bytes
    """In words; UTF-8 of a proper peer."""


class Undecodable(msgspec.Struct, frozen=True):
    """A data frame with a payload that does not decode. It harms no other frame."""

    kind: int
    number: int
    count: int
    """How many items or results are in it."""
    size: int
    """The sum of the sizes of its encoded items or results."""
    settled: list[int]
    """The numbers of the items that it settles, if it is a SETTLE frame."""
    error: DecodeError


def numbers_of(ranges: Ranges) -> Iterator[int]:
    """All numbers in them."""
    for first, last in ranges:
        yield from range(first, last + 1)


def split(buffers: list[bytes | bytearray]) -> Iterator[bytes]:
    """Frames that were encoded, one by one, each with its header."""
    stream = b"".join(buffers)
    start = 0
    while start < len(stream):
        length = int.from_bytes(stream[start + 4 : start + HEADER_SIZE], "little")
        end = start + HEADER_SIZE + length
        yield stream[start:end]
        start = end


def checked_signature(signature: int) -> int:
    if not 0 <= signature <= 0xFFFF_FFFF:
        raise ValueError(f"signature must fit 32 bits without a sign, not {signature}")
    return signature


def checked_max_frame_size(size: int) -> int:
    if not 0 <= size <= MAX_FRAME_SIZE:
        raise ValueError(f"max_frame_size must be 0 to {MAX_FRAME_SIZE}, not {size}")
    return size


def checked_first(number: int) -> int:
    # No session lasts long enough to reach this limit and to have its numbers overflow.
    if not 0 <= number < 2**63:
        raise ValueError(f"first must be 0 to {2**63 - 1}, not {number}")
    return number


def bad_field(*values: object) -> TypeError | OverflowError:
    """Why these cannot be the integers of a frame."""
    for value in values:
        if not isinstance(value, int):
            return TypeError(f"an integer is required, not {type(value).__name__}")
    return OverflowError(f"one of {values} is negative or too large")


def not_bytes(payload: object) -> TypeError:
    return TypeError(f"payload must be bytes, not {type(payload).__name__}")


def too_large(length: int, limit: int) -> FrameTooLarge:
    return FrameTooLarge(f"frame length {length} exceeds the limit of {limit}")


def bad_header(expected: int, signature: int, length: int, limit: int) -> ProtocolError:
    """Why a header is refused, before anything is known of its frame's kind."""
    if signature != expected:
        return InvalidSignature(wrong_signature(expected, signature))
    if length < 1:
        return ProtocolError(f"frame length {length} is below the minimum of 1")
    return too_large(length, limit)


def bad_data_length(length: int, least: int, limit: int) -> ProtocolError:
    if length < least:
        return ProtocolError(f"data frame length {length} is below the minimum of {least}")
    return too_large(length, limit)


def bad_number(expected: int, number: int) -> ProtocolError:
    return ProtocolError(f"expected data frame number {expected} or a repeated one, got {number}")


def bad_settle() -> ProtocolError:
    return ProtocolError("a SETTLE frame whose lengths contradict each other")


def undecodable(
    kind: int, number: int, count: int, size: int, settled: list[int], error: Exception
) -> Undecodable:
    words = DecodeError(f"data frame {number} does not decode: {type(error).__name__}: {error}")
    words.__cause__ = error
    return Undecodable(kind, number, count, size, settled, words)


def reentered() -> RuntimeError:
    return RuntimeError("while a read() of the decoder is under way, only feed() may be called")
