"""A shared key: who has it gets in, who has not changes nothing."""

import asyncio
import contextlib
import hmac
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distchan import (
    AuthenticationError,
    Channel,
    Client,
    ConnectionLost,
    HandshakeError,
    ProtocolError,
    Server,
    sync,
)
from distchan._authentication import Key
from distchan._native_clientele import _MOST_STRANGERS
from distchan._server_session import Resumed
from distchan._wire import SIGNATURE, Kind
from tests.helpers import Link, clientele, deliver, membership, wiring
from tests.hostile import frame, hello, result, settlement

ROOT = Path(__file__).parent.parent
KEY = b"a key of two ends"
OTHER = b"the key of others"


def authenticated_link(server: bytes | None = KEY, client: bytes | None = KEY) -> Link:
    keys = [None if key is None else Key(key) for key in (server, client)]
    return Link(
        wiring(str, str, authkey=keys[0], prefetch=8), wiring(str, str, authkey=keys[1], prefetch=8)
    )


class Peer:
    """A peer by hand: reads and writes frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def say(self, kind: int, body: bytes) -> None:
        self.write(frame(bytes([kind]) + body))

    async def hear(self) -> tuple[int, bytes]:
        header = await self._reader.readexactly(8)
        payload = await self._reader.readexactly(int.from_bytes(header[4:], "little"))
        return payload[0], payload[1:]

    async def words(self) -> str:
        """Those of the ERROR with which the other end closes the connection."""
        kind, body = await self.hear()
        assert kind == Kind.ERROR
        assert await self._reader.read() == b""
        return body[1:].decode()

    async def end(self) -> None:
        with contextlib.suppress(ConnectionError):
            while await self._reader.read(65536):
                pass

    def close(self) -> None:
        self._writer.close()


@contextlib.asynccontextmanager
async def peer_of(server: Server) -> AsyncIterator[Peer]:
    host, port = server.address.split(":")
    peer = Peer(*await asyncio.open_connection(host, int(port)))
    try:
        yield peer
    finally:
        peer.close()


async def echo(in_: Channel[str], out: Channel[str]) -> None:
    async for text in in_:
        await out.send(text)
    out.close()


async def works(server: Server, out: Channel[str], in_: Channel[str], count: int = 1) -> None:
    """An item goes to the only client and comes back."""
    for number in range(count):
        await out.send(str(number))
        assert await in_.receive() == str(number)


# -- the right key --------------------------------------------------------------------------------


async def test_with_the_same_key_they_work_also_after_a_cut(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    out, in_ = Channel(str), Channel(str)
    async with Server("localhost:0", out, in_, authkey=KEY) as server:
        w_out, w_in = Channel(str), Channel(str)
        async with Client(server.address, w_out, w_in, authkey=KEY) as client:
            worker = asyncio.create_task(echo(w_in, w_out))
            await works(server, out, in_)
            session = membership(client)._session
            connection = membership(client)._connection
            assert connection is not None
            connection.abort()
            await works(server, out, in_)
            assert session.epoch == 2
            assert session.begun == 1  # resumed
            out.close()
            await worker
        assert "goes on" in caplog.text
        assert KEY.decode() not in caplog.text
        assert KEY.decode() not in repr(clientele(server)._options)


def test_threads_share_keys_too() -> None:
    out, in_ = sync.Channel(str), sync.Channel(str)
    with sync.Server("localhost:0", None, in_, authkey=KEY) as server:
        with pytest.raises(AuthenticationError), sync.Client(server.address, out, None):
            pass
        with sync.Client(server.address, out, None, authkey=KEY):
            out.send("here")
            assert in_.receive() == "here"


# -- other keys -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "other", "words"),
    [
        (KEY, OTHER, "the authkeys of server and client differ"),
        (KEY, None, "this server has an authkey, the client has none"),
        (None, OTHER, "the peer has an authkey, this server has none"),
    ],
)
async def test_another_key_or_none_is_final_and_in_words_on_both_ends(
    key: bytes | None, other: bytes | None, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Server("localhost:0", None, Channel(str), authkey=key) as server:
        with pytest.raises(AuthenticationError, match=f"^{words}$"):
            async with Client(server.address, Channel(str), None, authkey=other):
                pass
        assert server.statistics().refused == 1  # there was no second attempt
        assert words in caplog.text
        for secret in (KEY, OTHER):
            assert secret.decode() not in caplog.text


async def test_a_server_without_the_key_gets_nothing_from_a_client() -> None:
    seen: list[int] = []

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        seen.extend([(await peer.hear())[0], (await peer.hear())[0]])
        peer.say(Kind.NONCE, bytes(32))
        kind, proof = await peer.hear()
        seen.append(kind)
        peer.write(hello())
        peer.say(Kind.PROOF, proof)  # the client's own: the role is part of it
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                seen.append((await peer.hear())[0])
        peer.close()

    async with await asyncio.start_server(impostor, "127.0.0.1", 0) as listener:
        host, port = listener.sockets[0].getsockname()
        out = Channel(str, 1)
        await out.send("a secret")
        with pytest.raises(AuthenticationError, match="differ"):
            async with Client(f"{host}:{port}", out, None, authkey=KEY):
                pass
    assert seen[:3] == [Kind.NONCE, Kind.HELLO, Kind.PROOF]
    assert set(seen[3:]) <= {Kind.ERROR}


async def test_a_server_that_asks_for_no_key_is_refused_by_a_client_with_one() -> None:
    async def keyless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(hello())
        await Peer(reader, writer).end()
        writer.close()

    async with await asyncio.start_server(keyless, "127.0.0.1", 0) as listener:
        host, port = listener.sockets[0].getsockname()
        with pytest.raises(
            AuthenticationError, match=r"this client has an authkey, the server has"
        ):
            async with Client(f"{host}:{port}", Channel(str), None, authkey=KEY):
                pass


@pytest.mark.parametrize("key", [b"", b"fifteen bytes .", "a str of many characters", 5])
def test_what_is_no_key(key: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="authkey") as caught:
        Server("localhost:0", None, Channel(str), authkey=key)
    assert str(key) == "" or str(key) == "5" or str(key) not in str(caught.value)


def test_the_go_wire_has_no_keys() -> None:
    with pytest.raises(ValueError, match=r'authkey.*means nothing with wire="go"') as caught:
        Client("localhost:1", None, Channel(str), wire="go", authkey=KEY)
    assert KEY.decode() not in str(caught.value)


# -- attacks --------------------------------------------------------------------------------------

NONCE = frame(bytes([Kind.NONCE]) + bytes(32))

UNPROVEN = {
    "a result": result(0),
    "a settlement": settlement(0, 0, [0]),
    "hello": hello(),
    "a huge frame": frame(b"", length=100_000),
    "a nonce of another size": frame(bytes([Kind.NONCE]) + bytes(31)),
    "nonce, then a result": NONCE + result(0),
    "nonce, then no proof": NONCE + hello() + result(0),
    "two nonces": NONCE + NONCE,
    "nonce, then a proof": NONCE + frame(bytes([Kind.PROOF]) + bytes(32)),
    "a proof of zeros": NONCE + hello() + frame(bytes([Kind.PROOF]) + bytes(32)),
    "an empty proof": NONCE + hello() + frame(bytes([Kind.PROOF])),
}


@pytest.mark.parametrize("words", UNPROVEN.values(), ids=UNPROVEN.keys())
async def test_nothing_is_believed_before_the_proof(words: bytes) -> None:
    out, in_ = Channel(str), Channel(str)
    async with Server("localhost:0", out, in_, authkey=KEY) as server:
        w_out, w_in = Channel(str), Channel(str)
        async with Client(server.address, w_out, w_in, authkey=KEY):
            worker = asyncio.create_task(echo(w_in, w_out))
            async with peer_of(server) as peer:
                peer.write(words)
                await peer.end()
            await works(server, out, in_)
            assert (server.num_clients, server.statistics().refused) == (1, 1)
            out.close()
            await worker


async def test_transforms_are_not_run_on_what_strangers_send() -> None:
    class Untouched:
        def __init__(self) -> None:
            self.decoded = 0

        def encode(self, data: bytes) -> bytes:
            return data

        def decode(self, data: bytes) -> bytes:
            self.decoded += 1
            return data

    transform = Untouched()
    options: dict[str, Any] = {"transforms": [transform], "authkey": KEY}
    async with Server("localhost:0", None, Channel(str), **options) as server:
        async with peer_of(server) as peer:
            peer.write(NONCE + hello() + frame(bytes([Kind.PROOF]) + bytes(32)))
            await peer.end()
        assert transform.decoded == 0


def test_a_nonce_is_as_long_as_it_should_be() -> None:
    server = authenticated_link().server
    server.feed(frame(bytes([Kind.NONCE]) + bytes(31)))
    with pytest.raises(ProtocolError, match="a NONCE frame of 31 bytes"):
        server.next_event()


class Recorder:
    """Carries a client's connections to a server, and takes down what the client says."""

    def __init__(self, server: Server) -> None:
        self._host, port = server.address.split(":")
        self._port = int(port)
        self.said: list[bytes] = []

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = await asyncio.open_connection(self._host, self._port)
        number = len(self.said)
        self.said.append(b"")

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65536):
                    if source is reader:
                        self.said[number] += data
                    sink.write(data)
            sink.close()

        await asyncio.gather(copy(reader, upstream[1]), copy(upstream[0], writer))


