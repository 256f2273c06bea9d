"""Who holds which items of a client, and what becomes of them.

A *holder* is a task or a lease. It holds the items that it has asked for, and what is sent on the
client's outgoing channel on its behalf is *staged*: it travels in one frame with the settlement, so
that an item and its results are done together or not at all.

Results need credit. A holder that comes back settles at once if there is some; else its settlement
is *owed*, and whoever comes back waits until all that is owed has been paid.

If the session is lost, its items belong to others: a holder that still works on one is *fenced*,
and what it sends for it is dropped.
"""

import asyncio
import logging
import struct
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from distchan._client_session import ClientSession
from distchan._frames import Ranges, numbers_of
from distchan._pace import Pace, now
from distchan._ports import Sender
from distchan._stand_in import StandIn
from distchan._wire import (
    MOST_REASON,
    MOST_RESULTS,
    MOST_SETTLED,
    MOST_WORDS,
    RESULT_LENGTH_SIZE,
    TICKET_SIZE,
    Outcome,
)
from distchan.errors import FrameTooLarge

__all__ = ["Holder", "Holdings"]

#: Who works on items, and ends one day.
Worker: TypeAlias = "asyncio.Task[Any] | StandIn"

# C integers in the compiled module.
_MOST_RESULTS: Final = MOST_RESULTS
_MOST_SETTLED: Final = MOST_SETTLED
_RESULT_LENGTH_SIZE: Final = RESULT_LENGTH_SIZE

_TICKET: Final = struct.Struct("<QI")

#: The innermost lease of the context, and the last holder that was made in it.
_lease: ContextVar["Holder | None"] = ContextVar("distchan_lease", default=None)
_ancestor: ContextVar["Holder | None"] = ContextVar("distchan_ancestor", default=None)


