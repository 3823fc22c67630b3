"""The Markdown page of a calibration."""

from collections.abc import Mapping
from typing import Any

from projections.escape import visible

_THRESHOLDS = (
    "- FAR ≤ 5% post-warmup (control).",
    "- Detection delay ≤ 2W iterations (injected).",
    "- Overhead ≤ 5% wall-clock (when timing fields exist).",
)


def page(found: Mapping[str, Any]) -> str:
    """Return the page."""
    sections = [
        ["# Pilot Calibration Summary"],
        _summary(found),
        _control(found),
        _table("control", found),
        _injected(found),
        _table("injected", found),
        _listed("Missing Fields", found["missing_fields"]),
        _listed("Notes", found["notes"]),
        ["## Thresholds", "", *_THRESHOLDS],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _summary(found: Mapping[str, Any]) -> list[str]:
    needed = ", ".join(f"{name}: {n}" for name, n in found["sample_size_needed"].items())
    runs = len(found["control_runs"])
    early = "YES, so the delay is not counted" if found["pre_onset_alarm"] else "no"
    facts = {
        "Control FAR_fail (post-warmup)": _share(found, "FAR_fail"),
        "Control FAR_warnfail (post-warmup)": _share(found, "FAR"),
        "Control runs pooled": str(runs),
        "Injected delay_fail_iters": _delay(found, "fail"),
        "Injected delay_warn_iters": _delay(found, "warn"),
        "Alarm before the onset": early,
        "Overhead (wall-clock)": _shown(found["overhead"]),
        "Checks without an alarm that bound FAR (95 % interval)": needed,
        "Calibration status": _shown(found["calibration_status"]),
    }
    return ["## Summary", "", *(f"- {name}: {value}" for name, value in facts.items())]


def _delay(found: Mapping[str, Any], kind: str) -> str:
    windows = _shown(found[f"Delay_{kind}_W"])
    return f"{_shown(found[f'Delay_{kind}_iters'])} (delay_{kind}_W={windows})"


def _control(found: Mapping[str, Any]) -> list[str]:
    lines = ["## Control", "", *_side("control", found)]
    if len(found["control_runs"]) > 1:
        lines += ["", "| run_id | checks | warn or fail | fail | FAR | 95 % interval |"]
        lines += ["| --- | ---: | ---: | ---: | ---: | --- |"]
        lines += [_run_row(run) for run in found["control_runs"]]
    return lines


def _run_row(run: Mapping[str, Any]) -> str:
    counts = run["FAR_counts"]
    cells = [
        _cell(run["run_id"]),
        str(counts["post_warmup_total"]),
        str(counts["post_warmup_warnfail"]),
        str(counts["post_warmup_fail"]),
        _shown(run["FAR"]),
        _interval(run["FAR_ci95"]),
    ]
    return f"| {' | '.join(cells)} |"


def _injected(found: Mapping[str, Any]) -> list[str]:
    onset = _sourced(found["injection_onset_iter"], found["injection_onset_source"])
    return ["## Injected", "", *_side("injected", found), f"- injection_onset_iter: {onset}"]


def _side(label: str, found: Mapping[str, Any]) -> list[str]:
    effective = f"{label}_effective_decision"
    return [
        f"- gate_window: {_sourced(found['W'], found['W_source'])}",
        f"- warmup_iters: {_sourced(found['K'], found['warmup_source'])}",
        f"- gate_events_source: {_shown(found[f'{label}_gate_events_source'])}",
        f"- n_gate_events_post_warmup: {_shown(found[f'{label}_gate_events_post_warmup'])}",
        f"- final_decision: {_shown(found[f'{label}_final_decision'])}",
        f"- effective_decision: {_sourced(found[effective], found[f'{effective}_source'])}",
    ]


def _table(label: str, found: Mapping[str, Any]) -> list[str]:
    first, last = (found[f"{label}_gate_events_{end}"] for end in ("first", "last"))
    truncated = found[f"{label}_gate_events_truncated"]
    shown = "first/last 5" if truncated else "all"
    several = label == "control" and len(found["control_runs"]) > 1
    whose = "the first run" if several else str(found[f"{label}_gate_events_total"])
    lines = [
        f"### {label.capitalize()} Gate Events",
        "",
        f"(showing {shown} of {whose})",
        "",
        "| iter | decision | reason | worst_DW |",
        "| --- | --- | --- | --- |",
        *map(_row, first),
    ]
    return [*lines, *(["| ... | ... | ... | ... |"] if truncated else []), *map(_row, last)]


def _row(event: Mapping[str, Any]) -> str:
    cells = (_cell(_shown(event[name])) for name in ("iter", "decision", "reason", "worst_DW"))
    return f"| {' | '.join(cells)} |"


def _listed(title: str, items: list[str]) -> list[str]:
    return [f"## {title}", "", *(f"- {item}" for item in items)] if items else []


def _share(found: Mapping[str, Any], name: str) -> str:
    counts = found["FAR_counts"]
    hits = counts["post_warmup_fail" if name == "FAR_fail" else "post_warmup_warnfail"]
    interval = _interval(found[f"{name}_ci95"])
    return f"{_shown(found[name])} ({hits}/{counts['post_warmup_total']}, 95 % {interval})"


def _interval(bounds: list[float] | None) -> str:
    return "n/a" if bounds is None else f"{bounds[0]:.4f} to {bounds[1]:.4f}"


def _sourced(value: object, source: str) -> str:
    return f"{_shown(value)} (source={source})"


def _shown(value: object) -> str:
    if value is None:
        return "n/a"
    return format(value, ".6g") if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    return visible(text).replace("|", r"\|").replace("<", "&lt;")
