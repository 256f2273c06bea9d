"""A server and its clients in one process, over real sockets: the promises of normal operation."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

import distchan
from distchan import (
    AddressInUse,
    AlreadyStarted,
    Channel,
    ChannelClosed,
    ChannelInUse,
    Client,
    ConnectError,
    ConnectionLost,
    EncodeError,
    EndOfChannel,
    FrameTooLarge,
    HandshakeError,
    InvalidSignature,
    RemoteError,
    Server,
    TypeMismatch,
    WouldBlock,
)
from distchan._wiring import RESULT_WINDOW


async def collect(channel: Channel[Any]) -> list[Any]:
    return [item async for item in channel]


async def shout(address: str, **options: Any) -> int:
    """A worker like the original's capitalizer; how many items it got."""
    out, in_ = Channel(str), Channel(str)
    count = 0
    async with Client(address, out, in_, **options):
        async for text in in_:
            count += 1
            await out.send(text.upper())
        out.close()
    return count


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def hold(channel: Channel[Any]) -> None:
    await channel.receive()
    await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def joined(server: Server, out: Any, in_: Any, **options: Any) -> AsyncIterator[Any]:
    """A client that the server knows to be there, and to want items if there are any."""
    before = server.num_clients
    async with Client(server.address, out, in_, **options) as client:
        while server.num_clients == before:
            await asyncio.sleep(0)
        if in_ is not None:
            await server.wait_ready(server.num_clients)
        yield client


