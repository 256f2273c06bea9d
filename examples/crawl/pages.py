"""A web server for crawl.py: pages of words, for each of which it makes one wait."""

import asyncio
import functools
import random

__all__ = ["serve"]

#: Seconds until a page comes, how many words it has, and how many pages there are.
LATENCY = 0.1
WORDS = 1000
PAGES = 20


async def serve() -> asyncio.Server:
    """One at a free port of this machine."""
    return await asyncio.start_server(_answer, "127.0.0.1", 0, backlog=1000)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await reader.readuntil(b"\r\n\r\n")
    page = _page(int(request.split()[1].strip(b"/")) % PAGES)
    await asyncio.sleep(LATENCY)
    writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))
    await writer.drain()
    writer.close()


@functools.cache
def _page(number: int) -> bytes:
    chance = random.Random(number)
    words = " ".join(f"<b>word{chance.randrange(100)}</b>" for _ in range(WORDS))
    return f"<html><title>{number}</title><p>{words}</p></html>".encode()
