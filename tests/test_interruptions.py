"""Starts and ends that are cancelled, cut short or out of the usual order."""

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest

from distchan import (
    Channel,
    ChannelClosed,
    ChannelInUse,
    Client,
    ConnectError,
    ConnectionLost,
    EndOfChannel,
    FrameTooLarge,
    HandshakeError,
    Server,
    WouldBlock,
    _rendezvous,
    select,
)
from distchan._wire import Kind
from tests.helpers import clientele, membership
from tests.hostile import frame, hello, result, wants


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def cancelled_after(count: int, start: Any) -> bool:
    """Cancel a start after so many turns of the loop; False if it was finished before."""
    task = asyncio.create_task(start)
    await turns(count)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


@pytest.mark.parametrize("count", range(12))
async def test_a_client_whose_start_is_cancelled_leaves_nothing_behind(count: int) -> None:
    out, w_out, w_in = Channel(int), Channel(int), Channel(int)
    async with Server("localhost:0", out, Channel(int), drain_timeout=0) as server:
        tasks = asyncio.all_tasks()
        client = Client(server.address, w_out, w_in)
        if await cancelled_after(count, client.__aenter__()):
            # The channels are free again, and items go to whoever uses them next.
            async with Client(server.address, w_out, w_in):
                await out.send(1)
                assert await w_in.receive() == 1
        else:
            await client.aclose()
        while server.num_clients:
            await asyncio.sleep(0)
        assert {task for task in asyncio.all_tasks() - tasks if "distchan" in repr(task)} == set()
        assert server.statistics().redelivered == 0


@pytest.mark.parametrize("count", range(4))
async def test_a_server_whose_start_is_cancelled_leaves_nothing_behind(
    count: int, tmp_path: Path
) -> None:
    address = f"unix:{tmp_path}/socket"
    out = Channel(int)
    server = Server(address, out, None)
    if not await cancelled_after(count, server.__aenter__()):
        await server.aclose()
        out = Channel(int)
    assert not (tmp_path / "socket").exists()
    async with Server(address, out, None):
        pass


@pytest.mark.parametrize("cancelled", [False, True])
async def test_items_of_a_client_that_stopped_go_to_others_once(cancelled: bool) -> None:
    out, first, second = Channel(int), Channel(int), Channel(int)
    in_hand = asyncio.Event()
    got: list[tuple[int, int | None]] = []

    async def stopping(address: str) -> None:
        async with Client(address, None, first):
            assert await first.receive() == 0
            assert await first.receive() == 1
            in_hand.set()
            if cancelled:
                await asyncio.Event().wait()
            raise ZeroDivisionError

    async with Server("localhost:0", out, None, prefetch=256) as server:
        task = asyncio.create_task(stopping(server.address))
        for i in range(20):
            await out.send(i)
        await in_hand.wait()
        if cancelled:
            task.cancel()
        with pytest.raises(asyncio.CancelledError if cancelled else ZeroDivisionError):
            await task
        with pytest.raises(ConnectionLost):  # for a task that outlives the client's block
            await first.receive()
        async with Client(server.address, None, second):
            out.close()
            with contextlib.suppress(EndOfChannel):
                while True:
                    lease = second.lease()
                    async with lease as item:
                        got.append((item, lease.attempt))
        assert server.statistics().settled == 20
    # The one in hand has failed, if its task did; the others were never worked on.
    assert sorted(got) == [(1, 1 if cancelled else 2), *((i, 1) for i in range(2, 20))]


async def test_leaving_with_items_in_a_closed_incoming_gives_them_back() -> None:
    out, results = Channel(int), Channel(int)
    w_out, w_in, other = Channel(int), Channel(int), Channel(int)
    async with Server("localhost:0", out, results, prefetch=256) as server:
        async with Client(server.address, w_out, w_in):
            for i in range(5):
                await out.send(i)
            assert await w_in.receive() == 0
            w_in.close()
        out.close()
        async with Client(server.address, None, other):
            assert [item async for item in other] == [1, 2, 3, 4]


async def test_an_item_that_cannot_be_relayed_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    relay, w_out, last = Channel(str), Channel(str), Channel(str)
    async with (
        Server("localhost:0", None, relay) as one,
        Server("localhost:0", relay, None, max_frame_size=100) as two,
    ):
        async with Client(one.address, w_out, None), Client(two.address, None, last):
            for text in ("a", "x" * 200, "b"):
                await w_out.send(text)
            assert [await last.receive(), await last.receive()] == ["a", "b"]
        assert two.statistics().dropped_items == 1
    assert "could not be relayed" in caplog.text