class TestThereAndBack:
    async def test_one_client_keeps_the_order(self) -> None:
        out, in_ = Channel(str), Channel(str)
        words = [f"word {i}" for i in range(1000)]
        async with Server("localhost:0", out, in_) as server, asyncio.TaskGroup() as tasks:
            worker = tasks.create_task(shout(server.address))
            await server.wait_ready()
            results = tasks.create_task(collect(in_))
            await out.send_many(words)
            out.close()
            assert await results == [word.upper() for word in words]
            assert await worker == 1000

    async def test_item_i_goes_to_client_i_mod_n(self) -> None:
        out = Channel(int)
        channels = [Channel(int) for _ in range(10)]
        async with contextlib.AsyncExitStack() as stack:
            server = await stack.enter_async_context(
                Server("localhost:0", out, None, prefetch=256)  # so that all always have credit
            )
            for channel in channels:
                await stack.enter_async_context(joined(server, None, channel))
            assert server.num_clients == 10
            async with asyncio.TaskGroup() as tasks:
                got = [tasks.create_task(collect(channel)) for channel in channels]
                for i in range(2000):
                    await out.send(i)
                out.close()
            for k, task in enumerate(got):
                assert task.result() == list(range(k, 2000, 10))

    async def test_many_clients_share_the_work(self) -> None:
        out, in_ = Channel(str), Channel(str)
        async with Server("localhost:0", out, in_) as server, asyncio.TaskGroup() as tasks:
            workers = [tasks.create_task(shout(server.address)) for _ in range(4)]
            await server.wait_ready(4)
            tasks.create_task(send_all(out, [str(i) for i in range(4000)]))
            results = await collect(in_)
        assert sorted(map(int, results)) == list(range(4000))
        assert all(worker.result() for worker in workers)

    @pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", "unix:"])
    async def test_addresses(self, address: str, tmp_path: Path) -> None:
        if address == "unix:":
            address += str(tmp_path / "socket")
        out, in_ = Channel(str), Channel(str)
        async with Server(address, out, in_) as server, asyncio.TaskGroup() as tasks:
            assert server.address.startswith(address.removesuffix("0"))
            tasks.create_task(shout(server.address))
            await out.send("x")
            out.close()
            assert await collect(in_) == ["X"]
        assert not (tmp_path / "socket").exists()

    async def test_sockets_of_ones_own(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        own = socket.create_connection(listener.getsockname())
        out, in_ = Channel(str), Channel(str)
        w_out, w_in = Channel(str), Channel(str)
        async with Server(None, out, in_, sock=listener):
            async with Client(None, w_out, w_in, sock=own):
                await out.send("x")
                assert await w_in.receive() == "x"

    async def test_a_client_may_be_started_before_its_server(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        worker = asyncio.create_task(shout(address))
        await asyncio.sleep(0)
        out, in_ = Channel(str), Channel(str)
        async with Server(address, out, in_) as server:
            await server.wait_ready()
            await out.send("x")
            out.close()
            assert await collect(in_) == ["X"]
        assert await worker == 1

    async def test_an_item_may_be_changed_after_send(self) -> None:
        out, in_ = Channel(list[int], capacity=10), Channel(list[int])
        async with Server("localhost:0", out, None) as server:
            item = [1]
            await out.send(item)  # is only buffered: nobody is there
            item.append(2)
            async with Client(server.address, None, in_):
                assert await in_.receive() == [1]
                out.close()

    async def test_items_buffered_before_the_server_started_are_dealt(self) -> None:
        out, in_ = Channel(str, capacity=3), Channel(str)
        for text in "abc":
            out.send_nowait(text)
        out.close()
        async with Server("localhost:0", out, in_) as server, asyncio.TaskGroup() as tasks:
            tasks.create_task(shout(server.address))
            assert await collect(in_) == ["A", "B", "C"]

    async def test_local_receivers_take_turns_with_the_server(self) -> None:
        out, remote = Channel(int), Channel(int)
        async with Server("localhost:0", out, None) as server:
            async with joined(server, None, remote):
                local = asyncio.create_task(collect(out))
                await asyncio.sleep(0)
                remotely = asyncio.create_task(collect(remote))
                for i in range(100):
                    await out.send(i)
                    await settle()  # the local receiver is waiting again
                out.close()
                here, there = await local, await remotely
        assert sorted(here + there) == list(range(100))
        assert len(here) == len(there) == 50

    async def test_a_channel_may_relay_from_one_server_to_another(self) -> None:
        first, middle, last = Channel(str), Channel(str), Channel(str)
        async with (
            Server("localhost:0", first, middle) as one,
            Server("localhost:0", middle, last) as two,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(shout(one.address))
            tasks.create_task(shout(two.address))
            await first.send("x")
            first.close()
            assert await collect(last) == ["X"]


async def send_all(channel: Channel[Any], items: list[Any]) -> None:
    await channel.send_many(items)
    channel.close()


@dataclass
class Job:
    name: str
    size: float
    tags: list[str]


class TestCodecs:
    @pytest.mark.parametrize("codec", ["msgpack", "json", "pickle"])
    async def test_typed_items(self, codec: str) -> None:
        out, in_ = Channel(Job), Channel(Job)
        options: dict[str, Any] = {"codec": codec, "insecure": codec == "pickle"}
        async with Server("localhost:0", out, None, **options) as server:
            async with Client(server.address, None, in_, **options):
                await out.send(Job("a", 1, ["x"]))
                assert await in_.receive() == Job("a", 1.0, ["x"])

    async def test_raw(self) -> None:
        out: Channel[Any] = Channel(bytes)
        in_ = Channel(bytes)
        big = bytes(range(256)) * 4096
        # The test holds an item while it sends the next one.
        async with Server("localhost:0", out, None, codec="raw", prefetch=2) as server:
            async with Client(server.address, None, in_, codec="raw"):
                for item in (b"", b"x", big, bytearray(b"abc"), memoryview(big)):
                    await out.send(item)
                    got = await in_.receive()
                    assert type(got) is bytes
                    assert got == item

    async def test_an_object_of_ones_own(self) -> None:
        class Hex:
            name = "hex"

            def encode(self, item: int) -> bytes:
                return hex(item).encode()

            def decode(self, data: bytes) -> int:
                return int(data, 16)

        out, in_ = Channel(int), Channel(int)
        async with Server("localhost:0", out, None, codec=Hex()) as server:
            async with Client(server.address, None, in_, codec=Hex()):
                await out.send(10**30)
                assert await in_.receive() == 10**30

    async def test_encryption_with_the_right_key(self) -> None:
        cipher = Encryption(Fernet.generate_key())
        out, in_ = Channel(str), Channel(str)
        async with Server("localhost:0", out, in_, transforms=[cipher]) as server:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(shout(server.address, transforms=[cipher]))
                await out.send("secret")
                out.close()
                assert await collect(in_) == ["SECRET"]

    async def test_encryption_with_the_wrong_key(self) -> None:
        here, there = Encryption(Fernet.generate_key()), Encryption(Fernet.generate_key())
        out, in_ = Channel(str), Channel(str)
        async with Server("localhost:0", out, in_, transforms=[here]) as server:
            with pytest.raises(HandshakeError, match="the transforms of server and client differ"):
                await shout(server.address, transforms=[there])
            assert server.num_clients == 0


class Encryption:
    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(key)

    def encode(self, data: bytes) -> bytes:
        return self._fernet.encrypt(data)

    def decode(self, data: bytes) -> bytes:
        return self._fernet.decrypt(data)


class TestRefusals:
    async def test_another_signature(self) -> None:
        async with Server("localhost:0", Channel(str), Channel(str), signature=1) as server:
            with pytest.raises(InvalidSignature, match="expected signature 0x00000002, got 0x0000"):
                await shout(server.address, signature=2)

    async def test_other_types(self) -> None:
        async with Server("localhost:0", Channel(Job), Channel(str)) as server:
            with pytest.raises(TypeMismatch, match="this server sends Job, the client expects str"):
                await shout(server.address)

    async def test_nobody_listening(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ConnectError, match=f"no server at {address}"):
            await shout(address, connect_timeout=0)

    async def test_somebody_who_does_not_answer(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            address = f"127.0.0.1:{mute.getsockname()[1]}"
            with pytest.raises(ConnectError, match="did not introduce itself"):
                await shout(address, connect_timeout=0, handshake_timeout=0.05)

    async def test_address_in_use(self, tmp_path: Path) -> None:
        for address in ("localhost:0", f"unix:{tmp_path}/socket"):
            async with Server(address, Channel(str), None) as server:
                out = Channel(str)
                with pytest.raises(AddressInUse, match="is in use by another program"):
                    await Server(server.address, out, None).__aenter__()
                # The failed start has given the channel back.
                async with Server("localhost:0", out, None):
                    pass
                out, in_ = Channel(str), Channel(str)
                out.close()
                with pytest.raises(AddressInUse):
                    await Server(server.address, out, in_).__aenter__()
                assert not in_.closed

    async def test_a_socket_left_behind_by_a_dead_server_is_no_obstacle(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "socket"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        async with Server(f"unix:{path}", Channel(str), None) as server:
            assert server.address == f"unix:{path}"

    async def test_a_file_is_not_taken_for_a_socket(self, tmp_path: Path) -> None:
        path = tmp_path / "precious"
        path.write_text("data")
        with pytest.raises(AddressInUse):
            await Server(f"unix:{path}", Channel(str), None).__aenter__()
        assert path.read_text() == "data"

    async def test_channels_in_use(self) -> None:
        out, in_ = Channel(str), Channel(str)
        async with Server("localhost:0", out, in_) as server:
            for pair in ((out, Channel(str)), (Channel(str), in_)):
                with pytest.raises(ChannelInUse):
                    await Server("localhost:0", *pair).__aenter__()
                with pytest.raises(ChannelInUse):
                    await Client(server.address, *pair).__aenter__()

    def test_arguments(self) -> None:
        out = Channel(str)
        long = "unix:" + "x" * 108
        for wrong in ("localhost", ":x", "::1:5", "localhost:99999", "unix:", long, ""):
            with pytest.raises(ValueError, match="address"):
                Server(wrong, out, None)
        with pytest.raises(TypeError, match="address is a str"):
            Server(5, out, None)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="outgoing must be a Channel or None"):
            Server("localhost:0", [], None)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="at least one"):
            Server("localhost:0", None, None)
        with pytest.raises(ChannelInUse, match="two channels"):
            Server("localhost:0", out, out)
        with pytest.raises(TypeError, match="either an address or sock="):
            Server(None, out, None)
        with pytest.raises(ValueError, match="needs to know its server's port"):
            Client("localhost:0", out, None)
        for name in ("max_frame_size", "prefetch", "prefetch_bytes", "signature"):
            with pytest.raises(ValueError, match=name):
                Server("localhost:0", out, None, **{name: -1})  # type: ignore[arg-type]
            with pytest.raises(TypeError, match=name):
                Client("localhost:1", out, None, **{name: "1"})  # type: ignore[arg-type]
        for name in ("handshake_timeout", "drain_timeout", "connect_timeout"):
            with pytest.raises(ValueError, match=name):
                Client("localhost:1", out, None, **{name: -1})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="codec"):
            Server("localhost:0", out, None, codec="xml")
        with pytest.raises(TypeError, match="transform"):
            Server("localhost:0", out, None, transforms=[object()])  # type: ignore[list-item]

    async def test_a_second_start(self) -> None:
        async with Server("localhost:0", Channel(str), None) as server:
            with pytest.raises(AlreadyStarted):
                await server.__aenter__()
            client = Client(server.address, None, Channel(str))
            async with client:
                with pytest.raises(AlreadyStarted):
                    await client.__aenter__()

    async def test_items_that_cannot_be_sent(self) -> None:
        out: Channel[Any] = Channel(Any, capacity=5)
        in_: Channel[Any] = Channel()
        async with Server("localhost:0", out, None, max_frame_size=100) as server:
            with pytest.raises(EncodeError, match="msgpack"):
                await out.send(2**70)
            with pytest.raises(EncodeError):
                await out.send(object())
            with pytest.raises(FrameTooLarge, match="100"):
                await out.send("x" * 200)
            async with Client(server.address, None, in_):
                with pytest.raises(EncodeError):
                    out.send_nowait(2**70)
                with pytest.raises(FrameTooLarge):
                    await out.send_many(["good", "x" * 200, "not reached"])
                await out.send("after")
                assert [await in_.receive(), await in_.receive()] == ["good", "after"]
                assert out.statistics().sent == 2

    async def test_an_item_that_never_encodes_stops_the_start_and_is_kept(self) -> None:
        out: Channel[Any] = Channel(Any, capacity=2)
        out.send_nowait(2**70)
        with pytest.raises(EncodeError):
            await Server("localhost:0", out, None).__aenter__()
        assert out.receive_nowait() == 2**70

    async def test_the_clients_items_obey_the_servers_limit(self) -> None:
        out, in_ = Channel(str), Channel(str)
        async with Server("localhost:0", None, in_, max_frame_size=100) as server:
            async with Client(server.address, out, None):
                with pytest.raises(FrameTooLarge):
                    await out.send("x" * 200)
                await out.send("x")
                assert await in_.receive() == "x"


class TestMembership:
    async def test_what_the_server_tells(self) -> None:
        out, in_ = Channel(str), Channel(str)
        async with Server("localhost:0", out, in_) as server:
            assert (server.num_clients, server.ready, server.clients) == (0, False, ())
            waiting = asyncio.create_task(server.wait_ready(2))
            a_in, b_in = Channel(str), Channel(str)
            async with joined(server, None, a_in):
                assert (server.num_clients, server.ready) == (1, True)
                assert not waiting.done()
                async with joined(server, None, b_in):
                    await waiting
                    await out.send("x")
                    first, second = server.clients
                    assert (first.held, second.held) == (1, 0)
                    assert first.address.startswith("127.0.0.1:")
                    async with a_in.lease() as item:
                        assert item == "x"
                        await settle()
                        assert server.clients[0].held == 1
                    while server.clients[0].held:
                        await asyncio.sleep(0)
                    assert server.clients[0].settled == 1
                while server.num_clients == 2:
                    await asyncio.sleep(0)
            figures = server.statistics()
            assert (figures.dealt, figures.settled, figures.results) == (1, 1, 0)
            assert (figures.held, figures.redelivered) == (0, 0)

    async def test_a_client_without_incoming_is_dealt_nothing(self) -> None:
        out, in_ = Channel(str), Channel(str)
        results = Channel(str)
        async with Server("localhost:0", out, in_) as server:
            async with joined(server, results, None):
                assert not server.ready
                with pytest.raises(WouldBlock):
                    out.send_nowait("x")
                await results.send("result")
                assert await in_.receive() == "result"

    async def test_wait_ready_ends_with_the_server(self) -> None:
        async with Server("localhost:0", Channel(str), None) as server:
            waiting = asyncio.create_task(server.wait_ready())
            await asyncio.sleep(0)
        with pytest.raises(ChannelClosed):
            await waiting
        with pytest.raises(ChannelClosed):
            await server.wait_ready()

    async def test_what_a_leaving_client_has_not_received_goes_to_others(self) -> None:
        out, in_ = Channel(int), Channel(int)
        other = Channel(int)
        async with Server("localhost:0", out, None, prefetch=256) as server:
            async with joined(server, None, in_):
                for i in range(10):
                    await out.send(i)
                async for item in in_:
                    if item == 2:
                        break
            out.close()
            async with Client(server.address, None, other):
                assert await collect(other) == list(range(3, 10))

    async def test_closing_incoming_is_leaving_the_rotation(self) -> None:
        out, results = Channel(int), Channel(int)
        a_out, a_in, b_in = Channel(int), Channel(int), Channel(int)
        async with Server("localhost:0", out, results, prefetch=256) as server:
            async with joined(server, a_out, a_in), joined(server, None, b_in):
                for i in range(4):
                    await out.send(i)
                assert await a_in.receive() == 0
                a_in.close()
                assert await collect(a_in) == [2]
                got = asyncio.create_task(collect(b_in))
                for i in range(4, 8):
                    await out.send(i)
                await a_out.send(100)  # it may go on sending results
                assert await results.receive() == 100
                a_out.close()
                out.close()
                assert sorted(await got) == [1, 3, 4, 5, 6, 7]

    async def test_clients_come_and_go(self) -> None:
        out, in_ = Channel(int), Channel(int)

        async def one_of_many(address: str, share: int) -> None:
            w_out, w_in = Channel(int), Channel(int)
            async with Client(address, w_out, w_in, prefetch=16):
                for _ in range(share):
                    try:
                        await w_out.send(await w_in.receive())
                    except EndOfChannel:
                        break

        async def relay(address: str) -> None:
            with contextlib.suppress(HandshakeError):  # the work is finished
                while True:
                    await one_of_many(address, 7)

        async with Server("localhost:0", out, in_) as server, asyncio.TaskGroup() as tasks:
            for _ in range(5):
                tasks.create_task(relay(server.address))
            tasks.create_task(send_all(out, list(range(600))))
            assert sorted(await collect(in_)) == list(range(600))
            assert server.statistics().redelivered == 0


class TestBackPressure:
    async def test_a_sender_waits_for_workers_that_do_not_receive(self) -> None:
        out, in_ = Channel(int), Channel(int)
        async with Server("localhost:0", out, None, prefetch=5, drain_timeout=0) as server:
            async with joined(server, None, in_):
                for i in range(5):
                    await out.send(i)
                with pytest.raises(WouldBlock):
                    out.send_nowait(5)
                sending = asyncio.create_task(out.send(5))
                assert await in_.receive() == 0
                await settle()
                assert not sending.done()  # the first item is in hand, not done
                assert await in_.receive() == 1
                await sending

    async def test_a_client_is_dealt_what_its_tasks_wait_for_or_hold(self) -> None:
        out, in_ = Channel(int), Channel(int)
        async with Server("localhost:0", out, None, drain_timeout=0) as server:
            async with joined(server, None, in_):
                out.send_nowait(0)  # for a task that is yet to come
                with pytest.raises(WouldBlock):
                    out.send_nowait(1)
                workers = [asyncio.create_task(hold(in_)) for _ in range(3)]
                for i in (1, 2):
                    await out.send(i)
                while in_.statistics().received < 3:
                    await asyncio.sleep(0)
                await settle()
                with pytest.raises(WouldBlock):  # each of them holds one
                    out.send_nowait(3)
                waiting = asyncio.create_task(in_.receive())
                await out.send(3)
                assert await waiting == 3
                for worker in workers:
                    worker.cancel()

    async def test_results_that_nobody_receives_hold_up_the_workers(self) -> None:
        in_, results = Channel(int), Channel(int)
        async with Server("localhost:0", None, in_) as server:
            async with joined(server, results, None):
                for i in range(RESULT_WINDOW):
                    await results.send(i)
                with pytest.raises(WouldBlock):
                    results.send_nowait(RESULT_WINDOW)
                assert [await in_.receive() for _ in range(RESULT_WINDOW)] == list(
                    range(RESULT_WINDOW)
                )
                await results.send(RESULT_WINDOW)
                assert await in_.receive() == RESULT_WINDOW

    async def test_the_server_decides_how_much_a_client_holds(self) -> None:
        for ours, theirs, least in ((3, None, 3), (3, 5, 3), (5, 3, 3)):
            out, in_ = Channel(int), Channel(int)
            async with Server("localhost:0", out, None, prefetch=ours, drain_timeout=0) as server:
                async with joined(server, None, in_, prefetch=theirs):
                    await out.send(0)
                    for i in range(1, least):
                        out.send_nowait(i)
                    with pytest.raises(WouldBlock):
                        out.send_nowait(least)
                    assert [await in_.receive() for _ in range(least)] == list(range(least))

    async def test_one_item_always_fits_into_prefetch_bytes(self) -> None:
        out, in_ = Channel(str), Channel(str)
        async with Server("localhost:0", out, in_, prefetch_bytes=1) as server:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(shout(server.address))
                tasks.create_task(send_all(out, ["x" * 1000] * 20))
                assert await collect(in_) == ["X" * 1000] * 20

    async def test_a_stalled_client_is_skipped(self) -> None:
        out, stalled, eager = Channel(int), Channel(int), Channel(int)
        async with Server("localhost:0", out, None, prefetch=256) as server:
            async with (
                joined(server, None, stalled, prefetch=3),
                joined(server, None, eager),
            ):
                got = asyncio.create_task(collect(eager))
                for i in range(100):
                    await out.send(i)
                out.close()
                assert await collect(stalled) == [0, 2, 4]
                assert await got == [1, 3, 5, *range(6, 100)]


class TestEnd:
    async def test_nobody_ever_came(self) -> None:
        out, in_ = Channel(str), Channel(str)
        async with Server("localhost:0", out, in_):
            out.close()
            assert await collect(in_) == []

    async def test_the_last_results_of_a_worker_that_sums_up(self) -> None:
        out, in_ = Channel(int), Channel(int)

        async def summing(address: str) -> None:
            w_out, w_in = Channel(int), Channel(int)
            async with Client(address, w_out, w_in) as client:
                await w_out.send(sum([i async for i in w_in]))
                w_out.close()
                await client.done()

        async with Server("localhost:0", out, in_) as server, asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(summing(server.address))
            await server.wait_ready(3)
            tasks.create_task(send_all(out, list(range(100))))
            assert sum(await collect(in_)) == sum(range(100))

    async def test_close_with_an_error_reaches_the_workers(self) -> None:
        out, in_ = Channel(str), Channel(str)
        async with Server("localhost:0", out, None) as server:
            async with Client(server.address, None, in_):
                await out.send("x")
                out.close(ValueError("the input is broken"))
                assert await in_.receive() == "x"
                with pytest.raises(RemoteError, match="the input is broken"):
                    await in_.receive()

    async def test_a_clients_error_is_logged_not_raised(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        out, in_ = Channel(str), Channel(str)
        w_out, w_in = Channel(str), Channel(str)
        async with Server("localhost:0", out, in_) as server:
            async with Client(server.address, w_out, w_in):
                w_out.close(ValueError("out of paper"))
                out.close()
                assert await collect(in_) == []
        assert "out of paper" in caplog.text

    async def test_shutdown_without_outgoing(self) -> None:
        in_, results = Channel(int), Channel(int)
        async with Server("localhost:0", None, in_) as server:
            async with joined(server, results, None):
                server.shutdown()
                await results.send(1)
                assert await in_.receive() == 1
                results.close()
                assert await collect(in_) == []

    async def test_a_client_that_comes_too_late_is_told(self) -> None:
        out = Channel(int)
        async with Server("localhost:0", out, None) as server:
            out.close()
            with pytest.raises(HandshakeError, match="work is finished"):
                await Client(server.address, None, Channel(int)).__aenter__()

    async def test_what_nobody_takes_is_dropped_after_the_drain_timeout(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        out, in_ = Channel(int, capacity=3), Channel(int)
        results = Channel(int)
        async with Server("localhost:0", out, in_, drain_timeout=0.1) as server:
            async with joined(server, results, None):
                await results.send(7)
            out.send_nowait(1)
        assert (server.statistics().dropped_items, server.statistics().dropped_results) == (1, 1)
        assert "not done: 1, results that were not received: 1" in caplog.text
        with pytest.raises(ConnectionLost):
            await in_.receive()

    async def test_an_exception_in_the_servers_block_passes_at_once(self) -> None:
        out, in_ = Channel(int), Channel(int)
        with pytest.raises(ZeroDivisionError):
            async with Server("localhost:0", out, in_) as server:
                other = asyncio.create_task(in_.receive())
                stuck = asyncio.create_task(out.send(1))
                await asyncio.sleep(0)
                raise ZeroDivisionError
        for task in (other, stuck):
            with pytest.raises(ConnectionLost):
                await task
        assert server.num_clients == 0

    async def test_an_exception_in_the_clients_block_passes_at_once(self) -> None:
        out, in_ = Channel(int), Channel(int)
        async with Server("localhost:0", out, None) as server:
            with pytest.raises(ZeroDivisionError):
                async with joined(server, None, in_):
                    await out.send(1)
                    raise ZeroDivisionError
            while server.num_clients:
                await asyncio.sleep(0)
            # The item that it had not received goes to another one.
            other = Channel(int)
            async with Client(server.address, None, other):
                assert await other.receive() == 1

    async def test_the_servers_stop_reaches_the_clients(self) -> None:
        w_out, w_in = Channel(int), Channel(int)
        server = Server("localhost:0", Channel(int), Channel(int), drain_timeout=0)
        await server.__aenter__()
        client = await Client(server.address, w_out, w_in).__aenter__()
        await server.aclose()
        with pytest.raises(EndOfChannel):
            await w_in.receive()  # all that there was has come
        with pytest.raises(ConnectionLost, match="the server has closed"):
            await w_out.send(1)
        for ending in (client.done, client.aclose):
            with pytest.raises(ConnectionLost):
                await ending()

    async def test_a_client_goes_on_with_a_server_that_was_restarted(self) -> None:
        w_in = Channel(int)
        with contextlib.suppress(ZeroDivisionError):
            async with Server("localhost:0", Channel(int), None) as first:
                client = Client(first.address, None, w_in)
                await client.__aenter__()
                raise ZeroDivisionError
        out = Channel(int)
        async with Server(first.address, out, None):
            await out.send(5)
            assert await w_in.receive() == 5
            await client.aclose()

    async def test_a_logger_of_ones_own(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        logger = logging.getLogger("mine")
        async with Server("localhost:0", Channel(int), None, logger=logger):
            pass
        assert {record.name for record in caplog.records} >= {"mine"}

    async def test_everything_is_released(self) -> None:
        tasks = asyncio.all_tasks()
        out, in_ = Channel(str), Channel(str)
        async with Server("localhost:0", out, in_) as server:
            worker = asyncio.create_task(shout(server.address))
            await out.send("x")
            out.close()
            await collect(in_)
            await worker
        assert asyncio.all_tasks() == tasks
        with pytest.raises(ConnectError):
            await shout(server.address, connect_timeout=0)


def test_run_uses_uvloop_where_it_is_installed() -> None:
    async def loop_module() -> str:
        return type(asyncio.get_running_loop()).__module__

    uvloop = pytest.importorskip("uvloop")
    assert distchan.run(loop_module()).startswith(uvloop.__name__)


def test_event_loops_in_several_threads_do_not_disturb_each_other() -> None:
    """Each with a server and a client of its own."""

    async def echo(address: str) -> None:
        out, in_ = Channel(bytes), Channel(bytes)
        async with Client(address, out, in_, codec="raw"):
            async for item in in_:
                await out.send(item)
            out.close()

    async def exchange(items: list[bytes]) -> list[bytes]:
        out, in_ = Channel(bytes), Channel(bytes)
        async with Server("localhost:0", out, in_, codec="raw") as server:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(echo(server.address))
                sending = tasks.create_task(out.send_many(items))
                sending.add_done_callback(lambda _: out.close())
                return [item async for item in in_]

    items = [[bytes([thread]) * 1000] * 5000 for thread in range(3)]
    with ThreadPoolExecutor(3) as threads:
        results = threads.map(lambda own: asyncio.run(exchange(own)), items)
        assert list(results) == items
