"""distchan.sync.Executor and Pool, with real worker processes."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from distchan import ConnectionLost, FrameTooLarge, InsecureConnection, RemoteError
from distchan.sync import Executor, Pool
from tests import worker_jobs
from tests.helpers import alive, open_files

ROOT = Path(__file__).parent.parent
KEY = b"a key of two ends"


@contextmanager
def worker(executor: Executor, key: bytes | None = KEY) -> Iterator["subprocess.Popen[bytes]"]:
    """``distchan worker --executor``, which has ended well at the end of the block."""
    command = [sys.executable, "-m", "distchan", "worker", "--executor", executor.address]
    process = subprocess.Popen(
        [*command, "--processes", "2"],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        env=os.environ | ({"DISTCHAN_AUTHKEY": key.decode()} if key else {}),
    )
    try:
        executor.wait_ready(2, timeout=30)
        yield process
        executor.shutdown()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def run_script(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def executor() -> Iterator[Executor]:
    """One with two worker processes."""
    with Executor("localhost:0", authkey=KEY, resume_timeout=0.1) as executor, worker(executor):
        yield executor


# -- Executor -------------------------------------------------------------------------------------


def test_calls_and_results(executor: Executor) -> None:
    assert executor.num_workers == 2
    assert executor.submit(divmod, 7, 2).result() == (3, 1)
    assert executor.submit(int, "ff", base=16).result() == 255
    assert list(executor.map(pow, range(100), [2] * 100)) == [n * n for n in range(100)]
    squares = executor.map(pow, range(100), [2] * 100, chunksize=7)
    assert list(squares) == [n * n for n in range(100)]
    done, waiting = futures.wait([executor.submit(abs, -n) for n in range(10)])
    assert (sorted(future.result() for future in done), waiting) == (list(range(10)), set())


def test_what_a_function_raises_is_raised_here_with_its_traceback(executor: Executor) -> None:
    future = executor.submit(worker_jobs.fail, "bad")
    with pytest.raises(ValueError, match="bad") as caught:
        future.result()
    assert isinstance(caught.value.__cause__, RemoteError)
    assert "in fail" in str(caught.value.__cause__)
    with pytest.raises(RemoteError, match="Stubborn"):
        executor.submit(worker_jobs.fail_stubbornly).result()
    with pytest.raises(RemoteError, match=r"(?s)in fail_with_two.*cannot be unpickled here"):
        executor.submit(worker_jobs.fail_with_two).result()


def test_a_failure_in_a_chunk_comes_after_the_results_before_it(executor: Executor) -> None:
    results = executor.map(worker_jobs.upper, ["a", "bad", "c"], chunksize=3)
    assert next(results) == "A"
    with pytest.raises(ValueError, match="no good"):
        next(results)
    with pytest.raises(ValueError, match="chunksize must be at least 1, not 0"):
        executor.map(worker_jobs.upper, "a", chunksize=0)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("exit", "SystemExit: enough"),
        ("interrupt", "KeyboardInterrupt: own"),
        ("cancel", "CancelledError"),
    ],
)
def test_what_is_no_exception_ends_nobody(executor: Executor, item: str, words: str) -> None:
    with pytest.raises(RemoteError, match=words):
        executor.submit(worker_jobs.upper, item).result()
    assert executor.num_workers == 2


def test_a_callback_that_exits_ends_nobody(
    executor: Executor, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    path = tmp_path / "done"
    future = executor.submit(worker_jobs.hold, str(path))
    future.add_done_callback(lambda _: sys.exit("from a callback"))
    path.touch()
    assert future.result() == str(path)
    assert executor.submit(worker_jobs.upper, "b").result() == "B"
    assert "from a callback" in caplog.text


def test_what_does_not_travel_fails_its_future_only(executor: Executor) -> None:
    with pytest.raises(Exception, match=r"pickle|local object"):
        executor.submit(lambda: 1).result()
    with pytest.raises(TypeError, match="pickle"):
        executor.submit(worker_jobs.unpicklable).result()
    assert executor.submit(abs, -1).result() == 1


def test_a_result_that_is_too_large_fails_its_future_only() -> None:
    with Pool(worker_jobs.repeated, processes=1, max_frame_size=5000) as pool:
        with pytest.raises(FrameTooLarge, match="max_frame_size is 5000"):
            pool.submit(10_000).result()
        assert pool.submit(3).result() == "xxx"
        assert pool._executor._server.statistics().redelivered == 0  # it was not called again


def test_a_call_that_takes_its_workers_down_fails_in_the_end(executor: Executor) -> None:
    others = [executor.submit(abs, -number) for number in range(20)]
    with pytest.raises(RemoteError):
        executor.submit(os._exit, 1).result()
    assert [future.result() for future in others] == list(range(20))
    executor.wait_ready(2, timeout=30)  # those in their places


def test_what_has_not_been_sent_can_be_cancelled() -> None:
    with Executor("localhost:0", authkey=KEY) as executor:
        first, second = executor.submit(abs, -1), executor.submit(abs, -2)
        assert second.cancel()
        with worker(executor):
            assert first.result() == 1
            assert executor.submit(abs, -3).result() == 3
    assert second.cancelled()


def test_what_is_cancelled_needs_no_worker(tmp_path: Path) -> None:
    told: list[str] = []
    with Executor(f"unix:{tmp_path}/socket") as executor:
        cancelled = [executor.submit(abs, number) for number in range(1000)]
        assert all(future.cancel() for future in cancelled)
        assert len(futures.wait(cancelled).done) == 1000

    def submit_another(future: "futures.Future[int]") -> None:
        try:
            executor.submit(abs, 1)
        except RuntimeError as error:
            told.append(str(error))

    executor = Executor(f"unix:{tmp_path}/socket")
    waiting = [executor.submit(abs, number) for number in range(3)]
    for future in waiting:
        future.add_done_callback(submit_another)
    executor.shutdown(cancel_futures=True)
    assert len(futures.wait(waiting).done) == len(told) == 3


def test_a_callback_cannot_wait_for_the_end(executor: Executor) -> None:
    answer: futures.Future[str] = futures.Future()

    def end(future: "futures.Future[int]") -> None:
        try:
            executor.shutdown()
        except RuntimeError as error:
            answer.set_result(str(error))

    executor.submit(abs, -1).add_done_callback(end)
    assert "a callback cannot wait" in answer.result(timeout=10)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_process_that_was_forked_since_ends(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys\n"
        "from distchan import sync\n"
        f"executor = sync.Executor('unix:{tmp_path}/socket')\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    try:\n"
        "        executor.submit(abs, -1)\n"
        "    except RuntimeError as error:\n"
        "        print(str(error)[:41], flush=True)\n"
        "    sys.exit(5)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    outcome = run_script(str(program))
    words = "this was made before the process was fork"
    assert (outcome.returncode, outcome.stdout) == (0, f"{words}\n5\n"), outcome.stderr


def test_an_executor_that_is_interrupted_waits_for_no_worker() -> None:
    with pytest.raises(KeyboardInterrupt), Executor("localhost:0", authkey=KEY) as executor:
        future = executor.submit(abs, -1)
        raise KeyboardInterrupt
    assert future.cancelled()
    with pytest.raises(RuntimeError, match="cannot schedule new futures"):
        executor.submit(abs, -1)


def test_after_shutdown() -> None:
    executor = Executor("localhost:0", authkey=KEY)
    future = executor.submit(abs, -1)
    with worker(executor):
        executor.shutdown(wait=False)
        with pytest.raises(RuntimeError, match="the executor has been shut down"):
            executor.submit(abs, -1)
        assert future.result() == 1
    executor.shutdown()


def test_only_among_those_who_may_run_programs() -> None:
    for address, words in (
        ("0.0.0.0:0", "can be reached from other machines"),
        ("localhost:0", "pickle would let them run any program here"),
    ):
        with pytest.raises(InsecureConnection, match=words):
            Executor(address)
    for address, words in (
        ("192.0.2.1:1", "is not on this machine"),
        ("localhost:1", "pickle would let them run any program here"),
    ):
        command = [sys.executable, "-m", "distchan", "worker", "--executor", address]
        outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert outcome.returncode == 2
        assert words in outcome.stderr


CALLER = """
import functools
from distchan import sync

