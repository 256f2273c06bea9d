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

__all__ = ["keep_alive", "unanswered_for"]

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


def unanswered_for(sock: socket.socket) -> float | None:
    """Seconds since the other host's last acknowledgement, if something is on its way to it.

    That may have been sent much later than the last acknowledgement came. None: nothing is on its
    way, or nobody knows.
    """
    if not _is_tcp(sock) or not hasattr(socket, "TCP_INFO"):
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    except OSError:
        return None
    if len(info) < _TCP_INFO.size:
        return None
    probes, unacknowledged, since_last = _TCP_INFO.unpack(info)
    # A single probe may be on its way at any time.
    return since_last / 1000 if unacknowledged > 0 or probes > 1 else None


def _is_tcp(sock: socket.socket) -> bool:
    return sock.family in (socket.AF_INET, socket.AF_INET6)
