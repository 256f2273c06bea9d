"""The README's server and worker run, and all of README and docs/ pass the type checker."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
PROGRAMS = [
    program
    for page in (README, *sorted((README.parent / "docs").glob("*.md")))
    if page.name != "tutorial.md"  # test_tutorial.py has it
    for program in re.findall(
        r"^```python\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
]
#: A server, and a worker for it.
PAIR = [program for program in PROGRAMS if "distchan.run(main())" in program]


@pytest.fixture
def programs(tmp_path: Path) -> tuple[Path, Path]:
    server, worker = PAIR
    for name, text in (("server.py", server), ("worker.py", worker)):
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path / "server.py", tmp_path / "worker.py"


def start(program: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("first", [0, 1])
def test_server_and_worker_run_as_printed_in_any_order(
    programs: tuple[Path, Path], first: int
) -> None:
    processes = [start(programs[first]), start(programs[1 - first])]
    outcomes = [process.communicate(timeout=30) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outcomes
    (printed, _), (nothing, _) = outcomes if first == 0 else reversed(outcomes)
    assert printed.split() == ["HELLO", "DISTRIBUTED", "WORLD"]
    assert nothing == ""


def test_programs_pass_the_type_checker(tmp_path: Path) -> None:
    """All at once, for that takes little longer than one."""
    pytest.importorskip("mypy")
    for number, text in enumerate(PROGRAMS):
        (tmp_path / f"program{number}.py").write_text(text, "utf-8")
    outcome = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        cwd=README.parent,
    )
    assert outcome.returncode == 0, outcome.stdout


def test_the_module_tells_what_is_installed() -> None:
    outcome = subprocess.run(
        [sys.executable, "-m", "distchan"], capture_output=True, text=True, check=True
    )
    assert re.fullmatch(
        r"distchan \d+\.\d+\.\d+, backend (cython|python), event loop \w+\nin .*\n", outcome.stdout
    )
