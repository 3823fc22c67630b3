"""What the numbers were measured on, and whether its disk is one."""

import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path

_RAM = {"tmpfs", "ramfs", "devtmpfs"}
_PACKAGES = ("cryptography", "msgspec", "pydantic")


def describe(folder: Path) -> str:
    """Return one sentence about the machine."""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"{cores()} cores ({_model()}), {_memory()} of memory, {file_system(folder)} on disk;"
        f" {platform.system()} {platform.release()}, Python {platform.python_version()},"
        f" SQLite {sqlite3.sqlite_version}, {packages}"
    )


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load() -> float:
    """Return how many processes wanted a core over the last minute."""
    return os.getloadavg()[0]


def file_system(folder: Path) -> str:
    """Return the kind of file system that holds *folder*, as far as the system tells."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    device = os.stat(folder).st_dev  # noqa: PTH116 - beside os.major
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for mount in mounts:
        fields, _, kind = mount.partition(" - ")
        if fields.split()[2] == wanted:
            return kind.split()[0]
    return "unknown"


def is_ram(folder: Path) -> bool:
    """Tell whether *folder* lies in memory, where a flush costs nothing and proves nothing."""
    return file_system(folder) in _RAM


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> str:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{pages / 2**30:.0f} GiB"
