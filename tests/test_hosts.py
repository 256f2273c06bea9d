"""A host that falls silent: two hosts in network namespaces, and the cable between them is cut.

Only this shows what the kernel makes of it: on loopback there is always somebody who acknowledges.
It needs Linux, root and iproute2.
"""

import asyncio
import itertools
import os
import shutil
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).with_name("host_programs.py")

_numbers = itertools.count()


class Hosts:
    """Two network namespaces, linked by a cable."""

    def __init__(self) -> None:
        name = f"dc{os.getpid()}-{next(_numbers)}"
        self.names = (f"{name}a", f"{name}b")
        self._cables = (f"a{os.getpid()}", f"b{os.getpid()}")

    def set_up(self) -> None:
        (a, b), (at_a, at_b) = self.names, self._cables
        _ip("netns", "add", a)
        _ip("netns", "add", b)
        _ip("link", "add", at_a, "netns", a, "type", "veth", "peer", "name", at_b, "netns", b)
        for host, cable, address in ((a, at_a, "10.77.0.1/24"), (b, at_b, "10.77.0.2/24")):
            _ip("-n", host, "address", "add", address, "dev", cable)
            _ip("-n", host, "link", "set", cable, "up")

    def cut(self) -> None:
        _ip("-n", self.names[1], "link", "set", self._cables[1], "down")

    def tear_down(self) -> None:
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    if shutil.which("ip") is None:
        pytest.skip("iproute2 is not installed")
    hosts = Hosts()
    try:
        hosts.set_up()
        yield hosts
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces cannot be made here: {error.stderr.decode().strip()}")
    finally:
        hosts.tear_down()


@pytest.mark.parametrize("traffic", ["idle", "busy"])
async def test_a_silent_host_is_noticed_by_its_heartbeat(hosts: Hosts, traffic: str) -> None:
    programs = []
    try:
        for host, arguments in zip(hosts.names, (["serve", traffic], ["work"]), strict=True):
            programs.append(
                await asyncio.create_subprocess_exec(
                    *("ip", "netns", "exec", host, sys.executable, str(PROGRAMS), *arguments),
                    stdin=PIPE,
                    stdout=PIPE,
                )
            )
        server = programs[0]
        assert server.stdin is not None
        assert server.stdout is not None
        assert await server.stdout.readline() == b"ready\n"
        hosts.cut()
        server.stdin.write(b"\n")
        assert await server.stdout.readline() == b"its items are free again\n"
    finally:
        for program in programs:
            if program.returncode is None:
                program.kill()
            await program.communicate()
