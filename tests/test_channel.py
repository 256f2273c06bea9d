"""What a Channel and select promise, one example each.

Where a test says "in the same turn", something has been woken and has not run yet: that is where
items are lost or doubled, if anywhere.
"""

import asyncio
import collections.abc
import contextlib
import dataclasses
import enum
import threading
import typing
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Annotated, Any, Generic, Literal, NewType, Protocol, TypedDict, TypeVar

import pytest

import distchan
from distchan import (
    Channel,
    ChannelClosed,
    ChannelStatistics,
    DistchanError,
    EndOfChannel,
    WouldBlock,
    select,
)

R = TypeVar("R")


async def settle() -> None:
    """Let the loop turn until whoever can go on has gone on."""
    for _ in range(12):
        await asyncio.sleep(0)


async def parked(coroutine: Coroutine[Any, Any, R]) -> asyncio.Task[R]:
    """A task that has got to where it must wait."""
    task = asyncio.create_task(coroutine)
    await settle()
    assert not task.done(), "it should be waiting"
    return task


async def outcome(task: asyncio.Task[R]) -> R:
    """The result of a task that should have nothing more to wait for."""
    await settle()
    assert task.done(), "it still waits"
    return task.result()


async def ended(task: asyncio.Task[Any]) -> None:
    """The end of a task that has been cancelled."""
    with pytest.raises(asyncio.CancelledError):
        await outcome(task)


def filled(*items: R, item_type: Any = Any) -> Channel[R]:
    channel: Channel[R] = Channel(item_type, len(items))
    for item in items:
        channel.send_nowait(item)
    return channel


def drain(channel: Channel[R]) -> list[R]:
    """All that can be had without waiting."""
    items = []
    with contextlib.suppress(WouldBlock, EndOfChannel):
        while True:
            items.append(channel.receive_nowait())
    return items


# -- what it is -----------------------------------------------------------------------------------


def test_properties() -> None:
    channel = Channel(list[int], 3)
    assert channel.item_type == list[int]
    assert channel.capacity == 3
    assert not channel.closed
    assert len(channel) == 0


def test_defaults() -> None:
    channel: Channel[Any] = Channel()
    assert channel.item_type is Any
    assert channel.capacity == 0


def test_an_empty_channel_is_true() -> None:
    assert Channel(int)


