"""The example programs, run as a newcomer runs them: as processes that talk through pipes."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.golang import build

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"

# Enough for a busy machine; a test that waits for so long has failed.
TIMEOUT = 60

needs_signals = pytest.mark.skipif(os.name != "posix", reason="Ctrl-C cannot be sent to one child")


class Program:
    """A started example. What it prints is gathered by threads, so that no pipe fills up."""

    def __init__(self, *arguments: str) -> None:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        program, *options = arguments
        if program.endswith(".go"):
            directory, file = (EXAMPLES / program).parent, Path(program).name
            command = [build(directory, file, "wire.go")]
        else:
            command = [sys.executable, str(EXAMPLES / program)]
        self.process = subprocess.Popen(
            [*command, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1"},
        )
        self._printed = threading.Condition()
        self._texts = {"stdout": "", "stderr": ""}
        self._ended: set[str] = set()
        self._threads = [
            threading.Thread(target=self._gather, args=(name,), daemon=True) for name in self._texts
        ]
        for thread in self._threads:
            thread.start()

    @property
    def stdout(self) -> str:
        return self._texts["stdout"]

    @property
    def stderr(self) -> str:
        return self._texts["stderr"]

    def type(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def end_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def wait_for(self, pattern: str, stream: str = "stdout") -> re.Match[str]:
        """Wait until it has printed something that matches."""
        with self._printed:
            found = self._printed.wait_for(
                lambda: re.search(pattern, self._texts[stream]) or stream in self._ended, TIMEOUT
            )
            assert isinstance(found, re.Match), f"no {pattern!r} in:\n{self.stdout}{self.stderr}"
            return found

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        code = self.process.wait(TIMEOUT)
        for thread in self._threads:
            thread.join(TIMEOUT)
            assert not thread.is_alive(), "a process that it started still has its pipes"
        return code

    def release(self) -> None:
        self.process.kill()
        self.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            with contextlib.suppress(OSError):  # what was typed and not read
                stream.close()

    def _gather(self, name: str) -> None:
        for line in getattr(self.process, name):
            with self._printed:
                self._texts[name] += line
                self._printed.notify_all()
        with self._printed:
            self._ended.add(name)
            self._printed.notify_all()


class Start:
    """Starts programs, and ends those that are still running when the test is over."""

    def __init__(self) -> None:
        self.programs: list[Program] = []

    def __call__(self, *arguments: str) -> Program:
        self.programs.append(Program(*arguments))
        return self.programs[-1]


@pytest.fixture
def start() -> Iterator[Start]:
    start = Start()
    yield start
    for program in reversed(start.programs):
        program.release()


@pytest.fixture
def taken_address() -> Iterator[str]:
    """An address where another program listens, but says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def free_address() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


def address_of(server: Program, stream: str = "stderr") -> str:
    return server.wait_for(r"listening on ([^\s,]+)", stream)[1]


def assert_readable_failure(program: Program, message: str) -> None:
    """It fails with one line, which says why."""
    assert program.wait() != 0
    lines = [line for line in program.stderr.splitlines() if not line.startswith("listening")]
    assert len(lines) == 1, program.stderr
    assert re.search(message, lines[0])
    assert "Traceback" not in program.stderr + program.stdout


# -- the examples at work ---------------------------------------------------------------------


def test_capitalizer_answers_each_line_while_its_input_is_still_open(start: Start) -> None:
    server = start("capitalizer/server.py", "--address", "localhost:0")
    worker = start("capitalizer/worker.py", "--address", address_of(server))

    server.wait_for("type lines", "stderr")
    server.type("hello world\n")
    server.wait_for("^HELLO WORLD$")
    server.type("grüße\n\nlast")
    server.end_input()

    assert (server.wait(), worker.wait()) == (0, 0)
    assert server.stdout.splitlines() == ["HELLO WORLD", "GRÜSSE", "", "LAST"]
    assert worker.stdout + worker.stderr == ""


