"""What a verifier found, and a collector that a hostile ledger cannot fill the memory with.

A finding has a code of ``format.md`` section 9 and stands at a ``seq`` and a line. The
collector keeps the first :data:`CAP` of a code and counts the rest.

>>> found = Findings()
>>> found.add("entry.hash", 4, 5, "H is not the hash of the entry")
>>> [(f.code, f.seq) for f in found.items()]
[('entry.hash', 4)]
"""

from dataclasses import dataclass
from typing import Literal

__all__ = ["CAP", "Fault", "Finding", "Findings", "Severity"]

CAP = 1_000  # format.md section 9: after that many of a code we only count

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, and where it stands."""

    code: str
    severity: Severity
    seq: int | None
    line: int | None  # 1-based; the row for a database; None where no line is at fault
    message: str


@dataclass(frozen=True, slots=True)
class Fault:
    """A code and a message: a finding that does not know where it stands."""

    code: str
    message: str


class Findings:
    """Collects findings; bounded, and without doubles."""

    def __init__(self) -> None:
        """Start with none."""
        self._kept: dict[str, dict[tuple[int | None, int | None], Finding]] = {}
        self._counts: dict[str, int] = {}
        self._errors = 0

    @property
    def errors(self) -> int:
        """How many errors were found, the ones only counted included."""
        return self._errors

    def add(
        self,
        code: str,
        seq: int | None,
        line: int | None,
        message: str,
        severity: Severity = "error",
    ) -> None:
        """Add one finding; the same code at the same place is one finding."""
        kept = self._kept.setdefault(code, {})
        if (line, seq) in kept:
            return
        if len(kept) < CAP:
            kept[line, seq] = Finding(code, severity, seq, line, message)
        self.count(code, 1, severity=severity)

    def count(self, code: str, number: int, *, severity: Severity = "error") -> None:
        """Count *number* findings that are not kept, for faults that come by the million."""
        self._counts[code] = self._counts.get(code, 0) + number
        if severity == "error":
            self._errors += number

    def room(self, code: str) -> int:
        """Return how many findings of *code* would still be kept."""
        return CAP - len(self._kept.get(code, ()))

    def items(self) -> tuple[Finding, ...]:
        """Return what was kept, by line, seq and code; what stands at no line comes last."""
        found = [finding for kept in self._kept.values() for finding in kept.values()]
        return tuple(sorted(found, key=_place))

    def counts(self) -> dict[str, int]:
        """Return how many of each code were found."""
        return dict(sorted(self._counts.items()))

    @property
    def capped(self) -> tuple[str, ...]:
        """The codes of which some were counted but not kept."""
        return tuple(
            code for code, n in sorted(self._counts.items()) if n > len(self._kept.get(code, ()))
        )

    def merge(self, other: "Findings") -> None:
        """Add all that *other* holds."""
        kept: dict[str, list[Finding]] = {}
        for finding in other.items():
            kept.setdefault(finding.code, []).append(finding)
        for code, number in other.counts().items():
            found = kept.get(code, [])
            for each in found:
                self.add(code, each.seq, each.line, each.message, each.severity)
            if number > len(found):
                severity = found[0].severity if found else "error"
                self.count(code, number - len(found), severity=severity)


def _place(finding: Finding) -> tuple[float, float, str]:
    line = float("inf") if finding.line is None else finding.line
    seq = float("inf") if finding.seq is None else finding.seq
    return (line, seq, finding.code)