@pytest.mark.parametrize(
    ("capacity", "error"),
    [(-1, ValueError), (1.0, TypeError), ("1", TypeError), (None, TypeError)],
)
def test_capacity_is_checked(capacity: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Channel(int, capacity)


def test_len_counts_what_is_buffered() -> None:
    channel = filled(1, 2, 3)
    assert len(channel) == 3
    channel.receive_nowait()
    assert len(channel) == 2


def test_repr() -> None:
    channel = Channel(list[int], 2)
    channel.send_nowait([1])
    assert repr(channel).startswith("<Channel[list[int]] 1 of 2 buffered at 0x")
    channel.close()
    assert "buffered closed at" in repr(channel)


async def test_statistics() -> None:
    channel = Channel(int, 1)
    await channel.send_many([1])
    sender = await parked(channel.send(2))
    assert channel.statistics() == ChannelStatistics(
        capacity=1,
        buffered=1,
        waiting_senders=1,
        waiting_receivers=0,
        sent=1,
        received=0,
        closed=False,
    )
    assert await channel.receive() == 1
    assert await channel.receive() == 2
    await outcome(sender)
    receiver = await parked(channel.receive())
    statistics = channel.statistics()
    assert (statistics.sent, statistics.received) == (2, 2)
    assert (statistics.waiting_senders, statistics.waiting_receivers) == (0, 1)
    channel.close()
    with pytest.raises(EndOfChannel):
        await outcome(receiver)
    assert channel.statistics().closed
    assert channel.statistics().waiting_receivers == 0


# -- sending and receiving ------------------------------------------------------------------------


async def test_unbuffered_send_waits_for_a_receiver() -> None:
    channel = Channel(int)
    sender = await parked(channel.send(1))
    assert len(channel) == 0
    assert await channel.receive() == 1
    await outcome(sender)


async def test_unbuffered_receiver_is_served_by_a_later_send() -> None:
    channel = Channel(int)
    receiver = await parked(channel.receive())
    await channel.send(1)
    assert await outcome(receiver) == 1


async def test_unbuffered_send_waits_although_another_was_served() -> None:
    channel = Channel(int)
    receiver = await parked(channel.receive())
    senders = [asyncio.create_task(channel.send(number)) for number in (1, 2)]
    assert await outcome(receiver) == 1
    assert [sender.done() for sender in senders] == [True, False]


async def test_buffered_send_waits_for_a_place_only() -> None:
    channel = Channel(int, 2)
    await channel.send(1)
    await channel.send(2)
    sender = await parked(channel.send(3))
    assert await channel.receive() == 1
    await outcome(sender)
    assert drain(channel) == [2, 3]


async def test_a_call_that_is_never_awaited_is_warned_of(recwarn: pytest.WarningsRecorder) -> None:
    channel = Channel(int, 1)
    with pytest.raises(ZeroDivisionError):  # which is on its way while the call is deleted
        [channel.send(1), 1 / 0]
    assert "never awaited" in str(recwarn.pop(RuntimeWarning).message)
    with pytest.raises(ZeroDivisionError):
        [channel.receive(), 1 / 0]
    assert "never awaited" in str(recwarn.pop(RuntimeWarning).message)
    assert len(channel) == 0
    await channel.send(1)
    assert await channel.receive() == 1
    assert not recwarn.list


async def test_none_is_an_item() -> None:
    channel = Channel(None, 1)
    await channel.send(None)
    assert len(channel) == 1
    assert await channel.receive() is None
    receiver = await parked(channel.receive())
    channel.send_nowait(None)
    assert await outcome(receiver) is None
    channel.send_nowait(None)
    assert await select(channel) == (channel, None)


async def test_what_an_await_could_take_for_its_own_is_an_item() -> None:
    items = [(1, 2), (), StopIteration(3), EndOfChannel("an item"), None]
    channel = filled(*items)
    assert [await channel.receive() for _ in items] == items
    other = filled(*items)
    other.close()
    assert [item async for item in other] == items


@pytest.mark.parametrize("capacity", [0, 1, 3])
async def test_senders_are_served_first_come_first_served(capacity: int) -> None:
    channel = Channel(int, capacity)
    senders = [asyncio.create_task(channel.send(number)) for number in range(10)]
    await settle()
    assert [sender.done() for sender in senders] == [i < capacity for i in range(10)]
    for number in range(10):
        assert await channel.receive() == number
        await settle()
        assert [sender.done() for sender in senders] == [
            i < number + 1 + capacity for i in range(10)
        ]


async def test_receivers_are_served_first_come_first_served() -> None:
    channel = Channel(int, 1)
    receivers = [await parked(channel.receive()) for _ in range(5)]
    for number, receiver in enumerate(receivers):
        await channel.send(number)
        assert await outcome(receiver) == number
    receivers = [await parked(channel.receive()) for _ in range(5)]
    await channel.send_many(range(5))
    assert [await outcome(receiver) for receiver in receivers] == [0, 1, 2, 3, 4]


async def test_a_newcomer_does_not_overtake_waiting_senders() -> None:
    channel = filled("a")
    waiting = [await parked(channel.send("b")), await parked(channel.send("c"))]
    assert channel.receive_nowait() == "a"  # b has been granted the place and has not run yet
    with pytest.raises(WouldBlock):
        channel.send_nowait("x")
    newcomer = await parked(channel.send("d"))
    assert [await channel.receive() for _ in range(3)] == ["b", "c", "d"]
    for task in (*waiting, newcomer):
        await outcome(task)


async def test_a_newcomer_does_not_take_the_place_of_a_woken_sender() -> None:
    channel = filled("a")
    waiting = await parked(channel.send("b"))
    assert channel.receive_nowait() == "a"
    with pytest.raises(WouldBlock):
        channel.send_nowait("x")
    await outcome(waiting)
    assert drain(channel) == ["b"]


async def test_an_item_for_a_woken_receiver_takes_no_place() -> None:
    channel = Channel(int, 1)
    receiver = await parked(channel.receive())
    channel.send_nowait(1)
    channel.send_nowait(2)
    with pytest.raises(WouldBlock):
        channel.send_nowait(3)
    assert await outcome(receiver) == 1
    assert drain(channel) == [2]


async def test_a_newcomer_behind_a_woken_sender_gets_the_place_that_is_left() -> None:
    channel = filled(1, 2)
    waiting = await parked(channel.send(3))
    newcomer = asyncio.create_task(channel.send(4))  # comes before the woken one runs
    assert [channel.receive_nowait(), channel.receive_nowait()] == [1, 2]
    await outcome(waiting)
    await outcome(newcomer)
    assert drain(channel) == [3, 4]


async def test_a_newcomer_does_not_take_what_a_woken_receiver_was_woken_for() -> None:
    channel = Channel(int)
    receiver = await parked(channel.receive())
    channel.send_nowait(1)
    assert len(channel) == 0, "it is as good as received"
    with pytest.raises(WouldBlock):
        channel.receive_nowait()
    late = await parked(channel.receive())
    assert await outcome(receiver) == 1
    channel.send_nowait(2)
    assert await outcome(late) == 2


async def test_many_tasks_at_both_ends() -> None:
    channel = Channel(int, 3)
    received: list[int] = []

    async def send(start: int) -> None:
        for number in range(start, start + 100):
            await channel.send(number)

    async def receive() -> None:
        async for number in channel:
            received.append(number)  # noqa: PERF401

    async with asyncio.TaskGroup() as receivers:
        for _ in range(3):
            receivers.create_task(receive())
        async with asyncio.TaskGroup() as senders:
            for start in range(0, 500, 100):
                senders.create_task(send(start))
        channel.close()
    assert sorted(received) == list(range(500))


# -- without waiting ------------------------------------------------------------------------------


def test_send_nowait_needs_a_place_or_a_receiver() -> None:
    channel = filled(1)
    with pytest.raises(WouldBlock):
        channel.send_nowait(2)
    assert drain(channel) == [1]
    with pytest.raises(WouldBlock):
        Channel(int).send_nowait(1)


async def test_send_nowait_serves_a_waiting_receiver() -> None:
    channel = Channel(int)
    receiver = await parked(channel.receive())
    channel.send_nowait(1)
    with pytest.raises(WouldBlock):
        channel.send_nowait(2)  # in the same turn: it has its item
    assert await outcome(receiver) == 1


def test_receive_nowait_needs_an_item() -> None:
    channel = filled(1)
    assert channel.receive_nowait() == 1
    with pytest.raises(WouldBlock):
        channel.receive_nowait()


async def test_receive_nowait_takes_from_waiting_senders() -> None:
    channel = Channel(int)
    senders = [await parked(channel.send(1)), await parked(channel.send(2))]
    assert channel.receive_nowait() == 1
    assert channel.receive_nowait() == 2
    with pytest.raises(WouldBlock):
        channel.receive_nowait()
    for sender in senders:
        await outcome(sender)
    assert channel.statistics().sent == channel.statistics().received == 2
    assert channel.statistics().waiting_senders == 0


async def test_receive_nowait_skips_a_sender_cancelled_in_the_same_turn() -> None:
    channel = Channel(int)
    senders = [await parked(channel.send(1)), await parked(channel.send(2))]
    senders[0].cancel()
    assert channel.receive_nowait() == 2
    with pytest.raises(WouldBlock):
        channel.receive_nowait()
    await ended(senders[0])
    await outcome(senders[1])


async def test_receive_nowait_drains_buffer_and_senders_in_order() -> None:
    channel = filled(1)
    senders = [await parked(channel.send(number)) for number in (2, 3, 4)]
    assert drain(channel) == [1, 2, 3, 4]  # all in the same turn
    for sender in senders:
        await outcome(sender)
    channel.send_nowait(5)
    assert drain(channel) == [5]


async def test_receive_nowait_leaves_a_sender_to_the_receiver_that_came_first() -> None:
    channel = Channel(int)
    sender = await parked(channel.send(1))
    receiver = asyncio.create_task(channel.receive())
    tried: list[object] = []

    def try_receive() -> None:  # after the receiver has come, before the sender runs
        with pytest.raises(WouldBlock):
            channel.receive_nowait()
        tried.append(None)

    asyncio.get_running_loop().call_soon(try_receive)
    assert await outcome(receiver) == 1
    await outcome(sender)
    assert tried


async def test_receive_nowait_passes_on_the_turn_of_the_sender_it_took_from() -> None:
    channel = Channel(int)
    senders = [await parked(channel.send(1)), await parked(channel.send(2))]
    receiver = asyncio.create_task(channel.receive())
    taken: list[int] = []
    asyncio.get_running_loop().call_soon(lambda: taken.append(channel.receive_nowait()))
    assert [await outcome(receiver), *taken] in ([1, 2], [2, 1])
    for sender in senders:
        await outcome(sender)


async def test_would_block_is_no_channel_closed() -> None:
    assert issubclass(WouldBlock, DistchanError)
    assert not issubclass(WouldBlock, ChannelClosed)


# -- batches and iteration ------------------------------------------------------------------------


async def test_async_for_ends_with_the_channel() -> None:
    channel = filled(1, 2, 3)
    channel.close()
    assert [number async for number in channel] == [1, 2, 3]
    assert [number async for number in channel] == []


async def test_async_for_raises_the_error_of_close() -> None:
    channel = filled(1)
    channel.close(error=ZeroDivisionError("worse"))
    seen = []
    with pytest.raises(ZeroDivisionError, match="worse"):
        async for number in channel:
            seen.append(number)  # noqa: PERF401
    assert seen == [1]


async def test_send_many_suspends_where_it_must() -> None:
    channel = Channel(int, 2)
    await channel.send_many([])
    await channel.send_many([1, 2])
    sender = await parked(channel.send_many(iter([3, 4])))
    assert [await channel.receive() for _ in range(4)] == [1, 2, 3, 4]
    await outcome(sender)
    assert channel.statistics().sent == 4


async def test_send_many_interrupted_has_sent_what_came_before() -> None:
    channel = Channel(int, 2)
    sender = await parked(channel.send_many([1, 2, 3, 4]))
    sender.cancel()
    await ended(sender)
    assert drain(channel) == [1, 2]
    assert channel.statistics().sent == 2


async def test_send_many_checks_each_item() -> None:
    channel = Channel(int, 5)
    items: list[Any] = [1, 2, "three", 4]
    with pytest.raises(TypeError):
        await channel.send_many(items)
    assert drain(channel) == [1, 2]


async def test_send_many_on_a_channel_closed_meanwhile() -> None:
    channel = Channel(int, 2)
    sender = await parked(channel.send_many([1, 2, 3, 4]))
    channel.close()
    with pytest.raises(ChannelClosed):
        await outcome(sender)
    assert drain(channel) == [1, 2]


async def test_send_many_lets_others_in_between() -> None:
    channel = Channel(str)
    batch = await parked(channel.send_many(["a", "b"]))
    single = await parked(channel.send("x"))
    assert [await channel.receive() for _ in range(3)] == ["a", "x", "b"]
    await outcome(batch)
    await outcome(single)


async def test_receive_many_takes_what_is_there() -> None:
    channel = filled(1, 2, 3, 4, 5)
    assert await channel.receive_many(2) == [1, 2]
    assert await channel.receive_many(100) == [3, 4, 5]


async def test_receive_many_waits_for_the_first_only() -> None:
    channel = Channel(int, 5)
    receiver = await parked(channel.receive_many(3))
    await channel.send_many([1, 2, 3, 4])
    assert await outcome(receiver) == [1, 2, 3]
    assert drain(channel) == [4]
    receiver = await parked(channel.receive_many(3))
    await channel.send(5)
    assert await outcome(receiver) == [5]


async def test_receive_many_takes_nothing_that_belongs_to_another() -> None:
    channel = Channel(int, 5)
    batch = await parked(channel.receive_many(5))
    other = await parked(channel.receive())
    await channel.send_many([1, 2, 3])
    assert await outcome(batch) == [1, 2]
    assert await outcome(other) == 3


async def test_receive_many_at_the_end() -> None:
    channel = filled(1)
    channel.close()
    assert await channel.receive_many(5) == [1]
    with pytest.raises(EndOfChannel):
        await channel.receive_many(5)


async def test_receive_many_checks_its_limit() -> None:
    channel = filled(1)
    for limit in (0, -1):
        with pytest.raises(ValueError):
            await channel.receive_many(limit)
    assert len(channel) == 1


# -- closing --------------------------------------------------------------------------------------


async def test_nothing_can_be_sent_after_close() -> None:
    channel = Channel(int, 5)
    channel.close()
    assert channel.closed
    sends: list[Callable[[], Awaitable[object]]] = [
        lambda: channel.send(1),
        lambda: channel.send_many([1]),
        lambda: select((channel, 1)),
    ]
    for send in sends:
        with pytest.raises(ChannelClosed) as caught:
            await send()
        assert not isinstance(caught.value, EndOfChannel)
        assert caught.value.channel is channel
    with pytest.raises(ChannelClosed) as caught:
        channel.send_nowait(1)
    assert caught.value.channel is channel
    assert len(channel) == 0


async def test_what_is_buffered_is_still_received() -> None:
    channel = filled(1, 2, 3)
    channel.close()
    assert len(channel) == 3
    assert await channel.receive() == 1
    assert channel.receive_nowait() == 2
    assert await channel.receive_many(1) == [3]
    receives: list[Callable[[], Awaitable[object]]] = [
        channel.receive,
        lambda: channel.receive_many(1),
        lambda: select(channel),
    ]
    for receive in receives:
        with pytest.raises(EndOfChannel) as caught:
            await receive()
        assert caught.value.channel is channel
    with pytest.raises(EndOfChannel) as caught:
        channel.receive_nowait()
    assert caught.value.channel is channel


async def test_close_is_idempotent_and_the_first_counts() -> None:
    channel = Channel(int)
    channel.close()
    channel.close()
    channel.close(error=ZeroDivisionError())
    with pytest.raises(EndOfChannel):
        await channel.receive()


async def test_close_wakes_every_waiting_receiver() -> None:
    channel, other = Channel(int), Channel(int)
    waiting: list[asyncio.Task[Any]] = [
        await parked(channel.receive()),
        await parked(channel.receive()),
        await parked(channel.receive_many(5)),
        await parked(select(other, channel)),
    ]
    channel.close()
    for task in waiting:
        with pytest.raises(EndOfChannel) as caught:
            await outcome(task)
        assert caught.value.channel is channel
    assert other.statistics().waiting_receivers == 0


async def test_close_wakes_every_waiting_sender_and_sends_nothing() -> None:
    channel, other = filled(0), Channel(int)
    waiting: list[asyncio.Task[Any]] = [
        await parked(channel.send(1)),
        await parked(channel.send(2)),
        await parked(channel.send_many([3, 4])),
        await parked(select(other, (channel, 5))),
    ]
    channel.close()
    for task in waiting:
        with pytest.raises(ChannelClosed) as caught:
            await outcome(task)
        assert not isinstance(caught.value, EndOfChannel)
        assert caught.value.channel is channel
    assert drain(channel) == [0]
    assert channel.statistics().sent == 1
    assert other.statistics().waiting_receivers == 0


async def test_close_in_the_turn_in_which_a_sender_was_woken() -> None:
    channel = filled(0)
    sender = await parked(channel.send(1))
    assert channel.receive_nowait() == 0
    channel.close()
    with pytest.raises(ChannelClosed):
        await outcome(sender)
    assert drain(channel) == []


async def test_close_in_the_turn_in_which_a_select_was_woken_to_send() -> None:
    a, b = filled(0), Channel(int)
    waiting = await parked(select(b, (a, 1)))
    assert a.receive_nowait() == 0
    a.close()
    with pytest.raises(ChannelClosed) as caught:
        await outcome(waiting)
    assert caught.value.channel is a
    assert drain(a) == []
    assert a.statistics().sent == 1


async def test_close_in_the_turn_in_which_a_sender_was_taken_from() -> None:
    channel = Channel(int)
    sender = await parked(channel.send(1))
    assert channel.receive_nowait() == 1
    channel.close()
    await outcome(sender)
    assert channel.statistics().sent == 1


async def test_close_in_the_turn_in_which_a_receiver_was_woken() -> None:
    channel = Channel(int)
    first, second = await parked(channel.receive()), await parked(channel.receive())
    channel.send_nowait(1)
    channel.close()
    assert await outcome(first) == 1
    with pytest.raises(EndOfChannel):
        await outcome(second)


async def test_the_end_has_not_come_while_a_woken_receiver_may_leave_its_item() -> None:
    channel = Channel(int)
    receiver = await parked(channel.receive())
    channel.send_nowait(1)
    channel.close()
    with pytest.raises(WouldBlock):
        channel.receive_nowait()
    assert await select(channel, default="later") == (None, "later")
    waiting = asyncio.create_task(channel.receive())
    receiver.cancel()
    assert await outcome(waiting) == 1
    await ended(receiver)
    with pytest.raises(EndOfChannel):
        channel.receive_nowait()


async def test_close_with_an_error() -> None:
    channel = Channel(int, 1)
    await channel.send(1)
    sender = await parked(channel.send(2))
    error = ZeroDivisionError("worse")
    channel.close(error=error)
    with pytest.raises(ChannelClosed) as caught:
        await outcome(sender)
    assert caught.value.__cause__ is error
    assert await channel.receive() == 1
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="worse"):
            await channel.receive()
        with pytest.raises(ZeroDivisionError, match="worse"):
            channel.receive_nowait()
        with pytest.raises(ZeroDivisionError, match="worse"):
            await select(channel)


