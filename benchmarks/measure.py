"""Measure whole processes: their time on the clock, on the CPU, and their memory."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
MEGABYTE = 1_000_000
_STATUS = re.compile(r"(VmRSS|VmHWM):\s+([0-9]+) kB")
_PATIENCE = 3600  # seconds; a process that hangs must not hang the table


@dataclass(frozen=True, slots=True)
class Spent:
    """What a process and those it waited for used.

    ``peak`` is the largest sum of resident memory over the processes alive at one
    moment (pages that forked processes share count in each), ``largest`` the peak of the
    largest single one, as the kernel keeps it; both are 0 if nobody looked.
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
        peak, largest = _watch(process.pid, sample) if sample else (0, 0)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
        output.seek(0)
        text = output.read()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} exited {process.returncode}: {text[-2000:]}")
    return Spent(wall, usage.ru_utime + usage.ru_stime, peak, largest, text)


def _watch(pid: int, pause: float) -> tuple[int, int]:
    """Return the greatest sum of resident memory until the process ends, and the largest part.

    ``ru_maxrss`` would not do for the part: a process inherits it from the one that started
    it, which is us.
    """
    peak = largest = 0
    deadline = time.monotonic() + _PATIENCE
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        sizes = _resident(pid)
        peak = max(peak, sum(now for now, _ in sizes))
        largest = max(largest, *(most for _, most in sizes), 0)
        if time.monotonic() > deadline:
            os.kill(pid, 9)
        time.sleep(pause)
    return peak, largest


def _resident(pid: int) -> list[tuple[int, int]]:
    """Return the memory, now and at most, of a process and all below it that are still there."""
    try:
        fields = dict(_STATUS.findall(Path(f"/proc/{pid}/status").read_text()))
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [child for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []
    sizes = [(int(fields.get("VmRSS", 0)) * 1024, int(fields.get("VmHWM", 0)) * 1024)]
    for child in children:
        sizes += _resident(int(child))
    return sizes
