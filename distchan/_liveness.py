"""Whether the host at the other end of a TCP connection still acknowledges anything.

That is the kernel's business, so that a process may compute for as long as it likes. An idle
connection is probed by TCP's keepalive. One with unacknowledged data is not; there the kernel goes
on sending for a quarter of an hour, but knows when it heard the last acknowledgement. (Its option
TCP_USER_TIMEOUT would also kill a peer that is alive but full.) Linux tells; elsewhere there is the
keepalive only.
"""

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from typing import Final

__all__ = ["Watch", "keep_alive", "unacknowledged", "unanswered_for"]

#: How long a peer may pause in the middle of a frame, in seconds.
_LONGEST_STALL: Final = 60.0

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


def unacknowledged(sock: socket.socket) -> int:
    """How many bytes the other host has yet to acknowledge, its end included; 0 if nobody knows."""
    if sys.platform == "win32":
        return 0
    import fcntl
    import termios

    try:
        data = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    return int.from_bytes(data, sys.byteorder)


class Watch:
    """Looks now and then whether the other host still lives and the peer finishes its frame.

    heartbeat: seconds for which the host may acknowledge nothing.
    silence: how long nothing has been heard of the peer, in seconds.
    has_stalled: whether part of a frame has come, and the rest is to be expected at once.
    cut: called when that has lasted too long, with the reason.
    """

    def __init__(
        self,
        sock: socket.socket,
        heartbeat: float,
        *,
        silence: Callable[[], float],
        has_stalled: Callable[[], bool],
        cut: Callable[[str], None],
    ) -> None:
        self._sock = sock
        self._heartbeat = heartbeat
        self._silence = silence
        self._has_stalled = has_stalled
        self._cut = cut
        self._loop = asyncio.get_running_loop()
        #: Since when something has been on its way to a host that acknowledges nothing.
        self._unanswered_since: float | None = None
        keep_alive(sock, heartbeat)
        self.look_later()

    def look_later(self) -> None:
        self._timer = self._loop.call_later(self._heartbeat / 4, self._look)

    def cancel(self) -> None:
        """The connection is over."""
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        unanswered = unanswered_for(self._sock)
        if unanswered is None:
            self._unanswered_since = None
        elif self._unanswered_since is None or unanswered < now - self._unanswered_since:
            self._unanswered_since = now  # at least since this look
        if self._unanswered_since is not None and now - self._unanswered_since > self._heartbeat:
            self._cut(f"its host has acknowledged nothing for {self._heartbeat:g} s")
        elif self._has_stalled() and self._silence() > _LONGEST_STALL:
            self._cut(f"it stopped in the middle of a frame for {self._silence():.0f} s")
        else:
            self.look_later()


def _is_tcp(sock: socket.socket) -> bool:
    return sock.family in (socket.AF_INET, socket.AF_INET6)
