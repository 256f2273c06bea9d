"""distchan beside its peers: runs the rows of rows.py, writes RESULTS.md and two plots.

    python -m bench.compare                        everything: twenty-five minutes
    python -m bench.compare --rows there one-way   only these, without the plots
    python -m bench.compare --quick --to DIR       a smoke run with small numbers

In each row the contestants take turns, so that whatever else the machine does hits all of them;
figures are medians of the rounds, and ratios are ratios of those medians.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench import plots, report
from bench.contestants import Contestant, Measure
from bench.outcome import Outcome
from bench.rows import ROWS, SIZES, WORKERS, Row, by_size, by_workers


@dataclass(frozen=True)
class Scale:
    """How many rounds, and about how many seconds each contestant has in one."""

    rounds: int
    seconds: float


FULL = Scale(rounds=5, seconds=0.6)
QUICK = Scale(rounds=2, seconds=0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [row.name for row in ROWS]
    parser.add_argument("--rows", nargs="+", metavar="NAME", choices=names, help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="small numbers, for a smoke run")
    parser.add_argument(
        "--to",
        type=Path,
        metavar="DIR",
        help="for RESULTS.md and the plots (default: bench/ after a whole run, else nowhere)",
    )
    options = parser.parse_args()
    if options.to is None and options.rows is None and not options.quick:
        options.to = Path(__file__).parent

    load = os.getloadavg()[0]  # of what else is running
    scale = QUICK if options.quick else FULL
    rows = [row for row in ROWS if options.rows is None or row.name in options.rows]
    outcomes = run_all(rows, scale)
    if options.to is None:
        return
    options.to.mkdir(parents=True, exist_ok=True)
    images = []
    if options.rows is None:
        sizes = SIZES[::4] if options.quick else SIZES
        workers = WORKERS[:2] if options.quick else WORKERS
        images = plots.draw(
            options.to,
            dict(zip(sizes, run_all(map(by_size, sizes), scale), strict=True)),
            dict(zip(workers, run_all(map(by_workers, workers), scale), strict=True)),
        )
    text = report.document(outcomes, scale.rounds, load, images, options.quick)
    (options.to / "RESULTS.md").write_text(text, encoding="utf-8")
    print(f"written to {options.to / 'RESULTS.md'}")


def run_all(rows: Iterable[Row], scale: Scale) -> list[Outcome]:
    outcomes = []
    for row in rows:
        print(f"{row.name}: {row.title}", file=sys.stderr, flush=True)
        outcome = run(row, scale)
        print(report.summary(outcome), file=sys.stderr, flush=True)
        outcomes.append(outcome)
    return outcomes


def run(row: Row, scale: Scale) -> Outcome:
    """One row; a contestant that fails is out of it, and the others go on."""
    outcome = Outcome(row)
    with contextlib.ExitStack() as opened:
        running: dict[Contestant, Measure] = {}
        for contestant in row.contestants:
            try:
                running[contestant] = opened.enter_context(contestant.opened(scale.seconds))
            except Exception as error:
                outcome.failed[contestant.name] = str(error)
        for _ in range(scale.rounds):
            for contestant, measure in list(running.items()):
                try:
                    figure = measure()
                except Exception as error:
                    del running[contestant]
                    outcome.figures.pop(contestant.name, None)
                    outcome.failed[contestant.name] = str(error)
                else:
                    outcome.figures.setdefault(contestant.name, []).append(figure)
    return outcome


if __name__ == "__main__":
    main()
