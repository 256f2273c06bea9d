"""What is refused unless the user insists, and what a Unix socket's file is like."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from distchan import Channel, Client, InsecureConnection, Server

ROOT = Path(__file__).parent.parent
KEY = b"a key of two ends"

needs_unix_sockets = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")

LOCAL = ["localhost:1", "LocalHost:1", "127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "unix:/x"]
REMOTE = [
    "0.0.0.0:1",
    "[::]:1",
    "192.0.2.1:1",
    "[2001:db8::1]:1",
    "server.example:1",
    "127.0.0.1.example:1",
    "localhost.example:1",
    "127.1:1",
]


def make(end: str, address: str | None, **options: Any) -> object:
    kind = Server if end == "server" else Client
    return kind(address, None, Channel(str), **options)


@pytest.mark.parametrize("wire", ["native", "go"])
@pytest.mark.parametrize("end", ["server", "client"])
@pytest.mark.parametrize("address", LOCAL)
def test_this_machine_needs_no_ceremony(end: str, address: str, wire: str) -> None:
    make(end, address, wire=wire)


@pytest.mark.parametrize("end", ["server", "client"])
@pytest.mark.parametrize("address", REMOTE)
def test_other_machines_need_a_key_or_insistence(end: str, address: str) -> None:
    what = "can be reached from other machines" if end == "server" else "is not on this machine"
    with pytest.raises(InsecureConnection, match=f"{what}.*authkey= or ssl=, or insecure=True"):
        make(end, address)
    make(end, address, authkey=KEY)
    make(end, address, insecure=True)


@pytest.mark.parametrize("end", ["server", "client"])
def test_on_the_go_wire_no_key_is_offered(end: str) -> None:
    with pytest.raises(InsecureConnection, match=r"give both ends ssl=, or insecure=True"):
        make(end, "192.0.2.1:1", wire="go")
    make(end, "192.0.2.1:1", wire="go", insecure=True)


def test_an_empty_host_is_every_address_of_a_server_and_a_clients_own_machine() -> None:
    with pytest.raises(InsecureConnection, match=r"^:1 can be reached"):
        make("server", ":1")
    make("client", ":1")


@pytest.mark.parametrize("wire", ["native", "go"])
@pytest.mark.parametrize("end", ["server", "client"])
def test_pickle_on_tcp_needs_a_key_or_insistence(end: str, wire: str) -> None:
    options: dict[str, Any] = {"wire": wire, "codec": "pickle"}
    with pytest.raises(InsecureConnection, match="pickle would let them run any program here"):
        make(end, "localhost:1", **options)
    make(end, "unix:/x", **options)
    make(end, "localhost:1", insecure=True, **options)
    if wire == "native":
        make(end, "localhost:1", authkey=KEY, **options)


def test_insistence_is_said_in_so_many_words() -> None:
    with pytest.raises(TypeError, match="insecure must be True or False"):
        make("server", "0.0.0.0:1", insecure="yes")


async def test_refused_servers_never_listen(tmp_path: Path) -> None:
    """A name is judged as it is written, before anything is asked or bound."""
    with pytest.raises(InsecureConnection):
        Server("no-such-host.invalid:1", None, Channel(str))


@pytest.mark.parametrize("end", ["server", "client"])
def test_a_socket_of_ones_own_is_judged_by_its_address(end: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as local, socket.socket() as other:
        if end == "server":
            make(end, None, sock=local)
        else:
            with socket.create_connection(local.getsockname()) as connected:
                make(end, None, sock=connected)
        if end == "server":
            other.bind(("0.0.0.0", 0))
        with pytest.raises(InsecureConnection):
            make(end, None, sock=other)


@needs_unix_sockets
def test_a_pair_of_unix_sockets_is_private() -> None:
    one, two = socket.socketpair()
    with one, two:
        make("client", None, sock=one, codec="pickle")


@needs_unix_sockets
@pytest.mark.parametrize("wire", ["native", "go"])
async def test_only_its_owner_may_use_a_unix_socket(tmp_path: Path, wire: Any) -> None:
    path = tmp_path / "socket"
    before = os.umask(0)
    try:
        async with Server(f"unix:{path}", None, Channel(str), wire=wire):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)


@needs_unix_sockets
async def test_nobody_can_connect_before_the_file_has_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "socket"
    real = os.chmod
    tried = []

    def chmod(name: str, mode: int) -> None:
        with socket.socket(socket.AF_UNIX) as early, pytest.raises(ConnectionRefusedError):
            early.connect(name)
        tried.append(name)
        real(name, mode)

    monkeypatch.setattr(os, "chmod", chmod)
    async with Server(f"unix:{path}", None, Channel(str)):
        assert tried == [str(path)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["192.0.2.1:1"], "is not on this machine"),
        (["localhost:1", "--codec", "pickle"], "pickle would let them run any program"),
    ],
)
def test_the_command_line_refuses_the_same(arguments: list[str], words: str) -> None:
    command = [sys.executable, "-m", "distchan", "worker", "tests.worker_jobs:upper", *arguments]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (outcome.returncode, words in outcome.stderr) == (2, True), outcome.stderr


def test_the_command_line_can_insist() -> None:
    command = [sys.executable, "-m", "distchan", "worker", "tests.worker_jobs:upper"]
    arguments = ["localhost:1", "--codec", "pickle", "--insecure", "--connect-timeout", "0"]
    outcome = subprocess.run(
        [*command, *arguments, "--processes", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 1, outcome.stderr  # there is no server