async def test_a_recorded_handshake_is_refused_and_leaves_the_session_alone() -> None:
    out, in_ = Channel(str), Channel(str)
    async with Server("localhost:0", out, in_, authkey=KEY) as server:
        recorder = Recorder(server)
        async with await asyncio.start_server(recorder.carry, "127.0.0.1", 0) as listener:
            host, port = listener.sockets[0].getsockname()
            w_out, w_in = Channel(str), Channel(str)
            async with Client(f"{host}:{port}", w_out, w_in, authkey=KEY) as client:
                worker = asyncio.create_task(echo(w_in, w_out))
                await works(server, out, in_)
                async with peer_of(server) as peer:
                    peer.write(recorder.said[0])
                    assert await peer.words() == "the authkeys of server and client differ"
                await works(server, out, in_)
                assert membership(client)._session.epoch == 1  # it has not been displaced
                assert len(recorder.said) == 1
                out.close()
                await worker


async def test_reflection_proves_nothing() -> None:
    """An attacker says what the server says: its nonce, and the proof of another connection."""
    async with Server("localhost:0", None, Channel(str), authkey=KEY) as server:
        async with peer_of(server) as peer:
            peer.write(NONCE + hello())
            kind, nonce = await peer.hear()
            assert kind == Kind.NONCE
            async with peer_of(server) as other:
                other.say(Kind.NONCE, nonce)
                other.write(hello())
                _, another = await other.hear()
                assert another != nonce
                peer.say(Kind.PROOF, another)
                assert "differ" in await peer.words()
                other.say(Kind.PROOF, nonce)
                assert "differ" in await other.words()
        assert server.num_clients == 0


