"""Workers that die, hang or are busy, servers that die: with real processes."""

import asyncio
import contextlib
import random
import signal
import sys
import tracemalloc
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pytest

from distchan import Channel, Client, Server
from distchan._client_session import ClientSession, Fenced, Resumed
from distchan._connection import Connection
from distchan._server_session import ServerSession
from distchan._session import Bye, Event, Opened
from tests.chaos_programs import POISONED
from tests.helpers import alive, open_files, wiring

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")

PROGRAMS = Path(__file__).with_name("chaos_programs.py")

Start: TypeAlias = Callable[..., Awaitable[Process]]


def loop_name() -> str:
    """Processes run on the same kind of loop as the test."""
    return "uvloop" if "uvloop" in type(asyncio.get_running_loop()).__module__ else "asyncio"


@contextlib.asynccontextmanager
async def processes() -> AsyncIterator[Start]:
    """Starts the programs of chaos_programs.py; kills what is left of them."""
    started: list[Process] = []

    async def start(*arguments: object, **options: Any) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, PROGRAMS, loop_name(), *map(str, arguments), **options
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


class Keeper:
    """Keeps some workers going: whoever dies is replaced, and counted."""

    def __init__(self, start: Start, *arguments: object) -> None:
        self._start = start
        self._arguments = arguments
        self.deaths = 0

    @contextlib.asynccontextmanager
    async def keep(self, count: int) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._keep_one()) for _ in range(count)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_one(self) -> None:
        while True:
            # Not to be abandoned half-way: nobody would close its transport then.
            starting = asyncio.ensure_future(self._start(*self._arguments))
            try:
                process = await asyncio.shield(starting)
            except asyncio.CancelledError:
                await starting
                raise
            status = await process.wait()
            self.deaths += status in (POISONED, -signal.SIGKILL)


async def send_all(out: Channel[Any], items: Iterable[object]) -> None:
    await out.send_many(items)
    out.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


# -- poison ---------------------------------------------------------------------------------------

EATERS = {
    # A manner of chaos_programs.py, how many tasks, the prefetch, the poison among the items.
    "in a stream": ("stream", 32, 256, [-1]),
    "in tasks that take turns": ("turns", 8, "auto", [-2]),
    "in batches": ("batches", 2, 256, [-1]),
    "without waiting": ("nowait", 1, 256, [-2]),
    "in leases": ("leases", 8, 256, [-1, -2]),
}


