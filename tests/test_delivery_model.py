"""A server, its workers and a bad network, in any order that hypothesis can think of.

Server and workers are the real ones; network and time are those of tests/links.py. Links lose,
cut, delay, split and repeat; workers fail, leave, die and come back too late. After each step
nothing may be missing or doubled, nobody may hold more than was asked for, nobody who could work
may be passed over. In the end everything is worked on, and each item must be done exactly once, or
be among the dead letters for a good reason.

What is true is what can be seen from outside, and two moments inside: an item being dealt, and the
items of a session that is given up. What the worker of such a session says about those is void.
"""

import asyncio
import contextlib
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final
from unittest import mock

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from distchan import Channel, ChannelClosed, ConnectionLost, DistchanError, WouldBlock
from distchan._client_session import ClientSession, Fenced
from distchan._dealer import Dealer
from distchan._frames import numbers_of
from distchan._hub import Hub
from distchan._native_membership import NativeMembership
from distchan._outstanding import Item
from distchan._server_session import ServerSession
from distchan._session import Event, Opened, Session
from distchan._wire import Outcome
from distchan._wiring import Wiring
from distchan.errors import ProtocolError
from tests import links
from tests.helpers import clientele, membership
from tests.links import Clockwork, Link, Pipe

#: Shrinking a failure to its shortest form may take minutes.
pytestmark = pytest.mark.timeout(600)

#: Results that belong to no item, in the place of the number of a group.
NOBODY: Final = 0
RESUME_TIMEOUT: Final = 10.0
NEVER: Final = 1e9

#: Which of several; reduced to how many there are.
INDEX = st.integers(0, 5)
#: How a task takes items.
STYLE = st.sampled_from(["lease", "receive", "many"])


class Oops(Exception):
    """What a worker's task may fail with."""


class Group:
    """Items that were handed to one holder at once, and what became of them there."""

    def __init__(
        self, number: int, worker: "Worker", session: ServerSession, items: list[int]
    ) -> None:
        self.number = number
        self.worker = worker
        self.session = session
        self.items = items
        #: The connection that the worker had then, if any.
        self.link = next(reversed(worker.links()), None) if worker.own.opened else None
        #: How many results belong to it, how many have been received; and whether one is spoilt.
        self.results = 0
        self.received = 0
        self.spoilt = False
        #: What the holder has said.
        self.outcome: Outcome | None = None

    def say(self, outcome: Outcome) -> None:
        if self.outcome is None and not self.worker.dead:
            self.outcome = outcome

    @property
    def given_back(self) -> bool:
        return self.outcome in (Outcome.FAILED, Outcome.RETURNED)


class Hand:
    """A task of a worker that takes items and does what it is told to do with them."""

    def __init__(self, worker: "Worker", style: str, limit: int) -> None:
        self.worker = worker
        self.style = style
        self.limit = limit
        self.group: Group | None = None
        self._order: asyncio.Future[str] | None = None
        self.task = worker.model.loop.create_task(self._work())
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())

    @property
    def ready(self) -> bool:
        """It has something, and waits to be told what to do."""
        return self.group is not None and self._order is not None and not self._order.done()

    def tell(self, order: str) -> None:
        assert self._order is not None
        self._order.set_result(order)

    async def _work(self) -> None:
        with contextlib.suppress(ChannelClosed, ConnectionLost):
            while await self._take():
                pass

    async def _take(self) -> bool:
        incoming = self.worker.in_
        if self.style == "lease":
            with contextlib.suppress(Oops):
                lease = incoming.lease()
                async with lease as item:
                    return await self._obey([item], lease.attempt)
            return True
        if self.style == "receive":
            return await self._obey([await incoming.receive()])
        return await self._obey(await incoming.receive_many(self.limit))

    async def _obey(self, items: list[list[Any]], attempt: int | None = None) -> bool:
        group = self.group = self.worker.model.on_handed(self.worker, items, attempt)
        try:
            while True:
                self._order = self.worker.model.loop.create_future()
                match await self._order:
                    case "result" | "spoil" as order:
                        result = "spoilt" if order == "spoil" else [group.number, group.results]
                        with contextlib.suppress(ChannelClosed, ConnectionLost):
                            await self.worker.out.send(result)
                            group.results += 1
                            group.spoilt |= order == "spoil"
                    case "fail":
                        group.say(Outcome.FAILED)
                        raise Oops
                    case order:
                        group.say(Outcome.DONE)
                        return order == "next"
        except asyncio.CancelledError:
            group.say(Outcome.RETURNED)
            raise
        finally:
            self.group = None


