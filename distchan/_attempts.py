"""Who has failed to authenticate of late, so that guessing keys is slow.

Nobody is locked out: an attacker may share his address with honest peers, behind one gateway or on
this machine. They all are only answered later.
"""

from collections import deque
from typing import Final

__all__ = ["Attempts"]

#: In seconds: how long a failure counts, and how much later the next ones are answered.
_MEMORY: Final = 60.0
_DELAY: Final = 1.0
#: More failures of one address than that are suspicious.
_FEW: Final = 10
#: More than that are not remembered.
_MOST: Final = 1000


class Attempts:
    """Failed attempts to authenticate, by the host that they came from."""

    def __init__(self) -> None:
        self._failures: deque[tuple[float, str]] = deque(maxlen=_MOST)

    def failed(self, address: str, now: float) -> None:
        self._failures.append((now, _host(address)))

    def delay(self, address: str, now: float) -> float:
        """How many seconds a new connection from there is to wait for its answer."""
        while self._failures and self._failures[0][0] < now - _MEMORY:
            self._failures.popleft()
        host = _host(address)
        return _DELAY if sum(host == other for _, other in self._failures) > _FEW else 0.0


def _host(address: str) -> str:
    return address.rpartition(":")[0]
