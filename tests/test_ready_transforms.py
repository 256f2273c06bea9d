"""Zlib, Zstd and AESGCM: what comes out is what went in, and nothing else gets through."""

import asyncio
import os
import pickle
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distchan import Channel, Client, HandshakeError, Server
from distchan.transforms import AESGCM, Transform, Zlib, Zstd
from distchan.transforms import _aesgcm as inside

#: The module of that name, wherever it is from.
zstd: Any = import_module("distchan.transforms._zstd").zstd

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
MAKERS: list[Any] = [Zlib, Zstd]


@given(st.binary(max_size=2000), st.sampled_from([Zlib(), Zlib(9), Zstd(), Zstd(-5), AESGCM(KEY)]))
def test_what_is_encoded_decodes(data: bytes, transform: Transform) -> None:
    assert transform.decode(transform.encode(data)) == data


@given(st.binary(max_size=200), st.sampled_from([Zlib(), Zstd(), AESGCM(KEY)]))
def test_other_bytes_raise_an_ordinary_error(data: bytes, transform: Transform) -> None:
    try:
        decoded = transform.decode(data)
    except (ValueError, zlib.error, zstd.ZstdError):
        return
    assert not isinstance(transform, AESGCM)
    assert transform.decode(transform.encode(decoded)) == decoded


@pytest.mark.parametrize("transform", [Zlib(3), Zstd(5), AESGCM(KEY, OTHER)])
def test_they_go_to_worker_processes(transform: Transform) -> None:
    copy = pickle.loads(pickle.dumps(transform))
    assert copy.decode(transform.encode(b"data")) == b"data"
    assert repr(copy) == repr(transform)


