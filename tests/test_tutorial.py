"""docs/tutorial.md, step by step: its files are written, its commands run, their output compared.

Lines of one block of commands are run at the same time, as they are by a reader with several
terminals; the block after it begins when all of them have ended. What a block prints stands below.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parent.parent / "docs" / "tutorial.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TUTORIAL.read_text("utf-8"), re.M | re.S)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the commands are for a POSIX shell")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which ``python`` and ``distchan`` are the ones under test."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, command in (("python", ""), ("distchan", " -m distchan")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)}{command} "$@"\n')
        program.chmod(0o755)
    return os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(TUTORIAL.parent.parent),
        "PYTHONUNBUFFERED": "1",
    }


def test_every_step(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    printed = ""
    for language, text in BLOCKS:
        if language == "python":
            name = re.match(r"# (\w+\.py)\n", text)
            assert name, text
            (folder / name[1]).write_text(text, "utf-8")
        elif language == "text":
            assert printed == text
        else:
            assert language == "sh"
            printed = run(text.splitlines(), folder, environment)


def test_its_programs_pass_the_type_checker(tmp_path: Path, environment: dict[str, str]) -> None:
    pytest.importorskip("mypy")
    for language, text in BLOCKS:
        if language == "python":
            (tmp_path / text.split()[1]).write_text(text, "utf-8")
    files = [path.name for path in tmp_path.glob("*.py")]
    outcome = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", *files],
        cwd=tmp_path,
        env=environment | {"MYPYPATH": environment["PYTHONPATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout


def run(commands: list[str], folder: Path, environment: dict[str, str]) -> str:
    """What they print, all at the same time."""
    processes = [
        subprocess.Popen(
            command,
            shell=True,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    outcomes = [process.communicate(timeout=50) for process in processes]
    for process, outcome in zip(processes, outcomes, strict=True):
        assert process.returncode == 0, outcome
    return "".join(stdout for stdout, _ in outcomes)
