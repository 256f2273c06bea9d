"""Runs a server with worker processes, does them harm, and counts what has become of the items."""

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from distchan import Channel, Server
from tests.chaos.proxy import Manner, Proxy

__all__ = ["MODES", "Report", "run"]

_WORKER: Final = Path(__file__).with_name("worker.py")
#: How many tasks each worker has.
_TASKS: Final = 8
#: So much longer than its faults a run is to last; about, since the share of the time that workers
#: work is an estimate.
_LONGER: Final = 1.4
#: Nothing is expected to take longer than so many times what was planned.
_PATIENCE: Final = 6
#: If fewer workers than these work, none is harmed: all would be busy with coming back.
_LEAST: Final = 2
#: For how long workers may take their leave.
_GRACE: Final = 1.0

#: What happens to connections: each of it once in every so many faults.
_Disturbance: TypeAlias = Manner | Literal["cut", "cut soon", "outage", "long outage"]
_DISTURBANCES: Final[tuple[_Disturbance, ...]] = (
    *("cut", "cut", "cut soon", "cut soon", "outage", "long outage"),
    *("delay", "throttle", "slice", "stall"),
)


@dataclass(frozen=True, kw_only=True)
class Mode:
    options: dict[str, Any]
    """Of the server."""
    working: float
    """The estimated share of the time for which workers work despite the faults."""


# No item is to blame for what happens here, however often it happens to the same one.
MODES: Final[dict[str, Mode]] = {
    # A random worker is killed and started again.
    "kill": Mode(options={"resume_timeout": 0.2, "max_attempts": 1000}, working=0.25),
    # A random worker is stopped for longer than the server bears with it.
    "stop": Mode(options={"hang_timeout": 0.3, "max_attempts": 1000, "prefetch": 32}, working=0.35),
    # The connection of a random worker is cut, delayed, throttled, sliced, or not to be had.
    "proxy": Mode(
        options={"resume_timeout": 5.0, "max_attempts": 1000, "prefetch": 32}, working=0.4
    ),
    # Any of these.
    "mixed": Mode(
        options={"resume_timeout": 0.5, "hang_timeout": 0.3, "max_attempts": 1000}, working=0.35
    ),
}


@dataclass(frozen=True, kw_only=True)
class Report:
    mode: str
    items: int
    faults: int
    lost: int
    """Items without a result; dead letters are among them."""
    doubled: int
    """Items with more than one result."""
    redelivered: int
    dead_lettered: int
    deserted: int
    """Workers that ended by themselves before the work was done."""
    seconds: float

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.deserted)


async def run(
    mode: str,
    *,
    items: int,
    workers: int,
    faults: int,
    interval: float,
    seed: int | None = None,
    **options: Any,
) -> Report:
    """A run with at least so many faults, one of them every ``interval`` seconds.

    The options are the server's and replace those of the mode. Raises TimeoutError if it comes to
    a standstill.
    """
    options = MODES[mode].options | options
    planned = faults * interval * _LONGER
    pause = MODES[mode].working * planned * workers * _TASKS / items
    chance = random.Random(seed)
    out, in_ = Channel(int), Channel[tuple[int, int]](tuple[int, int])
    server = Server("localhost:0", out, in_, **options)
    results: Counter[int] = Counter()
    began = time.monotonic()
    try:
        async with (
            asyncio.timeout(10 + planned * _PATIENCE),
            _Crew(pause) as crew,
            contextlib.AsyncExitStack() as proxies,
            server,
            asyncio.TaskGroup() as tasks,
        ):
            for number in range(workers):
                proxy = Proxy(server.address, chance)
                await proxies.enter_async_context(proxy)
                through = proxy.address if mode in ("proxy", "mixed") else server.address
                crew.hire(through, "asyncio" if number % 2 else "uvloop", proxy)
            await server.wait_ready(workers)

            mischief = _Mischief(crew, chance, options, lambda: len(results) < items)
            injector = tasks.create_task(mischief.go_on(mode, interval))
            tasks.create_task(_produce(out, items, lambda: mischief.count < faults))
            async for number, pid in in_:
                results[number] += 1
                crew.heard_of(pid)
            injector.cancel()
    except TimeoutError as error:
        error.add_note(f"{len(results)} of {items} items have results; {server.statistics()}")
        raise
    figures = server.statistics()
    return Report(
        mode=mode,
        items=items,
        faults=mischief.count,
        lost=items - len(results),
        doubled=sum(count > 1 for count in results.values()),
        redelivered=figures.redelivered,
        dead_lettered=figures.dead_lettered,
        deserted=mischief.deserted,
        seconds=time.monotonic() - began,
    )


