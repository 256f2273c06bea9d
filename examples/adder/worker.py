"""Receives pairs of numbers from the server and sends back their sums, until there are no more.

In one terminal:            python examples/adder/server.py 20
In another, once or more:   python examples/adder/worker.py

With --wire go the server may be a program in Go: see server.go, and docs/go.md.
"""

import argparse
import sys
from dataclasses import dataclass
from typing import Literal

import distchan


@dataclass
class Pair:
    """Like the server's. The two ends need not share a class: the fields are what counts.

    If they differed, the server would refuse this worker and both would say why; with --wire go,
    where nobody introduces himself, they would find out when a pair does not decode.
    """

    a: int
    b: int


async def main(address: str, connect_timeout: float, wire: Literal["native", "go"]) -> None:
    out = distchan.Channel(int)
    in_ = distchan.Channel(Pair)
    async with distchan.Client(address, out, in_, wire=wire, connect_timeout=connect_timeout):
        async for pair in in_:
            await out.send(pair.a + pair.b)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Add up the pairs that the server sends.")
    parser.add_argument("--address", default="localhost:5678", help="default: %(default)s")
    parser.add_argument(
        "--connect-timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="how long to try to reach the server (default: %(default)g)",
    )
    parser.add_argument(
        "--wire", choices=["native", "go"], default="native", help="default: %(default)s"
    )
    options = parser.parse_args()
    try:
        distchan.run(main(options.address, options.connect_timeout, options.wire))
    except KeyboardInterrupt:
        sys.exit("worker: interrupted")
    except (distchan.DistchanError, OSError, ValueError) as error:
        sys.exit(f"worker: {error}")
