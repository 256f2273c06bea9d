"""Receives lines of text and sends back how often each word is in them: one answer for each line.

demo.py starts workers by itself; or start it with --workers 0, and in other terminals, with the
address that it prints:

    python examples/wordcount/worker.py localhost:5678
"""

import argparse
import sys
from collections import Counter

import distchan


async def main(address: str, connect_timeout: float) -> None:
    out = distchan.Channel(dict[str, int])
    in_ = distchan.Channel(str)
    async with distchan.Client(address, out, in_, connect_timeout=connect_timeout):
        async for line in in_:
            await out.send(Counter(line.split()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Count the words in what the server sends.")
    parser.add_argument("address", help="the server's, for example localhost:5678")
    parser.add_argument(
        "--connect-timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="how long to try to reach the server (default: %(default)g)",
    )
    arguments = parser.parse_args()
    try:
        distchan.run(main(arguments.address, arguments.connect_timeout))
    except KeyboardInterrupt:
        sys.exit("worker: interrupted")
    except (distchan.DistchanError, OSError, ValueError) as error:
        sys.exit(f"worker: {error}")
