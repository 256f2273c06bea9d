"""What becomes of items when a client or a server leaves while things are going on."""

import asyncio
import contextlib
from typing import Any

import pytest

from distchan import Channel, Client, ConnectionLost, Server


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0)


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
async def test_a_task_that_was_awaited_has_not_done_its_item_because_the_client_left(
    how: str,
) -> None:
    out, w_in, other = Channel(int, capacity=1), Channel(int), Channel(int)
    out.send_nowait(1)

    async def work() -> None:
        await w_in.receive()
        if how == "fails":
            raise ZeroDivisionError
        working.set()
        await asyncio.Event().wait()

    async with Server("localhost:0", out, None) as server:
        async with Client(server.address, None, w_in):
            working = asyncio.Event()
            task = asyncio.create_task(work())
            if how == "is cancelled":
                await working.wait()
                task.cancel()
            # Leaves the block in the very turn in which it hears of the task's end.
            with contextlib.suppress(ZeroDivisionError, asyncio.CancelledError):
                await task
        async with Client(server.address, None, other):
            lease = other.lease()
            async with lease as item:
                assert item == 1
                assert lease.attempt == (2 if how == "fails" else 1)
            out.close()


async def test_an_exception_that_passes_through_the_block_is_an_attempt() -> None:
    out = Channel(int, capacity=1)
    out.send_nowait(1)
    async with Server("localhost:0", out, None, max_attempts=2) as server:
        for _ in range(2):
            w_in = Channel(int)
            with pytest.raises(ZeroDivisionError):
                async with Client(server.address, None, w_in):
                    await w_in.receive()
                    raise ZeroDivisionError("too much")
        letter = await server.dead_letters.receive()
        what, *traceback = letter.reason.splitlines()
        assert (letter.item, what, letter.attempts) == (1, "ZeroDivisionError: too much", 2)
        assert '    raise ZeroDivisionError("too much")' in traceback


async def test_the_reason_of_a_failure_has_its_words_and_the_end_of_its_traceback() -> None:
    def fail(depth: int) -> None:
        if not depth:
            raise ValueError("é" * 100_000)
        (lambda: fail(depth - 1))()

    out, w_in = Channel(int, capacity=1), Channel(int)
    out.send_nowait(1)
    async with Server("localhost:0", out, None, max_attempts=1) as server:
        async with Client(server.address, None, w_in):
            with pytest.raises(ValueError):
                async with w_in.lease():
                    fail(100)
            letter = await server.dead_letters.receive()
        assert letter.reason.startswith("ValueError: éé")
        assert letter.reason.endswith("éé")
        assert 8000 < len(letter.reason.encode()) <= 8192


async def test_an_item_on_its_way_to_a_waiting_task_is_given_back_by_a_client_that_fails() -> None:
    out, w_in, other = Channel(int), Channel(int), Channel(int)
    async with Server("localhost:0", out, None, resume_timeout=1000) as server:
        client = await Client(server.address, None, w_in).__aenter__()
        waiting = asyncio.create_task(w_in.receive())
        while not w_in.statistics().waiting_receivers:
            await asyncio.sleep(0)
        await out.send(1)
        while not w_in._woken:  # the item is reserved for the task, which has not run yet
            await asyncio.sleep(0)
        await client.__aexit__(ZeroDivisionError, ZeroDivisionError(), None)
        with contextlib.suppress(ConnectionLost):
            await waiting
        await until(lambda: server.statistics().waiting == 1)
        async with Client(server.address, None, other):
            lease = other.lease()
            async with lease:
                assert lease.attempt == 1
            out.close()


async def test_results_that_were_dropped_are_no_ordinary_end() -> None:
    in_, w_out = Channel(int), Channel(int)
    got = []
    async with Server("localhost:0", None, in_, drain_timeout=0.05) as server:
        async with Client(server.address, w_out, None):
            await w_out.send_many(range(20))
        await until(lambda: len(in_) == 20)
        got.append(await in_.receive())
    with pytest.raises(ConnectionLost):
        while True:
            got.append(await in_.receive())
    assert len(got) == 1
    assert server.statistics().dropped_results == 19


@pytest.mark.parametrize("way", ["receive_many", "gather"])
async def test_no_task_can_hold_too_much_to_be_settled(way: str) -> None:
    count = 5000
    out, w_in = Channel(int, capacity=count), Channel(int)
    await out.send_many(range(count))
    out.close()
    async with Server("localhost:0", out, None, prefetch=count) as server:
        async with Client(server.address, None, w_in):
            got: list[int] = []
            if way == "gather":
                got += await asyncio.gather(*(w_in.receive() for _ in range(count)))
            while len(got) < count:
                got += await w_in.receive_many(count)
            assert got == list(range(count))
        assert server.statistics().settled == count


async def test_undecodable_items_in_a_row_where_delivery_is_at_most_once() -> None:
    out: Channel[Any] = Channel(Any)
    in_ = Channel(int)
    async with Server("localhost:0", out, None, delivery="at-most-once") as server:
        async with Client(server.address, None, in_):
            sending = asyncio.create_task(out.send_many(["a", "b", "c", 4]))
            assert await in_.receive() == 4
            await sending
        assert server.statistics().dead_lettered == 3


async def test_a_server_without_incoming_leaves_its_clients_in_good_order() -> None:
    async with Server("localhost:0", Channel(int), None) as server:

        async def work() -> list[int]:
            in_ = Channel(int)
            async with Client(server.address, None, in_):
                return [number async for number in in_]

        worker = asyncio.create_task(work())
        await server.wait_ready()
        await server.aclose()
        assert await worker == []
