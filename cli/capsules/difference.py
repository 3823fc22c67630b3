"""``ledger diff``: two capsules side by side, as the contract prints them, and what follows."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.capsules import loading, trajectory
from cli.capsules.loading import Loaded
from cli.exits import OK, REFUTED
from cli.output import print_text, schema
from cli.render import escape
from verifier.contract import Comparability, RunHeader, comparable, header_of
from verifier.contract.distributed import metadata, mismatch

_SHORT = 12
_LONGEST = 400
_DIFFERS = (
    "run_id",
    "run_status",
    "schema_version",
    "wrapper_exit_code",
    "runner_exit_code",
    "final_decision",
    "effective_decision",
    "decision_source",
    "manual_status",
    "gate_preset",
    "window_signature_hash",
    "governance_present",
    "governance_ok",
    "governance_rev",
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two valid capsules, and whether they may be compared."""

    a: RunHeader
    b: RunHeader
    comparability: Comparability

    @property
    def partial(self) -> bool:
        """Whether one of them is."""
        return self.a.validation.partial or self.b.validation.partial

    @property
    def trajectories(self) -> dict[str, Any] | None:
        """How far they went apart; of runs that may not be compared that says nothing."""
        if not self.comparability.ok:
            return None
        return trajectory.trajectories(self.a.validation, self.b.validation)

    def as_dict(self) -> dict[str, Any]:
        """Return the contract's payload, and what is ours."""
        return {
            "comparability": self.comparability.as_dict(),
            "run_a": self.a.as_dict(),
            "run_b": self.b.as_dict(),
            "partial_mode": self.partial,
            "trajectories": self.trajectories,
        }


def diff(paths: tuple[Path, Path], *, fmt: str, allow_gate_preset_mismatch: bool) -> int:
    """Compare two capsules, print it, and return the exit code."""
    loaded = [loading.load_full(path) for path in paths]
    if loading.first_fault(loaded):
        return REFUTED
    a, b = (header_of(each.validation) for each in loaded)
    found = comparable(a, b, allow_gate_preset_mismatch=allow_gate_preset_mismatch)
    pair = Pair(a, b, found)
    code = OK if found.ok else REFUTED
    if fmt == "json":
        _warn(pair)
        print_payload("diff", code, pair.as_dict())
    elif not found.ok:
        loading.say_lines("\n".join([f"INCOMPARABLE: {found.reason}", *comparability_lines(found)]))
    else:
        _warn(pair)
        print_text("\n".join([*_text(pair), *_ledger_lines(loaded)]))
    return code


def print_payload(name: str, code: int, payload: dict[str, Any]) -> None:
    """Print a payload of the contract: indented, sorted, with our two members beside its own."""
    whole = {"schema": schema(name), "exit_code": code, **payload}
    print_text(json.dumps(whole, indent=2, sort_keys=True))


def comparability_lines(found: Comparability) -> list[str]:
    """Return the block that says whether two runs may be compared."""
    lines = ["Comparability:", f"  ok: {yes(found.ok)}", f"  reason: {found.reason or '-'}"]
    if not found.details:
        lines.append("  details: -")
    for name, detail in found.details.items():
        lines += [
            "  details:",
            f"    {name}:",
            f"      expected: {escape(str(detail['expected']))}",
            f"      got: {escape(str(detail['got']))}",
        ]
    return [*lines, f"  policy: {found.policy}"]


def yes(value: object) -> str:
    """Return yes or no."""
    return "yes" if value else "no"


def spread_warning(a: RunHeader, b: RunHeader) -> str | None:
    """Return the warning that two runs were spread over processes differently."""
    return mismatch(metadata(a.validation.log), metadata(b.validation.log))


def _warn(pair: Pair) -> None:
    for name, run in (("RUN_A", pair.a), ("RUN_B", pair.b)):
        for warning in run.overlay.warnings:
            loading.say_lines(f"{name}:{warning}")
    spread = spread_warning(pair.a, pair.b)
    if spread is not None:
        loading.say_lines(spread)


def _text(pair: Pair) -> list[str]:
    a, b = pair.a.as_dict(), pair.b.as_dict()
    lines = [*_block("Run A", a), "", *_block("Run B", b), "", "Comparison:"]
    lines += [f"  {name}_differs: {yes(a[name] != b[name])}" for name in _DIFFERS]
    lines += _counts(pair)
    lines += ["", *comparability_lines(pair.comparability)]
    return lines + trajectory.lines_of(pair.trajectories)


def _block(label: str, run: dict[str, Any]) -> list[str]:
    return [f"{label}:", *(f"  {name}: {_shown(name, value)}" for name, value in run.items())]


def _shown(name: str, value: object) -> str:
    if value is None:
        return "-"
    if name == "partial":
        return str(value).lower()
    if isinstance(value, bool):
        return yes(value)
    width = _SHORT if name == "window_signature_hash" else _LONGEST
    return escape(str(value)[:width])


def _counts(pair: Pair) -> list[str]:
    summaries = (pair.a.validation.summary, pair.b.validation.summary)
    counts = [summary.counts.as_dict() for summary in summaries if summary is not None]
    lines = [f"  counts_differs: {yes(counts[0] != counts[1])}"]
    for label, found in zip("ab", counts, strict=True):
        words = " ".join(f"{name}={count}" for name, count in found.items())
        lines.append(f"  counts_{label}: {words}")
    return lines


def _ledger_lines(loaded: list[Loaded]) -> list[str]:
    """Say what the verifier says of the ledgers beside them, where there are any."""
    found = [(label, each.witness) for label, each in zip("AB", loaded, strict=True)]
    lines = [f"  {label}: {escape(witness.line)}" for label, witness in found if witness]
    return ["", "Ledgers:", *lines] if lines else []
