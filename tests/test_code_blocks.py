"""Every block of Python or Go in README and docs/ is run, and does what its page says.

What changes are addresses, so that blocks do not get into each other's way. The README's server and
its worker are in test_readme.py, the tutorial's programs in test_tutorial.py.
"""

import asyncio
import dataclasses
import importlib.util
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import distchan
from distchan import Channel, Client, Server, sync
from distchan.tls import client_context
from distchan.transforms import AESGCM, Zstd
from tests.certificates import Certificates
from tests.golang import SOURCES, build, go_programs
from tests.test_readme import PAIR, PROGRAMS, README

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no Unix sockets")

KEY = b"sixteen random bytes, or more..."
BLOCKS = [program for program in PROGRAMS if program not in PAIR]
TESTED: set[str] = set()


def block(words: str) -> pytest.MarkDecorator:
    """The block that a test is about, by a pattern that fits no other."""
    (text,) = [text for text in BLOCKS if re.search(words, text)]
    TESTED.add(text)
    return pytest.mark.parametrize("text", [pytest.param(text, id="")])


def test_every_block_has_a_test() -> None:
    assert [text for text in BLOCKS if text not in TESTED] == []


@pytest.fixture
def port() -> int:
    """One that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    return number


@pytest.fixture
def program(text: str, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The block's file, in the current directory."""
    monkeypatch.chdir(tmp_path)
    text = text.replace("localhost:5678", "unix:socket").replace("0.0.0.0:5678", f"0.0.0.0:{port}")
    path = tmp_path / "program.py"
    path.write_text(text.replace("server.example:5678", f"localhost:{port}"), "utf-8")
    return path


