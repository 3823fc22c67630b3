"""Verify whatever a path names: a ledger file, or the directory of a run.

This is the one function that a command line needs. It opens no socket, writes
nothing, and imports nothing of the code that writes ledgers.
"""

import stat
from collections.abc import Callable
from pathlib import Path

from verifier.artifacts import check_artifacts
from verifier.blobs import check_blobs
from verifier.core import verify
from verifier.findings import Findings
from verifier.policy import Policy
from verifier.scope import FileChecks
from verifier.story import Keep, Story
from verifier.text import shown
from verifier.verdict import Verdict, judge

__all__ = ["NoLedgerError", "ledger_of", "verify_path"]

_SUFFIXES = (".jsonl", ".sqlite", ".db")
_IN_A_DIRECTORY = ("ledger.sqlite", "ledger.db", "ledger.jsonl")


class NoLedgerError(Exception):
    """The path does not name a ledger; that is the caller's mistake, not evidence of anything."""


def verify_path(
    path: Path, policy: Policy, progress: Callable[[int, int], None] | None = None
) -> Verdict:
    """Verify the ledger or the run directory at *path* under *policy*.

    *progress* is called now and then with the units done and the units in all.

    Raises:
        NoLedgerError: There is no ledger at *path*, or more than one.
        OSError: The ledger cannot be opened or read.
    """
    ledger = ledger_of(path)
    whole = path.is_dir()
    # A blob store that was deleted as a whole must not go unnoticed where one has to be.
    with_blobs = whole or policy.strict or (ledger.parent / "blobs").is_dir()
    findings = Findings()
    keep = Keep(artifacts=whole, blobs=with_blobs)
    story = Story(findings, strict=policy.strict, keep=keep)
    reading = verify(ledger, policy, findings=findings, story=story, progress=progress)
    files = FileChecks(
        artifacts=(
            check_artifacts(ledger, story, findings, ledger_id=reading.ledger_id) if whole else None
        ),
        blobs=check_blobs(ledger.parent, story, findings) if with_blobs else None,
    )
    return judge(str(path), policy, reading=reading, findings=findings, story=story, files=files)


def ledger_of(path: Path) -> Path:
    """Return the ledger file that *path* names: itself, or the one in that directory.

    Raises:
        NoLedgerError: There is none, or more than one, or it is no regular file.
        OSError: The path cannot be looked at.
    """
    if not path.is_dir():
        return _regular(path)
    found = [path / name for name in _IN_A_DIRECTORY if (path / name).exists()]
    if len(found) > 1:
        names = ", ".join(ledger.name for ledger in found)
        raise NoLedgerError(f"{shown(str(path))}: there are several ledgers ({names}); name one")
    if not found:
        names = ", ".join(_IN_A_DIRECTORY)
        raise NoLedgerError(f"{shown(str(path))}: a directory without a ledger ({names})")
    return _regular(found[0])


def _regular(path: Path) -> Path:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise NoLedgerError(f"{shown(str(path))}: no such file or directory") from error
    if not stat.S_ISREG(mode):  # a FIFO would wait for ever
        raise NoLedgerError(f"{shown(str(path))}: not a regular file")
    if path.suffix not in _SUFFIXES:
        raise NoLedgerError(f"{shown(str(path))}: a ledger ends in {', '.join(_SUFFIXES)}")
    return path
