"""``ledger run``: a ledger in a directory, a witnessed process, projected files."""

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
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
from producers.runs import (
    Finalize,
    RunOutcome,
    RunSpec,
    claim_outdir,
    close_abandoned,
    known_secrets,
    mask_all,
    missing_for,
    new_run_id,
    preset_among,
)
from producers.runs import run as run_witnessed
from projections import run_directory
from projections.governance import GovernanceStream

_SEVERITY = {"skip": 0, "pass": 0, "warn": 1, "fail": 2}
_SUMMARY = "results_summary.json"
_OWN = ("gpt", "hf")
_CANONICAL = "tuned_v0"
_FROM_THE_START = ("run_config", "window_signature", "summary")
"""The projections whose files are there while the run goes on, in case that it never ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to run, and where. *stdout* is the descriptor for the runner's own output.

    *resume* is a checkpoint: the run is recorded in the ledger that *outdir* holds.
    """

    kind: str
    arguments: tuple[str, ...]
    outdir: Path | None = None
    force: bool = False
    name: str | None = None
    gate_preset: str | None = None
    strict_determinism: bool = False
    stop_on_fail: bool = False
    resume: Path | None = None
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
        MisuseError: The directory holds another run, there is nothing to run, or what
            was asked for cannot be done so.
        LedgerError: It could not be recorded.
    """
    spec = _spec(wanted)
    spec.check()
    if wanted.kind == "gpt" and spec.runner.own:
        require_trainer()
    if wanted.resume is not None:
        _require_ledger(spec.outdir, wanted)
    key, made = keys.load_or_make(key_file, name="owner")
    if made:
        say(f"made a new key: {keys.default_path()}")
    home = spec.outdir if wanted.resume else claim_outdir(spec.outdir, force=wanted.force)
    with _opened(home, wanted.name or home.name, key) as book, _limited(wanted.timeout):
        if wanted.resume is not None:
            _check_checkpoint(book, wanted.resume)
            _close_abandoned(book)
            home = claim_outdir(home / run_directory(str(spec.run_id)))
        outcome = _witnessed(replace(spec, outdir=home), book)
        return Done(outcome, book.id, book.path, book.refresh().size, _summary(home))


def _spec(wanted: Wanted) -> RunSpec:
    """Return what the wrapper is to run; its directory is not claimed yet."""
    arguments = wanted.arguments
    if wanted.resume is not None:
        if wanted.kind != "hf":
            raise MisuseError(f"--resume is for ledger run hf; a {wanted.kind} cannot go on")
        arguments = ("--resume", str(wanted.resume.absolute()), *arguments)
    spec = RunSpec(
        kind=wanted.kind,
        argv=arguments,
        outdir=wanted.outdir or _default_outdir(wanted.kind),
        run_id=new_run_id(),
        grace=wanted.grace,
        strict_determinism=wanted.strict_determinism,
        stop_on_fail=wanted.stop_on_fail,
        stdout=wanted.stdout,
    )
    own = spec.runner.own
    blocked = missing_for("hf") if own and wanted.kind == "hf" else None
    return replace(spec, gate_preset=_preset(wanted, own=own), blocked=blocked)


def _preset(wanted: Wanted, *, own: bool) -> str | None:
    """Return the name of the preset that is asked for, here or among the runner's own options.

    Raises:
        MisuseError: There is no such preset, or there are two.
    """
    among = preset_among(wanted.arguments) if own else None
    if among is not None and wanted.gate_preset not in {None, among}:
        raise MisuseError(
            f"two gate presets: --gate-preset {wanted.gate_preset}, and {among} behind --"
        )
    name = wanted.gate_preset or among or (_CANONICAL if wanted.kind in _OWN else None)
    if name is not None:
        from producers.gates.presets import preset

        preset(name)
    return name


def _default_outdir(kind: str) -> Path:
    """Return a directory that no other run has: the seed's ``out/…``, by kind, time and process."""
    given = os.environ.get("LEDGER_OUT_BASE") or os.environ.get("VERISCOPE_OUT_BASE")
    base = Path(given or "out")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    plain = re.sub(r"[^a-z0-9_-]+", "-", kind.lower())[:40].strip("-")
    return base / f"ledger_{plain or 'run'}_{stamp}_{os.getpid()}"


def _require_ledger(outdir: Path, wanted: Wanted) -> None:
    if not any((outdir / name).exists() for name in NAMES):
        raise MisuseError(
            f"{outdir} holds no ledger: --resume goes on in the ledger of the run that saved"
            f" {wanted.resume}; give its directory as --outdir"
        )


def _check_checkpoint(book: Ledger, checkpoint: Path) -> None:
    from producers.gates.resume import find_start

    find_start(book, checkpoint)


def _close_abandoned(book: Ledger) -> None:
    """Close what a killed wrapper left open: the ledger would be incomplete for ever."""
    home = book.path.parent

    def place(run_id: str) -> Path:
        folder = home / run_directory(run_id)
        return folder if folder.is_dir() else home

    for run_id in close_abandoned(book, place, _finalizer):
        say(f"run {run_id} was left open by a wrapper that was killed: it is closed as failed")


def _witnessed(spec: RunSpec, book: Ledger) -> RunOutcome:
    """Run under the witness, with our projections."""
    run_id = str(spec.run_id)

    def begin(book: Ledger, outdir: Path) -> Mapping[str, bytes]:
        del outdir
        return _of_run(run_id, projecting.files_of(book, [*_FROM_THE_START]))

    follow = GovernanceStream(run_id=run_id).feed
    return run_witnessed(spec, book, finalize=_finalizer(run_id), begin=begin, follow=follow)


def _finalizer(run_id: str) -> Finalize:
    return lambda book, outdir: _of_run(run_id, projecting.capsule_files(book, outdir))


def _of_run(run_id: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files of one run by their name in its own directory.

    Where a ledger tells of several runs, each file stands below its run's directory.
    """
    folder = f"{run_directory(run_id)}/"
    own = {name[len(folder) :]: files[name] for name in files if name.startswith(folder)}
    return own or dict(files)


def asks_for_help(wanted: Wanted) -> bool:
    """Tell whether the runner's own options are all that is wanted: nothing is recorded then."""
    if wanted.kind not in _OWN or {"-h", "--help"}.isdisjoint(wanted.arguments):
        return False
    return RunSpec(kind=wanted.kind, argv=(), outdir=Path()).runner.own


def runner_help(kind: str) -> Output:
    """Return what our runner takes behind ``--``."""
    from importlib import import_module

    text: str = import_module(f"producers.gates.{kind}").usage()
    return Output("run", {"usage": text}, text)


def require_trainer() -> None:
    """Refuse early what the runner would refuse late.

    Raises:
        MisuseError: torch or transformers is not installed.
    """
    missing = missing_for("gpt")
    if missing is not None:
        raise MisuseError(f"training cannot begin: {missing}")


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
    advice = f"\nverify: ledger verify {done.path.parent} --ledger-id {done.ledger}"
    return fields(shown) + escape_lines(notes + advice)


@contextmanager
def _opened(outdir: Path, name: str, key: Key) -> Iterator[Ledger]:
    """Open the ledger of a directory, or make one that *key* owns."""
    there = any((outdir / each).exists() for each in NAMES)
    shown = mask_all([name], known_secrets(sys.argv, os.environ))[0]  # entry 0 is for ever
    book = Ledger.open(outdir, key=key) if there else Ledger.create(outdir, name=shown, key=key)
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