async def test_close_with_an_error_wakes_waiting_receivers_with_it() -> None:
    channel = Channel(int)
    waiting: list[asyncio.Task[Any]] = [
        await parked(channel.receive()),
        await parked(select(channel, Channel(int))),
    ]
    channel.close(error=ZeroDivisionError("worse"))
    for task in waiting:
        with pytest.raises(ZeroDivisionError, match="worse"):
            await outcome(task)


# -- item types -----------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = 1


class Movie(TypedDict):
    title: str


class Reader(Protocol):
    def read(self) -> bytes: ...


@dataclasses.dataclass
class Box(Generic[R]):
    content: R


UserId = NewType("UserId", int)
AdminId = NewType("AdminId", UserId)

ACCEPTED: list[tuple[Any, object]] = [
    (Any, object()),
    (object, None),
    (int, 1),
    (int, True),
    (float, 1.5),
    (float, 1),
    (complex, 1),
    (bytes, b""),
    (bytes, bytearray()),
    (bytes, memoryview(b"")),
    (None, None),
    (type(None), None),
    (list[int], []),
    (list[int], ["the outermost type only"]),
    (dict[str, int], {1: 2}),
    (tuple[int, ...], ("a",)),
    (typing.List[int], [1]),  # noqa: UP006
    (collections.abc.Sequence[int], (1,)),
    (int | None, None),
    (int | None, 1),
    (typing.Optional[int], None),  # noqa: UP045
    (typing.Union[list[int], str], "a"),  # noqa: UP007
    (float | str, 1),
    (int | Any, "a"),
    (Box[int], Box("a")),
    (Movie, {"title": 1}),
    (UserId, 1),
    (AdminId, 1),
    (Literal["a", 1], "a"),
    (Literal["a", 1], "another"),
    (Annotated[int, "metres"], 1),
    (Reader, object()),
    (Colour, Colour.RED),
    (R, 1),
]

