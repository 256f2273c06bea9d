"""Fetches pages from a web server of its own on this machine, and counts the words in them.

python examples/crawl/crawl.py             by two worker processes, 50 pages at a time in each
python examples/crawl/crawl.py --plain     one page after the other, in this process
python examples/crawl/crawl.py --tasks     100 pages at a time, in this process

Waiting for pages needs no processes: tasks do that. What needs them is what is done with the pages
(here: parsing HTML), for that keeps one CPU busy.
"""

import argparse
import asyncio
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from multiprocessing.connection import Connection
from pathlib import Path

import pages  # type: ignore[import-not-found]  # beside this file

import distchan


class Words(HTMLParser):
    """Counts those of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def handle_data(self, data: str) -> None:
        self.counts.update(data.split())


async def count_words(url: str) -> dict[str, int]:
    """The words of a page, and how often each is there."""
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    writer.write(f"GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    words = Words()
    words.feed(answer.partition(b"\r\n\r\n")[2].decode())
    return dict(words.counts)


async def by_workers(urls: list[str]) -> AsyncIterator[dict[str, int]]:
    """In two processes, which any number of others could join."""
    out, in_ = distchan.Channel(str), distchan.Channel(dict[str, int])
    async with distchan.Server("localhost:0", out, in_) as server:
        command = [sys.executable, "-m", "distchan", "worker", "crawl:count_words", server.address]
        options = ["--processes", "2", "--threads", "50", "--log-level", "warning"]
        folder = Path(__file__).parent
        workers = await asyncio.create_subprocess_exec(*command, *options, cwd=folder)
        async for counts in server.map(urls, ordered=False):
            yield counts
        server.shutdown()
        await workers.wait()


async def by_tasks(urls: list[str]) -> AsyncIterator[dict[str, int]]:
    """In this process."""
    free = asyncio.Semaphore(100)

    async def fetch(url: str) -> dict[str, int]:
        async with free:
            return await count_words(url)

    for task in asyncio.as_completed([fetch(url) for url in urls]):
        yield await task


async def one_by_one(urls: list[str]) -> AsyncIterator[dict[str, int]]:
    for url in urls:
        yield await count_words(url)


async def run_pages(connection: Connection) -> None:
    """The web server, until the other end of the connection closes."""
    server = await pages.serve()
    connection.send(server.sockets[0].getsockname()[1])
    await asyncio.to_thread(connection.poll, None)


def serve_pages(connection: Connection) -> None:
    distchan.run(run_pages(connection))


async def main(count: int, way: str, port: int) -> None:
    urls = [f"http://127.0.0.1:{port}/{number}" for number in range(count)]
    start = time.perf_counter()
    total: Counter[str] = Counter()
    async for counts in {"plain": one_by_one, "tasks": by_tasks, "workers": by_workers}[way](urls):
        total.update(counts)
    for word, times in sorted(total.most_common(5)):
        print(word, times)
    print(f"{count} pages in {time.perf_counter() - start:.2f} s", file=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="count the words of web pages")
    parser.add_argument("--pages", type=int, default=1000)
    parser.add_argument("--plain", dest="way", action="store_const", const="plain")
    parser.add_argument("--tasks", dest="way", action="store_const", const="tasks")
    parser.set_defaults(way="workers")
    options = parser.parse_args()
    here, there = multiprocessing.Pipe()
    multiprocessing.Process(target=serve_pages, args=(there,), daemon=True).start()
    distchan.run(main(options.pages, options.way, here.recv()))
