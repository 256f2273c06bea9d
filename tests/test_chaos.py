"""What was sent is done once, whatever happens to workers and connections: see tests/chaos."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest

import distchan
from tests.chaos import runner

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows stops no processes")


@pytest.mark.parametrize(
    ("mode", "run", "options"),
    [
        pytest.param("kill", distchan.run, {}, id="kill"),
        pytest.param("stop", asyncio.run, {}, id="stop"),
        # So that the longest outage is no 6 s.
        pytest.param("proxy", distchan.run, {"resume_timeout": 0.5}, id="proxy"),
        pytest.param("mixed", asyncio.run, {}, id="mixed"),
    ],
)
def test_nothing_is_lost_or_doubled(
    mode: str, run: Callable[..., runner.Report], options: dict[str, Any]
) -> None:
    report = run(runner.run(mode, items=3000, workers=3, faults=10, interval=0.1, **options))
    assert (report.lost, report.doubled, report.dead_lettered, report.deserted) == (0, 0, 0, 0)
    assert report.faults >= 10
    if mode in ("kill", "stop"):  # the others may cost connections only, by chance
        assert report.redelivered > 0
