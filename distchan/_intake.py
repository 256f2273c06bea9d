"""From a client's session to its channel: items that no task has received yet."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

from distchan._client_session import ClientSession
from distchan._holdings import Holder, Holdings
from distchan._lease import Lease
from distchan._pace import now
from distchan._ports import Inlet, pop_many
from distchan._rendezvous import Channel
from distchan._stand_in import StandIn
from distchan._tasks import running_task
from distchan._wire import MOST_SETTLED

__all__ = ["Intake"]

#: Who asks for an item: see Inlet.take.
_Caller: TypeAlias = "Holder | Lease[Any] | asyncio.Task[Any] | None"


class _Run:
    """Items that arrived together, the last of them first."""

    __slots__ = ("first", "next", "tickets", "values")

    def __init__(self, first: int, values: list[Any], tickets: bytearray) -> None:
        self.first = first
        #: The number of the oldest that is left.
        self.next = first
        self.values = values
        #: Of all of them, from the first on.
        self.tickets = tickets


class Intake(Inlet):
    """The Inlet of a client's incoming channel.

    It tells the session how many items the tasks here could do with, and in advance which ones they
    may be handed. ``write`` writes what the session has to say at once; ``drained`` is called when
    the channel is closed and drained.
    """

    relays = False  # an item is done when a task says so

    def __init__(
        self,
        channel: Channel,
        holdings: Holdings,
        write: Callable[[], None],
        drained: Callable[[], None],
    ) -> None:
        super().__init__()
        self.channel = channel
        self._holdings = holdings
        self._write = write
        self._on_drained = drained
        #: What is being taken from, and what is taken from after that.
        self._run: _Run | None = None
        self._runs: deque[_Run] = deque()
        self._pace = holdings.pace
        holdings.on_owing = channel._break_streak
        holdings.on_less = self.update_window
        self._session: ClientSession | None = None
        self._settles = True

    # -- the channel's side -----------------------------------------------------------------------

    def caller(self, task: "asyncio.Task[Any] | None") -> Holder | None:
        return self._holdings.caller(task)

    def owing(self) -> bool:
        return self._holdings.owing

    async def paid(self) -> None:
        await self._holdings.paid()

    def awaited(self) -> None:
        self.update_window()

    def pause(self) -> None:
        # It is written in that turn, so that what is taken after it needs no write of its own.
        self.update_window()
        session = self._session
        if session is not None and self._settles:
            session.announce(session.handed + max(self._pace.go, self.channel._demand))

    def prepare(self, count: int) -> int:
        session = self._session
        if session is None or not self._settles:
            return count
        # They are settled as one, together with the first, if that had to be waited for.
        count = min(count, MOST_SETTLED - 1)
        if session.handed + count - 1 > session.written:
            session.announce(session.handed + count)
            self._write()
        return count

    def take(self, caller: _Caller) -> Any:
        run = self._run
        if run is None or not run.values:
            run = self._run = self._runs.popleft()
        value = run.values.pop()
        self._hand_out(run, 1, caller)
        return value

    def take_some(self, count: int, caller: _Caller) -> list[Any]:
        run = self._run
        if run is None or not run.values:
            run = self._run = self._runs.popleft()
        values = pop_many(run.values, count)
        self._hand_out(run, len(values), caller)
        return values

    def _hand_out(self, run: _Run, count: int, caller: _Caller) -> None:
        """A caller gets the next items of a run, and holds them from now on."""
        first = run.next
        last = first + count - 1
        run.next = first + count
        self.count -= count
        holder = caller if type(caller) is Holder else self._find(caller)
        if holder is not None and holder.over:
            holder = self._find(caller)
        if holder is not None:
            if not holder.count and self._pace.is_due():
                holder.since = now()
            holder.add(first, last)
            holder.tickets = run.tickets
            holder.place = last - run.first
            self._holdings.held += count
        session = self._session
        assert session is not None
        session.handed = last + 1
        if not self._settles:
            session.confirm_handed()
        elif holder is None:  # a callback, which never comes back
            session.settle_range(first, last, None)
        if last > session.written and self._settles:
            # Written before the task can do anything with the item: if that takes the process
            # down, the server knows that it may be to blame.
            self.pause()
            self._write()

    def _find(self, caller: _Caller) -> Holder | None:
        """Whoever is to hold an item for a caller that is no holder yet, or not any longer."""
        if isinstance(caller, Lease):
            caller.holder = self._holdings.lease()
            return caller.holder
        if isinstance(caller, (asyncio.Task, StandIn)) and not caller.done():
            return self._holdings.of_task(caller)
        task = running_task()
        return None if task is None else self._holdings.of_task(task)

    def drained(self) -> None:
        self._on_drained()

    # -- the session's side -----------------------------------------------------------------------

    def attach(self, session: ClientSession) -> None:
        """The handshake is done: items may come."""
        self._session = session
        self._settles = session.keeps
        self.update_window()

    def arrive(self, first: int, values: list[Any], tickets: bytearray) -> None:
        """Items that have come, in order. They are the intake's from here on."""
        values.reverse()
        self._runs.append(_Run(first, values, tickets))
        self.count += len(values)
        self.channel._serve()
        self.update_window()

    def update_window(self) -> None:
        """Tell the session how many unsettled items would be useful here."""
        session = self._session
        if session is None:
            return
        if session.adapts:
            window = self.channel._demand + self._holdings.pace.surplus
            if self._settles:
                window += self._holdings.held
            # One at least, for a task that is yet to come.
            session.want(min(max(window, 1), session.most_wanted))
        else:
            session.want(session.most_wanted)

    def discard(self) -> int:
        """Drop what no task has received; how many items that were."""
        count = self.count
        self._run = None
        self._runs.clear()
        self.count = 0
        return count
