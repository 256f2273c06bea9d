"""Frames of the Go original's wire: bytes in, payloads out, and back. No I/O.

All integers are little-endian::

    int32  signature     opens every frame
    int32  length        of the payload that follows, in bytes; -1: no frame will follow

A payload is one item, encoded and transformed. There is nothing else on this wire.
"""

import struct
from typing import Final

from distchan._wire import wrong_signature
from distchan.errors import FrameTooLarge, InvalidSignature, ProtocolError

__all__ = ["END", "FrameReader", "header"]

#: The length that says that no frame will follow.
END: Final = -1

_HEADER: Final = struct.Struct("<Ii")
_HEADER_SIZE: Final = 8


def header(signature: int, length: int) -> bytes:
    """What stands in front of a payload of so many bytes."""
    return _HEADER.pack(signature, length)


class FrameReader:
    """Cuts a stream into payloads, wherever the stream itself was cut.

    A length is checked before anything that follows it is kept: no more than one payload of
    ``max_frame_size`` bytes is ever held.
    """

    def __init__(self, signature: int, max_frame_size: int) -> None:
        self._signature = signature
        self._max_frame_size = max_frame_size
        #: Of a frame that has not come completely: what there is of its header; then what there is
        #: of its payload, and how many bytes are missing.
        self._head = b""
        self._payload = bytearray()
        self._missing = 0
        #: The peer has said that no frame will follow. What follows nevertheless is dropped.
        self.ended = False
        #: What is wrong with the stream, behind all that has been returned.
        self.error: ProtocolError | None = None

    @property
    def in_mid_frame(self) -> bool:
        """Whether part of a frame has come, and the rest has not."""
        return bool(self._head) or self._missing > 0

    def receive(self, data: bytes) -> list[bytes]:
        """Take in the next bytes of the stream; the payloads that are complete now."""
        payloads: list[bytes] = []
        if self.ended or self.error is not None:
            return payloads
        at, size = 0, len(data)
        if self._missing:
            self._payload += data if size <= self._missing else data[: self._missing]
            at = min(size, self._missing)
            self._missing -= at
            if self._missing:
                return payloads
            payloads.append(bytes(self._payload))
            self._payload.clear()
        elif self._head:
            data = self._head + data
            size = len(data)
            self._head = b""
        while size - at >= _HEADER_SIZE:
            signature, length = _HEADER.unpack_from(data, at)
            self.error = self._check(signature, length)
            if self.error is not None:
                return payloads
            if length == END:
                self.ended = True
                return payloads
            at += _HEADER_SIZE
            end = at + length
            if end > size:
                self._payload += data[at:]
                self._missing = end - size
                return payloads
            payloads.append(data[at:end])
            at = end
        self._head = data[at:]
        return payloads

    def _check(self, signature: int, length: int) -> ProtocolError | None:
        if signature != self._signature:
            return InvalidSignature(wrong_signature(self._signature, signature))
        if length < END:
            return ProtocolError(f"a frame of {length} bytes")
        if length > self._max_frame_size:
            return FrameTooLarge(
                f"a frame of {length} bytes; max_frame_size is {self._max_frame_size}"
            )
        return None
