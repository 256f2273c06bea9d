"""From items to payloads on the Go original's wire, where the codec is gob.

A gob stream defines each type once, before the first value that needs it, and a connection is one
such stream. But an item is encoded when it is sent, before anybody knows which connection it will
take. So there is one encoder for all of them, which numbers the types and keeps their definitions;
a connection knows how many of these it has passed on, and puts those that its peer lacks and the
value needs in front of it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from distchan import codecs
from distchan._payloads import PayloadEncoder
from distchan.errors import FrameTooLarge
from distchan.transforms import Transform

__all__ = ["GobWriter"]


class _Payload(bytes):
    """One of which more must be known than most tell: mostly it is the value, as it is, and needs
    those definitions that came with the first of all."""

    #: The value, before the transforms.
    value: bytes
    #: How many definitions it needs.
    needs: int


class GobWriter:
    """The encoder of all items that a Server or Client sends in gob. See the module's text."""

    def __init__(
        self, item_type: Any, transforms: Sequence[Transform], max_frame_size: int
    ) -> None:
        from distchan import gob  # which the other codecs do without

        self.name = "gob"
        self._encoder = gob.Encoder(item_type, definitions_first=True)
        self._seal: Callable[[bytes], bytes] | None = None
        if transforms:
            self._seal = PayloadEncoder(
                codecs.resolve("raw", bytes), transforms, max_frame_size
            ).encode
        self._max_frame_size = max_frame_size
        self._definitions: list[bytes] = []
        self._definitions_size = 0
        #: How many definitions there are, and how many came with the first value (-1: none came).
        self.count = 0
        self._first = -1

    def encode(self, item: Any) -> bytes:
        """The payload for a peer that knows all types so far.

        Raises EncodeError, and FrameTooLarge if there is no room for their definitions as well.
        """
        value: bytes = self._encoder.encode(item)
        if _is_single(value):
            return self._finished(value)
        before = self.count, self._definitions_size
        try:
            return self._finished(self._keep_definitions(value))
        except BaseException:  # no later item needs what this one brought
            self.count, self._definitions_size = before
            del self._definitions[self.count :]
            self._encoder.rollback()
            raise

    def _finished(self, value: bytes) -> bytes:
        payload = value if self._seal is None else self._seal(value)
        if len(payload) + self._definitions_size > self._max_frame_size:
            raise self._too_large(len(payload))
        if self._first < 0:
            self._first = self.count
        if self._seal is not None or self.count != self._first:
            payload = _Payload(payload)
            payload.value = value
            payload.needs = self.count
        return payload

    def complete(self, payload: bytes, known: int) -> tuple[bytes, int]:
        """The payload for a peer that knows the first so many definitions, and how many it knows
        then.

        Raises EncodeError if a transform refuses it.
        """
        needs, value = self._first, payload
        if isinstance(payload, _Payload):
            needs, value = payload.needs, payload.value
        if known >= needs:
            return payload, known
        # Not those that came later: there was no talk of them when its size was found to be right.
        whole = b"".join((*self._definitions[known:needs], value))
        if self._seal is not None:
            whole = self._seal(whole)
        if len(whole) > self._max_frame_size:
            raise self._too_large(len(payload))
        return whole, needs

    def _keep_definitions(self, encoded: bytes) -> bytes:
        """What follows the definitions, all but the last of several messages."""
        begin = 0
        while (end := _end(encoded, begin)) < len(encoded):
            self._definitions.append(encoded[begin:end])
            begin = end
        self._definitions_size += begin
        self.count = len(self._definitions)
        return encoded[begin:]

    def _too_large(self, size: int) -> FrameTooLarge:
        return FrameTooLarge(
            f"the item has {size} bytes when encoded, and its types have "
            f"{self._definitions_size}; max_frame_size is {self._max_frame_size}"
        )


def _is_single(encoded: bytes) -> bool:
    return _end(encoded, 0) == len(encoded)


def _end(encoded: bytes, at: int) -> int:
    """Where the message that begins there ends. Its length comes first, an unsigned integer."""
    first = encoded[at]
    at += 1
    if first < 0x80:
        return at + first
    width = 256 - first
    return at + width + int.from_bytes(encoded[at : at + width])
