"""``ledger calibrate``: how often a gate cries wolf, and how fast it sees a fault.

Control runs give the false-alarm rate, an injected run the delay. The members and
tokens are the public contract's; beyond it there are exact intervals, a guard against
gates that alarmed before the fault already, and any number of control runs. Checks of
one run are not independent of each other, so an interval over few runs is an
approximation; the docs say more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cli.capsules.calibrationcase import CalibrationError, Case
from cli.capsules.intervals import checks_needed, clopper_pearson
from verifier.contract.comparable import same_preset
from verifier.contract.documents import Gate

__all__ = ["calibrate"]

_ENDS = 5
_GUARD = 2  # checks before the onset that must have been quiet
_ALARMS = ("warn", "fail")
_TARGETS = (0.05, 0.01)
_SOURCE = "results.json"


@dataclass(frozen=True, slots=True)
class Found:
    """A number of the plan, and where it was found."""

    value: int
    source: str


@dataclass(slots=True)
class Gaps:
    """What was missing, and what is worth a note."""

    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def calibrate(controls: list[Case], injected: Case, onset: int | None) -> dict[str, Any]:
    """Return the calibration of *controls*, pooled, and one injected run.

    Raises:
        CalibrationError: They do not belong together, or nobody knows the window.
    """
    _belong_together(controls, injected)
    gaps = Gaps()
    signature = controls[0].validation.signature
    configs = _configs(controls, injected)
    window = _window(signature, configs)
    pooled = [gate for control in controls for gate in control.gates]
    warmup = _warmup(signature, configs, [*pooled, *injected.gates], gaps=gaps)
    sides = {"control": pooled, "injected": injected.gates}
    gaps.missing += [f"{label}.gate_events_missing" for label, gates in sides.items() if not gates]
    far = _far(pooled, warmup.value)
    if far["FAR"] is None:
        gaps.missing.append("control.post_warmup_events_missing")
    if any(_onset(control.config, None, Gaps()) for control in controls):
        gaps.notes.append("NOTE:control_has_a_fault_on_record")
    begun = _onset(injected.config, onset, gaps)
    delay = _delay(injected.gates, begun, warmup.value, window=window.value, gaps=gaps)
    complete = far["FAR"] is not None and delay["Delay_W"] is not None
    inferred = warmup.source in ("inferred_min_gate_iter", "default_0_no_gates")
    return {
        "policy_rev": _policy_rev(configs),
        "W": window.value,
        "W_source": window.source,
        "K": warmup.value,
        "warmup_source": warmup.source,
        **far,
        "FAR_source": _SOURCE,
        **delay,
        **_side("control", controls[0].gates, pooled, warmup.value),
        **_side("injected", injected.gates, injected.gates, warmup.value),
        "control_runs": [_of_run(control, warmup.value) for control in controls],
        **_overheads(controls, injected, gaps),
        "redactions_applied": _redactions(configs),
        "calibration_status": "complete" if complete and not inferred else "incomplete",
        "missing_fields": gaps.missing,
        "notes": gaps.notes,
    }


def _belong_together(controls: list[Case], injected: Case) -> None:
    first = controls[0].validation
    for other in (*controls[1:], injected):
        found = other.validation
        if found.window_hash != first.window_hash:
            said = f"{first.window_hash} != {found.window_hash}"
            raise CalibrationError(
                "WINDOW_SIGNATURE_HASH_MISMATCH",
                f"control/{other.label} window signature hash mismatch: {said}",
            )
        presets = [v.results.header.gate_preset for v in (first, found) if v.results is not None]
        if not same_preset(presets[0], presets[-1]):
            said = f"control/{other.label} gate_preset mismatch: {presets[0]!r} != {presets[-1]!r}"
            raise CalibrationError("GATE_PRESET_MISMATCH", said)


def _configs(controls: list[Case], injected: Case) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the run configurations, the first control's first."""
    cases = [*controls, injected]
    return [(case.label, case.config) for case in cases if case.config is not None]


def _window(
    signature: Mapping[str, Any], configs: Iterable[tuple[str, Mapping[str, Any]]]
) -> Found:
    found = _planned(signature, "gate_window") or _configured(configs, "gate_window")
    if found is None or found.value < 1:
        said = "gate_window not found in window_signature.json or run_config_resolved.json"
        raise CalibrationError("MISSING_GATE_WINDOW", said)
    return found