def run(program: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_they_are_imported_when_they_are_used() -> None:
    done = run(
        "import sys, distchan.transforms; "
        "print([m for m in ('cryptography', 'backports.zstd') if m in sys.modules])"
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("module", "name", "extra"),
    [("backports", "Zstd", "zstd"), ("cryptography.exceptions", "AESGCM", "encryption")],
)
def test_what_is_missing_is_named(module: str, name: str, extra: str) -> None:
    if name == "Zstd" and sys.version_info >= (3, 14):
        pytest.skip("Python has it")
    program = f"import sys; sys.modules[{module!r}] = None; from distchan.transforms import {name}"
    done = run(program)
    assert f"pip install 'distchan[{extra}]'" in done.stderr


# -- compression ----------------------------------------------------------------------------------


@pytest.mark.parametrize("maker", MAKERS)
def test_compression_has_a_limit(maker: Callable[..., Transform]) -> None:
    data = maker().encode(bytes(10_000))
    assert len(data) < 100
    assert maker(max_size=10_000).decode(data) == bytes(10_000)
    with pytest.raises(ValueError, match=r"more than 9999 bytes \(max_size\)"):
        maker(max_size=9_999).decode(data)


def bomb(name: str, size: int) -> bytes:
    """A gigabyte of zeros, or what is left of it."""
    if name == "zlib":
        compressor: Any = zlib.compressobj(9)
    else:
        compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 17})
    if name == "zstd that says so":
        compressor.set_pledged_input_size(size)
    pieces = [compressor.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    return b"".join([*pieces, compressor.flush()])


@pytest.mark.parametrize("name", ["zlib", "zstd", "zstd that says so"])
def test_a_bomb_is_not_inflated(name: str) -> None:
    data = bomb(name, 256 << 20)
    transform: Transform = (Zlib if name == "zlib" else Zstd)(max_size=1 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="more than 1048576 bytes"):
            transform.decode(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (100_000 if name == "zstd that says so" else 3 << 20)


def test_a_frame_that_wants_to_look_back_far_is_refused() -> None:
    options: dict[Any, int] = {zstd.CompressionParameter.window_log: 27}
    compressor = zstd.ZstdCompressor(options=options)
    data = compressor.compress(bytes(1000)) + compressor.flush()
    with pytest.raises(zstd.ZstdError):
        Zstd(max_size=1 << 20).decode(data)


@pytest.mark.parametrize("maker", MAKERS)
def test_a_stream_is_whole_and_alone(maker: Callable[..., Transform]) -> None:
    transform = maker()
    data = transform.encode(b"some data")
    for end in range(1, len(data)):
        with pytest.raises((ValueError, zlib.error, zstd.ZstdError)):
            transform.decode(data[:end])
    with pytest.raises(ValueError, match="bytes follow"):
        transform.decode(data + b"x")
    with pytest.raises(ValueError, match="bytes follow"):
        transform.decode(data + data)


@pytest.mark.parametrize("maker", MAKERS)
def test_senseless_options_of_compression(maker: Callable[..., Transform]) -> None:
    with pytest.raises(ValueError, match="level must be"):
        maker(100)
    with pytest.raises(ValueError, match="max_size must be at least 1"):
        maker(max_size=0)
    with pytest.raises(TypeError, match="max_size must be an int"):
        maker(max_size="1")


# -- encryption -----------------------------------------------------------------------------------


def test_encryption_hides_and_protects() -> None:
    cipher = AESGCM(KEY)
    first, second = cipher.encode(b"secret item"), cipher.encode(b"secret item")
    assert first != second
    assert b"secret" not in first
    for index in range(len(first)):
        changed = bytearray(first)
        changed[index] ^= 1
        with pytest.raises(ValueError, match=r"changed|not known"):
            cipher.decode(bytes(changed))
        with pytest.raises(ValueError, match=r"changed|short"):
            cipher.decode(first[:index])


def test_keys_can_be_changed_one_end_after_the_other() -> None:
    old, both, turned, new = AESGCM(KEY), AESGCM(KEY, OTHER), AESGCM(OTHER, KEY), AESGCM(OTHER)
    for one, other in [(old, both), (both, turned), (turned, new)]:
        assert other.decode(one.encode(b"data")) == b"data"
        assert one.decode(other.encode(b"data")) == b"data"
    for one, other in [(old, turned), (old, new)]:
        with pytest.raises(ValueError, match="not known"):
            one.decode(other.encode(b"data"))


async def test_keys_can_be_changed_while_items_are_on_their_way() -> None:
    ours, theirs = AESGCM(KEY), AESGCM(KEY)
    out, in_ = Channel(str), Channel(str)
    async with (
        Server("localhost:0", out, in_, transforms=[ours]) as server,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(echo(server.address, [theirs]))

        sending = tasks.create_task(out.send_many(["a"] * 5000))
        results = []
        for keys in [(KEY, OTHER), (OTHER, KEY)]:
            for end in (ours, theirs):
                results += [await in_.receive() for _ in range(500)]
                end.use(*keys)
        assert not sending.done()
        results += [await in_.receive() for _ in range(3000)]
        for end in (ours, theirs):  # nothing is left of the old one
            end.use(OTHER)
        with pytest.raises(ValueError, match="not known"):
            AESGCM(KEY).decode(ours.encode(b"data"))
        with pytest.raises(ValueError, match="the same key twice"):
            ours.use(KEY, KEY)
        await out.send("a")
        out.close()
        assert results + [text async for text in in_] == ["A"] * 5001


def test_a_key_does_not_show() -> None:
    cipher = AESGCM(KEY)
    assert repr(cipher) == "<AESGCM with 1 keys>"
    with pytest.raises(ValueError) as caught:
        AESGCM(KEY[:15])
    assert repr(KEY[:15]) not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "error", "words"),
    [
        ((), TypeError, "at least one key"),
        (("x" * 32,), TypeError, "a key is bytes, not str"),
        ((bytes(20),), ValueError, "16, 24 or 32 bytes, not 20"),
        ((KEY, KEY), ValueError, "the same key twice"),
    ],
)
def test_what_is_no_key(keys: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        AESGCM(*keys)


def test_a_key_does_not_serve_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "_MOST_ITEMS", 2)
    cipher = AESGCM(KEY)
    cipher.encode(b"")
    cipher.encode(b"")
    with pytest.raises(OverflowError, match="use another one"):
        cipher.encode(b"")
    cipher.use(OTHER, KEY)
    cipher.encode(b"")
    cipher.use(KEY, OTHER)  # of all, these two have been encrypted with it
    with pytest.raises(OverflowError, match="use another one"):
        cipher.encode(b"")


# -- between a server and a client ----------------------------------------------------------------


async def echo(address: str, transforms: list[Transform]) -> None:
    out, in_ = Channel(str), Channel(str)
    async with Client(address, out, in_, transforms=transforms, connect_timeout=0):
        async for text in in_:
            await out.send(text.upper())
        out.close()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([Zstd(), AESGCM(KEY)], [Zstd(), AESGCM(KEY)]),
        ([Zlib(), Zstd(-1), AESGCM(KEY)], [Zlib(9), Zstd(19), AESGCM(KEY)]),
        ([AESGCM(KEY, OTHER)], [AESGCM(OTHER, KEY)]),
    ],
)
async def test_items_there_and_back(ours: list[Transform], theirs: list[Transform]) -> None:
    out, in_ = Channel(str), Channel(str)
    async with (
        Server("localhost:0", out, in_, transforms=ours) as server,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(echo(server.address, theirs))
        tasks.create_task(out.send_many(["a" * 1000] * 100)).add_done_callback(
            lambda _: out.close()
        )
        assert [text async for text in in_] == ["A" * 1000] * 100


@pytest.mark.parametrize(
    "theirs",
    [
        [AESGCM(KEY), Zstd()],
        [Zstd()],
        [AESGCM(KEY)],
        [Zlib(), AESGCM(KEY)],
        [Zstd(), AESGCM(OTHER)],
    ],
)
async def test_other_transforms_are_refused(theirs: list[Transform]) -> None:
    ours: list[Transform] = [Zstd(), AESGCM(KEY)]
    async with Server("localhost:0", Channel(str), Channel(str), transforms=ours) as server:
        with pytest.raises(HandshakeError, match="transforms of server and client differ"):
            await echo(server.address, theirs)


async def test_a_bomb_harms_only_its_item() -> None:
    """The server allows less than what its client sends it."""
    out, in_ = Channel(int), Channel(bytes)
    async with Server("localhost:0", out, in_, transforms=[Zlib(max_size=1000)]) as server:

        async def work() -> None:
            results, items = Channel(bytes), Channel(int)
            async with Client(server.address, results, items, transforms=[Zlib()]):
                async for size in items:
                    await results.send(bytes(size))
                results.close()

        task = asyncio.create_task(work())
        for size in (10, 1_000_000, 20):
            await out.send(size)
        out.close()
        assert [len(result) async for result in in_] == [10, 20]
        letter = await server.dead_letters.receive()
        assert letter.item == 1_000_000
        assert "more than 1000 bytes" in letter.reason
        await task


def test_threads_may_share_them() -> None:
    transforms: list[Transform] = [Zlib(), Zstd(), AESGCM(KEY)]
    datas = [os.urandom(100) * 50 for _ in range(200)]

    def there_and_back(data: bytes) -> bytes:
        for transform in transforms:
            data = transform.encode(data)
        for transform in reversed(transforms):
            data = transform.decode(data)
        return data

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(there_and_back, datas)) == datas
