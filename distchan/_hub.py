"""What a server does about its sessions: deals, gathers, redelivers, and knows when it is done.

No I/O and no clock: server.py tells it what has happened, connections and deadlines included.

A session is *given up* when its client has died, broke the rules or stayed away for too long. Its
items go to others; what is remembered is how many of its frames had arrived, so that a client that
comes back knows which of its results to send again.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from distchan._dead_letters import DeadLetters
from distchan._dealer import Dealer
from distchan._handshake import Hello
from distchan._inbox import Inbox
from distchan._jobs import Job
from distchan._outstanding import Item
from distchan._pump import Handler
from distchan._server_session import (
    Arrived,
    GivenBack,
    Left,
    Remembered,
    ServerSession,
    Undecodable,
)
from distchan._session import Closed, Event, Session
from distchan._wire import Outcome
from distchan._wiring import Wiring
from distchan.errors import ConnectionLost, DistchanError, HandshakeError, RemoteError

__all__ = ["Hub"]

#: So many sessions are remembered: the newest ones.
_MOST_REMEMBERED: Final = 1000


class Hub(Handler):
    """The server's rules.

    ``work_done`` is called when every item is settled and no more will come; ``drained`` when all
    results have been received, too. The types are for those who want to look inside.
    """

    def __init__(
        self,
        wiring: Wiring,
        *,
        max_attempts: int,
        work_done: Callable[[], None],
        drained: Callable[[], None],
        session_type: type[ServerSession] = ServerSession,
        dealer_type: type[Dealer] = Dealer,
    ) -> None:
        self._wiring = wiring
        self._session_type = session_type
        self._logger = wiring.logger
        self._on_work_done = work_done
        self._on_drained = drained
        #: Called after each event, if anybody wants to know.
        self.on_news: Callable[[], None] | None = None
        self.dealer: Dealer | None = None
        self.inbox: Inbox | None = None
        if wiring.outgoing is not None:
            self.dealer = dealer_type(
                wiring.outgoing,
                wiring.encoder(wiring.options.max_frame_size),
                max_attempts=max_attempts,
                finished=self.check_work_done,
                bury=self._bury,
                logger=wiring.logger,
            )
        if wiring.incoming is not None:
            self.inbox = Inbox(wiring.incoming, self._on_inbox_drained)
        self.dead_letters = DeadLetters()

        #: By id, in joining order; those without a connection are waited for.
        self.sessions: dict[bytes, ServerSession] = {}
        self._remembered: OrderedDict[bytes, ServerSession | Remembered] = OrderedDict()

        #: How far the end has come: asked for, all clients told, `incoming` closed.
        self._shutting_down = False
        self.work_done = False
        self.ended = False
        #: Some items have been jobs: it matters which result belongs to which item.
        self._has_jobs = False
        #: What clients still say is not listened to.
        self._closed = False

        self._settled_before = 0  # by sessions that are no more
        self.results = 0
        self.lost = 0
        self.undecodable = 0
        self.redelivered = 0
        self.dropped_items = 0
        self.dropped_results = 0

    def session(self) -> ServerSession:
        """For a new connection, which may turn out to belong to an older session."""
        return self._wiring.session(self._session_type, find=self._find)

    # -- figures ----------------------------------------------------------------------------------

    @property
    def held(self) -> int:
        """Items that clients have and have not settled."""
        return sum(len(session.outstanding) for session in self.sessions.values())

    @property
    def settled(self) -> int:
        return self._settled_before + sum(s.settled for s in self.sessions.values())

    @property
    def workers(self) -> int:
        """Connected clients that can be dealt work; all, if there is no outgoing channel."""
        if self.dealer is None:
            return sum(session.opened for session in self.sessions.values())
        return sum(session.wants_items for session in self.sessions.values())

    # -- jobs -------------------------------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """Have a job dealt."""
        assert self.dealer is not None
        if self._closed:
            job.fail(ConnectionLost("the server has closed"))
            return
        if not self._has_jobs:
            self._has_jobs = True
            for session in self.sessions.values():
                session.pair_results()
        self.dealer.submit(job)

    @property
    def most_result_bytes(self) -> int:
        """How many bytes of results may wait to be taken, roughly."""
        return self._wiring.options.prefetch_bytes

    def fail_jobs(self, error: Exception) -> None:
        """Give up all jobs that are not done."""
        if self.dealer is None:
            return
        jobs = [*self.dealer.jobs()]
        for session in self.sessions.values():
            jobs += [item for item in session.outstanding.values() if isinstance(item, Job)]
        for job in jobs:
            job.fail(error)

    def _tell_jobs(self, session: ServerSession, event: Arrived) -> list[Any]:
        """Tell those jobs that are done. Returns the results that belong to none of them."""
        items, values = event.items, event.values
        if not event.paired or len(items) != len(values):
            return self._tell_unpaired_jobs(session, event)
        rest = []
        size = event.size // max(1, len(items))
        for item, value in zip(items, values, strict=True):
            if isinstance(item, Job):
                item.done(value, size)
            else:
                rest.append(value)
        if len(rest) < len(values):
            self.results += len(values) - len(rest)
            session.took(len(values) - len(rest), 0 if rest else event.size)
        return rest

    def _tell_unpaired_jobs(self, session: ServerSession, event: Arrived) -> list[Any]:
        items, values = event.items, event.values
        jobs = [item for item in items if isinstance(item, Job)]
        for job in jobs:
            if values:
                words = f"{len(values)} results came with {len(items)} items at once"
                job.fail(RemoteError(f"nobody can tell its result: {words}"))
            else:
                job.done(None, 0)
        if values and jobs and len(jobs) == len(items):
            self.dropped_results += len(values)
            session.took(len(values), event.size)
            return []
        return values

    # -- sessions come and go ---------------------------------------------------------------------

    def _find(self, hello: Hello) -> ServerSession | Remembered | None:
        found = self.sessions.get(hello.session) or self._remembered.get(hello.session)
        if self.ended and not (isinstance(found, ServerSession) and found.begun == hello.begun):
            raise HandshakeError("this server's work is finished")
        return found

    def join(self, session: ServerSession) -> None:
        """A session has begun."""
        same = self.sessions.get(session.id)
        if same is not None:  # its client has never heard of it
            self.give_up(same, "its client has begun anew")
        self._remembered.pop(session.id, None)
        self.sessions[session.id] = session
        if self._has_jobs:
            session.pair_results()
        if self.work_done:
            session.close(self._last_words)
        elif self.dealer is not None and session.sending:
            self.dealer.join(session)

    def resumed(self, session: ServerSession) -> None:
        """A session goes on with another connection; that the first had ended may be news."""
        if self.dealer is not None:
            self.dealer.credited(session)

    def cut(self, session: ServerSession, reason: str, heard_all: bool) -> bool:
        """The connection of a session is gone. Returns whether to wait for another one.

        heard_all: whether all that the client had written has arrived.
        """
        session.cut()
        session.heard_all = heard_all
        if self.dealer is not None:
            self.dealer.credited(session)
        if session.keeps and not session.over:
            return True
        self.give_up(session, reason)
        return False

    def give_up(self, session: ServerSession, reason: str) -> None:
        """A session has ended, well or badly: whatever it holds goes to others."""
        if self.sessions.get(session.id) is not session:
            return
        del self.sessions[session.id]
        self._settled_before += session.settled
        # A client that has not heard the goodbye may come and ask for it.
        self._remembered[session.id] = session if session.finished else Remembered(session.memory)
        if len(self._remembered) > _MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        if self.dealer is not None:
            self.dealer.leave(session)
            if session.keeps:
                self._redeal(session, reason)
            else:
                self._redeal_unsent(session, reason)
        self.check_work_done()
        self._check_ended()

    def _redeal(self, session: ServerSession, reason: str) -> None:
        assert self.dealer is not None
        suspects, others = session.surrender()
        if suspects or others:
            self._logger.warning(
                "items of a client that is gone (%s) go to others: %d, and %d more that may be "
                "to blame",
                reason,
                len(others),
                len(suspects),
            )
        self.redelivered += len(suspects) + len(others)
        self.dealer.take_back_suspects(suspects, f"its worker died: {reason}")
        self.dealer.take_back(others)

    def _redeal_unsent(self, session: ServerSession, reason: str) -> None:
        assert self.dealer is not None
        held = len(session.outstanding)
        unsent = session.surrender_unsent()
        lost = held - len(unsent)
        if lost:
            self.lost += lost
            self._logger.warning(
                "a client was cut off (%s); items dealt to it that may be lost: %d", reason, lost
            )
        self.dealer.take_back(unsent)

    # -- events -----------------------------------------------------------------------------------

    def on_event(self, session: Session, event: Event) -> None:
        """Whatever a session makes of what its client says, except for the handshake."""
        assert isinstance(session, ServerSession)
        if self._closed:
            return
        if type(event) is Arrived:
            values = event.values
            if self._has_jobs:
                values = self._tell_jobs(session, event)
            if values:
                self._on_results(session, values, event.size)
        elif type(event) is Undecodable:
            self._on_undecodable(session, event)
        elif type(event) is GivenBack:
            self._on_given_back(event.items, event.outcome, event.reason)
        elif type(event) is Left:
            if self.dealer is not None:
                self.dealer.leave(session)
                self.dealer.take_back(event.items)
        elif type(event) is Closed:
            if event.error:
                self._logger.warning("a client closed its channel with an error: %s", event.error)
            self._check_ended()
        if self.dealer is not None:
            self.dealer.credited(session)
            self.check_work_done()
        if self.on_news is not None:
            self.on_news()

    def _on_results(self, session: ServerSession, values: list[Any], size: int) -> None:
        assert self.inbox is not None
        self.results += len(values)
        if self.inbox.channel.closed:
            # The user closed it: nobody wants results, and no client is to wait for us.
            self.dropped_results += len(values)
            session.took(len(values), size)
        else:
            self.inbox.arrive(session, values, size)

    def _on_undecodable(self, session: ServerSession, event: Undecodable) -> None:
        assert self.inbox is not None
        self.undecodable += 1
        self._logger.warning("a result does not decode: %s", event.error)
        if self.inbox.channel.closed:
            session.took(event.count, event.size)
        else:
            self.inbox.skip(session, event.count, event.size)
        for item in event.items:
            self._bury(item, f"its result does not decode: {event.error}")

    def _on_given_back(self, items: list[Item], outcome: Outcome, reason: str) -> None:
        assert self.dealer is not None
        if outcome is Outcome.UNDECODABLE:
            self.undecodable += len(items)
            for item in items:
                self._bury(item, reason)
        elif outcome is Outcome.FAILED:
            self._logger.warning("a worker failed: %s", reason)
            self.redelivered += len(items)
            self.dealer.take_back_failed(items, reason)
        else:
            self.dealer.take_back(items)

    def _bury(self, item: Item, reason: str) -> None:
        if isinstance(item, Job):
            item.fail(RemoteError(reason))
            return
        self._logger.error(
            "item %d is given up after %d attempts: %s", item.id, item.attempt, reason
        )
        value = self._wiring.decode_outgoing(item.payload)
        self.dead_letters.put(value, reason, item.attempt)

    # -- the end of the work ----------------------------------------------------------------------

    def shut_down(self) -> None:
        """Begin the orderly end: close `outgoing`, or do without one what that would do."""
        self._shutting_down = True
        if self.dealer is not None:
            self.dealer.channel.close()
        self.check_work_done()

    def check_work_done(self) -> None:
        """When everything has been dealt and settled, tell all clients that no more will come."""
        if self.work_done or not self._is_work_done():
            return
        self.work_done = True
        for session in tuple(self.sessions.values()):
            session.close(self._last_words)
        self._on_work_done()
        self._check_ended()

    def _is_work_done(self) -> bool:
        if self.dealer is None:
            return self._shutting_down
        return self.dealer.finished and not any(s.outstanding for s in self.sessions.values())

    @property
    def _last_words(self) -> str:
        return "" if self.dealer is None else self.dealer.last_words

    def _check_ended(self) -> None:
        """When no client will send any more results, end the incoming channel."""
        if self.ended or not self.work_done:
            return
        if any(session.receiving for session in self.sessions.values()):
            return
        self.ended = True
        if self.inbox is None or self.inbox.channel._finished:
            self._on_drained()
        else:
            self.inbox.channel.close()

    def _on_inbox_drained(self) -> None:
        if self.ended:
            self._on_drained()

    def drop_rest(self, error: DistchanError) -> None:
        """Give up what was not dealt, not settled or not received; end both channels."""
        self._closed = self.work_done = self.ended = True  # nobody is to be told any more
        self.fail_jobs(error)
        if self.dealer is not None:
            held = self.held
            self.dropped_items = self.dealer.discard() + self.dealer.channel._discard() + held
            self.dealer.channel._fail(error)
        if self.inbox is not None:
            self.dropped_results += self.inbox.discard()
            self.inbox.channel._fail(error)
        self.dead_letters.channel.close()
