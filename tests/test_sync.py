"""distchan.sync: what its channels, servers and clients promise to threads."""

import asyncio
import contextlib
import contextvars
import itertools
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import distchan
from distchan import ChannelClosed, ConnectError, EncodeError, EndOfChannel, WouldBlock, sync
from distchan.sync import _interrupts, _runtime

PROGRAMS = Path(__file__).with_name("sync_programs.py")


_started: list["subprocess.Popen[str]"] = []


def start(name: str, address: str) -> "subprocess.Popen[str]":
    """One of the programs of sync_programs.py."""
    program = subprocess.Popen(
        [sys.executable, PROGRAMS, name, address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _started.append(program)
    return program


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Programs that a failed test has left behind are killed."""
    yield
    while _started:
        program = _started.pop()
        if program.poll() is None:
            program.kill()
            program.communicate()


@contextmanager
def running(function: Callable[..., Any], *arguments: Any) -> Iterator["Future[Any]"]:
    """A function in another thread, which has ended well at the end of the block."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(function, *arguments)
        yield future
        future.result(timeout=10)


def send_all(channel: sync.Channel[int], items: Iterable[int]) -> None:
    channel.send_many(items)
    channel.close()


def until_waiting(channel: sync.Channel[Any], *, receivers: int = 0, senders: int = 0) -> None:
    """Until so many threads wait in a channel."""
    figures = channel.statistics()
    while (figures.waiting_receivers, figures.waiting_senders) != (receivers, senders):
        figures = channel.statistics()


# -- channels -------------------------------------------------------------------------------------


def test_an_item_goes_from_thread_to_thread() -> None:
    channel = sync.Channel(int)
    with running(channel.send, 1):
        assert channel.receive() == 1


def test_it_is_a_channel_like_any_other() -> None:
    channel = sync.Channel(int, 2)
    assert (channel.item_type, channel.capacity, channel.closed) == (int, 2, False)
    channel.send(1)
    channel.send_nowait(2)
    with pytest.raises(WouldBlock):
        channel.send_nowait(3)
    with pytest.raises(TypeError, match="this channel carries int, not str"):
        channel.send("x")  # type: ignore[arg-type]
    assert len(channel) == 2
    assert bool(channel)
    assert repr(channel).startswith("<sync.Channel[int] 2 of 2 buffered at ")
    assert channel.receive_nowait() == 1
    assert channel.receive_many(5) == [2]
    with pytest.raises(WouldBlock):
        channel.receive_nowait()
    with running(channel.send_many, range(5)):
        got: list[int] = []
        while len(got) < 5:
            got += channel.receive_many(2)
    assert got == [0, 1, 2, 3, 4]
    figures = channel.statistics()
    assert (figures.sent, figures.received) == (7, 7)


def test_the_end() -> None:
    channel = sync.Channel(int, 3)
    channel.send_many([1, 2, 3])
    channel.close()
    assert list(channel) == [1, 2, 3]
    with pytest.raises(EndOfChannel) as ended:
        channel.receive()
    assert ended.value.channel is channel
    with pytest.raises(ChannelClosed) as closed:
        channel.send(4)
    assert closed.value.channel is channel
    other = sync.Channel(int)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other.receive)
        until_waiting(other, receivers=1)
        other.close(LookupError("the end"))
        with pytest.raises(LookupError, match="the end"):
            waiting.result()


def test_a_timeout_means_that_nothing_has_happened() -> None:
    channel = sync.Channel(int)
    with pytest.raises(TimeoutError, match=r"0\.01 s"):
        channel.send(1, timeout=0.01)
    with pytest.raises(TimeoutError):
        channel.receive(timeout=0.01)
    with pytest.raises(TimeoutError):
        channel.receive_many(3, timeout=0)
    with pytest.raises(TimeoutError), channel.lease(timeout=0):
        pytest.fail("there is nothing to hold")
    figures = channel.statistics()
    assert (figures.sent, figures.waiting_senders, figures.waiting_receivers) == (0, 0, 0)


@pytest.mark.parametrize("impatient", ["sender", "receiver"])
def test_timeouts_lose_and_double_nothing(impatient: str) -> None:
    channel = sync.Channel(int)
    sent: list[int] = []
    got: list[int] = []

    def timeout(end: str, number: int) -> float | None:
        return number % 3 / 10_000 if end == impatient else None

    def send() -> None:
        for number in range(500):
            with contextlib.suppress(TimeoutError):
                channel.send(number, timeout=timeout("sender", number))
                sent.append(number)
        channel.close()

    with running(send):
        for attempt in itertools.count():
            try:
                got.append(channel.receive(timeout=timeout("receiver", attempt)))
            except TimeoutError:
                continue
            except EndOfChannel:
                break
    assert got == sent


def test_without_time_to_wait_it_is_tried() -> None:
    channel = sync.Channel(int, 1)
    channel.send_many([1], timeout=0)
    assert sync.select(channel, timeout=0) == (channel, 1)
    assert sync.select((channel, 2), timeout=0)[0] is channel
    for full in (
        lambda: channel.send(3, timeout=0),
        lambda: channel.send_many([3], timeout=0),
        lambda: sync.select((channel, 3), timeout=0),
    ):
        with pytest.raises(TimeoutError):
            full()
    assert channel.receive_many(5, timeout=0) == [2]
    with pytest.raises(TimeoutError):
        sync.select(channel, timeout=0)


def test_many_threads() -> None:
    channel = sync.Channel(int, 3)
    each = 500

    def send(first: int) -> None:
        for number in range(first, first + each):
            channel.send(number)

    with ThreadPoolExecutor(8) as pool:
        receivers = [pool.submit(list[int], channel) for _ in range(4)]
        for sender in [pool.submit(send, number * each) for number in range(4)]:
            sender.result()
        channel.close()
        got = [item for receiver in receivers for item in receiver.result()]
    assert sorted(got) == list(range(4 * each))


def test_items_are_taken_in_the_thread_that_sends_them() -> None:
    first, second = sync.Channel(int, 5), sync.Channel(int, 5)
    first.send_many(range(5))
    first.close()
    second.send_many(first)
    assert second.receive_many(5) == [*range(5)]
    may_go_on = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        may_go_on.wait()
        yield 2

    sender = threading.Thread(target=second.send_many, args=(items(),))
    sender.start()
    assert second.receive(timeout=10) == 1
    may_go_on.set()
    assert second.receive(timeout=10) == 2
    sender.join()


def test_all_of_them_must_be_sent_in_time() -> None:
    channel = sync.Channel(int, 2)
    for items in ([1, 2, 3], iter([3, 4, 5])):
        with pytest.raises(TimeoutError, match=r"not done within 0\.01 s"):
            channel.send_many(items, timeout=0.01)
        assert channel.receive() < channel.receive()


def test_a_program_with_an_event_loop_is_told_to_use_it() -> None:
    channel = sync.Channel(int)

    async def main() -> None:
        for blocking in (
            channel.receive,
            lambda: channel.receive_many(2),
            lambda: channel.send_many([1, 2]),
            lambda: sync.select(channel),
        ):
            with pytest.raises(RuntimeError, match="a blocking call in an event loop"):
                blocking()

    asyncio.run(main())


class Curious:
    """A transform that uses a channel."""

    def __init__(self, channel: sync.Channel[int]) -> None:
        self._channel = channel

    def encode(self, data: bytes, /) -> bytes:
        assert len(self._channel) == 0
        return data

    def decode(self, data: bytes, /) -> bytes:
        return data


def test_a_call_within_another_is_refused() -> None:
    channel = sync.Channel(int)
    with sync.Server("localhost:0", channel, None, transforms=[Curious(channel)]) as server:
        for _ in range(2):  # nobody has kept anything
            with pytest.raises(EncodeError) as caught:
                channel.send(1, timeout=10)
            assert "a blocking call within another" in str(caught.value.__cause__)
        server.close()


def test_a_channel_stays_in_its_process() -> None:
    with pytest.raises(TypeError, match="a channel stays in its process"):
        pickle.dumps(sync.Channel(int))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_after_a_fork() -> None:
    channel = sync.Channel(int, 1)
    channel.send(1)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with pytest.raises(RuntimeError, match="before the process was forked"):
                channel.receive()
            own = sync.Channel(int)
            with running(own.send, 2):
                assert own.receive() == 2
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert channel.receive() == 1


# -- select ---------------------------------------------------------------------------------------


def test_select() -> None:
    numbers, words = sync.Channel(int, 1), sync.Channel(str)
    assert sync.select(numbers, words, default="nothing") == (None, "nothing")
    with pytest.raises(TimeoutError):
        sync.select(words, timeout=0)
    numbers.send(1)
    assert sync.select(numbers, words) == (numbers, 1)
    with running(words.receive) as received:
        assert sync.select((words, "hello"), numbers) == (words, "hello")
        assert received.result() == "hello"
    with running(sync.select, numbers, words) as selected:
        until_waiting(words, receivers=1)
        words.send("later")
        assert selected.result() == (words, "later")
    words.close()
    with pytest.raises(EndOfChannel) as ended:
        sync.select(numbers, words)
    assert ended.value.channel is words
    with pytest.raises(TypeError, match="a case is a channel or a pair"):
        sync.select("numbers")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one case"):
        sync.select()


# -- servers and clients --------------------------------------------------------------------------


def test_items_there_and_back() -> None:
    out, in_ = sync.Channel(int), sync.Channel(int)
    with sync.Server("127.0.0.1:0", out, in_) as server:
        assert (server.num_clients, server.ready, server.clients) == (0, False, ())
        with pytest.raises(TimeoutError):
            server.wait_ready(timeout=0)
        workers = [start("echo", server.address) for _ in range(2)]
        server.wait_ready(2, timeout=30)
        assert server.num_clients == 2
        with running(send_all, out, range(1000)):
            assert sorted(in_) == list(range(1000))
        assert server.statistics().settled == 1000
    for worker in workers:
        assert worker.communicate(timeout=10) == ("", "")
        assert worker.returncode == 0


async def test_a_blocking_worker_at_an_asyncio_server() -> None:
    out, in_ = distchan.Channel(int), distchan.Channel(int)
    async with distchan.Server("127.0.0.1:0", out, in_) as server:
        worker = start("echo", server.address)
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(out.send_many(range(1000)))
            sending.add_done_callback(lambda _: out.close())
            assert [item async for item in in_] == list(range(1000))
    assert await asyncio.to_thread(worker.communicate) == ("", "")


async def test_an_asyncio_worker_at_a_blocking_server() -> None:
    server = start("serve", "127.0.0.1:0")
    assert server.stdout is not None
    address = (await asyncio.to_thread(server.stdout.readline)).strip()
    out, in_ = distchan.Channel(int), distchan.Channel(int)
    async with distchan.Client(address, out, in_):
        async for item in in_:
            await out.send(item)
    assert await asyncio.to_thread(server.communicate) == (f"{sum(range(1000))}\n", "")


def test_what_cannot_be_entered_raises() -> None:
    with (
        pytest.raises(ConnectError),
        sync.Client("127.0.0.1:1", None, sync.Channel(int), connect_timeout=0),
    ):
        pytest.fail("there is no server")
    out = sync.Channel(int)
    with sync.Server("127.0.0.1:0", out, None) as server:
        with (
            pytest.raises(distchan.AddressInUse),
            sync.Server(server.address, sync.Channel(int), None),
        ):
            pytest.fail("it is taken")
        with (
            pytest.raises(distchan.TypeMismatch),
            sync.Client(server.address, None, sync.Channel(str)),
        ):
            pytest.fail("the types differ")
        with sync.Client(server.address, None, sync.Channel(int)):
            with pytest.raises(EncodeError):
                out.send(2**70)
            out.close()


@contextmanager
def joined(**options: Any) -> Iterator[tuple[Any, ...]]:
    """A server and a client, whose channels are: out, results, in, answers."""
    out, results = sync.Channel(int), sync.Channel(int)
    answers, in_ = sync.Channel(int), sync.Channel(int)
    with sync.Server("127.0.0.1:0", out, results, **options) as server:
        with sync.Client(server.address, answers, in_):
            server.wait_ready()
            yield server, out, results, in_, answers
            out.close()


def test_a_thread_holds_what_it_has_received() -> None:
    with joined(prefetch=1) as (server, out, results, in_, answers):
        with running(out.send_many, [1, 2]):
            assert in_.receive() == 1
            answers.send(10)
            assert server.clients[0].held == 1  # and what was sent waits for its settlement
            with pytest.raises(WouldBlock):
                results.receive_nowait()
            assert in_.receive() == 2
            assert results.receive() == 10


def test_a_thread_that_ends_has_done_what_it_held() -> None:
    with joined() as (server, out, results, in_, answers):
        with running(out.send, 1):
            worker = threading.Thread(target=lambda: answers.send(in_.receive() + 1))
            worker.start()
        assert results.receive() == 2
        worker.join()
        assert server.statistics().settled == 1


def test_a_thread_that_ends_with_an_exception_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", errors.append)
    with joined() as (server, out, results, in_, answers):

        def work() -> None:
            item = in_.receive()
            answers.send(-item)  # is not sent after all
            raise LookupError("no such item")

        with running(out.send, 1):
            worker = threading.Thread(target=work)
            worker.start()
            worker.join()
        with in_.lease() as item:  # which is dealt again
            answers.send(item)
        assert results.receive() == 1
        assert server.clients[0].blamed == 1
    assert [type(error.exc_value) for error in errors] == [LookupError]


def test_a_lease_holds_one_item_for_a_block() -> None:
    with joined(max_attempts=2) as (server, out, results, in_, answers):
        with running(out.send, 5):
            lease = in_.lease()
            with pytest.raises(LookupError), lease:
                raise LookupError("the first time")
            assert lease.attempt == 1
            again = in_.lease()
            with again as item, ThreadPoolExecutor(1) as pool:
                assert (again.id, again.attempt) == (lease.id, 2)
                context = contextvars.copy_context()
                pool.submit(context.run, answers.send, item).result()
                with pytest.raises(WouldBlock):
                    results.receive_nowait()
            assert results.receive() == 5
        with running(out.send, 6):
            for _ in range(2):
                with pytest.raises(LookupError), in_.lease():
                    raise LookupError("each time")
        letter = server.dead_letters.receive()
        assert (letter.item, letter.attempts) == (6, 2)


def test_a_client_that_leaves_with_an_exception_has_failed_on_what_it_held() -> None:
    out = sync.Channel(int, 1)
    with sync.Server("127.0.0.1:0", out, None, max_attempts=1) as server:
        out.send(1)
        in_ = sync.Channel(int)
        with pytest.raises(LookupError), sync.Client(server.address, None, in_):
            in_.receive()
            raise LookupError("gone wrong")
        assert "gone wrong" in server.dead_letters.receive(timeout=10).reason


def test_what_nobody_received_goes_to_others() -> None:
    out = sync.Channel(int)
    with sync.Server("127.0.0.1:0", out, None, prefetch=3) as server:
        first, second = sync.Channel(int), sync.Channel(int)
        with sync.Client(server.address, None, first):
            server.wait_ready()
            out.send_many([1, 2, 3])
            assert first.receive() == 1
        with sync.Client(server.address, None, second):
            out.close()
            assert list(second) == [2, 3]


def test_done_and_close() -> None:
    out, in_ = sync.Channel(int, 1), sync.Channel(int)
    with sync.Server("127.0.0.1:0", out, None) as server:
        out.send(1)
        with sync.Client(server.address, None, in_) as client:
            with pytest.raises(TimeoutError):
                client.done(timeout=0)
            server.shutdown()
            assert list(in_) == [1]
            client.done(timeout=10)
            client.close()
        server.close()
        assert server.statistics().settled == 1


def test_a_worker_that_never_lets_go_of_the_interpreter_stays_a_member() -> None:
    numbers = [10_000_000, 10_000_001]
    out, in_ = sync.Channel(int, 2), sync.Channel(int)
    options: dict[str, Any] = {"heartbeat": 0.1, "resume_timeout": 0.01, "prefetch": 1}
    with sync.Server("127.0.0.1:0", out, in_, **options) as server:
        worker = start("compute", server.address)
        out.send_many(numbers)
        out.close()
        assert list(in_) == numbers
        assert (server.statistics().redelivered, server.statistics().lost) == (0, 0)
    assert worker.communicate(timeout=10) == ("", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_ctrl_c_ends_a_waiting_call() -> None:
    with sync.Server("127.0.0.1:0", sync.Channel(int), None) as server:
        worker = start("wait", server.address)
        assert worker.stdout is not None
        assert worker.stdout.readline() == "waiting\n"
        worker.send_signal(signal.SIGINT)
        assert worker.communicate(timeout=10) == ("interrupted\n", "")
        assert worker.returncode == 0


@pytest.mark.parametrize("arrived", [False, True])
def test_ctrl_c_loses_no_item(arrived: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it comes before the item for which a call waits, or together with it."""
    channel = sync.Channel(int)
    original = _runtime._Waiting.is_over
    interrupted = threading.Event()

    def is_over(waiting: Any, timeout: float | None) -> bool:
        monkeypatch.setattr(_runtime._Waiting, "is_over", original)
        if arrived:
            with running(channel.send, 1):
                original(waiting, timeout)
        raise KeyboardInterrupt

    monkeypatch.setattr(_interrupts, "_interrupt_main", interrupted.set)
    monkeypatch.setattr(_runtime._Waiting, "is_over", is_over)
    if arrived:
        assert channel.receive() == 1
        assert interrupted.wait(10)  # then it is the caller's turn
    else:
        with pytest.raises(KeyboardInterrupt):
            channel.receive()
        with running(channel.send, 1):
            assert channel.receive() == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_ctrl_c_ends_a_call_although_another_thread_has_got_the_signal() -> None:
    """As after one that came when the main thread was about to wait: nobody is woken."""
    assert start("elsewhere", "-").communicate(timeout=30) == ("interrupted once\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_interruptions_anywhere_leave_a_channel_in_order() -> None:
    storm = start("storm", "-")
    assert storm.communicate(timeout=30) == ("300 300 0\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_interruptions_anywhere_leave_an_executor_in_order(tmp_path: Path) -> None:
    submits = start("submits", f"unix:{tmp_path}/socket")
    assert submits.communicate(timeout=30) == ("300 0\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_handlers_that_raise_anywhere_block_nobody() -> None:
    assert start("alarms", "-").communicate(timeout=30) == ("1\n", "")


def test_what_a_program_has_may_be_closed_when_python_ends() -> None:
    program = start("tidy", "")
    assert program.communicate(timeout=10) == ("closed\n", "")
    assert program.returncode == 0


def test_after_that_nothing_is_waited_for_but_the_end() -> None:
    program = start("too_late", "")
    words = "Python is about to end: nothing can be waited for any more\nTrue\n"
    assert program.communicate(timeout=10) == (words, "")


def test_a_program_ends_though_nothing_was_closed() -> None:
    out = sync.Channel(int)
    with sync.Server("127.0.0.1:0", out, sync.Channel(int), resume_timeout=0.01) as server:
        program = start("forget", server.address)
        assert program.communicate(timeout=10) == ("done\n", "")
        assert program.returncode == 0
