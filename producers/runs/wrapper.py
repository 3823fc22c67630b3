"""Run a command as a witnessed run: the second witness of ``run.opened`` and ``run.closed``.

A process that crashes cannot record its own death. The wrapper is another
process with another key: it authorises the runner's ephemeral key, records the
start, watches, revokes the key, records the end, and takes stock of the files.
Whatever the runner does, the run is closed; only our own SIGKILL leaves it open,
and then the ledger says INCOMPLETE.

Nothing is printed here besides the runner's own output; ``RunOutcome`` tells
what is worth telling.
"""

import secrets
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from json import dumps
from os import environ
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal

from ledger import Event, Key, Ledger, LedgerError, MisuseError
from producers.runs.child import Ending, Handover, Interrupts, end_now, start, wait
from producers.runs.environment import Provenance, capture, environment_text
from producers.runs.files import FileFact, claim_outdir, take_stock, write_atomically
from producers.runs.output import Tee
from producers.runs.redact import mask_all

Status = Literal["success", "user_code_failure", "wrapper_failure"]
Finalize = Callable[[Ledger, Path], Mapping[str, bytes]]

LOG_NAME = "runner_output.log"
_EXIT = {"success": 0, "user_code_failure": 2, "wrapper_failure": 3}
_SIGNAL_BASE = 128
_BATCH = 1000
_GPT = "producers.gates.gpt"
_PROJECTIONS = {
    "first_fail_iter.txt": "summary",
    "report.md": "report",
    "report.txt": "report",
    "results.json": "results",
    "results_summary.json": "summary",
    "timeline.txt": "timeline",
    "window_signature.json": "window_signature",
}


def new_run_id() -> str:
    """Return a new run id: 32 hex digits that sort by time, as a UUIDv7 does."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """What to run, and where its capsule is.

    With kind ``gpt``, *argv* are the options of our GPT runner; with any other
    kind it is the command itself. *grace* is how long an interrupted runner may
    take to end by itself. *stdout* and *stderr* are descriptors.
    """

    kind: str
    argv: tuple[str, ...]
    outdir: Path
    run_id: str | None = None
    force: bool = False
    grace: float = 10.0
    cwd: Path | None = None
    env: Mapping[str, str] | None = None
    stdout: int = 1
    stderr: int = 2

    @property
    def command(self) -> tuple[str, ...]:
        """The command line that is started."""
        if self.kind == "gpt":
            return (sys.executable, "-m", _GPT, *self.argv)
        return self.argv


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How a run ended, as it was recorded, and the wrapper's own exit code."""

    run_id: str
    outdir: Path
    status: Status
    exit_code: int | None
    signal: str | None
    wall_s: float
    wrapper_exit: int
    artifacts: tuple[str, ...]
    notes: tuple[str, ...]


def run(spec: RunSpec, book: Ledger, *, finalize: Finalize | None = None) -> RunOutcome:
    """Run *spec* to its end, and return how it ended.

    *book* must be open with an owner's key: the runner's key is authorised with
    it. *finalize* makes the projected files from the closed ledger. SIGINT, SIGTERM
    and SIGHUP go to the runner while this runs, and the capsule is finished
    all the same.

    Raises:
        MisuseError: The directory is in use by another run, or there is no command.
        KeyRefusedError: The ledger's key may not do what a wrapper does.
        StoreError: The disk refused; a runner that was started has been killed.
    """
    if not spec.command:
        raise MisuseError("there is no command to run")
    run_id = spec.run_id or new_run_id()
    outdir = claim_outdir(spec.outdir, force=spec.force)
    cwd = spec.cwd or Path.cwd()
    env = environ if spec.env is None else spec.env
    provenance = capture(spec.command, env=env, cwd=cwd)
    log = _claim_log(outdir)
    interrupts = Interrupts()
    with interrupts.caught():
        witness = _Witness(book, run_id, spec.kind, outdir=outdir)
        key = witness.open(provenance, log)
        handover = Handover(key.seed, book.path.absolute(), run_id, outdir)
        begun = time.monotonic()
        notes: list[str] = []
        try:
            ending = _supervise(
                spec, handover, env, cwd=cwd, log=log, secrets=provenance.secrets,
                interrupts=interrupts, notes=notes,
            )
        finally:
            witness.revoke(key)
        wall_s = round(time.monotonic() - begun, 3)
        status = _status(ending)
        witness.close(status, ending, wall_s=wall_s)
        artifacts = witness.finish(finalize, notes)
    code = _EXIT[status] if interrupts.first is None else _SIGNAL_BASE + interrupts.first
    return RunOutcome(
        run_id=run_id,
        outdir=outdir,
        status=status,
        exit_code=None if ending is None else ending.exit_code,
        signal=None if ending is None else ending.signal,
        wall_s=wall_s,
        wrapper_exit=code,
        artifacts=artifacts,
        notes=tuple(notes),
    )
