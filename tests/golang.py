"""Go programs for tests: built from tests/go, started as processes.

Where there is no Go, the tests that need it say so and are skipped; DISTCHAN_REQUIRE_GO=1 makes
them fail instead.
"""

import asyncio
import functools
import os
import shutil
import subprocess
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

__all__ = ["Start", "build", "go_programs"]

SOURCES = Path(__file__).with_name("go")

Start: TypeAlias = Callable[..., Awaitable[Process]]


def build(sources: Path, *files: str) -> str:
    """The path of the program in that directory, or of the one made of these files of it."""
    go = shutil.which("go")
    if go is None:
        reason = "there is no Go on this machine (Debian, Ubuntu: apt install golang-go)"
        if os.environ.get("DISTCHAN_REQUIRE_GO", "") not in ("", "0"):
            pytest.fail(reason)
        pytest.skip(reason)
    return _built(go, sources, files)


@functools.cache
def _built(go: str, sources: Path, files: tuple[str, ...]) -> str:
    program = Path(_directory().name, "-".join((sources.name, *files)).replace(".go", ""))
    if os.name == "nt":
        program = program.with_suffix(".exe")
    # Nothing is downloaded, and no C compiler is asked for.
    environment = {**os.environ, "GOPROXY": "off", "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"}
    subprocess.run(
        [go, "build", "-o", program, *(files or ["."])], cwd=sources, env=environment, check=True
    )
    return str(program)


@functools.cache
def _directory() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="distchan-go-", ignore_cleanup_errors=True)


@asynccontextmanager
async def go_programs(program: str) -> AsyncIterator[Start]:
    """Starts a program with arguments; kills what is left of it at the end."""
    started: list[Process] = []

    async def start(*arguments: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            program, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
            await process.communicate()
