"""Receives lines from the server and sends them back in capitals, until there are no more.

In one terminal:            python examples/capitalizer/server.py
In another, once or more:   python examples/capitalizer/worker.py
"""

import argparse
import sys

import distchan


async def main(address: str, connect_timeout: float) -> None:
    out = distchan.Channel(str)
    in_ = distchan.Channel(str)
    async with distchan.Client(address, out, in_, connect_timeout=connect_timeout):
        async for text in in_:
            await out.send(text.upper())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Capitalise what the server sends.")
    parser.add_argument("--address", default="localhost:5678", help="default: %(default)s")
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