REFUSED: list[tuple[Any, object, str]] = [
    (int, "1", "this channel carries int, not str"),
    (int, None, "this channel carries int, not NoneType"),
    (int, 1.0, "this channel carries int, not float"),
    (str, b"", "this channel carries str, not bytes"),
    (bytes, "", "this channel carries bytes, not str"),
    (bytearray, b"", "this channel carries bytearray, not bytes"),
    (float, "1", "this channel carries float, not str"),
    (None, 0, "this channel carries None, not int"),
    (list[int], (1,), "this channel carries list[int], not tuple"),
    (tuple[int, ...], [1], "this channel carries tuple[int, ...], not list"),
    (int | None, "a", "this channel carries int | None, not str"),
    (typing.Optional[int], "a", "this channel carries int | None, not str"),  # noqa: UP045
    (list[int] | str, 1, "this channel carries list[int] | str, not int"),
    (Box[int], 1, "this channel carries Box[int], not int"),
    (Movie, [], "this channel carries Movie, not list"),
    (AdminId, "1", "this channel carries AdminId, not str"),
    (Literal["a", 1], 1.5, "this channel carries Literal['a', 1], not float"),
    (Annotated[int, "metres"], "1", "this channel carries int, not str"),
    (Colour, 1, "this channel carries Colour, not int"),
]


@pytest.mark.parametrize(("item_type", "item"), ACCEPTED)
def test_items_that_are_accepted(item_type: Any, item: object) -> None:
    channel: Channel[Any] = Channel(item_type, 1)
    channel.send_nowait(item)
    assert channel.receive_nowait() is item


@pytest.mark.parametrize(("item_type", "item", "message"), REFUSED)
def test_items_that_are_refused(item_type: Any, item: object, message: str) -> None:
    channel: Channel[Any] = Channel(item_type, 1)
    with pytest.raises(TypeError) as caught:
        channel.send_nowait(item)
    assert str(caught.value) == message
    assert len(channel) == 0


async def test_every_way_of_sending_checks_the_type() -> None:
    channel: Channel[Any] = Channel(int, 5)
    sends: list[Callable[[], Awaitable[object]]] = [
        lambda: channel.send("a"),
        lambda: channel.send_many(["a"]),
        lambda: select((channel, "a")),
        lambda: select(Channel(int), (channel, "a"), default=None),
    ]
    for send in sends:
        with pytest.raises(TypeError, match="carries int, not str"):
            await send()
    assert channel.statistics().sent == len(channel) == 0


@pytest.mark.parametrize("no_type", [5, 1.5, b"int", [int], {"a": int}, print])
def test_what_is_no_type(no_type: Any) -> None:
    with pytest.raises(TypeError, match="an item type is a type"):
        Channel(no_type)


# -- the loop -------------------------------------------------------------------------------------


def test_nowait_works_before_any_loop_runs() -> None:
    channel = filled(1, 2)
    assert channel.receive_nowait() == 1

    async def main() -> int:
        return await channel.receive()

    assert asyncio.run(main()) == 2


def test_nowait_and_close_work_after_the_loop_has_ended() -> None:
    channel = Channel(int, 1)
    asyncio.run(channel.send(1))
    assert channel.receive_nowait() == 1
    channel.send_nowait(2)
    channel.close()
    assert channel.closed
    assert drain(channel) == [2]


