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

from typing import Protocol

__all__ = ["Transform"]


class Transform(Protocol):
    """What an object must have to serve in ``transforms=``: ``decode`` undoes ``encode``.

    Whatever ``encode`` raises reaches the sender as `distchan.EncodeError`; whatever ``decode``
    raises makes the frame undecodable.
    """

    def encode(self, data: bytes, /) -> bytes: ...

    def decode(self, data: bytes, /) -> bytes: ...
