"""``wire="go"`` with real Go at the other end: programs that frame and close as the original's.

tests/go/peer is both their server and their worker.
"""

import asyncio
import contextlib
import os
import socket
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from distchan import (
    AuthenticationError,
    Channel,
    ChannelClosed,
    Client,
    ConnectionLost,
    Server,
)
from distchan.tls import client_context, server_context
from tests.certificates import Certificates
from tests.golang import SOURCES, Start, build, go_programs

try:
    from cryptography.hazmat.decrepit.ciphers.modes import CFB
except ImportError:  # where older versions have it
    from cryptography.hazmat.primitives.ciphers.modes import CFB


@dataclass
class Input:
    A: int
    B: int


@dataclass
class Result:
    Sum: int


class Encrypted:
    """As in the original's tests: AES-CFB with the IV in front."""

    def __init__(self, key: bytes) -> None:
        self._key = algorithms.AES(key)

    def encode(self, data: bytes) -> bytes:
        iv = os.urandom(16)
        encryptor = Cipher(self._key, CFB(iv)).encryptor()
        return iv + encryptor.update(data) + encryptor.finalize()

    def decode(self, data: bytes) -> bytes:
        decryptor = Cipher(self._key, CFB(data[:16])).decryptor()
        return decryptor.update(data[16:]) + decryptor.finalize()


KEY = bytes(range(32))


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with go_programs(build(SOURCES / "peer")) as start:
        yield start