def test_close_after_the_loop_has_ended_with_tasks_waiting() -> None:
    channel = Channel(int)

    async def main() -> None:
        await parked(channel.receive())
        await parked(select(Channel(int), channel))

    asyncio.run(main())  # cancels what is left
    assert channel.statistics().waiting_receivers == 0
    channel.close()


AWAITED: list[Callable[[Channel[Any]], Coroutine[Any, Any, object]]] = [
    lambda channel: channel.send(1),
    lambda channel: channel.receive(),
    lambda channel: channel.send_many([1]),
    lambda channel: channel.receive_many(1),
    lambda channel: anext(channel),
    lambda channel: select(channel),
    lambda channel: select((channel, 1)),
    lambda channel: select(channel, default=None),
]
AWAITED_NAMES = [
    "send",
    "receive",
    "send_many",
    "receive_many",
    "anext",
    "select receive",
    "select send",
    "select default",
]

CALLED: list[Callable[[Channel[Any]], object]] = [
    lambda channel: channel.send_nowait(1),
    lambda channel: channel.receive_nowait(),
    lambda channel: channel.close(),
]
CALLED_NAMES = ["send_nowait", "receive_nowait", "close"]


async def await_it(
    operation: Callable[[Channel[Any]], Awaitable[object]], channel: Channel[Any]
) -> None:
    await operation(channel)


@pytest.mark.parametrize("operation", AWAITED, ids=AWAITED_NAMES)
@pytest.mark.parametrize("first", AWAITED, ids=AWAITED_NAMES)
def test_awaiting_in_another_loop(
    first: Callable[[Channel[Any]], Awaitable[object]],
    operation: Callable[[Channel[Any]], Awaitable[object]],
) -> None:
    channel: Channel[Any] = Channel(int, 4)
    channel.send_nowait(1)
    asyncio.run(await_it(first, channel))
    before = channel.statistics()
    with pytest.raises(RuntimeError, match="belongs to another event loop"):
        asyncio.run(await_it(operation, channel))
    assert channel.statistics() == before


@pytest.mark.parametrize("operation", CALLED, ids=CALLED_NAMES)
def test_calling_in_another_loop(operation: Callable[[Channel[Any]], object]) -> None:
    channel: Channel[Any] = Channel(int, 4)
    asyncio.run(channel.send(1))

    async def main() -> None:
        operation(channel)

    with pytest.raises(RuntimeError, match="belongs to another event loop"):
        asyncio.run(main())
    assert len(channel) == 1
    assert not channel.closed


def in_a_thread(function: Callable[[], object]) -> BaseException | None:
    """What it raises in another thread, while the loop of this one runs (but does not turn)."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return errors[0] if errors else None


@pytest.mark.parametrize("operation", CALLED, ids=CALLED_NAMES)
async def test_calling_in_another_thread(operation: Callable[[Channel[Any]], object]) -> None:
    channel: Channel[Any] = Channel(int, 4)
    await channel.send(1)
    error = in_a_thread(lambda: operation(channel))
    assert isinstance(error, RuntimeError)
    assert "another event loop or thread" in str(error)
    assert len(channel) == 1
    assert not channel.closed


@pytest.mark.parametrize("operation", AWAITED, ids=AWAITED_NAMES)
async def test_awaiting_in_another_thread(
    operation: Callable[[Channel[Any]], Awaitable[object]],
) -> None:
    channel: Channel[Any] = Channel(int, 4)
    await channel.send(1)
    error = in_a_thread(lambda: asyncio.run(await_it(operation, channel)))
    assert isinstance(error, RuntimeError)
    assert "another event loop" in str(error)
    assert len(channel) == 1


@contextlib.contextmanager
def counted_turns() -> Iterator[Callable[[], int]]:
    """How many turns another task of the loop has had."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(count())
    yield lambda: turns
    task.cancel()


async def one_by_one(channel: Channel[int], count: int) -> None:
    for number in range(count):
        await channel.send(number)
        await channel.receive()


async def sends_only(channel: Channel[int], count: int) -> None:
    for number in range(count):
        await channel.send(number)


async def send_many_only(channel: Channel[int], count: int) -> None:
    await channel.send_many(range(count))


async def receives_only(channel: Channel[int], count: int) -> None:
    for number in range(count):
        channel.send_nowait(number)
    for _ in range(count):
        await channel.receive()


async def iterates_only(channel: Channel[int], count: int) -> None:
    for number in range(count):
        channel.send_nowait(number)
    channel.close()
    async for _ in channel:
        pass


async def small_batches(channel: Channel[int], count: int) -> None:
    for _ in range(count // 2):
        await channel.send_many([1, 2])
        await channel.receive_many(2)


async def polls(channel: Channel[int], count: int) -> None:
    for _ in range(count):
        await select(channel, default=None)


async def selects(channel: Channel[int], count: int) -> None:
    never = Channel(int)
    for number in range(count):
        await select(never, (channel, number))
        await select(channel, never)


async def selects_among_many(channel: Channel[int], count: int) -> None:
    others = [Channel(int, count), Channel(int, count)]
    for number in range(count):
        await select((channel, number), *((other, number) for other in others))


async def raises(channel: Channel[int], count: int) -> None:
    channel.close()
    for _ in range(count):
        with pytest.raises(EndOfChannel):
            await channel.receive()


@pytest.mark.parametrize(
    "busy",
    [
        one_by_one,
        sends_only,
        send_many_only,
        receives_only,
        iterates_only,
        small_batches,
        polls,
        selects,
        selects_among_many,
        raises,
    ],
)
async def test_a_task_that_never_waits_does_not_starve_the_loop(
    busy: Callable[[Channel[int], int], Awaitable[None]],
) -> None:
    with counted_turns() as turns:
        await busy(Channel(int, 5000), 5000)
        assert turns() >= 5


async def test_a_pair_that_never_waits_long_does_not_starve_the_loop() -> None:
    channel = Channel(int, 100)
    with counted_turns() as turns:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sends_only(channel, 5000))
            for _ in range(5000):
                await channel.receive()
        assert turns() >= 5


async def test_a_task_cancelled_in_such_a_turn_loses_nothing() -> None:
    channel = Channel(int, 5000)
    task = asyncio.create_task(channel.send_many(range(5000)))
    while not len(channel):
        await asyncio.sleep(0)
    task.cancel()
    await ended(task)
    sent = channel.statistics().sent
    assert 0 < sent < 5000
    assert drain(channel) == list(range(sent))


# -- select ---------------------------------------------------------------------------------------


async def test_select_receives_from_the_one_that_is_ready() -> None:
    a, b = Channel(int), filled("b")
    assert await select(a, b) == (b, "b")
    assert a.statistics().waiting_receivers == 0


