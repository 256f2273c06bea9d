"""From items to payloads on the Go original's wire, where the codec is gob.

A gob stream defines each type once, before the first value that needs it, and a connection is one
such stream. But an item is encoded when it is sent, before anybody knows which connection it will
take. So there is one encoder for all of them, which numbers the types and keeps their definitions;
a connection knows how many of these it has passed on, and puts those that its peer lacks in front
of the value.
"""

from collections.abc import Callable, Sequence
from typing import Any

from distchan import codecs
from distchan._payloads import PayloadEncoder
from distchan.errors import FrameTooLarge
from distchan.transforms import Transform

__all__ = ["GobWriter"]


class _Sealed(bytes):
    """What the transforms have made of a value."""

    #: The value itself.
    value: bytes


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
        #: How many definitions there are.
        self.count = 0

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
        payload = value
        if self._seal is not None:
            payload = _Sealed(self._seal(value))
            payload.value = value
        if len(payload) + self._definitions_size > self._max_frame_size:
            raise self._too_large(len(payload))
        return payload

    def complete(self, payload: bytes, known: int) -> bytes:
        """The payload for a peer that knows the first so many definitions.

        Raises EncodeError if a transform refuses it.
        """
        if known == self.count:
            return payload
        value = payload.value if isinstance(payload, _Sealed) else payload
        whole = b"".join((*self._definitions[known:], value))
        if self._seal is not None:
            whole = self._seal(whole)
        if len(whole) > self._max_frame_size:
            raise self._too_large(len(payload))
        return whole

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
