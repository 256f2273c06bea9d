"""Calls of any function with any arguments, as items: pickled, and called in another process.

Unpickling runs whatever the other end likes: only for peers that trust each other. So these items
are plain bytes for the channels (codec "raw"), and are unpickled nowhere but here.
"""

import contextlib
import pickle
import traceback
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, TypeVar

from distchan._main import adopted, named
from distchan.errors import RemoteError

__all__ = ["EXECUTOR_FUNCTION", "call", "call_each", "chunked", "pickled", "raised", "result_of"]

T = TypeVar("T")

#: What the workers of an Executor call.
EXECUTOR_FUNCTION: Final = "distchan._remote_calls:call"

# How the bytes of a result begin.
_RETURNED: Final = b"+"
_RAISED: Final = b"-"


def pickled(function: Callable[..., Any], arguments: Any, options: Any) -> bytes:
    """A call, as an item. Raises what pickle does."""
    return named(pickle.dumps((function, arguments, options), pickle.HIGHEST_PROTOCOL))


def call(item: bytes) -> bytes:
    """Make the call: what has become of it. The function of ``distchan worker --executor``."""
    try:
        function, arguments, options = pickle.loads(adopted(item))
    except BaseException as error:
        return raised(error)
    return _called(function, arguments, options)


def call_each(function: Callable[..., Any], chunk: Iterable[Iterable[Any]]) -> list[bytes]:
    """Make several calls: what has become of each, as from call()."""
    return [_called(function, arguments, {}) for arguments in chunk]


def chunked(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """So many of them at a time, in the end perhaps fewer. Raises ValueError for a size below 1."""
    if size < 1:
        raise ValueError(f"chunksize must be at least 1, not {size}")
    iterator = iter(items)
    return iter(lambda: tuple(islice(iterator, size)), ())


def _called(function: Callable[..., Any], arguments: Any, options: Any) -> bytes:
    try:
        result = function(*arguments, **options)
        return _RETURNED + pickle.dumps(result, pickle.HIGHEST_PROTOCOL)
    except BaseException as error:  # the function's own, for signals come to another thread
        return raised(error)


def raised(error: BaseException) -> bytes:
    """What has become of a call that has failed."""
    return _RAISED + pickle.dumps(_failure(error), pickle.HIGHEST_PROTOCOL)


def _failure(error: BaseException) -> tuple[bytes, str]:
    """The exception by itself, pickled, as the other end may not be able to unpickle it; none if it
    cannot be pickled, or would end the program that gets it. And its traceback."""
    travelling = b""
    if isinstance(error, Exception):
        with contextlib.suppress(Exception):
            travelling = pickle.dumps(error, pickle.HIGHEST_PROTOCOL)
    return travelling, "".join(traceback.format_exception(error))


def result_of(outcome: bytes) -> Any:
    """What the function has returned. Raises what it has raised, caused by a RemoteError with the
    traceback; RemoteError itself if that exception does not travel, or is no Exception."""
    payload = memoryview(outcome)[1:]
    if outcome.startswith(_RETURNED):
        return pickle.loads(payload)
    travelling, text = pickle.loads(payload)
    if not travelling:
        raise RemoteError(text)
    try:
        error = pickle.loads(travelling)
    except Exception as problem:  # its class is the user's
        raise RemoteError(f"{text}\nThat cannot be unpickled here: {problem}") from None
    if not isinstance(error, Exception):
        raise RemoteError(text)
    raise error from RemoteError("\n" + text)
