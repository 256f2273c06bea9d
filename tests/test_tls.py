"""``ssl=``: on both wires, for async programs, threads and worker processes."""

import asyncio
import contextlib
import functools
import logging
import os
import random
import ssl
import struct
import sys
import threading
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

import distchan
from distchan import (
    AuthenticationError,
    Channel,
    Client,
    ConnectError,
    ConnectionLost,
    HandshakeError,
    InsecureConnection,
    Server,
    WouldBlock,
    sync,
)
from distchan._wire import GO_SIGNATURE
from distchan.tls import client_context, server_context
from tests import worker_jobs
from tests.certificates import Certificates
from tests.chaos import proxy as proxy_module
from tests.chaos.proxy import Proxy

ROOT = Path(__file__).parent.parent

both_wires = pytest.mark.parametrize("wire", ["native", "go"])


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def of_server(certificates: Certificates) -> dict[str, Any]:
    """Options of a server that shows its certificate."""
    return {"ssl": server_context(certificates.server)}


@pytest.fixture
def of_client(certificates: Certificates) -> dict[str, Any]:
    """Options of a client that trusts it."""
    return {"ssl": client_context(certificates.ca)}


async def work(address: str, **options: Any) -> int:
    """A worker that sends back what it gets; how many items that were."""
    out, in_ = Channel(bytes), Channel(bytes)
    count = 0
    async with Client(address, out, in_, codec="raw", **options):
        async for item in in_:
            await out.send(item)
            count += 1
    return count


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[Server, Channel[bytes], Channel[bytes]]]:
    out, in_ = Channel(bytes), Channel(bytes)
    async with Server("localhost:0", out, in_, codec="raw", **options) as server:
        yield server, out, in_