@given(st.data())
def test_a_changed_byte_anywhere_in_the_handshake_opens_no_session(data: st.DataObject) -> None:
    link = authenticated_link()
    changed = data.draw(st.integers(0, 3), "flight")
    bit = data.draw(st.integers(0, 7), "bit")
    flights = 0
    for _ in range(2):
        for source, target in ((link.client, link.server), (link.server, link.client)):
            sent = bytearray(b"".join(source.data_to_send()))
            if flights == changed:
                assert sent
                sent[data.draw(st.integers(0, len(sent) - 1), "place")] ^= 1 << bit
            flights += 1
            target.feed(bytes(sent))
            with contextlib.suppress(Exception):
                while target.next_event() is not None:
                    pass
    assert not (link.client.opened and link.client.error is None)


def test_each_part_of_the_handshake_is_bound_to_the_channel_below() -> None:
    for binding, opened in ((b"tls", True), (b"another", False), (b"", False)):
        link = authenticated_link()
        link.server.start(b"tls")
        link.client.cut()
        link.client.start(binding)
        link.carry()
        assert link.client.opened is link.server.opened is opened


def test_the_bytes_are_those_that_the_documentation_says() -> None:
    """As docs/protocol.md has it, written anew."""
    link = authenticated_link()

    def counted(*entries: bytes) -> bytes:
        return b"".join(len(e).to_bytes(4, "little") + e for e in entries)

    def frames(data: bytes) -> list[bytes]:
        payloads = []
        while data:
            assert data[:4] == SIGNATURE.to_bytes(4, "little")
            length = int.from_bytes(data[4:8], "little")
            payloads.append(data[8 : 8 + length])
            data = data[8 + length :]
        return payloads

    def carry(source: Any, target: Any) -> list[bytes]:
        data = b"".join(source.data_to_send())
        target.feed(data)
        while target.next_event() is not None:
            pass
        return frames(data)

    start = counted(b"distchan authkey 1", b"")
    said = carry(link.client, link.server)
    assert [payload[0] for payload in said] == [13, 1]
    said += carry(link.server, link.client)
    proof = hmac.digest(KEY, start + counted(*said, b"client"), "sha256")
    said += carry(link.client, link.server)
    assert said[2:] == [said[2], b"\x0e" + proof]
    answer = carry(link.server, link.client)
    proof = hmac.digest(KEY, start + counted(*said, answer[0], b"server"), "sha256")
    assert answer[0][0] == Kind.HELLO
    assert answer[1] == b"\x0e" + proof


