"""Attacks on a server at work: it goes on serving others, and nothing is left of them."""

import asyncio
import contextlib
import gc
import logging
import random
import struct
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final

import pytest

from distchan import Server, _liveness
from distchan._connection import Connection
from distchan._server_session import ServerSession
from distchan._wire import CONTROL_LIMIT, MOST_SETTLED, Kind
from tests.helpers import alive, open_files
from tests.hostile import frame, hello, result, serving, settlement, wants

MAX_FRAME_SIZE = 1 << 20  # of the server in `serving`

#: What pytest keeps of a log keeps errors alive, and with them connections.
QUIET: Final = logging.getLogger("distchan.tests.hostile")
QUIET.setLevel(logging.CRITICAL)


class Stranger:
    """A connection that speaks for itself."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        open_ones: "set[Stranger]",
    ) -> None:
        self._open = open_ones
        self._open.add(self)
        self._reader = reader
        self._writer = writer
        self.read = reader.read
        self.write = writer.write

    async def told(self) -> bytes:
        """Everything that the server says until it closes the connection."""
        with contextlib.suppress(ConnectionResetError):
            return await self._reader.read()
        return b""

    async def close(self, *, abruptly: bool = False) -> None:
        if abruptly:
            self._writer.transport.abort()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        self._open.discard(self)


class Attacked:
    """A server at work: a good worker answers item after item."""

    def __init__(self, server: Server) -> None:
        self.server = server
        #: How many items have been answered.
        self.answers = 0
        #: Results of others than the good worker.
        self.others: list[str] = []
        self._strangers: set[Stranger] = set()

    async def stranger(self, data: bytes = b"") -> Stranger:
        host, _, port = self.server.address.rpartition(":")
        stranger = Stranger(*await asyncio.open_connection(host, int(port)), self._strangers)
        stranger.write(data)
        return stranger

    async def strangers(self, words: Iterable[bytes]) -> list[Stranger]:
        return [await self.stranger(data) for data in words]

    async def goes_on(self, answers: int = 20) -> None:
        """The good worker is served: it gives so many more answers."""
        more = self.answers + answers
        await until(lambda: self.answers >= more)

    async def let_go(self) -> None:
        for stranger in [*self._strangers]:
            await stranger.close()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def attacked(**options: Any) -> AsyncIterator[Attacked]:
    """At the end everything must be as it was before the attack."""
    defaults: dict[str, Any] = {"handshake_timeout": 60, "logger": QUIET}
    async with serving(**(defaults | options)) as (
        server,
        out,
        in_,
    ):
        site = Attacked(server)
        stopping = False

        async def work() -> None:
            while not stopping:
                text = f"x{site.answers}"
                await out.send(text)
                while (answer := await in_.receive()) != text.upper():
                    site.others.append(answer)
                site.answers += 1

        async with asyncio.TaskGroup() as group:
            group.create_task(work())
            await site.goes_on()
            connections, sessions = alive(Connection), alive(ServerSession)
            tasks, files = asyncio.all_tasks(), open_files()
            yield site
            await site.goes_on()
            await site.let_go()
            await until(lambda: open_files() == files)
            await until(lambda: server.statistics().sessions == server.num_clients == 1)
            assert asyncio.all_tasks() == tasks
            assert (alive(Connection), alive(ServerSession)) == (connections, sessions)
            stopping = True
        figures = server.statistics()
        assert (figures.settled, figures.redelivered, figures.dead_lettered) == (site.answers, 0, 0)


# -- slow senders ---------------------------------------------------------------------------------


async def test_one_byte_at_a_time_is_slow_and_nothing_else() -> None:
    async with attacked() as site:
        slow = await site.stranger()
        for byte in hello() + wants(0) + result(0, b"\xa4slow"):
            slow.write(bytes([byte]))
            await site.goes_on(1)
        await until(lambda: site.others == ["slow"])


async def test_bytes_now_and_then_do_not_prolong_the_handshake() -> None:
    async with attacked(handshake_timeout=0.2) as site:
        slow = await site.stranger()
        told = asyncio.create_task(slow.told())
        words = frame(bytes([Kind.HELLO]), length=CONTROL_LIMIT) + bytes(CONTROL_LIMIT)
        for byte in words:
            if told.done():
                break
            slow.write(bytes([byte]))
            await site.goes_on(1)
        assert b"did not introduce itself within 0.2 s" in await told


async def test_who_stops_in_mid_frame_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_liveness, "_LONGEST_STALL", 0.1)
    async with attacked(heartbeat=0.2, logger=None) as site:
        stopped = await site.stranger(hello() + wants(0) + result(0, bytes(100))[:50])
        await stopped.told()
        assert site.server.num_clients == 1
    assert "it stopped in the middle of a frame" in caplog.text


# -- many connections -----------------------------------------------------------------------------


async def test_hundreds_that_say_nothing_are_turned_away_in_time() -> None:
    async with attacked(handshake_timeout=1) as site:
        silent = await site.strangers([b""] * 300)
        await site.goes_on()
        # The oldest were turned away when there were too many.
        for stranger in (*silent[:200], *silent[200::2]):
            await stranger.close(abruptly=True)
        for stranger in silent[201::2]:
            assert b"did not introduce itself" in await stranger.told()
        assert site.server.statistics().refused == 300


async def test_a_flood_of_connections_leaves_nothing_behind() -> None:
    openings = [b"", hello()[:20], b"GET / HTTP/1.1\r\n\r\n", frame(b"", length=CONTROL_LIMIT)]
    async with attacked() as site:
        for cycle in range(20):
            if cycle == 15:
                tracemalloc.start()
            strangers = await site.strangers(openings * 25)
            for number, stranger in enumerate(strangers):
                await stranger.close(abruptly=(number + cycle) % 3 == 0)
            await site.goes_on(1)
        await until(lambda: site.server.statistics().refused == 2000)
        strangers.clear()
        gc.collect()
        memory, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    # Of each of the last five hundred there would be hundreds of bytes.
    assert memory < 100_000


async def test_hundreds_of_members_come_and_vanish() -> None:
    async with attacked() as site:
        words = [hello(session=struct.pack("<QQ", 0, n)) + wants(0) for n in range(300)]
        members = await site.strangers(words)
        await until(lambda: site.server.num_clients == 301)
        await site.goes_on()
        for member in members:
            await member.close(abruptly=True)
        await until(lambda: site.server.num_clients == 1)


# -- replayed handshakes --------------------------------------------------------------------------


async def test_a_replayed_handshake_takes_no_session_over() -> None:
    async with attacked() as site:
        words = hello(session=b"somebody's own ID", epoch=7) + wants(0)
        member = await site.stranger(words)
        await member.read(1)
        for replay in await site.strangers([words] * 20):
            assert b"this session has a newer connection" in await replay.told()
        older = await site.stranger(hello(session=b"somebody's own ID", epoch=6))
        assert b"this session has a newer connection" in await older.told()
        # Its connection is still the one.
        member.write(result(0, b"\xa4mine"))
        await until(lambda: site.others == ["mine"])


async def test_a_newer_handshake_takes_its_session_over_and_no_other() -> None:
    async with attacked() as site:
        member = await site.stranger(hello(session=b"somebody's own ID", epoch=1) + wants(0))
        await member.read(1)
        newer = await site.stranger(hello(session=b"somebody's own ID", epoch=2) + wants(0))
        await member.told()
        newer.write(result(0, b"\xa5newer"))
        await until(lambda: site.others == ["newer"])
        assert site.server.num_clients == 2


# -- oversized everything -------------------------------------------------------------------------

HUGE = 2**64 - 1
OVERSIZED = {
    "a frame": frame(bytes([Kind.RESULT]), length=2**31 - 1),
    "a frame before the handshake": frame(bytes([Kind.HELLO]), length=CONTROL_LIMIT + 1),
    "a control frame": hello() + frame(bytes([Kind.WINDOW]), length=CONTROL_LIMIT + 1),
    "a session id": hello(session=bytes(65)),
    "a session id of all the room there is": hello(session=bytes(CONTROL_LIMIT - 1000)),
    "the name of a codec": hello(codec="c" * (CONTROL_LIMIT - 1000)),
    "an epoch": hello(epoch=HUGE) + frame(b"\x63"),
    "a figure beyond 64 bits": frame(b"\x01\x81\xa5epoch\xcf" + b"\xff" * 20),
    "the name of a type": hello().replace(b"\xa3str", b"\xda\x7f\xff" + b"s" * 0x7FFF),
    "nested without end": frame(bytes([Kind.HELLO]) + b"\x91" * (CONTROL_LIMIT - 1)),
    "the count of items": hello() + frame(struct.pack("<BQBI", Kind.SETTLE, 0, 0, 2**32 - 1)),
    "one item too many": hello() + settlement(0, 0, [0] * (MOST_SETTLED + 1)),
    "the number of an item": hello() + settlement(0, 0, [HUGE]),
    "the length of a result": hello()
    + frame(struct.pack("<BQBII", Kind.SETTLE, 0, 0, 0, 2**32 - 1)),
    "a result": hello() + frame(bytes([Kind.RESULT]), length=MAX_FRAME_SIZE + 10),
    "the number of a frame": hello() + result(HUGE),
    "items handed out": hello() + frame(struct.pack("<BQQ", Kind.WINDOW, 1, HUGE)),
    "the count at the end": hello() + frame(struct.pack("<BQ", Kind.CLOSE, HUGE)),
    "the figure of a leave": hello() + frame(struct.pack("<BQ", Kind.LEAVE, HUGE)),
}


@pytest.mark.parametrize("what", OVERSIZED)
async def test_what_is_too_large_is_refused(what: str) -> None:
    async with attacked() as site:
        stranger = await site.stranger(OVERSIZED[what])
        assert bytes([Kind.ERROR]) in await stranger.told()


async def test_a_window_without_end_is_as_large_as_the_server_allows() -> None:
    async with serving(prefetch=10) as (server, out, in_):
        host, _, port = server.address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(hello(prefetch=2**32 - 1) + wants(HUGE))
        await server.wait_ready(2)
        sending = asyncio.create_task(out.send_many(["x"] * 100))
        await until(lambda: server.clients[1].held == 10)
        got = [await in_.receive() for _ in range(90)]
        assert server.clients[1].held == 10
        writer.transport.abort()
        await sending
        assert got + [await in_.receive() for _ in range(10)] == ["X"] * 100


async def test_claimed_lengths_cost_no_memory() -> None:
    async with attacked() as site:
        claims = [
            hello(session=struct.pack("<QQ", 1, n))
            + wants(0)
            + frame(struct.pack("<BQ", Kind.RESULT, 0), length=MAX_FRAME_SIZE)
            for n in range(200)
        ]
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            await site.strangers(claims)
            await until(lambda: site.server.num_clients == 201)
            await site.goes_on()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert after - before < 200 * MAX_FRAME_SIZE / 10


# -- garbage --------------------------------------------------------------------------------------


async def test_garbage_of_every_kind_at_once() -> None:
    chance = random.Random(1)
    proper = hello() + wants(0) + result(0) + settlement(1, 1, [], b"why")

    def garbage() -> bytes:
        data = bytearray(chance.choice((proper, proper[: len(hello())], hello() * 2)))
        for _ in range(chance.randint(1, 8)):
            at = chance.randrange(len(data))
            data[at : at + chance.randint(0, 4)] = chance.randbytes(chance.randint(0, 4))
        return bytes(data) + b"\0" * 8  # no signature: the end of all patience

    async with attacked() as site:
        # Some are refused at once; some have announced more than they have sent, until they go.
        await site.strangers(garbage() for _ in range(300))
        await site.goes_on()
        assert site.server.statistics().refused > 50