async def echoes(out: Channel[bytes], in_: Channel[bytes], items: list[bytes]) -> list[bytes]:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(out.send_many(items)).add_done_callback(lambda _: out.close())
        return [item async for item in in_]


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def connect(
    address: str, context: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A bare peer, with the loop's own TLS."""
    host, _, port = address.rpartition(":")
    hostname = "localhost" if context else None
    return await asyncio.open_connection(host, int(port), ssl=context, server_hostname=hostname)


async def vanish(writer: asyncio.StreamWriter) -> None:
    """End the connection without close_notify."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


# -- in good order --------------------------------------------------------------------------------


@both_wires
@pytest.mark.parametrize("mutual", [False, True])
async def test_items_and_results(
    certificates: Certificates, wire: str, mutual: bool, caplog: pytest.LogCaptureFixture
) -> None:
    of_server = server_context(
        certificates.chain,
        certificates.key,
        client_ca=certificates.ca if mutual else None,
    )
    of_client = client_context(
        str(certificates.ca), certfile=certificates.client if mutual else None
    )
    items = [struct.pack(">I", number) for number in range(1000)]
    async with serving(ssl=of_server, wire=wire) as (server, out, in_):
        address = server.address.replace("127.0.0.1", "localhost")
        workers = [asyncio.create_task(work(address, ssl=of_client, wire=wire)) for _ in range(2)]
        await server.wait_ready(2)
        assert sorted(await echoes(out, in_, items)) == sorted(items)
        assert sum(await asyncio.gather(*workers)) == 1000
    assert caplog.text == ""  # all have left in good order


@both_wires
async def test_what_travels_is_encrypted(
    of_server: dict[str, Any],
    of_client: dict[str, Any],
    wire: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = bytearray()
    carry = proxy_module._write

    def look(writer: asyncio.StreamWriter, data: bytes) -> None:
        seen.extend(data)
        carry(writer, data)

    monkeypatch.setattr(proxy_module, "_write", look)
    secret = b"a secret of many bytes"
    async with serving(**of_server, wire=wire) as (server, out, in_):
        async with Proxy(server.address, random.Random(1)) as proxy, asyncio.TaskGroup() as tasks:
            tasks.create_task(work(proxy.address, **of_client, wire=wire))
            assert await echoes(out, in_, [secret]) == [secret]
    assert seen[0] == 22  # a handshake of TLS from the first byte
    assert len(seen) > 1000
    assert secret not in seen


@both_wires
async def test_large_items(of_server: dict[str, Any], of_client: dict[str, Any], wire: str) -> None:
    items = [random.Random(number).randbytes(1 << 20) for number in range(20)]
    async with serving(**of_server, wire=wire) as (server, out, in_):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(work(server.address, **of_client, wire=wire))
            assert await echoes(out, in_, items) == items


@both_wires
async def test_carried_in_slices_of_a_few_bytes(
    of_server: dict[str, Any], of_client: dict[str, Any], wire: str
) -> None:
    async with serving(**of_server, wire=wire, handshake_timeout=20.0) as (server, out, in_):
        async with Proxy(server.address, random.Random(1)) as proxy, asyncio.TaskGroup() as tasks:
            with proxy.behaving("slice"):
                options = of_client | {"wire": wire, "handshake_timeout": 20.0}
                tasks.create_task(work(proxy.address, **options))
                assert len(await echoes(out, in_, [bytes(100)] * 20)) == 20


@both_wires
def test_threads(of_server: dict[str, Any], of_client: dict[str, Any], wire: str) -> None:
    out, in_ = sync.Channel(str), sync.Channel(str)

    def work() -> None:
        results, items = sync.Channel(str), sync.Channel(str)
        with sync.Client(server.address, results, items, wire=wire, **of_client):
            for item in items:
                results.send(item.upper())

    with sync.Server("localhost:0", out, in_, wire=wire, **of_server) as server:
        worker = threading.Thread(target=work)
        worker.start()
        for text in ("a", "b"):
            out.send(text)
        out.close()
        assert list(in_) == ["A", "B"]
        worker.join()


async def test_over_a_unix_socket(
    of_server: dict[str, Any], of_client: dict[str, Any], tmp_path: Path
) -> None:
    address = f"unix:{tmp_path / 'socket'}"
    out, in_ = Channel(bytes), Channel(bytes)
    async with Server(address, out, in_, codec="raw", **of_server), asyncio.TaskGroup() as tasks:
        tasks.create_task(work(address, server_hostname="localhost", **of_client))
        assert await echoes(out, in_, [b"x"]) == [b"x"]


async def test_a_context_of_ones_own_may_allow_older_versions(certificates: Certificates) -> None:
    of_server = server_context(certificates.server)
    of_server.minimum_version = ssl.TLSVersion.TLSv1_2
    of_client = client_context(certificates.ca)
    of_client.minimum_version = of_client.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serving(ssl=of_server) as (server, out, in_), asyncio.TaskGroup() as tasks:
        tasks.create_task(work(server.address, ssl=of_client))
        assert await echoes(out, in_, [bytes(1 << 20)]) == [bytes(1 << 20)]


# -- refused, in words ----------------------------------------------------------------------------

REFUSED = {
    # The server's certificate and its clients' authority; the client's authority and certificate,
    # the words of the client's error and of the server's log.
    "expired": (
        ("expired_server", None, "ca", None),
        "the server's certificate is refused: certificate has expired",
        "the client refuses this server: certificate expired",
    ),
    "of another host": (
        ("elsewhere", None, "ca", None),
        "the server's certificate is refused: .*IP address mismatch.*127.0.0.1",
        "the client refuses this server: bad certificate",
    ),
    "of another authority": (
        ("server", None, "other_ca", None),
        "the server's certificate is refused: unable to get local issuer certificate",
        "the client refuses this server: unknown ca",
    ),
    "without a client's": (
        ("server", "ca", "ca", None),
        "the server refuses this client: certificate required",
        "the client shows no certificate",
    ),
    "of a client of another authority": (
        ("server", "ca", "ca", "other_client"),
        "the server refuses this client: unknown ca",
        "the client's certificate is refused: unable to get local issuer certificate",
    ),
    "expired client's": (
        ("server", "ca", "ca", "expired_client"),
        "the server refuses this client: certificate expired",
        "the client's certificate is refused: certificate has expired",
    ),
}


@both_wires
@pytest.mark.parametrize(("files", "error", "log"), REFUSED.values(), ids=REFUSED)
async def test_a_wrong_certificate_is_refused_in_words_on_both_ends(
    certificates: Certificates,
    files: tuple[str, str | None, str, str | None],
    error: str,
    log: str,
    wire: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    chosen: list[Any] = [None if name is None else getattr(certificates, name) for name in files]
    server_file, client_ca, ca, client_file = chosen
    # A client does not try again. The Go original's wire has no handshake of its own: there, it
    # hears after it has joined of a server that refuses its certificate.
    late = wire == "go" and client_ca is not None
    of_server = server_context(server_file, client_ca=client_ca)
    async with serving(ssl=of_server, wire=wire, drain_timeout=0.0) as (server, _, _):
        context = client_context(ca, certfile=client_file)
        with pytest.raises(ConnectionLost if late else AuthenticationError, match=error):
            await work(server.address, ssl=context, wire=wire)
        await until(lambda: server.statistics().refused)
        assert server.statistics().refused == 1
        assert server.num_clients == 0
        assert f": {log}" in caplog.text
        assert "refused 127.0.0.1:" in caplog.text


@both_wires
async def test_who_is_refused_harms_nobody(certificates: Certificates, wire: str) -> None:
    of_server = server_context(certificates.server, client_ca=certificates.ca)
    good = client_context(certificates.ca, certfile=certificates.client)
    async with serving(ssl=of_server, wire=wire) as (server, out, in_):
        async with asyncio.TaskGroup() as tasks:
            worker = tasks.create_task(work(server.address, ssl=good, wire=wire))
            await server.wait_ready()
            for number in range(10):
                await out.send(bytes([number]))
                with pytest.raises(AuthenticationError):
                    await work(server.address, ssl=client_context(certificates.other_ca), wire=wire)
                assert await in_.receive() == bytes([number])
            out.close()
            assert await worker == 10
        await until(lambda: server.statistics().refused == 10)


async def test_versions_without_a_common_one(
    certificates: Certificates, of_server: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    context = client_context(certificates.ca)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serving(**of_server) as (server, _, _):
        with pytest.raises(HandshakeError, match=r"TLS with the server fails: .*protocol version"):
            await work(server.address, ssl=context)
        await until(lambda: server.statistics().refused)
    assert "TLS with the client fails: unsupported protocol" in caplog.text


async def test_a_client_without_tls(
    of_server: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    words = "this server expects TLS, and the client does not speak it"
    async with serving(**of_server) as (server, _, _):
        with pytest.raises(HandshakeError, match=words):
            await work(server.address)
        await until(lambda: server.statistics().refused)
    assert f": {words}" in caplog.text


async def test_a_client_without_tls_on_the_wire_of_go(
    of_server: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(**of_server, wire="go") as (server, _, _):
        out, in_ = Channel(bytes), Channel(bytes)
        with pytest.raises(ConnectionLost):
            async with Client(server.address, out, in_, wire="go", codec="raw"):
                await out.send(b"x")
                await in_.receive()
        await until(lambda: server.statistics().refused)
    assert "refused 127.0.0.1:" in caplog.text
    assert "this server expects TLS, and the client does not speak it" in caplog.text


async def test_a_server_without_tls(
    of_client: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as (server, _, _):
        with pytest.raises(
            HandshakeError, match="this client expects TLS, and the server does not speak it"
        ):
            await work(server.address, **of_client)
    assert "the peer speaks TLS, which this end does not" in caplog.text


async def test_a_server_without_tls_on_the_wire_of_go(
    of_client: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(wire="go") as (server, _, _):
        with pytest.raises(ConnectError, match="in the TLS handshake, as a server without TLS may"):
            await work(server.address, **of_client, wire="go", connect_timeout=0)
        await until(lambda: not server.num_clients)
    assert "the peer speaks TLS, which this end does not" in caplog.text


@both_wires
@pytest.mark.parametrize("beginning", [b"", b"\x16\x03\x01\x02"])
async def test_a_silent_peer_is_dropped(
    of_server: dict[str, Any], wire: str, beginning: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(**of_server, wire=wire, handshake_timeout=0.05) as (server, _, _):
        reader, writer = await connect(server.address, None)
        writer.write(beginning)
        await reader.read()  # until the server closes the connection
        assert server.statistics().refused == 1
        writer.close()
        await writer.wait_closed()
    assert "it did not finish the TLS handshake within 0.05 s" in caplog.text


@both_wires
async def test_a_silent_server_is_not_waited_for(of_client: dict[str, Any], wire: str) -> None:
    async def ignore(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    listener = await asyncio.start_server(ignore, "127.0.0.1", 0)
    address = "127.0.0.1:{1}".format(*listener.sockets[0].getsockname())
    options = of_client | {"wire": wire, "connect_timeout": 0, "handshake_timeout": 0.05}
    async with listener:
        with pytest.raises(ConnectError, match="did not introduce itself in time"):
            await work(address, **options)
        for writer in writers:
            writer.close()
            await writer.wait_closed()


@both_wires
async def test_a_server_may_close_while_somebody_is_in_the_handshake(
    of_server: dict[str, Any], wire: str
) -> None:
    async with serving(**of_server, wire=wire, drain_timeout=0.0) as (server, _, _):
        reader, writer = await connect(server.address, None)
        writer.write(b"\x16\x03\x01\x02")
        await asyncio.sleep(0.01)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


# -- cut off --------------------------------------------------------------------------------------


@pytest.fixture
def end(monkeypatch: pytest.MonkeyPatch) -> Callable[[Proxy], None]:
    """Has the streams of both directions end, as if each peer had just closed its own."""
    ended: set[asyncio.WriteTransport] = set()
    carry = proxy_module._write

    def write(writer: asyncio.StreamWriter, data: bytes) -> None:
        if writer.transport not in ended:
            carry(writer, data)

    monkeypatch.setattr(proxy_module, "_write", write)

    def end(proxy: Proxy) -> None:
        for transport in proxy._transports:
            ended.add(transport)
            transport.write_eof()

    return end


async def test_a_stream_that_was_cut_goes_on(
    of_server: dict[str, Any], of_client: dict[str, Any]
) -> None:
    items = [struct.pack(">I", number) for number in range(3000)]
    async with serving(**of_server) as (server, out, in_):
        async with Proxy(server.address, random.Random(1)) as proxy, asyncio.TaskGroup() as tasks:
            worker = tasks.create_task(work(proxy.address, **of_client))
            sending = tasks.create_task(out.send_many(items))
            results = []
            for number in range(len(items)):
                if number % 1000 == 500:
                    proxy.cut_soon()
                results.append(await in_.receive())
            await sending
            out.close()
            assert [item async for item in in_] == []
            assert await worker == len(items)
            assert sorted(results) == items
            assert proxy.connections > 1
        assert server.statistics().redelivered == 0


async def test_an_end_that_nobody_has_said_is_a_cut(
    of_server: dict[str, Any],
    of_client: dict[str, Any],
    end: Callable[[Proxy], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(**of_server) as (server, out, in_):
        async with Proxy(server.address, random.Random(1)) as proxy, asyncio.TaskGroup() as tasks:
            tasks.create_task(work(proxy.address, **of_client))
            for item in (b"before", b"after"):
                await out.send(item)
                assert await in_.receive() == item
                if item == b"before":
                    end(proxy)
            out.close()
        assert server.statistics().redelivered == 0
    for line in ("left (it was cut: TLS was", "was cut (it was cut: TLS was"):
        assert f"{line} not closed in good order)" in caplog.text


async def test_a_server_of_go_that_was_cut_off_is_no_end(
    of_server: dict[str, Any],
    of_client: dict[str, Any],
    end: Callable[[Proxy], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(**of_server, wire="go", drain_timeout=0.0) as (server, out, _):
        async with Proxy(server.address, random.Random(1)) as proxy:
            w_out, w_in = Channel(bytes), Channel(bytes)
            options = of_client | {"wire": "go", "codec": "raw"}
            with pytest.raises(ConnectionLost, match="TLS was not closed in good order"):
                async with Client(proxy.address, w_out, w_in, **options):
                    await server.wait_ready()
                    await out.send(b"x")
                    assert await w_in.receive() == b"x"
                    end(proxy)
                    await w_in.receive()
            await until(lambda: not server.num_clients)
    # Nor is it for the server.
    assert "left (it was cut: TLS was not closed in good order)" in caplog.text


async def test_a_client_of_go_that_closes_has_ended(
    of_server: dict[str, Any], of_client: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serving(**of_server, wire="go") as (server, _, in_):
        _, writer = await connect(server.address, of_client["ssl"])
        await server.wait_ready()
        writer.write(struct.pack("<Ii", GO_SIGNATURE, 2) + b"42")
        assert await in_.receive() == b"42"
        writer.close()
        await writer.wait_closed()
        await until(lambda: not server.num_clients)
    assert any(line.endswith("left; 0 connected") for line in caplog.messages)


async def test_results_that_arrived_before_a_client_died_count(
    of_server: dict[str, Any], of_client: dict[str, Any]
) -> None:
    """They are in the socket when a write to it fails."""
    async with serving(**of_server, wire="go", drain_timeout=0.0) as (server, out, in_):
        _, writer = await connect(server.address, of_client["ssl"])
        await server.wait_ready()
        (connection,) = server._clientele._hub.connections  # type: ignore[attr-defined]
        connection.read(False)
        writer.write(struct.pack("<Ii", GO_SIGNATURE, 10) + b"last words")
        await writer.drain()
        await vanish(writer)
        with contextlib.suppress(WouldBlock):
            while server.num_clients:
                out.send_nowait(bytes(1000))
                await asyncio.sleep(0)
        await until(lambda: not server.num_clients)
        assert await in_.receive() == b"last words"


@both_wires
async def test_damaged_bytes_harm_nobody_else(
    of_server: dict[str, Any],
    of_client: dict[str, Any],
    wire: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(**of_server, wire=wire) as (server, out, in_):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(work(server.address, **of_client, wire=wire))
            await server.wait_ready()
            reader, writer = await connect(server.address, of_client["ssl"])
            descriptor = writer.get_extra_info("socket").fileno()
            os.write(descriptor, b"\x17\x03\x03\x00\x20" + bytes(32))  # that nobody has encrypted
            with contextlib.suppress(ssl.SSLError):  # the server says why
                await reader.read()
            await vanish(writer)
            await until(lambda: server.num_clients == 1)
            assert await echoes(out, in_, [b"x"]) == [b"x"]
    assert "decryption failed or bad record mac" in caplog.text


# -- closing --------------------------------------------------------------------------------------


@both_wires
async def test_the_last_results_of_many_clients_arrive(
    of_server: dict[str, Any], of_client: dict[str, Any], wire: str
) -> None:
    """Each leaves as soon as it has sent them, while the server still deals."""
    rounds = 20
    options = of_client | {"wire": wire, "codec": "raw"}
    async with serving(**of_server, wire=wire, drain_timeout=0.0) as (server, out, in_):

        async def deal() -> None:
            with contextlib.suppress(distchan.ChannelClosed):
                while True:
                    await out.send(bytes(10_000))

        async def leave_early() -> None:
            results, items = Channel(bytes), Channel(bytes)
            async with Client(server.address, results, items, **options):
                await items.receive()
                await results.send(bytes(1 << 20))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(deal())
            for _ in range(rounds):
                leaving = tasks.create_task(leave_early())
                assert len(await in_.receive()) == 1 << 20
                await leaving
            await server.aclose()


async def send_all(out: Channel[bytes], items: list[bytes]) -> None:
    await out.send_many(items)
    out.close()


async def test_what_a_client_gives_back_as_it_fails_goes_to_others_at_once(
    of_server: dict[str, Any], of_client: dict[str, Any]
) -> None:
    """Its last words must not be lost because the server is still sending."""
    for _ in range(10):
        async with serving(**of_server, prefetch=50, resume_timeout=1000.0) as (server, out, in_):
            items = [struct.pack(">I", number) for number in range(100)]
            async with asyncio.TaskGroup() as tasks:
                with pytest.raises(ZeroDivisionError):
                    async with Client(
                        server.address, None, Channel(bytes), codec="raw", **of_client
                    ):
                        await server.wait_ready()
                        tasks.create_task(send_all(out, items))
                        await until(lambda: server.statistics().held)
                        raise ZeroDivisionError
                worker = tasks.create_task(work(server.address, **of_client))
                assert sorted([item async for item in in_]) == items
                assert await worker == 100


async def test_a_refusal_arrives_although_the_client_is_still_sending(
    of_server: dict[str, Any], of_client: dict[str, Any]
) -> None:
    """Its unread bytes must not reset the connection."""
    for _ in range(10):
        async with serving(**of_server) as (server, _, _):
            reader, writer = await connect(server.address, of_client["ssl"])
            writer.write(b"no frame" * 100_000)
            assert b"expected signature" in await reader.read()
            await vanish(writer)


@both_wires
async def test_a_server_whose_results_nobody_reads_loses_none(
    of_server: dict[str, Any], of_client: dict[str, Any], wire: str
) -> None:
    """Reading pauses in the middle of what has been decrypted."""
    count = 100
    options = of_client | {"wire": wire, "codec": "raw"}
    async with serving(**of_server, wire=wire) as (server, _, in_):
        async with asyncio.TaskGroup() as tasks:

            async def send() -> None:
                results = Channel(bytes)
                async with Client(server.address, results, None, **options):
                    for number in range(count):
                        await results.send(struct.pack(">I", number) * 50_000)

            tasks.create_task(send())
            for number in range(count):
                assert await in_.receive() == struct.pack(">I", number) * 50_000
                await asyncio.sleep(0)


# -- worker processes -----------------------------------------------------------------------------


async def run_worker(*arguments: object) -> tuple[int | None, str]:
    """``distchan worker``: its exit status, and what it wrote to stderr."""
    command = ["-m", "distchan", "worker", "tests.worker_jobs:upper", *map(str, arguments)]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stderr=PIPE, cwd=ROOT)
    _, stderr = await process.communicate()
    return process.returncode, stderr.decode()


@pytest.mark.parametrize("processes", [1, 2])
async def test_distchan_worker(certificates: Certificates, processes: int) -> None:
    context = server_context(certificates.server, client_ca=certificates.ca)
    out, in_ = Channel(str), Channel(str)
    async with Server("localhost:0", out, in_, ssl=context) as server:
        async with asyncio.TaskGroup() as tasks:
            files = ("--tls-ca", certificates.ca, "--tls-cert", certificates.client)
            worker = tasks.create_task(run_worker(server.address, "--processes", processes, *files))
            await server.wait_ready(processes)
            tasks.create_task(out.send_many(list("abcd"))).add_done_callback(lambda _: out.close())
            assert sorted([item async for item in in_]) == list("ABCD")
            status, log = await worker
        assert status == 0, log


async def test_distchan_worker_with_a_name(certificates: Certificates) -> None:
    out = Channel(str)
    async with Server(
        "localhost:0", out, None, ssl=server_context(certificates.elsewhere)
    ) as server:
        out.close()
        options = ("--processes", "1", "--tls-ca", certificates.ca)
        status, log = await run_worker(
            server.address, *options, "--tls-hostname", "elsewhere.example"
        )
        assert "takes no results" in log
        assert status == 1


async def test_distchan_worker_refuses_a_server(certificates: Certificates) -> None:
    """--tls alone: the authorities that the system trusts."""
    context = server_context(certificates.server)
    async with Server("localhost:0", Channel(str), Channel(str), ssl=context) as server:
        status, log = await run_worker(server.address, "--processes", "1", "--tls")
        assert "the server's certificate is refused" in log
        assert status == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--tls-ca", "nowhere.pem"), "No such file or directory: 'nowhere.pem'"),
        (("--tls-key", "nowhere.pem"), "keyfile needs the certificate that belongs to it"),
        (("--tls-cert", __file__), "test_tls.py is not the file in PEM that was expected"),
    ],
)
async def test_wrong_files_are_told_in_one_line(options: tuple[str, ...], words: str) -> None:
    status, log = await run_worker("localhost:1", *options)
    assert words in log.splitlines()[-1]
    assert status == 2


async def test_work_in_several_processes_makes_a_context_in_each(
    certificates: Certificates,
) -> None:
    out, in_ = Channel(str), Channel(str)
    make = functools.partial(client_context, certificates.ca)
    async with Server("localhost:0", out, in_, ssl=server_context(certificates.server)) as server:
        async with asyncio.TaskGroup() as tasks:
            for options in ({"processes": 2, "ssl": make}, {"ssl": make}, {"ssl": make()}):
                arguments: dict[str, Any] = {"connect_timeout": 0, **options}
                tasks.create_task(
                    asyncio.to_thread(distchan.work, worker_jobs.upper, server.address, **arguments)
                )
            await server.wait_ready(4)
            tasks.create_task(out.send_many(list("abcd"))).add_done_callback(lambda _: out.close())
            assert sorted([item async for item in in_]) == list("ABCD")


def test_a_context_cannot_be_sent_to_other_processes(of_client: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"functools\.partial"):
        distchan.work(worker_jobs.upper, "localhost:1", processes=2, **of_client)


# -- options --------------------------------------------------------------------------------------


def test_what_is_no_context_of_that_end_is_refused(
    of_server: dict[str, Any], of_client: dict[str, Any]
) -> None:
    channels = Channel(str), Channel(str)
    with pytest.raises(TypeError, match=r"distchan\.tls\.server_context"):
        Server("localhost:0", *channels, ssl="server.pem")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"distchan\.tls\.client_context"):
        Client("localhost:1", *channels, ssl=True)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a server needs another SSLContext"):
        Server("localhost:0", *channels, **of_client)
    with pytest.raises(ValueError, match="a client needs another SSLContext"):
        Client("localhost:1", *channels, **of_server)


def test_the_name_of_a_server_must_be_known(of_client: dict[str, Any]) -> None:
    channels = Channel(str), Channel(str)
    with pytest.raises(ValueError, match="needs server_hostname"):
        Client("unix:socket", *channels, **of_client)
    with pytest.raises(ValueError, match="means nothing without ssl"):
        Client("localhost:1", *channels, server_hostname="localhost")
    of_client["ssl"].check_hostname = False
    Client("unix:socket", *channels, **of_client)


def test_files_that_are_wrong_are_named(certificates: Certificates, tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    makers: list[Callable[[], object]] = [
        lambda: server_context(missing),
        lambda: server_context(certificates.server, missing),
        lambda: server_context(certificates.server, client_ca=missing),
        lambda: client_context(missing),
        lambda: client_context(certfile=missing),
    ]
    for make in makers:
        with pytest.raises(FileNotFoundError, match=r"missing\.pem"):
            make()
    with pytest.raises(ValueError, match=r"client\.pem is not .* key values mismatch"):
        server_context(certificates.server, certificates.client)
    with pytest.raises(ValueError, match=r"key\.pem is not "):
        client_context(certificates.key)
    with pytest.raises(ValueError, match="needs the certificate"):
        client_context(keyfile=certificates.key)


def test_a_key_that_is_encrypted_is_not_asked_for(
    certificates: Certificates, tmp_path: Path
) -> None:
    key = load_pem_private_key(certificates.key.read_bytes(), None)
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    )
    with pytest.raises(ValueError, match=r"encrypted\.pem: the private key is encrypted"):
        server_context(certificates.chain, encrypted)


def test_contexts_are_safe(certificates: Certificates) -> None:
    context = client_context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED
    context = server_context(certificates.server)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert context.verify_mode == ssl.CERT_NONE


# -- together with a key --------------------------------------------------------------------------

KEY = bytes(range(32))


async def test_a_key_proves_itself_over_tls(
    of_server: dict[str, Any], of_client: dict[str, Any]
) -> None:
    async with (
        serving(**of_server, authkey=KEY) as (server, out, in_),
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(work(server.address, **of_client, authkey=KEY))
        assert await echoes(out, in_, [b"a", b"b"]) == [b"a", b"b"]


async def test_a_key_proves_nothing_to_somebody_in_the_middle(
    certificates: Certificates, of_server: dict[str, Any], of_client: dict[str, Any]
) -> None:
    """With a certificate that the client trusts as well, he hands on what both ends say."""

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def stand_between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await connect(server.address, client_context(certificates.ca))
        await asyncio.gather(hand_on(reader, back), hand_on(there, writer))

    context = server_context(certificates.chain, certificates.key)
    async with serving(**of_server, authkey=KEY) as (server, _, _):
        middle = await asyncio.start_server(stand_between, "127.0.0.1", 0, ssl=context)
        address = "localhost:{1}".format(*middle.sockets[0].getsockname())
        with pytest.raises(AuthenticationError):
            await work(address, **of_client, authkey=KEY)
        assert server.num_clients == 0
        middle.close()
        async with asyncio.TaskGroup() as tasks:  # the same without anybody between
            tasks.create_task(work(server.address, **of_client, authkey=KEY))
            await server.wait_ready()
            server.shutdown()


def test_pickle_is_for_those_who_have_shown_certificates(
    certificates: Certificates, of_server: dict[str, Any]
) -> None:
    options: dict[str, Any] = {"codec": "pickle"}
    with pytest.raises(InsecureConnection, match="mutual TLS"):
        Server("127.0.0.1:0", Channel(), None, **options, **of_server)
    mutual = server_context(certificates.server, client_ca=certificates.ca)
    Server("127.0.0.1:0", Channel(), None, **options, ssl=mutual)
    Client("127.0.0.1:1", None, Channel(), **options, ssl=client_context(certificates.ca))
    sync.Executor("127.0.0.1:0", ssl=mutual).shutdown()


def test_tls_is_enough_for_other_machines(
    certificates: Certificates, of_server: dict[str, Any], of_client: dict[str, Any]
) -> None:
    for wire in ("native", "go"):
        options: dict[str, Any] = {"wire": wire}
        with pytest.raises(InsecureConnection, match="ssl="):
            Server("0.0.0.0:0", Channel(), None, **options)
        Server("0.0.0.0:0", Channel(int), None, **options, **of_server)
        Client("server.example:1", None, Channel(int), **options, **of_client)
