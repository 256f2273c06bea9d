"""Channels and select against a model, in any order that hypothesis can think of.

ExactMachine lets the loop come to rest after every operation: who waits, who got what and in which
order is then determined. RaceMachine lets things happen in the same turn of the loop, where much
is left to chance, but nothing may be lost or doubled and nobody may be forgotten.
"""

import asyncio
import sys
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from distchan import Channel, ChannelClosed, EndOfChannel, WouldBlock, select

#: Shrinking a failure to its shortest form may take minutes.
pytestmark = pytest.mark.timeout(600)

SETTINGS = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

CAPACITIES = st.tuples(st.integers(0, 3), st.integers(0, 2))
INDEX = st.integers(0, 1)
COUNT = st.integers(1, 4)


class Worse(Exception):
    """What a channel may be closed with."""


class Driver:
    """A private event loop that turns only when told to."""

    def __init__(
        self,
        new_loop: Callable[[], asyncio.AbstractEventLoop],
        capacities: tuple[int, int],
    ) -> None:
        self.loop = new_loop()
        self.channels: list[Channel[int]] = [Channel(int, capacity) for capacity in capacities]
        self.tasks: list[asyncio.Task[Any]] = []
        self.complaints: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self.loop.create_task(coroutine)
        self.tasks.append(task)
        return task

    def turn(self) -> None:
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def settle(self) -> None:
        """Turn until nothing has happened for some turns."""
        before, quiet = None, 0
        while quiet < 5:
            self.turn()
            state = [channel.statistics() for channel in self.channels]
            quiet = quiet + 1 if state == before else 0
            before = state

    def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.settle()
        errors = [task.exception() for task in self.tasks if not task.cancelled()]
        self.loop.close()
        assert not self.complaints
        assert all(isinstance(error, ChannelClosed | Worse | None) for error in errors)


# -- the exact model ------------------------------------------------------------------------------


class Operation:
    """What one task does, and what the model says has become of it."""

    def __init__(self, items: list[int] | None = None, limit: int | None = None) -> None:
        self.items = deque(items or [])
        self.limit = limit
        self.is_select = False
        self.done = False
        self.value: object = None
        self.error: type[BaseException] | None = None
        self.task: asyncio.Task[Any]

    def finish(self, value: object = None, error: type[BaseException] | None = None) -> None:
        assert not self.done
        self.done, self.value, self.error = True, value, error


class ChannelModel:
    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.buffer: deque[int] = deque()
        self.reserved = 0
        self.receivers: list[Operation] = []
        self.senders: list[tuple[Operation, int]] = []
        self.closed = False
        self.end: type[BaseException] = EndOfChannel
        self.sent = 0
        self.received = 0

    @property
    def has_place(self) -> bool:
        return bool(self.receivers) or len(self.buffer) - self.reserved < self.capacity

    @property
    def accepts(self) -> bool:
        return not self.senders and self.has_place

    @property
    def drained(self) -> bool:
        return self.closed and not self.buffer

    def take(self) -> int:
        self.received += 1
        return self.buffer.popleft()


