"""A session whose connection is cut at every byte: what comes of it is the same.

One session is recorded: what is dealt and settled, results of items and results of nobody, every
kind of frame, in both directions, until BYE. Then the same again, cut after each byte of it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distchan import Channel
from distchan._wire import Kind
from tests import links
from tests.links import Clockwork, Pipe

#: As many runs as there are bytes take their time.
pytestmark = pytest.mark.timeout(300)

Direction = Literal["to_server", "to_client"]

#: What becomes of what the receiver of the last byte says to that: it is lost, or it arrives.
Answer = Literal["lost", "heard"]


class Oops(Exception):
    """What a worker may fail with."""


@dataclass(frozen=True)
class Cut:
    """The connection ends when it has carried so many bytes in that direction."""

    direction: Direction
    offset: int
    answer: Answer


@dataclass(frozen=True)
class Outcome:
    """What a run has come to."""

    #: The items that workers were handed, and which attempt that was.
    executed: list[tuple[str, int]]
    results: list[str]
    settled: int
    redelivered: int
    dead: int


class Play:
    """A server and a worker that go through the same motions each time."""

    items: tuple[str, ...]
    #: After this result the server sends the second half of the items, and closes.
    cue: str

    def __init__(self) -> None:
        self.loop = Clockwork()
        self.out, self.in_ = Channel(str, 10), Channel(str)
        with links.result_window(4):
            self.server = links.server(self.out, self.in_, prefetch=3, resume_timeout=60)
        self.executed: list[tuple[str, int]] = []
        self.results: list[str] = []
        self.done = asyncio.Event()

    @contextlib.asynccontextmanager
    async def client(self, host: str) -> AsyncIterator[tuple[Channel[str], Channel[str]]]:
        self.loop.let_in(host)
        out, in_ = Channel(str, 10), Channel(str)
        async with links.client(host, out, in_):
            yield out, in_

    async def serve(self) -> None:
        async with self.server:
            half = len(self.items) // 2
            await self.out.send_many(self.items[:half])
            async for result in self.in_:
                self.results.append(result)
                if result == self.cue:
                    self.loop.links[-1].session.ping()
                    await self.out.send_many(self.items[half:])
                    self.out.close()
            await self.done.wait()  # it stays for those who have missed the goodbye

    async def play(self) -> None:
        """What the worker does. Leaving the client raises unless all has been confirmed."""
        raise NotImplementedError

    async def work(self) -> None:
        await self.play()
        self.done.set()

    async def work_on(self, in_: Channel[str], out: Channel[str]) -> None:
        """Do an item with a result."""
        lease = in_.lease()
        async with lease as item:
            assert lease.attempt is not None
            self.executed.append((item, lease.attempt))
            if item.startswith("flaky") and lease.attempt == 1:
                raise Oops
            await out.send(item.upper())

    def run(self, cuts: Iterable[Cut] = (), patience: float = 0) -> Outcome:
        tasks = self.loop.create_task(self.serve()), self.loop.create_task(self.work())
        self.loop.rest()
        for cut in cuts:
            self._carry_until(cut)
            self.loop.advance(1)  # for the client to try again
        self.loop.settle()
        self.loop.advance(patience)
        self.loop.settle()
        unfinished = [task for task in tasks if not task.done()]
        statistics = self.server.statistics()
        self.loop.finish()
        assert not unfinished
        for task in tasks:
            task.result()
        assert not self.loop.complaints
        return Outcome(
            self.executed,
            self.results,
            statistics.settled,
            statistics.redelivered,
            statistics.dead_lettered,
        )

    def _carry_until(self, cut: Cut) -> None:
        """Play the network until the latest connection is to be cut."""
        link = self.loop.links[-1]
        pipe: Pipe = getattr(link, cut.direction)
        (back,) = (other for other in link.pipes if other is not pipe)
        while pipe.carried < cut.offset:
            if not (pipe.loaded or back.loaded):
                return  # so much was never written
            left = cut.offset - pipe.carried
            pipe.carry(left if left <= len(pipe.data) else None)
            if left:
                back.carry()
                self.loop.rest()
        while cut.answer == "heard" and back.loaded:
            back.carry()
            self.loop.rest()
        link.cut()
        self.loop.rest()


class ToTheEnd(Play):
    """A worker that works until there is no more, with results of items and of nobody."""

    items = ("one", "none", "two", "three", "flaky")
    cue = "ONE"

    async def play(self) -> None:
        async with self.client("worker") as (out, in_):
            await out.send("hello")
            await self.work_on(in_, out)
            await asyncio.create_task(self.work_as_a_task(in_, out))
            for _ in range(2):
                with contextlib.suppress(Oops):
                    await self.work_on(in_, out)
            async for item in in_:
                raise AssertionError(f"another item: {item}")
            await out.send("that was all")
            out.close()

    async def work_as_a_task(self, in_: Channel[str], out: Channel[str]) -> None:
        self.executed.append((await in_.receive(), 1))  # without a result
        left = 2
        while left:  # how many come at once depends on the network
            batch = await in_.receive_many(left)
            left -= len(batch)
            for item in batch:
                self.executed.append((item, 1))
                await out.send(item.upper())


class Leaving(Play):
    """A worker that leaves in the middle of it, with items at hand that another one then does."""

    items = ("one", "two", "three", "four")
    cue = "ONE"

    async def play(self) -> None:
        async with self.client("worker") as (out, in_):
            await self.work_on(in_, out)
            self.executed.append((item := await in_.receive(), 1))
            await out.send(item.upper())
        async with self.client("another") as (out, in_):
            async for item in in_:
                self.executed.append((item, 1))
                await out.send(item.upper())
            out.close()


PLAYS: Final[list[type[Play]]] = [ToTheEnd, Leaving]

IN_A_PLAY: Final = {
    ToTheEnd: {*Kind} - {Kind.LEAVE, Kind.ERROR, Kind.NONCE, Kind.PROOF},
    Leaving: {Kind.LEAVE, Kind.BYE},
}

EXPECTED: Final = {
    ToTheEnd: Outcome(
        executed=[*((item, 1) for item in ToTheEnd.items), ("flaky", 2)],
        results=["hello", "ONE", "TWO", "THREE", "FLAKY", "that was all"],
        settled=5,
        redelivered=1,
        dead=0,
    ),
    Leaving: Outcome(
        executed=[(item, 1) for item in Leaving.items],
        results=[item.upper() for item in Leaving.items],
        settled=4,
        redelivered=0,
        dead=0,
    ),
}


@pytest.mark.parametrize("play", PLAYS)
def test_a_session_that_is_not_cut(play: type[Play]) -> None:
    run = play()
    assert run.run() == EXPECTED[play]
    (link,) = run.loop.of("worker")
    assert link.to_server.kinds | link.to_client.kinds >= IN_A_PLAY[play]


def check_cuts(
    play: type[Play], direction: Direction, offsets: Iterable[int], answer: Answer
) -> None:
    for offset in offsets:
        cut = Cut(direction, offset, answer)
        run = play()
        try:
            assert run.run([cut]) == EXPECTED[play]
        except BaseException as error:
            error.add_note(f"it was {cut}")
            raise


def record(play: type[Play], direction: Direction) -> Pipe:
    run = play()
    run.run()
    pipe: Pipe = getattr(run.loop.links[0], direction)
    return pipe


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
@pytest.mark.parametrize("play", PLAYS)
def test_cut_at_every_byte(play: type[Play], direction: Direction) -> None:
    check_cuts(play, direction, range(record(play, direction).carried + 1), "lost")


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
@pytest.mark.parametrize("play", PLAYS)
def test_cut_after_every_frame_whose_effects_are_heard_of(
    play: type[Play], direction: Direction
) -> None:
    """One way the link works a little longer. In the middle of a frame that makes no difference."""
    check_cuts(play, direction, record(play, direction).boundaries, "heard")


CUTS: Final = st.lists(
    st.builds(
        Cut,
        direction=st.sampled_from(["to_server", "to_client"]),
        offset=st.integers(0, 700),
        answer=st.sampled_from(["lost", "heard"]),
    ),
    min_size=2,
    max_size=6,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cuts=CUTS)
def test_cut_again_and_again(cuts: list[Cut]) -> None:
    # A client that has nothing but its CLOSE to say tries only once more to say it.
    outcome = ToTheEnd().run(cuts, patience=61)  # more than the resume_timeout
    assert outcome == EXPECTED[ToTheEnd]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cuts=CUTS)
def test_cut_again_and_again_while_leaving(cuts: list[Cut]) -> None:
    outcome = Leaving().run(cuts, patience=61)
    assert outcome.results == EXPECTED[Leaving].results
    assert [item for item, _ in outcome.executed] == [*Leaving.items]
    assert outcome.settled == 4