def test_adder_prints_sums_that_it_has_checked(start: Start) -> None:
    server = start("adder/server.py", "200", "--workers", "2", "--address", "localhost:0")
    address = address_of(server)
    workers = [start("adder/worker.py", "--address", address) for _ in range(2)]

    assert [program.wait() for program in (server, *workers)] == [0, 0, 0]
    *sums, verdict = server.stdout.splitlines()
    assert len(sums) == 200
    assert all(0 <= int(line) < 2000 for line in sums)
    assert verdict == "200 pairs, all sums are right"


@pytest.mark.parametrize("server_program", ["server.py", "server.go"])
@pytest.mark.parametrize(
    "worker_programs", [["worker.py"], ["worker.go"], ["worker.py", "worker.go"]]
)
def test_adder_in_either_language(
    start: Start, server_program: str, worker_programs: list[str]
) -> None:
    def begin(program: str, *options: str) -> Program:
        wire = ["--wire", "go"] if program.endswith(".py") else []
        return start(f"adder/{program}", *wire, *options)

    count = str(len(worker_programs))
    server = begin(server_program, "--workers", count, "--address", "127.0.0.1:0", "200")
    address = address_of(server)
    workers = [begin(program, "--address", address) for program in worker_programs]

    assert [program.wait() for program in (server, *workers)] == [0] * (1 + len(workers))
    *sums, verdict = server.stdout.splitlines()
    assert len(sums) == 200
    assert verdict == "200 pairs, all sums are right"


def test_wordcount_matches_the_single_process_count(start: Start) -> None:
    demo = start("wordcount/demo.py", "--lines", "3000", "--workers", "2")

    assert demo.wait() == 0, demo.stderr
    assert demo.stdout.endswith("\ntotals match the single-process count\n")
    for line in (
        r"items           3,000 in [\d.]+ s",
        r"items/s         [\d,]+",
        r"distinct words  [\d,]+",
        r"total words     [\d,]+",
        r"workers         2",
        r"backend         (cython|python)",
        r"loop            (uvloop|asyncio)",
    ):
        assert re.search(f"^{line}$", demo.stdout, re.MULTILINE), line
    assert demo.stderr == ""


def test_wordcount_with_a_worker_started_by_hand(start: Start) -> None:
    demo = start(
        "wordcount/demo.py", "--lines", "300", "--workers", "0", "--address", "localhost:0"
    )
    worker = start("wordcount/worker.py", address_of(demo, "stdout"))

    assert (demo.wait(), worker.wait()) == (0, 0)
    assert "workers         1\n" in demo.stdout
    assert "totals match the single-process count\n" in demo.stdout


# -- ends that are not the good one -----------------------------------------------------------


def test_digests_are_those_of_a_single_process(start: Start, tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number}.txt").write_text(str(number), "utf-8")
    plain = start("digests/digests.py", str(tmp_path), "--plain")
    pool = start("digests/digests.py", str(tmp_path), "--processes", "2")
    assert (plain.wait(), pool.wait()) == (0, 0), pool.stderr
    assert plain.stdout == pool.stdout
    assert "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9" in pool.stdout
    assert re.fullmatch(r"50 files in [\d.]+ s\n", pool.stderr)


def test_a_spectrum_is_that_of_a_single_process(start: Start) -> None:
    pytest.importorskip("numpy")
    plain = start("spectrum/spectrum.py", "--samples", "1000000", "--plain")
    pool = start("spectrum/spectrum.py", "--samples", "1000000", "--processes", "2")
    assert (plain.wait(), pool.wait()) == (0, 0), pool.stderr
    assert plain.stdout == pool.stdout
    assert "0.3101" in pool.stdout
    assert re.fullmatch(r"[\d.]+ s\n", pool.stderr)


def test_words_are_those_that_a_single_task_finds(start: Start) -> None:
    crawls = [
        start("crawl/crawl.py", "--pages", "30", *way) for way in ((), ["--plain"], ["--tasks"])
    ]
    assert [crawl.wait() for crawl in crawls] == [0, 0, 0], crawls[0].stderr
    assert crawls[0].stdout == crawls[1].stdout == crawls[2].stdout
    assert re.fullmatch(r"30 pages in [\d.]+ s\n", crawls[0].stderr)


