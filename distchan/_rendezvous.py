"""How senders and receivers of a channel meet, whatever the type of its items.

Items that have been sent and not yet received are in ``_buffer`` (or, if they came from the
network, in the inlet). Whoever cannot go on stands in a queue and is woken when its turn comes;
being woken reserves something, but moves nothing:

* a woken *receiver* has one of the available items reserved (``_woken`` counts them), and takes it
  itself when it runs again;
* a woken *sender* has a place reserved (it stands in ``_granted``), and puts its item there itself
  when it runs again; if the receiver for whom it was woken has gone meanwhile, it steps back to
  where it stood.

So an item is in exactly one place at every moment, and a task that is cancelled between being
woken and running again has nothing in its hands: its reservation passes on to the next in line.
The price is that a send which had to wait completes one turn of the loop later.

What succeeds at once suspends nobody: many operations in a row, a *streak*, make a task the only
one that runs. So a streak ends after a while, and the loop gets a turn: other tasks run, and what
has been encoded is written.
"""

import asyncio
import operator
import types
from _thread import get_ident
from collections import OrderedDict, deque
from collections.abc import Coroutine, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias

from distchan._calls import EMPTY, Callee, receiving, sending
from distchan._lease import Lease
from distchan._pace import now
from distchan._ports import Inlet, Outlet, Sender
from distchan._tasks import running_task, task_of
from distchan._typecheck import runtime_types, type_name
from distchan.errors import ChannelClosed, ChannelInUse, DistchanError, EndOfChannel, WouldBlock

__all__ = ["Channel", "ChannelStatistics", "Waiter", "new_waiter", "turn"]

#: How many operations a streak may have; between these limits it is as many as take about as long
#: as _LONG, in seconds.
_FIRST_STREAK: Final = 128
_SHORTEST_STREAK: Final = 16
_LONGEST_STREAK: Final = 1024
_LONG: Final = 0.001

#: What is queued: an item and, on a channel bound to the network, its encoded form.
_Entry: TypeAlias = tuple[Any, bytes | None]

_NO_RELAY: Final = (
    "the incoming channel of a Client cannot be another object's outgoing one: relay with a task"
)


@types.coroutine
def turn() -> Generator[None, None, None]:
    """Let the event loop turn once."""
    yield


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """A snapshot of one channel, see :meth:`Channel.statistics`."""

    capacity: int
    """As given to the channel."""
    buffered: int
    """Items that can be received without waiting for a sender."""
    waiting_senders: int
    waiting_receivers: int
    sent: int
    """Items sent by tasks of this process since the channel was made."""
    received: int
    """Items received by tasks of this process."""
    closed: bool


class Waiter:
    """One suspended send, receive or select, standing in the queue of each of its channels."""

    __slots__ = ("_loop", "channel", "future", "sent")

    _loop: Any
    future: asyncio.Future[None]
    #: The channel that woke it with a reservation; None if it was closed instead.
    channel: Any
    #: Whether a receive_nowait took the item straight from its hands.
    sent: bool

    def renew(self) -> None:
        """Let it wait again."""
        self.future = self._loop.create_future()
        self.channel = None

    def wake(self, channel: "Channel | None") -> bool:
        """Wake it, unless it has been woken or cancelled already."""
        if self.future.done():
            return False
        self.channel = channel
        self.future.set_result(None)
        return True


def new_waiter(loop: Any) -> Waiter:
    """Without __init__, which takes longer to call."""
    waiter = Waiter.__new__(Waiter)
    waiter._loop = loop
    waiter.future = loop.create_future()
    waiter.channel = None
    waiter.sent = False
    return waiter