@pytest.mark.parametrize(("manner", "tasks", "prefetch", "poison"), EATERS.values(), ids=EATERS)
async def test_poison_harms_nothing_but_a_few_workers(
    manner: str, tasks: int, prefetch: int | Literal["auto"], poison: list[int]
) -> None:
    good = 2000
    numbers = [*range(good // 2), *poison, *range(good // 2, good)]
    out, in_ = Channel(int), Channel[tuple[int, int]](tuple[int, int])
    async with (
        processes() as start,
        Server("localhost:0", out, in_, prefetch=prefetch, resume_timeout=0.05) as server,
    ):
        keeper = Keeper(start, "eat", server.address, manner, tasks)
        async with keeper.keep(2), asyncio.TaskGroup() as group:
            await server.wait_ready(2)
            group.create_task(send_all(out, numbers))
            results = [result async for result in in_]
            dead = [server.dead_letters.receive_nowait() for _ in range(len(server.dead_letters))]
    assert sorted(number for number, _ in results) == [*range(good)]
    assert sorted((letter.item, letter.attempts) for letter in dead) == sorted(
        (number, 3) for number in poison
    )
    assert keeper.deaths <= 3 * len(poison)
    # Whoever was in bad company was suspected once, and could prove its innocence alone.
    assert {attempt for _, attempt in results} <= {0, 1, 2}
    assert server.statistics().dead_lettered == len(poison)


# -- workers that are silent ----------------------------------------------------------------------


async def test_a_worker_that_is_stopped_slows_nobody() -> None:
    out, in_ = Channel(int), Channel[tuple[int, int]](tuple[int, int])
    async with (
        processes() as start,
        Server("localhost:0", out, in_, prefetch=16, heartbeat=0.3, resume_timeout=0.2) as server,
        asyncio.TaskGroup() as group,
    ):
        stopped = await start("work", server.address, 0)
        await server.wait_ready()
        await start("work", server.address, 0)
        await server.wait_ready(2)
        stopped.send_signal(signal.SIGSTOP)
        group.create_task(send_all(out, range(300)))
        results = [await in_.receive() for _ in range(300 - 16)]
        assert stopped.pid not in {pid for _, pid in results}
        assert [client.held for client in server.clients] == [16, 0]
        # Nobody gives it up; it goes on where it was.
        stopped.send_signal(signal.SIGCONT)
        rest = [result async for result in in_]
        assert {pid for _, pid in rest} == {stopped.pid}
        assert sorted(number for number, _ in results + rest) == [*range(300)]
        assert server.statistics().redelivered == 0


async def test_items_of_a_worker_that_is_silent_for_too_long_move_on() -> None:
    out, in_ = Channel(int), Channel[tuple[int, int]](tuple[int, int])
    async with (
        processes() as start,
        Server("localhost:0", out, in_, prefetch=16, hang_timeout=0.5) as server,
        asyncio.TaskGroup() as group,
    ):
        stopped = await start("work", server.address, 0)
        await server.wait_ready()
        await start("work", server.address, 0)
        await server.wait_ready(2)
        stopped.send_signal(signal.SIGSTOP)
        sender = group.create_task(out.send_many(range(300)))
        results = [await in_.receive() for _ in range(300)]
        assert sorted(number for number, _ in results) == [*range(300)]
        assert stopped.pid not in {pid for _, pid in results}
        assert server.statistics().redelivered == 16
        await sender
        # It settles nothing of that when it wakes up, and is worth as much as before.
        stopped.send_signal(signal.SIGCONT)
        await server.wait_ready(2)
        group.create_task(send_all(out, range(300, 400)))
        more = [result async for result in in_]
        assert sorted(number for number, _ in more) == [*range(300, 400)]
        assert stopped.pid in {pid for _, pid in more}


async def test_a_worker_that_computes_for_long_stays_a_member() -> None:
    """Although more is on its way to it than sockets hold."""
    out, in_ = Channel(bytes), Channel(bytes)
    items = [b"", *(bytes([number]) * 64 * 1024 for number in range(1, 250))]
    async with (
        processes() as start,
        Server(
            "localhost:0",
            out,
            in_,
            prefetch=1000,
            prefetch_bytes=1 << 26,
            heartbeat=0.3,
            resume_timeout=0,
        ) as server,
        asyncio.TaskGroup() as group,
    ):
        await start("compute", server.address, 1.5)
        await server.wait_ready()
        group.create_task(send_all(out, items))
        assert [item async for item in in_] == items
        figures = server.statistics()
        assert (figures.dealt, figures.redelivered) == (len(items), 0)


# -- a server that is not read --------------------------------------------------------------------


async def standstill(server: Server) -> None:
    """Wait until nothing moves any more."""
    before, since = server.statistics(), 0
    while since < 10:
        await asyncio.sleep(0.03)
        now = server.statistics()
        before, since = now, since + 1 if now == before else 0


@pytest.mark.parametrize("count", [1, 9])
async def test_a_server_whose_results_nobody_takes_is_bounded_in_memory(count: int) -> None:
    workers, size, capacity, total = 3, 20_000, 5, 500
    prefetch_bytes, max_frame_size = 300_000, 200_000
    bound = capacity * size + workers * 2 * (prefetch_bytes + max_frame_size)
    out, in_ = Channel(bytes, capacity), Channel(bytes)
    sent = 0

    async def produce() -> None:
        nonlocal sent
        for number in range(total):
            await out.send(number.to_bytes(4, "big") * (size // 4))
            sent += 1
        out.close()

    async with (
        processes() as start,
        Server(
            "localhost:0",
            out,
            in_,
            codec="raw",
            prefetch=1000,
            prefetch_bytes=prefetch_bytes,
            max_frame_size=max_frame_size,
        ) as server,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(workers):
            await start("multiply", server.address, count)
        await server.wait_ready(workers)
        tracemalloc.start()
        try:
            group.create_task(produce())
            await standstill(server)
            memory, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        figures = server.statistics()
        assert sent < total
        assert figures.settled < sent
        assert (figures.held + figures.waiting + figures.results) * size <= bound
        assert memory <= bound
        # Whatever waits goes on when reading goes on.
        results = Counter([item[:4] async for item in in_])
        assert results == {number.to_bytes(4, "big"): count for number in range(total)}


# -- many cycles ----------------------------------------------------------------------------------


class BareClient:
    """A client's session on a connection that can be cut at will."""

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.rpartition(":")
        self._session = wiring(int, int, prefetch=2).session(ClientSession)
        self._session.want(2)

    async def connect(self) -> type[Event]:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        self._session.start()
        return await self._read_until(Opened, Resumed, Fenced)

    async def cut(self) -> None:
        self._writer.transport.abort()
        self._session.cut()
        await self._close()

    async def leave(self) -> None:
        self._session.leave()
        self._session.close()
        await self._read_until(Bye)
        await self._close()

    async def _read_until(self, *events: type[Event]) -> type[Event]:
        while True:
            self._writer.write(b"".join(self._session.data_to_send()))
            data = await self._reader.read(65536)
            assert data, "the server closed the connection"
            self._session.feed(data)
            while (event := self._session.next_event()) is not None:
                if isinstance(event, events):
                    self._writer.write(b"".join(self._session.data_to_send()))
                    return type(event)

    async def _close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


async def test_a_thousand_cuts_leave_nothing_behind() -> None:
    out, in_ = Channel(int, 100), Channel(int)
    outcomes: Counter[object] = Counter()

    async def come_and_go(cycles: int, chance: random.Random) -> None:
        client = BareClient(server.address)
        outcomes[await client.connect()] += 1
        for _ in range(cycles):
            fate = chance.random()
            if fate < 0.05:
                outcomes[Bye] += 1
                await client.leave()
            else:
                await client.cut()
            if fate < 0.35:  # another one in its place
                client = BareClient(server.address)
            elif fate < 0.45:
                await asyncio.sleep(0.2)
            outcomes[await client.connect()] += 1
        await client.cut()

    async with Server(
        "localhost:0", out, in_, max_frame_size=1 << 20, resume_timeout=0.1, max_attempts=10_000
    ) as server:
        await out.send_many(range(100))
        connections = alive(Connection)
        tasks, files = asyncio.all_tasks(), open_files()
        async with asyncio.TaskGroup() as group:
            for number in range(25):
                group.create_task(come_and_go(40, random.Random(number)))
        assert sum(outcomes[event] for event in (Opened, Resumed, Fenced)) == 25 * 41
        assert min(outcomes.values()) >= 20
        await until(lambda: server.statistics().sessions == 0 and open_files() == files)
        assert asyncio.all_tasks() == tasks
        assert alive(Connection) == connections
        # It remembers those who have left in good order, so that the goodbye can be repeated.
        assert alive(ServerSession) <= outcomes[Bye]
        assert (server.num_clients, server.clients) == (0, ())
        figures = server.statistics()
        assert (figures.held, figures.waiting, figures.refused) == (0, 100, 0)
        # And it is as good as new.
        w_out, w_in = Channel(int), Channel(int)
        async with Client(server.address, w_out, w_in), asyncio.TaskGroup() as group:
            group.create_task(echo(w_out, w_in))
            out.close()
            assert sorted([item async for item in in_]) == [*range(100)]


async def echo(out: Channel[int], in_: Channel[int]) -> None:
    async for item in in_:
        await out.send(item)
    out.close()


# -- ends -----------------------------------------------------------------------------------------


async def test_workers_may_die_during_the_drain() -> None:
    out, in_ = Channel(int), Channel[tuple[int, int]](tuple[int, int])
    async with processes() as start, asyncio.TaskGroup() as group:
        async with Server("localhost:0", out, in_, resume_timeout=0.1, drain_timeout=60) as server:
            workers = [await start("work", server.address, 0.01) for _ in range(3)]
            await server.wait_ready(3)
            await out.send_many(range(100))

            async def receive_and_harm() -> list[int]:
                """Whenever some more results have come, kill one of the workers; all of them."""
                results = [await in_.receive()]
                assert out.closed
                for worker in workers:
                    results += [await in_.receive() for _ in range(10)]
                    worker.kill()
                await until(lambda: server.num_clients == 0)
                # Nobody is left: it waits for those who may yet come.
                await start("work", server.address, 0)
                return [number for number, _ in results + [result async for result in in_]]

            received = group.create_task(receive_and_harm())
    assert sorted(received.result()) == [*range(100)]
    figures = server.statistics()
    assert figures.redelivered > 0
    assert (figures.dropped_items, figures.dropped_results) == (0, 0)


async def test_what_workers_hold_of_a_server_that_was_killed_is_void(
    caplog: pytest.LogCaptureFixture,
) -> None:
    out, in_ = Channel[tuple[int, int]](tuple[int, int]), Channel(int)
    async with processes() as start:
        first = await start("serve", "localhost:0", 0, 10, stdout=PIPE)
        assert first.stdout is not None
        address = (await first.stdout.readline()).decode().strip()
        async with Client(address, out, in_, prefetch=4):
            held = await in_.receive()
            first.kill()
            await first.wait()
            second = await start("serve", address, 100, 10, stdout=PIPE)
            assert second.stdout is not None
            assert (await second.stdout.readline()).decode().strip() == address
            await until(lambda: "a new session" in caplog.text)
            assert held == 0
            await out.send((held, 0))
            async for number in in_:
                await out.send((number, 0))
        lines = (await second.stdout.read()).decode().split()
    assert lines == [*map(str, range(100, 110)), "end"]
    assert "1 items in the hands of tasks here go to others" in caplog.text