async def test_select_sends_on_the_one_that_is_ready() -> None:
    a, b = Channel(int), Channel(int, 1)
    assert await select((a, 1), (b, 2)) == (b, 2)
    assert drain(b) == [2]
    assert (a.statistics().sent, b.statistics().sent) == (0, 1)
    assert a.statistics().waiting_senders == 0


async def test_select_waits_to_receive() -> None:
    a, b = Channel(int), Channel(int)
    waiting = await parked(select(a, b))
    await b.send(1)
    assert await outcome(waiting) == (b, 1)
    with pytest.raises(WouldBlock):
        a.send_nowait(2)


async def test_select_waits_to_send() -> None:
    a, b = Channel(int), Channel(int)
    waiting = await parked(select((a, 1), (b, 2)))
    assert await b.receive() == 2
    assert await outcome(waiting) == (b, 2)
    with pytest.raises(WouldBlock):
        a.receive_nowait()
    assert (a.statistics().sent, b.statistics().sent) == (0, 1)


async def test_select_takes_from_a_waiting_sender() -> None:
    a, b = Channel(int), Channel(int)
    sender = await parked(a.send(1))
    assert await select(a, b) == (a, 1)
    await outcome(sender)


async def test_select_serves_a_waiting_receiver() -> None:
    a, b = Channel(int), Channel(int)
    receiver = await parked(a.receive())
    assert await select((a, 1), b) == (a, 1)
    assert await outcome(receiver) == 1


async def test_a_select_may_be_served_by_another() -> None:
    a, b = Channel(int), Channel(int)
    receiving = await parked(select(a, b))
    assert await select((a, 1), (b, 2)) in ((a, 1), (b, 2))
    channel, item = await outcome(receiving)
    assert (channel, item) in ((a, 1), (b, 2))
    sending = await parked(select((a, 1), (b, 2)))
    channel, item = await select(a, b)
    assert await outcome(sending) == (channel, item)


async def test_select_crosswise() -> None:
    a, b = Channel(str), Channel(str)
    first = await parked(select(a, (b, "to b")))
    second = asyncio.create_task(select(b, (a, "to a")))
    outcomes = [await outcome(first), await outcome(second)]
    assert outcomes in ([(a, "to a")] * 2, [(b, "to b")] * 2)


async def test_default_when_nothing_is_ready() -> None:
    a, b = Channel(int), filled(0)
    assert await select(a, (b, 1), default="nothing") == (None, "nothing")
    assert await select(a, default=None) == (None, None)
    assert drain(b) == [0]


async def test_default_when_something_is_ready() -> None:
    a, b = Channel(int), filled(1)
    assert await select(a, b, default=None) == (b, 1)
    assert await select(a, (b, 2), default=None) == (b, 2)
    sender = await parked(a.send(3))
    assert await select(a, default=None) == (a, 3)
    await outcome(sender)
    receiver = await parked(a.receive())
    assert await select((a, 4), default=None) == (a, 4)
    assert await outcome(receiver) == 4


async def both_buffered(a: Channel[int], b: Channel[int]) -> list[Any]:
    return [a, b]


async def both_to_be_sent(a: Channel[int], b: Channel[int]) -> list[Any]:
    drain(a), drain(b)
    return [(a, 1), (b, 1)]


async def one_to_be_sent(a: Channel[int], b: Channel[int]) -> list[Any]:
    drain(a)
    return [(a, 1), b]


@pytest.mark.parametrize("cases", [both_buffered, both_to_be_sent, one_to_be_sent])
@pytest.mark.parametrize("options", [{}, {"default": None}], ids=["waiting", "default"])
async def test_one_of_several_ready_ones_is_chosen_at_random(
    cases: Callable[[Channel[int], Channel[int]], Awaitable[list[Any]]], options: dict[str, Any]
) -> None:
    chosen = set()
    for _ in range(60):  # a fair coin falls on one side 60 times in 10**18 runs
        a, b = filled(1), filled(1)
        channel, _ = await select(*await cases(a, b), **options)
        chosen.add("a" if channel is a else "b")
    assert chosen == {"a", "b"}


async def test_a_waiting_sender_is_in_the_draw_beside_a_channel_that_always_has_something() -> None:
    always, sometimes = Channel(int, capacity=60), Channel(int)
    for i in range(60):  # as above
        always.send_nowait(i)
    sender = asyncio.create_task(sometimes.send(-1))
    await settle()
    drawn = [await select(always, sometimes) for _ in range(60)]
    assert (sometimes, -1) in drawn
    await sender


@pytest.mark.parametrize("options", [{}, {"default": None}], ids=["waiting", "default"])
async def test_one_of_several_waiting_senders_is_chosen_at_random(options: dict[str, Any]) -> None:
    chosen = set()
    for _ in range(60):
        a, b = Channel(str), Channel(str)
        senders = [asyncio.create_task(a.send("a")), asyncio.create_task(b.send("b"))]
        await settle()
        chosen.add((await select(a, b, **options))[1])
        await settle()
        for sender in senders:
            sender.cancel()
    assert chosen == {"a", "b"}


async def test_exactly_one_of_two_waiting_senders_proceeds() -> None:
    a, b = Channel(str), Channel(str)
    senders = {a: await parked(a.send("from a")), b: await parked(b.send("from b"))}
    channel, item = await select(a, b)
    assert channel is not None
    assert item == ("from a" if channel is a else "from b")
    other = b if channel is a else a
    await outcome(senders[channel])
    assert not senders[other].done()
    assert len(other) == 0
    assert other.statistics().waiting_senders == 1
    newcomer = await parked(other.send("late"))
    assert await other.receive() == ("from b" if channel is a else "from a")
    await outcome(senders[other])
    assert await other.receive() == "late"
    await outcome(newcomer)


async def test_exactly_one_of_two_waiting_receivers_is_served() -> None:
    a, b = Channel(int), Channel(int)
    receivers = {a: await parked(a.receive()), b: await parked(b.receive())}
    channel, _ = await select((a, 1), (b, 2))
    assert channel is not None
    await outcome(receivers[channel])
    assert not receivers[b if channel is a else a].done()


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
async def test_items_that_come_to_both_in_the_same_turn(order: list[int]) -> None:
    channels = [Channel(int, 1), Channel(int, 1)]
    waiting = await parked(select(*channels))
    for index in order:
        channels[index].send_nowait(index)
    assert await outcome(waiting) == (channels[order[0]], order[0])
    assert drain(channels[order[1]]) == [order[1]]


async def test_receivers_that_come_to_both_in_the_same_turn() -> None:
    a, b = Channel(str), Channel(str)
    waiting = await parked(select((a, "a"), (b, "b")))
    receivers = [asyncio.create_task(a.receive()), asyncio.create_task(b.receive())]
    assert await outcome(waiting) == (a, "a")
    assert await outcome(receivers[0]) == "a"
    assert not receivers[1].done()
    b.send_nowait("another")
    assert await outcome(receivers[1]) == "another"


