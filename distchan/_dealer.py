"""From a server's channel to its sessions: encodes items and deals them round robin.

The line has two parts, dealt in this order: items that came back; and what is new, by turns jobs
that were submitted and what is in the channel. Beside it wait the suspects, each of which needs a
session that holds nothing else. So that there is one soon, one session is dealt nothing as long as
a suspect waits; another one if that does not get on with what it holds.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

from distchan._jobs import Job
from distchan._outstanding import Item, new_item
from distchan._payloads import PayloadEncoder
from distchan._ports import Outlet
from distchan._rendezvous import Channel
from distchan._roundrobin import Ring
from distchan._server_session import ServerSession
from distchan.errors import RemoteError

__all__ = ["Dealer"]

#: How often others may get on with their work while the session that is to become free does not.
_PATIENCE: Final = 64


class Dealer(Outlet):
    """The Outlet of a server's outgoing channel.

    ``encoder`` makes the payload of an item. ``finished`` is called when nothing is left to deal:
    the channel is closed and drained, and nothing that came back waits. ``bury`` is called with
    each item that has failed ``max_attempts`` times, and the reason of the last failure.
    """

    def __init__(
        self,
        channel: Channel,
        encoder: PayloadEncoder,
        *,
        max_attempts: int,
        finished: Callable[[], None],
        bury: Callable[[Item, str], None],
        logger: logging.Logger,
    ) -> None:
        super().__init__(encoder, asks_for_sender=False, logger=logger)
        self.channel = channel
        self._max_attempts = max_attempts
        self._on_finished = finished
        self._bury = bury
        self.dealt = 0
        # Ids serve users as idempotency keys: a restarted server must not use the same ones again.
        self._next_id = int.from_bytes(os.urandom(8)) >> 2
        self._ring: Ring[ServerSession] = Ring()
        self._suspects: deque[Item] = deque()
        self._returned: deque[Item] = deque()
        self._jobs: deque[Job] = deque()
        self._jobs_first = False
        #: The session that is to become free for a suspect, what it had settled when it was last
        #: looked at, and how often others have got on since.
        self._spared: ServerSession | None = None
        self._spared_settled = 0
        self._others = 0
        self._figures = (0, 0)
        self._channel_finished = False

    # -- the channel's side -----------------------------------------------------------------------

    def live(self) -> bool:
        return self._ring.ready > 0 and not self._returned

    def room(self) -> int:
        return sum(session.credit for session in self._ring) if self.live() else 0

    def offer(self, payload: bytes | None) -> bool:
        if self._returned or not self._ring.ready:
            return False
        assert payload is not None
        self._next_id += 1
        self._deal(new_item(self._next_id, payload))
        return True

    def finish(self) -> None:
        self._channel_finished = True
        if self.finished:
            self._on_finished()

    # -- the sessions' side -----------------------------------------------------------------------

    @property
    def coming_back(self) -> int:
        """Items that came back and wait to be dealt again."""
        return len(self._returned) + len(self._suspects)

    @property
    def waiting(self) -> int:
        """Items that are to be dealt: those that came back, jobs, and those in the channel."""
        return self.coming_back + len(self._jobs) + len(self.channel)

    @property
    def finished(self) -> bool:
        return self._channel_finished and not self.coming_back and not self._jobs

    @property
    def last_words(self) -> str:
        """The error with which the channel was closed, for the other end; empty if with none."""
        return self.channel._last_words

    def submit(self, job: Job) -> None:
        """Deal a job as soon as it is its turn."""
        self._next_id += 1
        job.id = self._next_id
        self._jobs.append(job)
        self._deal_jobs()

    def withdraw(self, jobs: Collection[Job]) -> None:
        """Forget those of them that have not been dealt."""
        if self._jobs:
            self._jobs = deque(job for job in self._jobs if job not in jobs)
            if self.finished:
                self._on_finished()

    def jobs(self) -> Iterator[Job]:
        """Those that wait to be dealt, whether or not they came back."""
        for item in (*self._jobs, *self._returned, *self._suspects):
            if isinstance(item, Job):
                yield item

    def join(self, session: ServerSession) -> None:
        """A new session, at the end of the rotation."""
        self._ring.join(session)
        self.credited(session)

    def leave(self, session: ServerSession) -> None:
        """A session wants no more items."""
        if session in self._ring:
            self._ring.leave(session)
        if session is self._spared:
            self._spared = None
            self._deal_suspects(None)

    def credited(self, session: ServerSession) -> None:
        """The credit of a session may have changed."""
        if session in self._ring:
            if self._suspects or self._spared is not None:
                self._deal_suspects(session)
            self._mark(session)
            self._deal_waiting()

    def _mark(self, session: ServerSession) -> None:
        self._ring.mark(session, session is not self._spared and session.credit > 0)

    def take_back(self, items: Iterable[Item]) -> None:
        """Items that nobody is blamed for: to the front of the line."""
        for item in reversed(list(items)):
            (self._suspects if item.alone else self._returned).appendleft(item)
        self._deal_waiting()

    def take_back_failed(self, items: Iterable[Item], reason: str) -> None:
        """Items that failed, which counts as an attempt. Their worker has lived to tell."""
        survivors = self._survivors(items, reason)
        for item in survivors:
            item.alone = False
        self.take_back(survivors)

    def take_back_suspects(self, items: list[Item], reason: str) -> None:
        """Items that may have taken their worker down: counts, and from now on they go alone."""
        if len(items) > 1:
            # At most one of them is to blame, so that none is given up now.
            for item in items:
                item.attempt = min(item.attempt + 1, self._max_attempts)
        else:
            items = self._survivors(items, reason)
        for item in items:
            item.alone = True
            self._suspects.append(item)
        self._deal_suspects(None)

    def help_suspects(self) -> None:
        """To be called now and then: if nothing moves and a suspect waits, it gets company.

        All those who are there hold something, perhaps for ever. If that is the death of one of
        them, more than one item is to blame again.
        """
        figures = (self.dealt, sum(session.settled for session in self._ring))
        stuck, self._figures = figures == self._figures, figures
        if stuck and self._suspects:
            session = self._least_busy()
            if session is not None and session.credit:
                self._send_alone(session)

    def discard(self) -> int:
        """Give up what came back and all jobs; how many items that were."""
        count = self.coming_back + len(self._jobs)
        self._jobs.clear()
        self._returned.clear()
        self._suspects.clear()
        return count

    def _survivors(self, items: Iterable[Item], reason: str) -> list[Item]:
        survivors = []
        for item in items:
            if item.attempt >= self._max_attempts:
                self._bury(item, reason)
            else:
                item.attempt += 1
                survivors.append(item)
        return survivors

    def _deal(self, item: Item) -> None:
        session = self._ring.select()
        assert session is not None, "somebody must have credit"
        self._deal_to(session, item)

    def _deal_to(self, session: ServerSession, item: Item) -> None:
        self.dealt += 1
        if not session.send(item):
            self._ring.mark(session, False)

    def _deal_waiting(self) -> None:
        waited = self.coming_back > 0 or bool(self._jobs)
        while self._returned and self._ring.ready:
            self._deal(self._returned.popleft())
        self._jobs_first = not self._jobs_first
        if self._jobs_first:
            self._deal_jobs()
        if self.live():
            self.channel._serve()
        if not self._jobs_first:
            self._deal_jobs()
        if waited and self.finished:
            self._on_finished()

    def _deal_jobs(self) -> None:
        while self._jobs and self.live():
            job = self._jobs.popleft()
            if not job.begin():
                continue
            session = self._ring.select()
            assert session is not None, "somebody must have credit"
            if session.keeps:
                self._deal_to(session, job)
            else:
                job.fail(
                    RemoteError(
                        "a worker asks for at-most-once delivery, in which no result belongs to "
                        "an item"
                    )
                )

    def _deal_suspects(self, active: ServerSession | None) -> None:
        """Give suspects to those who are free; see to it that somebody will be.

        active: the session that has just got on with its work, if any.
        """
        for session in self._ring:
            if self._suspects and session.credit and not session.outstanding:
                self._send_alone(session)
        spared = self._spared
        if not self._suspects:
            self._spare(None)
        elif spared is None or not spared.wants_items:
            self._spare(self._least_busy())
        elif spared.settled != self._spared_settled:
            self._spared_settled, self._others = spared.settled, 0
        else:
            self._others += 1
            if self._others > _PATIENCE and active is not None:
                self._spare(active)

    def _least_busy(self) -> ServerSession | None:
        return min(
            (session for session in self._ring if session.wants_items),
            key=lambda session: len(session.outstanding),
            default=None,
        )

    def _spare(self, session: ServerSession | None) -> None:
        spared, self._spared = self._spared, session
        for changed in (spared, session):
            if changed is not None and changed in self._ring:
                self._mark(changed)
        if session is not None:
            self._spared_settled, self._others = session.settled, 0

    def _send_alone(self, session: ServerSession) -> None:
        self.dealt += 1
        session.send(self._suspects.popleft())
        self._ring.mark(session, False)
