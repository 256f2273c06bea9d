"""``distchan worker`` and ``distchan.work``, with real processes."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import pytest

import distchan
from distchan import Channel, Server
from tests import worker_jobs

ROOT = Path(__file__).parent.parent
Start: TypeAlias = Callable[..., Awaitable[Process]]

needs_signals = pytest.mark.skipif(os.name != "posix", reason="needs signals")


@asynccontextmanager
async def commands() -> AsyncIterator[Start]:
    """Starts ``python -m distchan worker tests.worker_jobs:...``; kills what is left."""
    started: list[Process] = []

    async def start(function: str, *arguments: str) -> Process:
        command = ["-m", "distchan", "worker", f"tests.worker_jobs:{function}", *arguments]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdout=PIPE, stderr=PIPE, cwd=ROOT
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


async def ended(process: Process, code: int) -> str:
    """What a process has written to stderr that ends with that exit code."""
    _, stderr = await process.communicate()
    assert process.returncode == code, stderr.decode()
    return stderr.decode()


async def says(process: Process, words: str) -> None:
    """Wait for a line with these words."""
    assert process.stderr is not None
    lines: list[str] = []
    while not lines or words not in lines[-1]:
        lines.append((await process.stderr.readline()).decode())
        assert lines[-1], "".join(lines)


async def results(out: Channel[Any], in_: Channel[Any], items: list[Any]) -> list[Any]:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(out.send_many(items)).add_done_callback(lambda _: out.close())
        return sorted([result async for result in in_])


async def appears(path: Path) -> None:
    while not path.exists():
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("function", ["upper", "async_upper"])
@pytest.mark.parametrize("processes", [1, 2])
async def test_results_come_back(function: str, processes: int) -> None:
    out, in_ = Channel(str), Channel(str)
    async with commands() as start, Server("localhost:0", out, in_) as server:
        worker = await start(function, server.address, "--processes", str(processes))
        await server.wait_ready(processes)
        assert await results(out, in_, list("abcdef")) == list("ABCDEF")
        await ended(worker, 0)


@pytest.mark.parametrize("function", ["both", "async_both"])
async def test_one_process_works_on_as_many_items_as_it_has_threads(function: str) -> None:
    out, in_ = Channel(str), Channel(str)
    async with commands() as start, Server("localhost:0", out, in_) as server:
        worker = await start(function, server.address, "--processes", "1", "--threads", "2")
        assert await results(out, in_, ["a", "b"]) == ["A", "B"]
        await ended(worker, 0)


async def test_a_function_without_a_result_sends_none(tmp_path: Path) -> None:
    out = Channel(str)
    async with commands() as start, Server("localhost:0", out, None) as server:
        worker = await start("touch", server.address, "--processes", "1")
        await out.send(str(tmp_path / "here"))
        out.close()
        await ended(worker, 0)
    assert (tmp_path / "here").exists()


async def test_what_is_not_annotated_may_be_anything() -> None:
    out, in_ = Channel(list[int]), Channel(list[int])
    async with commands() as start, Server("localhost:0", out, in_) as server:
        worker = await start("plain", server.address, "--processes", "1", "--codec", "msgpack")
        assert await results(out, in_, [[1], [2]]) == [[1], [2]]
        await ended(worker, 0)


async def test_types_that_do_not_fit_are_refused_in_words() -> None:
    async with commands() as start, Server("localhost:0", Channel(int), Channel(str)) as server:
        worker = await start("upper", server.address, "--processes", "2")
        said = await ended(worker, 1)
        assert "this server sends int, the client expects str" in said
        assert said.count("the worker processes finish what they have in hand") == 1


async def test_without_a_server_it_fails() -> None:
    async with commands() as start:
        worker = await start("upper", "localhost:1", "--connect-timeout", "0", "--processes", "2")
        assert "no server at localhost:1" in await ended(worker, 1)


@pytest.mark.parametrize(
    ("function", "item", "words"),
    [
        ("upper", "bad", "ValueError: no good"),
        ("upper", "exit", "RuntimeError: upper raised SystemExit('enough')"),
        ("upper", "interrupt", "RuntimeError: upper raised KeyboardInterrupt('own')"),
        ("async_upper", "bad", "ValueError: no good"),
        ("async_upper", "cancel", "RuntimeError: async_upper raised CancelledError()"),
    ],
)
async def test_an_exception_travels_back_with_its_traceback(
    function: str, item: str, words: str
) -> None:
    out, in_ = Channel(str), Channel(str)
    async with commands() as start, Server("localhost:0", out, in_, max_attempts=2) as server:
        worker = await start(function, server.address, "--processes", "1")
        assert await results(out, in_, ["a", item, "b"]) == ["A", "B"]
        letter = await server.dead_letters.receive()
        assert (letter.item, letter.attempts) == (item, 2)
        assert letter.reason.splitlines()[0] == words
        assert "worker_jobs.py" in letter.reason
        log = await ended(worker, 0)
        assert f"{function} failed over item" in log
        assert words in log


@pytest.mark.parametrize(("item", "code"), [("crash", 9), ("leave", 0), ("fail", 78)])
async def test_a_process_that_crashes_is_restarted(item: str, code: int) -> None:
    """Whatever it ends with."""
    out, in_ = Channel(str), Channel(str)
    options: dict[str, Any] = {"max_attempts": 2, "resume_timeout": 0.01}
    async with commands() as start, Server("localhost:0", out, in_, **options) as server:
        worker = await start("upper", server.address, "--processes", "1")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(out.send_many(["a", item, "b"]))
            assert sorted([await in_.receive(), await in_.receive()]) == ["A", "B"]
            letter = await server.dead_letters.receive()
            assert (letter.item, letter.attempts) == (item, 2)
        await server.wait_ready()  # there may not be one at the moment, and who comes sees the end
        out.close()
        log = await ended(worker, 0)
        for pause in ("0.1", "0.2"):
            assert (
                f"worker-1 crashed with exit code {code}; another one is started in {pause} s"
                in log
            )


@needs_signals
@pytest.mark.parametrize("function", ["hold", "async_hold"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_it_finish_what_it_has_in_hand(
    function: str, number: int, tmp_path: Path
) -> None:
    out, in_ = Channel(str), Channel(str)
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    async with commands() as start, Server("localhost:0", out, in_, prefetch=2) as server:
        worker = await start(function, server.address, "--processes", "1")
        await out.send_many([first, second])
        await appears(Path(first + ".begun"))
        worker.send_signal(number)
        await says(worker, "hold: finishes what it has in hand")  # not only its parent
        Path(first).touch()
        assert await in_.receive() == first
        await ended(worker, 128 + number)
        assert not Path(second + ".begun").exists()
        Path(second).touch()
        await start(function, server.address, "--processes", "1")
        assert await in_.receive() == second
        assert server.statistics().results == 2
        out.close()


@needs_signals
@pytest.mark.parametrize("function", ["hold", "async_hold"])
async def test_the_second_ctrl_c_stops_it_at_once(function: str, tmp_path: Path) -> None:
    out, in_ = Channel(str), Channel(str)
    path = str(tmp_path / "never")
    options: dict[str, Any] = {"drain_timeout": 0.0}
    async with commands() as start, Server("localhost:0", out, in_, **options) as server:
        worker = await start(function, server.address, "--processes", "1")
        await out.send(path)
        await appears(Path(path + ".begun"))
        worker.send_signal(signal.SIGINT)
        await says(worker, "finish what they have in hand")
        worker.send_signal(signal.SIGINT)
        assert "Traceback" not in await ended(worker, 130)


@needs_signals
async def test_who_goes_on_pressing_ctrl_c_leaves_nobody_behind(tmp_path: Path) -> None:
    out, in_ = Channel(str, 2), Channel(str)
    async with commands() as start, Server("localhost:0", out, in_, drain_timeout=0.0) as server:
        worker = await start("hold", server.address, "--processes", "2")
        await server.wait_ready(2)
        for name in ("first", "second"):
            await out.send(str(tmp_path / name))
            await appears(tmp_path / f"{name}.begun")
        with suppress(ProcessLookupError):
            while worker.returncode is None:
                os.kill(worker.pid, signal.SIGINT)  # send_signal() would look how it has ended
                await asyncio.sleep(0.001)
        await worker.communicate()  # the pipes are closed by the last that has them
        assert worker.returncode in (130, -signal.SIGINT)


@needs_signals
async def test_a_signal_ends_the_search_for_a_server() -> None:
    async with commands() as start:
        worker = await start("upper", "localhost:1", "--processes", "1")
        await says(worker, "no server at localhost:1 yet, trying for 30 s")
        worker.send_signal(signal.SIGTERM)
        await ended(worker, 128 + signal.SIGTERM)


@needs_signals
async def test_a_signal_is_handled_although_it_has_not_woken_the_main_thread() -> None:
    """As one that comes when that is just about to wait."""
    out, in_ = Channel(str), Channel(str)
    async with commands() as start, Server("localhost:0", out, in_, drain_timeout=0.0) as server:
        worker = await start("terminate_in_a_thread", server.address, "--processes", "1")
        await out.send("a")
        await says(worker, "terminate_in_a_thread: finishes what it has in hand")


@needs_signals
@pytest.mark.parametrize("processes", ["1", "2"])
async def test_a_script_leaves_on_sigterm(processes: str) -> None:
    out, in_ = Channel(str), Channel(str)
    async with Server("localhost:0", out, in_, resume_timeout=0.1) as server:
        program = await asyncio.create_subprocess_exec(
            sys.executable, worker_jobs.__file__, server.address, processes, stderr=PIPE
        )
        await server.wait_ready(int(processes))
        program.send_signal(signal.SIGTERM)
        assert await ended(program, 128 + signal.SIGTERM) == ""
        while server.num_clients:
            await asyncio.sleep(0.01)


@needs_signals
@pytest.mark.parametrize("processes", ["1", "2"])
async def test_a_script_is_interrupted_by_ctrl_c(processes: str) -> None:
    out, in_ = Channel(str), Channel(str)
    async with Server("localhost:0", out, in_, resume_timeout=0.1) as server:
        program = await asyncio.create_subprocess_exec(
            sys.executable, worker_jobs.__file__, server.address, processes, stderr=PIPE
        )
        await server.wait_ready(int(processes))
        program.send_signal(signal.SIGINT)
        assert (await ended(program, -signal.SIGINT)).endswith("KeyboardInterrupt\n")


@needs_signals
async def test_worker_processes_die_with_their_parent() -> None:
    out, in_ = Channel(int), Channel(int)
    async with commands() as start, Server("localhost:0", out, in_, resume_timeout=0.1) as server:
        worker = await start("process_id", server.address, "--processes", "2")
        await server.wait_ready(2)
        worker.kill()
        while server.num_clients:
            await asyncio.sleep(0.01)
        await worker.communicate()  # the pipes are closed by the last that has them


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("absent", "localhost:1"), "cannot import 'tests.worker_jobs:absent'"),
        (("not_callable", "localhost:1"), "a worker calls a function, not 5"),
        (("nothing", "localhost:1"), "with one item, but nothing takes () -> str"),
        (("two", "localhost:1"), "with one item, but two takes (first: str, second: str) -> str"),
        (("yields", "localhost:1"), "yields yields; a worker's function returns one result"),
        (("upper", "localhost"), "localhost"),
        (("upper", "localhost:0"), "needs to know its server's port"),
        (("upper", "localhost:1", "--processes", "0"), "at least 1, not 0"),
        (("upper", "localhost:1", "--codec", "xml"), "invalid choice: 'xml'"),
    ],
)
async def test_wrong_usage_is_told_in_one_line(arguments: tuple[str, ...], words: str) -> None:
    async with commands() as start:
        *usage, line = (await ended(await start(*arguments), 2)).splitlines()
    assert words in line
    assert usage[0].startswith("usage: distchan worker")


async def test_help_has_examples() -> None:
    async with commands() as start:
        worker = await start("upper", "--help")
        stdout, _ = await worker.communicate()
    assert worker.returncode == 0
    assert b"distchan worker shop.images:resize localhost:5678" in stdout


MODULE = """
import multiprocessing, os, time

