"""SIGKILL at random moments of a writer: nothing acknowledged is lost, all that is torn on record.

This is the quick version; ``benchmarks/crash_battery.py --kills 300`` is the whole.
"""

from pathlib import Path

import pytest
from crashing import Battery
from forge import STORES

KILLS = 25


@pytest.mark.parametrize("suffix", STORES)
def test_a_killed_writer_loses_nothing_that_it_acknowledged(suffix: str, tmp_path: Path) -> None:
    battery = Battery(tmp_path / f"book{suffix}", seed=1)
    for _ in range(KILLS):
        battery.kill()
    assert battery.counts["kills"] == KILLS
    assert battery.counts["acknowledged"] > 0
