"""What both twins of the framing share: the type of a run, the checks and the words of refusals.

The twins differ in how they look at bytes. Everything that a caller could tell them apart by
stands here, once.
"""

from typing import Any, Final

import msgspec

from ._wire import DATA_PREFIX, MAX_FRAME_SIZE
from .errors import DecodeError, FrameTooLarge, InvalidSignature, ProtocolError

#: Payloads from this size on are handed to the transport as they are, not copied. A transport has
#: its own costs per buffer; through a socket, a copy clearly costs more than those from here on.
REFERENCE_THRESHOLD: Final = 32 * 1024

#: The largest length that the int32 of a header can hold.
MAX_LENGTH: Final = MAX_FRAME_SIZE + DATA_PREFIX


class Run(msgspec.Struct, frozen=True):
    """Consecutive data frames, decoded.

    There may be as many of these as items, and a Struct is made five times faster than a named
    tuple.
    """

    values: list[Any]
    size: int
    """The sum of the sizes of their payloads, kind and number not counted."""


class Undecodable(msgspec.Struct, frozen=True):
    """A data frame whose payload does not decode. It harms no other frame."""

    number: int
    size: int
    """Of its payload."""
    error: DecodeError


def checked_signature(signature: int) -> int:
    if not 0 <= signature <= 0xFFFF_FFFF:
        raise ValueError(f"signature must fit 32 bits without a sign, not {signature}")
    return signature


def checked_kind(kind: int) -> int:
    if not 0 <= kind <= 0xFF:
        raise ValueError(f"kind must fit a byte, not {kind}")
    return kind


def checked_max_frame_size(size: int) -> int:
    if not 0 <= size <= MAX_FRAME_SIZE:
        raise ValueError(f"max_frame_size must be 0 to {MAX_FRAME_SIZE}, not {size}")
    return size


def bad_prefix(kind: object, number: object) -> TypeError | ValueError:
    """Why ``kind`` and ``number`` cannot be written in front of a payload."""
    for name, value, limit in (("kind", kind, 0xFF), ("number", number, 2**64 - 1)):
        if not hasattr(value, "__index__"):
            return TypeError(f"{name} must be an int, not {type(value).__name__}")
        if not 0 <= value.__index__() <= limit:
            return ValueError(f"{name} must be 0 to {limit}, not {value}")
    raise AssertionError("both can be written")


def not_bytes(payload: object) -> TypeError:
    return TypeError(f"payload must be bytes, not {type(payload).__name__}")


def too_large(length: int, limit: int) -> FrameTooLarge:
    return FrameTooLarge(f"frame length {length} exceeds the limit of {limit}")


def bad_header(expected: int, signature: int, length: int, limit: int) -> ProtocolError:
    """Why a header is refused, before anything is known of its frame's kind."""
    if signature != expected:
        return InvalidSignature(
            f"expected signature 0x{expected:08x}, got 0x{signature:08x}: another program, "
            "or another option"
        )
    if length < 1:
        return ProtocolError(f"frame length {length} is below the minimum of 1")
    return too_large(length, limit)


def bad_data_length(length: int, limit: int) -> ProtocolError:
    if length < DATA_PREFIX:
        return ProtocolError(f"data frame length {length} is below the minimum of {DATA_PREFIX}")
    return too_large(length, limit)


def bad_number(expected: int, number: int) -> ProtocolError:
    return ProtocolError(f"expected data frame number {expected}, got {number}")


def undecodable(number: int, size: int, error: Exception) -> Undecodable:
    words = DecodeError(f"data frame {number} does not decode: {type(error).__name__}: {error}")
    words.__cause__ = error
    return Undecodable(number, size, words)


def reentered() -> RuntimeError:
    return RuntimeError("read() was called while another read() of the same decoder is under way")
