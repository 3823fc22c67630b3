"""Capsules from disk: validated as files, and by the ledger beside them if there is one."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cli import verifying
from cli.exits import REFUTED
from cli.output import Output, say
from cli.render import escape, escape_lines
from ledger.ledger import Ledger
from ledger.paths import NAMES
from verifier.contract import FULL, Options, Validation, validate_path
from verifier.render import last_line

_OPENED = "run.opened"


@dataclass(frozen=True, slots=True)
class Witness:
    """What the verifier says of the ledger in a directory, and where that was recorded."""

    outcome: str
    line: str
    outdirs: frozenset[str]

    @property
    def refuted(self) -> bool:
        """Whether the ledger does not hold."""
        return self.outcome == "REFUTED"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A capsule, validated; *witness* is there if a ledger lies beside it."""

    path: Path
    validation: Validation
    witness: Witness | None

    @property
    def fault(self) -> str | None:
        """Return why it must not be relied on, if so: ``INVALID: …``."""
        if not self.validation.ok:
            return self.validation.line
        if self.witness is not None and self.witness.refuted:
            return f"INVALID: ERROR:LEDGER_REFUTED {self.witness.line}"
        return None

    @property
    def errors(self) -> list[str]:
        """Return what is said besides, where it is not valid."""
        return [error for error in self.validation.errors if error != self.validation.message]


def load(path: Path, options: Options) -> Loaded:
    """Validate the capsule at *path*, with the word of the ledger in it.

    Raises:
        MisuseError: There are several ledgers.
        StoreError: A ledger's database cannot be read.
    """
    witness = witness_of(path)
    attested = frozenset[str]() if witness is None or witness.refuted else witness.outdirs
    validation = validate_path(path, replace(options, attested=attested))
    return Loaded(path, validation, witness)


def load_full(path: Path) -> Loaded:
    """Validate a capsule as comparisons need it: everything strict, partial ones allowed."""
    return load(path, FULL)


def witness_of(path: Path) -> Witness | None:
    """Verify the ledger in a directory, if there is one."""
    if not has_ledger(path):
        return None
    verdict = verifying.verify(
        path, verifying.policy(verifying.Anchors(), strict=False), quiet=True
    )
    refuted = verdict.outcome == "REFUTED"
    return Witness(verdict.outcome, last_line(verdict), frozenset() if refuted else _outdirs(path))


def has_ledger(path: Path) -> bool:
    """Tell whether a directory holds a ledger."""
    return any((path / name).exists() for name in NAMES)


def judge(loaded: Loaded, *, name: str) -> Output | int:
    """Answer ``validate``: the contract's line, then ours."""
    data = as_data(loaded)
    code = 0 if loaded.fault is None else REFUTED
    answer = Output(name, data, text_of(loaded), code)
    if loaded.fault is not None:
        return answer._replace(text="")
    return answer


def text_of(loaded: Loaded) -> str:
    """Return what is printed of a valid capsule."""
    lines = [loaded.validation.line]
    if loaded.witness is not None:
        lines.append(f"ledger: {escape(loaded.witness.line)}")
    return "\n".join(lines)


def as_data(loaded: Loaded) -> dict[str, Any]:
    """Return the answer for programs."""
    found, witness = loaded.validation, loaded.witness
    fault = loaded.fault
    return {
        "valid": fault is None,
        "message": found.message if fault is None else fault.removeprefix("INVALID: "),
        "window_signature_hash": found.window_hash,
        "partial": found.partial,
        "warnings": [*found.warnings],
        "errors": [*found.errors],
        "ledger": None if witness is None else {"verdict": witness.outcome, "line": witness.line},
    }


def talk(loaded: Loaded) -> None:
    """Say on stderr why a capsule is not valid, or what it is warned of."""
    lines = loaded.validation.warnings
    if loaded.fault is not None:
        lines = (loaded.fault, *loaded.errors)
    for line in lines:
        say(escape(line))


def say_lines(text: str) -> None:
    """Say a text of several lines on stderr."""
    if text:
        say(escape_lines(text))


def first_fault(loaded: list[Loaded]) -> bool:
    """Say what is wrong with the first capsule that is not valid, and whether there is one."""
    for each in loaded:
        if each.fault is not None:
            talk(each)
            return True
    return False


def _outdirs(path: Path) -> frozenset[str]:
    with Ledger.open(path) as book:
        said = (entry.data.get("outdir") for entry in book.entries() if entry.type == _OPENED)
        return frozenset(outdir for outdir in said if isinstance(outdir, str))
