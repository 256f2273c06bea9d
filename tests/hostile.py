"""What a hostile peer sends, and a server at work that must not mind."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from distchan import Channel, Client, Server
from distchan._wire import SIGNATURE, Kind
from tests.helpers import wiring


def frame(payload: bytes, *, signature: int = SIGNATURE, length: int | None = None) -> bytes:
    return struct.pack("<Ii", signature, len(payload) if length is None else length) + payload


def hello(**changes: Any) -> bytes:
    """The HELLO of a proper client of str and str, with changes."""
    fields = {"session": b"a stranger's 16 b"} | changes
    proper = msgspec.structs.replace(wiring(str, str, prefetch=100).hello, **fields)
    return frame(bytes([Kind.HELLO]) + proper.pack())


def wants(window: int) -> bytes:
    """Says how many items a client wants."""
    return frame(struct.pack("<BQQ", Kind.WINDOW, window, 0))


def result(number: int, payload: bytes = b"\xa1x") -> bytes:
    """A result that belongs to no item."""
    return frame(struct.pack("<BQ", Kind.RESULT, number) + payload)


def settlement(number: int, outcome: int, items: list[int], *entries: bytes) -> bytes:
    head = struct.pack(f"<BQBI{len(items)}Q", Kind.SETTLE, number, outcome, len(items), *items)
    return frame(head + b"".join(struct.pack("<I", len(e)) + e for e in entries))


@contextlib.asynccontextmanager
async def serving(
    resume_timeout: float = 0.05, **options: Any
) -> AsyncIterator[tuple[Server, Channel[str], Channel[str]]]:
    """A server with a well-behaved worker, which must not notice anything."""
    out, in_ = Channel(str), Channel(str)
    w_out, w_in = Channel(str), Channel(str)

    async def work() -> None:
        async for text in w_in:
            await w_out.send(text.upper())
        w_out.close()

    limits = {"prefetch": 10, "max_frame_size": 1 << 20} | options
    limits_of_server = limits | {"resume_timeout": resume_timeout}
    async with Server("localhost:0", out, in_, **limits_of_server) as server:
        async with Client(server.address, w_out, w_in, **limits):
            worker = asyncio.create_task(work())
            await server.wait_ready()
            yield server, out, in_
            out.close()
            await worker
            assert [item async for item in in_] == []
