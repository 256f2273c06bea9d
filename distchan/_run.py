"""Runs a program on the fastest event loop there is."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["run"]

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """Like asyncio.run(), on uvloop wherever it is installed.

    debug: asyncio's debug mode; the default is that of asyncio.
    """
    try:
        import uvloop
    except ModuleNotFoundError:
        loop_factory = None
    else:
        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(main)