class Channel(Callee):
    """A typed first-in-first-out channel between tasks, like Go's ``chan``.

    Any number of tasks may send and receive; those that wait are served first come, first served.
    Cancelling a waiting call loses and doubles nothing. ``None`` is an ordinary item.

    item_type: what the channel carries. ``send`` checks the outermost type; a Server or Client
        encodes and decodes against the whole of it. ``Any`` (the default) takes everything.
    capacity: how many items it holds for receivers that have not come yet. With 0, the default,
        ``send`` waits until a receiver takes the item.

    A channel belongs to the event loop in which it is first awaited. Sending, receiving and closing
    raise RuntimeError when called from another loop or thread.

    Raises TypeError or ValueError for a capacity that is not a whole number of at least 0.
    """

    __class_getitem__ = classmethod(types.GenericAlias)  # type: ignore[var-annotated]

    def __init__(self, item_type: object = Any, capacity: int = 0) -> None:
        try:
            self._capacity = operator.index(capacity)
        except TypeError:
            raise TypeError(f"capacity must be a whole number, not {capacity!r}") from None
        if capacity < 0:
            raise ValueError(f"capacity must be at least 0, not {capacity}")
        self._item_type: Any = item_type
        self._accepts = runtime_types(item_type)
        self._loop: asyncio.AbstractEventLoop | None = None
        #: Where the loop runs.
        self._thread = 0
        self._streak = 0
        self._longest_streak = _FIRST_STREAK
        self._streak_began = 0.0

        self._buffer: deque[_Entry] = deque()
        self._receivers: OrderedDict[Waiter, None] = OrderedDict()
        self._woken = 0
        self._senders: OrderedDict[Waiter, _Entry] = OrderedDict()
        self._granted: OrderedDict[Waiter, _Entry] = OrderedDict()
        #: Somebody has stood there since it was last looked at: a flag, for it is asked per item.
        self._may_be_crowded = False

        self._outlet: Outlet | None = None
        #: How many waiting receivers came before the outlet's present turn.
        self._before_outlet = 0
        self._inlet: Inlet | None = None
        self._inlet_turn = False

        self._closed = False
        self._finished = False
        #: What receivers get in place of EndOfChannel.
        self._end: BaseException | None = None
        #: What senders get in place of ChannelClosed.
        self._failure: DistchanError | None = None

        self._sent = 0
        self._received = 0
        #: As what its users know it, if not as itself.
        self._front: object = None

    # -- what it is -------------------------------------------------------------------------------

    @property
    def item_type(self) -> Any:
        """The type given when the channel was made."""
        return self._item_type

    @property
    def capacity(self) -> int:
        """How many items the channel holds for receivers that have not come yet."""
        return self._capacity

    @property
    def closed(self) -> bool:
        """Whether close() has been called. Items sent before may still be there."""
        return self._closed

    def __len__(self) -> int:
        """How many items can be received without waiting for a sender.

        On a channel that a Server or Client delivers into, this counts what has arrived from the
        network, and may exceed the capacity.
        """
        return max(0, self._available())

    def __bool__(self) -> bool:
        """True: an empty channel is a channel."""
        return True

    def statistics(self) -> ChannelStatistics:
        """A snapshot of the channel's queues and counters."""
        return ChannelStatistics(
            capacity=self._capacity,
            buffered=self._available(),
            waiting_senders=len(self._senders) + len(self._granted),
            waiting_receivers=len(self._receivers) + self._woken,
            sent=self._sent,
            received=self._received,
            closed=self._closed,
        )

    def __repr__(self) -> str:
        state = " closed" if self._closed else ""
        return (
            f"<Channel[{type_name(self._item_type)}] {len(self)} of {self._capacity} buffered"
            f"{state} at {id(self):#x}>"
        )

    # -- sending ----------------------------------------------------------------------------------

    def send(self, item: Any) -> Coroutine[Any, Any, None]:
        """Send one item; wait until a receiver takes it or a place in the buffer is free.

        On a channel bound to a Server or Client it returns as soon as that one owns the encoded
        item, which proves nothing about the other end; the item may be changed afterwards.

        On the outgoing channel of a Client, what a task sends while it holds an item (see
        receive()) belongs to that item: it does not wait, and travels when the item is settled.

        Raises ChannelClosed if the channel is closed, before or while waiting; TypeError if the
        item is plainly not of the channel's type; on a bound channel EncodeError or FrameTooLarge;
        ConnectionLost once a Client has given up. The item has not been sent then.
        """
        sender = self._sender()
        return sending(self, item, sender, 0 if sender is None else sender.grip)

    def _start_send(
        self, item: Any, sender: Sender | None, grip: int
    ) -> Coroutine[Any, Any, None] | None:
        """Send one item if that is possible at once; else what is to be awaited for it."""
        if self._must_pause():
            return self._send_many((item,), sender, grip)
        self._streak += 1
        payload = self._admit(item)
        staged = sender is not None and sender.stage(payload, grip)
        if not staged and not self._try_send(item, payload):
            return self._wait_send(item, payload)
        self._sent += 1
        return None

    def send_nowait(self, item: Any) -> None:
        """Send one item if that is possible without waiting, else raise WouldBlock.

        Other errors as for send().
        """
        self._check_loop()
        sender = self._sender()
        payload = self._admit(item)
        staged = sender is not None and sender.stage(payload, sender.grip)
        if not staged and not self._try_send(item, payload):
            raise WouldBlock("no receiver waits and the buffer is full")
        self._sent += 1

    def send_many(self, items: Iterable[Any]) -> Coroutine[Any, Any, None]:
        """Send the items in order, suspending only when one of them has to wait.

        If it is interrupted (by cancellation or an error of send()), the items before the one that
        it was at have been sent, that one and the rest have not.
        """
        sender = self._sender()
        return self._send_many(items, sender, 0 if sender is None else sender.grip)

    async def _send_many(self, items: Iterable[Any], sender: Sender | None, grip: int) -> None:
        self._adopt_loop()
        iterator = iter(items)
        item = next(iterator, EMPTY)
        while item is not EMPTY:
            if self._streak >= self._longest_streak:
                await self._breathe()
            item, payload = self._send_some(item, iterator, sender, grip)
            if payload is not EMPTY:
                await self._wait_send(item, payload)
                item = next(iterator, EMPTY)

    def _send_some(
        self, item: Any, items: Iterator[Any], sender: Sender | None, grip: int
    ) -> tuple[Any, Any]:
        """Send that item and those after it, as far as it goes.

        Returns the one that was not sent, EMPTY if there is none; and its encoded form if it has to
        wait, EMPTY if the loop is to turn before it is tried.
        """
        while True:
            self._streak += 1
            payload = self._admit(item)
            staged = sender is not None and sender.stage(payload, grip)
            if not staged and not self._try_send(item, payload):
                return item, payload
            self._sent += 1
            item = next(items, EMPTY)
            if item is EMPTY or self._streak >= self._longest_streak:
                return item, EMPTY

    def _sender(self) -> Sender | None:
        """Who is about to send, if that makes a difference: to be noted at the call."""
        outlet = self._outlet
        if outlet is None or not outlet.asks_for_sender:
            return None
        return outlet.sender(task_of(self._loop, self._thread))

    def _admit(self, item: Any) -> bytes | None:
        """Check the item and, on a bound channel, encode it: errors belong to the sender."""
        if self._closed:
            raise self._closed_error()
        accepts = self._accepts
        if accepts is not None and not isinstance(item, accepts):
            raise TypeError(
                f"this channel carries {type_name(self._item_type)}, not {type(item).__name__}"
            )
        outlet = self._outlet
        if outlet is None:
            return None
        payload = outlet.encoder.encode(item)
        if self._closed:  # by the codec, of all things
            raise self._closed_error()
        return payload

    def _closed_error(self) -> DistchanError:
        if self._failure is not None:
            return self._failure.with_traceback(None)
        error = ChannelClosed("send on a closed channel", self._front or self)
        error.__cause__ = self._end
        return error

    def _try_send(self, item: Any, payload: bytes | None) -> bool:
        if self._may_be_crowded:
            if self._senders or self._granted:
                return False  # they were here first
            self._may_be_crowded = False
        return self._commit(item, payload)

    def _commit(self, item: Any, payload: bytes | None) -> bool:
        """Pass an item to whoever is next in line for it, or into the buffer if there is room."""
        outlet = self._outlet
        if outlet is not None and self._is_outlets_turn() and outlet.offer(payload):
            self._before_outlet = len(self._receivers)
            return True
        if self._wake_receiver() or len(self._buffer) - self._woken < self._capacity:
            self._buffer.append((item, payload))
            return True
        if outlet is not None and outlet.offer(payload):  # the receivers before it had all gone
            self._before_outlet = 0
            return True
        return False

    def _is_outlets_turn(self) -> bool:
        return self._before_outlet <= 0 or not self._receivers

    def _wake_receiver(self) -> bool:
        """Reserve an available item, or one that comes at once, for the first waiting receiver."""
        while self._receivers:
            waiter, _ = self._receivers.popitem(last=False)
            self._before_outlet -= 1
            if waiter.wake(self):
                self._woken += 1
                return True
        return False

    async def _wait_send(self, item: Any, payload: bytes | None) -> None:
        waiter = new_waiter(self._loop)
        self._stand_in_line(waiter, (item, payload))
        self._end_streak()
        try:
            while True:
                await waiter.future
                if not waiter.sent:
                    if self._closed:
                        raise self._closed_error()
                    if not self._commit_granted(waiter):
                        continue
                self._sent += 1
                return
        except BaseException:
            self._forget_sender(waiter)
            raise

    def _stand_in_line(self, waiter: Waiter, entry: _Entry) -> None:
        self._senders[waiter] = entry
        self._may_be_crowded = True

    def _commit_granted(self, waiter: Waiter) -> bool:
        """Put the item of a sender that has been woken, if there still is a place for it."""
        entry = self._granted.get(waiter)
        if entry is None:
            return False  # it has stepped back together with another one
        item, payload = entry
        if self._commit(item, payload):
            del self._granted[waiter]
            self._grant()  # those who came meanwhile had to stand behind it
            return True
        # Those who were woken after it have no place either. All keep their order.
        while self._granted:
            other, entry = self._granted.popitem()
            other.renew()
            self._senders[other] = entry
            self._senders.move_to_end(other, last=False)
        return False

    def _forget_sender(self, waiter: Waiter) -> None:
        self._senders.pop(waiter, None)
        if self._granted.pop(waiter, None) is not None:
            self._grant()

    def _grant(self) -> None:
        """Wake as many waiting senders as there are places."""
        if not self._senders:
            return
        places = self._capacity - len(self._buffer) + self._woken
        places += len(self._receivers) - len(self._granted)
        if self._outlet is not None:
            places += self._outlet.room()
        while places > 0 and self._senders:
            waiter, entry = self._senders.popitem(last=False)
            if waiter.wake(self):
                self._granted[waiter] = entry
                places -= 1

    # -- receiving --------------------------------------------------------------------------------

    def receive(self) -> Coroutine[Any, Any, Any]:
        """Receive the next item; wait until there is one.

        On the incoming channel of a Client, the task that calls this (or another of the receiving
        methods, or select) then *holds* the item. Its next such call on this channel, or its normal
        end, settles the item as done; its exception, as failed; its cancellation returns it.

        Raises EndOfChannel once the channel is closed and drained, or the error with which it was
        closed: RemoteError if the other end of the network closed it with an error, ConnectionLost
        if the connection to it was lost.
        """
        return receiving(self, self._caller(), False)

    def __aiter__(self) -> Self:
        """Receive until the channel is closed and drained."""
        return self

    def __anext__(self) -> Coroutine[Any, Any, Any]:
        return receiving(self, self._caller(), True)

    def _start_receive(self, caller: Any) -> Any:
        """The next item if it is there; else EMPTY."""
        if self._must_pause():
            return EMPTY
        self._streak += 1
        inlet = self._inlet
        if len(self._buffer) - self._woken + (0 if inlet is None else inlet.count) <= 0:
            return EMPTY
        return self._take(caller)

    async def _finish_receive(self, caller: Any, iterating: bool) -> Any:
        """Wait for an item, after the loop has turned if it is time for that.

        iterating: the end of the channel is StopAsyncIteration.
        """
        try:
            self._adopt_loop()
            inlet = self._inlet
            if inlet is not None and inlet.owing():
                await inlet.paid()
            if self._streak >= self._longest_streak:
                await self._breathe()
            if self._available() > 0:
                return self._take(caller)
            while not (self._closed and self._drained()):
                waiter = new_waiter(self._loop)
                self._receivers[waiter] = None
                self._grant()
                if self._inlet is not None:
                    self._inlet.awaited()
                self._end_streak()
                try:
                    await waiter.future
                except BaseException:
                    self._forget_receiver(waiter)
                    raise
                item = self._take_reserved(waiter, caller)
                if item is not EMPTY:
                    return item
            raise self._end_error()
        except EndOfChannel:
            if iterating:
                raise StopAsyncIteration from None
            raise

    def receive_nowait(self) -> Any:
        """Receive the next item if that is possible without waiting, else raise WouldBlock.

        It takes the item of a waiting ``send`` straight from its hands: should that send be
        cancelled in the very turn of the loop in which this happens, it raises CancelledError
        although its item has been received.

        Raises EndOfChannel as receive() does.
        """
        self._check_loop()
        caller = self._caller()
        if self._receivable_now():
            return self._take_now(caller)
        raise WouldBlock("nothing to receive")

    def receive_many(self, limit: int) -> Coroutine[Any, Any, list[Any]]:
        """Receive at least one and at most ``limit`` items: those that are there.

        Waits for the first one only. On the incoming channel of a Client, they are held and settled
        as one. Raises as receive() does, and ValueError for a limit < 1.
        """
        if limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit}")
        return self._receive_many(limit, self._caller())

    async def _receive_many(self, limit: int, caller: Any) -> list[Any]:
        first = EMPTY
        if self._available() <= 0 or self._must_pause():
            first = await self._finish_receive(caller, False)
            limit -= 1
        count = self._prepare_take(min(limit, self._available()))
        self._streak += 1
        items = self._take_many(count, caller)
        return items if first is EMPTY else [first, *items]

    def _prepare_take(self, count: int) -> int:
        return count if self._inlet is None else self._inlet.prepare(count)

    def lease(self) -> Lease[Any]:
        """Receive one item and hold it for a block: ``async with channel.lease() as item: ...``

        The item is held by the block, not by the task: its normal end settles the item as done, an
        exception as failed, cancellation returns it. What is sent inside, by that task and by tasks
        started inside, on the outgoing channel of the same Client belongs to the item.

        Entering raises as receive() does.
        """
        return Lease(self)

    def _caller(self) -> Any:
        """Who is asking for items: to be noted at the call, see _ports.py."""
        inlet = self._inlet
        if inlet is not None:
            return inlet.caller(task_of(self._loop, self._thread))
        # A Client may become the inlet while the caller waits.
        return running_task() or task_of(self._loop, self._thread)

    def _available(self) -> int:
        """Items that are there and not reserved for a woken receiver."""
        inlet = self._inlet
        return len(self._buffer) - self._woken + (0 if inlet is None else inlet.count)

    def _take(self, caller: Any) -> Any:
        """Take an item that is available, or reserved for the caller."""
        inlet = self._inlet
        if inlet is None or not inlet.count or (self._buffer and not self._inlet_turn):
            self._inlet_turn = True
            item = self._buffer.popleft()[0]
        else:
            self._inlet_turn = False
            item = inlet.take(caller)
        self._received += 1
        if self._may_be_crowded:
            self._grant()
        if self._closed:
            self._finish_if_drained()
        return item

    def _take_many(self, count: int, caller: Any) -> list[Any]:
        inlet = self._inlet
        if inlet is None or self._buffer or count <= 0:  # below 0 if what was there is dropped
            return [self._take(caller) for _ in range(count)]
        self._inlet_turn = False
        items = inlet.take_many(count, caller)
        self._received += count
        if self._may_be_crowded:
            self._grant()
        if self._closed:
            self._finish_if_drained()
        return items

    def _receivable_now(self) -> bool:
        """Whether _take_now() would find an item. Raises the end of the channel."""
        if self._available() > 0:
            return True
        if self._closed and self._drained():
            raise self._end_error()
        # The waiting receivers come first. A select that another channel has woken sends nothing.
        return len(self._granted) + len(self._senders) > len(self._receivers) and (
            bool(self._granted) or any(not waiter.future.done() for waiter in self._senders)
        )

    def _take_now(self, caller: Any) -> Any:
        """Take what is available or, for want of that, the item of a waiting sender."""
        if self._available() > 0:
            return self._take(caller)
        if self._granted:
            waiter, entry = self._granted.popitem(last=False)
        else:
            waiter, entry = self._senders.popitem(last=False)
            while not waiter.wake(self):
                waiter, entry = self._senders.popitem(last=False)
        waiter.sent = True
        # Behind what is reserved for woken receivers, and the oldest of that for the caller.
        self._buffer.append(entry)
        item = self._take(caller)
        self._grant()  # the place that it had been granted
        return item

    def _take_reserved(self, waiter: Waiter, caller: Any) -> Any:
        """The item reserved for a waiter; EMPTY if a Server or Client has dropped it."""
        if waiter.channel is None:
            raise self._end_error()
        waiter.channel = None  # the reservation is used up
        self._woken -= 1
        if not self._drained():
            return self._take(caller)
        if self._closed:
            raise self._end_error()
        return EMPTY

    async def _ask_senders(self, caller: Any) -> Any:
        """What a waiting sender hands over when given a turn of the loop, else EMPTY.

        A select does not wait for it any longer, lest it miss what its other channels have; but
        without that turn, a channel where senders wait would never be drawn beside one that
        always has something.
        """
        waiter = new_waiter(self._loop)
        self._receivers[waiter] = None
        self._grant()
        try:
            await turn()
            return EMPTY if waiter.channel is None else self._take_reserved(waiter, caller)
        finally:
            self._forget_receiver(waiter)

    def _forget_receiver(self, waiter: Waiter) -> None:
        if self._receivers.pop(waiter, EMPTY) is None and self._inlet is not None:
            self._inlet.awaited()
        if waiter.channel is self:
            self._woken -= 1
            self._serve()

    def _end_error(self) -> BaseException:
        if self._end is not None:
            return self._end.with_traceback(None)
        return EndOfChannel("the channel is closed and drained", self._front or self)

    # -- closing ----------------------------------------------------------------------------------

    def close(self, error: BaseException | None = None) -> None:
        """Say that nothing more will be sent. Idempotent; the first call counts.

        Waiting senders get ChannelClosed, their items are not sent. What is buffered is still
        received; then receivers get EndOfChannel, or ``error`` if one is given.
        """
        self._check_loop()
        if error is not None and not isinstance(error, BaseException):
            raise TypeError(f"error must be an exception or None, not {error!r}")
        self._close(error, None)

    def _fail(self, error: DistchanError) -> None:
        """Close on account of the network: senders and receivers both get the error.

        So do receivers of a channel that was closed in good order, if the rest has been dropped.
        """
        if self._closed and not self._finished:
            self._end = error
            self._finish_if_drained()
        self._close(error, error)

    def _close(self, end: BaseException | None, failure: DistchanError | None) -> None:
        if self._closed:
            return
        self._closed = True
        self._end = end
        self._failure = failure
        for waiter in self._senders:
            waiter.wake(None)
        self._senders.clear()
        self._granted.clear()  # they are awake, and will see that it is closed
        self._finish_if_drained()

    def _drained(self) -> bool:
        inlet = self._inlet
        return not self._buffer and (inlet is None or not inlet.count)

    def _finish_if_drained(self) -> None:
        if self._finished or not self._drained():
            return
        self._finished = True
        for waiter in self._receivers:
            waiter.wake(None)
        self._receivers.clear()
        if self._inlet is not None:
            self._inlet.drained()
        if self._outlet is not None:
            self._outlet.finish()

    # -- the network side -------------------------------------------------------------------------

    def _bind_outlet(self, outlet: Outlet) -> None:
        """Make a Server or Client one more receiver. Raises ChannelInUse, EncodeError, ...

        From here on all that is in the channel is encoded when it is sent, so that a bad item is
        its sender's error; what is there already is encoded now.
        """
        if self._outlet is not None:
            raise ChannelInUse("this channel is already the outgoing one of a Server or Client")
        if self._inlet is not None and not self._inlet.relays:
            raise ChannelInUse(_NO_RELAY)
        self._adopt_loop()
        encode = outlet.encoder.encode
        buffer: deque[_Entry] = deque([(item, encode(item)) for item, _ in self._buffer])
        for queue in (self._senders, self._granted):
            for waiter, (item, _) in queue.items():
                queue[waiter] = item, encode(item)
        self._buffer = buffer
        self._outlet = outlet
        if self._finished:
            outlet.finish()

    def _payloads(self) -> Iterator[bytes]:
        """The encoded form of all that is in the channel."""
        for _, payload in (*self._buffer, *self._granted.values(), *self._senders.values()):
            if payload is not None:
                yield payload

    def _unbind_outlet(self) -> None:
        self._outlet = None

    def _bind_inlet(self, inlet: Inlet) -> None:
        """Make a Server or Client one more sender. Raises ChannelInUse, ChannelClosed."""
        if self._inlet is not None:
            raise ChannelInUse("this channel is already the incoming one of a Server or Client")
        if self._outlet is not None and not inlet.relays:
            raise ChannelInUse(_NO_RELAY)
        if self._closed:
            front = self._front or self
            raise ChannelClosed("the incoming channel of a Server or Client is closed", front)
        self._adopt_loop()
        self._inlet = inlet

    def _unbind_inlet(self) -> None:
        self._inlet = None

    def _discard(self) -> int:
        """Drop what is buffered; how many items that were."""
        count = self._available()
        while self._available() > 0:
            self._take(None)
            self._received -= 1
        return count

    async def _hand_over_reserved(self) -> None:
        """Wait until those receivers that have been woken have taken their items."""
        while self._woken > 0:
            await turn()

    def _serve(self) -> None:
        """Match what is there with those who wait for it.

        To be called when an item became available, or the outlet became live.
        """
        while self._available() > 0:
            outlet = self._outlet
            if outlet is not None and outlet.live() and self._is_outlets_turn():
                self._serve_outlet(outlet)
            elif not self._wake_receiver() and not (outlet is not None and outlet.live()):
                break
        self._grant()
        if self._closed:
            self._finish_if_drained()

    def _serve_outlet(self, outlet: Outlet) -> None:
        """Pass the oldest entry to the network; buffer and inlet take turns as in _take()."""
        inlet = self._inlet
        if inlet is None or not inlet.count or (self._buffer and not self._inlet_turn):
            self._inlet_turn = True
            self._before_outlet = len(self._receivers)
            outlet.offer(self._buffer.popleft()[1])
        else:
            self._inlet_turn = False
            self._before_outlet = len(self._receivers)
            outlet.relay(inlet.take(None))

    # -- the loop ---------------------------------------------------------------------------------

    def _adopt_loop(self) -> None:
        if task_of(self._loop, self._thread) is not None:
            return  # it has been, as is found out faster than which loop runs
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError(f"{self!r} belongs to another event loop")
        self._thread = get_ident()

    def _check_loop(self) -> None:
        """For calls that suspend nobody: they are also good before a loop runs and after it."""
        running = asyncio._get_running_loop()
        if self._loop is not running and self._loop is not None:
            if running is None and not self._loop.is_running():
                return
            if task_of(self._loop, self._thread) is not None:
                return  # a thread that may use the loop
            raise RuntimeError(
                f"{self!r} belongs to another event loop or thread; from a thread, use "
                "asyncio.run_coroutine_threadsafe(channel.send(item), loop)"
            )

    async def _breathe(self) -> None:
        """Let the loop turn. Before an operation, never after: cancelling it here is harmless."""
        seconds = now() - self._streak_began
        if seconds > _LONG:
            self._longest_streak = max(_SHORTEST_STREAK, self._longest_streak >> 1)
        elif seconds < _LONG / 2:
            self._longest_streak = min(_LONGEST_STREAK, self._longest_streak << 1)
        if self._inlet is not None:
            self._inlet.pause()
        self._streak = 0
        await turn()
        self._streak_began = now()

    def _must_pause(self) -> bool:
        """Whether something comes before the next operation: a turn of the loop, or a complaint
        that this is another loop."""
        return self._streak >= self._longest_streak or task_of(self._loop, self._thread) is None

    def _end_streak(self) -> None:
        """A task suspends itself: the loop will turn."""
        self._streak = 0
        self._streak_began = now()

    def _break_streak(self) -> None:
        """Let the loop turn before the next operation."""
        self._streak = self._longest_streak

    @property
    def _demand(self) -> int:
        """How many receivers wait, those that have been woken included."""
        return len(self._receivers) + self._woken

    @property
    def _last_words(self) -> str:
        """The error with which it was closed, for the other end; empty if with none."""
        return "" if self._end is None else str(self._end) or type(self._end).__name__
