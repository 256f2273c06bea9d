"""Go's time.Time, in the form of its MarshalBinary.

A version (1, or 2 with one more byte), the seconds since the year 1 in UTC (64 bits), nanoseconds
(32 bits), the offset of the zone in minutes (16 bits; -1 is UTC), in version 2 and the rest of the
offset in seconds (8 bits). https://pkg.go.dev/time#Time.MarshalBinary; the layout is that of
Go's time package, which has read both versions since Go 1.17.
"""

import struct
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

__all__ = ["ZERO", "decode", "encode"]

#: time.Time{}, which structs omit.
ZERO: Final = datetime(1, 1, 1, tzinfo=UTC)

_LAYOUT: Final = struct.Struct(">BqIh")
_SECOND: Final = timedelta(seconds=1)
_UTC_MINUTES: Final = -1


def encode(moment: datetime) -> bytes:
    """Raises ValueError for a naive datetime and for an offset with fractions of a second."""
    if not isinstance(moment, datetime):
        raise TypeError(f"a datetime is needed, not {type(moment).__name__}")
    offset = moment.utcoffset()
    if offset is None:
        raise ValueError("a datetime without a time zone is no moment in time; give it a tzinfo")
    if offset.microseconds:
        raise ValueError("Go has no time zones with fractions of a second")
    # Not by way of astimezone(), as the same moment in UTC may be before the year 1.
    since = moment.replace(tzinfo=UTC) - ZERO - offset
    seconds, rest = divmod(since, _SECOND)
    offset_seconds = offset // _SECOND
    sign = -1 if offset_seconds < 0 else 1
    minutes, odd_seconds = divmod(abs(offset_seconds), 60)
    zone = sign * minutes if offset_seconds else _UTC_MINUTES
    if offset_seconds and zone == _UTC_MINUTES:
        raise ValueError("Go cannot write a time zone that is between one and two minutes west")
    version = 2 if odd_seconds else 1
    data = _LAYOUT.pack(version, seconds, rest.microseconds * 1000, zone)
    return data + struct.pack(">b", sign * odd_seconds) if odd_seconds else data


def decode(data: bytes) -> datetime:
    """A datetime in UTC or with a fixed offset; what is below a microsecond is cut off.

    Raises ValueError for other bytes than Go's, and for what datetime has no room for.
    """
    size = {1: _LAYOUT.size, 2: _LAYOUT.size + 1}.get(data[0] if data else 0)
    if size != len(data):
        raise ValueError("these bytes are no time.Time")
    _, seconds, nanoseconds, minutes = _LAYOUT.unpack_from(data)
    if nanoseconds >= 1_000_000_000:
        raise ValueError("a time.Time with more than a second in nanoseconds")
    if minutes == _UTC_MINUTES:
        offset = timedelta(0)
    else:
        odd_seconds = struct.unpack(">b", data[-1:])[0] if data[0] == 2 else 0
        offset = timedelta(minutes=minutes, seconds=odd_seconds)
    try:
        zone = UTC if not offset else timezone(offset)
        # Not by way of astimezone(): the moment may have room in its own zone only.
        since = timedelta(seconds=seconds, microseconds=nanoseconds // 1000) + offset
        return (ZERO + since).replace(tzinfo=zone)
    except (OverflowError, ValueError) as error:
        raise ValueError(f"datetime has no room for this time.Time: {error}") from None
