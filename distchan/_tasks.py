"""The task that is running, found fast: several times for each item.

CPython 3.11 has asyncio.current_task() in Python only, at a third of a microsecond, and
get_running_loop() asks the operating system for the number of the process each time, at a tenth.
"""

import asyncio
import sys
from _thread import get_ident
from collections.abc import Callable
from typing import Any

__all__ = ["running_task", "task_of"]

_task_of: Callable[[Any], asyncio.Task[Any] | None] = (
    asyncio.tasks._current_tasks.get  # type: ignore[attr-defined]
    if sys.version_info < (3, 12)
    else asyncio.current_task
)


def running_task() -> asyncio.Task[Any] | None:
    """The running task; None in a callback or without a loop."""
    loop = asyncio._get_running_loop()
    return None if loop is None else _task_of(loop)


def task_of(loop: asyncio.AbstractEventLoop | None, thread: int) -> asyncio.Task[Any] | None:
    """The running task, if it is one of that loop and runs in that thread.

    The thread is the one in which the loop runs: otherwise its task is not the caller.
    """
    return None if loop is None or thread != get_ident() else _task_of(loop)
