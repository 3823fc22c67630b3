"""``ledger report``: from the ledger where there is one, else from the capsule's files."""

from pathlib import Path

from cli import projecting
from cli.capsules import filereport, loading
from cli.exits import OK, REFUTED
from cli.output import say, write
from cli.render import escape
from verifier.contract import Options, Validation, header_of, validate_path

_FILES = {"md": "report.md", "text": "report.txt"}
_LENIENT = Options(allow_partial=True, strict_identity=True)
_MISSING = "Missing required artifacts"


def report(path: Path, *, fmt: str) -> int:
    """Print the report of one capsule, and return the exit code.

    Raises:
        LedgerError: The ledger in it cannot be read.
    """
    content = render(path, fmt=fmt)
    if content is None:
        return REFUTED
    write(content)
    return OK


def render(path: Path, *, fmt: str) -> bytes | None:
    """Return the report of a capsule or of a bare ledger; ``None`` once it was said why not.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    if path.is_file():
        return _projected(path, fmt)
    found = validate_path(path, _LENIENT)
    if loading.has_ledger(path):
        if not found.ok and not found.message.startswith(_MISSING):
            _refuse(found)
            return None
        if not found.ok:  # killed before its files were made: the ledger has the story so far
            say(escape(f"WARNING: {found.message}"))
        return _projected(path, fmt)
    if not found.ok:
        _refuse(found)
        return None
    run = header_of(found)
    make = filereport.markdown if fmt == "md" else filereport.text
    return make(run).encode("utf-8", "backslashreplace")


def _projected(path: Path, fmt: str) -> bytes:
    made = projecting.project(path, "report")
    return made[_FILES[fmt]]


def _refuse(found: Validation) -> None:
    say(escape(f"Cannot report: {found.message}"))
