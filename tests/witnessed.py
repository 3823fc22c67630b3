"""Starts ``ledger run`` as a real process, for tests that kill it or begin it badly."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ledger import Entry, Ledger

ROOT = Path(__file__).parents[1]
STORY = ROOT / "tests" / "producers" / "tell_story.py"
TOLD = ["run.opened", "run.planned", *["metric.observed"] * 4, "gate.checked"]
TOLD += [*["metric.observed"] * 4, "gate.checked"]
PARTIAL = {"run_config_resolved.json", "window_signature.json", "results_summary.json"}
HELD = 0
INCOMPLETE = 5


class Runs:
    """Starts ``ledger run`` in a directory of its own, and looks at what it left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outdir = folder / "run"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LEDGER_", "VERISCOPE_"))}
        home = {"HOME": str(folder), "LEDGER_KEY": str(folder / "key"), "PYTHONPATH": str(ROOT)}
        self.env = kept | home | {"LEDGER_STATE": str(folder / "state")}

    def command(self, *options: object, kind: str = "test") -> list[str]:
        outdir = [] if "--outdir" in options else ["--outdir", str(self.outdir)]
        return [sys.executable, "-m", "cli", "run", kind, *outdir, *map(str, options)]

    def start(
        self, *options: object, kind: str = "test", start_new_session: bool = False
    ) -> "subprocess.Popen[bytes]":
        command = self.command(*options, kind=kind)
        quiet = subprocess.DEVNULL
        return subprocess.Popen(
            command,
            stdin=quiet,
            stdout=subprocess.PIPE,
            stderr=quiet,
            env=self.env,
            cwd=self.folder,
            start_new_session=start_new_session,
        )

    def run(self, *options: object, kind: str = "test") -> "subprocess.CompletedProcess[str]":
        command = self.command(*options, kind=kind)
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.env,
            cwd=self.folder,
            timeout=100,
            check=False,
        )

    def entries(self, outdir: Path | None = None) -> list[Entry]:
        with Ledger.open(outdir or self.outdir) as book:
            return list(book.entries())

    def told(self) -> list[str]:
        """Return the types of the run's own events, in their order."""
        return [e.type for e in self.entries() if e.type.startswith(("run.", "metric.", "gate."))]

    def closed(self) -> dict[str, Any]:
        return next(e.data for e in self.entries() if e.type == "run.closed")

    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.outdir / "results_summary.json").read_bytes())
        return found

    def files(self) -> set[str]:
        return {path.name for path in self.outdir.iterdir()}

    def verdict(self, outdir: Path | None = None) -> int:
        command = [sys.executable, "-m", "verifier", str(outdir or self.outdir), "--json"]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, env=self.env, check=False
        )
        findings = json.loads(done.stdout)["findings"] if done.stdout else []
        assert done.returncode in {HELD, INCOMPLETE}, (done.returncode, findings, done.stderr)
        return done.returncode


def until(done: Callable[[], bool]) -> None:
    """Wait for what a process of ours will do soon."""
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def story(how: str) -> tuple[str, ...]:
    return ("--", sys.executable, str(STORY), how)


def read_until(stream: Any, text: bytes) -> None:
    seen = b""
    while text not in seen:
        chunk = os.read(stream.fileno(), 4096)
        assert chunk, seen
        seen += chunk


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    return [int(word) for word in found.split()]


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