async def test_a_clients_incoming_cannot_be_anothers_outgoing() -> None:
    out, shared = Channel(int), Channel(int)
    async with Server("localhost:0", out, None) as server:
        async with Client(server.address, None, shared):
            with pytest.raises(ChannelInUse, match="relay with a task"):
                await Server("localhost:0", shared, None).__aenter__()


@pytest.mark.parametrize("count", range(8))
async def test_a_receiver_of_a_server_that_stops_gets_its_item_or_the_end(count: int) -> None:
    in_, w_out = Channel(int), Channel(int)
    receiver = None
    client = None
    with contextlib.suppress(ZeroDivisionError):
        async with Server("localhost:0", None, in_) as server:
            client = await Client(server.address, w_out, None, connect_timeout=0).__aenter__()
            receiver = asyncio.create_task(in_.receive())
            await w_out.send(1)
            await turns(count)
            raise ZeroDivisionError
    assert receiver is not None
    assert client is not None
    outcome = (await asyncio.gather(receiver, return_exceptions=True))[0]
    assert outcome == 1 or isinstance(outcome, ConnectionLost)
    with contextlib.suppress(ConnectionLost):
        await client.aclose()


async def test_a_stranger_that_introduces_itself_after_the_end_is_refused() -> None:
    out = Channel(str)
    async with Server("localhost:0", out, Channel(str)) as server:
        host, port = server.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        while not clientele(server)._connections:
            await asyncio.sleep(0)
        out.close()
        writer.write(hello())
        assert b"work is finished" in await reader.read()
        writer.close()
        await writer.wait_closed()


async def test_results_cut_off_on_their_way_are_no_success() -> None:
    w_out = Channel(int)
    server = Server("localhost:0", None, Channel(int))
    await server.__aenter__()
    client = await Client(server.address, w_out, None, connect_timeout=0).__aenter__()
    await w_out.send(1)
    await turns(5)
    await server.__aexit__(ZeroDivisionError, ZeroDivisionError(), None)
    with pytest.raises(ConnectionLost):
        await client.aclose()


async def test_what_is_buffered_when_the_servers_incoming_is_closed_is_still_received() -> None:
    in_, w_out = Channel(int), Channel(int)
    async with Server("localhost:0", None, in_) as server:
        async with Client(server.address, w_out, None):
            for i in range(5):
                await w_out.send(i)
            while len(in_) < 5:
                await asyncio.sleep(0)
            in_.close()
            server.shutdown()

            async def slowly() -> list[int]:
                items = []
                with contextlib.suppress(EndOfChannel):
                    while True:
                        items.append(await in_.receive())
                        await turns(3)
                return items

            reading = asyncio.create_task(slowly())
    assert await reading == list(range(5))


async def test_a_short_cut_costs_nothing() -> None:
    out, results, w_in, w_out = Channel(int), Channel(int), Channel(int), Channel(int)
    executed, got = [], []

    async def work() -> None:
        async for number in w_in:
            executed.append(number)
            await w_out.send(number)
        w_out.close()

    async with Server("localhost:0", out, results, prefetch=8) as server:
        async with Client(server.address, w_out, w_in), asyncio.TaskGroup() as tasks:
            tasks.create_task(work())
            sending = tasks.create_task(out.send_many(range(300)))
            sending.add_done_callback(lambda _: out.close())
            async for number in results:
                got.append(number)
                if number % 100 == 50:
                    (connection,) = clientele(server)._connections
                    connection.abort()
        figures = server.statistics()
        assert (figures.dealt, figures.redelivered, figures.settled) == (300, 0, 300)
    assert executed == got == list(range(300))


