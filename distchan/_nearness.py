"""How much may be on its way between processes of one host."""

import socket
from typing import Final

__all__ = ["keep_in_cache"]

#: In bytes. Less makes the processes wait for each other.
_SEND_BUFFER: Final = 512 * 1024


def keep_in_cache(sock: socket.socket) -> None:
    """Within one host, let no more be on its way than fits into the caches of the processors.

    There is no distance to bridge, for which TCP would enlarge the buffer to several MiB, and what
    comes back from memory comes slowly. The sender waits for the receiver in either case.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    try:
        if sock.getpeername()[0] == sock.getsockname()[0]:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    except OSError:
        pass  # it has gone already, which its reader will find out