def test_resuming_takes_the_key() -> None:
    link = authenticated_link()
    link.carry()
    link.cut(noticed=False)
    before = link.server
    thief = authenticated_link(KEY, OTHER)
    thief.client.id, thief.client.epoch = link.client.id, 7
    thief.client.cut()
    thief.client.start()
    link.reconnect()
    deliver(thief.client, link.server, [])
    events: list[Any] = []
    deliver(link.server, thief.client, events)
    deliver(thief.client, link.server, events)
    assert isinstance(events[-1], AuthenticationError)
    assert (before.opened, before.epoch) == (True, 1)
    link.client.cut()
    link.reconnect()
    at_server, _ = link.carry()
    assert isinstance(at_server[0], Resumed)
    assert link.client.opened


# -- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, KEY])
async def test_those_who_do_not_introduce_themselves_keep_nobody_out(key: bytes | None) -> None:
    out, in_ = Channel(str), Channel(str)
    options: dict[str, Any] = {"authkey": key, "handshake_timeout": 60}
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server("localhost:0", out, in_, **options))
        peers = [
            await stack.enter_async_context(peer_of(server)) for _ in range(_MOST_STRANGERS + 3)
        ]
        await asyncio.gather(*(peer.end() for peer in peers[:3]))  # the oldest have to go
        w_out, w_in = Channel(str), Channel(str)
        async with Client(server.address, w_out, w_in, authkey=key):
            worker = asyncio.create_task(echo(w_in, w_out))
            await works(server, out, in_)
            assert len(clientele(server)._strangers) <= _MOST_STRANGERS
            out.close()
            await worker


async def test_a_slow_handshake_ends_while_others_are_served() -> None:
    out, in_ = Channel(str), Channel(str)
    options: dict[str, Any] = {"authkey": KEY, "handshake_timeout": 0.3}
    async with Server("localhost:0", out, in_, **options) as server:
        w_out, w_in = Channel(str), Channel(str)
        async with Client(server.address, w_out, w_in, authkey=KEY), peer_of(server) as peer:
            worker = asyncio.create_task(echo(w_in, w_out))
            peer.write(NONCE + hello())
            assert (await peer.hear())[0] == Kind.NONCE
            words = asyncio.create_task(peer.words())
            while not words.done():
                await works(server, out, in_)
            assert "did not introduce itself within 0.3 s" in await words
            out.close()
            await worker