async def test_after_a_long_cut_the_results_of_what_is_in_hand_are_discarded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    out, results, w_in, w_out = Channel(str), Channel(str), Channel(str), Channel(str)
    attempts: list[tuple[str, int | None]] = []
    given_up = asyncio.Event()

    async def work() -> None:
        with contextlib.suppress(EndOfChannel):
            while True:
                lease = w_in.lease()
                async with lease as text:
                    attempts.append((text, lease.attempt))
                    await w_out.send(text.upper())
                    await given_up.wait()
                    await w_out.send(text.upper() + "!")
        w_out.close()

    async with Server("localhost:0", out, results, prefetch=8, resume_timeout=0) as server:
        async with Client(server.address, w_out, w_in), asyncio.TaskGroup() as tasks:
            tasks.create_task(work())
            await out.send_many("ab")
            while not attempts:
                await asyncio.sleep(0)
            (connection,) = clientele(server)._connections
            connection.abort()
            while "the old one is lost" not in caplog.text:  # the client is back
                await asyncio.sleep(0.01)
            given_up.set()
            out.close()
            got = [text async for text in results]
        assert server.statistics().redelivered == 2
    assert sorted(got) == ["A", "A!", "B", "B!"]
    # What was not in hand has simply gone to others: nobody had worked on it.
    assert [text for text, _ in sorted(attempts)] == ["a", "a", "b"]
    assert ("a", 2) in attempts
    assert "1 items in the hands of tasks here go to others" in caplog.text


async def test_connect_timeout_bounds_a_handshake_that_never_comes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        client = Client(address, None, Channel(int), connect_timeout=0.1, handshake_timeout=1000)
        with pytest.raises(ConnectError, match=r"within 0\.1 s: it accepted the connection"):
            await client.__aenter__()


async def test_an_item_encoded_before_the_servers_limit_was_known_is_told() -> None:
    w_out = Channel(str, capacity=1)
    w_out.send_nowait("x" * 200)
    async with Server("localhost:0", None, Channel(str), max_frame_size=100) as server:
        with pytest.raises(FrameTooLarge, match="an item of 202 bytes waits to be sent"):
            await Client(server.address, w_out, None).__aenter__()
    assert w_out.receive_nowait() == "x" * 200


async def test_nobody_waits_for_workers_of_a_server_whose_work_is_done() -> None:
    out = Channel(int)
    async with Server("localhost:0", out, None) as server:
        waiting = asyncio.create_task(server.wait_ready())
        await turns(1)
        out.close()
        with pytest.raises(ChannelClosed):
            await waiting
        with pytest.raises(ChannelClosed):
            await server.wait_ready()


async def test_what_has_not_been_entered_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with Server"):
        await Server("localhost:0", Channel(int), None).wait_ready()
    with pytest.raises(RuntimeError, match="async with Client"):
        await Client("localhost:1", Channel(int), None).done()


def test_a_channel_is_closed_with_an_exception_or_nothing() -> None:
    with pytest.raises(TypeError, match="error must be an exception"):
        Channel(int).close("text")  # type: ignore[arg-type]


async def test_a_codec_that_closes_the_channel_fails_the_send() -> None:
    out: Channel[Any] = Channel(Any)

    class Perverse:
        name = "perverse"

        def encode(self, item: object) -> bytes:
            out.close()
            return b""

        def decode(self, data: bytes) -> object:
            raise AssertionError

    async with Server("localhost:0", out, None, codec=Perverse()) as server:
        async with Client(server.address, None, Channel(Any), codec=Perverse()):
            with pytest.raises(ChannelClosed):
                await out.send(1)


async def test_aclose_can_be_cancelled_and_releases_everything() -> None:
    out, w_in = Channel(int), Channel(int)
    server = Server("localhost:0", out, None)
    await server.__aenter__()
    client = await Client(server.address, None, w_in, connect_timeout=0).__aenter__()
    await out.send(1)
    assert await cancelled_after(5, server.aclose())
    assert server.num_clients == 0
    with contextlib.suppress(ConnectionLost):
        await client.aclose()
    with pytest.raises(ConnectError):
        await Client(server.address, None, Channel(int), connect_timeout=0).__aenter__()


async def test_a_refused_client_may_try_another_server() -> None:
    w_out, w_in = Channel(str), Channel(str)
    async with (
        Server("localhost:0", Channel(int), Channel(str)) as wrong,
        Server("localhost:0", Channel(str), Channel(str)) as right,
    ):
        with pytest.raises(HandshakeError):
            await Client(wrong.address, w_out, w_in).__aenter__()
        async with Client(right.address, w_out, w_in):
            assert right.num_clients <= 1