class Holder(Sender):
    """A task or a lease, what it holds, and what it has staged."""

    __slots__ = (
        "_holdings",
        "_outer",
        "_void",
        "count",
        "earlier",
        "fenced",
        "first",
        "last",
        "more",
        "over",
        "place",
        "result",
        "since",
        "size",
        "task",
        "tickets",
    )

    def __init__(self, holdings: "Holdings", task: "Worker | None") -> None:
        super().__init__()
        self._holdings = holdings
        self.task = task
        #: How many items it holds, and their numbers: mostly one range, others in front of that.
        self.count = 0
        self.first = 0
        self.last = 0
        self.earlier: Ranges | None = None
        #: What has been staged: mostly one result, others behind that; and their size in bytes.
        self.result: bytes | None = None
        self.more: list[bytes] | None = None
        self.size = 0
        #: The grips in which it has lost its items to others.
        self._void: set[int] | None = None
        #: When it got the first of its items, if that is measured; else 0.
        self.since = 0.0
        #: Where the ticket of the last of them is.
        self.tickets = bytearray()
        self.place = 0
        self.fenced = False
        #: It will never come back.
        self.over = False
        self._outer: Holder | None = None

    @property
    def ticket(self) -> tuple[int, int]:
        """The id and the attempt of the last item."""
        item_id, attempt = _TICKET.unpack_from(self.tickets, self.place * TICKET_SIZE)
        return item_id, attempt

    def add(self, first: int, last: int) -> None:
        """Hold more items, which follow each other."""
        if not self.count or first != self.last + 1:
            if self.count:
                if self.earlier is None:
                    self.earlier = []
                self.earlier.append((self.first, self.last))
            self.first = first
        self.last = last
        self.count += last + 1 - first

    def ranges(self) -> Ranges:
        """The numbers of what it holds."""
        latest = (self.first, self.last)
        return [latest] if self.earlier is None else [*self.earlier, latest]

    def stage(self, payload: bytes | None, grip: int) -> bool:
        """Keep a result for the settlement of items; False if they are done already.

        If they are not done but have been given back, it is dropped: others will work on them.
        """
        if grip != self.grip:
            return self._void is not None and grip in self._void
        if not self.count:
            return True
        assert payload is not None, "everything in a bound channel is encoded"
        size = len(payload)
        limit = self._holdings.limit
        if self.result is None and size <= limit:
            self.result = payload
            self.size = size
            return True
        size += self.size
        if self.more is None:
            self.more = []
        count = len(self.more) + (self.result is not None)
        # With the lengths that stand before all results but one.
        needed = size + _RESULT_LENGTH_SIZE * count
        if needed > limit or count == _MOST_RESULTS:
            raise FrameTooLarge(
                f"the results of one item need {needed} bytes and are {count + 1} "
                f"(at most {_MOST_RESULTS}); they travel in one frame, of which "
                f"max_frame_size allows {limit}. With results='stream' on the Client they travel "
                "one by one"
            )
        self.size = size
        self.more.append(payload)
        return True

    def is_within(self, lease: "Holder") -> bool:
        """Whether its items were received inside the block of a lease."""
        return not lease.count or lease.last < self.last

    def let_go(self) -> None:
        """Hold nothing any more."""
        self.count = 0
        self.earlier = None
        self.result = self.more = None
        self.size = 0
        self.since = 0.0
        self.grip += 1

    def give_up(self) -> Ranges:
        """Let go of what it has not done. Returns what that was."""
        ranges = self.ranges()
        self.make_void(self.grip)
        self.let_go()
        return ranges

    def begin_anew(self) -> None:
        """What is still sent for the items that it has lost does not belong to the next ones."""
        self.make_void(self.grip)
        self.grip += 1
        self.fenced = False

    def make_void(self, grip: int) -> None:
        """What is still sent for the items of that grip is to be dropped."""
        if self._void is None:
            self._void = set()
        self._void.add(grip)

    def on_task_done(self, task: "Worker") -> None:
        self.over = True
        if task.cancelled():
            self._holdings.settle(self, Outcome.RETURNED, "its task was cancelled")
        else:
            # Not task.exception(), after which the loop would not report it to the user any more.
            self._holdings.conclude(self, task._exception)
        self._holdings.forget(task)
        self._holdings.on_less()

    # -- leases -----------------------------------------------------------------------------------

    def enter(self) -> None:
        """The block of a lease begins: it holds for all tasks of this context."""
        self._outer = _still_there(_lease.get())
        _lease.set(self)

    def leave(self, error: BaseException | None) -> None:
        """The block of a lease has ended, in whatever task."""
        self.over = True
        self._outer = _still_there(self._outer)
        if _lease.get() is self:
            _lease.set(self._outer)
        holdings = self._holdings
        holdings.conclude(self, error)
        holdings.leases.discard(self)
        holdings.on_less()

    @property
    def owes(self) -> bool:
        """Whether something that was done has not been settled yet: wait for paid()."""
        return self._holdings.owing

    async def paid(self) -> None:
        """Wait until what is done has been settled."""
        await self._holdings.paid()

    def innermost_of(self, holdings: "Holdings") -> "Holder | None":
        """This lease or the nearest one around it that holds something of those holdings."""
        lease: Holder | None = self
        while lease is not None and not (
            lease._holdings is holdings and (lease.count or lease.fenced)
        ):
            lease = lease._outer
        return lease