class Worker:
    """A client and its tasks."""

    def __init__(self, model: "DeliveryModel", name: str, prefetch: int | None) -> None:
        self.model = model
        self.name = name
        self.out: Channel[Any] = Channel(Any, 1000)
        self.in_: Channel[list[Any]] = Channel(list[Any])
        self.client = links.client(name, self.out, self.in_, prefetch=prefetch, drain_timeout=NEVER)
        self.hands: list[Hand] = []
        #: The server's end of what the client believes to be its session.
        self.session: ServerSession | None = None
        self.entered = self.dead = self.leaving = False
        #: It can be sure that the server has processed everything, or it has lost hope.
        self.confirmed = False
        self.error: Exception | None = None
        #: What it sent that belongs to no item.
        self.sent = 0
        #: After so many more items in the hands of its tasks it dies; 0: it does not.
        self.poison = 0
        #: Items that a task had in its hands when the process died, as the server must know.
        self.blamable: set[tuple[ServerSession, int]] = set()
        self._leave = asyncio.Event()
        self.life = model.loop.create_task(self._live())
        model.loop.let_in(name)

    @property
    def alive(self) -> bool:
        return not self.dead and not self.life.done()

    @property
    def working(self) -> bool:
        """It can be given hands."""
        return self.alive and self.entered and not self.leaving and not self.in_.closed

    @property
    def own(self) -> ClientSession:
        return membership(self.client)._session

    def is_of(self, session: ServerSession) -> bool:
        own: ClientSession | None = getattr(
            membership(self.client), "_session", None
        )  # not from the first
        return own is not None and own.id == session.id

    def links(self) -> list[Link]:
        return [link for link in self.model.loop.of(self.name) if not link.over]

    async def _live(self) -> None:
        try:
            async with self.client:
                self.entered = True
                await self._leave.wait()
                for hand in self.hands:
                    if hand.group is not None:
                        hand.group.say(Outcome.DONE)
            self.confirmed = True
        except DistchanError as error:
            self.error = error
        finally:
            for hand in self.hands:
                hand.task.cancel()

    def leave(self) -> None:
        self.leaving = True
        self._leave.set()

    def die(self) -> None:
        self.dead = True
        self.model.loop.let_in(self.name, False)
        for link in self.links():
            link.client.vanish()
        self.life.cancel()
        for hand in self.hands:
            hand.task.cancel()