async def line(process: Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


async def tell(process: Process) -> None:
    """What it waits for has come."""
    assert process.stdin is not None
    process.stdin.write(b"\n")
    await process.stdin.drain()


async def errors(process: Process) -> str:
    assert process.stderr is not None
    return (await process.stderr.read()).decode()


async def worker(address: str, **options: Any) -> int:
    """A Python worker; how many items it got."""
    out, in_ = Channel(Result), Channel(Input)
    count = 0
    async with Client(address, out, in_, wire="go", **options):
        async for item in in_:
            await out.send(Result(item.A + item.B))
            count += 1
    return count


async def produce(out: Channel[Input], count: int) -> None:
    await out.send_many(Input(number, 1) for number in range(count))
    out.close()


async def deal(server: Server, out: Channel[Input], in_: Channel[Result], count: int) -> list[int]:
    """The sums of so many pairs, sorted."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(produce(out, count))
        return sorted([result.Sum async for result in in_])


def channels() -> tuple[Channel[Input], Channel[Result]]:
    return Channel(Input), Channel(Result)


# -- in good order --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["", "bytewise", "late"])
async def test_python_server_with_go_workers(start: Start, mode: str) -> None:
    out, in_ = channels()
    async with Server("127.0.0.1:0", out, in_, wire="go") as server:
        workers = [
            await start("worker", "-address", server.address, "-mode", mode) for _ in range(2)
        ]
        await server.wait_ready(2)
        if mode == "late":  # the results are there, but the server cannot know that they are all
            await produce(out, 1)
            assert await in_.receive() == Result(1)
            for process in workers:
                assert await line(process) == "ended"
            assert server.num_clients == 2
            assert not in_.closed
            for process in workers:
                await tell(process)
            assert [result async for result in in_] == []
        else:
            assert await deal(server, out, in_, 500) == list(range(1, 501))
        for process in workers:
            assert await line(process) == "done"
            assert await process.wait() == 0
        assert server.statistics().results == (1 if mode == "late" else 500)


@pytest.mark.parametrize("mode", ["", "bytewise", "late"])
async def test_go_server_with_python_workers(start: Start, mode: str) -> None:
    process = await start("server", "-workers", "2", "-items", "500", "-mode", mode)
    address = (await line(process)).split()[1]
    workers = [asyncio.ensure_future(worker(address)) for _ in range(2)]
    if mode == "late":
        assert await line(process) == "dealt"
        assert not any(task.done() for task in workers)
        await tell(process)
    assert await asyncio.gather(*workers) == [250, 250]
    assert await line(process) == f"results 500 {sum(range(1, 501))}"
    assert await process.wait() == 0


async def test_go_and_python_workers_together_take_turns(start: Start) -> None:
    out, in_ = channels()
    async with Server("127.0.0.1:0", out, in_, wire="go") as server:
        process = await start("worker", "-address", server.address)
        await server.wait_ready(1)
        task = asyncio.create_task(worker(server.address))
        await server.wait_ready(2)
        assert await deal(server, out, in_, 100) == list(range(1, 101))
        assert await task == 50
        assert await process.wait() == 0


async def test_a_go_server_with_go_and_python_workers(start: Start) -> None:
    process = await start("server", "-workers", "2", "-items", "100")
    address = (await line(process)).split()[1]
    go = await start("worker", "-address", address)
    assert await worker(address) == 50
    assert await line(process) == f"results 100 {sum(range(1, 101))}"
    assert await go.wait() == 0


async def test_transforms_as_in_the_original(start: Start) -> None:
    out, in_ = channels()
    transforms = [Encrypted(KEY)]
    async with Server("127.0.0.1:0", out, in_, wire="go", transforms=transforms) as server:
        for _ in range(2):  # each connection gets the definitions, inside what is encrypted
            await start("worker", "-address", server.address, "-key", KEY.hex())
        await server.wait_ready(2)
        assert await deal(server, out, in_, 100) == list(range(1, 101))


async def test_transforms_of_a_go_server(start: Start) -> None:
    process = await start("server", "-items", "100", "-key", KEY.hex())
    address = (await line(process)).split()[1]
    assert await worker(address, transforms=[Encrypted(KEY)]) == 100
    assert await line(process) == f"results 100 {sum(range(1, 101))}"


async def test_another_key_closes_the_connection(start: Start) -> None:
    process = await start("server", "-items", "100", "-key", KEY.hex())
    address = (await line(process)).split()[1]
    with pytest.raises(ConnectionLost, match="a frame of"):
        await worker(address, transforms=[Encrypted(bytes(32))])


# -- TLS -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def flags(certificates: Certificates, certificate: Path) -> tuple[str, ...]:
    """Of a Go program that shows that certificate and wants one of its peers."""
    return "-certificate", str(certificate), "-authority", str(certificates.ca)


@pytest.mark.parametrize("mode", ["close", ""])
async def test_a_server_with_go_workers_over_tls(
    start: Start, certificates: Certificates, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    out, in_ = channels()
    context = server_context(certificates.server, client_ca=certificates.ca)
    files = flags(certificates, certificates.client)
    async with Server("127.0.0.1:0", out, in_, wire="go", ssl=context) as server:
        for _ in range(2):
            await start("worker", "-address", server.address, "-mode", mode, *files)
        await server.wait_ready(2)
        assert await deal(server, out, in_, 500) == list(range(1, 501))
    # A process that just ends leaves open whether somebody has cut it off.
    assert ("TLS was not closed in good order" in caplog.text) == (mode == "")


async def test_a_go_server_with_workers_over_tls(start: Start, certificates: Certificates) -> None:
    files = flags(certificates, certificates.server)
    process = await start("server", "-workers", "2", "-items", "500", "-size", "10000", *files)
    address = (await line(process)).split()[1]
    context = client_context(certificates.ca, certfile=certificates.client)
    workers = [asyncio.ensure_future(worker(address, ssl=context)) for _ in range(2)]
    assert await asyncio.gather(*workers) == [250, 250]
    assert await line(process) == f"results 500 {sum(range(1, 501))}"
    assert await process.wait() == 0


async def test_a_worker_that_leaves_early_over_tls_ends_the_go_server_in_good_order(
    start: Start, certificates: Certificates
) -> None:
    files = flags(certificates, certificates.server)
    process = await start("server", "-items", "10", "-mode", "late", *files)
    address = (await line(process)).split()[1]
    out, in_ = Channel(Result), Channel(Input)
    context = client_context(certificates.ca, certfile=certificates.client)
    async with Client(address, out, in_, wire="go", ssl=context):
        item = await in_.receive()
        await out.send(Result(item.A + item.B))
        assert await line(process) == "dealt"
    await tell(process)
    assert await line(process) == "results 1 1"


async def test_wrong_certificates_are_refused_by_either_language(
    start: Start, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    files = flags(certificates, certificates.server)
    process = await start("server", *files)
    address = (await line(process)).split()[1]
    context = client_context(certificates.other_ca, certfile=certificates.client)
    with pytest.raises(AuthenticationError, match="certificate is refused: unable to get local"):
        await worker(address, ssl=context)

    out, in_ = channels()
    context = server_context(certificates.expired_server)
    async with Server("127.0.0.1:0", out, in_, wire="go", ssl=context) as server:
        process = await start("worker", "-address", server.address, *files)
        assert "certificate has expired" in await errors(process)
        while not server.statistics().refused:
            await asyncio.sleep(0.001)
    assert "the client refuses this server: bad certificate" in caplog.text


# -- in bad order ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["vanish", "half"])
async def test_a_go_worker_that_dies_in_mid_frame_harms_nobody(
    start: Start, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    out, in_ = channels()
    async with Server("127.0.0.1:0", out, in_, wire="go") as server:
        options = ("-address", server.address, "-mode", mode, "-items", "3")
        process = await start("worker", *options)
        await server.wait_ready(1)
        await out.send_many(Input(number, 1) for number in range(4))
        assert [(await in_.receive()).Sum for _ in range(3)] == [1, 2, 3]
        if mode == "half":
            assert await line(process) == "half"
            process.kill()
        await process.wait()
        await start("worker", "-address", server.address)
        while server.num_clients != 1:
            await asyncio.sleep(0.001)
        assert await deal(server, out, in_, 100) == list(range(1, 101))
        assert server.statistics().results == 103
    assert "Traceback" not in caplog.text


async def test_a_go_worker_that_sends_garbage_is_closed(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    out, in_ = channels()
    async with Server("127.0.0.1:0", out, in_, wire="go") as server:
        options = ("-address", server.address, "-mode", "garbage", "-items", "0")
        process = await start("worker", *options)
        await server.wait_ready(1)
        await out.send(Input(1, 1))
        assert await line(process) == "closed"
        await start("worker", "-address", server.address)
        while server.num_clients != 1:
            await asyncio.sleep(0.001)
        assert await deal(server, out, in_, 10) == list(range(1, 11))
        assert (server.statistics().undecodable, server.statistics().refused) == (1, 1)
    assert "left (a frame of 4 bytes: " in caplog.text


async def test_a_go_worker_that_leaves_early_ends_nothing_for_the_others(start: Start) -> None:
    out, in_ = channels()
    async with Server("127.0.0.1:0", out, in_, wire="go") as server:
        options = ("-address", server.address, "-mode", "leave", "-items", "0")
        process = await start("worker", *options)
        await server.wait_ready(1)
        await out.send(Input(1, 1))  # nobody ever hears of it again: at most once
        await process.wait()
        while server.num_clients:
            await asyncio.sleep(0.001)
        await server.aclose()
        assert [result async for result in in_] == []


async def test_a_stopped_go_worker_slows_nobody(start: Start) -> None:
    """It is skipped while its socket is full."""
    out, in_ = channels()
    count = 20_000
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # handed down
        async with Server(None, out, in_, wire="go", sock=sock, drain_timeout=0) as server:
            deaf = await start("worker", "-address", server.address, "-mode", "deaf")
            assert await line(deaf) == "deaf"
            await start("worker", "-address", server.address)
            await server.wait_ready(2)

            async def produce() -> None:
                with contextlib.suppress(ChannelClosed):
                    while True:
                        await out.send(Input(2**62, 2**61))

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(produce())
                for _ in range(count):
                    await in_.receive()
                stuck, busy = (info.settled for info in server.clients)
                assert stuck < busy / 2
                await server.aclose()


async def test_a_go_server_that_vanishes_is_no_ordinary_end(start: Start) -> None:
    process = await start("server", "-items", "100", "-mode", "vanish")
    address = (await line(process)).split()[1]
    with pytest.raises(ConnectionLost):
        await worker(address)
    await process.wait()


async def test_a_go_worker_is_cut_off_by_a_python_server_that_fails(start: Start) -> None:
    out, in_ = channels()
    with pytest.raises(ZeroDivisionError):
        async with Server("127.0.0.1:0", out, in_, wire="go") as server:
            process = await start("worker", "-address", server.address)
            await server.wait_ready(1)
            raise ZeroDivisionError
    await process.wait()
    assert process.returncode != 0
    assert "panic" not in await errors(process)


async def test_a_python_worker_that_leaves_early_ends_the_go_server_in_good_order(
    start: Start,
) -> None:
    process = await start("server", "-items", "10", "-mode", "late")
    address = (await line(process)).split()[1]
    out, in_ = Channel(Result), Channel(Input)
    async with Client(address, out, in_, wire="go"):
        item = await in_.receive()
        await out.send(Result(item.A + item.B))
        assert await line(process) == "dealt"  # not that it would still write to one who has left
    await tell(process)
    assert await line(process) == "results 1 1"


async def test_a_go_server_declared_otherwise_panics(start: Start) -> None:
    """Nothing can be done about it here, which is why docs/go.md says so."""
    process = await start("server", "-items", "1")
    address = (await line(process)).split()[1]
    out, in_ = Channel(str), Channel(Input)
    with contextlib.suppress(ConnectionLost):
        async with Client(address, out, in_, wire="go"):
            await in_.receive()
            await out.send("no result")
    assert await process.wait() != 0
    assert "panic" in await errors(process)
