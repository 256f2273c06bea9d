"""The task that is running, found fast: several times for each item.

CPython 3.11 has asyncio.current_task() in Python only, at a third of a microsecond, and
get_running_loop() asks the operating system for the number of the process each time, at a tenth.
"""

import asyncio
import sys
from _thread import get_ident
from collections.abc import Callable
from typing import Any

__all__ = ["act", "running_task", "runs_in", "task_of"]

#: What act() was told last, and in which thread.
_acting: tuple[int, object, Any] = 0, None, None

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

    The thread is the one in which the loop runs: otherwise its task is not the caller, unless
    act() has told who is.
    """
    if loop is None:
        return None
    here = get_ident()
    if thread == here:
        return _task_of(loop)
    return _acting[2] if _acting[:2] == (here, loop) else None


def runs_in(thread: int) -> bool:
    """Whether this is the thread with that number."""
    return thread == get_ident()


def act(loop: asyncio.AbstractEventLoop, stand_in: Any) -> None:
    """This thread, which is not the loop's, may use it, and stand_in acts as the running task.

    The thread is responsible for nobody else using the loop meanwhile. There is one such loop.
    """
    global _acting
    _acting = get_ident(), loop, stand_in
