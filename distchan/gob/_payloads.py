"""Payloads that stand alone: each is a stream of its own, with one value.

The definitions in front of the value are nearly always the same bytes, so that they are made once,
and read once.
"""

from typing import Any, Final

from distchan.gob._decoder import Decoder
from distchan.gob._encoder import Encoder, dumps

__all__ = ["PayloadCodec"]

#: The wire has limited what arrives.
_NO_LIMIT: Final = 2**62


class PayloadCodec:
    """``encode`` and ``decode`` of one type. TypeError for a type that gob cannot express."""

    def __init__(self, item_type: Any) -> None:
        self._is_typed = not (item_type is Any or item_type is object)
        self._encoder = Encoder(item_type)
        self._definitions = self._encoder.send_definitions()
        self._decoder = Decoder(item_type, max_size=_NO_LIMIT)
        self._known = b""  # the definitions that the decoder has read

    def encode(self, value: Any) -> bytes:
        """What ``gob.dumps(value, item_type)`` makes."""
        if not self._is_typed:
            return dumps(value)
        data = self._encoder.encode(value)
        self._encoder.rollback()  # those of values of interfaces, which are in these data only
        return self._definitions + data

    def decode(self, data: bytes) -> Any:
        """What ``gob.loads(data, item_type)`` makes."""
        decoder = self._decoder
        if not self._known or not data.startswith(self._known):
            decoder.reset()
            self._known = b""
            self._known = data[: decoder.receive_definitions(data)]
        value = decoder.decode(data, len(self._known))
        decoder.rollback()
        return value