class Holdings:
    """All holders of one client.

    results: "settled" if results travel with the settlement, "stream" if on their own.
    """

    def __init__(
        self, results: Literal["settled", "stream"], logger: logging.Logger, address: str
    ) -> None:
        self._stages = results == "settled"
        self._logger = logger
        self._address = address
        self.session: ClientSession | None = None
        self.tasks: dict[Worker, Holder] = {}
        #: The one that was looked up last: mostly it is the next one, too.
        self._latest: Holder | None = None
        self.leases: set[Holder] = set()
        #: How many items they hold, all together.
        self.held = 0
        self.pace = Pace()
        #: Of what may be staged for one settlement, in bytes.
        self.limit = 0
        self._owed: deque[_Owed] = deque()
        self.owing = False
        #: Called when somebody asks for an item although something is owed.
        self.on_owing: Callable[[], None] = lambda: None
        #: Called when somebody holds less, and does not ask for more.
        self.on_less: Callable[[], None] = lambda: None
        #: Called whenever something has been settled, if anybody wants to know.
        self.on_settled: Callable[[], None] | None = None
        self._paid = asyncio.Event()
        self._warned = False

    def __iter__(self) -> Iterator[Holder]:
        yield from self.tasks.values()
        yield from self.leases

    @property
    def staged(self) -> bool:
        """Whether there are results that have not been given to the session."""
        return self.owing or any(holder.result is not None for holder in self)

    # -- holders ----------------------------------------------------------------------------------

    def caller(self, task: "Worker | None") -> Holder | None:
        """The holder of the task that is asking for an item; what it holds is done."""
        if task is None:
            return None
        holder = self._look_up(task)
        if holder is None:
            return self.of_task(task)
        if holder.count:
            self._done(holder)
        if holder.fenced:
            holder.begin_anew()
        if self.owing:
            self.on_owing()
        return holder

    def _look_up(self, task: "Worker") -> Holder | None:
        holder = self._latest
        if holder is None or holder.task is not task:
            holder = self._latest = self.tasks.get(task)
        return holder

    def of_task(self, task: "Worker") -> Holder | None:
        """The holder of a task; None if that is over."""
        holder = self._look_up(task)
        if holder is None and not task.done():
            holder = self.tasks[task] = Holder(self, task)
            task.add_done_callback(holder.on_task_done)
            _ancestor.set(holder)
        return holder

    def lease(self) -> Holder:
        """A holder that is not bound to a task."""
        holder = Holder(self, None)
        self.leases.add(holder)
        return holder

    def forget(self, task: "Worker") -> None:
        self.tasks.pop(task, None)
        self._latest = None

    def sender(self, task: "Worker | None") -> Holder | None:
        """The holder on whose behalf a task is about to send something."""
        session = self.session
        if not self._stages or session is None or not session.keeps:
            return None
        lease = _lease.get() if self.leases else None
        if lease is not None:
            lease = lease.innermost_of(self)
        holder = None if task is None else self._look_up(task)
        if holder is not None and holder.count and (lease is None or holder.is_within(lease)):
            return holder
        if lease is not None:
            return lease
        if holder is not None and holder.fenced:
            return holder
        ancestor = _ancestor.get()
        if ancestor is not None and ancestor._holdings is self and ancestor.task is not task:
            self._warn()
        return None

    def _warn(self) -> None:
        if self._warned:
            return
        self._warned = True
        self._logger.warning(
            "a result is sent to %s by a task that holds no item, but was started by one that did: "
            "it travels on its own, and may come twice if the item is worked on again. "
            "`async with channel.lease() as item:` makes what is sent inside belong to the item",
            self._address,
        )

    # -- settling ---------------------------------------------------------------------------------

    def conclude(self, holder: Holder, error: BaseException | None) -> None:
        """A holder has ended, well or with an error."""
        if error is None:
            self.settle(holder, Outcome.DONE)
        elif isinstance(error, Exception):
            self.settle(holder, Outcome.FAILED, _describe(error))
        else:
            self.settle(holder, Outcome.RETURNED, type(error).__name__)

    def settle(self, holder: Holder, outcome: Outcome, reason: str = "") -> None:
        """Say what has become of all that a holder holds."""
        if not holder.count:
            return
        if outcome is Outcome.DONE:
            self._done(holder)
            return
        self.held -= holder.count
        items = list(numbers_of(holder.give_up()))
        if self.session is not None and self.session.keeps:
            for start in range(0, len(items), MOST_SETTLED):
                self.session.give_back(outcome, items[start : start + MOST_SETTLED], reason)
            if self.on_settled is not None:
                self.on_settled()

    def _done(self, holder: Holder) -> None:
        count = holder.count
        self.held -= count
        if holder.since:
            self.pace.measure(now() - holder.since, count)
        session = self.session
        if session is not None and session.keeps:
            if holder.result is not None and (self.owing or session.exhausted):
                self._owe(holder)
            elif count <= _MOST_SETTLED and holder.earlier is None and holder.more is None:
                session.settle_range(holder.first, holder.last, holder.result)
            else:
                _settle(session, list(numbers_of(holder.ranges())), _results(holder), holder.size)
        holder.let_go()
        if self.on_settled is not None:
            self.on_settled()

    def _owe(self, holder: Holder) -> None:
        """Settle what a holder has done when there is credit for its results."""
        numbers = list(numbers_of(holder.ranges()))
        self._owed.append(_Owed(numbers, _results(holder), holder.size, holder, holder.grip))
        self.owing = True
        self._paid.clear()

    def settle_all(self, outcome: Outcome, reason: str = "") -> None:
        """The same for all that anybody holds.

        A task that has ended decides for itself, even if its callback has not been called yet.
        """
        for holder in tuple(self):
            if holder.task is not None and holder.task.done():
                holder.on_task_done(holder.task)
            else:
                self.settle(holder, outcome, reason)

    async def paid(self) -> None:
        """Wait until nothing is owed."""
        await self._paid.wait()

    def credited(self) -> None:
        """There may be credit for what is owed."""
        session = self.session
        while self._owed and session is not None and not session.exhausted:
            owed = self._owed.popleft()
            _settle(session, owed.items, owed.results, owed.size)
        self._nothing_owed_if_so()

    def _nothing_owed_if_so(self) -> None:
        if self.owing and not self._owed:
            self.owing = False
            self._paid.set()

    def fence(self) -> None:
        """The session is lost; whatever is held belongs to others now."""
        fenced = 0
        for holder in self:
            if holder.count:
                fenced += holder.count
                holder.give_up()
                holder.fenced = True
        self.held = 0
        void = len(self._owed)
        for owed in self._owed:
            owed.holder.make_void(owed.grip)  # not done after all
        self._owed.clear()
        self._nothing_owed_if_so()
        if fenced or void:
            self._logger.warning(
                "the session with %s is lost: %d items in the hands of tasks here go to others, "
                "and their results will be discarded; settlements that came too late: %d",
                self._address,
                fenced,
                void,
            )

    def close(self) -> None:
        """The client is closed: nothing can be settled any more."""
        self.session = None
        self._owed.clear()
        self._nothing_owed_if_so()