def _warmup(
    signature: Mapping[str, Any],
    configs: Iterable[tuple[str, Mapping[str, Any]]],
    gates: list[Gate],
    *,
    gaps: Gaps,
) -> Found:
    found = _configured(configs, "gate_warmup") or _planned(signature, "gate_warmup")
    if found is not None:
        return found
    if gates:
        gaps.notes.append("NOTE:warmup_inferred_from_gate_events")
        gaps.missing.append("global.warmup_missing_inferred")
        return Found(min(gate.iter for gate in gates), "inferred_min_gate_iter")
    gaps.notes.append("NOTE:warmup_defaulted_no_gate_events")
    gaps.missing.append("global.warmup_missing_defaulted")
    return Found(0, "default_0_no_gates")


def _planned(signature: Mapping[str, Any], name: str) -> Found | None:
    value = _count(_inner(signature, "gate_controls").get(name))
    return None if value is None else Found(value, f"window_signature.gate_controls.{name}")


def _configured(configs: Iterable[tuple[str, Mapping[str, Any]]], name: str) -> Found | None:
    for label, config in configs:
        places = {
            f"resolved_gate_cfg.{name}": _inner(config, "resolved_gate_cfg"),
            name: config,
        }
        for place, values in places.items():
            value = _count(values.get(name))
            if value is not None:
                return Found(value, f"{label}.run_config_resolved.{place}")
    return None


def _far(gates: list[Gate], warmup: int) -> dict[str, Any]:
    """Return the false-alarm rates over the evaluated checks from *warmup* on."""
    judged = [gate.decision for gate in gates if gate.iter >= warmup and gate.decision != "skip"]
    total, fails = len(judged), judged.count("fail")
    alarms = fails + judged.count("warn")
    return {
        "FAR": alarms / total if total else None,
        "FAR_warnfail": alarms / total if total else None,
        "FAR_fail": fails / total if total else None,
        "FAR_ci95": [*clopper_pearson(alarms, total)] if total else None,
        "FAR_fail_ci95": [*clopper_pearson(fails, total)] if total else None,
        "FAR_counts": {
            "post_warmup_total": total,
            "post_warmup_fail": fails,
            "post_warmup_warnfail": alarms,
        },
        "sample_size_needed": {f"FAR_at_most_{share}": checks_needed(share) for share in _TARGETS},
    }


def _onset(config: Mapping[str, Any] | None, given: int | None, gaps: Gaps) -> Found | None:
    """Return when the fault began; our own runs say it of every kind of fault."""
    said = config or {}
    places = {
        "data_corrupt_at": said.get("data_corrupt_at"),
        "lr_spike_at": said.get("lr_spike_at"),
        "injection.at": _inner(said, "injection").get("at"),
    }
    for name, value in places.items():
        at = _count(value)
        if at is not None:
            return Found(at, f"run_config_resolved.{name}")
    if given is not None:
        return Found(given, "cli.injection_onset_iter")
    gaps.missing.append("injected.injection_onset_missing")
    return None


def _delay(
    gates: list[Gate], begun: Found | None, warmup: int, *, window: int, gaps: Gaps
) -> dict[str, Any]:
    """Return how long after the onset the first alarms came, unless it had alarmed before."""
    start = None if begun is None else max(begun.value, warmup)
    early = start is not None and _alarmed_before(gates, start)
    warn = fail = None
    if start is not None and not early:
        warn, fail = (_first_after(gates, start, among) for among in (_ALARMS, ("fail",)))
    if early:
        gaps.missing.append("injected.pre_onset_alarm")
    if warn is None:
        gaps.missing.append("injected.delay_warn_missing")
    if warn == 0:
        gaps.notes.append("NOTE:delay_0_the_check_ends_where_the_fault_begins")
    return {
        "injection_onset_iter": None if begun is None else begun.value,
        "injection_onset_source": "missing" if begun is None else begun.source,
        "pre_onset_alarm": early,
        "Delay_W": None if warn is None else warn / window,
        "Delay_warn_W": None if warn is None else warn / window,
        "Delay_warn_iters": warn,
        "Delay_fail_W": None if fail is None else fail / window,
        "Delay_fail_iters": fail,
    }


def _alarmed_before(gates: list[Gate], start: int) -> bool:
    """Tell whether one of the last evaluated checks before *start* alarmed."""
    before = [g.decision for g in gates if g.iter < start and g.decision != "skip"]
    return any(decision in _ALARMS for decision in before[-_GUARD:])


