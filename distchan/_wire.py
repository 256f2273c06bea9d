"""The layout of the native wire: the only copy of its numbers.

A frame is an eight-byte header and a payload. All integers are little-endian::

    int32  signature     opens every frame; both ends must agree on it
    int32  length        of the payload that follows, in bytes

The first byte of a payload is its kind. *Data frames* (ITEM, RESULT, SETTLE) go on with their
number: 0, 1, 2, ... per session and direction, so that what a cut connection swallowed can be
repeated. All other kinds are control frames: the kind byte and a body of at most CONTROL_LIMIT
bytes. docs/protocol.md says how they are used.
"""

from enum import IntEnum
from typing import Final

#: The signatures of the native wire and of the Go original's.
SIGNATURE: Final = 0x3163_6864  # b"dhc1" on the wire
GO_SIGNATURE: Final = 0x7F38_B034
VERSION: Final = 1

HEADER_SIZE: Final = 8
#: Kind and number, in front of the body of every data frame.
DATA_PREFIX: Final = 9
#: The ticket of an item: its id and attempt, in front of its payload.
TICKET_SIZE: Final = 12
#: Outcome and count of items, in front of the items of a SETTLE frame.
SETTLE_PREFIX: Final = 5
#: The size of an item's number and of a result's length in a SETTLE frame.
ITEM_NUMBER_SIZE: Final = 8
RESULT_LENGTH_SIZE: Final = 4
#: The largest payload of a control frame; before the handshake, of any frame. Also how much more
#: than ``max_frame_size`` a data frame may have for what is not its items.
CONTROL_LIMIT: Final = 64 * 1024
#: The most items that one SETTLE frame may settle: they fit into CONTROL_LIMIT.
MOST_SETTLED: Final = 4096
#: In bytes, from this library: words in a control frame; the reason why items failed, which has a
#: traceback and fits into CONTROL_LIMIT beside the numbers of the items.
MOST_WORDS: Final = 1000
MOST_REASON: Final = 8192
#: The most results in one SETTLE frame. Empty ones have no size that would limit them.
MOST_RESULTS: Final = 65_536
#: The largest ``max_frame_size`` whose frames have a length that fits an int32.
MAX_FRAME_SIZE: Final = 2**31 - 1 - CONTROL_LIMIT


class Kind(IntEnum):
    """What a frame is, told by the first byte of its payload."""

    HELLO = 1
    """Both ways, first frame of a connection: a msgpack map, see ``_handshake.Hello``."""
    ITEM = 2
    """Server to client, data: uint64 id, uint32 attempt, then the item, encoded by the codec and
    the transforms. The id is the item's own for its whole life; the attempt is 1 at first and
    grows with each attempt that failed."""
    SETTLE = 3
    """Client to server, data: uint8 outcome, uint32 count, then so many uint64 numbers of ITEM
    frames of this session, then entries, each a uint32 length and so many bytes. If the outcome is
    DONE the entries are results; else there is one, the reason in words (UTF-8)."""
    RESULT = 4
    """Client to server, data: one result that belongs to no item."""
    WINDOW = 5
    """Client to server: uint64 window, uint64 handed. How many unsettled items the client wants to
    have at most; and that tasks may have been handed the items up to that number, exclusive."""
    CREDIT = 6
    """Server to client: uint64 received, uint64 item_limit, uint64 byte_limit. How many data frames
    of the client the server has, for good; and how many results, and bytes of them, it may send in
    all. The figures are absolute and never shrink, so that a repeated frame is harmless."""
    CLOSE = 7
    """Both ways: uint64 count, then the words of an error, if any (UTF-8). From the server: no item
    follows. From the client: no result follows. There have been ``count`` data frames so far."""
    LEAVE = 8
    """Client to server: uint64 handed. Deal me nothing more; the items from that number on, which
    no task has been handed, go to others."""
    BYE = 9
    """Server to client, empty: everything you sent has been processed; the session is over."""
    PING = 10
    """Both ways, empty: say something."""
    PONG = 11
    """Both ways, empty: the answer to PING."""
    ERROR = 12
    """Both ways: uint8 code, then words (UTF-8). The sender closes the connection."""
    NONCE = 13
    """Both ways, only with a shared key, before HELLO: 32 random bytes."""
    PROOF = 14
    """Both ways, only with a shared key, the last frame of the handshake: a HMAC-SHA-256 over the
    frames before it, see ``_authentication``."""


#: Kinds whose frames are numbered.
DATA_KINDS: Final = frozenset({Kind.ITEM, Kind.SETTLE, Kind.RESULT})


class Outcome(IntEnum):
    """What has become of the items of a SETTLE frame."""

    DONE = 0
    FAILED = 1
    """The task that held it raised an exception: counts as an attempt."""
    RETURNED = 2
    """Nobody worked on it, or somebody gave up without blaming it: does not count."""
    UNDECODABLE = 3
    """Its payload does not decode."""


#: The first two bytes of a TLS connection: a handshake record, of version 3.x (RFC 8446, section
#: 5.1).
_TLS_HANDSHAKE: Final = 0x0316


def wrong_signature(expected: int, found: int) -> str:
    """In words, that a frame opens with another signature, and whose that may be."""
    whose = {
        SIGNATURE: "the peer speaks the native wire",
        GO_SIGNATURE: 'the peer speaks the Go original\'s wire, as with wire="go"',
    }.get(found, "another program, or another option")
    if found & 0xFFFF == _TLS_HANDSHAKE:
        whose = "the peer speaks TLS, which this end does not (ssl=)"
    return f"expected signature {expected:#010x}, got {found:#010x}: {whose}"