async def test_garbage_after_the_goodbye_harms_nobody() -> None:
    out = Channel(str)
    async with Server("localhost:0", out, Channel(str)) as server:
        host, port = server.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(hello() + wants(1) + frame(bytes([Kind.CLOSE]) + bytes(8)))
        await server.wait_ready()
        out.close()
        writer.write(b"garbage" * 1000)
        assert (await reader.read())[-1:] == bytes([Kind.BYE])  # the last frame
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("kind", ["receive", "select"])
@pytest.mark.parametrize("count", range(8))
async def test_a_dropped_item_leaves_the_channels_books_in_order(kind: str, count: int) -> None:
    in_, w_out, other = Channel(int), Channel(int), Channel(int)
    client = None
    waiting: asyncio.Task[Any] | None = None
    with contextlib.suppress(ZeroDivisionError):
        async with Server("localhost:0", None, in_) as server:
            client = await Client(server.address, w_out, None, connect_timeout=0).__aenter__()
            waiting = asyncio.create_task(
                in_.receive() if kind == "receive" else select(in_, other)
            )
            await w_out.send(1)
            await turns(count)
            raise ZeroDivisionError
    assert client is not None
    assert waiting is not None
    await asyncio.gather(waiting, return_exceptions=True)
    assert len(in_) == 0
    assert in_.statistics().waiting_receivers == 0
    with pytest.raises(ConnectionLost):
        await in_.receive()
    with contextlib.suppress(ConnectionLost):
        await client.aclose()


@pytest.mark.parametrize("count", range(12))
async def test_a_receiver_outlives_a_cancelled_start(count: int) -> None:
    out, w_in = Channel(int, capacity=1), Channel(int)
    async with Server("localhost:0", out, None, drain_timeout=0) as server:
        out.send_nowait(1)
        receiver = asyncio.create_task(w_in.receive())
        client = Client(server.address, None, w_in)
        if await cancelled_after(count, client.__aenter__()):
            client = Client(server.address, None, w_in)
            await client.__aenter__()
        await out.send(2)  # the first one may have been lost on its way to the cancelled client
        assert await receiver in (1, 2)
        await client.aclose()


async def test_a_peer_that_half_closes_and_reads_nothing_does_not_hold_up_the_end() -> None:
    out = Channel(str)
    limits: dict[str, Any] = {"prefetch": 500, "prefetch_bytes": 1 << 30}
    async with Server("localhost:0", out, Channel(str), drain_timeout=0.1, **limits) as server:
        host, port = server.address.split(":")
        with socket.create_connection((host, int(port))) as peer:
            peer.sendall(hello(**limits) + wants(500))
            await server.wait_ready()
            while True:  # more than the sockets hold
                try:
                    out.send_nowait("x" * 60_000)
                except WouldBlock:
                    break
            peer.shutdown(socket.SHUT_WR)
            await server.aclose()
    assert server.num_clients == 0


async def test_an_undecodable_item_after_incoming_was_closed_confirms_no_other() -> None:
    out: Channel[Any] = Channel(Any)
    first, second = Channel(int), Channel(int)
    async with Server("localhost:0", out, None, prefetch=256) as server:
        async with Client(server.address, None, first):
            await out.send(0)
            while not len(first):
                await asyncio.sleep(0)
            first.close()
            for item in (1, "no int", 2):
                await out.send(item)
            assert [item async for item in first] == [0]
        async with Client(server.address, None, second):
            out.close()
            assert [item async for item in second] == [1, 2]
        assert server.statistics().undecodable == 1
        assert server.dead_letters.receive_nowait().item == "no int"


async def test_an_undecodable_item_may_be_the_last_one() -> None:
    out: Channel[Any] = Channel(Any)
    in_ = Channel(int)
    async with Server("localhost:0", out, None) as server:
        async with Client(server.address, None, in_):
            await out.send("no int")
            out.close()
            assert [item async for item in in_] == []
        assert server.dead_letters.receive_nowait().item == "no int"


async def test_a_second_aclose_ends_the_first_ones_patience() -> None:
    out = Channel(int, capacity=1)
    server = await Server("localhost:0", out, None, drain_timeout=1000).__aenter__()
    out.send_nowait(1)
    patient = asyncio.create_task(server.aclose())
    await turns(3)
    await server.aclose(timeout=0)
    await patient
    assert server.statistics().dropped_items == 1


