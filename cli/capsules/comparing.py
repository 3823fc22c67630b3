"""``ledger report --compare``: several capsules in one table, the first as the reference."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.capsules import loading
from cli.capsules.difference import comparability_lines, print_payload, spread_warning, yes
from cli.exits import OK, REFUTED
from cli.output import print_text
from projections.escape import visible
from verifier.contract import Comparability, RunHeader, comparable, header_of

_SHORT = 12
_COLUMNS = {
    "run_id": "run_id",
    "run_status": "run_status",
    "wrapper_exit_code": "wrapper_exit_code",
    "runner_exit_code": "runner_exit_code",
    "final_decision": "final_decision",
    "effective_decision": "effective_decision",
    "decision_source": "decision_source",
    "window_signature_hash": "window_signature_hash",
    "gate_preset": "gate_preset",
    "partial": "partial",
    "gov_present": "governance_present",
    "gov_ok": "governance_ok",
    "gov_rev": "governance_rev",
    "gov_legacy_missing_hash": "governance_legacy_missing_hash",
}


@dataclass(frozen=True, slots=True)
class Group:
    """Several valid capsules, and how each compares with the first."""

    runs: tuple[RunHeader, ...]
    found: tuple[Comparability, ...]

    @property
    def against(self) -> list[tuple[int, Comparability]]:
        """Which may not be compared with the first; that itself is never among them."""
        return [(place, each) for place, each in enumerate(self.found) if place and not each.ok]

    def as_dict(self) -> dict[str, Any]:
        """Return the contract's payload."""
        pairs = zip(self.runs, self.found, strict=True)
        return {
            "reference_run_id": self.runs[0].run_id,
            "comparisons": [
                {"run_id": run.run_id, "comparability": found.as_dict()} for run, found in pairs
            ],
        }


def compare(
    paths: tuple[Path, ...],
    *,
    fmt: str,
    allow_incompatible: bool,
    allow_gate_preset_mismatch: bool,
) -> int:
    """Compare capsules with the first of them, print it, and return the exit code."""
    loaded = [loading.load_full(path) for path in paths]
    if loading.first_fault(loaded):
        return REFUTED
    runs = tuple(header_of(each.validation) for each in loaded)
    group = Group(runs, _found(runs, allow_gate_preset_mismatch=allow_gate_preset_mismatch))
    _warn(group)
    if group.against and not allow_incompatible:
        first = group.against[0][1]
        lines = [f"INCOMPARABLE: {first.reason}", *comparability_lines(first)[1:]]
        loading.say_lines("\n".join(lines))
        return REFUTED
    if fmt == "json":
        print_payload("report-compare", OK, group.as_dict())
    else:
        print_text("\n".join(_table(group, reasons=allow_incompatible)))
    return OK


def _found(
    runs: tuple[RunHeader, ...], *, allow_gate_preset_mismatch: bool
) -> tuple[Comparability, ...]:
    """Compare each with the first."""
    return tuple(
        comparable(runs[0], run, allow_gate_preset_mismatch=allow_gate_preset_mismatch)
        for run in runs
    )


def _warn(group: Group) -> None:
    for run in group.runs:
        for warning in run.overlay.warnings:
            loading.say_lines(f"run={run.run_id}:{warning}")
    for run in group.runs[1:]:
        spread = spread_warning(group.runs[0], run)
        if spread is not None:
            loading.say_lines(spread)


def _table(group: Group, *, reasons: bool) -> list[str]:
    header = [*_COLUMNS, *(["comparable", "reason"] if reasons else [])]
    rows = [header, ["---"] * len(header)]
    refused = dict(group.against)
    for place, run in enumerate(group.runs):
        reason = str(refused[place].reason) if place in refused else "-"
        row = _row(run)
        rows.append([*row, yes(place not in refused), reason] if reasons else row)
    lines = [f"| {' | '.join(row)} |" for row in rows]
    against = group.against
    reason = "OK" if not against else str(against[0][1].reason)
    lines += ["", f"Comparable group: {yes(not against)}, reason={reason}"]
    if against:
        lines += ["", "Comparable details:"]
    for place, found in against:
        lines.append(f"- run_index={place}")
        lines += [f"  {line}" for line in comparability_lines(found)[1:]]
    return lines


def _row(run: RunHeader) -> list[str]:
    fields = run.as_dict()
    return [_cell(column, fields[name]) for column, name in _COLUMNS.items()]


def _cell(column: str, value: object) -> str:
    if value is None:
        return "-"
    if column == "partial":
        return str(value).lower()
    if isinstance(value, bool):
        return yes(value)
    text = str(value)[:_SHORT] if column == "window_signature_hash" else str(value)
    return visible(text).replace("|", r"\|")
