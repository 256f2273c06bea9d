"""Runs with faults: ``python -m tests.chaos [--items N] [--workers N] ... [MODE ...]``."""

import argparse
import logging
import sys

import distchan
from tests.chaos.runner import MODES, Report, run

_HEAD = "mode     items faults   lost doubled redelivered dead-lettered deserted seconds"


def _line(report: Report) -> str:
    return (
        f"{report.mode:<5} {report.items:>8} {report.faults:>6} {report.lost:>6} "
        f"{report.doubled:>7} {report.redelivered:>11} {report.dead_lettered:>13} "
        f"{report.deserted:>8} {report.seconds:>7.1f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Harm worker processes while they work; count items that are lost or doubled.",
    )
    parser.add_argument("modes", metavar="MODE", nargs="*", help=f"of {', '.join(MODES)}; or all")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--faults", type=int, default=50, help="at least so many (default: 50)")
    parser.add_argument("--interval", type=float, default=0.25, help="seconds between two faults")
    parser.add_argument("--seed", type=int, help="of the choice of faults")
    arguments = parser.parse_args()
    if unknown := set(arguments.modes) - set(MODES):
        parser.error(f"no such mode: {', '.join(unknown)}")
    logging.getLogger("distchan").setLevel(logging.CRITICAL)  # each fault would be a line
    good = True
    print(_HEAD, flush=True)
    for mode in arguments.modes or MODES:
        report = distchan.run(
            run(
                mode,
                items=arguments.items,
                workers=arguments.workers,
                faults=arguments.faults,
                interval=arguments.interval,
                seed=arguments.seed,
            )
        )
        print(_line(report), flush=True)
        good = good and report.good and report.faults >= arguments.faults
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
