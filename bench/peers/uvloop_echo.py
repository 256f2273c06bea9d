"""A bare uvloop protocol that echoes: what a round trip costs without any library."""

import asyncio
from typing import cast

import uvloop

from bench.peers import program


def main() -> None:
    options = program.parser().parse_args()
    uvloop.run(work(options.connect) if options.connect else serve(options.work))


class Echo(asyncio.Protocol):
    """The worker."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class Caller(asyncio.Protocol):
    """The server: sends the item again as soon as all of it has come back."""

    def __init__(self, connected: "asyncio.Future[Caller]") -> None:
        self._connected = connected

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connected.set_result(self)

    def start(self, item: bytes, count: int) -> asyncio.Future[None]:
        self._item = item
        self._missing = len(item)
        self._left = count
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport.write(item)
        return self._done

    def data_received(self, data: bytes) -> None:
        self._missing -= len(data)
        if not self._missing:
            self._left -= 1
            if self._left:
                self._missing = len(self._item)
                self._transport.write(self._item)
            else:
                self._done.set_result(None)


async def serve(work: str) -> None:
    loop = asyncio.get_running_loop()
    connected: asyncio.Future[Caller] = loop.create_future()
    server = await loop.create_server(lambda: Caller(connected), program.LOCALHOST, 0)
    port = server.sockets[0].getsockname()[1]
    with program.workers(1, str(port)):
        caller = await connected

        async def round_trips(count: int, size: int) -> None:
            await caller.start(program.item(size).encode(), count)

        await program.serve_async({"round-trips": round_trips}, work)


async def work(port: str) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_connection(Echo, program.LOCALHOST, int(port))
    await loop.create_future()  # until the server ends this process


if __name__ == "__main__":
    main()
