"""Hold the governance log against the documents beside it.

Each demand has a token. Where ``strict_governance`` was not asked for, a demand that
is not met is a warning under the same token.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from verifier.contract.capsule import Capsule, digest, same_place
from verifier.contract.documents import Audit, Gate, Results, read_audit
from verifier.contract.governance import (
    GATE,
    OVERRIDES,
    RUN_EVENTS,
    RUN_STARTED,
    Entry,
    Log,
)

__all__ = ["Binding", "Unmet", "demands"]

_NAMED = 3
_COMPARED = (
    "reason",
    "policy",
    "worst_DW",
    "eps_eff",
    "evidence_total",
    "min_evidence",
    "ddp_agg",
    "ddp_barrier_status",
    "aggregation_method",
    "world_size",
    "base_reason",
    "change_reason",
    "regime_ok",
    "regime_check_ran",
    "regime_ref_ready",
    "regime_ref_windows",
    "regime_worst_DW",
    "regime_eps_eff",
    "eps_regime_eff",
)


@dataclass(frozen=True, slots=True)
class Unmet:
    """A demand that is not met: *token* with its words, and what to say where it is fatal."""

    token: str
    message: str | None = None
    warning_only: bool = False


@dataclass(frozen=True, slots=True)
class Binding:
    """What the log is held against. *strict* is the binding mode of the contract.

    ``attested`` are directories that a ledger in this one, verified, says that it was
    recorded in: a capsule that was moved still names them.
    """

    capsule: Capsule
    results: Results
    window_hash: str
    config: Mapping[str, Any]
    strict: bool
    attested: frozenset[str] = frozenset()


def demands(log: Log, binding: Binding) -> Iterator[Unmet]:
    """Yield the demands that are not met, in the contract's order."""
    events = [entry for entry in log.entries if entry.event in RUN_EVENTS]
    if not events and not binding.strict:
        return
    for check in _CHECKS:
        yield from check(events, binding)


def _overrides(events: list[Entry], binding: Binding) -> Iterator[Unmet]:
    configured = binding.config.get("overrides")
    applied = binding.results.header.overrides or (isinstance(configured, dict) and configured)
    if applied and not any(entry.event == OVERRIDES for entry in events):
        yield Unmet(
            "GOVERNANCE_OVERRIDES_MISSING run_overrides_applied_v1 entry required",
            "Missing governance overrides entry for applied overrides",
        )


def _run_ids(events: list[Entry], binding: Binding) -> Iterator[Unmet]:
    found, expected = _said(events, "run_id"), binding.results.header.run_id
    if found and found != {expected}:
        said = f"expected={expected!r} observed={sorted(found)[:_NAMED]!r}"
        yield Unmet(f"GOVERNANCE_RUN_ID_MISMATCH {said}")


def _outdirs(events: list[Entry], binding: Binding) -> Iterator[Unmet]:
    found = sorted(_said(events, "outdir"))
    other = [said for said in found if not same_place(binding.capsule, said)]
    if not other:
        return
    said = f"expected={binding.capsule.outdir!r} observed={other[:_NAMED]!r}"
    moved = len(found) == 1 and found[0] in binding.attested
    if moved:
        said += " (moved: the ledger beside it says that it was recorded there)"
    yield Unmet(f"GOVERNANCE_OUTDIR_MISMATCH {said}", warning_only=moved)


def _starts(events: list[Entry], binding: Binding) -> Iterator[Unmet]:
    started = [entry for entry in events if entry.event == RUN_STARTED]
    if not started and binding.strict:
        yield Unmet("GOVERNANCE_RUN_STARTED_MISSING no run_started_v1 entry")
    hashes = [str(_inner(entry, "window_signature_ref", "hash")).lower() for entry in started]
    other = sorted({found for found in hashes if found != binding.window_hash})
    if other:
        said = f"expected={binding.window_hash} observed={other[:_NAMED]!r}"
        yield Unmet(f"GOVERNANCE_WINDOW_HASH_MISMATCH {said}")
    matching = hashes.count(binding.window_hash)
    if not matching:
        yield Unmet("GOVERNANCE_NOT_BOUND_TO_WINDOW no run_started_v1 entry has the window's hash")
    if matching > 1 and binding.strict:
        yield Unmet(f"GOVERNANCE_DUPLICATE_RUN_STARTED run_started_v1 entries={matching}")


def _gates(events: list[Entry], binding: Binding) -> Iterator[Unmet]:
    checked = [entry for entry in events if entry.event == GATE]
    gates = binding.results.gates
    if binding.strict:
        yield from _divergence(checked, gates)
    elif len(checked) < len(gates):
        said = f"gate_decision_v1 entries={len(checked)} expected={len(gates)}"
        yield Unmet(
            f"GOVERNANCE_GATE_DECISIONS_MISSING {said}",
            "Missing governance gate decision entries for results",
        )


_CHECKS: tuple[Callable[[list[Entry], Binding], Iterator[Unmet]], ...] = (
    _overrides,
    _run_ids,
    _outdirs,
    _starts,
    _gates,
)


def _divergence(checked: list[Entry], gates: tuple[Gate, ...]) -> Iterator[Unmet]:
    """Compare the checks of the log with those of the results, as multisets."""
    said = Counter((g.iter, g.decision, _digest(g.audit)) for g in gates)
    logged: Counter[tuple[int, str, str]] = Counter()
    verbatim: Counter[tuple[int, str, str]] = Counter()
    for entry in checked:
        audit = read_audit(entry.payload["audit"])
        place = int(entry.payload["iter"]), str(entry.payload["decision"]).strip().lower()
        logged[(*place, _digest(audit))] += 1
        verbatim[(*place, _digest(audit, verbatim=True))] += 1
    if said != logged:
        missing = sorted({key[:2] for key in (said - logged)})[:_NAMED]
        extra = sorted({key[:2] for key in (logged - said)})[:_NAMED]
        yield Unmet(
            f"GOVERNANCE_RESULTS_DIVERGENCE results={said.total()} governance={logged.total()}"
            f" only_in_results={missing!r} only_in_governance={extra!r}"
        )
    elif said != verbatim:
        yield Unmet(
            "GOVERNANCE_NUMBER_FORM an audit writes a whole number without a decimal point:"
            " other validators compare the text",
            warning_only=True,
        )


def _digest(audit: Audit, *, verbatim: bool = False) -> str:
    """Digest what an audit decides by; numbers as floats, or *verbatim* as they are written."""
    raw = audit.raw
    kept = {name: raw[name] for name in _COMPARED if raw.get(name) is not None}
    distances: Mapping[str, Any] = raw.get("per_metric_tv", {})
    if not verbatim:
        floats = {"worst_DW": audit.worst_dw, "eps_eff": audit.eps_eff}
        kept |= {name: value for name, value in floats.items() if value is not None}
        distances = audit.per_metric_tv
    # Adding 0.0 makes a float's -0.0 plain, and leaves an int one.
    plain = {n: v + 0.0 if isinstance(v, float) else v for n, v in distances.items()}
    return digest({"evaluated": audit.evaluated, **kept, "per_metric_tv": plain})


def _said(events: list[Entry], name: str) -> set[str]:
    values = (entry.payload.get(name) for entry in events)
    return {value.strip() for value in values if isinstance(value, str) and value.strip()}


def _inner(entry: Entry, outer: str, name: str) -> object:
    block = entry.payload.get(outer)
    return block.get(name) if isinstance(block, dict) else None