@pytest.mark.parametrize(
    "program", ["capitalizer/server.py", "adder/server.py", "wordcount/demo.py"]
)
def test_port_in_use(start: Start, program: str, taken_address: str) -> None:
    options = ["--lines", "10"] if program == "wordcount/demo.py" else []

    server = start(program, "--address", taken_address, *options)

    assert_readable_failure(server, f"{taken_address} is in use")


WORKERS = [
    ("capitalizer/worker.py", "--address"),
    ("adder/worker.py", "--address"),
    ("wordcount/worker.py",),
]


@pytest.mark.parametrize("program", WORKERS, ids=lambda program: program[0])
def test_worker_without_a_server(start: Start, program: tuple[str, ...], free_address: str) -> None:
    worker = start(*program, free_address, "--connect-timeout", "0.1")

    assert_readable_failure(worker, f"no server at {free_address}")


@pytest.mark.parametrize("program", WORKERS, ids=lambda program: program[0])
def test_address_that_is_none(start: Start, program: tuple[str, ...]) -> None:
    assert_readable_failure(start(*program, "5678"), 'an address is "host:port"')


def test_worker_of_another_example_is_refused_in_words(start: Start) -> None:
    server = start("adder/server.py", "--address", "localhost:0")

    worker = start("capitalizer/worker.py", "--address", address_of(server))

    assert_readable_failure(worker, "this server .*, the client .* str$")


@needs_signals
def test_server_that_goes_away(start: Start) -> None:
    server = start("capitalizer/server.py", "--address", "localhost:0")
    address = address_of(server)
    worker = start("capitalizer/worker.py", "--address", address, "--connect-timeout", "0.1")
    server.wait_for("type lines", "stderr")
    server.type("hello\n")
    server.wait_for("HELLO")  # so both ends know that they are connected

    server.process.kill()

    assert worker.wait() == 1
    # First that the connection was cut, at once; then that it could not be mended.
    cut, end = worker.stderr.splitlines()
    assert "was cut" in cut
    assert end.startswith(f"worker: the connection to {address} is lost")


@needs_signals
@pytest.mark.parametrize("working", [False, True], ids=["waiting", "working"])
def test_ctrl_c_in_the_capitalizer(start: Start, working: bool) -> None:
    server = start("capitalizer/server.py", "--address", "localhost:0")
    address = address_of(server)
    if working:
        start("capitalizer/worker.py", "--address", address)
        server.wait_for("type lines", "stderr")
        server.type("hello\n")
        server.wait_for("HELLO")

    server.process.send_signal(signal.SIGINT)

    assert server.wait() == 1
    assert server.stderr.splitlines()[-1] == "server: interrupted"
    assert "Traceback" not in server.stderr


@needs_signals
def test_ctrl_c_in_a_worker_leaves_the_server_to_another_one(start: Start) -> None:
    server = start("capitalizer/server.py", "--address", "localhost:0")
    address = address_of(server)
    worker = start("capitalizer/worker.py", "--address", address)
    server.wait_for("type lines", "stderr")
    server.type("hello\n")
    server.wait_for("HELLO")

    worker.process.send_signal(signal.SIGINT)

    assert_readable_failure(worker, "^worker: interrupted$")
    # The server waits for another one.
    start("capitalizer/worker.py", "--address", address)
    server.type("still there\n")
    server.wait_for("STILL THERE")


@needs_signals
def test_ctrl_c_in_the_wordcount_demo_ends_its_workers(start: Start) -> None:
    demo = start("wordcount/demo.py", "--lines", "0")
    demo.wait_for(r"(?s)(started worker.*){2}")

    demo.process.send_signal(signal.SIGINT)

    assert demo.wait() == 1  # its workers have the same pipes, and wait() sees them closed
    assert demo.stderr.splitlines()[-1] == "demo: interrupted"
    assert "Traceback" not in demo.stderr


@needs_signals
def test_wordcount_worker_that_dies(start: Start) -> None:
    demo = start("wordcount/demo.py", "--lines", "0")
    started = demo.wait_for(r"started worker process (\d+)\n(?s:.*)started worker process (\d+)\n")

    os.kill(int(started[2]), signal.SIGKILL)

    assert demo.wait() == 1
    message = f"demo: worker process {started[2]} ended early, with exit code -9"
    assert demo.stderr.splitlines()[-1] == message
    assert "Traceback" not in demo.stderr
