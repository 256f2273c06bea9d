"""The figures of one row, and what follows from them."""

import statistics
from dataclasses import dataclass, field

from bench.rows import Comparison, Row


@dataclass
class Outcome:
    """What was measured in one row."""

    row: Row
    figures: dict[str, list[float]] = field(default_factory=dict)
    #: Contestants that could not run, and why.
    failed: dict[str, str] = field(default_factory=dict)

    def median(self, contestant: str) -> float | None:
        figures = self.figures.get(contestant)
        return statistics.median(figures) if figures else None

    def ratio(self, comparison: Comparison) -> float | None:
        """None if one of the two has not run."""
        ours = self.median(comparison.ours)
        theirs = comparison.per if comparison.theirs is None else self.median(comparison.theirs)
        return None if ours is None or theirs is None else ours / theirs