async def test_a_leaving_client_with_nothing_to_confirm_does_not_wait_for_a_dead_server() -> None:
    w_in = Channel(int)
    server = await Server("localhost:0", Channel(int), None).__aenter__()
    client = await Client(server.address, None, w_in, drain_timeout=1000).__aenter__()
    leaving = asyncio.create_task(client.aclose())
    await turns(1)
    await server.__aexit__(ZeroDivisionError, ZeroDivisionError(), None)
    await leaving


async def test_a_peer_that_reads_nothing_cannot_make_answers_pile_up(tmp_path: Path) -> None:
    in_ = Channel(str)
    # The buffers of a Unix socket are small: most of the answers would stay in this process.
    address = f"unix:{tmp_path}/socket"
    async with Server(address, Channel(str), in_, drain_timeout=0) as server:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as peer:
            peer.setblocking(False)
            await loop.sock_connect(peer, str(tmp_path / "socket"))
            await loop.sock_sendall(peer, hello())
            await loop.sock_sendall(peer, frame(bytes([Kind.PING])) * 400_000)
            await loop.sock_sendall(peer, result(0, b"\xa4done"))
            assert await in_.receive() == "done"
            (connection,) = clientele(server)._connections
            assert 500_000 < connection.session.pending < 2_000_000


async def test_cancelling_a_send_at_the_end_of_a_streak_loses_and_doubles_nothing() -> None:
    # However many came before it: with one of these numbers, it ends the streak of its task.
    for before in range(140):
        channel = Channel(int, 10_000)

        async def others(channel: Channel[int] = channel, count: int = before) -> None:
            for _ in range(count):
                await channel.send(0)

        for _ in range(_rendezvous._FIRST_STREAK):
            await channel.send(0)
        sending = asyncio.create_task(channel.send(1))
        busy = asyncio.create_task(others())
        for _ in range(2):
            await asyncio.sleep(0)
        sending.cancel()
        (outcome,) = await asyncio.gather(sending, return_exceptions=True)
        await busy
        sent = [channel.receive_nowait() for _ in range(len(channel))].count(1)
        assert sent == (outcome is None)


async def test_a_batch_that_ends_a_streak_is_not_interrupted_after_its_last_item() -> None:
    for count in range(_rendezvous._FIRST_STREAK - 2, _rendezvous._FIRST_STREAK + 1):
        channel = Channel(int, 10_000)
        sending = channel.send_many(range(count))
        with pytest.raises(StopIteration):
            sending.send(None)  # it has not let the loop turn
        assert len(channel) == count


async def test_a_batch_is_not_taken_from_what_has_been_dropped() -> None:
    out, in_ = Channel(int), Channel(int, 10)
    w_in, w_out = Channel(int), Channel(int)
    batches = [asyncio.create_task(in_.receive_many(10)) for _ in range(2)]
    async with contextlib.AsyncExitStack() as until_the_server_has_gone:
        until_the_server_has_gone.enter_context(contextlib.suppress(ZeroDivisionError))
        async with Server("localhost:0", out, in_) as server:
            client = Client(server.address, w_out, w_in, connect_timeout=0)
            await until_the_server_has_gone.enter_async_context(client)
            await w_out.send_many([1, 2])
            while not in_._woken:
                await asyncio.sleep(0)
            in_.send_nowait(3)
            raise ZeroDivisionError
    outcomes = await asyncio.gather(*batches, return_exceptions=True)
    assert all(isinstance(outcome, list | ConnectionLost) for outcome in outcomes)


async def test_what_is_sent_for_a_lost_item_does_not_belong_to_the_next() -> None:
    out, in_ = Channel(str), Channel(str, 10)
    w_in, w_out = Channel(str), Channel(str)
    async with Server("localhost:0", out, in_, resume_timeout=0.05) as server:
        async with Client(server.address, w_out, w_in) as client:
            await out.send("a")
            assert await w_in.receive() == "a"
            connection = membership(client)._connection
            assert connection is not None
            connection.abort()
            (holder,) = membership(client)._holdings.tasks.values()
            while not holder.fenced:
                await asyncio.sleep(0.01)
            late = w_out.send("late")
            assert await w_in.receive() == "a"
            await late
            await w_out.send("in time")
            out.close()
            with pytest.raises(EndOfChannel):
                await w_in.receive()
            w_out.close()
            assert [result async for result in in_] == ["in time"]
