"""Whether the host at the other end of a TCP connection still acknowledges anything.

That is the kernel's business, so that a process may compute for as long as it likes. An idle
connection is probed by TCP's keepalive. One with unacknowledged data is not; there the kernel goes
on sending for a quarter of an hour, but knows when it heard the last acknowledgement. (Its option
TCP_USER_TIMEOUT would also kill a peer that is alive but full.) Linux tells; elsewhere there is the
keepalive only.
"""

import socket
import struct
from typing import Final

__all__ = ["acknowledges_nothing", "keep_alive"]

# Linux, struct tcp_info: eight bytes, of which the fourth counts unanswered probes of a closed
# window; then 32-bit words, of which these are the fifth and the thirteenth.
_TCP_INFO: Final = struct.Struct("=3xB4x16xI28xI")

_PROBES: Final = 3


def keep_alive(sock: socket.socket, seconds: float) -> None:
    """Let TCP end the connection if it is idle and the other host is silent for so long."""
    if not _is_tcp(sock):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    interval = max(1, round(seconds / (_PROBES + 1)))
    for name, value in (
        ("TCP_KEEPIDLE", interval),
        ("TCP_KEEPINTVL", interval),
        ("TCP_KEEPCNT", _PROBES),
    ):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def acknowledges_nothing(sock: socket.socket, seconds: float) -> bool:
    """Whether something is on its way, and the other host has been silent for so long."""
    if not _is_tcp(sock) or not hasattr(socket, "TCP_INFO"):
        return False
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    except OSError:
        return False
    if len(info) < _TCP_INFO.size:
        return False
    return _is_silent(info, seconds)


def _is_silent(info: bytes, seconds: float) -> bool:
    probes, unacknowledged, since_last = _TCP_INFO.unpack(info[: _TCP_INFO.size])
    # A single probe may be on its way at any time.
    return bool((unacknowledged > 0 or probes > 1) and since_last > seconds * 1000)


def _is_tcp(sock: socket.socket) -> bool:
    return sock.family in (socket.AF_INET, socket.AF_INET6)
