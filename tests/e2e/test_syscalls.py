"""EIO, ENOSPC, EINTR and SIGKILL at the system calls of one append (``threats.md``, *Crashes*).

Every call of a JSONL append, and a sample of the others; ``benchmarks/syscall_battery.py``
runs the whole matrix. Skipped, with the reason, where ``strace`` cannot attach.
"""

from pathlib import Path

import pytest
import syscalls
from forge import STORES
from fuzzing import seeded

SAMPLE = 40


@pytest.fixture(scope="module", autouse=True)
def _strace() -> None:
    if reason := syscalls.why_not():
        pytest.skip(reason)


def _suffer_all(folder: Path, suffix: str, scenario: str, sample: int | None) -> None:
    place = folder / "count"
    place.mkdir()
    counts = syscalls.calls_of(place / f"book{suffix}", scenario)
    assert {"openat", "pwrite64", "fdatasync"} <= counts.keys()
    chosen = list(syscalls.faults(counts))
    if sample:
        chosen = seeded(f"{suffix} {scenario}").sample(chosen, sample)
    for number, fault in enumerate(chosen):
        place = folder / str(number)
        place.mkdir()
        outcome = syscalls.suffer(place / f"book{suffix}", scenario, fault)
        assert (fault.what == "KILL") == (not outcome.said), fault


def test_a_fault_at_any_call_of_a_jsonl_append_loses_nothing(tmp_path: Path) -> None:
    _suffer_all(tmp_path, ".jsonl", "append", None)


@pytest.mark.parametrize("suffix", STORES)
def test_a_fault_during_a_recovery_loses_nothing(suffix: str, tmp_path: Path) -> None:
    _suffer_all(tmp_path, suffix, "recovery", SAMPLE)


def test_a_fault_at_a_call_of_a_sqlite_append_loses_nothing(tmp_path: Path) -> None:
    _suffer_all(tmp_path, ".sqlite", "append", SAMPLE)
