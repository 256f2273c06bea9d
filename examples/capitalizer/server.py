"""Deals the lines of standard input to workers and prints their answers, in capitals.

In one terminal:            python examples/capitalizer/server.py
In another, once or more:   python examples/capitalizer/worker.py

Then type lines into the first one. The end of input (Ctrl-D; Ctrl-Z and Enter on Windows) ends
the work: the workers leave, and so does the server. Several workers answer in any order.
"""

import argparse
import asyncio
import concurrent.futures
import contextlib
import sys
import threading

import distchan


async def main(address: str) -> None:
    out = distchan.Channel(str)
    in_ = distchan.Channel(str)
    async with distchan.Server(address, out, in_) as server:
        print(f"listening on {server.address}, waiting for a worker", file=sys.stderr)
        await server.wait_ready()
        print("type lines to be capitalised", file=sys.stderr)
        loop = asyncio.get_running_loop()
        # asyncio.to_thread would not do: Ctrl-C would have to wait for the end of a line.
        threading.Thread(target=read_input, args=(out, loop), daemon=True).start()
        async for text in in_:
            print(text, flush=True)


def read_input(out: distchan.Channel[str], loop: asyncio.AbstractEventLoop) -> None:
    """Send every line of standard input. This blocks, so it has a thread of its own.

    A channel belongs to its event loop: another thread has to ask the loop to send and to close.
    """
    # When the program is interrupted, sending ends with one of these, and so does this thread.
    ended = (distchan.DistchanError, concurrent.futures.CancelledError, RuntimeError)
    with (
        contextlib.suppress(*ended),
        open(sys.stdin.fileno(), errors="replace", closefd=False) as lines,
    ):
        for line in lines:
            asyncio.run_coroutine_threadsafe(out.send(line.rstrip("\n")), loop).result()
        loop.call_soon_threadsafe(out.close)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Capitalise standard input on several workers.")
    parser.add_argument("--address", default="localhost:5678", help="default: %(default)s")
    arguments = parser.parse_args()
    try:
        distchan.run(main(arguments.address))
    except KeyboardInterrupt:
        sys.exit("server: interrupted")
    except (distchan.DistchanError, OSError, ValueError) as error:
        sys.exit(f"server: {error}")