class ExactMachine(RuleBasedStateMachine):
    @initialize(capacities=CAPACITIES)
    def begin(self, capacities: tuple[int, int]) -> None:
        self.driver = Driver(asyncio.new_event_loop, capacities)
        self.channels = self.driver.channels
        self.models = [ChannelModel(capacity) for capacity in capacities]
        self.woken: list[tuple[Operation, ChannelModel]] = []
        self.operations: list[Operation] = []
        self.number = 0

    def teardown(self) -> None:
        if hasattr(self, "driver"):
            self.driver.close()

    # -- the model

    def item(self) -> int:
        self.number += 1
        return self.number

    def start(self, operation: Operation, coroutine: Coroutine[Any, Any, Any]) -> None:
        operation.task = self.driver.start(coroutine)
        self.operations.append(operation)
        self.driver.settle()

    def leave(self, operation: Operation) -> None:
        for model in self.models:
            model.receivers = [other for other in model.receivers if other is not operation]
            model.senders = [entry for entry in model.senders if entry[0] is not operation]

    def put(self, model: ChannelModel, item: int) -> None:
        """Into a channel that has a place."""
        model.sent += 1
        model.buffer.append(item)
        if model.receivers:
            receiver = model.receivers[0]
            self.leave(receiver)
            model.reserved += 1
            self.woken.append((receiver, model))

    def go_on_sending(self, model: ChannelModel, sender: Operation) -> None:
        while sender.items:
            if model.closed:
                return sender.finish(error=ChannelClosed)
            if not model.accepts:
                return model.senders.append((sender, sender.items[0]))
            self.put(model, sender.items.popleft())
        return sender.finish()

    def has_sent(self, model: ChannelModel, sender: Operation, item: int) -> None:
        self.leave(sender)
        if sender.is_select:
            sender.finish((self.channels[self.models.index(model)], item))
        else:
            sender.items.popleft()
            self.go_on_sending(model, sender)

    def come_to_rest(self) -> None:
        moved = True
        while moved:
            moved = False
            while self.woken:
                receiver, model = self.woken.pop(0)
                model.reserved -= 1
                self.receive_with(model, receiver)
                moved = True
            for model in self.models:
                while model.senders and model.has_place:
                    sender, item = model.senders[0]
                    self.put(model, item)
                    self.has_sent(model, sender, item)
                    moved = True

    def receive_with(self, model: ChannelModel, receiver: Operation) -> None:
        item = model.take()
        if receiver.is_select:
            receiver.finish((self.channels[self.models.index(model)], item))
        elif receiver.limit is None:
            receiver.finish(item)
        else:
            more = min(receiver.limit - 1, len(model.buffer) - model.reserved)
            receiver.finish([item, *(model.take() for _ in range(more))])

    # -- the rules

    @rule(index=INDEX)
    def send(self, index: int) -> None:
        sender = Operation([self.item()])
        self.start(sender, self.channels[index].send(sender.items[0]))
        self.go_on_sending(self.models[index], sender)
        self.come_to_rest()

    @rule(index=INDEX, count=COUNT)
    def send_many(self, index: int, count: int) -> None:
        sender = Operation([self.item() for _ in range(count)])
        self.start(sender, self.channels[index].send_many(list(sender.items)))
        self.go_on_sending(self.models[index], sender)
        self.come_to_rest()

    @rule(index=INDEX, limit=st.none() | COUNT)
    def receive(self, index: int, limit: int | None) -> None:
        model, channel = self.models[index], self.channels[index]
        receiver = Operation(limit=limit)
        if limit is None:
            self.start(receiver, channel.receive())
        else:
            self.start(receiver, channel.receive_many(limit))
        if model.buffer:
            self.receive_with(model, receiver)
        elif model.closed:
            receiver.finish(error=model.end)
        else:
            model.receivers.append(receiver)
        self.come_to_rest()

    @rule(index=INDEX)
    def send_nowait(self, index: int) -> None:
        model, item = self.models[index], self.item()
        if model.closed:
            with pytest.raises(ChannelClosed):
                self.channels[index].send_nowait(item)
        elif not model.accepts:
            with pytest.raises(WouldBlock):
                self.channels[index].send_nowait(item)
        else:
            self.channels[index].send_nowait(item)
            self.put(model, item)
        self.driver.settle()
        self.come_to_rest()

    @rule(index=INDEX)
    def receive_nowait(self, index: int) -> None:
        model, channel = self.models[index], self.channels[index]
        if model.buffer:
            assert channel.receive_nowait() == model.take()
        elif model.closed:
            with pytest.raises(model.end):
                channel.receive_nowait()
        elif model.senders:
            sender, item = model.senders[0]
            assert channel.receive_nowait() == item
            model.sent += 1
            model.received += 1
            self.has_sent(model, sender, item)
        else:
            with pytest.raises(WouldBlock):
                channel.receive_nowait()
        self.driver.settle()
        self.come_to_rest()

    @rule(
        indices=st.permutations([0, 1]) | st.lists(INDEX, min_size=1, max_size=1),
        sends=st.tuples(st.booleans(), st.booleans()),
        waits=st.booleans(),
    )
    def select(self, indices: list[int], sends: tuple[bool, bool], waits: bool) -> None:
        operation = Operation()
        operation.is_select = True
        items = {index: self.item() for index in indices if sends[index]}
        cases: list[Any] = [
            (self.channels[index], items[index]) if index in items else self.channels[index]
            for index in indices
        ]
        if waits:
            self.start(operation, select(*cases))
        else:
            self.start(operation, select(*cases, default="nothing"))
        task = operation.task

        if any(self.models[index].closed for index in items):
            return operation.finish(error=ChannelClosed)
        ready, ends = [], []
        for index in indices:
            model = self.models[index]
            if index in items:
                if model.accepts:
                    ready.append(index)
            elif model.buffer or model.senders:
                ready.append(index)
            elif model.closed:
                ends.append(model.end)

        if not task.done():
            assert waits
            assert not ready
            assert not ends
            for index in indices:
                if index in items:
                    self.models[index].senders.append((operation, items[index]))
                else:
                    self.models[index].receivers.append(operation)
            return None
        if (error := task.exception()) is not None:
            assert type(error) in ends
            return operation.finish(error=type(error))
        if not ready and not ends:
            assert not waits
            return operation.finish((None, "nothing"))
        chosen = self.channels.index(task.result()[0])
        assert chosen in ready
        model = self.models[chosen]
        if chosen in items:
            self.put(model, items[chosen])
            operation.finish((self.channels[chosen], items[chosen]))
        elif model.buffer:
            self.receive_with(model, operation)
        else:
            model.receivers.append(operation)
        return self.come_to_rest()

    @precondition(lambda self: any(not operation.done for operation in self.operations))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        waiting = [operation for operation in self.operations if not operation.done]
        operation = data.draw(st.sampled_from(waiting))
        operation.task.cancel()
        self.driver.settle()
        self.leave(operation)
        operation.finish(error=asyncio.CancelledError)

    @rule(index=INDEX, error=st.sampled_from([None, Worse]), seldom=st.integers(0, 3))
    def close(self, index: int, error: type[Worse] | None, seldom: int) -> None:
        if seldom:
            return
        model = self.models[index]
        self.channels[index].close(None if error is None else error())
        self.driver.settle()
        if model.closed:
            return
        model.closed = True
        model.end = error or EndOfChannel
        for sender, _ in tuple(model.senders):
            self.leave(sender)
            sender.finish(error=ChannelClosed)
        for receiver in tuple(model.receivers):
            self.leave(receiver)
            receiver.finish(error=model.end)

    # -- what must be equal

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        if not hasattr(self, "driver"):
            return
        for operation in self.operations:
            assert operation.task.done() == operation.done
            if not operation.done:
                continue
            if operation.error is asyncio.CancelledError:
                assert operation.task.cancelled()
            elif operation.error is not None:
                assert type(operation.task.exception()) is operation.error
            else:
                assert operation.task.result() == operation.value
        for model, channel in zip(self.models, self.channels, strict=True):
            statistics = channel.statistics()
            assert len(channel) == statistics.buffered == len(model.buffer)
            assert channel.closed == model.closed
            assert statistics.waiting_senders == len(model.senders)
            assert statistics.waiting_receivers == len(model.receivers)
            assert statistics.sent == model.sent
            assert statistics.received == model.received


