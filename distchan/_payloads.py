"""From items to payloads and back: the codec, then the transforms; undone in reverse."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from distchan._typecheck import type_name
from distchan._wire import MAX_FRAME_SIZE
from distchan.codecs import resolve
from distchan.errors import EncodeError, FrameTooLarge
from distchan.transforms import Transform

__all__ = ["PROBE", "Encodes", "PayloadEncoder", "check_probe", "decoder", "make_probe"]

#: What the handshake sends through the transforms. Part of the protocol: never change it.
PROBE: Final = b"distchan: the quick brown fox jumps over the lazy dog \x00\x7f\x80\xff"


class Encodes(Protocol):
    """The half of a codec that makes bytes."""

    @property
    def name(self) -> str: ...

    def encode(self, item: Any, /) -> bytes: ...


class PayloadEncoder:
    """Makes payloads of at most ``max_frame_size`` bytes."""

    __slots__ = ("_codec", "_encode", "_max_frame_size", "_transforms")

    def __init__(
        self, codec: Encodes, transforms: Sequence[Transform], max_frame_size: int
    ) -> None:
        self._codec = codec
        self._encode = codec.encode
        self._transforms = tuple(transforms)
        self._max_frame_size = max_frame_size

    def encode(self, item: Any) -> bytes:
        """The payload of an item.

        Raises EncodeError, caused by the original exception, if the codec or a transform raises or
        returns something other than bytes, and FrameTooLarge if the outcome is too large. An
        EncodeError or FrameTooLarge from within passes as it is.
        """
        try:
            payload = self._encode(item)
            if type(payload) is not bytes and not isinstance(payload, bytes):
                raise _not_bytes(self._codec, "encode", payload)
        except (EncodeError, FrameTooLarge):
            raise
        except Exception as error:
            raise _cannot_encode(f"codec {self._codec.name!r}", item, error) from error
        if self._transforms:
            payload = self._transform(item, payload)
        if len(payload) > self._max_frame_size:
            raise FrameTooLarge(
                f"the item has {len(payload)} bytes when encoded; "
                f"max_frame_size is {self._max_frame_size}"
            )
        return payload

    def _transform(self, item: Any, payload: bytes) -> bytes:
        for transform in self._transforms:
            try:
                payload = transform.encode(payload)
                if not isinstance(payload, bytes):
                    raise _not_bytes(transform, "encode", payload)
            except (EncodeError, FrameTooLarge):
                raise
            except Exception as error:
                who = f"transform {_class_name(transform)}"
                raise _cannot_encode(who, item, error) from error
        return payload


def decoder(
    decode: Callable[[bytes], Any], transforms: Sequence[Transform]
) -> Callable[[bytes], Any]:
    """A function from bytes to the item: the transforms undone in reverse, then a codec's decode().

    Exceptions of the codec and the transforms pass as they are; TypeError for a transform that
    returns something other than bytes. Without transforms it is ``decode`` itself.
    """
    if not transforms:
        return decode
    backwards = tuple(reversed(transforms))

    def decode_item(data: bytes) -> Any:
        for transform in backwards:
            data = transform.decode(data)
            if not isinstance(data, bytes):
                raise _not_bytes(transform, "decode", data)
        return decode(data)

    return decode_item


def make_probe(transforms: Sequence[Transform]) -> bytes:
    """PROBE after the transforms, for the peer to check. EncodeError if one of them fails."""
    return PayloadEncoder(_RAW, transforms, MAX_FRAME_SIZE).encode(PROBE)


def check_probe(transforms: Sequence[Transform], received: bytes) -> bool:
    """Whether the peer's probe was made with transforms that these ones undo.

    The plain text is compared, not the encoded bytes, as encryption gives others each time.
    """
    try:
        return bool(decoder(_RAW.decode, transforms)(received) == PROBE)
    except Exception:  # a wrong key or another algorithm may fail in any way
        return False


_RAW: Final = resolve("raw", bytes)


def _class_name(value: object) -> str:
    return type_name(type(value))


def _cannot_encode(who: str, item: object, error: Exception) -> EncodeError:
    return EncodeError(f"{who} cannot encode an item of type {_class_name(item)}: {error}")


def _not_bytes(stage: object, method: str, outcome: object) -> TypeError:
    return TypeError(
        f"{_class_name(stage)}.{method} returned {_class_name(outcome)} instead of bytes"
    )
