"""What a peer had written before it died."""

import asyncio
import os
from collections.abc import Iterator

__all__ = ["unread"]


def unread(transport: asyncio.BaseTransport) -> Iterator[bytes]:
    """What has arrived and not been read when a connection ends because a write has failed.

    The loop does not read it. For connection_lost(), where the socket is not closed yet. Under TLS
    there is nothing left: the layer below has read it, and has handed it on.
    """
    if os.name != "posix" or transport.get_extra_info("sslcontext") is not None:
        return
    try:
        descriptor = transport.get_extra_info("socket").fileno()
        while data := os.read(descriptor, 65536):
            yield data
    except OSError:
        pass
