"""What the programs of all contestants have in common.

Each program is a server that starts worker processes of its own. It does one kind of work:

there        the workers send every item back; ends with the last result
one-way      one worker counts the items until one that differs from the others, and answers once
round-trips  an item there and back before the next one is sent

It prints "ready", reads lines "COUNT SIZE", and answers each with the seconds that so many items
of that size took. The time is taken here, in the same way for everybody.
"""

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Any, TextIO

Work = Callable[[int, int], None]
AsyncWork = Callable[[int, int], Awaitable[None]]

LOCALHOST = "127.0.0.1"
#: What the last item of one way consists of; all others are made of other characters.
LAST = "!"


def item(size: int) -> str:
    """What a contestant that carries strings is given to carry."""
    return "x" * size


class Miscounted(Exception):
    """A worker has seen another number of items than were sent."""


def check(seen: object, sent: int) -> None:
    """Compare the worker's count of what came before the last item."""
    if seen != sent:
        raise Miscounted(f"{sent} items sent, {seen} counted")


def parser() -> argparse.ArgumentParser:
    """The options that all programs have; one may add its own."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("work", choices=["there", "one-way", "round-trips"])
    arguments.add_argument("--workers", type=int, default=1)
    arguments.add_argument("--connect", help="be a worker of the server at this address")
    return arguments


@contextlib.contextmanager
def workers(count: int, address: str) -> Iterator[None]:
    """Start this very program so many times more, as workers; stop them in the end."""
    module = sys.modules["__main__"].__spec__
    assert module is not None  # programs are started with python -m
    command = [sys.executable, "-m", module.name, *sys.argv[1:], "--connect", address]
    processes = [subprocess.Popen(command, stdin=subprocess.DEVNULL) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def serve(kinds: Mapping[str, Work], work: str) -> None:
    """Carry out the commands on standard input."""
    run = kinds[work]
    commands, answers = _streams()
    print("ready", file=answers, flush=True)
    for line in commands:
        count, size = map(int, line.split())
        start = time.perf_counter()
        run(count, size)
        print(time.perf_counter() - start, file=answers, flush=True)


async def serve_async(kinds: Mapping[str, AsyncWork], work: str) -> None:
    """The same for a program that runs on an event loop."""
    run = kinds[work]
    commands, answers = _streams()
    print("ready", file=answers, flush=True)
    while line := await asyncio.to_thread(commands.readline):
        count, size = map(int, line.split())
        start = time.perf_counter()
        await run(count, size)
        print(time.perf_counter() - start, file=answers, flush=True)


def run_on(loop: str, main: Coroutine[Any, Any, None]) -> None:
    """Run an asyncio program on one of the two event loops."""
    if loop == "asyncio":
        asyncio.run(main)
    else:
        import uvloop

        uvloop.run(main)


def _streams() -> tuple[TextIO, TextIO]:
    """Standard input and output, out of reach of whatever a library may print."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return sys.stdin, answers
