"""Server.map, for threads."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from distchan._mapping import Mapping, Step
from distchan._progress import Progress
from distchan.sync._runtime import Runtime, refuse_in_event_loop

__all__ = ["map_items"]

#: Being woken for each result costs more than a short one takes to compute. So if the last pause
#: was less than _OFTEN seconds ago, several of them may come within the next _NAP.
_OFTEN: Final = 1e-3
_NAP: Final = 5e-4


def _outcome(step: Step) -> Iterable[Any]:
    return (step.outcome,)


def map_items(
    runtime: Runtime,
    mapping: Mapping,
    items: Iterable[tuple[Any, int]],
    progress: Progress,
    timeout: float | None = None,
    outcomes: Callable[[Step], Iterable[Any]] = _outcome,
) -> Iterator[Any]:
    """See _mapping.map_items(). Made in the calling thread are items, each together with how many
    outcomes it will have, and these: results, or Failed in their places.

    Raises TimeoutError in place of waiting when so many seconds have passed from now.
    """
    patience = _Patience(timeout)
    return _results(runtime, mapping, iter(items), progress, patience, outcomes)


def _results(
    runtime: Runtime,
    mapping: Mapping,
    items: Iterator[tuple[Any, int]],
    progress: Progress,
    patience: "_Patience",
    outcomes: Callable[[Step], Iterable[Any]],
) -> Iterator[Any]:
    refuse_in_event_loop()
    wants_item, is_over = True, False
    has_come, paused = False, 0.0
    try:
        while True:
            item = None
            if wants_item and not is_over:
                item = next(items, None)
                is_over = item is None
            step, wants_item, is_empty = runtime.call(_exchange, mapping, item)
            if step is not None:
                runtime.turn.busy = has_come = True
                for outcome in outcomes(step):
                    result = mapping.result(outcome)
                    progress.done(mapping.failures)
                    yield result
            elif is_over and is_empty:
                return
            elif patience.is_over:
                raise patience.error()
            elif is_over or not wants_item:
                if has_come and time.monotonic() - paused < _OFTEN:
                    time.sleep(_NAP)
                else:
                    patience.wait(runtime, mapping)
                has_come = False
                paused = time.monotonic()
                wants_item = runtime.call(lambda: mapping.wants_item)
    finally:
        # Not now: garbage collection may have come here, in a thread that has the turn.
        runtime.soon(mapping.close)
        progress.close()


def _exchange(mapping: Mapping, item: tuple[Any, int] | None) -> tuple[Step | None, bool, bool]:
    """Send an item, if there is one; what has ended, and what is to be done after that."""
    step = mapping.take()
    if item is not None:
        mapping.send(*item)
    return step, mapping.wants_item, mapping.is_empty


class _Patience:
    """How long a mapping may take."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._end = None if timeout is None else time.monotonic() + timeout

    @property
    def is_over(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end

    def error(self) -> TimeoutError:
        return TimeoutError(f"not all results within {self._timeout:g} s")

    def wait(self, runtime: Runtime, mapping: Mapping) -> None:
        """Wait for the mapping to change. Raises TimeoutError if that takes too long."""
        left = None if self._end is None else max(self._end - time.monotonic(), 0.0)
        try:
            runtime.wait(mapping.change, timeout=left)
        except TimeoutError:
            raise self.error() from None