async def test_receive_nowait_takes_nothing_from_a_select_that_has_sent_elsewhere() -> None:
    a, b = Channel(str), Channel(str)
    waiting = await parked(select((a, "a"), (b, "b")))
    receiver = asyncio.create_task(a.receive())
    tried: list[object] = []

    def try_receive() -> None:
        tried.append(drain(b))

    asyncio.get_running_loop().call_soon(try_receive)
    assert await outcome(waiting) == (a, "a")
    assert await outcome(receiver) == "a"
    assert tried == [[]]


async def test_receive_nowait_takes_nothing_from_a_select_that_has_received_elsewhere() -> None:
    a, b = Channel(str), Channel(str)
    waiting = await parked(select(a, (b, "b")))
    a.send_nowait("a")
    assert drain(b) == []
    assert await select(b, default=None) == (None, None)
    assert await outcome(waiting) == (a, "a")
    assert b.statistics().sent == b.statistics().received == 0


async def test_select_stands_in_line_with_all_others() -> None:
    a, b = Channel(int), Channel(int)
    first = await parked(a.receive())
    second = await parked(select(b, a))
    third = await parked(a.receive())
    for number in (1, 2, 3):
        await a.send(number)
    assert await outcome(first) == 1
    assert await outcome(second) == (a, 2)
    assert await outcome(third) == 3


async def test_select_stands_in_line_to_send() -> None:
    a, b = Channel(int), Channel(int)
    senders: list[asyncio.Task[Any]] = [
        await parked(a.send(1)),
        await parked(select(b, (a, 2))),
        await parked(a.send(3)),
    ]
    assert [await a.receive() for _ in range(3)] == [1, 2, 3]
    for sender in senders:
        await outcome(sender)


async def test_closed_channels_end_a_select() -> None:
    a, b = Channel(int), Channel(int)
    b.close()
    with pytest.raises(EndOfChannel) as caught:
        await select(a, b)
    assert caught.value.channel is b
    with pytest.raises(EndOfChannel) as caught:
        await select(a, b, default=None)
    assert caught.value.channel is b
    with pytest.raises(ChannelClosed) as closed:
        await select(a, (b, 1))
    assert closed.value.channel is b
    assert a.statistics().waiting_receivers == 0


@pytest.mark.parametrize("first", [True, False])
async def test_a_channel_closed_meanwhile_ends_a_select(first: bool) -> None:
    a, b = Channel(int), Channel(int)
    cases: list[Any] = [b, a] if first else [a, b]
    waiting = await parked(select(*cases))
    b.close()
    with pytest.raises(EndOfChannel) as caught:
        await outcome(waiting)
    assert caught.value.channel is b
    assert a.statistics().waiting_receivers == 0


async def test_a_closed_channel_is_received_from_until_drained() -> None:
    a, b = Channel(int), filled(1)
    b.close()
    assert await select(a, b) == (b, 1)
    with pytest.raises(EndOfChannel):
        await select(a, b)


@pytest.mark.parametrize(
    ("cases", "error"),
    [
        (lambda a: (), ValueError),
        (lambda a: (a, a), ValueError),
        (lambda a: (a, (a, 1)), ValueError),
        (lambda a: ((a, 1), (a, 2)), ValueError),
        (lambda a: (5,), TypeError),
        (lambda a: (None,), TypeError),
        (lambda a: (a, (a, 1, 2)), TypeError),
        (lambda a: ((a,),), TypeError),
        (lambda a: ((1, a),), TypeError),
        (lambda a: ([a, 1],), TypeError),
        (lambda a: ("ab",), TypeError),
    ],
)
@pytest.mark.parametrize("options", [{}, {"default": None}], ids=["waiting", "default"])
async def test_bad_cases(
    cases: Callable[[Channel[int]], tuple[Any, ...]],
    error: type[Exception],
    options: dict[str, Any],
) -> None:
    a = filled(1)
    with pytest.raises(error):
        await asyncio.wait_for(select(*cases(a), **options), 10)
    assert len(a) == 1


# -- cancellation ---------------------------------------------------------------------------------


async def test_wait_for_a_receive() -> None:
    channel = Channel(int)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(channel.receive(), 0.001)
    assert channel.statistics().waiting_receivers == 0
    waiting = await parked(asyncio.wait_for(channel.receive(), 60))
    await channel.send(1)
    assert await outcome(waiting) == 1


async def test_timeout_around_a_send_and_a_select() -> None:
    channel = Channel(int)
    for operation in (channel.send(1), select((channel, 1)), select(channel)):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await operation
    assert channel.statistics() == Channel(int).statistics()


async def test_cancelling_a_waiting_receive() -> None:
    channel = Channel(int)
    first, second = await parked(channel.receive()), await parked(channel.receive())
    first.cancel()
    await ended(first)
    channel.send_nowait(1)
    assert await outcome(second) == 1


async def test_cancelling_a_waiting_receive_in_the_turn_of_a_send() -> None:
    channel = Channel(int)
    first, second = await parked(channel.receive()), await parked(channel.receive())
    first.cancel()
    channel.send_nowait(1)
    with pytest.raises(WouldBlock):
        channel.send_nowait(2)
    await ended(first)
    assert await outcome(second) == 1


async def test_cancelling_the_only_receive_in_the_turn_of_a_send() -> None:
    channel = Channel(int)
    receiver = await parked(channel.receive())
    receiver.cancel()
    with pytest.raises(WouldBlock):
        channel.send_nowait(1)
    await ended(receiver)


async def test_cancelling_a_woken_receive_passes_the_item_on() -> None:
    channel = Channel(int)
    receivers = [await parked(channel.receive()) for _ in range(3)]
    channel.send_nowait(1)
    receivers[0].cancel()
    channel.send_nowait(2)
    await ended(receivers[0])
    assert [await outcome(receiver) for receiver in receivers[1:]] == [1, 2]


async def test_cancelling_the_only_woken_receive_leaves_the_item() -> None:
    channel = Channel(int)
    receiver = await parked(channel.receive())
    channel.send_nowait(1)
    receiver.cancel()
    await ended(receiver)
    assert len(channel) == 1
    sender = await parked(channel.send(2))
    assert await channel.receive() == 1
    assert await channel.receive() == 2
    await outcome(sender)


async def test_cancelling_a_woken_receive_of_a_closed_channel() -> None:
    channel = Channel(int)
    first, second = await parked(channel.receive()), await parked(channel.receive())
    channel.send_nowait(1)
    channel.close()
    first.cancel()
    await ended(first)
    assert await outcome(second) == 1
    with pytest.raises(EndOfChannel):
        await channel.receive()