async def test_after_many_failures_an_address_is_answered_later_but_never_locked_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("distchan._attempts._DELAY", 0.05)
    out, in_ = Channel(str), Channel(str)
    async with Server("localhost:0", None, in_, authkey=KEY) as server:
        slowed = clientele(server)._attempts
        for _ in range(11):
            assert slowed.delay(server.address, asyncio.get_running_loop().time()) == 0
            with pytest.raises(HandshakeError):
                async with Client(server.address, Channel(str), None, authkey=OTHER):
                    pass
        now = asyncio.get_running_loop().time()
        assert slowed.delay(server.address, now) == 0.05
        assert slowed.delay("10.0.0.1:1", now) == 0
        async with Client(server.address, out, None, authkey=KEY):
            await out.send("still welcome")
            assert await in_.receive() == "still welcome"
        assert slowed.delay(server.address, now + 61) == 0


# -- the command line -----------------------------------------------------------------------------


async def run_worker(address: str, *arguments: str, key: str | None = None) -> tuple[int, str]:
    environment = {**os.environ} | ({} if key is None else {"DISTCHAN_AUTHKEY": key})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "distchan", "worker", "tests.worker_jobs:upper", address),
        *("--processes", "1", *arguments),
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    assert process.returncode is not None
    return process.returncode, stderr.decode()


@pytest.mark.parametrize("place", ["file", "environment"])
async def test_a_worker_has_its_key_from_a_file_or_the_environment(
    place: str, tmp_path: Path
) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(KEY + b"\n")
    out, in_ = Channel(str, 1), Channel(str, 1)
    async with Server("localhost:0", out, in_, authkey=KEY) as server:
        await out.send("a")
        out.close()
        if place == "file":  # which counts, if there are both
            running = run_worker(server.address, "--authkey-file", str(path), key=OTHER.decode())
        else:
            running = run_worker(server.address, key=KEY.decode())
        code, stderr = await running
        assert code == 0, stderr
        assert KEY.decode() not in stderr
        assert [item async for item in in_] == ["A"]


async def test_a_worker_with_another_key_ends_in_words() -> None:
    async with Server("localhost:0", Channel(str), Channel(str), authkey=KEY) as server:
        code, stderr = await run_worker(server.address, key=OTHER.decode())
        assert code == 1
        assert "the authkeys of server and client differ" in stderr
        server.shutdown()


@pytest.mark.skipif(os.name != "posix", reason="needs modes of files")
async def test_key_files_that_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(KEY)
    for mode, content, words in (
        (0o644, KEY, "chmod 600"),
        (0o640, KEY, "chmod 600"),
        (0o600, b"short\n", "at least 16 bytes"),
    ):
        path.write_bytes(content)
        path.chmod(mode)
        code, stderr = await run_worker("localhost:1", "--authkey-file", str(path))
        assert code == 2
        assert words in stderr
    code, stderr = await run_worker("localhost:1", "--authkey-file", str(tmp_path / "none"))
    assert (code, "No such file" in stderr) == (2, True)
    code, stderr = await run_worker("localhost:1", key="")
    assert (code, "at least 16 bytes" in stderr) == (2, True)


async def test_a_server_restarted_with_another_key_is_final() -> None:
    w_in = Channel(str)
    out = Channel(str)
    async with Server("localhost:0", out, None, authkey=KEY) as server:
        address = server.address
        client = Client(address, None, w_in, authkey=KEY)
        await client.__aenter__()
        server._abort()
    async with Server(address, Channel(str), None, authkey=OTHER):
        with pytest.raises(ConnectionLost, match="the authkeys of server and client differ"):
            await w_in.receive()
        with contextlib.suppress(ConnectionLost):
            await client.aclose()
