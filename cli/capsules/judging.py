"""``ledger override``: a person's judgement over a run, as an event that only reviewers may sign.

The gate's records stay as they are. The contract's files are projected anew from the
events, so that who judged, when and with which key can be verified.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli import exits, keys, projecting
from cli.capsules.loading import has_ledger
from cli.errors import Problem, ProblemError
from cli.output import Output
from cli.render import fields
from ledger.entry import Event
from ledger.errors import KeyRefusedError, MisuseError, StoreError
from ledger.ledger import Ledger
from ledger.stores.files import write_durably
from ledger.writer import Receipt
from projections.runs import run_directory

_JUDGED = "governance.judged"
_CLEARED = "governance.cleared"
_FILES = ("manual_judgement.json", "manual_judgement.jsonl")
_PROJECTIONS = ("judgement", "governance")
_LONGEST = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be judged, and how; a *status* of ``None`` takes the judgement back."""

    status: str | None
    reason: str | None
    reviewer: str | None
    dated: str | None
    run: str | None
    force: bool


@dataclass(frozen=True, slots=True)
class _Run:
    """A run as far as its judgement needs it."""

    run_id: str
    planned: bool
    closed: bool
    standing: bool


def override(path: Path, wanted: Wanted, key_file: Path | None, *, timeout: float) -> Output:
    """Record a judgement, or that one is taken back, and make the files of it anew.

    Raises:
        ProblemError: The capsule is partial, or judged already, or holds no ledger (exit
            code 2); or the key has no such role (4).
        MisuseError: The options contradict each other.
        LedgerError: It could not be recorded.
    """
    event_type, data = _payload(wanted)
    if not has_ledger(path):
        raise _refused(f"Cannot override: {path} holds no ledger; a judgement is a signed event")
    with Ledger.open(path, key=keys.load(key_file), timeout=timeout) as book:
        runs = _runs(book)
        run = _run_of(runs, wanted.run)
        _check(path, run, wanted, single=len(runs) == 1)
        receipt = _append(book, path, Event(event_type, f"run/{run.run_id}", data))
        with book.locked():  # of two at once, the later one writes what both recorded
            changed = _rewrite(book, path)
    return _answer(wanted, run, receipt, changed=changed)


def _payload(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """Return the event's type and payload.

    The time of the event is the ledger's. A date that the reviewer gives is part of
    what they say, and goes into the reason.
    """
    reason = wanted.reason
    if wanted.dated is not None:
        reason = f"{reason or ''} [dated by the reviewer: {_date(wanted.dated)}]".strip()
    if reason is not None and not reason.strip():
        raise MisuseError("--reason must say something")
    if len(reason or "") > _LONGEST or len(wanted.reviewer or "") > _LONGEST:
        raise MisuseError(f"--reason and --reviewer have at most {_LONGEST} characters")
    said = {"reason": reason, "reviewer": wanted.reviewer}
    if wanted.status is None:
        return _CLEARED, said
    if wanted.reason is None:
        raise MisuseError("--status needs --reason: it is on record for ever")
    return _JUDGED, {"status": wanted.status, **said}


def _date(text: str) -> str:
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise MisuseError(f"--ts-utc {text[:80]!r}: not a time in ISO 8601") from error
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")


def _runs(book: Ledger) -> dict[str, _Run]:
    """Fold the events down to what a judgement rests on."""
    seen: dict[str, set[str]] = {}
    standing: dict[str, bool] = {}
    for entry in book.entries():
        if not entry.subject.startswith("run/"):
            continue
        run_id = entry.subject[len("run/") :]
        seen.setdefault(run_id, set()).add(entry.type)
        if entry.type in (_JUDGED, _CLEARED):
            standing[run_id] = entry.type == _JUDGED
    return {
        run_id: _Run(
            run_id,
            planned="run.planned" in types,
            closed="run.closed" in types,
            standing=standing.get(run_id, False),
        )
        for run_id, types in seen.items()
        if "run.opened" in types or "run.planned" in types
    }


def _run_of(runs: dict[str, _Run], named: str | None) -> _Run:
    if named is not None:
        if named not in runs:
            raise MisuseError(f"--run {named[:80]!r}: no such run in this ledger")
        return runs[named]
    if len(runs) != 1:
        some = ", ".join(sorted(runs)[:3])
        raise MisuseError(f"the ledger holds {len(runs)} runs ({some} …): name one with --run")
    return next(iter(runs.values()))


def _check(path: Path, run: _Run, wanted: Wanted, *, single: bool) -> None:
    results = path / ("" if single else run_directory(run.run_id)) / "results.json"
    if not (run.planned and run.closed):
        raise _refused(
            f"Cannot override: run {run.run_id} is partial: it was never planned or never closed"
        )
    if not results.is_file():
        raise _refused(f"Cannot override: {results} not found; run results must exist before")
    if wanted.status is None and not run.standing:
        raise _refused(f"Cannot clear: no judgement stands over run {run.run_id}")
    if wanted.status is not None and run.standing and not wanted.force:
        raise _refused(
            f"Cannot override: run {run.run_id} is judged already",
            "give --force to judge it anew, or take it back with --clear",
        )


def _append(book: Ledger, path: Path, event: Event) -> Receipt:
    """Append behind what was just read: of two reviewers at once, one is told to look again."""
    try:
        return book.append(event, expected_head=book.head)
    except KeyRefusedError as error:
        raise ProblemError(
            Problem(
                "refused",
                exits.UNTRUSTED,
                str(error),
                where=str(path),
                meaning="only reviewers and owners may judge a run; nothing was written",
                help="an owner grants it: ledger key authorize DIR KEY.pub --role reviewer",
            )
        ) from error


def _rewrite(book: Ledger, path: Path) -> list[str]:
    """Write the three files as the events give them now; what they no longer give goes."""
    made = projecting.files_of(book, [*_PROJECTIONS])
    folders = {Path(name).parent for name in made}
    stale = [str(folder / name) for folder in folders for name in _FILES]
    for name, content in made.items():
        if (path / name).parent.is_dir():
            write_durably(path / name, content)
    for name in {*stale} - made.keys():
        try:
            (path / name).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{path / name}: {error.strerror}") from error
    return sorted(made)


def _answer(wanted: Wanted, run: _Run, receipt: Receipt, *, changed: list[str]) -> Output:
    data = {
        "run_id": run.run_id,
        "status": wanted.status,
        "seq": receipt.seq,
        "id": receipt.id,
        "hash": receipt.hash,
        "files": changed,
    }
    head = "judgement taken back" if wanted.status is None else f"judged: {wanted.status}"
    shown = {"run": run.run_id, "entry": str(receipt.seq), "files": ", ".join(changed)}
    return Output("override", data, f"{head}\n{fields(shown)}")


def _refused(what: str, advice: str = "") -> ProblemError:
    return ProblemError(Problem("capsule", exits.REFUTED, what, help=advice))