class DeliveryModel(RuleBasedStateMachine):
    @initialize(
        prefetch=st.sampled_from(["auto", 1, 3, 8]),
        prefetch_bytes=st.sampled_from([8 << 20, 30]),
        window=st.sampled_from([16, 4, 1]),
        max_attempts=st.integers(1, 3),
        hesitates=st.booleans(),
        items=st.integers(0, 16),
        styles=st.lists(STYLE, min_size=1, max_size=2),
        answers=st.integers(0, 2),
        last_cut=st.integers(0, 10),
    )
    def begin(
        self,
        prefetch: Any,
        prefetch_bytes: int,
        window: int,
        max_attempts: int,
        hesitates: bool,
        items: int,
        styles: list[str],
        answers: int,
        last_cut: int,
    ) -> None:
        self.prefetch, self.prefetch_bytes = prefetch, prefetch_bytes
        self.window, self.max_attempts = window, max_attempts
        #: How many results each item has in the end.
        self.answers = answers
        #: In which round of the last work all connections are cut once more.
        self.last_cut = last_cut
        #: Whether steps may follow each other faster than the loop turns.
        self.hesitates = hesitates

        self.loop = Clockwork()
        self.out: Channel[Any] = Channel(Any, 10_000)
        self.in_: Channel[list[int]] = Channel(list[int])
        self.patches = contextlib.ExitStack()
        self._spy()
        with links.result_window(window):
            self.server = links.server(
                self.out,
                self.in_,
                prefetch=prefetch,
                prefetch_bytes=prefetch_bytes,
                max_attempts=max_attempts,
                resume_timeout=RESUME_TIMEOUT,
                drain_timeout=NEVER,
            )
        self.hub = clientele(self.server)._hub
        assert self.hub.dealer is not None
        self.dealer = self.hub.dealer
        self.helping = False
        self.speaking: Session | None = None
        self.close_server = asyncio.Event()
        self.serving = self.loop.create_task(self._serve())

        self.workers: list[Worker] = []
        self.sent = 0
        self.undecodable: set[int] = set()
        self.items: dict[int, Item] = {}
        self.groups: list[Group | None] = [None]
        self.groups_of: defaultdict[int, list[Group]] = defaultdict(list)
        #: Sessions that were given up with something outstanding, and items that they had then.
        self.given_up: set[ServerSession] = set()
        self.void: set[tuple[ServerSession, int]] = set()
        self.blamed: Counter[int] = Counter()
        #: Items that may have taken a worker down; those that were the only ones then.
        self.suspected: set[int] = set()
        self.culprits: set[int] = set()
        self.dead: list[tuple[int, str, int]] = []
        self.open_group: Group | None = None
        self.from_nobody: Counter[int] = Counter()
        self.passed: defaultdict[ServerSession, set[ServerSession]] = defaultdict(set)
        self.results_at_end: int | None = None
        self.loop.rest()

        for style in styles:
            worker = self._new_worker(None)
            self.loop.settle()
            worker.hands.append(Hand(worker, style, 3))
        self.send_items(items, 0, undecodable=False)
        self.calm()

    async def _serve(self) -> None:
        async with self.server:
            await self.close_server.wait()

    # -- what is looked at inside -----------------------------------------------------------------

    def _spy(self) -> None:
        """Classes that tell the model what happens take the place of those that they extend."""
        model = self

        class SpiedServerSession(ServerSession):
            def send(self, item: Item) -> bool:
                model._on_dealt(self, item)
                return super().send(item)

            def surrender(self) -> tuple[list[Item], list[Item]]:
                outstanding = dict(self.outstanding.items())
                suspects, others = super().surrender()
                model._on_given_up(self, outstanding, suspects)
                return suspects, others

            def fail(self, error: DistchanError) -> None:
                model._on_failed(error)
                super().fail(error)

        class SpiedClientSession(ClientSession):
            def fail(self, error: DistchanError) -> None:
                model._on_failed(error)
                super().fail(error)

        class SpiedDealer(Dealer):
            def take_back_failed(self, items: Iterable[Item], reason: str) -> None:
                """A worker has lived to tell that they failed."""
                items = list(items)
                numbers = {id(item): number for number, item in model.items.items()}
                model.suspected -= {numbers[id(item)] for item in items}
                super().take_back_failed(items, reason)

            def help_suspects(self) -> None:
                model.helping = True
                super().help_suspects()
                model.helping = False

        class SpiedHub(Hub):
            def __init__(self, wiring: Wiring, **options: Any) -> None:
                options |= {"session_type": SpiedServerSession, "dealer_type": SpiedDealer}
                super().__init__(wiring, **options)

            def on_event(self, session: Session, event: Event) -> None:
                model.speaking = session
                super().on_event(session, event)
                model.speaking = None

        def on_opened(client: NativeMembership, connection: Any, event: Event) -> None:
            self._on_client_opened(client, connection, event)
            original_on_opened(client, connection, event)

        self.clock = 1.0
        original_on_opened = NativeMembership._on_opened
        for patch in (
            links.clock(lambda: self.clock),
            mock.patch("distchan._native_clientele.Hub", SpiedHub),
            mock.patch("distchan._native_membership.ClientSession", SpiedClientSession),
            mock.patch.object(NativeMembership, "_on_opened", on_opened),
        ):
            self.patches.enter_context(patch)

    def _on_failed(self, error: DistchanError) -> None:
        assert not isinstance(error, ProtocolError), error

    def _on_client_opened(self, client: NativeMembership, connection: Any, event: Event) -> None:
        """Which session of the server's is the client's own?"""
        if isinstance(event, Opened | Fenced):
            (worker,) = (worker for worker in self.workers if worker.client._membership is client)
            (link,) = (link for link in worker.links() if link.client.protocol is connection)
            worker.session = link.session

    def _on_dealt(self, session: ServerSession, item: Item) -> None:
        value = msgspec.msgpack.decode(item.payload)
        number = value if isinstance(value, int) else value[0]
        assert self.items.setdefault(number, item) is item
        assert session in self.hub.sessions.values()
        assert session.opened
        assert session.sending, "dealt after CLOSE or LEAVE"
        assert not session.over
        assert not self.hub.work_done
        outstanding = session.outstanding.values()
        for one in self.hub.sessions.values():
            assert all(item is not other for other in one.outstanding.values()), "dealt twice"
        assert len(outstanding) < session._window
        assert self.prefetch == "auto" or len(outstanding) < self.prefetch
        assert sum(len(other.payload) for other in outstanding) < self.prefetch_bytes
        numbers = {id(item): number for number, item in self.items.items()}
        company = self.suspected & {numbers[id(other)] for other in outstanding}
        assert not company, "a suspect has got company"
        if number in self.suspected:
            assert not outstanding or self.helping, "a suspect was sent to others"
        if number in self.suspected or self.dealer._suspects:
            self.passed.clear()  # somebody is to become free for the suspects
        else:
            self._check_turn(session)

    def _check_turn(self, session: ServerSession) -> None:
        """Nobody who has credit may see anybody else have two turns before his own.

        What somebody has just given back goes to others first.
        """
        for other in self.dealer._ring:
            if other in (session, self.speaking) or not other.credit:
                self.passed[other].clear()
            else:
                assert session not in self.passed[other], "passed over"
                self.passed[other].add(session)

    def _on_given_up(
        self, session: ServerSession, outstanding: dict[int, Item], suspects: list[Item]
    ) -> None:
        if not outstanding:
            return
        self.given_up.add(session)
        (worker,) = (worker for worker in self.workers if worker.is_of(session))
        told = worker.own.announced if worker.session is session else 0
        numbers = {id(item): number for number, item in self.items.items()}
        blamed = {id(item) for item in suspects}
        for index, item in outstanding.items():
            number = numbers[id(item)]
            self.void.add((session, number))
            if id(item) in blamed:
                # One more than it has spoken of, or all if its last words may be missing.
                assert index <= told or not session.heard_all, "the worker never had it"
                self.blamed[number] += 1
            else:
                assert (session, number) not in worker.blamable, "this one was being worked on"
        self.suspected |= {numbers[id(item)] for item in suspects}
        if len(suspects) == 1:
            self.culprits.add(numbers[id(suspects[0])])

    def on_handed(self, worker: Worker, items: list[list[Any]], attempt: int | None) -> Group:
        assert worker.session is not None
        group = Group(len(self.groups), worker, worker.session, [item[0] for item in items])
        self.groups.append(group)
        for number in group.items:
            key = worker.session, number
            if key not in self.void:
                if attempt is not None:
                    assert attempt == self.items[number].attempt
                for before in self.groups_of[number]:
                    assert before.given_back or (before.session, number) in self.void, (
                        "worked on twice"
                    )
            self.groups_of[number].append(group)
        if worker.poison and worker.alive:
            worker.poison -= 1
            if not worker.poison:
                self._kill(worker, "dies in words", group)
        return group

    # -- the server's user ------------------------------------------------------------------------

    def _step(self) -> None:
        if not self.hesitates:
            self.loop.rest()

    @precondition(lambda self: not self.out.closed)
    @rule(
        count=st.integers(1, 6),
        size=st.sampled_from([0, 0, 12, 40]),
        undecodable=st.sampled_from([False] * 7 + [True]),
    )
    def send_items(self, count: int, size: int, undecodable: bool) -> None:
        if undecodable:
            self.undecodable.add(self.sent)
            self.out.send_nowait(self.sent)
            self.sent += 1
        for _ in range(count):
            self.out.send_nowait([self.sent, "x" * size])
            self.sent += 1
        self._step()

    @rule(count=st.integers(1, 10))
    def receive_results(self, count: int) -> None:
        for _ in range(count):
            try:
                result = self.in_.receive_nowait()
            except (WouldBlock, ChannelClosed):
                break
            self._on_result(*result)
        self._step()

    def _on_result(self, group_number: int, number: int) -> None:
        if group_number == NOBODY:
            assert self.open_group is None
            self.from_nobody[number] += 1
            assert self.from_nobody[number] == 1, "a result of nobody came twice"
            return
        group = self.groups[group_number]
        assert group is not None
        assert group.outcome is Outcome.DONE, "the result of an item that was given back"
        assert not group.spoilt, "this frame was undecodable"
        assert all((group.session, item) not in self.void for item in group.items), "void"
        assert self.open_group in (None, group), "the results of two items are mixed"
        assert number == group.received, "out of order, or doubled"
        group.received += 1
        self.open_group = None if group.received == group.results else group

    @precondition(lambda self: len(self.workers) >= 2)
    @rule()
    def close_out(self) -> None:
        self.out.close()
        self._step()

    # -- workers ----------------------------------------------------------------------------------

    def _new_worker(self, prefetch: int | None) -> Worker:
        worker = Worker(self, f"worker-{len(self.workers)}", prefetch)
        self.workers.append(worker)
        return worker

    def _pick(self, index: int, what: Callable[[Worker], bool]) -> Worker | None:
        able = [worker for worker in self.workers if what(worker)]
        return able[index % len(able)] if able else None

    @precondition(lambda self: sum(worker.alive for worker in self.workers) < 3)
    @rule(prefetch=st.sampled_from([None, None, 2]), connects=st.booleans())
    def start_worker(self, prefetch: int | None, connects: bool) -> None:
        worker = self._new_worker(prefetch)
        if connects:
            self._connect(worker)
        self._step()

    def _connect(self, worker: Worker) -> None:
        """Carry what is to be said in a handshake, and a little more."""
        for _ in range(4):
            self.loop.rest()
            for link in worker.links():
                for pipe in link.pipes:
                    pipe.carry()
        self.loop.rest()

    @rule(index=INDEX, style=STYLE, limit=st.integers(1, 4), count=st.integers(1, 3))
    def start_hands(self, index: int, style: str, limit: int, count: int) -> None:
        worker = self._pick(index, lambda worker: worker.working)
        if worker is not None:
            busy = sum(not hand.task.done() for hand in worker.hands)
            for _ in range(min(count, 4 - busy)):
                worker.hands.append(Hand(worker, style, limit))
        self._step()

    def _ready_hands(self) -> list[Hand]:
        return [
            hand
            for worker in self.workers
            if not worker.dead
            for hand in worker.hands
            if hand.ready
        ]

    @precondition(lambda self: self._ready_hands())
    @rule(
        index=INDEX,
        times=st.integers(1, 4),
        results=st.integers(0, 2),
        spoilt=st.sampled_from([False] * 7 + [True]),
        order=st.sampled_from(["next", "end", "fail", "fail", "cancel", "go on"]),
        seconds=st.sampled_from([0.0, 0.00001, 0.001, 1.0]),
    )
    def work(
        self, index: int, times: int, results: int, spoilt: bool, order: str, seconds: float
    ) -> None:
        for _ in range(times):
            hands = self._ready_hands()
            if not hands:
                break
            hand = hands[index % len(hands)]
            self.clock += seconds
            self._finish(hand, ["result"] * results + ["spoil"] * spoilt, order)
            self._step()

    def _finish(self, hand: Hand, results: list[str], order: str) -> None:
        for result in results:
            if hand.ready:
                hand.tell(result)
                self.loop.rest()
        if order == "cancel":
            hand.task.cancel()
        elif order != "go on" and hand.ready:
            hand.tell(order)

    @precondition(lambda self: self._ready_hands())
    @rule(index=INDEX, times=st.integers(1, 4), results=st.integers(0, 3))
    def work_well(self, index: int, times: int, results: int) -> None:
        self.work(index, times, results, False, "next", 0.0)

    @rule(index=INDEX)
    def send_a_result_of_nobody(self, index: int) -> None:
        worker = self._pick(index, lambda worker: worker.alive and worker.entered)
        if worker is not None and not worker.out.closed:
            number = self.workers.index(worker) * 1000 + worker.sent
            worker.out.send_nowait([NOBODY, number])
            worker.sent += 1
        self._step()

    @rule(index=INDEX)
    def finish_after_the_last_item(self, index: int) -> None:
        worker = self._pick(index, lambda worker: worker.alive and worker.in_.closed)
        if worker is not None and all(hand.task.done() for hand in worker.hands):
            worker.out.close()
        self._step()

    @rule(
        index=INDEX,
        how=st.sampled_from(
            ["leaves", "leaves, cut off", "hangs", "dies", "is cut off and dies", "dies in words"]
        ),
        poison=st.sampled_from([0, 0, 1, 2, 3, 4]),
        rush=st.integers(0, 4),
        style=STYLE,
        waits=st.booleans(),
    )
    def lose_worker(
        self, index: int, how: str, poison: int, rush: int, style: str, waits: bool
    ) -> None:
        """It has just begun to work, with many hands, when something happens to it."""
        worker = self._pick(index, lambda worker: worker.alive and worker.entered)
        if worker is not None:
            worker.poison = poison
            for _ in range(rush):
                worker.hands.append(Hand(worker, style, 3))
            if waits:
                self.loop.settle()
            else:
                self.loop.rest()
            if worker.dead:
                return
            match how:
                case "leaves":
                    worker.leave()
                case "leaves, cut off":
                    worker.leave()
                    self.loop.rest()
                    for link in worker.links():
                        link.cut()
                    self.loop.advance(1)
                    self._connect(worker)
                case "hangs":
                    self._take_for_hung(worker)
                case _:
                    self._kill(worker, how)
        self._step()

    def _kill(self, worker: Worker, how: str, last: Group | None = None) -> None:
        """A process dies. What it has written may still arrive; its host may tell the server.

        last: what a task of it has just got into its hands.
        """
        groups = [hand.group for hand in worker.hands if hand.group is not None]
        groups += [] if last is None else [last]
        worker.die()
        live = [link for link in worker.links() if not link.client.lost]
        for link in live:
            match how:
                case "is cut off and dies":
                    link.to_server.closing = link.server.lose
                case "dies in words":
                    link.to_server.closing = link.server.receive_eof
        if how == "dies in words" and live and not live[-1].client.blocked:
            # What a task has got into its hands meanwhile, the server has been told before.
            link = live[-1]
            worker.blamable = {
                (group.session, item)
                for group in groups
                for item in group.items
                if group.link is link
            }
            link.to_server.carry()

    def _take_for_hung(self, worker: Worker) -> None:
        """The server gives up a worker that is connected: what hang_timeout does."""
        for session, connection in list(clientele(self.server)._clients.items()):
            if session is worker.session:
                error = ConnectionLost("silent for too long")
                session.fail(error)
                connection.abort()
                clientele(self.server)._on_over(connection, error)

    # -- the network ------------------------------------------------------------------------------

    def _links(self) -> list[Link]:
        return [link for link in self.loop.links if not link.over]

    def _pipe(self, index: int) -> Pipe | None:
        pipes = [pipe for link in self._links() for pipe in link.pipes if pipe.loaded]
        return pipes[index % len(pipes)] if pipes else None

    @rule()
    def calm(self) -> None:
        """Everything arrives, and everything is said to that."""
        self.loop.settle()

    @rule()
    def turn(self) -> None:
        self.loop.turn()

    @rule(index=INDEX, count=st.one_of(st.none(), st.integers(1, 80)))
    def carry(self, index: int, count: int | None) -> None:
        pipe = self._pipe(index)
        if pipe is not None:
            pipe.carry(count)
        self._step()

    @rule(
        index=INDEX,
        who=st.sampled_from(["both", "both", "client", "server"]),
        last=st.sampled_from(["nothing", "to_server", "to_client"]),
        seconds=st.sampled_from([0.0, 1.0, 1.0, RESUME_TIMEOUT + 2]),
        mended=st.booleans(),
    )
    def cut(self, index: int, who: str, last: str, seconds: float, mended: bool) -> None:
        """A connection ends, for both ends or for one of them; perhaps there is another one soon.

        last: of what was on its way that arrives, and is answered in vain.
        """
        live = self._links()
        if live:
            link = live[index % len(live)]
            if last != "nothing":
                (link.to_server if last == "to_server" else link.to_client).carry()
                self.loop.rest()
            if who != "server":
                link.client.lose()
            if who != "client":
                link.server.lose()
            if seconds:
                self.loop.advance(seconds)
            if mended:
                (worker,) = (worker for worker in self.workers if worker.name == link.host)
                self._connect(worker)
        self._step()

    @rule(
        index=INDEX,
        what=st.sampled_from(["repeats", "repeats", "blocked", "not blocked", "ping"]),
        to_server=st.booleans(),
        frame=st.integers(0, 8),
    )
    def trouble(self, index: int, what: str, to_server: bool, frame: int) -> None:
        live = self._links()
        if live:
            link = live[index % len(live)]
            pipe, end = (
                (link.to_server, link.client) if to_server else (link.to_client, link.server)
            )
            match what:
                case "repeats":
                    pipe.repeat(frame)
                case "ping":
                    link.session.ping()
                case _:
                    end.block(what == "blocked")
        self._step()

    @rule(index=INDEX, allowed=st.booleans())
    def let_in(self, index: int, allowed: bool) -> None:
        worker = self._pick(index, lambda worker: worker.alive)
        if worker is not None:
            self.loop.let_in(worker.name, allowed)
        self._step()

    @rule(seconds=st.sampled_from([0.3, 0.3, RESUME_TIMEOUT / 2, RESUME_TIMEOUT + 1]))
    def pass_time(self, seconds: float) -> None:
        self.loop.advance(seconds)
        self._step()

    # -- what must hold after each step -----------------------------------------------------------

    @invariant()
    def check(self) -> None:
        hub, dealer = self.hub, self.dealer
        while len(hub.dead_letters.channel):
            letter = hub.dead_letters.channel.receive_nowait()
            number = letter.item if isinstance(letter.item, int) else letter.item[0]
            self.dead.append((number, letter.reason, letter.attempts))
        assert hub.dead_letters.count == len(self.dead)
        assert self.sent == hub.settled + hub.held + dealer.waiting + hub.dead_letters.count
        self._check_idle()
        for worker in self.workers:
            if worker.alive and worker.entered:
                self._check_worker(worker)
        if hub.ended:
            if self.results_at_end is None:
                self.results_at_end = hub.results
            assert hub.results == self.results_at_end, "a result after the end"
            assert not hub.held
            assert not dealer.waiting
        assert not self.loop.complaints

    def _check_idle(self) -> None:
        """Nothing waits for a worker who could have it."""
        dealer = self.dealer
        able = [session for session in dealer._ring if session.credit]
        if dealer._suspects:
            assert all(session.outstanding for session in able), "a suspect waits in vain"
            able = [session for session in able if session is not dealer._spared]
        if dealer.waiting > len(dealer._suspects):
            assert not able, "an item waits in vain"

    def _check_worker(self, worker: Worker) -> None:
        client, session = membership(worker.client), worker.own
        assert client._intake is not None
        holders = list(client._holdings)
        assert client._holdings.held == sum(holder.count for holder in holders)
        assert all(len(list(numbers_of(h.ranges()))) == h.count for h in holders if h.count)
        most = session._most_window
        assert client._intake.count + client._holdings.held <= most
        assert self.prefetch == "auto" or most <= self.prefetch
        assert session.unconfirmed <= 2 * (self.window + most) + 1, "retention has no bound"

    # -- the end ----------------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            if sys.exc_info()[0] is None:
                self._drain()
                self._check_all()
        finally:
            with contextlib.suppress(AssertionError):
                self.loop.finish()
            self.patches.close()

    def _drain(self) -> None:
        """The network is good from now on, everybody works; whoever died is found out."""
        for worker in self.workers:
            worker.poison = 0
            if worker.alive:
                self.loop.let_in(worker.name)
        for link in self._links():
            link.client.block(False)
            link.server.block(False)
        self.loop.settle()
        for link in self._links():
            if link.client.lost or link.client.deaf or link.server.lost:
                link.cut()
        self.loop.advance(RESUME_TIMEOUT + 1)
        self.loop.settle()
        self.check()
        if not any(worker.working for worker in self.workers) and not self.hub.ended:
            self._new_worker(None)
        self.out.close()
        for number in range(10 * self.sent + 100):
            self._work_off(number == self.last_cut)
            self.check()
            if self.hub.ended and all(worker.life.done() for worker in self.workers):
                break
        else:
            raise AssertionError("the work does not come to an end")
        self.receive_results(1000)
        self.close_server.set()
        self.loop.advance(2)
        assert self.serving.done()
        self.serving.result()

    def _work_off(self, cut: bool) -> None:
        self.loop.advance(1)
        self.loop.settle()
        for worker in self.workers:
            if worker.working and not any(not hand.task.done() for hand in worker.hands):
                worker.hands.append(Hand(worker, "receive", 1))
            for hand in worker.hands:
                if not worker.dead:
                    self._finish(hand, ["result"] * self.answers, "next")
            over = all(hand.task.done() for hand in worker.hands)
            if worker.entered and worker.alive and worker.in_.closed and over:
                worker.out.close()
                if not worker.leaving:
                    worker.leave()
        if cut:
            self.loop.rest()
            self.loop.carry()
            self.loop.rest()
            for link in self._links():
                link.cut()
            self.loop.advance(1)
        self.loop.settle()
        self.receive_results(1000)
        self.loop.settle()

    def _check_all(self) -> None:
        hub = self.hub
        statistics = self.server.statistics()
        assert (statistics.dropped_items, statistics.dropped_results) == (0, 0)
        assert not hub.held
        assert hub.settled + hub.dead_letters.count == self.sent
        assert self.open_group is None

        dead = Counter(number for number, _, _ in self.dead)
        done: Counter[int] = Counter()
        spoilt: set[int] = set()
        for group in self.groups[1:]:
            assert group is not None
            valid = all((group.session, item) not in self.void for item in group.items)
            if group.outcome is Outcome.DONE and valid and not group.spoilt:
                assert group.received == group.results, "results are missing"
                done.update(group.items)
            else:
                assert not group.received
            if group.outcome is Outcome.DONE and group.spoilt:
                spoilt.update(group.items)
        assert done + dead == Counter(range(self.sent)), "lost, or done more than once"
        for number, reason, attempts in self.dead:
            if attempts < self.max_attempts:
                assert number in self.undecodable or number in spoilt, reason
            elif reason.startswith("its worker died"):
                assert number in self.culprits, "others are as likely to be to blame"
        for number, item in self.items.items():
            self._check_attempts(number, item.attempt)

        for worker in self.workers:
            first = self.workers.index(worker) * 1000
            received = sum(first <= number < first + 1000 for number in self.from_nobody)
            if worker.confirmed:
                assert received == worker.sent, "results of nobody are missing"
            elif not worker.dead:
                # It was away for too long, and the work was finished without it.
                assert "this server's work is finished" in str(worker.error)

    def _check_attempts(self, number: int, attempt: int) -> None:
        """Failures and deaths count. Items that were returned, and sessions resumed, do not."""
        failed = [g for g in self.groups_of[number] if g.outcome is Outcome.FAILED]
        surely = sum(group.session not in self.given_up for group in failed)
        most = 1 + self.blamed[number] + len(failed)
        least = 1 + self.blamed[number] + surely
        assert attempt <= most, "counted what does not count"
        assert attempt >= min(least, self.max_attempts), "not counted"


TestDelivery = DeliveryModel.TestCase
TestDelivery.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
