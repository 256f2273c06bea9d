"""Encryption of items with AES-GCM."""

import hashlib
import itertools
import os
from typing import Any, Final

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers import aead
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "AESGCM needs the package cryptography: pip install 'distchan[encryption]'",
        name=error.name,
    ) from None

__all__ = ["AESGCM"]

#: Of an item, in front of what is encrypted: which key it was, and the nonce.
_ID_SIZE: Final = 4
_NONCE_SIZE: Final = 12
_TAG_SIZE: Final = 16

#: How many items may be encrypted with one key, if nonces are random (NIST SP 800-38D, 8.3).
_MOST_ITEMS: Final = 2**32


class AESGCM:
    """Encrypts and authenticates items, each by itself, with a key that both ends have.

    keys: of 16, 24 or 32 random bytes (AES-128, -192, -256), e.g. ``secrets.token_bytes(32)``. The
        first one encrypts, all of them decrypt.

    An item is encoded as 4 bytes that identify the key, a random nonce of 12 bytes, and what
    AES-GCM makes of it, with a tag of 16 bytes; the first 4 bytes are authenticated as well.

    To change the key without a stop, call ``use`` at each end: the new key as the second,
    ``use(old, new)``; when all have it, put it first, ``use(new, old)``; when nothing is left that
    was encrypted with the old one, take that away, ``use(new)``.

    It hides and protects the content of each item. It does not keep anybody on the network from
    dropping or repeating whole items or from seeing how long they are: for that, use ``ssl=``.

    ``encode`` raises OverflowError when 2**32 items have been encrypted with a key here: no more
    are safe with random nonces. All ends that encrypt with one key share that number. ``decode``
    raises ValueError for what was made with another key, changed or cut short. Raises TypeError or
    ValueError for keys that are none.
    """

    def __init__(self, *keys: bytes) -> None:
        #: Of each key that has been the first one, how many items it has encrypted.
        self._counts: dict[bytes, itertools.count[int]] = {}
        self.use(*keys)

    def use(self, *keys: bytes) -> None:
        """Change the keys, for all connections that this transform serves and in any thread.

        What is being encoded or decoded meanwhile is done with either the old ones or the new ones.
        Raises TypeError or ValueError for keys that are none; then nothing has changed.
        """
        if not keys:
            raise TypeError("AESGCM needs at least one key")
        ciphers: dict[bytes, aead.AESGCM] = {}
        for key in keys:
            if not isinstance(key, bytes):
                raise TypeError(f"a key is bytes, not {type(key).__name__}")
            if len(key) not in (16, 24, 32):
                raise ValueError(f"a key has 16, 24 or 32 bytes, not {len(key)}")
            ciphers[_identify(key)] = aead.AESGCM(key)
        if len(ciphers) < len(keys):
            raise ValueError("the same key twice")
        first = _identify(keys[0])
        count = self._counts.setdefault(first, itertools.count())
        self._keys = keys
        # One after the other: what has just been encrypted with a new key is decrypted already.
        self._ciphers = ciphers
        self._first = first, ciphers[first], count

    def encode(self, data: bytes, /) -> bytes:
        key_id, cipher, count = self._first
        if next(count) >= _MOST_ITEMS:
            raise OverflowError("2**32 items have been encrypted with this key: use another one")
        nonce = os.urandom(_NONCE_SIZE)
        return key_id + nonce + cipher.encrypt(nonce, data, key_id)

    def decode(self, data: bytes, /) -> bytes:
        if len(data) < _ID_SIZE + _NONCE_SIZE + _TAG_SIZE:
            raise ValueError("too short to be encrypted")
        key_id, nonce = data[:_ID_SIZE], data[_ID_SIZE : _ID_SIZE + _NONCE_SIZE]
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise ValueError("encrypted with a key that is not known here")
        try:
            return cipher.decrypt(nonce, data[_ID_SIZE + _NONCE_SIZE :], key_id)
        except InvalidTag:
            raise ValueError("it was changed, or encrypted with another key") from None

    def __reduce__(self) -> Any:
        return AESGCM, self._keys  # for worker processes, to which it goes through a pipe

    def __repr__(self) -> str:
        return f"<AESGCM with {len(self._keys)} keys>"


def _identify(key: bytes) -> bytes:
    """A few bytes that tell keys apart, and nothing about them."""
    return hashlib.sha256(b"distchan AESGCM key id" + key).digest()[:_ID_SIZE]
