"""Server.map and Server.submit: each item gets its own result."""

import asyncio
import contextlib
import gc
import itertools
import random
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from distchan import (
    Channel,
    ChannelClosed,
    Client,
    ConnectionLost,
    EncodeError,
    EndOfChannel,
    RemoteError,
    Server,
    sync,
)
from distchan.sync import Pool
from tests import worker_jobs
from tests.chaos.proxy import Proxy


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Server]:
    """A server for numbers, at a free port. Nobody reads what comes on its incoming channel."""
    async with Server("127.0.0.1:0", Channel(int), Channel(int), **options) as server:
        yield server


class Workers:
    """Clients of a server in tasks of their own."""

    def __init__(self, server: Server) -> None:
        self._server = server
        #: Where they connect; None: to the server itself.
        self.address: str | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def add(self, work: Callable[..., Any], **options: Any) -> asyncio.Task[None]:
        """One that does ``await work(out, in_)``. Returns when the server knows it."""
        count = self._server.num_clients
        self._tasks.append(asyncio.create_task(self._run(work, options)))
        await self._server.wait_ready(count + 1)
        return self._tasks[-1]

    async def _run(self, work: Callable[..., Any], options: dict[str, Any]) -> None:
        out, in_ = Channel[Any](), Channel(int)
        async with Client(self.address or self._server.address, out, in_, **options):
            await work(out, in_)

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving(max_attempts=2) as server:
        yield server


@pytest.fixture
async def workers(server: Server) -> AsyncIterator[Workers]:
    workers = Workers(server)
    yield workers
    await workers.end()


async def square(out: Channel[int], in_: Channel[int]) -> None:
    async for number in in_:
        await out.send(number * number)


async def test_results_come_in_the_order_of_the_items(server: Server, workers: Workers) -> None:
    for _ in range(3):
        await workers.add(square)
    assert [result async for result in server.map(range(1000))] == [n * n for n in range(1000)]
    assert [result async for result in server.map([])] == []
    statistics = server.statistics()
    assert (statistics.settled, statistics.results, statistics.held) == (1000, 1000, 0)


async def test_the_order_is_that_of_the_items_although_others_are_done_first(
    server: Server, workers: Workers
) -> None:
    others_done = asyncio.Event()

    async def slow_first(out: Channel[int], in_: Channel[int]) -> None:
        async for number in in_:
            if number == 0:
                await others_done.wait()
            await out.send(number)
            if number == 9:
                others_done.set()

    for _ in range(2):
        await workers.add(slow_first, prefetch=1)
    assert [result async for result in server.map(range(10))] == list(range(10))
    others_done.clear()
    results = [result async for result in server.map(range(10), ordered=False)]
    assert (sorted(results), results[-1]) == (list(range(10)), 0)


async def test_what_is_sent_otherwise_goes_where_it_always_goes(
    server: Server, workers: Workers
) -> None:
    out, in_ = server._ends.outgoing, server._ends.incoming
    assert out is not None
    assert in_ is not None
    await workers.add(square)

    async def send() -> None:
        for number in range(1000, 1500):
            await out.send(number)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send())
        other = tasks.create_task(_collect(server.map(range(500, 700))))
        received = tasks.create_task(_receive(in_, 500))
        assert [result async for result in server.map(range(500))] == [n * n for n in range(500)]
    assert other.result() == [n * n for n in range(500, 700)]
    assert received.result() == [n * n for n in range(1000, 1500)]


async def _collect(results: AsyncIterator[int]) -> list[int]:
    return [result async for result in results]


async def _receive(channel: Channel[int], count: int) -> list[int]:
    return [await channel.receive() for _ in range(count)]


async def test_the_result_of_an_item_is_what_belongs_to_it(
    server: Server, workers: Workers
) -> None:
    async def odd_ones(out: Channel[int], in_: Channel[int]) -> None:
        async for number in in_:
            for _ in range(number):
                await out.send(number)

    await workers.add(odd_ones)
    assert [result async for result in server.map([0, 1, 0, 1])] == [None, 1, None, 1]
    with pytest.raises(RemoteError, match="2 results came with 1 items"):
        await anext(server.map([2]))


