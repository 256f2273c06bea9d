r'''Transforms: what is done to the bytes of an item between the codec and the wire.

Compression and encryption are the usual ones. They are applied in order when an item is sent and
undone in reverse when it is received, and both ends must have the same ones: the handshake sends
fixed bytes through them and refuses a peer that does not get these bytes back.

A transform is any object with ``encode`` and ``decode``, both from ``bytes`` to ``bytes``.
Encryption with the ``cryptography`` package, for instance::

    import os

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    class Encrypted:
        """AES-GCM with a key of 16, 24 or 32 bytes that both ends have."""

        def __init__(self, key: bytes) -> None:
            self._cipher = AESGCM(key)

        def encode(self, data: bytes) -> bytes:
            nonce = os.urandom(12)  # must never repeat with the same key
            return nonce + self._cipher.encrypt(nonce, data, None)

        def decode(self, data: bytes) -> bytes:
            return self._cipher.decrypt(data[:12], data[12:], None)

Compression, with a limit, since a few kilobytes of input may expand to gigabytes::

    import zlib

    class Compressed:
        def __init__(self, limit: int = 64 * 1024 * 1024) -> None:
            self._limit = limit

        def encode(self, data: bytes) -> bytes:
            return zlib.compress(data, level=1)

        def decode(self, data: bytes) -> bytes:
            inflater = zlib.decompressobj()
            plain = inflater.decompress(data, self._limit)
            if not inflater.eof:
                raise ValueError(f"cut short, or more than {self._limit} bytes")
            return plain

Compress before you encrypt, ``transforms=[Compressed(), Encrypted(key)]``: encrypted bytes do not
compress. Such an `Encrypted` hides and protects each item by itself; it does not keep somebody on
the network from repeating or dropping whole items. For that, use ``ssl=``.
'''

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from distchan._typecheck import type_name
from distchan._wire import MAX_FRAME_SIZE
from distchan.codecs import Codec, resolve
from distchan.errors import EncodeError, FrameTooLarge

__all__ = ["PROBE", "Transform", "check_probe", "decoder", "encoder", "make_probe"]

#: What the handshake sends through the transforms. Part of the protocol: never change it.
PROBE: Final = b"distchan: the quick brown fox jumps over the lazy dog \x00\x7f\x80\xff"


class Transform(Protocol):
    """What an object must have to serve in ``transforms=``: ``decode`` undoes ``encode``.

    Whatever ``encode`` raises reaches the sender as `distchan.EncodeError`; whatever ``decode``
    raises makes the frame undecodable.
    """

    def encode(self, data: bytes, /) -> bytes: ...

    def decode(self, data: bytes, /) -> bytes: ...


def encoder(
    codec: Codec, transforms: Sequence[Transform], max_frame_size: int
) -> Callable[[Any], bytes]:
    """A function from an item to its bytes: the codec, then the transforms in order.

    The function raises EncodeError, caused by the original exception, if the codec or a transform
    raises or returns something other than bytes, and FrameTooLarge if the outcome has more than
    ``max_frame_size`` bytes. An EncodeError or FrameTooLarge from within passes as it is.
    """
    encode = _with_transforms(codec, tuple(transforms)) if transforms else codec.encode

    def encode_item(item: Any) -> bytes:
        try:
            data = encode(item)
            if not isinstance(data, bytes):
                raise _not_bytes(codec, "encode", data)
        except (EncodeError, FrameTooLarge):
            raise
        except Exception as error:
            raise _cannot_encode(f"codec {codec.name!r}", item, error) from error
        if len(data) > max_frame_size:
            raise FrameTooLarge(
                f"the item has {len(data)} bytes when encoded; max_frame_size is {max_frame_size}"
            )
        return data

    return encode_item


def _with_transforms(codec: Codec, transforms: tuple[Transform, ...]) -> Callable[[Any], bytes]:
    """The codec and the transforms, apart so that without transforms nothing is spent on them."""

    def encode_and_transform(item: Any) -> bytes:
        data = codec.encode(item)
        if not isinstance(data, bytes):
            raise _not_bytes(codec, "encode", data)
        for transform in transforms:
            try:
                data = transform.encode(data)
                if not isinstance(data, bytes):
                    raise _not_bytes(transform, "encode", data)
            except (EncodeError, FrameTooLarge):
                raise
            except Exception as error:
                who = f"transform {_class_name(transform)}"
                raise _cannot_encode(who, item, error) from error
        return data

    return encode_and_transform


def decoder(codec: Codec, transforms: Sequence[Transform]) -> Callable[[bytes], Any]:
    """A function from bytes to the item: the transforms undone in reverse, then the codec.

    Exceptions of the codec and the transforms pass as they are; TypeError for a transform that
    returns something other than bytes. Without transforms it is the codec's own ``decode``.
    """
    decode = codec.decode
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
    return encoder(_RAW, transforms, MAX_FRAME_SIZE)(PROBE)


def check_probe(transforms: Sequence[Transform], received: bytes) -> bool:
    """Whether the peer's probe was made with transforms that these ones undo.

    The plain text is compared, not the encoded bytes, as encryption gives others each time.
    """
    try:
        return bool(decoder(_RAW, transforms)(received) == PROBE)
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