# -- races ----------------------------------------------------------------------------------------


class Sending:
    """The items that one task was to send, those that it did, and whether it was interrupted."""

    def __init__(self, items: list[int], in_order: bool) -> None:
        self.items = items
        self.sent: list[int] = []
        self.in_order = in_order
        self.interrupted = False


class RaceMachine(RuleBasedStateMachine):
    new_loop: Callable[[], asyncio.AbstractEventLoop] = staticmethod(asyncio.new_event_loop)

    @initialize(capacities=CAPACITIES)
    def begin(self, capacities: tuple[int, int]) -> None:
        self.driver = Driver(self.new_loop, capacities)
        self.channels = self.driver.channels
        self.sendings: list[Sending] = []
        #: In the order in which they were received, for each channel.
        self.received: list[list[int]] = [[], []]
        self.received_at_once = 0
        self.number = 0

    def new_items(self, count: int) -> list[int]:
        self.number += count
        return list(range(self.number - count + 1, self.number + 1))

    # -- what the tasks do

    async def _send(self, index: int, sending: Sending) -> None:
        try:
            await self.channels[index].send(sending.items[0])
        except BaseException:
            sending.interrupted = True
            raise
        sending.sent = sending.items

    async def _send_many(self, index: int, sending: Sending) -> None:
        def draw() -> Iterator[int]:
            for place, item in enumerate(sending.items):
                sending.sent = sending.items[:place]  # else it would not ask for the next one
                yield item
            sending.sent = sending.items

        try:
            await self.channels[index].send_many(draw())
        except BaseException:
            sending.interrupted = True
            raise

    async def _receive(self, index: int) -> None:
        item = await self.channels[index].receive()
        self.received[index].append(item)

    async def _receive_many(self, index: int, limit: int) -> None:
        items = await self.channels[index].receive_many(limit)
        assert 1 <= len(items) <= limit
        self.received[index] += items

    async def _iterate(self, index: int) -> None:
        async for item in self.channels[index]:
            self.received[index].append(item)

    async def _select(self, cases: list[Any], sending: Sending) -> None:
        try:
            channel, item = await select(*cases)
        except BaseException:
            sending.interrupted = True
            raise
        assert channel is not None
        if item in sending.items:
            sending.sent = [item]
        else:
            self.received[self.channels.index(channel)].append(item)

    # -- the rules

    @rule(index=INDEX)
    def send(self, index: int) -> None:
        sending = Sending(self.new_items(1), in_order=True)
        self.sendings.append(sending)
        self.driver.start(self._send(index, sending))

    @rule(index=INDEX, count=COUNT)
    def send_many(self, index: int, count: int) -> None:
        sending = Sending(self.new_items(count), in_order=True)
        self.sendings.append(sending)
        self.driver.start(self._send_many(index, sending))

    @rule(index=INDEX)
    def send_nowait(self, index: int) -> None:
        sending = Sending(self.new_items(1), in_order=True)
        try:
            self.channels[index].send_nowait(sending.items[0])
        except (WouldBlock, ChannelClosed):
            sending.interrupted = True
        else:
            sending.sent = sending.items
        self.sendings.append(sending)

    @rule(index=INDEX)
    def receive(self, index: int) -> None:
        self.driver.start(self._receive(index))

    @rule(index=INDEX, limit=COUNT)
    def receive_many(self, index: int, limit: int) -> None:
        self.driver.start(self._receive_many(index, limit))

    @rule(index=INDEX, seldom=st.integers(0, 4))
    def iterate(self, index: int, seldom: int) -> None:
        if not seldom:
            self.driver.start(self._iterate(index))

    @rule(index=INDEX)
    def receive_nowait(self, index: int) -> None:
        try:
            item = self.channels[index].receive_nowait()
        except (WouldBlock, EndOfChannel, Worse):
            return
        self.received[index].append(item)
        self.received_at_once += 1

    @rule(sends=st.tuples(st.booleans(), st.booleans()), turned=st.booleans())
    def select(self, sends: tuple[bool, bool], turned: bool) -> None:
        sending = Sending(self.new_items(sum(sends)), in_order=False)
        items = iter(sending.items)
        cases: list[Any] = [
            (channel, next(items)) if sends[index] else channel
            for index, channel in enumerate(self.channels)
        ]
        self.sendings.append(sending)
        self.driver.start(self._select(cases[::-1] if turned else cases, sending))

    @precondition(lambda self: any(not task.done() for task in self.driver.tasks))
    @rule(
        index=INDEX,
        provoked=st.sampled_from(["nothing", "send", "receive", "take", "both"]),
        place=st.integers(0, 3),
        at_once=st.booleans(),
    )
    def cancel(self, index: int, provoked: str, place: int, at_once: bool) -> None:
        """Cancel a task, one that may just have been woken for good measure."""
        if provoked in ("send", "both"):
            self.send_nowait(index)
        if provoked in ("receive", "both"):
            self.receive(index)
        if provoked == "take" and len(self.channels[index]):
            self.receive_nowait(index)
        waiting = [task for task in self.driver.tasks if not task.done()]
        task = waiting[place % len(waiting)]
        if at_once:
            task.cancel()
        else:
            self.driver.loop.call_soon(task.cancel)

    @rule(index=INDEX, error=st.sampled_from([None, Worse]), seldom=st.integers(0, 9))
    def close(self, index: int, error: type[Worse] | None, seldom: int) -> None:
        if not seldom:
            self.channels[index].close(None if error is None else error())

    @rule(turns=st.integers(1, 3))
    def turn(self, turns: int) -> None:
        for _ in range(turns):
            self.driver.turn()

    @rule()
    def settle(self) -> None:
        self.driver.settle()
        self.check()

    def teardown(self) -> None:
        if not hasattr(self, "driver"):
            return
        try:
            self.driver.settle()
            self.check()
        finally:
            self.driver.close()
        self.check()
        for channel, received in zip(self.channels, self.received, strict=True):
            assert channel.statistics().waiting_senders == 0
            assert channel.statistics().waiting_receivers == 0
            received += [channel.receive_nowait() for _ in range(len(channel))]
        assert self.received_of_all() == Counter(self.sent_of_all())

    # -- what must hold

    def received_of_all(self) -> Counter[int]:
        return Counter(self.received[0] + self.received[1])

    def sent_of_all(self) -> list[int]:
        """What was sent, and what receive_nowait took from a task cancelled in the same turn."""
        sent = []
        received = self.received_of_all()
        excused = self.received_at_once
        for sending in self.sendings:
            sent += sending.sent
            if sending.interrupted and excused:
                taken = [i for i in sending.items if i in received and i not in sending.sent]
                sent += taken[:1]
                excused -= len(taken[:1])
        return sent

    def check(self) -> None:
        received = self.received_of_all()
        sent = Counter(self.sent_of_all())
        assert all(count == 1 for count in received.values()), "received twice"
        assert received <= sent, "received without having been sent"
        assert sum((sent - received).values()) == sum(map(len, self.channels)), "lost"
        for items in self.received:
            place = {item: index for index, item in enumerate(items)}
            for sending in self.sendings:
                if sending.in_order:
                    places = [place[item] for item in sending.items if item in place]
                    assert places == sorted(places), "out of order"
        for channel in self.channels:
            statistics = channel.statistics()
            if statistics.waiting_receivers:
                assert len(channel) == 0, "a receiver waits, an item is there"
                assert not statistics.waiting_senders, "they wait for each other"
            if statistics.waiting_senders:
                assert len(channel) >= channel.capacity, "a sender waits, a place is free"
            if channel.closed:
                assert not statistics.waiting_senders, "a sender of a closed channel waits"
                if not len(channel):
                    assert not statistics.waiting_receivers, "waiting for what will not come"


RaceMachine.TestCase.settings = SETTINGS
ExactMachine.TestCase.settings = SETTINGS

TestExact = ExactMachine.TestCase
TestRaces = RaceMachine.TestCase

if sys.platform != "win32":
    import uvloop

    class UvloopRaceMachine(RaceMachine):
        new_loop = staticmethod(uvloop.new_event_loop)

    UvloopRaceMachine.TestCase.settings = SETTINGS
    TestRacesOnUvloop = UvloopRaceMachine.TestCase
