"""Two plots beside the results: throughput by size of the items, and by number of workers."""

from pathlib import Path

from bench.outcome import Outcome


def draw(folder: Path, by_size: dict[int, Outcome], by_workers: dict[int, Outcome]) -> list[Path]:
    """Draw both; none without matplotlib."""
    try:
        import matplotlib as mpl
    except ModuleNotFoundError:
        return []
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "distchan"  # the same figures make the same file
    return [
        curves(folder / "by-size.svg", by_size, "bytes per item, one way", logarithmic=True),
        curves(folder / "by-workers.svg", by_workers, "workers, 32 bytes there and back"),
    ]


def curves(file: Path, outcomes: dict[int, Outcome], label: str, logarithmic: bool = False) -> Path:
    """One curve for each contestant: its medians, with the least and the greatest as bars."""
    from matplotlib import pyplot
    from matplotlib.ticker import FixedLocator, NullLocator

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    names = {
        contestant.name for outcome in outcomes.values() for contestant in outcome.row.contestants
    }
    for name in sorted(names):
        points = [
            (x, median, median - min(outcome.figures[name]), max(outcome.figures[name]) - median)
            for x, outcome in outcomes.items()
            if (median := outcome.median(name)) is not None
        ]
        if points:
            xs, ys, below, above = zip(*points, strict=True)
            axes.errorbar(xs, ys, yerr=(below, above), marker="o", capsize=3, label=name)
    axes.set_xlabel(label)
    axes.set_ylabel("items/s")
    if logarithmic:
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(FixedLocator(list(outcomes)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([size(x) if logarithmic else str(x) for x in outcomes])
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)
    return file


def size(count: int) -> str:
    for unit, factor in ("MiB", 1 << 20), ("KiB", 1 << 10):
        if count >= factor:
            return f"{count // factor} {unit}"
    return f"{count} B"
