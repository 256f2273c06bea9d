"""The programs of test_hosts.py: ``python host_programs.py serve idle|busy`` and ``... work``."""

import asyncio
import logging
import sys
from typing import Any

import distchan

ADDRESS = "10.77.0.1:5678"


class Listener(logging.Handler):
    """Waits for what the server says when it finds the other host silent."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if "its host has acknowledged nothing for" in record.getMessage():
            self.heard.set()


async def serve(traffic: str) -> None:
    """Prints "ready" when a worker holds items; then waits for a line, which says that the cable
    has been cut; and says when the server has taken its items back.
    """
    listener = Listener()
    logging.getLogger("distchan").addHandler(listener)
    out = distchan.Channel(int)
    options: dict[str, Any] = {"heartbeat": 1.0, "resume_timeout": 0.1, "drain_timeout": 0.0}
    options |= {"prefetch": 8, "insecure": True}
    async with distchan.Server(ADDRESS, out, None, **options) as server:
        await out.send_many(range(8))
        while server.clients[0].held > 2:  # nothing is on its way any more
            await asyncio.sleep(0.01)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        if traffic == "busy":  # something is on its way, so that there is no keepalive
            await out.send_many(range(4))
        await listener.heard.wait()
        while server.statistics().sessions:
            await asyncio.sleep(0.01)
        print("its items are free again", flush=True)


async def work() -> None:
    """Takes seven items of eight, which settles six, then no more."""
    in_ = distchan.Channel(int)
    async with distchan.Client(ADDRESS, None, in_, connect_timeout=20, insecure=True):
        for _ in range(7):
            await in_.receive()
        await asyncio.Event().wait()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", traffic]:
            distchan.run(serve(traffic))
        case ["work"]:
            distchan.run(work())
