"""Whether two capsules may be compared, and the few fields by which they are."""

from dataclasses import dataclass
from typing import Any

from verifier.contract.overlay import Overlay, overlay_of
from verifier.contract.validate import Validation

__all__ = ["Comparability", "RunHeader", "comparable", "header_of", "same_preset"]

_ALIASES = {"tuned": "tuned_v0"}


@dataclass(frozen=True, slots=True)
class RunHeader:
    """One run as ``diff`` and ``report --compare`` show it."""

    validation: Validation
    overlay: Overlay
    run_id: str
    gate_preset: str

    @property
    def wrapper_exit_code(self) -> int | None:
        """The wrapper's exit code, as far as the run's configuration tells."""
        code = (self.validation.config or {}).get("wrapper_exit_code")
        return code if isinstance(code, int) and not isinstance(code, bool) else None

    def as_dict(self) -> dict[str, Any]:
        """Return the seventeen fields of the contract, in their order."""
        checked = self.validation
        summary, log = checked.summary, checked.log
        if summary is None:
            raise AssertionError("a header is made of a valid capsule")
        judged = self.overlay.judgement
        present = checked.capsule.has("governance_log.jsonl")
        return {
            "outdir": checked.capsule.outdir,
            "run_id": self.run_id,
            "run_status": summary.header.run_status,
            "schema_version": summary.header.schema_version,
            "wrapper_exit_code": self.wrapper_exit_code,
            "runner_exit_code": summary.header.exit_code,
            "final_decision": summary.final_decision,
            "effective_decision": self.overlay.decision(summary.final_decision),
            "decision_source": self.overlay.source,
            "manual_status": None if judged is None else judged.status,
            "gate_preset": self.gate_preset,
            "window_signature_hash": checked.window_hash,
            "partial": checked.partial,
            "governance_present": present,
            "governance_ok": not log.errors(allow_legacy=True),
            "governance_rev": log.rev,
            "governance_legacy_missing_hash": log.legacy,
        }


@dataclass(frozen=True, slots=True)
class Comparability:
    """Whether two runs may be compared, and if not, why."""

    reason: str | None
    details: dict[str, dict[str, Any]]
    policy: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether they may."""
        return self.reason is None

    def as_dict(self) -> dict[str, Any]:
        """Return it as the contract's JSON has it."""
        return {
            "ok": self.ok,
            "reason": self.reason,
            "details": self.details,
            "warnings": [],
            "policy": self.policy,
        }


def header_of(validation: Validation) -> RunHeader:
    """Return the header of a valid capsule."""
    told = validation.results or validation.summary
    if told is None:
        raise AssertionError("a header is made of a valid capsule")
    run_id = told.header.run_id
    overlay = overlay_of(validation.capsule, run_id)
    return RunHeader(validation, overlay, run_id, told.header.gate_preset)


def comparable(
    a: RunHeader, b: RunHeader, *, allow_gate_preset_mismatch: bool = False
) -> Comparability:
    """Return whether *b* may be compared with *a*; the first reason against it is given."""
    policy = {"allow_gate_preset_mismatch": allow_gate_preset_mismatch}
    one, other = a.as_dict(), b.as_dict()
    if one["partial"] or other["partial"]:
        got = {"run_a": one["partial"], "run_b": other["partial"]}
        details = {"partial": {"expected": False, "got": got}}
        return Comparability("PARTIAL_CAPSULE", details, policy)
    hashes = one["window_signature_hash"], other["window_signature_hash"]
    presets_differ = not same_preset(a.gate_preset, b.gate_preset)
    steps = {
        "WINDOW_HASH_MISSING": ("window_signature_hash", None in hashes),
        "SCHEMA_MISMATCH": ("schema_version", one["schema_version"] != other["schema_version"]),
        "WINDOW_HASH_MISMATCH": ("window_signature_hash", hashes[0] != hashes[1]),
        "GATE_PRESET_MISMATCH": (
            "gate_preset",
            presets_differ and not allow_gate_preset_mismatch,
        ),
    }
    for reason, (name, applies) in steps.items():
        if applies:
            details = {name: {"expected": one[name], "got": other[name]}}
            return Comparability(reason, details, policy)
    return Comparability(None, {}, policy)


def same_preset(one: str, other: str) -> bool:
    """Two names of one preset are one; only where an alias is meant does the case not matter."""
    return one == other or _canonical(one) == _canonical(other)


def _canonical(preset: str) -> str:
    folded = preset.strip().lower()
    return _ALIASES.get(folded, folded) if folded in {*_ALIASES, *_ALIASES.values()} else preset
