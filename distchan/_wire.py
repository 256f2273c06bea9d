"""The layout of the native wire: the only copy of its numbers.

A frame is an eight-byte header and a payload. All integers are little-endian::

    int32  signature     opens every frame; both ends must agree on it
    int32  length        of the payload that follows, in bytes

The first byte of a payload is its kind. ITEM and RESULT frames ("data frames") carry one item::

    uint8  kind
    uint64 number        0, 1, 2, ... per session and direction
    ...                  the item, encoded by the codec and the transforms

All other kinds are control frames: the kind byte and a body of at most CONTROL_LIMIT bytes.
"""

from enum import IntEnum
from typing import Final

#: The signature of the native wire. (The Go original's is 0x7F38B034.)
SIGNATURE: Final = 0x3163_6864  # b"dhc1" on the wire
VERSION: Final = 1

HEADER_SIZE: Final = 8
#: Kind and number, in front of the payload of a data frame.
DATA_PREFIX: Final = 9
#: The largest payload of a control frame; before the handshake, of any frame.
CONTROL_LIMIT: Final = 64 * 1024
#: The largest ``max_frame_size`` whose frames have a length that fits an int32.
MAX_FRAME_SIZE: Final = 2**31 - 1 - DATA_PREFIX


class Kind(IntEnum):
    """What a frame is, told by the first byte of its payload."""

    HELLO = 1
    """Both ways, first frame: a msgpack map, see ``_handshake.Hello``."""
    ITEM = 2
    """Server to client: one item of work."""
    RESULT = 3
    """Client to server: one result."""
    CREDIT = 4
    """Both ways: uint64 taken, uint64 item_limit, uint64 byte_limit. How many data frames of the
    peer have been taken by a receiver, and how many data frames and bytes it may send in all. The
    figures are absolute and never shrink, so that a repeated frame is harmless."""
    CLOSE = 5
    """Both ways: uint64 count, then the words of an error, if any (UTF-8). No data frame follows;
    there have been ``count``."""
    LEAVE = 6
    """Client to server, empty: deal me nothing more; what I have not taken goes to others."""
    BYE = 7
    """Server to client, empty: everything you sent has been processed; the connection ends."""
    REJECT = 8
    """Both ways: uint64 number, then words (UTF-8). The payload of that data frame does not
    decode. It counts as taken; nothing else happens."""
    ERROR = 9
    """Both ways: uint8 code, then words (UTF-8). The sender closes the connection."""
