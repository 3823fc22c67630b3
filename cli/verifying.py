"""The verifier behind ``ledger verify``: options become a policy, a verdict becomes output."""

import re
import sqlite3
from pathlib import Path
from typing import NamedTuple

from cli.output import Output, print_json, print_text
from cli.progress import Progress
from ledger.errors import MisuseError, StoreError
from verifier.explain import CODES, explain
from verifier.policy import Policy
from verifier.render import last_line
from verifier.run import NoLedgerError, verify_path
from verifier.verdict import Verdict

_HEX64 = re.compile(r"[0-9a-f]{64}")
_LARGEST_NOTE = 1 << 20


class Anchors(NamedTuple):
    """What the caller trusts, got by another way than the ledger."""

    ledger_id: str | None = None
    checkpoints: tuple[Path, ...] = ()


def policy(anchors: Anchors, *, strict: bool, jobs: int = 0) -> Policy:
    """Return what the verifier is asked for.

    Raises:
        MisuseError: The id is none, or a checkpoint cannot be read.
    """
    if anchors.ledger_id is not None and not _HEX64.fullmatch(anchors.ledger_id):
        raise MisuseError("--ledger-id: expected 64 lowercase hex digits")
    notes = tuple(_read_note(path) for path in anchors.checkpoints)
    return Policy(strict=strict, ledger_id=anchors.ledger_id, checkpoints=notes, jobs=jobs)


def verify(path: Path | None, wanted: Policy, *, quiet: bool = False) -> Verdict:
    """Verify, with progress on a terminal.

    Raises:
        MisuseError: There is no ledger at *path*.
        StoreError: Its database cannot be read.
        OSError: It cannot be read.
    """
    if path is None:
        raise MisuseError("a PATH is needed: a .jsonl, .sqlite or .db file, or a run directory")
    try:
        with Progress("verifying", quiet=quiet) as progress:
            return verify_path(path, wanted, progress)
    except NoLedgerError as error:
        raise MisuseError(str(error)) from error
    except sqlite3.Error as error:
        raise StoreError(f"{path} could not be read: {error}") from error


def answer(verdict: Verdict, *, as_json: bool, quiet: bool) -> int:
    """Print a verdict, whose text is safe on a terminal, and return its exit code."""
    if as_json:
        print_json(verdict.to_json())
    else:
        print_text(last_line(verdict) if quiet else verdict.to_text())
    return verdict.exit_code


def explain_code(code: str) -> Output:
    """Say what a finding code means.

    Raises:
        MisuseError: There is no such code.
    """
    if code not in CODES:
        raise MisuseError(f"--explain: no such code {code[:80]!r}; there are {', '.join(CODES)}")
    found = explain(code)
    data = {"code": code, "meaning": found.meaning, "action": found.action}
    text = f"{code}\n  meaning:    {found.meaning}\n  what to do: {found.action}"
    return Output("explanation", data, text)


def _read_note(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            note = file.read(_LARGEST_NOTE + 1)
    except OSError as error:
        raise MisuseError(f"--checkpoint {path}: {error.strerror}") from error
    if len(note) > _LARGEST_NOTE:
        raise MisuseError(f"--checkpoint {path}: too large to be a checkpoint")
    return note
