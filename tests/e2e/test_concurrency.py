"""Eight processes at once: one chain, nothing lost, nothing twice.

``benchmarks/concurrency_battery.py`` lets each append 500 events.
"""

from pathlib import Path

import pytest
from crowd import crowd
from forge import STORES


@pytest.mark.parametrize("suffix", STORES)
def test_eight_processes_at_once_make_one_chain(suffix: str, tmp_path: Path) -> None:
    crowd(tmp_path / f"book{suffix}", processes=8, appends=150)
