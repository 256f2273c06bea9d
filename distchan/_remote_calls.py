"""Calls of any function with any arguments, as items: pickled, and called in another process.

Unpickling runs whatever the other end likes: only for peers that trust each other.
"""

import pickle
import traceback
from collections.abc import Callable
from typing import Any, Final

import msgspec

from distchan.errors import RemoteError

__all__ = ["EXECUTOR_FUNCTION", "Call", "Outcome", "call", "pickled", "result_of"]

#: What the workers of an Executor call.
EXECUTOR_FUNCTION: Final = "distchan._remote_calls:call"


class Call(msgspec.Struct):
    """An item: what is to be called."""

    id: int
    payload: bytes


class Outcome(msgspec.Struct):
    """A result: what has become of a call."""

    id: int
    failed: bool
    payload: bytes


def pickled(function: Callable[..., Any], arguments: Any, options: Any) -> bytes:
    """The payload of a Call. Raises what pickle does."""
    return pickle.dumps((function, arguments, options), pickle.HIGHEST_PROTOCOL)


def call(job: Call) -> Outcome:
    """Call it. This is the function of ``distchan worker --executor``."""
    try:
        function, arguments, options = pickle.loads(job.payload)
        result = function(*arguments, **options)
        return Outcome(job.id, False, pickle.dumps(result, pickle.HIGHEST_PROTOCOL))
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        try:
            payload = pickle.dumps((error, text), pickle.HIGHEST_PROTOCOL)
        except Exception:  # not every exception can be pickled
            payload = pickle.dumps((None, text))
        return Outcome(job.id, True, payload)


def result_of(outcome: Outcome) -> Any:
    """What the function has returned. Raises what it has raised, caused by a RemoteError with the
    traceback; RemoteError itself if that exception does not travel."""
    if not outcome.failed:
        return pickle.loads(outcome.payload)
    try:
        error, text = pickle.loads(outcome.payload)
    except Exception as problem:  # its class is the user's
        raise RemoteError(f"the function raised what cannot be unpickled here: {problem}") from None
    if not isinstance(error, BaseException):
        raise RemoteError(text)
    raise error from RemoteError("\n" + text)