class Pair:
    def __init__(self, first, second):
        self.first, self.second = first, second

def pair(first, second=2):
    return Pair(first, second)

if __name__ == "__main__":
    with sync.Executor("unix:socket") as executor:
        results = [
            executor.submit(pair, 1).result(),
            executor.submit(functools.partial(pair, second=3), Pair(1, 1)).result(),
            *executor.map(pair, [4, 5, 6], chunksize=2),
            executor.submit(max, ["x" * 9000, Pair(1, 1)], key=repr).result(),
        ]
        print([type(result) is Pair for result in results], results[0].second)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no Unix sockets")
@pytest.mark.parametrize("is_there", [True, False])
def test_a_program_sends_what_it_defines_itself(tmp_path: Path, is_there: bool) -> None:
    (tmp_path / "caller.py").write_text(CALLER)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "caller.py"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as caller:
        subprocess.run(
            [sys.executable, "-m", "distchan", "worker", "--executor", f"unix:{tmp_path}/socket"],
            cwd=tmp_path if is_there else elsewhere,
            env=environment,
            capture_output=True,
            check=True,
        )
        output, errors = caller.communicate(timeout=30)
    if is_there:
        assert (output, errors) == ("[True, True, True, True, True, True] 2\n", "")
    else:
        assert "main module 'caller' cannot be imported by this worker: No module" in errors


