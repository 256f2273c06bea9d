"""The progress bar of a mapping, by tqdm."""

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

__all__ = ["NO_PROGRESS", "Progress", "show"]

#: How often the figures beside the bar change, in seconds.
_EVERY: Final = 0.2


class Progress(Protocol):
    """Whom a mapping tells how it gets on."""

    def done(self, failures: int) -> None:
        """One more is done; so many have failed up to now."""

    def close(self) -> None:
        """No more will come."""


class _None:
    def done(self, failures: int) -> None:
        pass

    def close(self) -> None:
        pass


NO_PROGRESS: Final = _None()


class _Bar:
    def __init__(self, total: int | None, workers: Callable[[], int]) -> None:
        try:
            from tqdm.auto import tqdm
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "progress=True needs tqdm: pip install 'distchan[progress]'", name=error.name
            ) from None
        self._bar: Any = tqdm(total=total, unit=" items")
        self._workers = workers
        self._failures = 0
        self._due = 0.0

    def done(self, failures: int) -> None:
        self._failures = failures
        now = time.monotonic()
        if now >= self._due:
            self._due = now + _EVERY
            self._tell()
        self._bar.update()

    def _tell(self) -> None:
        self._bar.set_postfix(workers=self._workers(), failed=self._failures, refresh=False)

    def close(self) -> None:
        self._tell()
        self._bar.close()


def show(wanted: bool, items: object, workers: Callable[[], int]) -> Progress:
    """A bar on stderr if one is wanted, with the number of items if that is known.

    workers: how many there are now.

    Raises ModuleNotFoundError without tqdm.
    """
    if not wanted:
        return NO_PROGRESS
    try:
        total: int | None = len(items)  # type: ignore[arg-type]
    except TypeError:
        total = None
    return _Bar(total, workers)