class _Owed(NamedTuple):
    """Items that are done, but are not settled for want of credit."""

    items: list[int]
    results: list[bytes]
    size: int
    holder: Holder
    grip: int


def _results(holder: Holder) -> list[bytes]:
    if holder.result is None:
        return []
    return [holder.result, *(holder.more or ())]


def _settle(session: ClientSession, items: list[int], results: list[bytes], size: int) -> None:
    """Settle any number of items, the results together with the first of them."""
    # There are so many only by many calls at once; a batch is smaller.
    for start in range(MOST_SETTLED, len(items), MOST_SETTLED):
        session.settle(items[start : start + MOST_SETTLED], [], 0)
    session.settle(items[:MOST_SETTLED], results, size)


def _describe(error: Exception) -> str:
    """What it is, in the first line, and the end of its traceback."""
    try:
        what = f"{type(error).__name__}: {error}"
    except Exception:  # its __str__ is the user's
        what = type(error).__name__
    what = what.encode(errors="replace")[:MOST_WORDS].decode(errors="ignore")
    try:
        where = "".join(traceback.format_exception(error)).rstrip()
    except Exception:  # so may be what else it is made of
        return what
    room = MOST_REASON - len(what.encode()) - 1
    return f"{what}\n{where.encode(errors='replace')[-room:].decode(errors='ignore')}"


def _still_there(lease: Holder | None) -> Holder | None:
    """The nearest lease around that is not over: those that are must not be kept alive."""
    while lease is not None and lease.over:
        lease = lease._outer
    return lease
