"""What becomes of items and results: who holds them, what settles them, when they come again.

Who calls is noted at the call: `create_task(channel.send(...))` is a call of the task that says so.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from distchan import (
    Channel,
    Client,
    EndOfChannel,
    FrameTooLarge,
    Server,
    ServerStatistics,
    WouldBlock,
    select,
)
from distchan._wiring import RESULT_WINDOW

MARK = "mark"


@dataclass
class Pair:
    """A server and a client of it, in one process."""

    server: Server
    #: The server's channels.
    out: Channel[Any]
    in_: Channel[Any]
    #: The worker's channels.
    w_in: Channel[Any]
    w_out: Channel[Any]

    @property
    def figures(self) -> ServerStatistics:
        return self.server.statistics()

    async def heard(self) -> list[Any]:
        """The results that have come from the client so far.

        What it has said until now has arrived when a mark, sent by nobody in particular, has.
        """

        async def mark() -> None:
            await self.w_out.send(MARK)

        marking = asyncio.get_running_loop().create_task(mark(), context=Context())
        results = []
        while (result := await self.in_.receive()) != MARK:
            results.append(result)
        await marking
        return results

    async def comes_again(self, item: str, *, attempt: int) -> int:
        """Receive an item, check it, settle it. Its id."""
        lease = self.w_in.lease()
        async with lease as again:
            assert (again, lease.attempt) == (item, attempt)
            assert lease.id is not None
            return lease.id


@contextlib.asynccontextmanager
async def pair(
    *,
    types: tuple[object, object, object, object] = (str, str, str, str),
    results: Literal["settled", "stream"] = "settled",
    **options: Any,
) -> AsyncIterator[Pair]:
    """Both ends; ``types``: of the items as server and client see them, then of the results."""
    out, w_in, w_out, in_ = map(Channel, types)
    options = {"prefetch": 8, "drain_timeout": 0} | options
    async with Server("localhost:0", out, in_, **options) as server:
        async with Client(server.address, w_out, w_in, results=results):
            await server.wait_ready()
            yield Pair(server, out, in_, w_in, w_out)


async def by_receive(channel: Channel[Any]) -> Any:
    return await channel.receive()


async def by_receive_many(channel: Channel[Any]) -> Any:
    (item,) = await channel.receive_many(1)
    return item


async def by_receive_nowait(channel: Channel[Any]) -> Any:
    while not len(channel):
        await asyncio.sleep(0)
    return channel.receive_nowait()


async def by_iterating(channel: Channel[Any]) -> Any:
    async for item in channel:
        return item
    raise AssertionError("it has ended")


async def by_select(channel: Channel[Any]) -> Any:
    _, item = await select(Channel(str), channel)
    return item


async def by_select_without_waiting(channel: Channel[Any]) -> Any:
    while not len(channel):
        await asyncio.sleep(0)
    _, item = await select(channel, default=None)
    return item


async def with_a_timeout(channel: Channel[Any]) -> Any:
    return await asyncio.wait_for(channel.receive(), 5)


async def by_select_with_a_timeout(channel: Channel[Any]) -> Any:
    _, item = await asyncio.wait_for(select(channel, Channel(str)), 5)
    return item


Way = Callable[[Channel[Any]], Awaitable[Any]]

WAYS: list[Way] = [
    by_receive,
    by_receive_many,
    by_receive_nowait,
    by_iterating,
    by_select,
    by_select_without_waiting,
    with_a_timeout,
    by_select_with_a_timeout,
]


class Oops(Exception):
    """What tasks fail with here."""


async def fails(work: Coroutine[Any, Any, None]) -> None:
    """Run that in a task, which fails."""
    with pytest.raises(Oops):
        await asyncio.create_task(work)


async def is_cancelled(work: Coroutine[Any, Any, None], in_hand: asyncio.Event) -> None:
    """Run that in a task, which is cancelled when it has something in hand."""
    task = asyncio.create_task(work)
    await in_hand.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class TestWhatSettles:
    @pytest.mark.parametrize(
        ("first", "second"),
        [*((way, by_receive) for way in WAYS), *((by_receive, way) for way in WAYS[1:])],
    )
    async def test_the_next_call_of_the_task(self, first: Way, second: Way) -> None:
        async with pair() as p:
            await p.out.send_many("ab")
            assert await first(p.w_in) == "a"
            await p.w_out.send("A")
            assert await p.heard() == []
            assert p.figures.settled == 0
            assert await second(p.w_in) == "b"
            assert await p.heard() == ["A"]
            assert p.figures.settled == 1
            assert p.server.clients[0].held == 1

    async def test_the_next_call_even_if_it_has_to_wait(self) -> None:
        async with pair() as p:

            async def work() -> None:
                async for text in p.w_in:
                    await p.w_out.send(text.upper())

            worker = asyncio.create_task(work())
            await p.out.send("a")
            assert await p.in_.receive() == "A"
            assert not worker.done()
            worker.cancel()

    async def test_the_next_call_even_if_nothing_comes_of_it(self) -> None:
        async with pair() as p:
            for text, call in (
                ("a", p.w_in.receive),
                ("b", lambda: select(p.w_in)),
                ("c", lambda: p.w_in.receive_many(5)),
            ):
                await p.out.send(text)
                assert await p.w_in.receive() == text
                await p.w_out.send(text.upper())
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(call(), 0.01)
                assert await p.heard() == [text.upper()]
            with pytest.raises(WouldBlock):
                p.w_in.receive_nowait()
            assert p.figures.settled == 3

    async def test_not_the_call_of_another_task(self) -> None:
        async with pair() as p:
            await p.out.send_many("abc")
            assert await p.w_in.receive() == "a"
            await p.w_out.send("A")

            async def another() -> None:
                assert await p.w_in.receive() == "b"
                await p.w_out.send("B")
                assert await p.w_in.receive() == "c"
                await asyncio.Event().wait()

            task = asyncio.create_task(another())
            while p.w_in.statistics().received < 3:
                await asyncio.sleep(0)
            assert await p.heard() == ["B"]
            assert p.figures.settled == 1
            task.cancel()

    async def test_not_a_call_on_another_channel(self) -> None:
        async with pair() as p:
            other = Channel(str, capacity=1)
            other.send_nowait("x")
            await p.out.send("a")
            assert await p.w_in.receive() == "a"
            await p.w_out.send("A")
            assert await other.receive() == "x"
            assert await p.heard() == []

    async def test_the_normal_end_of_the_task(self) -> None:
        async with pair() as p:

            async def work() -> None:
                await p.w_out.send((await p.w_in.receive()).upper())

            await p.out.send("a")
            await asyncio.create_task(work())
            assert await p.heard() == ["A"]
            assert p.figures.settled == 1

    async def test_the_end_of_the_channel(self) -> None:
        async with pair(drain_timeout=5) as p:
            await p.out.send("a")
            p.out.close()
            assert await p.w_in.receive() == "a"
            await p.w_out.send("A")
            # No more will come; but it ends only when all has been settled.

            async def another() -> None:
                await p.w_in.receive()

            waiting = asyncio.create_task(another())
            assert await p.heard() == []
            assert not waiting.done()
            with pytest.raises(EndOfChannel):
                await p.w_in.receive()
            assert await p.heard() == ["A"]
            with pytest.raises(EndOfChannel):
                await waiting
            p.w_out.close()

    @pytest.mark.parametrize("by", ["the leaving task", "another task"])
    async def test_the_clean_exit_of_the_client(self, by: str) -> None:
        out, in_, w_out, w_in = Channel(str), Channel(str), Channel(str), Channel(str)
        held = asyncio.Event()

        async def work() -> None:
            await w_out.send((await w_in.receive()).upper())
            held.set()

        async def work_for_ever() -> None:
            await work()
            await asyncio.Event().wait()

        async with Server("localhost:0", out, in_) as server:
            async with Client(server.address, w_out, w_in):
                await out.send("a")
                if by == "the leaving task":
                    await work()
                else:
                    task = asyncio.create_task(work_for_ever())
                    await held.wait()
                assert server.statistics().settled == 0
            assert server.statistics().settled == 1
            out.close()
            assert [result async for result in in_] == ["A"]
        if by == "another task":
            task.cancel()

    async def test_not_a_break(self) -> None:
        async with pair() as p:
            await p.out.send_many("ab")
            async for text in p.w_in:
                await p.w_out.send(text.upper())
                break
            assert await p.heard() == []
            assert p.figures.settled == 0
            assert await p.w_in.receive() == "b"
            assert await p.heard() == ["A"]

    async def test_an_exception_makes_the_item_fail(self, caplog: pytest.LogCaptureFixture) -> None:
        async with pair() as p:

            async def work() -> None:
                await p.w_out.send((await p.w_in.receive()).upper())
                raise Oops("no way")

            await p.out.send("a")
            await fails(work())
            await p.comes_again("a", attempt=2)
            assert await p.heard() == []
            assert (p.figures.redelivered, p.server.clients[0].blamed) == (1, 1)
            assert (p.figures.settled, p.figures.dead_lettered) == (1, 0)
        assert "a worker failed: Oops: no way" in caplog.text

    async def test_cancellation_gives_the_item_back(self) -> None:
        async with pair() as p:
            in_hand = asyncio.Event()

            async def work() -> None:
                await p.w_out.send((await p.w_in.receive()).upper())
                in_hand.set()
                await asyncio.Event().wait()

            await p.out.send("a")
            await is_cancelled(work(), in_hand)
            await p.comes_again("a", attempt=1)
            assert await p.heard() == []
            assert p.server.clients[0].blamed == 0

    async def test_cancelling_a_call_gives_nothing_back_that_it_did_not_get(self) -> None:
        async with pair() as p:

            async def work() -> None:
                await p.w_in.receive()

            waiting = asyncio.create_task(work())
            await asyncio.sleep(0)
            waiting.cancel()
            await p.out.send("a")
            await p.comes_again("a", attempt=1)
            assert p.figures.dealt == 1

    async def test_what_comes_again_comes_first(self) -> None:
        async with pair(prefetch=1) as p:
            in_hand = asyncio.Event()

            async def work() -> None:
                await p.w_in.receive()
                in_hand.set()
                await asyncio.Event().wait()

            sending = asyncio.create_task(p.out.send_many("abc"))
            await is_cancelled(work(), in_hand)
            for text in "abc":
                await p.comes_again(text, attempt=1)
            await sending

    async def test_a_batch_as_one(self) -> None:
        async with pair() as p:
            await p.out.send_many("abcd")
            while len(p.w_in) < 4:
                await asyncio.sleep(0)
            assert await p.w_in.receive_many(3) == ["a", "b", "c"]
            for text in "ABC":
                await p.w_out.send(text)
                assert await p.heard() == []
            assert await p.w_in.receive_many(3) == ["d"]
            assert await p.heard() == ["A", "B", "C"]
            assert p.figures.settled == 3

    async def test_a_batch_fails_as_one(self) -> None:
        async with pair() as p:

            async def work() -> None:
                while len(p.w_in) < 3:
                    await asyncio.sleep(0)
                assert await p.w_in.receive_many(3) == ["a", "b", "c"]
                await p.w_out.send("A")
                raise Oops

            await p.out.send_many("abc")
            await fails(work())
            for text in "abc":
                await p.comes_again(text, attempt=2)
            assert await p.heard() == []
            assert p.figures.settled == 3


class TestLeases:
    async def test_identify_the_execution(self) -> None:
        async with pair() as p:
            await p.out.send_many("ab")
            lease = p.w_in.lease()
            assert (lease.id, lease.attempt) == (None, None)
            with pytest.raises(Oops):
                async with lease as item:
                    assert item == "a"
                    assert lease.attempt == 1
                    raise Oops
            other = await p.comes_again("b", attempt=1)
            again = await p.comes_again("a", attempt=2)
            assert again == lease.id != other

    async def test_of_a_channel_that_nobody_is_bound_to(self) -> None:
        channel = Channel(str, capacity=1)
        channel.send_nowait("x")
        lease = channel.lease()
        async with lease as item:
            assert item == "x"
            assert (lease.id, lease.attempt) == (None, None)

    async def test_settle_at_the_end_of_the_block(self) -> None:
        async with pair() as p:
            await p.out.send_many("ab")
            async with p.w_in.lease() as item:
                await p.w_out.send(item.upper())
                assert await p.w_in.receive() == "b"  # held by the task, not by the block
                assert await p.heard() == []
                assert p.figures.settled == 0
            assert await p.heard() == ["A"]
            assert p.figures.settled == 1

    async def test_settle_at_the_end_of_the_block_in_whatever_task(self) -> None:
        async with pair() as p:
            stack = contextlib.AsyncExitStack()

            async def begin() -> None:
                item = await stack.enter_async_context(p.w_in.lease())
                await p.w_out.send(item.upper())

            await p.out.send("a")
            await asyncio.create_task(begin())
            assert await p.heard() == []
            assert p.figures.settled == 0
            await asyncio.create_task(stack.aclose())
            assert await p.heard() == ["A"]
            assert p.figures.settled == 1

    async def test_have_what_tasks_started_inside_send(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with pair() as p:
            await p.out.send("a")

            async def helper(text: str, depth: int) -> None:
                await p.w_out.send(text)
                if depth:
                    await asyncio.create_task(helper("deeper", depth - 1))

            async with p.w_in.lease() as item:
                async with asyncio.TaskGroup() as tasks:
                    for n in range(3):
                        tasks.create_task(helper(f"{item}{n}", 0))
                await asyncio.create_task(helper("deep", 2))
                await asyncio.wait_for(p.w_out.send("with a timeout"), 5)
                assert await p.heard() == []
            expected = ["a0", "a1", "a2", "deep", "deeper", "deeper", "with a timeout"]
            assert await p.heard() == expected
        assert "lease()" not in caplog.text

    async def test_do_not_have_what_is_sent_when_they_are_over(self) -> None:
        async with pair() as p:
            over = asyncio.Event()

            async def late() -> None:
                await over.wait()
                await p.w_out.send("late")

            await p.out.send("a")
            async with p.w_in.lease():
                task = asyncio.create_task(late())
            assert await p.heard() == []
            over.set()
            await task
            assert await p.heard() == ["late"]
            await p.w_out.send("by the task itself")
            assert await p.heard() == ["by the task itself"]

    async def test_have_what_other_tasks_do_not_hold(self) -> None:
        """Whoever holds an item, and was not started inside, sends for that."""
        async with pair() as p:
            go = asyncio.Event()

            async def another() -> None:
                assert await p.w_in.receive() == "b"
                await p.w_out.send("B")
                await go.wait()

            await p.out.send_many("ab")
            async with p.w_in.lease() as item:
                await p.w_out.send("A")
                task = asyncio.get_running_loop().create_task(another(), context=Context())
                while p.w_in.statistics().received < 2:
                    await asyncio.sleep(0)
            assert await p.heard() == [item.upper()]
            go.set()
            await task
            assert await p.heard() == ["B"]

    async def test_the_innermost_one_counts(self) -> None:
        async with pair() as p:
            await p.out.send_many("ab")
            async with p.w_in.lease() as outer:
                await p.w_out.send(outer + "1")
                async with p.w_in.lease() as inner:
                    await p.w_out.send(inner)
                    assert await p.heard() == []
                assert await p.heard() == [inner]
                await p.w_out.send(outer + "2")
            assert await p.heard() == ["a1", "a2"]

    async def test_what_the_task_has_received_inside_is_nearer(self) -> None:
        async with pair() as p:
            await p.out.send_many("abc")
            async with p.w_in.lease() as item:
                assert await p.w_in.receive() == "b"
                await p.w_out.send("B")
                assert await p.w_in.receive() == "c"
                assert await p.heard() == ["B"]
            assert item == "a"

    async def test_fail_with_an_exception(self) -> None:
        async with pair() as p:
            await p.out.send("a")
            with pytest.raises(Oops):
                async with p.w_in.lease() as item:
                    await p.w_out.send(item.upper())
                    raise Oops
            await p.comes_again("a", attempt=2)
            assert await p.heard() == []

    async def test_are_given_back_by_cancellation(self) -> None:
        async with pair() as p:
            in_hand = asyncio.Event()

            async def work() -> None:
                async with p.w_in.lease() as item:
                    await p.w_out.send(item.upper())
                    in_hand.set()
                    await asyncio.Event().wait()

            await p.out.send("a")
            await is_cancelled(work(), in_hand)
            await p.comes_again("a", attempt=1)
            assert await p.heard() == []

    async def test_that_get_nothing_hold_nothing(self) -> None:
        async with pair() as p:
            entering = asyncio.create_task(p.w_in.lease().__aenter__())
            await asyncio.sleep(0)
            entering.cancel()
            await p.out.send("a")
            await p.comes_again("a", attempt=1)
            p.out.close()
            with pytest.raises(EndOfChannel):
                async with p.w_in.lease():
                    raise AssertionError("there is nothing")


class TestStagedResults:
    async def test_do_not_wait(self) -> None:
        async with pair() as p:
            await p.out.send("a")
            await p.w_in.receive()
            for n in range(1000):  # nobody receives any, and there is credit for a quarter of them
                p.w_out.send_nowait(str(n))
            assert p.w_out.statistics().waiting_senders == 0
            await p.out.send("b")
            await p.w_in.receive()
            assert await p.heard() == [str(n) for n in range(1000)]

    async def test_whoever_comes_back_waits_until_they_have_gone(self) -> None:
        async with pair() as p:

            async def work() -> None:
                async for text in p.w_in:
                    await p.w_out.send_many([text] * RESULT_WINDOW)

            worker = asyncio.create_task(work())
            await p.out.send_many("abc")
            while len(p.in_) < RESULT_WINDOW:
                await asyncio.sleep(0)
            for _ in range(20):
                await asyncio.sleep(0)
            # The settlement of the first has used up all credit; that of the second has to wait.
            assert p.w_in.statistics().received == 2
            assert p.figures.settled == 1
            for text in "abc":
                assert [await p.in_.receive() for _ in range(RESULT_WINDOW)] == [
                    text
                ] * RESULT_WINDOW
            assert p.w_in.statistics().received == 3
            worker.cancel()

    async def test_so_does_the_end_of_a_lease(self) -> None:
        async with pair() as p:

            async def work() -> None:
                for _ in "ab":
                    async with p.w_in.lease() as text:
                        await p.w_out.send_many([text] * RESULT_WINDOW)
                    finished.append(text)

            finished: list[str] = []
            worker = asyncio.create_task(work())
            await p.out.send_many("ab")
            while len(p.in_) < RESULT_WINDOW or p.w_in.statistics().received < 2:
                await asyncio.sleep(0)
            for _ in range(20):
                await asyncio.sleep(0)
            assert finished == ["a"]
            assert [await p.in_.receive() for _ in range(2 * RESULT_WINDOW)] == [
                "a"
            ] * RESULT_WINDOW + ["b"] * RESULT_WINDOW
            await worker

    async def test_that_come_too_late_do_not_belong_to_the_next_item(self) -> None:
        async with pair() as p:
            await p.out.send_many("ab")
            assert await p.w_in.receive() == "a"
            while not len(p.w_in):
                await asyncio.sleep(0)
            sending = asyncio.create_task(p.w_out.send("A"))  # has not begun to run
            assert await p.w_in.receive() == "b"
            await sending
            assert await p.heard() == ["A"]
            assert p.figures.settled == 1

    async def test_that_come_too_late_for_an_item_that_has_failed_are_dropped(self) -> None:
        async with pair() as p:
            await p.out.send("a")
            with pytest.raises(Oops):
                async with p.w_in.lease():
                    sending = asyncio.create_task(p.w_out.send("A"))
                    raise Oops
            await sending
            assert await p.heard() == []
            await p.comes_again("a", attempt=2)

    async def test_keep_their_order_and_their_place(self) -> None:
        async with pair() as p:

            async def work() -> None:
                async for text in p.w_in:
                    await p.w_out.send(text + "1")
                    await p.w_out.send_many([text + "2", text + "3"])
                    p.w_out.send_nowait(text + "4")
                    assert await select((p.w_out, text + "5")) == (p.w_out, text + "5")
                p.w_out.close()

            worker = asyncio.create_task(work())
            await p.out.send_many("ab")
            p.out.close()
            expected = [text + str(n) for text in "ab" for n in range(1, 6)]
            assert [result async for result in p.in_] == expected
            await worker

    async def test_are_not_lost_when_the_channel_is_closed_after_them(self) -> None:
        async with pair(drain_timeout=5) as p:
            await p.out.send("a")
            assert await p.w_in.receive() == "a"
            await p.w_out.send("A")
            p.w_out.close()
            p.out.close()
            with pytest.raises(EndOfChannel):
                await p.w_in.receive()
            assert [result async for result in p.in_] == ["A"]

    async def test_all_or_none_of_one_item_arrive(self) -> None:
        async with pair(types=(str, str, Any, str)) as p:
            await p.out.send_many("abc")
            await p.w_in.receive()
            await p.w_out.send("good")
            await p.w_out.send(5)  # is no str: the server cannot decode it
            await p.w_in.receive()
            await p.w_out.send("B")
            await p.w_in.receive()
            assert await p.heard() == ["B"]
            letter = await p.server.dead_letters.receive()
            assert (letter.item, letter.attempts) == ("a", 1)
            assert "its result does not decode" in letter.reason
            assert "Expected `str`, got `int`" in letter.reason
            assert (p.figures.settled, p.figures.undecodable, p.figures.results) == (1, 1, 2)

    async def test_as_many_as_fit_a_frame(self) -> None:
        async with pair(max_frame_size=1000) as p:
            await p.out.send_many("ab")
            assert await p.w_in.receive() == "a"
            await p.w_out.send("x" * 490)
            await p.w_out.send("y" * 490)
            for send in (p.w_out.send, p.w_out.send_nowait):
                with pytest.raises(FrameTooLarge, match=r"results='stream'"):
                    await (send("z" * 100) or asyncio.sleep(0))
            assert await p.w_in.receive() == "b"
            await p.w_out.send("z" * 900)  # another item, another frame
            with contextlib.suppress(WouldBlock):
                p.w_in.receive_nowait()
            assert [text[0] for text in await p.heard()] == ["x", "y", "z"]

    async def test_a_single_one_may_have_max_frame_size(self) -> None:
        async with pair(max_frame_size=1000) as p:
            await p.out.send_many("ab")
            assert await p.w_in.receive() == "a"
            with pytest.raises(FrameTooLarge):
                await p.w_out.send("x" * 998)
            await p.w_out.send("x" * 997)  # and three bytes of msgpack
            assert await p.w_in.receive() == "b"
            assert await p.heard() == ["x" * 997]


class TestUnattributedResults:
    async def test_travel_at_once(self) -> None:
        async with pair() as p:
            await p.w_out.send("hello")
            assert await p.in_.receive() == "hello"

    async def test_do_not_belong_to_what_other_tasks_hold(self) -> None:
        async with pair() as p:

            async def another() -> None:
                await p.w_out.send("nobody's")

            go = asyncio.Event()

            async def waiting() -> None:
                await go.wait()
                await another()

            task = asyncio.create_task(waiting())
            await p.out.send("a")
            await p.w_in.receive()
            go.set()
            await task
            assert await p.heard() == ["nobody's"]
            assert p.figures.settled == 0

    async def test_of_a_task_that_a_holder_has_started_are_warned_of_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with pair() as p:
            await p.out.send_many("ab")
            for text in "ab":
                assert await p.w_in.receive() == text

                async def helper() -> None:
                    await p.w_out.send("helped")

                for _ in range(3):
                    await asyncio.create_task(helper())
                assert await p.heard() == ["helped"] * 3
                assert p.figures.settled == (text == "b")
        warnings = [record for record in caplog.records if "lease()" in record.getMessage()]
        assert len(warnings) == 1
        assert warnings[0].levelno == logging.WARNING
        assert "`async with channel.lease() as item:`" in warnings[0].getMessage()

    async def test_of_a_worker_that_sums_up_need_no_warning(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with pair(types=(int, int, int, int), drain_timeout=5) as p:

            async def work() -> None:
                await p.w_out.send(sum([number async for number in p.w_in]))
                p.w_out.close()

            worker = asyncio.create_task(work())
            await p.out.send_many(range(10))
            p.out.close()
            assert [result async for result in p.in_] == [45]
            await worker
        assert "lease()" not in caplog.text


class TestStreamedResults:
    """Client(..., results="stream")"""

    async def test_travel_at_once_and_may_come_again(self) -> None:
        async with pair(results="stream") as p:

            async def work() -> None:
                await p.w_out.send((await p.w_in.receive()).upper())
                assert await p.heard() == ["A"]
                assert p.figures.settled == 0
                raise Oops

            await p.out.send("a")
            await fails(work())
            async with p.w_in.lease() as item:
                await p.w_out.send(item.upper())
                assert await p.heard() == ["A"]
                assert p.figures.settled == 0
            assert await p.heard() == []
            assert p.figures.settled == 1

    async def test_may_be_more_than_fits_a_frame(self, caplog: pytest.LogCaptureFixture) -> None:
        async with pair(results="stream", max_frame_size=1000) as p:
            await p.out.send("a")
            async with p.w_in.lease():
                await p.w_out.send_many(["x" * 900] * 10)
                await asyncio.create_task(p.w_out.send("by a helper"))
            assert await p.heard() == [*["x" * 900] * 10, "by a helper"]
        assert "lease()" not in caplog.text


class TestDeliveryAtMostOnce:
    @pytest.mark.parametrize("end", ["server", "client"])
    async def test_an_item_is_done_when_a_task_receives_it(self, end: str) -> None:
        out, in_, w_out, w_in = Channel(str), Channel(str), Channel(str), Channel(str)
        ask: dict[str, Any] = {"delivery": "at-most-once"}
        server_asks, client_asks = (ask, {}) if end == "server" else ({}, ask)
        async with Server("localhost:0", out, in_, prefetch=1, **server_asks) as server:
            async with Client(server.address, w_out, w_in, **client_asks):

                async def work() -> None:
                    await w_out.send((await w_in.receive()).upper())
                    await w_in.receive()  # although it is the one item that may be held
                    raise Oops

                await out.send("a")
                worker = asyncio.create_task(work())
                assert await in_.receive() == "A"
                assert server.statistics().settled == 1
                await out.send("b")
                with pytest.raises(Oops):
                    await worker
            out.close()
            assert [result async for result in in_] == []
            figures = server.statistics()
            assert (figures.settled, figures.redelivered, figures.lost) == (2, 0, 0)

    async def test_an_item_that_nobody_has_received_goes_to_others(self) -> None:
        out, first, second = Channel(str), Channel(str), Channel(str)
        async with Server("localhost:0", out, None, prefetch=5, delivery="at-most-once") as server:
            async with Client(server.address, None, first):
                await out.send_many("abc")
                assert await first.receive() == "a"
            async with Client(server.address, None, second):
                out.close()
                assert [text async for text in second] == ["b", "c"]
            assert server.statistics().settled == 3


class TestDeadLetters:
    @pytest.mark.parametrize("most", [1, 3])
    async def test_after_so_many_attempts(
        self, most: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with pair(max_attempts=most, drain_timeout=5) as p:

            async def work() -> list[int | None]:
                attempts = []
                with contextlib.suppress(EndOfChannel):
                    while True:
                        lease = p.w_in.lease()
                        with contextlib.suppress(Oops):
                            async with lease as item:
                                if item == "poison":
                                    attempts.append(lease.attempt)
                                    raise Oops(f"number {lease.attempt}")
                                await p.w_out.send(item.upper())
                p.w_out.close()
                return attempts

            worker = asyncio.create_task(work())
            await p.out.send_many(["a", "poison", "b"])
            p.out.close()  # nothing waits for anybody to look at dead letters
            assert sorted([result async for result in p.in_]) == ["A", "B"]
            assert await worker == list(range(1, most + 1))
            assert (p.figures.dead_lettered, p.figures.dealt) == (1, 2 + most)
            (letter,) = [letter async for letter in ended(p.server.dead_letters)]
            assert (letter.item, letter.attempts) == ("poison", most)
            what, *traceback, last = letter.reason.splitlines()
            assert what == f"Oops: number {most}"
            assert '    raise Oops(f"number {lease.attempt}")' in traceback
            assert last.endswith(what)
        assert f"is given up after {most} attempts: Oops: number {most}" in caplog.text

    async def test_what_was_given_back_does_not_count(self) -> None:
        async with pair(max_attempts=1) as p:
            await p.out.send("a")
            for _ in range(5):
                in_hand = asyncio.Event()

                async def work(in_hand: asyncio.Event = in_hand) -> None:
                    await p.w_in.receive()
                    in_hand.set()
                    await asyncio.Event().wait()

                await is_cancelled(work(), in_hand)
            await p.comes_again("a", attempt=1)
            assert await p.heard() == []
            assert (p.figures.settled, p.figures.dead_lettered) == (1, 0)

    async def test_what_does_not_decode_at_once(self, caplog: pytest.LogCaptureFixture) -> None:
        async with pair(types=(Any, int, str, str)) as p:
            await p.out.send_many([1, "two", 3])
            assert await p.w_in.receive() == 1
            assert await p.w_in.receive() == 3
            letter = await p.server.dead_letters.receive()
            assert (letter.item, letter.attempts) == ("two", 1)
            assert "Expected `int`, got `str`" in letter.reason
            assert p.figures.undecodable == 1
        assert "is given up after 1 attempts" in caplog.text

    async def test_nobody_has_to_want_them(self) -> None:
        async with pair(types=(Any, int, str, str), max_attempts=1) as p:
            p.server.dead_letters.close()
            await p.out.send_many(["no int", 7])
            assert await p.w_in.receive() == 7
            assert await p.heard() == []
            assert p.figures.dead_lettered == 1

    async def test_the_newest_thousand_are_kept_and_all_are_counted(self) -> None:
        async with pair(types=(Any, int, str, str), prefetch=256) as p:
            await p.out.send_many([f"no int {n}" for n in range(1005)])
            await p.out.send(7)
            assert await p.w_in.receive() == 7
            while p.figures.dead_lettered < 1005:
                await asyncio.sleep(0)
        letters = [letter.item async for letter in p.server.dead_letters]
        assert letters == [f"no int {n}" for n in range(5, 1005)]


async def ended(channel: Channel[Any]) -> AsyncIterator[Any]:
    """What is in a channel now."""
    while len(channel):
        yield channel.receive_nowait()