def test_on_a_unix_socket_nobody_needs_a_key(tmp_path: Path) -> None:
    with Executor(f"unix:{tmp_path}/socket") as executor, worker(executor, None):
        assert executor.submit(abs, -1).result() == 1


def test_a_function_or_an_executor() -> None:
    for arguments in (["localhost:1"], ["--executor", "tasks:f", "localhost:1"]):
        outcome = run_script("-m", "distchan", "worker", *arguments)
        assert outcome.returncode == 2
        assert "either MODULE:FUNCTION or --executor" in outcome.stderr


def test_a_program_ends_when_its_calls_are_done(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "from distchan.sync import Executor\n"
        "executor = Executor(sys.argv[1])\n"
        "executor.submit(print, 'called')\n"
    )
    address = f"unix:{tmp_path}/socket"
    script = subprocess.Popen([sys.executable, str(program), address])
    try:
        outcome = run_script("-m", "distchan", "worker", "--executor", address)
        assert (outcome.returncode, outcome.stdout) == (0, "called\n")
        assert script.wait(30) == 0
    finally:
        script.kill()
        script.wait()


async def test_in_an_event_loop(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    with Executor(f"unix:{tmp_path}/socket") as executor:
        call = loop.run_in_executor(executor, abs, -1)
        command = ["-m", "distchan", "worker", "--executor", executor.address]
        worker = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=ROOT)
        assert await call == 1
        executor.shutdown(wait=False)
        assert await worker.wait() == 0
    with Pool(worker_jobs.upper, processes=1) as pool:
        assert await asyncio.wrap_future(pool.submit("a")) == "A"
        with pytest.raises(RuntimeError, match=r"a blocking call .*asyncio\.to_thread"):
            next(pool.map("a"))
        assert await asyncio.to_thread(list, pool.map("a")) == ["A"]


async def test_a_task_that_is_cancelled_waits_for_no_call(tmp_path: Path) -> None:
    path = tmp_path / "never"

    async def work() -> None:
        with Pool(worker_jobs.hold, processes=1) as pool:
            await asyncio.wrap_future(pool.submit(str(path)))

    task = asyncio.create_task(work())
    while not path.with_suffix(".begun").exists():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# -- Pool -----------------------------------------------------------------------------------------