async def test_items_that_are_settled_together_have_no_results_of_their_own(
    server: Server, workers: Workers
) -> None:
    async def batches(out: Channel[int], in_: Channel[int]) -> None:
        with contextlib.suppress(EndOfChannel):
            first = await in_.receive_many(1)
            await out.send(first[0])
            while True:
                for number in await in_.receive_many(100):
                    await out.send(number)

    await workers.add(batches, prefetch=3)
    results = [result async for result in server.map(range(4), return_exceptions=True)]
    assert results[0] == 0
    assert all(isinstance(result, RemoteError) or result == n for n, result in enumerate(results))


async def fail_on_negative(out: Channel[int], in_: Channel[int]) -> None:
    while True:
        with contextlib.suppress(ValueError):
            async with in_.lease() as number:
                if number < 0:
                    raise ValueError(f"negative: {number}")
                await out.send(number)


async def test_an_item_that_fails_raises_with_the_workers_traceback(
    server: Server, workers: Workers
) -> None:
    await workers.add(fail_on_negative)
    results = server.map([1, 2, -3, 4])
    assert [await anext(results), await anext(results)] == [1, 2]
    with pytest.raises(RemoteError, match="negative: -3") as caught:
        await anext(results)
    assert "in fail_on_negative" in str(caught.value)
    assert len(server.dead_letters) == 0
    assert [result async for result in server.map([5])] == [5]


async def test_failures_can_be_had_as_results(server: Server, workers: Workers) -> None:
    await workers.add(fail_on_negative)
    first, second, third = [
        result async for result in server.map([1, -2, 3], return_exceptions=True)
    ]
    assert (first, third) == (1, 3)
    assert isinstance(second, RemoteError)
    assert server.statistics().redelivered == 2  # max_attempts


async def test_a_result_that_does_not_decode_fails_its_item(
    server: Server, workers: Workers
) -> None:
    async def send_text(out: Channel[Any], in_: Channel[int]) -> None:
        async for number in in_:
            await out.send("text" if number else number)

    await workers.add(send_text)
    results = [result async for result in server.map([0, 1, 0], return_exceptions=True)]
    assert (results[0], results[2]) == (0, 0)
    assert "does not decode" in str(results[1])


async def test_an_item_whose_worker_goes_is_done_by_another(
    server: Server, workers: Workers
) -> None:
    holds = asyncio.Event()

    async def hold(out: Channel[int], in_: Channel[int]) -> None:
        await in_.receive()
        holds.set()
        await asyncio.Event().wait()

    first = await workers.add(hold)
    mapping = asyncio.create_task(_collect(server.map(range(10))))
    await holds.wait()
    first.cancel()
    await asyncio.wait([first])
    await workers.add(square)
    assert await mapping == [n * n for n in range(10)]


async def test_a_cut_that_is_mended_costs_nothing(server: Server, workers: Workers) -> None:
    async with Proxy(server.address, random.Random(1)) as proxy:
        workers.address = proxy.address
        await workers.add(square)
        count = 0
        async for result in server.map(range(5000)):
            assert result == count * count
            count += 1
            if count % 1000 == 0:
                proxy.cut_soon()
        assert count == 5000
        assert proxy.connections > 1
        await workers.end()


async def test_items_are_taken_as_workers_have_room_for_them(
    server: Server, workers: Workers
) -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    release = asyncio.Event()

    async def held_up(out: Channel[int], in_: Channel[int]) -> None:
        async for number in in_:
            if number > 10:
                await release.wait()
            await out.send(number)

    await workers.add(held_up, prefetch=4)
    results = server.map(endless())
    assert [await anext(results) for _ in range(10)] == list(range(1, 11))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await anext(results)
    assert taken == 10 + 4 + 1  # one waits to be dealt
    release.set()
    assert [result async for result in server.map([7])] == [7]
    assert taken == 10 + 4 + 1