def _first_after(gates: list[Gate], start: int, among: tuple[str, ...]) -> int | None:
    steps = (g.iter - start for g in gates if g.iter >= start and g.decision in among)
    return next(steps, None)


def _side(label: str, shown: list[Gate], counted: list[Gate], warmup: int) -> dict[str, Any]:
    """Return what is said of one side; *shown* are the checks of its first run."""
    truncated = len(shown) > 2 * _ENDS
    last = shown[-1:] if not _after(shown, warmup) else _after(shown, warmup)[-1:]
    source = "post_warmup_last" if _after(shown, warmup) else "last_gate"
    return {
        f"{label}_gate_events_source": _SOURCE if counted else f"{_SOURCE}_empty",
        f"{label}_gate_events_total": len(counted),
        f"{label}_gate_events_post_warmup": len(_after(counted, warmup)),
        f"{label}_gate_events_first": [_row(g) for g in (shown[:_ENDS] if truncated else shown)],
        f"{label}_gate_events_last": [_row(g) for g in shown[-_ENDS:]] if truncated else [],
        f"{label}_gate_events_truncated": truncated,
        f"{label}_final_decision": _final(counted),
        f"{label}_effective_decision": last[0].decision if last else "skip",
        f"{label}_effective_decision_source": source if last else "no_gates",
    }


def _of_run(control: Case, warmup: int) -> dict[str, Any]:
    return {
        "run_id": control.run_id,
        **_far_of_run(control.gates, warmup),
        "final_decision": _final(control.gates),
        "overhead": _overhead(control.config)[0],
    }


def _far_of_run(gates: list[Gate], warmup: int) -> dict[str, Any]:
    found = _far(gates, warmup)
    return {name: found[name] for name in ("FAR", "FAR_fail", "FAR_ci95", "FAR_counts")}


def _row(gate: Gate) -> dict[str, Any]:
    return {
        "iter": gate.iter,
        "decision": gate.decision,
        "reason": gate.audit.reason,
        "worst_DW": gate.audit.worst_dw,
    }


def _after(gates: list[Gate], warmup: int) -> list[Gate]:
    return [gate for gate in gates if gate.iter >= warmup]


def _final(gates: list[Gate]) -> str:
    found = {gate.decision for gate in gates}
    return next((word for word in ("fail", "warn", "pass") if word in found), "skip")


def _overheads(controls: list[Case], injected: Case, gaps: Gaps) -> dict[str, Any]:
    """Return the ratio as the contract stores it, and ours: how much was added, over all runs."""
    ratio, faults = _overhead(injected.config)
    gaps.notes += [f"NOTE:{fault}" for fault in faults]
    ratios = [_overhead(case.config)[0] for case in (*controls, injected)]
    known = [each for each in ratios if each is not None]
    return {
        "overhead": ratio,
        "overhead_fraction": sum(known) / len(known) - 1 if known else None,
        "overhead_runs": len(known),
    }


def _overhead(config: Mapping[str, Any] | None) -> tuple[float | None, list[str]]:
    """Return the whole wall time over the runner's own, or why there is none."""
    if config is None:
        return None, ["run_config_resolved"]
    timing = config.get("timing")
    if not isinstance(timing, dict):
        return None, ["timing"]
    names = ("runner_wall_s", "veriscope_wall_s")
    faults = [f"timing.{name}" for name in names if timing.get(name) is None]
    if faults:
        return None, faults
    runner, whole = (timing[name] for name in names)
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in (runner, whole)):
        return None, ["timing.parse_error"]
    if runner <= 0:
        return None, ["timing.runner_wall_s_nonpositive"]
    return whole / runner, []


def _policy_rev(configs: list[tuple[str, Mapping[str, Any]]]) -> str:
    for _, config in configs:
        for place in ("provenance", "env_capture"):
            found = _inner(config, place).get("policy_rev")
            if isinstance(found, str) and found:
                return found
    return "unknown"


def _redactions(configs: list[tuple[str, Mapping[str, Any]]]) -> bool | str:
    for _, config in configs:
        found = _inner(config, "env_capture").get("redactions_applied")
        return found if isinstance(found, bool) else "unknown"
    return "unknown"


def _inner(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def _count(value: object) -> int | None:
    """Return an integer of 0 or more; -1 stands for none in the contract's files."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and isinstance(value, int) and value >= 0 else None