def test_a_pool_needs_nothing_else() -> None:
    with Pool(worker_jobs.upper, processes=2) as pool:
        assert pool.submit("a").result() == "A"
        assert list(pool.map("bcd")) == ["B", "C", "D"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no /dev/fd")
def test_a_pool_leaves_no_file_open() -> None:
    with Pool(worker_jobs.upper, processes=1) as pool:  # what all pools share stays
        pool.submit("a").result()
    alive(Pool)
    files = open_files()
    for _ in range(10):
        with Pool(worker_jobs.upper, processes=1) as pool:
            pass  # its processes have hardly begun
        assert open_files() == files
    with pytest.raises(KeyboardInterrupt), Pool(worker_jobs.upper, processes=2) as pool:
        pool.submit("a").result()
        raise KeyboardInterrupt
    assert open_files() == files
    with Pool(worker_jobs.upper, processes=1) as pool, pytest.raises(RemoteError):
        pool.submit("crash").result()
    assert open_files() == files


def test_a_pool_takes_items_as_it_gives_results() -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "x"

    with Pool(worker_jobs.upper, processes=1) as pool:
        results = pool.map(endless())
        assert [next(results) for _ in range(10)] == ["X"] * 10
        before = taken
        assert pool.submit("a").result() == "A"
        assert taken == before  # nobody asks
        results.close()  # type: ignore[attr-defined]


def test_a_pool_with_chunks() -> None:
    with Pool(worker_jobs.upper, processes=2) as pool:
        assert list(pool.map("abcdefg", chunksize=3)) == list("ABCDEFG")
        assert sorted(pool.map("abcdefg", chunksize=3, ordered=False)) == list("ABCDEFG")
        assert list(pool.map("", chunksize=3)) == []
        results: list[object] = list(pool.map(["bad", "b"], chunksize=2, return_exceptions=True))
        assert (repr(results[0]), results[1]) == ("ValueError('no good')", "B")
        results = list(pool.map(["a", "crash", "c"], chunksize=2, return_exceptions=True))
        assert [type(result) for result in results] == [RemoteError, RemoteError, str]
        with pytest.raises(ValueError, match="chunksize must be at least 1, not 0"):
            pool.map("a", chunksize=0)
    with Pool(worker_jobs.Unloadable(), processes=1) as pool:
        for error in pool.map("abc", chunksize=2, return_exceptions=True):
            assert repr(error) == "ValueError('not here')"


def test_a_pool_that_must_be_done_in_time(tmp_path: Path) -> None:
    with Pool(worker_jobs.upper, processes=1) as pool, pytest.raises(TimeoutError):
        next(pool.map("a", timeout=0))  # the process has not even begun
    taken = 0
    there = tmp_path / "there"
    there.touch()

    def endless() -> Iterator[str]:
        nonlocal taken
        yield str(tmp_path / "never")
        while taken < 500:  # which are done, and wait for the first
            taken += 1
            time.sleep(0.01)
            yield str(there)

    with pytest.raises(KeyboardInterrupt), Pool(worker_jobs.hold, processes=2) as pool:
        pool.submit(str(there)).result()
        with pytest.raises(TimeoutError, match=r"not all results within 0\.1 s"):
            next(pool.map(endless(), timeout=0.1))
        assert taken < 500
        raise KeyboardInterrupt  # which waits for none of them


def test_a_pool_that_is_interrupted_waits_for_no_call(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Pool(worker_jobs.hold, processes=1) as pool:
        begun, *_, last = [pool.submit(str(tmp_path / "never")) for _ in range(20)]
        while not begun.running():
            futures.wait([begun], timeout=0.01)
        raise KeyboardInterrupt
    with pytest.raises(ConnectionLost, match="interrupted"):
        begun.result(timeout=10)
    assert last.cancelled()
    with pytest.raises(RuntimeError, match="cannot schedule new futures"):
        pool.submit("x")


def test_a_pool_that_has_been_closed() -> None:
    with Pool(worker_jobs.upper, processes=1) as pool:
        results = pool.map("abc" for _ in itertools.count())
        assert next(results) == "ABC"
    for ask in (lambda: [*results], lambda: pool.map("a"), lambda: pool.submit("a")):
        with pytest.raises(RuntimeError, match="the executor has been shut down"):
            ask()


def test_a_pool_raises_what_its_function_does() -> None:
    with Pool(worker_jobs.fail, processes=1) as pool, pytest.raises(ValueError, match="bad"):
        list(pool.map(["bad"]))
    with pytest.raises(LookupError), Pool(worker_jobs.upper, processes=1):
        raise LookupError("the block's own")


def test_a_submit_that_is_interrupted_at_its_end_harms_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Pool(worker_jobs.upper, processes=1) as pool:
        runtime = pool._executor._runtime
        original = runtime.call

        def call(function: Callable[..., Any], *arguments: Any) -> None:
            original(function, *arguments)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(runtime, "call", call)
            with pytest.raises(KeyboardInterrupt):
                pool.submit("a")
        assert pool.submit("b").result(timeout=10) == "B"
    assert "in the thread" not in caplog.text


@pytest.mark.parametrize("item", ["crash", "leave"])
def test_a_pool_whose_process_dies_does_not_wait_for_it_to_come_back(item: str) -> None:
    with Pool(worker_jobs.upper, processes=1) as pool:
        with pytest.raises(RemoteError, match=r"its worker died: cut off$"):
            pool.submit(item).result()
        assert pool.submit("a").result() == "A"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_process_that_dies_is_seen_to_although_those_it_has_forked_live(tmp_path: Path) -> None:
    path = tmp_path / "enough"
    try:
        with Pool(worker_jobs.fork_and_die, processes=1) as pool:
            with pytest.raises(RemoteError, match=r"its worker died: cut off$"):
                pool.submit(str(path)).result()
    finally:
        path.touch()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_processes_die_with_a_program_although_those_it_has_forked_live(tmp_path: Path) -> None:
    program, fifo, path = tmp_path / "program.py", tmp_path / "fifo", tmp_path / "enough"
    program.write_text(
        "import os, signal\n"
        "from distchan.sync import Pool\n"
        "from tests.worker_jobs import hold, keep_open\n"
        "if __name__ == '__main__':\n"
        f"    Pool(keep_open, processes=1).submit({str(fifo)!r}).result()\n"
        "    if os.fork():\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        f"    hold({str(path)!r})\n"
        "    os._exit(0)\n"
    )
    os.mkfifo(fifo)
    try:
        with subprocess.Popen(
            [sys.executable, program], env=os.environ | {"PYTHONPATH": str(ROOT)}
        ) as process:
            assert fifo.read_bytes() == b""  # when the last that had it is gone
        assert process.returncode == -signal.SIGKILL
    finally:
        path.touch()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no Unix sockets")
def test_a_pool_where_no_path_is_short_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with Pool(worker_jobs.upper, processes=1) as pool:
        assert pool.address.startswith("127.0.0.1:")
        assert list(pool.map("a")) == ["A"]
    assert list(long.iterdir()) == []


def test_a_pool_leaves_nothing_in_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Pool(worker_jobs.upper, processes=1) as pool:
        assert pool.address.startswith(f"unix:{tmp_path}/")
        assert list(pool.map("a")) == ["A"]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="max_attempts"):
        Pool(worker_jobs.upper, max_attempts=0)
    assert list(tmp_path.iterdir()) == []


def test_a_pool_says_which_functions_it_cannot_call() -> None:
    def inner(text: str) -> str:
        return text

    for function, words in (
        (2, "a pool calls a function, not 2"),
        (worker_jobs.yields, "yields yields; a pool's function returns one result"),
        (worker_jobs.async_upper, r"async_upper is async; distchan\.work\(\)"),
        (lambda text: text, r"other processes cannot import .*<lambda>: define it with def"),
        (inner, r"other processes cannot import .*inner: define it with def"),
    ):
        with pytest.raises(TypeError, match=words):
            Pool(function, processes=1)  # type: ignore[arg-type]
    with Pool(partial(worker_jobs.both_of, "a"), processes=1) as pool:
        assert list(pool.map("bc")) == ["ab", "ac"]


@pytest.mark.parametrize("counts", [{"processes": 0}, {"processes": 1, "threads": 0}])
def test_a_pool_of_nobody(counts: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1, not 0"):
        Pool(worker_jobs.upper, **counts)  # type: ignore[arg-type]


POOL = """
import distchan.sync

def double(number):
    return 2 * number

"""


def test_a_program_may_forget_to_close_its_pool(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        POOL + "if __name__ == '__main__':\n"
        "    pool = distchan.sync.Pool(double, processes=1)\n"
        "    print(list(pool.map([1, 2])))\n"
        "    pool.submit(3).add_done_callback(lambda future: print(future.result()))\n"
    )
    outcome = run_script(str(program))
    assert (outcome.returncode, outcome.stdout) == (0, "[2, 4]\n6\n")


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_ctrl_c_does_not_concern_processes_that_are_just_starting(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import os, signal\n"
        "if __name__ == '__mp_main__':\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n" + POOL + "if __name__ == '__main__':\n"
        "    with distchan.sync.Pool(double, processes=1) as pool:\n"
        "        print(*pool.map([1, 2]))\n"
    )
    outcome = run_script(str(program))
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "2 4\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_ctrl_c_ends_a_program_that_waits_for_a_forgotten_pool(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import atexit, distchan.sync\n"
        "from tests.worker_jobs import hold\n"
        "if __name__ == '__main__':\n"
        "    pool = distchan.sync.Pool(hold, processes=1)\n"
        f"    first = pool.submit({str(tmp_path / 'first')!r})\n"
        "    first.add_done_callback(lambda future: print('waits', flush=True))\n"
        f"    pool.submit({str(tmp_path / 'never')!r})\n"
        "    print(pool.address, flush=True)\n"
        "    atexit.register(print, 'ends', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, program],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            address, ends = process.stdout.readline().strip(), process.stdout.readline()
            (tmp_path / "first").touch()
            assert (ends, process.stdout.readline()) == ("ends\n", "waits\n")
            process.send_signal(signal.SIGINT)
            process.wait(30)
        finally:
            process.kill()
    assert not Path(address.removeprefix("unix:")).parent.exists()


def test_a_script_that_cannot_be_imported_again_is_told_so(tmp_path: Path) -> None:
    """Without ``if __name__ == "__main__"`` each process would start others."""
    program = tmp_path / "program.py"
    program.write_text(
        POOL + "pool = distchan.sync.Pool(double, processes=1)\n"
        "try:\n"
        "    print(list(pool.map([1, 2])))\n"
        "except distchan.ConnectError:\n"
        "    pool.submit(3)\n"
    )
    outcome = run_script(str(program))
    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert "if __name__ == '__main__':" in outcome.stderr
    assert "ended with exit code 1 before it had joined" in outcome.stderr
    assert "distchan.errors.ConnectError: the worker processes cannot work for" in outcome.stderr
    assert "cannot schedule new futures" not in outcome.stderr