async def _produce(out: Channel[int], items: int, early: Callable[[], bool]) -> None:
    """Send all items; the last ones slowly, as long as it is too early for the end."""
    most = items * 9 // 10
    await out.send_many(range(most))
    for number in range(most, items):
        await out.send(number)
        if early():
            await asyncio.sleep(0.03)  # in which a slow machine, too, has workers started again
    out.close()


class _Worker:
    """A process, started again whenever it was killed."""

    def __init__(self, arguments: tuple[str, ...], proxy: Proxy) -> None:
        self._arguments = arguments
        self.proxy = proxy
        #: Whether a result has come from it since it was harmed.
        self.works = False
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, _WORKER, *self._arguments])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class _Crew:
    """All workers. The end of the block kills those that do not end by themselves."""

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self.workers: list[_Worker] = []

    def hire(self, address: str, loop: str, proxy: Proxy) -> None:
        self.workers.append(_Worker((address, loop, str(_TASKS), f"{self._pause:.6f}"), proxy))

    def heard_of(self, pid: int) -> None:
        """A result has come from a process."""
        for worker in self.workers:
            if worker.process.pid == pid:
                worker.works = True

    def replace_deserters(self) -> int:
        """Start workers that have ended by themselves again; how many those were."""
        deserters = [worker for worker in self.workers if worker.process.poll() is not None]
        for worker in deserters:
            worker.start()
        return len(deserters)

    async def __aenter__(self) -> "_Crew":
        return self

    async def __aexit__(self, *_: object) -> None:
        deadline = time.monotonic() + _GRACE
        while time.monotonic() < deadline and any(w.process.poll() is None for w in self.workers):
            await asyncio.sleep(0.01)
        for worker in self.workers:
            worker.kill()


class _Mischief:
    """Harms workers that work, one after the other."""

    def __init__(
        self,
        crew: _Crew,
        chance: random.Random,
        options: dict[str, Any],
        early: Callable[[], bool],
    ) -> None:
        self._crew = crew
        self._chance = chance
        self._options = options
        self._bag: list[_Disturbance] = []
        self._early = early
        self.count = 0
        self.deserted = 0

    async def go_on(self, mode: str, interval: float) -> None:
        """One fault after the other, until cancelled, which ends those that are under way."""
        harms = {"kill": self._kill, "stop": self._stop, "proxy": self._disturb}
        async with asyncio.TaskGroup() as tasks:
            while True:
                await asyncio.sleep(interval)
                if self._early():
                    self.deserted += self._crew.replace_deserters()
                while len(working := [w for w in self._crew.workers if w.works]) < _LEAST:
                    await asyncio.sleep(0.01)
                worker = self._chance.choice(working)
                worker.works = False
                chosen = self._chance.choice([*harms]) if mode == "mixed" else mode
                tasks.create_task(harms[chosen](worker))
                self.count += 1

    async def _kill(self, worker: _Worker) -> None:
        worker.kill()
        worker.start()

    async def _stop(self, worker: _Worker) -> None:
        worker.process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(self._options["hang_timeout"] * self._chance.uniform(1.3, 2.0))
        finally:
            worker.works = False
            worker.process.send_signal(signal.SIGCONT)

    async def _disturb(self, worker: _Worker) -> None:
        if not self._bag:
            self._bag = list(_DISTURBANCES)
            self._chance.shuffle(self._bag)
        proxy = worker.proxy
        match self._bag.pop():
            case "cut":
                proxy.cut()
            case "cut soon":
                proxy.cut_soon()
            case "outage":
                with proxy.outage():
                    await asyncio.sleep(self._chance.uniform(0.1, 0.5))
            case "long outage":
                with proxy.outage():
                    await asyncio.sleep(self._options["resume_timeout"] * 1.2)
            case manner:
                with proxy.behaving(manner):
                    await asyncio.sleep(self._chance.uniform(0.1, 0.5))