@pytest.fixture
def module(program: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The block, imported."""
    specification = importlib.util.spec_from_file_location("program", program)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "program", module)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """With the files that the blocks name."""
    made = Certificates(tmp_path)
    for copy, original in (
        ("server.key", made.server),
        ("server-ca.pem", made.ca),
        ("workers-ca.pem", made.ca),
        ("worker.pem", made.client),
        ("worker.key", made.client),
    ):
        (tmp_path / copy).write_bytes(original.read_bytes())
    return made


def run(program: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-W", "error", str(program)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


async def work(
    address: str, function: Callable[[str], Any], type_: type = str, **more: Any
) -> None:
    """A worker."""
    out, in_ = Channel[Any](type_), Channel(str)
    async with Client(address, out, in_, **more):
        async for item in in_:
            await out.send(function(item))


async def deal(server: Server, out: Channel[str], in_: Channel[Any], worker: Awaitable[Any]) -> Any:
    """Two items to a worker; the results in their order."""
    async with server:
        working = asyncio.ensure_future(worker)
        await out.send_many(["a", "bb"])
        out.close()
        results = sorted([result async for result in in_])
        await working
        return results


async def results_of(
    worker: Callable[[Channel[str], Channel[Any]], Awaitable[None]], type_: type = str
) -> Any:
    """What comes of two items from a function that has the channels of a Client."""
    out, in_, w_out, w_in = Channel(str), Channel[Any](type_), Channel[Any](type_), Channel(str)

    async def join() -> None:
        async with Client("unix:socket", w_out, w_in):
            await worker(w_in, w_out)

    return await deal(Server("unix:socket", out, in_), out, in_, join())


# -- README ---------------------------------------------------------------------------------------


@block(r"\Adef shout")
def test_a_function_for_workers(module: Any) -> None:
    assert module.shout("a") == "A"


@block(r"distchan\.work\(shout")
def test_workers_from_a_program(program: Path) -> None:
    out, in_ = sync.Channel(str, 2), sync.Channel(str)
    with sync.Server("unix:socket", out, in_), ThreadPoolExecutor(1) as threads:
        outcome = threads.submit(run, program)
        out.send_many(["a", "b"])
        out.close()
        assert sorted(in_) == ["A", "B"]
        assert outcome.result().returncode == 0


@block(r"async def merge")
async def test_select(module: Any, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = Channel(str, 2), Channel(str, 2)
    await first.send_many(["a", "b"])
    await second.send("c")
    first.close()
    second.close()
    await module.merge(first, second)
    assert sorted(capsys.readouterr().out.split()) == ["a", "b", "c"]


@block(r"list\[str\], out: sync\.Channel")
def test_blocking_calls(module: Any) -> None:
    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(module.work)
        assert sorted(module.serve(["a", "b"])) == ["A", "B"]
        working.result(timeout=10)


@block(r"sync\.Pool\(square")
def test_a_pool(program: Path) -> None:
    outcome = run(program)
    assert (outcome.returncode, outcome.stdout) == (0, "332833500\n")
    assert "1000/1000" in outcome.stderr


@block(r"def largest")
def test_an_executor(program: Path) -> None:
    with ThreadPoolExecutor(1) as threads:
        outcome = threads.submit(run, program)
        command = [sys.executable, "-m", "distchan", "worker", "--executor", "unix:calls.sock"]
        subprocess.run(command, check=True, capture_output=True)
        assert (outcome.result().returncode, outcome.result().stdout) == (0, "3\n")


@block(r"async def shouted")
async def test_map(module: Any) -> None:
    working = asyncio.create_task(work("unix:socket", str.upper))
    assert await module.shouted(["a", "b"]) == ["A", "B"]
    await working


@block(r"def server\(out.*\n    key = Path")
async def test_a_key(module: Any, port: int) -> None:
    Path("key").write_bytes(KEY + b"\n")
    out, in_ = Channel(str), Channel(str)
    worker = work(f"localhost:{port}", str.upper, authkey=KEY)
    assert await deal(module.server(out, in_), out, in_, worker) == ["A", "BB"]


@block(r"lease = in_\.lease\(\)")
async def test_a_lease(module: Any) -> None:
    async def both(in_: Channel[str], out: Channel[Any]) -> None:
        await module.work(in_, out)
        await module.work(in_, out)

    assert [result.partition(": ")[2] for result in await results_of(both)] == ["a", "bb"]


@block(r"async def loop")
async def test_leases(module: Any) -> None:
    assert await results_of(module.loop) == ["A", "BB"]


@block(r"# Compress before you encrypt")
async def test_transforms(module: Any, capsys: pytest.CaptureFixture[str]) -> None:
    out, in_ = Channel(str, 1), Channel(str)
    await out.send("a")
    out.close()
    key = KEY[:32]
    worker = work("unix:socket", str.upper, transforms=[Zstd(), AESGCM(key)])
    await asyncio.gather(module.serve(out, in_, key), worker)
    assert capsys.readouterr().out == "A\n"


@block(r'client_ca="ca\.pem"')
async def test_tls(
    module: Any, port: int, certificates: Certificates, capsys: pytest.CaptureFixture[str]
) -> None:
    out, in_ = Channel(str, 1), Channel(str)
    await out.send("a")
    out.close()
    context = client_context(certificates.ca, certfile=certificates.client)
    worker = work(f"localhost:{port}", str.upper, ssl=context)
    await asyncio.gather(module.serve(out, in_), worker)
    assert capsys.readouterr().out == "A\n"


# -- docs/ ----------------------------------------------------------------------------------------


@block(r"class Pair")
async def test_go(module: Any) -> None:
    pairs = [module.Pair(1, 2), module.Pair(3, 4)]
    total, _ = await asyncio.gather(
        module.serve("unix:socket", pairs), module.worker("unix:socket")
    )
    assert total == 10


async def test_go_for_go_programmers(tmp_path: Path, port: int) -> None:
    page = (README.parent / "docs" / "go.md").read_text("utf-8")
    ((declaration, statements),) = re.findall(
        r"^```go\n(type .*?\n)\n(.*?)^```", page, re.MULTILINE | re.DOTALL
    )
    (tmp_path / "main.go").write_text(
        'package main\n\nimport (\n\t"net"\n\n\t"github.com/dradtke/distchan"\n)\n\n'
        f"{declaration}\nfunc main() {{\n{statements.replace(':5678', f':{port}')}}}\n"
    )
    (tmp_path / "go.mod").write_text(
        "module program\n\ngo 1.19\n\nrequire github.com/dradtke/distchan v0.0.0\n\n"
        f"replace github.com/dradtke/distchan => {SOURCES / 'original'}\n"
    )
    pair = dataclasses.make_dataclass("Pair", [("a", int), ("b", int)])
    out, in_ = Channel[Any](pair, 2), Channel(int)
    async with (
        go_programs(build(tmp_path)) as start,
        Server(f"localhost:{port}", out, in_, wire="go") as server,
    ):
        worker = await start()
        await server.wait_ready()
        await out.send_many([pair(1, 2), pair(3, 4)])
        out.close()
        assert sorted([total async for total in in_]) == [3, 7]
        assert await worker.wait() == 0


@block(r"workers-ca\.pem")
async def test_tls_at_both_ends(
    module: Any, certificates: Certificates, capsys: pytest.CaptureFixture[str]
) -> None:
    out, in_ = Channel(str, 1), Channel(str)
    await out.send("a")
    out.close()
    await asyncio.gather(module.serve(out, in_), module.work(Channel(str), Channel(str)))
    assert capsys.readouterr().out == "A\n"


@block(r"\Aimport secrets")
async def test_ready_transforms(module: Any) -> None:
    worker = work("unix:socket", str.upper, transforms=[Zstd(), AESGCM(module.key)])
    assert await deal(module.server, module.out, module.in_, worker) == ["A", "BB"]


@block(r"class Checked")
async def test_a_transform_of_ones_own(module: Any) -> None:
    options: Any = {"transforms": [module.Checked()]}
    out, in_ = Channel(str), Channel(str)
    worker = work("unix:socket", str.upper, **options)
    assert await deal(Server("unix:socket", out, in_, **options), out, in_, worker) == ["A", "BB"]
    with pytest.raises(ValueError, match="damaged"):
        module.Checked().decode(b"1234data")


@block(r"\Aimport hashlib")
def test_a_function_of_a_module(module: Any) -> None:
    Path("empty").touch()
    assert module.digest("empty")[1].startswith("e3b0c44298fc1c14")


@block(r"def digests")
def test_digests(module: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def digest(path: str) -> tuple[str, str]:
        if Path(path).name == "bad":
            raise OSError("cannot be read")
        return path, "its digest"

    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("good", "bad"):
        (folder / name).touch()
    worker = threading.Thread(target=distchan.work, args=(digest, "unix:socket"))
    worker.start()
    assert list(module.digests(folder)) == [(str(folder / "good"), "its digest")]
    worker.join()
    assert re.search(r"bad failed 3 times: .*cannot be read", capsys.readouterr().out)


@block(r"def known_words")
def test_what_is_set_up_once(module: Any) -> None:
    words = Path("words.txt")
    words.write_text("one two\n")
    assert module.misspelt("one tow") == ["tow"]
    words.unlink()
    assert module.misspelt("oen two") == ["oen"]


@block(r"async def fetch")
async def test_many_items_at_a_time(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"hello")
        writer.close()

    web = await asyncio.start_unix_server(answer, "web")
    monkeypatch.setattr(
        asyncio, "open_connection", lambda host, port: asyncio.open_unix_connection("web")
    )
    out, in_ = Channel(str), Channel(int)
    async with web:
        assert await deal(Server("unix:socket", out, in_), out, in_, module.main()) == [5, 5]


@block(r"def start_one_for_each")
async def test_a_task_for_each_item(module: Any) -> None:
    assert await results_of(module.start_one_for_each, int) == [1, 2]


@block(r"def serve\(out.*\n    key = Path")
async def test_a_key_for_several_machines(module: Any, port: int) -> None:
    Path("key").write_bytes(KEY + b"\n")
    out, in_ = Channel(str), Channel(int)
    worker = work(f"localhost:{port}", len, int, authkey=KEY)
    assert await deal(module.serve(out, in_), out, in_, worker) == [1, 2]
