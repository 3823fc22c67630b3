"""Measure whole processes: their time on the clock, on the CPU, and their memory."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
MEGABYTE = 1_000_000
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PATIENCE = 3600  # seconds; a process that hangs must not hang the table


@dataclass(frozen=True, slots=True)
class Spent:
    """What a process and those it waited for used.

    ``peak`` is the largest sum of resident memory over the processes alive at one
    moment (0 if it was not sampled; pages that forked processes share count in each),
    ``largest`` the peak of the largest single one, as the kernel keeps it.
    """

    wall: float
    cpu: float
    peak: int
    largest: int
    output: str


def python(*arguments: str) -> list[str]:
    """Return the command line of a Python like this one."""
    return [sys.executable, *arguments]


def run(command: Sequence[str], *, sample: float | None = None) -> Spent:
    """Run a process in the repository to its end; look at its memory each *sample* seconds.

    Raises:
        RuntimeError: It failed: what it did is not what was to be measured.
    """
    begun = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:  # a pipe that nobody reads could fill up
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=output)
        peak = _watch(process.pid, sample) if sample else 0
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
        output.seek(0)
        text = output.read()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} exited {process.returncode}: {text[-2000:]}")
    largest = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Spent(wall, usage.ru_utime + usage.ru_stime, peak, largest, text)


def _watch(pid: int, pause: float) -> int:
    """Return the greatest sum of resident memory seen until the process ends."""
    peak = 0
    deadline = time.monotonic() + _PATIENCE
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        peak = max(peak, _resident(pid))
        if time.monotonic() > deadline:
            os.kill(pid, 9)
        time.sleep(pause)
    return peak


def _resident(pid: int) -> int:
    """Return the resident memory of a process and all below it; 0 for one that has just gone."""
    try:
        own = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [child for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return 0
    return own + sum(_resident(int(child)) for child in children)
