"""Server.map, for threads."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from distchan._calls import EMPTY
from distchan._mapping import Mapping
from distchan._progress import Progress
from distchan.errors import DistchanError
from distchan.sync._runtime import Runtime

__all__ = ["map_items"]

#: Being woken for each result costs more than a short one takes to compute. So if the last pause
#: was less than _OFTEN seconds ago, several of them may come within the next _NAP.
_OFTEN: Final = 1e-3
_NAP: Final = 5e-4


def map_items(
    runtime: Runtime,
    mapping: Mapping,
    items: Iterable[Any],
    progress: Progress,
    decode: Callable[[Any], Any] = lambda outcome: outcome,
) -> Iterator[Any]:
    """See _mapping.map_items(). The items are made, and results decoded, in the calling thread."""
    iterator = iter(items)
    item = EMPTY
    wants_item, is_over = True, False
    has_come, paused = False, 0.0
    try:
        while True:
            if wants_item and not is_over:
                item = next(iterator, EMPTY)
                is_over = item is EMPTY
            outcome, wants_item, is_empty = runtime.call(_exchange, mapping, item)
            item = EMPTY
            if outcome is not EMPTY:
                runtime.turn.busy = has_come = True
                if not isinstance(outcome, DistchanError):
                    try:
                        outcome = decode(outcome)
                    except Exception as error:
                        mapping.failures += 1
                        if not mapping.return_exceptions:
                            raise
                        outcome = error
                progress.done(mapping.failures)
                yield outcome
            elif is_over and is_empty:
                return
            elif is_over or not wants_item:
                if has_come and time.monotonic() - paused < _OFTEN:
                    time.sleep(_NAP)
                else:
                    runtime.wait(mapping.change)
                has_come = False
                paused = time.monotonic()
                wants_item = runtime.call(lambda: mapping.wants_item)
    finally:
        # Not now: garbage collection may have come here, in a thread that has the turn.
        runtime.soon(mapping.close)
        progress.close()


def _exchange(mapping: Mapping, item: Any) -> tuple[Any, bool, bool]:
    """Send an item, if there is one; the next result, and what is to be done after that."""
    outcome = mapping.take()
    if item is not EMPTY:
        mapping.send(item)
    return outcome, mapping.wants_item, mapping.is_empty
