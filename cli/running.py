"""``ledger run``: a ledger in a directory, a witnessed process, projected files."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from cli import keys, projecting
from cli.exits import FAILED_GATE, OK
from cli.output import Output, say
from cli.render import escape_lines, fields
from ledger.errors import MisuseError
from ledger.keyfile import Key
from ledger.ledger import Ledger
from ledger.paths import NAMES
from producers.runs import RunOutcome, RunSpec, claim_outdir
from producers.runs import run as run_witnessed

_SEVERITY = {"skip": 0, "pass": 0, "warn": 1, "fail": 2}
_SUMMARY = "results_summary.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to run, and where. *stdout* is the descriptor for the runner's own output."""

    kind: str
    arguments: tuple[str, ...]
    outdir: Path
    force: bool = False
    name: str | None = None
    timeout: float | None = None
    grace: float = 10.0
    stdout: int = 1


class Done(NamedTuple):
    """How a run ended, and what its summary says."""

    outcome: RunOutcome
    ledger: str
    path: Path
    size: int
    summary: dict[str, Any]


def run(wanted: Wanted, key_file: Path | None) -> Done:
    """Run to the end, and return how it ended.

    Raises:
        MisuseError: The directory holds another run, or there is nothing to run.
        LedgerError: It could not be recorded.
    """
    if wanted.kind == "gpt":
        require_trainer()
    key, made = keys.load_or_make(key_file, name="owner")
    if made:
        say(f"made a new key: {keys.default_path()}")
    outdir = claim_outdir(wanted.outdir, force=wanted.force)
    spec = RunSpec(
        kind=wanted.kind,
        argv=wanted.arguments,
        outdir=outdir,
        grace=wanted.grace,
        stdout=wanted.stdout,
    )
    with _opened(outdir, wanted.name or outdir.name, key) as book, _limited(wanted.timeout):
        outcome = run_witnessed(spec, book, finalize=projecting.capsule_files)
        return Done(outcome, book.id, book.path, book.refresh().size, _summary(outdir))


def asks_for_help(wanted: Wanted) -> bool:
    """Tell whether the runner's own options are all that is wanted: nothing is recorded then."""
    return wanted.kind == "gpt" and not {"-h", "--help"}.isdisjoint(wanted.arguments)


def runner_help() -> Output:
    """Return what our GPT takes behind ``--``."""
    from producers.gates.gpt import usage

    return Output("run", {"usage": usage()}, usage())


def require_trainer() -> None:
    """Refuse early what the runner would refuse late.

    Raises:
        MisuseError: torch or transformers is not installed.
    """
    missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if missing:
        raise MisuseError(
            f"training needs {' and '.join(missing)}: pip install 'evidence-ledger[train]'"
        )


def answer(done: Done, *, fail_on: str | None) -> Output:
    """Say how a run ended; a gate decision counts only if *fail_on* says so."""
    outcome, decision = done.outcome, done.summary.get("final_decision")
    code = outcome.wrapper_exit
    if code == OK and fail_on and _SEVERITY.get(str(decision), 0) >= _SEVERITY[fail_on]:
        code = FAILED_GATE
    data: dict[str, Any] = {
        "run_id": outcome.run_id,
        "outdir": str(outcome.outdir),
        "ledger": done.ledger,
        "size": done.size,
        "status": outcome.status,
        "runner_exit_code": outcome.exit_code,
        "runner_signal": outcome.signal,
        "wall_s": outcome.wall_s,
        "final_decision": decision,
        "first_fail_iter": done.summary.get("first_fail_iter"),
        "artifacts": list(outcome.artifacts),
        "notes": list(outcome.notes),
    }
    return Output("run", data, _text(done), code)


def _text(done: Done) -> str:
    outcome, summary = done.outcome, done.summary
    gate = str(summary.get("final_decision", "not summarised"))
    if summary.get("first_fail_iter") is not None:
        gate += f", first fail at iteration {summary['first_fail_iter']}"
    how = outcome.signal or f"exit code {outcome.exit_code}"
    shown = {
        "run": f"{outcome.run_id}  {outcome.status} ({how}, {outcome.wall_s:.1f} s)",
        "gate": gate,
        "directory": str(outcome.outdir),
        "ledger": f"{done.ledger}  ({done.size} entries)",
    }
    notes = "".join(f"\nnote: {note}" for note in outcome.notes)
    advice = f"\nverify: ledger verify {outcome.outdir} --ledger-id {done.ledger}"
    return fields(shown) + escape_lines(notes + advice)


@contextmanager
def _opened(outdir: Path, name: str, key: Key) -> Iterator[Ledger]:
    """Open the ledger of a directory, or make one that *key* owns."""
    there = any((outdir / each).exists() for each in NAMES)
    book = Ledger.open(outdir, key=key) if there else Ledger.create(outdir, name=name, key=key)
    with book:
        yield book


@contextmanager
def _limited(seconds: float | None) -> Iterator[None]:
    """Ask ourselves to stop after *seconds*: the wrapper passes it on, and records it."""
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _summary(outdir: Path) -> dict[str, Any]:
    """Return what ``results_summary.json`` says; nothing, if it could not be made."""
    try:
        found = json.loads((outdir / _SUMMARY).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
