"""From items to payloads on the Go original's wire, where the codec is gob.

A gob stream defines each type once, before the first value that needs it, and a connection is one
such stream. But an item is encoded when it is sent, before anybody knows which connection it will
take. So there is one encoder for all of them, which numbers the types and keeps their definitions;
a connection knows how many of these it has passed on, and puts those that its peer lacks in front
of the value.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from distchan import codecs, gob
from distchan._payloads import PayloadEncoder
from distchan.errors import FrameTooLarge
from distchan.transforms import Transform

__all__ = ["GobWriter", "Message"]


class Message(bytes):
    """An encoded item: the payload of a frame to a peer that knows its types."""

    #: How many of the writer's definitions that peer must know.
    types: int
    #: The value before the transforms.
    value: bytes


class GobWriter:
    """The encoder of all items that a Server or Client sends in gob. See the module's text."""

    name: Final = "gob"

    def __init__(
        self, item_type: Any, transforms: Sequence[Transform], max_frame_size: int
    ) -> None:
        self._encoder = gob.Encoder(item_type, definitions_first=True)
        self._seal: Callable[[bytes], bytes] | None = None
        if transforms:
            self._seal = PayloadEncoder(
                codecs.resolve("raw", bytes), transforms, max_frame_size
            ).encode
        self._max_frame_size = max_frame_size
        self._definitions: list[bytes] = []
        self._definitions_size = 0

    def encode(self, item: Any) -> Message:
        """Raises EncodeError, and FrameTooLarge if there is no room for the definitions as well."""
        encoded = self._encoder.encode(item)
        begin = 0
        while (end := _end_of_definition(encoded, begin)) > begin:
            self._definitions.append(encoded[begin:end])
            self._definitions_size += end - begin
            begin = end
        value = encoded[begin:] if begin else encoded
        message = Message(value if self._seal is None else self._seal(value))
        message.types = len(self._definitions)
        message.value = value
        if len(message) + self._definitions_size > self._max_frame_size:
            raise FrameTooLarge(
                f"the item has {len(message)} bytes when encoded, and its types have "
                f"{self._definitions_size}; max_frame_size is {self._max_frame_size}"
            )
        return message

    def complete(self, message: Message, known: int) -> bytes:
        """The payload for a peer that knows the first so many definitions. EncodeError."""
        if message.types <= known:
            return message
        whole = b"".join((*self._definitions[known : message.types], message.value))
        return whole if self._seal is None else self._seal(whole)


def _end_of_definition(encoded: bytes, at: int) -> int:
    """Where the message there ends if it defines a type, that is, has a negative id; else ``at``.

    Of an integer in gob, the lowest bit is the sign.
    """
    size, body = _unsigned(encoded, at)
    identity, _ = _unsigned(encoded, body)
    return body + size if identity & 1 else at


def _unsigned(encoded: bytes, at: int) -> tuple[int, int]:
    """An unsigned integer in gob, and where it ends."""
    first = encoded[at]
    if first < 0x80:
        return first, at + 1
    end = at + 1 + 256 - first
    return int.from_bytes(encoded[at + 1 : end]), end