@pytest.mark.parametrize(("size", "most"), [(10, 4096), (100_000, 84)])  # 84: of 8 MiB
async def test_results_that_wait_for_their_turn_are_bounded(size: int, most: int) -> None:
    release = asyncio.Event()

    async def slow_first(address: str) -> None:
        out, in_ = Channel(bytes), Channel(int)
        async with Client(address, out, in_, prefetch=1):
            async for number in in_:
                if number == 0:
                    await release.wait()
                await out.send(bytes(size))

    async with Server("127.0.0.1:0", Channel(int), Channel(bytes)) as server:
        workers = [asyncio.create_task(slow_first(server.address)) for _ in range(2)]
        await server.wait_ready(2)
        results = server.map(itertools.count())
        first = asyncio.ensure_future(anext(results))
        settled = -1
        while settled != server.statistics().settled or not settled:
            settled = server.statistics().settled
            await asyncio.sleep(0.1)
        assert most <= settled <= most + 2
        release.set()
        assert len(await first) == size
        await results.aclose()  # type: ignore[attr-defined]
        await server.aclose()
        await asyncio.gather(*workers)


async def test_an_iteration_that_is_left_drops_the_rest(server: Server, workers: Workers) -> None:
    seen = []
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    async def note(out: Channel[int], in_: Channel[int]) -> None:
        async for number in in_:
            seen.append(number)
            await out.send(number)

    await workers.add(note, prefetch=2)
    async for result in server.map(endless()):
        if result == 10:
            break
    before = taken
    assert [result async for result in server.map([-1])] == [-1]
    assert taken == before
    assert len(seen) <= taken + 1


async def test_items_may_come_from_an_asynchronous_iterator(
    server: Server, workers: Workers
) -> None:
    numbers = Channel(int)

    async def send() -> None:
        for number in range(100):
            await numbers.send(number)
        numbers.close()

    await workers.add(square)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send())
        assert await _collect(server.map(numbers)) == [n * n for n in range(100)]


async def test_a_result_does_not_wait_for_the_next_item(server: Server, workers: Workers) -> None:
    came = asyncio.Event()

    async def one_then_wait() -> AsyncIterator[int]:
        yield 3
        await came.wait()
        yield 4

    await workers.add(square)
    results = server.map(one_then_wait())
    assert await anext(results) == 9
    came.set()
    assert [result async for result in results] == [16]


@pytest.mark.parametrize(
    ("last", "error"),
    [("no number", TypeError), (2**70, EncodeError), (ValueError("x"), ValueError)],
)
async def test_an_item_that_cannot_be_sent_ends_the_iteration(
    server: Server, workers: Workers, last: Any, error: type[Exception]
) -> None:
    def items() -> Iterator[Any]:
        yield 1
        if isinstance(last, Exception):
            raise last
        yield last

    await workers.add(square)
    with pytest.raises(error):
        async for _ in server.map(items()):
            pass
    assert [result async for result in server.map([7])] == [49]


async def test_the_servers_end_ends_a_mapping() -> None:
    async with serving() as server:
        results = server.map(range(10))
        waiting = asyncio.ensure_future(anext(results))
        await asyncio.sleep(0)
        await server.aclose(timeout=0)
        with pytest.raises(ConnectionLost, match="closed"):
            await waiting
    with pytest.raises(ChannelClosed):
        await anext(server.map([1]))


async def test_a_closed_channel_ends_a_mapping(server: Server, workers: Workers) -> None:
    await workers.add(square, prefetch=1)
    results = server.map(itertools.count())
    assert await anext(results) == 0
    server.shutdown()
    with pytest.raises(ChannelClosed):
        await _collect(results)


async def test_work_is_not_done_before_all_jobs_are(server: Server, workers: Workers) -> None:
    release = asyncio.Event()

    async def held_up(out: Channel[int], in_: Channel[int]) -> None:
        async for number in in_:
            await release.wait()
            await out.send(number)
        out.close()

    await workers.add(held_up, prefetch=1)
    first = await server.submit(1)
    second = asyncio.create_task(server.submit(2))
    await asyncio.sleep(0)
    closing = asyncio.create_task(server.aclose())
    await asyncio.sleep(0)
    release.set()
    assert (await first, await (await second)) == (1, 2)
    await closing


