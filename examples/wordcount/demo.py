"""Counts the words of Python's standard library on several worker processes, and checks the count.

    python examples/wordcount/demo.py

starts two workers by itself (--workers: another number). To start them by hand, here or, with an
address that they can reach, on other machines:

In one terminal:              python examples/wordcount/demo.py --address localhost:5678 --workers 0
In another, once or more:     python examples/wordcount/worker.py localhost:5678
"""

import argparse
import asyncio
import itertools
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import distchan

WORKER = Path(__file__).with_name("worker.py")


class WorkerDied(Exception):
    """A worker process did not end as it should."""


async def main(address: str, workers: int, limit: int) -> None:
    lines = list(itertools.islice(library_lines(), limit or None))
    print(f"{len(lines):,} lines of the standard library's sources", flush=True)

    totals: Counter[str] = Counter()
    answers = 0
    out = distchan.Channel(str)
    in_ = distchan.Channel(dict[str, int])
    async with distchan.Server(address, out, in_) as server, asyncio.TaskGroup() as tasks:
        print(f"listening on {server.address}", flush=True)
        for _ in range(workers):
            tasks.create_task(run_worker(server.address))
        await server.wait_ready(max(workers, 1))
        workers = server.num_clients
        start = time.perf_counter()
        tasks.create_task(produce(lines, out))
        with progress_bar(len(lines)) as advance:
            async for counts in in_:
                totals.update(counts)
                answers += 1
                advance()
        seconds = time.perf_counter() - start

    loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    print(f"items           {answers:,} in {seconds:.1f} s")
    print(f"items/s         {answers / seconds:,.0f}")
    print(f"distinct words  {len(totals):,}")
    print(f"total words     {totals.total():,}")
    print(f"workers         {workers}")
    print(f"backend         {distchan.BACKEND}")
    print(f"loop            {loop}")
    if answers != len(lines) or totals != Counter(word for line in lines for word in line.split()):
        sys.exit(
            f"demo: totals differ from the single-process count: {answers:,} answers to "
            f"{len(lines):,} lines, {server.statistics().dead_lettered:,} lines given up"
        )
    print("totals match the single-process count")


def library_lines() -> Iterator[str]:
    """The lines of all .py files of the standard library, without installed packages."""
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.rglob("*.py")):
        if not {"site-packages", "dist-packages"} & set(path.relative_to(library).parts):
            yield from path.read_text(encoding="utf-8", errors="replace").splitlines()


async def produce(lines: list[str], out: distchan.Channel[str]) -> None:
    await out.send_many(lines)
    out.close()  # every worker learns that no more work is coming


async def run_worker(address: str) -> None:
    """Run a worker process to its end; stop it if this task is cancelled."""
    process = await asyncio.create_subprocess_exec(sys.executable, WORKER, address)
    print(f"started worker process {process.pid}", flush=True)
    try:
        code = await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if code != 0:
        raise WorkerDied(f"worker process {process.pid} ended early, with exit code {code}")


@contextmanager
def progress_bar(total: int) -> Iterator[Callable[[], object]]:
    """Shows how far the work is; to be called for each item. Nothing without tqdm or a terminal."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        yield lambda: None
    else:
        with tqdm(total=total, unit=" lines", unit_scale=True, disable=None) as bar:
            yield bar.update


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Count words on several worker processes.")
    parser.add_argument("--address", default="localhost:0", help="default: any free port")
    parser.add_argument(
        "--workers", type=int, default=2, help="to start; 0: you start them (default: %(default)s)"
    )
    parser.add_argument(
        "--lines",
        type=int,
        default=300_000,
        help="how many to count; 0: all there are (default: %(default)s)",
    )
    arguments = parser.parse_args()
    try:
        distchan.run(main(arguments.address, arguments.workers, arguments.lines))
    except KeyboardInterrupt:
        sys.exit("demo: interrupted")
    except (distchan.DistchanError, OSError, ValueError) as error:
        sys.exit(f"demo: {error}")
    except ExceptionGroup as group:
        died, others = group.split(WorkerDied)
        if died is None or others is not None:
            raise
        sys.exit(f"demo: {died.exceptions[0]}")
