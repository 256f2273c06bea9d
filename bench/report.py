"""RESULTS.md: what was measured, on what, and which goals were met."""

import datetime
import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path

import distchan
from bench.outcome import Outcome
from bench.rows import Comparison

PACKAGES = ("msgspec", "uvloop", "pyzmq", "eclipse-zenoh", "nats-py", "numpy")
PROGRAMS = (("go", "version"), ("nats-server", "--version"))

INTRODUCTION = """\
Written by `make bench` (`python -m bench.compare`). Each contestant is a server process and a
worker process on this machine, if nothing else is said. In each row they take turns for {rounds}
rounds, after one that warms up; shown are the median and, in brackets, the least and the greatest.
A ratio is that of two medians: of rates, more is better; of durations, less is. Nothing is tuned:
the public API with its defaults, all promises of delivery kept, though few peers make them."""


def document(
    outcomes: list[Outcome], rounds: int, load: float, images: list[Path], quick: bool
) -> str:
    """The whole file."""
    lines = ["# distchan and its peers", ""]
    if quick:
        lines += ["**A smoke run: the figures mean nothing.**", ""]
    lines += [
        INTRODUCTION.format(rounds=rounds),
        "",
        *machine(load),
        "",
        verdict(outcomes),
        "",
    ]
    for outcome in outcomes:
        lines += [f"## {outcome.row.title}", "", *table(outcome), ""]
    if images:
        lines += ["## Plots", "", *(f"![{image.stem}]({image.name})" for image in images), ""]
    return "\n".join(lines)


def machine(load: float) -> list[str]:
    """The machine and the versions of everything, as a table."""
    rows = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{processor()}, {os.cpu_count()} cores",
        "load before the run": f"{load:.2f}",
        "system": platform.platform(),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "distchan": f"{distchan.__version__}, backend {distchan.BACKEND}",
    }
    for package in PACKAGES:
        try:
            rows[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            rows[package] = "not installed"
    for program, option in PROGRAMS:
        rows[program] = program_version(program, option)
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]


def processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def program_version(program: str, option: str) -> str:
    if shutil.which(program) is None:
        return "not installed"
    return subprocess.run(
        [program, option], capture_output=True, text=True, check=False
    ).stdout.strip()


def verdict(outcomes: list[Outcome]) -> str:
    """How many goals were met."""
    results = [
        result(outcome, comparison)
        for outcome in outcomes
        for comparison in outcome.row.comparisons
        if comparison.goal
    ]
    counts = {kind: results.count(kind) for kind in ("met", "LOST", "not measured")}
    return "Goals: " + ", ".join(f"{count} {kind}" for kind, count in counts.items()) + "."


def result(outcome: Outcome, comparison: Comparison) -> str:
    ratio = outcome.ratio(comparison)
    if ratio is None:
        return "not measured"
    if not comparison.goal:
        return ""
    return "met" if comparison.met(ratio) else "LOST"


def table(outcome: Outcome) -> list[str]:
    """The figures of one row, and its comparisons."""
    lines = [f"| contestant | {outcome.row.unit} |", "|---|---|"]
    lines += [
        f"| {contestant.name} | {figures(outcome, contestant.name)} |"
        for contestant in outcome.row.contestants
    ]
    if outcome.row.comparisons:
        lines += ["", "| compared | ratio | goal | |", "|---|---|---|---|"]
    for comparison in outcome.row.comparisons:
        ratio = outcome.ratio(comparison)
        name = comparison.ours
        name += f" / {comparison.per:g}" if comparison.theirs is None else f" : {comparison.theirs}"
        shown = "" if ratio is None else f"{ratio:.2f}"
        lines.append(
            f"| {name} | {shown} | {comparison.goal} | {emphasized(result(outcome, comparison))} |"
        )
    return lines


def emphasized(text: str) -> str:
    return f"**{text}**" if text == "LOST" else text


def figures(outcome: Outcome, contestant: str) -> str:
    if contestant in outcome.failed:
        return f"did not run: {outcome.failed[contestant]}".replace("|", "\\|")
    values = outcome.figures[contestant]
    median = outcome.median(contestant)
    assert median is not None
    return f"{number(median)} ({number(min(values))} to {number(max(values))})"


def number(value: float) -> str:
    """Three digits are as many as mean anything."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def summary(outcome: Outcome) -> str:
    """The same for the terminal, while the run goes on."""
    return "\n".join(f"  {line}" for line in table(outcome) if "---" not in line)
