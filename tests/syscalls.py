"""Fail, interrupt or kill a writer at each single system call of one append.

The writer is a forked child that waits; ``strace`` attaches to it and injects one
fault at the N-th call of one kind. Then the child appends, and after an error tries
again with the same id. What it reports goes through ``writev``, which is not traced.
"""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from crashing import recoveries_in, torn_end
from forge import (
    OWNER,
    RUNNER,
    Forge,
    append_foreign,
    lines_of,
    new_book,
    recoveries,
    verdict,
    walk,
)

from ledger import Event, Ledger, LedgerError

CALLS = (
    "openat", "write", "pwrite64", "fsync", "fdatasync", "ftruncate", "rename", "renameat",
    "renameat2", "link", "linkat", "unlink", "unlinkat", "close", "fcntl", "flock",
)  # fmt: skip
FAULTS = ("EIO", "ENOSPC", "EINTR", "KILL")
SCENARIOS = ("append", "recovery")
MINE = "the-one-append"
_PR_SET_PTRACER = 0x59616D61
_ANYONE = -1
_CALL = re.compile(r"^(?:\d+ +)?(\w+)\(")


@dataclass(frozen=True)
class Fault:
    """One fault at one system call: ``fsync`` number 2 fails with ``EIO``."""

    call: str
    number: int
    what: str

    @property
    def rule(self) -> str:
        how = "signal=KILL" if self.what == "KILL" else f"error={self.what}"
        return f"inject={self.call}:{how}:when={self.number}"


@dataclass(frozen=True)
class Outcome:
    """What came of an append under a fault."""

    said: tuple[str, ...]  # what each try reported: "ok" or the name of the error
    torn: bool
    present: bool


def why_not() -> str | None:
    """Why system calls cannot be traced here, or None if they can."""
    if not shutil.which("strace"):
        return "strace is not installed"
    child = os.fork()
    if child == 0:
        _allow_tracing()
        time.sleep(10)
        os._exit(0)
    try:
        with _traced(child, Path(os.devnull), []):
            return None
    except PermissionError:
        return "strace cannot attach to a process here"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def prepare(path: Path, scenario: str) -> None:
    """Make the ledger that the append is tried on; for a recovery, with a torn end."""
    with new_book(path, (RUNNER, "runner")) as book:
        book.append(Event("x.before", "", {"n": 1}))
    if scenario == "recovery":
        forge = Forge.behind(lines_of(path))
        append_foreign(path, forge.add(RUNNER, "x.torn", signed=False))
        if path.suffix == ".jsonl":
            append_foreign(path, forge.add(RUNNER, "x.torn")[:100])


def calls_of(path: Path, scenario: str) -> Counter[str]:
    """Count the calls that an undisturbed append makes, by name."""
    prepare(path, scenario)
    log = path.with_name("strace.log")
    assert _append(path, log, []) == ("ok",)
    names = (_CALL.match(line) for line in log.read_text().splitlines())
    return Counter(match[1] for match in names if match and match[1] in CALLS)


def faults(counts: Counter[str]) -> Iterator[Fault]:
    """Every fault at every occurrence of every call."""
    for call, count in counts.items():
        for number in range(1, count + 1):
            for what in FAULTS:
                yield Fault(call, number, what)


def suffer(path: Path, scenario: str, fault: Fault) -> Outcome:
    """Append under *fault*, then check what no fault may change."""
    prepare(path, scenario)
    already = len(recoveries_in(path))
    said = _append(path, path.with_name("strace.log"), ["-e", fault.rule])
    torn, fragment = torn_end(path)
    with Ledger.open(path, key=OWNER.key) as book:
        book.append(Event("x.after", "", {}))
    entries = walk(path)
    present = MINE in [entry["id"] for entry in entries]
    recorded = recoveries(path)[already:]
    assert verdict(path).outcome == "VERIFIED"
    assert [entry["type"] for entry in entries].count("x.before") == 1
    if torn or fragment or scenario == "recovery":
        assert recorded, "a torn end that nothing records"
    assert not [name for name in said if name.startswith("RAW")], f"not our error: {said}"
    if "ok" in said:
        assert present, "an acknowledged entry is lost"
    if said and said[-1] != "ok":
        assert not present, f"it said {said}, yet the entry is there"
    assert not list(path.parent.glob(f"{path.name}.torn-pending")), "a recovery left unfinished"
    return Outcome(said, bool(torn or fragment), present)


def _append(path: Path, log: Path, rules: list[str]) -> tuple[str, ...]:
    """Let a traced child open the ledger and append; return what it reported."""
    go, start = os.pipe()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _allow_tracing()
            os.read(go, 1)
            _work(path, writer)
        finally:
            os._exit(0)
    os.close(writer)
    try:
        with _traced(child, log, rules):
            os.write(start, b".")
            with os.fdopen(reader) as said:
                return tuple(said.read().split())
    finally:
        os.close(go)
        os.close(start)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _work(path: Path, writer: int) -> None:
    """Try twice: whoever was told of an error asks again."""
    book = None
    for _ in range(2):
        try:
            book = book or Ledger.open(path, key=RUNNER.key, timeout=5)
            book.append(Event("x.mine", "run/1", {"n": 1}, MINE))
        except LedgerError as error:
            os.writev(writer, [f"{type(error).__name__}\n".encode()])
        except BaseException as error:  # noqa: BLE001 - the report is what is tested
            os.writev(writer, [f"RAW-{type(error).__name__}\n".encode()])
        else:
            os.writev(writer, [b"ok\n"])
            return


def _allow_tracing() -> None:
    """Let strace attach where only a parent may."""
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(_ANYONE), 0, 0, 0)


class _traced:  # noqa: N801 - reads as a verb
    """strace, attached to a process for as long as the block lasts."""

    def __init__(self, child: int, log: Path, rules: list[str]) -> None:
        trace = ["-e", f"trace={','.join(CALLS)}"]
        self._child = child
        self._command = ["strace", "-f", "-p", str(child), "-o", str(log), *trace, *rules]

    def __enter__(self) -> None:
        self._strace = subprocess.Popen(self._command, stderr=subprocess.PIPE)
        status = Path(f"/proc/{self._child}/status")
        deadline = time.monotonic() + 10
        while "TracerPid:\t0" in status.read_text():
            if self._strace.poll() is not None or time.monotonic() > deadline:
                self._strace.kill()
                self._strace.communicate()
                raise PermissionError("strace did not attach")
            time.sleep(0.001)

    def __exit__(self, *_: object) -> None:
        self._strace.terminate()
        self._strace.communicate()