if multiprocessing.parent_process() is not None:
    try:
        os.mkdir("first")
    except FileExistsError:  # for the other one
        while not os.path.exists("joined"):
            time.sleep(0.01)
        raise

def upper(text: str) -> str:
    return text.upper()
"""


async def test_one_that_fails_ends_none_that_works(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(MODULE)
    out, in_ = Channel(str), Channel(str)
    async with Server("localhost:0", out, in_) as server:
        arguments = ["-m", "distchan", "worker", "module:upper", server.address]
        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            "--processes",
            "2",
            stderr=PIPE,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        await server.wait_ready()
        (tmp_path / "joined").touch()
        await says(worker, "failed; another one is started in 0.1 s")
        assert await results(out, in_, ["a"]) == ["A"]
        await ended(worker, 0)


# -- distchan.work ---------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [worker_jobs.upper, worker_jobs.async_upper])
async def test_work_works_in_this_process(function: Callable[[str], Any]) -> None:
    out, in_ = Channel(str), Channel(str)
    async with Server("localhost:0", out, in_) as server, asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.to_thread(distchan.work, function, server.address, threads=2))
        assert await results(out, in_, ["a", "b"]) == ["A", "B"]


@pytest.mark.parametrize("processes", ["1", "2"])
async def test_a_script_can_call_work_with_a_function_of_its_own(processes: str) -> None:
    out, in_ = Channel(str), Channel(str)
    async with Server("localhost:0", out, in_) as server:
        program = await asyncio.create_subprocess_exec(
            sys.executable, worker_jobs.__file__, server.address, processes, stderr=PIPE
        )
        await server.wait_ready(int(processes))
        assert await results(out, in_, ["a", "b"]) == ["A", "B"]
        assert await ended(program, 0) == ""


def test_work_raises_what_a_client_does() -> None:
    with pytest.raises(distchan.ConnectError, match="no server at localhost:1"):
        distchan.work(worker_jobs.upper, "localhost:1", connect_timeout=0)


def test_other_processes_must_be_able_to_import_the_function() -> None:
    def inner(text: str) -> str:
        return text

    with pytest.raises(TypeError, match="define it at the top of a module, or use processes=1"):
        distchan.work(inner, "localhost:1", processes=2)


def test_work_checks_its_arguments() -> None:
    with pytest.raises(ValueError, match="threads must be at least 1, not 0"):
        distchan.work(worker_jobs.upper, "localhost:1", threads=0)
    with pytest.raises(ValueError, match="localhost"):
        distchan.work(worker_jobs.upper, "localhost")
    with pytest.raises(TypeError, match="takes \\(first: str, second: str\\)"):
        distchan.work(worker_jobs.two, "localhost:1")
