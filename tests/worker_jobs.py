"""Functions for the workers of test_worker.py and test_executor.py."""

import asyncio
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import distchan

#: All that a process may end with.
_EXIT_CODES = {"leave": 0, "crash": 9, "fail": 78}


def upper(text: str) -> str:
    if text == "bad":
        raise ValueError("no good")
    if text == "exit":
        sys.exit("enough")
    if text == "interrupt":
        raise KeyboardInterrupt("own")
    if text == "cancel":
        raise asyncio.CancelledError
    if text in _EXIT_CODES:
        os._exit(_EXIT_CODES[text])
    return text.upper()


async def async_upper(text: str) -> str:
    await asyncio.sleep(0)
    return upper(text)


def both_of(first: str, second: str) -> str:
    return first + second


_together = threading.Barrier(2)


def both(text: str) -> str:
    _together.wait()  # for another thread
    return text.upper()


_met: list[asyncio.Event] = []


async def async_both(text: str) -> str:
    _met.append(asyncio.Event())
    if len(_met) == 2:
        for event in _met:
            event.set()
    await _met[0].wait()
    return text.upper()


def touch(path: str) -> None:
    Path(path).touch()


def plain(item):  # type: ignore[no-untyped-def]
    return item


def hold(path: str) -> str:
    """Lasts until a file is there; another one tells that it has begun."""
    Path(path + ".begun").touch()
    while not Path(path).exists():
        time.sleep(0.01)
    return path


async def async_hold(path: str) -> str:
    return await asyncio.to_thread(hold, path)


def terminate_in_a_thread(text: str) -> str:
    """Which is not the main one; that has nothing else to do after a moment."""
    time.sleep(0.2)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    return text


def fork_and_die(path: str) -> None:
    """Leaves a process behind, until a file is there."""
    if not os.fork():
        hold(path)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


def keep_open(path: str) -> None:
    """As long as the process lives."""
    os.open(path, os.O_WRONLY)


def process_id(number: int) -> int:
    return os.getpid()


def yields(text: str):  # type: ignore[no-untyped-def]
    yield text


def two(first: str, second: str) -> str:
    return first + second


def nothing() -> str:
    return ""


not_callable = 5


def main() -> None:
    """A program of its own: distchan.work(address, processes)."""
    distchan.work(upper, sys.argv[1], processes=int(sys.argv[2]), connect_timeout=0)


if __name__ == "__main__":
    main()


def fail(text: str) -> str:
    raise ValueError(text)


class Stubborn(Exception):
    def __reduce__(self) -> str:
        raise TypeError("no pickle of this")


class Two(Exception):
    """Cannot be unpickled: it keeps one of the arguments that it needs."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(first)


class Unloadable:
    """A function that can be pickled, but not unpickled."""

    def __call__(self, text: str) -> str:
        raise NotImplementedError

    def __reduce__(self) -> Any:
        return fail, ("not here",)


def fail_with_two() -> None:
    raise Two(1, 2)


def fail_stubbornly() -> None:
    raise Stubborn


def repeated(count: int) -> str:
    return "x" * count


def unpicklable() -> object:
    return threading.Lock()


def crash_once(path: str) -> str:
    """Takes its process down unless it has done so before over that path."""
    if not Path(path).exists():
        Path(path).touch()
        os._exit(9)
    return path