async def test_cancelling_a_woken_receive_many() -> None:
    channel = Channel(int, 3)
    receiver = await parked(channel.receive_many(3))
    await channel.send_many([1, 2, 3])
    receiver.cancel()
    await ended(receiver)
    assert drain(channel) == [1, 2, 3]


@pytest.mark.parametrize("capacity", [0, 1])
async def test_cancelling_a_waiting_send(capacity: int) -> None:
    channel = Channel(int, capacity)
    await channel.send_many(range(capacity))
    first, second = await parked(channel.send(10)), await parked(channel.send(20))
    first.cancel()
    await ended(first)
    assert [await channel.receive() for _ in range(capacity + 1)] == [*range(capacity), 20]
    await outcome(second)
    assert drain(channel) == []
    assert channel.statistics().sent == capacity + 1


async def test_cancelling_a_send_woken_for_a_place() -> None:
    channel = filled(0)
    first, second = await parked(channel.send(1)), await parked(channel.send(2))
    assert channel.receive_nowait() == 0
    first.cancel()
    await ended(first)
    await outcome(second)
    assert drain(channel) == [2]


async def test_cancelling_the_only_send_woken_for_a_place() -> None:
    channel = filled(0)
    sender = await parked(channel.send(1))
    assert channel.receive_nowait() == 0
    sender.cancel()
    await ended(sender)
    assert drain(channel) == []
    channel.send_nowait(2)
    assert drain(channel) == [2]


async def test_cancelling_a_send_woken_by_a_receiver() -> None:
    channel = Channel(int)
    first, second = await parked(channel.send(1)), await parked(channel.send(2))
    receiver = asyncio.create_task(channel.receive())
    asyncio.get_running_loop().call_soon(first.cancel)  # after the receiver, before the sender
    assert await outcome(receiver) == 2
    await ended(first)
    await outcome(second)


async def test_cancelling_the_receiver_by_which_a_send_was_woken() -> None:
    channel = Channel(int)
    senders = [await parked(channel.send(number)) for number in (1, 2, 3)]
    receivers = [asyncio.create_task(channel.receive()) for _ in range(2)]
    for receiver in receivers:
        asyncio.get_running_loop().call_soon(receiver.cancel)
    for receiver in receivers:
        await ended(receiver)
    assert not any(sender.done() for sender in senders)
    assert channel.statistics().waiting_senders == 3
    assert len(channel) == 0
    for number, sender in enumerate(senders, 1):  # all have kept their places
        assert await channel.receive() == number
        await outcome(sender)


async def test_cancelling_the_receiver_and_the_send_that_it_woke() -> None:
    channel = Channel(int)
    first, second = await parked(channel.send(1)), await parked(channel.send(2))
    receiver = asyncio.create_task(channel.receive())
    for task in (receiver, first):
        asyncio.get_running_loop().call_soon(task.cancel)
    await ended(receiver)
    await ended(first)
    assert not second.done()
    assert await channel.receive() == 2
    await outcome(second)


async def test_a_send_that_stepped_back_is_woken_by_the_next_receiver_of_the_same_turn() -> None:
    channel = Channel(int)
    sender = await parked(channel.send(1))
    first = asyncio.create_task(channel.receive())
    asyncio.get_running_loop().call_soon(first.cancel)
    second = asyncio.create_task(channel.receive())
    assert await outcome(second) == 1
    await ended(first)
    await outcome(sender)


async def test_cancelling_a_waiting_select() -> None:
    a, b, c = Channel(int), Channel(int), Channel(int)
    waiting = await parked(select(a, b, (c, 1)))
    waiting.cancel()
    await ended(waiting)
    for channel in (a, b, c):
        assert channel.statistics() == Channel(int).statistics()
    with pytest.raises(WouldBlock):
        a.send_nowait(1)
    with pytest.raises(WouldBlock):
        c.receive_nowait()


async def test_cancelling_a_select_woken_to_receive() -> None:
    a, b = Channel(int), Channel(int)
    waiting = await parked(select(b, a))
    next_in_line = await parked(a.receive())
    a.send_nowait(1)
    waiting.cancel()
    await ended(waiting)
    assert await outcome(next_in_line) == 1
    waiting = await parked(select(b, a))
    a.send_nowait(2)
    waiting.cancel()
    await ended(waiting)
    assert drain(a) == [2]


async def test_cancelling_a_select_woken_to_send() -> None:
    a, b = filled(0), Channel(int)
    waiting = await parked(select(b, (a, 1)))
    next_in_line = await parked(a.send(2))
    assert a.receive_nowait() == 0
    waiting.cancel()
    await ended(waiting)
    await outcome(next_in_line)
    assert drain(a) == [2]


async def test_cancelling_the_receiver_by_which_a_select_was_woken() -> None:
    a, b = Channel(int), Channel(int)
    waiting = await parked(select(b, (a, 1)))
    receiver = asyncio.create_task(a.receive())
    asyncio.get_running_loop().call_soon(receiver.cancel)
    await ended(receiver)
    assert not waiting.done()
    b.send_nowait(2)
    assert await outcome(waiting) == (b, 2)
    assert a.statistics() == Channel(int).statistics()


async def test_a_select_that_was_left_takes_the_other_chance_of_the_same_turn() -> None:
    a, b = Channel(str), Channel(str)
    waiting = await parked(select((a, "a"), (b, "b")))
    first, second = asyncio.create_task(a.receive()), asyncio.create_task(b.receive())
    asyncio.get_running_loop().call_soon(first.cancel)
    assert await outcome(second) == "b"
    assert await outcome(waiting) == (b, "b")
    await ended(first)
    assert a.statistics() == Channel(str).statistics()


async def test_cancelled_after_any_number_of_turns() -> None:
    """Whatever has completed counts, whatever was cancelled has not happened."""
    for victim in range(5):
        for turns in range(8):
            a, b = Channel(int), Channel(int, 1)
            tasks: list[asyncio.Task[Any]] = [
                asyncio.create_task(a.send(1)),
                asyncio.create_task(select((a, 2), (b, 2))),
                asyncio.create_task(select(b, a)),
                asyncio.create_task(a.receive()),
                asyncio.create_task(b.send(3)),
            ]
            for _ in range(turns):
                await asyncio.sleep(0)
            tasks[victim].cancel()
            await settle()
            items = [1, None, None, None, 3]
            if tasks[1].done() and not tasks[1].cancelled():
                items[1] = 2
            sent = sorted(
                item
                for item, task in zip(items, tasks, strict=True)
                if item is not None and task.done() and not task.cancelled()
            )
            received = [
                task.result()[1] if task is tasks[2] else task.result()
                for task in tasks[2:4]
                if task.done() and not task.cancelled()
            ]
            for task in tasks:
                task.cancel()
            await settle()
            assert sorted(received + drain(a) + drain(b)) == sent


def test_the_public_names_are_there() -> None:
    assert {"Channel", "ChannelStatistics", "select"} <= set(distchan.__all__)