async def test_where_no_result_belongs_to_an_item() -> None:
    def server(**options: Any) -> Server:
        return Server("127.0.0.1:0", Channel(int), Channel(int), **options)

    with pytest.raises(ValueError, match="at most once"):
        server(delivery="at-most-once").map([1])
    with pytest.raises(ValueError, match='wire="go"'):
        server(wire="go").map([1])
    with pytest.raises(ValueError, match="no outgoing channel"):
        Server("127.0.0.1:0", None, Channel(int)).map([1])
    with pytest.raises(RuntimeError, match="has not been started"):
        await anext(server().map([1]))


async def test_a_worker_that_delivers_at_most_once_fails_jobs(
    server: Server, workers: Workers
) -> None:
    await workers.add(square, delivery="at-most-once")
    with pytest.raises(RemoteError, match="at-most-once"):
        await anext(server.map([1]))


async def test_without_an_incoming_channel_results_are_none() -> None:
    async with Server("127.0.0.1:0", Channel(int), None) as server:

        async def work() -> None:
            in_ = Channel(int)
            async with Client(server.address, None, in_):
                async for _ in in_:
                    pass

        task = asyncio.create_task(work())
        assert await _collect(server.map(range(100))) == [None] * 100
        await server.aclose()
        await task


# -- submit ---------------------------------------------------------------------------------------


async def test_submit_gives_a_future_for_the_result(server: Server, workers: Workers) -> None:
    await workers.add(square)
    futures = [await server.submit(number) for number in range(100)]
    assert await asyncio.gather(*futures) == [n * n for n in range(100)]


async def test_the_future_of_an_item_that_fails_raises(server: Server, workers: Workers) -> None:
    await workers.add(fail_on_negative)
    with pytest.raises(RemoteError, match="negative"):
        await (await server.submit(-1))


async def test_a_cancelled_submit_has_not_happened(server: Server, workers: Workers) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await server.submit(1)
    assert server.statistics().waiting == 0
    await workers.add(square)
    future = await server.submit(2)
    future.cancel()
    assert await (await server.submit(3)) == 9


# -- for threads ----------------------------------------------------------------------------------


@contextlib.contextmanager
def sync_server(**options: Any) -> Iterator[sync.Server]:
    """One with two workers in threads."""
    with sync.Server("127.0.0.1:0", sync.Channel(int), sync.Channel(int), **options) as server:

        def work() -> None:
            out, in_ = sync.Channel(int), sync.Channel(int)
            with sync.Client(server.address, out, in_, **options):
                for number in in_:
                    if number < 0:
                        continue
                    out.send(number * number)

        with ThreadPoolExecutor(2) as threads:
            workers = [threads.submit(work) for _ in range(2)]
            server.wait_ready(2, timeout=10)
            yield server
            server.close()
            for worker in workers:
                worker.result(timeout=10)


def test_blocking_map() -> None:
    with sync_server() as server:
        assert list(server.map(range(1000))) == [n * n for n in range(1000)]
        assert sorted(server.map(range(100), ordered=False)) == [n * n for n in range(100)]
        assert list(server.map([3, -1, 4])) == [9, None, 16]
        with pytest.raises(TypeError):
            list(server.map([1, "text"]))


def test_a_blocking_map_that_takes_too_long() -> None:
    with sync.Server("127.0.0.1:0", sync.Channel(int), sync.Channel(int)) as server:
        results = server.map([1], timeout=0.01)
        with pytest.raises(TimeoutError, match=r"not all results within 0\.01 s"):
            next(results)
        with pytest.raises(StopIteration):
            next(results)
        with pytest.raises(TimeoutError):
            server.submit(2, timeout=0.01)
        assert server.statistics().waiting == 0


