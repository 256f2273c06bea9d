"""How long items take here, and how many it therefore pays to have at hand."""

import time
from typing import Final

__all__ = ["Pace"]

now = time.perf_counter

#: So much work, in seconds, may wait behind a busy task: enough to bridge the way to the server and
#: back, too little for anybody else to miss it.
_SURPLUS: Final = 0.004
#: So much work may be done in one go, before the loop turns and what is done is on its way.
_GO: Final = 0.002
#: Of items that take less than that, in seconds, only some are measured: the clock costs.
_TINY: Final = 0.0001
_MOST_SURPLUS: Final = 4096
_LONGEST_GO: Final = 1024


class Pace:
    """A moving average of the time that tasks take for an item."""

    def __init__(self) -> None:
        self._mean = 1.0
        self._count = 0
        #: How many times in a row a task gets something to do without being measured, and how many
        #: times that has happened.
        self._unmeasured_most = 0
        self._unmeasured = 0

    def is_due(self) -> bool:
        """Whether to measure the task that is getting something to do."""
        if self._unmeasured < self._unmeasured_most:
            self._unmeasured += 1
            return False
        self._unmeasured = 0
        return True

    def measure(self, seconds: float, count: int) -> None:
        """A task took so long for so many items."""
        each = seconds / count
        # The first measurement counts as such; a longer one at once, shorter ones little by little.
        if each > self._mean or not self._count:
            self._mean = each
        else:
            self._mean += (each - self._mean) * 0.25
        self._count += count * (self._unmeasured_most + 1)
        self._unmeasured_most = 7 if self._mean < _TINY else 0

    @property
    def surplus(self) -> int:
        """How many items to have at hand that no task has asked for.

        No more than have been done so far: the next ones may be of another kind.
        """
        return min(int(_SURPLUS / (self._mean + 1e-9)), self._count, _MOST_SURPLUS)

    @property
    def go(self) -> int:
        """How many items to hand out before the loop turns; 0 if one is a lot."""
        return min(int(_GO / (self._mean + 1e-9)), self._count, _LONGEST_GO)
