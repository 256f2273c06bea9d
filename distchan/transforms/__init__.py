"""Transforms: what is done to the bytes of an item between the codec and the wire.

Compression and encryption are the usual ones, and there are three::

    from distchan.transforms import AESGCM, Zlib, Zstd

    Server("localhost:5678", out, in_, transforms=[Zstd(), AESGCM(key)])

They are applied in order when an item is sent and undone in reverse when it is received, and both
ends must have the same ones: the handshake sends fixed bytes through them and refuses a peer that
does not get these bytes back. Compress before you encrypt: encrypted bytes do not compress. But do
not compress a secret together with what somebody else may choose: its length tells about it.

A transform is any object with ``encode`` and ``decode``, both from ``bytes`` to ``bytes``. It is
shared by all connections of its server or client, and may be called by any thread.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from distchan.transforms._aesgcm import AESGCM
    from distchan.transforms._zlib import Zlib
    from distchan.transforms._zstd import Zstd

__all__ = ["AESGCM", "Transform", "Zlib", "Zstd"]

#: Where they are: each needs a library that nobody else does.
_MODULES = {"AESGCM": "_aesgcm", "Zlib": "_zlib", "Zstd": "_zstd"}


class Transform(Protocol):
    """What an object must have to serve in ``transforms=``: ``decode`` undoes ``encode``.

    Whatever ``encode`` raises reaches the sender as `distchan.EncodeError`; whatever ``decode``
    raises makes the frame undecodable: an item goes to the dead letters at once, and so does an
    item whose result it is.
    """

    def encode(self, data: bytes, /) -> bytes: ...

    def decode(self, data: bytes, /) -> bytes: ...


if not TYPE_CHECKING:  # type checkers would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value
        return value