def test_a_blocking_map_that_is_left_drops_the_rest() -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    with sync_server() as server:
        for result in server.map(endless()):
            if result == 100:
                break
        before = taken
        assert list(server.map([5])) == [25]
        assert taken == before


class Collecting:
    """A transform in which garbage is collected, as it may be anywhere."""

    def encode(self, data: bytes, /) -> bytes:
        gc.collect()
        return data

    def decode(self, data: bytes, /) -> bytes:
        return data


def test_a_mapping_may_be_left_to_the_garbage_collector() -> None:
    with sync_server(transforms=[Collecting()]) as server:
        gc.disable()  # before that
        try:
            cycle = [server.map(itertools.count())]
            assert next(cycle[0]) == 0
            cycle.append(cycle)  # type: ignore[arg-type]
            del cycle
            assert server.submit(5, timeout=10).result(timeout=10) == 25
        finally:
            gc.enable()


def test_mappings_in_several_threads() -> None:
    with sync_server() as server, ThreadPoolExecutor(4) as threads:
        results = threads.map(
            lambda first: list(server.map(range(first, first + 300))), range(0, 4000, 1000)
        )
        for first, squares in zip(range(0, 4000, 1000), results, strict=True):
            assert squares == [n * n for n in range(first, first + 300)]


def test_blocking_submit() -> None:
    with sync_server() as server:
        futures = [server.submit(number, timeout=10) for number in range(100)]
        assert [future.result(timeout=10) for future in futures] == [n * n for n in range(100)]
    with sync.Server("127.0.0.1:0", sync.Channel(int), sync.Channel(int)) as server:
        with pytest.raises(TimeoutError):
            server.submit(1, timeout=0.01)
        server.close(0)


def test_a_callback_may_use_the_server() -> None:
    result: Future[int] = Future()
    with sync_server() as server:

        def go_on(first: "Future[int]") -> None:
            assert server.num_clients == 2
            second = server.submit(first.result())
            second.add_done_callback(lambda second: result.set_result(second.result()))

        server.submit(2).add_done_callback(go_on)
        assert result.result(timeout=10) == 16


def test_a_callback_that_exits_ends_nobody() -> None:
    go_on = threading.Event()
    with sync.Server("127.0.0.1:0", sync.Channel(int), sync.Channel(int)) as server:

        def work() -> None:
            out, in_ = sync.Channel(int), sync.Channel(int)
            with sync.Client(server.address, out, in_):
                for number in in_:
                    go_on.wait()
                    out.send(number)

        with ThreadPoolExecutor(1) as threads:
            worker = threads.submit(work)
            future = server.submit(1, timeout=10)  # which waits until a worker has it
            future.add_done_callback(lambda _: sys.exit("with its thread"))
            go_on.set()
            assert future.result(timeout=10) == 1
            assert server.submit(2, timeout=10).result(timeout=10) == 2
            server.close()
            worker.result(timeout=10)


def test_killed_processes_lose_no_item(tmp_path: Path) -> None:
    markers = [str(tmp_path / str(number)) for number in range(3)]
    with Pool(worker_jobs.crash_once, processes=2, resume_timeout=0) as pool:
        assert list(pool.map(markers)) == markers


# -- progress -------------------------------------------------------------------------------------


def test_a_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with sync_server() as server:
        assert len(list(server.map(range(50), progress=True))) == 50
    bar = capsys.readouterr().err
    assert "50/50" in bar
    assert "workers=2" in bar
    assert "failed=0" in bar


async def test_a_progress_bar_of_a_task(
    server: Server, workers: Workers, capsys: pytest.CaptureFixture[str]
) -> None:
    await workers.add(fail_on_negative)
    results = server.map(iter([1, -1, 2]), progress=True, return_exceptions=True)
    assert len([result async for result in results]) == 3
    assert "failed=1" in capsys.readouterr().err


async def test_no_progress_bar_without_tqdm(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ModuleNotFoundError, match=r"distchan\[progress\]"):
        server.map([1], progress=True)
