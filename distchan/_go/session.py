"""The state of one connection on the Go original's wire, on either end: sans-IO.

There is no handshake, no confirmation and nothing to come back to: a session is as old as its
connection. An item that has been written is out of our hands; one that has not may go to another.
"""

from collections.abc import Callable
from typing import Any, Final

from distchan._go.frames import END, FrameReader, header
from distchan._go.payloads import GobWriter
from distchan.errors import DecodeError, DistchanError

__all__ = ["GoSession"]

#: Chunks of at least so many bytes, on average, are not worth being put together.
_LARGE: Final = 4096


class GoSession:
    """See the module's text.

    decode: makes items of payloads. It belongs to this session alone.
    writer: made the payloads that are sent; None if they need no completion.
    """

    def __init__(
        self,
        *,
        signature: int,
        max_frame_size: int,
        decode: Callable[[bytes], Any],
        writer: GobWriter | None,
    ) -> None:
        self._signature = signature
        self._reader = FrameReader(signature, max_frame_size)
        self._decode = decode
        self._writer = writer
        #: How many of the writer's definitions the peer has been sent.
        self._known = 0
        self._chunks: list[bytes] = []
        #: What waits to be written, in bytes; and its items as they were given to send().
        self.pending = 0
        self._unwritten: list[bytes] = []
        #: How many items have been written.
        self.written = 0
        #: Nothing more is to be sent.
        self.closed = False
        #: What the peer did wrong; nothing that follows it is looked at.
        self.error: DistchanError | None = None

    @property
    def held(self) -> int:
        """How many items wait to be written."""
        return len(self._unwritten)

    @property
    def ended(self) -> bool:
        """Whether the peer has said that no frame will follow."""
        return self._reader.ended

    @property
    def in_mid_frame(self) -> bool:
        """Whether part of a frame has come, and the rest has not."""
        return self._reader.in_mid_frame

    def receive(self, data: bytes) -> tuple[list[Any], int]:
        """Take in bytes of the peer: the items that are complete now, and the size of their
        payloads. Look at ``error`` and ``ended`` afterwards.
        """
        items: list[Any] = []
        size = 0
        decode = self._decode
        for payload in self._reader.receive(data):
            try:
                items.append(decode(payload))
            except Exception as error:  # whatever a codec or a transform may raise
                self.error = DecodeError(f"a frame of {len(payload)} bytes: {error}")
                self.error.__cause__ = error
                return items, size
            size += len(payload)
        self.error = self._reader.error
        return items, size

    def send(self, payload: Any) -> None:
        """Send one item, encoded. EncodeError if it cannot be completed for this peer."""
        whole = payload
        writer = self._writer
        if writer is not None and self._known != writer.count:
            whole, self._known = writer.complete(payload, self._known)
        self._add(header(self._signature, len(whole)))
        self._add(whole)
        self._unwritten.append(payload)

    def close(self) -> None:
        """Say that no item will follow. Idempotent."""
        if not self.closed:
            self.closed = True
            self._add(header(self._signature, END))

    def data_to_send(self) -> list[bytes]:
        """Everything that is to be written, in order. It counts as written from here on."""
        data, self._chunks = self._chunks, []
        if self.pending < _LARGE * len(data):
            data = [b"".join(data)]
        self.pending = 0
        self.written += len(self._unwritten)
        self._unwritten.clear()
        return data

    def surrender(self) -> list[bytes]:
        """Give up what has not been written, as it was given to send(); nothing more is sent."""
        self.closed = True
        unwritten, self._unwritten = self._unwritten, []
        self._chunks.clear()
        self.pending = 0
        return unwritten

    def _add(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self.pending += len(chunk)
