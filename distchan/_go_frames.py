"""Frames of the Go original's wire: bytes in, payloads out, and back. No I/O.

All integers are little-endian::

    int32  signature     opens every frame
    int32  length        of the payload that follows, in bytes; -1: no frame will follow

A payload is one item, encoded and transformed. There is nothing else on this wire.
"""

import struct
from typing import Final

from distchan.errors import FrameTooLarge, InvalidSignature, ProtocolError

__all__ = ["END", "SIGNATURE", "FrameReader", "header"]

SIGNATURE: Final = 0x7F38_B034
#: The length that says that no frame will follow.
END: Final = -1

_HEADER: Final = struct.Struct("<Ii")


def header(signature: int, length: int) -> bytes:
    """What stands in front of a payload of so many bytes."""
    return _HEADER.pack(signature, length)


class FrameReader:
    """Cuts a stream into payloads, wherever the stream itself was cut.

    A length is checked before anything that follows it is kept: no more than one frame of
    ``max_frame_size`` bytes and what came with its last piece is ever held.
    """

    def __init__(self, signature: int, max_frame_size: int) -> None:
        self._signature = signature
        self._max_frame_size = max_frame_size
        self._buffer = bytearray()
        #: The peer has said that no frame will follow. What follows nevertheless is dropped.
        self.ended = False
        #: What is wrong with the stream, behind all that has been returned.
        self.error: ProtocolError | None = None

    @property
    def in_mid_frame(self) -> bool:
        """Whether part of a frame has come, and the rest has not."""
        return bool(self._buffer)

    def receive(self, data: bytes) -> list[bytes]:
        """Take in the next bytes of the stream; the payloads that are complete now."""
        payloads: list[bytes] = []
        if self.ended or self.error is not None:
            return payloads
        # Most often nothing is left over, and the bytes need not be copied to be put together.
        stream = data
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed():
                return payloads
            stream = bytes(self._buffer)
            self._buffer.clear()
        at, size = 0, len(stream)
        while size - at >= _HEADER.size:
            signature, length = _HEADER.unpack_from(stream, at)
            self.error = self._check(signature, length)
            if self.error is not None:
                return payloads
            if length == END:
                self.ended = True
                return payloads
            end = at + _HEADER.size + length
            if end > size:
                break
            payloads.append(stream[at + _HEADER.size : end])
            at = end
        self._buffer += memoryview(stream)[at:]
        return payloads

    def _needed(self) -> int:
        """Of the buffer, until it is worth looking at: the frame that it begins with."""
        if len(self._buffer) < _HEADER.size:
            return _HEADER.size
        signature, length = _HEADER.unpack_from(self._buffer)
        if length < 0 or self._check(signature, length) is not None:
            return _HEADER.size
        return _HEADER.size + int(length)

    def _check(self, signature: int, length: int) -> ProtocolError | None:
        if signature != self._signature:
            return InvalidSignature(
                f"a frame opens with {signature:#010x} instead of {self._signature:#010x}"
            )
        if length < END:
            return ProtocolError(f"a frame of {length} bytes")
        if length > self._max_frame_size:
            return FrameTooLarge(
                f"a frame of {length} bytes; max_frame_size is {self._max_frame_size}"
            )
        return None
