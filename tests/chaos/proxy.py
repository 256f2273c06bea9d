"""A bad network: a TCP proxy that cuts, delays, throttles and slices what it carries."""

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from typing import Final, Literal, TypeAlias

__all__ = ["Manner", "Proxy"]

Manner: TypeAlias = Literal["delay", "throttle", "slice", "stall"]

_CHUNK: Final = 64 * 1024
#: Closing a socket with this option resets its connection.
_RESET: Final = struct.pack("ii", 1, 0)


class Proxy:
    """Carries bytes between those who connect to ``address`` and the target.

    ``with proxy.behaving("slice"): ...`` while the block lasts, it carries what it carries badly.
    """

    def __init__(self, target: str, chance: random.Random) -> None:
        host, _, port = target.rpartition(":")
        self._target = host.strip("[]"), int(port)
        self._chance = chance
        self._manners: list[Manner] = []
        self._outages = 0
        self._shears = 0
        self._listener: asyncio.Server
        self.address = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._transports: set[asyncio.WriteTransport] = set()
        #: How many connections it has carried.
        self.connections = 0

    async def __aenter__(self) -> "Proxy":
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = "127.0.0.1:{1}".format(*self._listener.sockets[0].getsockname())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._listener.wait_closed()

    # -- faults -----------------------------------------------------------------------------------

    def cut_soon(self) -> None:
        """Cut all connections somewhere in the middle of what is carried next."""
        self._shears = 1

    def cut(self) -> None:
        """Cut all connections, by chance with a reset."""
        for transport in self._transports:
            if self._chance.random() < 0.5:
                sock = transport.get_extra_info("socket")
                with contextlib.suppress(OSError):  # it may be closed already
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            transport.abort()

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Cut all connections, and carry no others while the block lasts."""
        self._outages += 1
        self.cut()
        try:
            yield
        finally:
            self._outages -= 1

    @contextlib.contextmanager
    def behaving(self, manner: Manner) -> Iterator[None]:
        self._manners.append(manner)
        try:
            yield
        finally:
            self._manners.remove(manner)

    # -- connections ------------------------------------------------------------------------------

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(asyncio.CancelledError, OSError):
            async with self._closing(writer):
                if self._outages:
                    return
                target_reader, target_writer = await asyncio.open_connection(*self._target)
                async with self._closing(target_writer):
                    if self._outages:
                        return
                    self.connections += 1
                    await self._carry_both(reader, writer, target_reader, target_writer)

    @contextlib.asynccontextmanager
    async def _closing(self, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        self._transports.add(writer.transport)
        try:
            yield
        finally:
            self._transports.remove(writer.transport)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _carry_both(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        target_reader: asyncio.StreamReader,
        target_writer: asyncio.StreamWriter,
    ) -> None:
        """Until both directions have ended, or one of them has broken."""
        there = asyncio.create_task(self._carry(reader, target_writer))
        back = asyncio.create_task(self._carry(target_reader, writer))
        try:
            await asyncio.gather(there, back)
        finally:
            there.cancel()
            back.cancel()
            await asyncio.wait((there, back))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            if self._shears:
                self._shears = 0
                _write(writer, data[: self._chance.randrange(len(data))])
                await asyncio.sleep(0.001)  # so that it is sent before it is cut
                self.cut()
            while data:
                size = await self._pause(len(data))
                _write(writer, data[:size])
                await writer.drain()
                data = data[size:]
        if not writer.is_closing():
            writer.write_eof()

    async def _pause(self, size: int) -> int:
        """Wait as the manners demand; how many of the bytes may be carried then."""
        while "stall" in self._manners:
            await asyncio.sleep(0.02)
        for manner in self._manners:
            match manner:
                case "delay":
                    await asyncio.sleep(self._chance.uniform(0, 0.05))
                case "throttle":
                    await asyncio.sleep(0.01)
                    size = min(size, 512)
                case "slice":
                    await asyncio.sleep(0)
                    size = min(size, self._chance.randint(1, 16))
        return size


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if writer.is_closing():  # uvloop raises a RuntimeError
        raise ConnectionResetError
    writer.write(data)
