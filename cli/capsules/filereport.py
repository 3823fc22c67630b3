"""A report made of a capsule's files alone: for capsules that no ledger stands behind.

The layout is the public contract's (docs/reference/contract.md). Everything in it was
written by whoever could write the files, and is shown so that it cannot act.
"""

from typing import Any

from projections.escape import markdown_code, visible
from verifier.contract import RunHeader
from verifier.contract.capsule import LIMITS, MARKER
from verifier.contract.distributed import detected, metadata
from verifier.contract.documents import Results, Summary

_SHORT = 12
_LONGEST = 400
_SAFETY_PRESET = "universal_v0"
_SAFETY = (
    "universal_v0 is a plumbing/safety gate only (NaN/overflow/missing telemetry);"
    " PASS is not a full training-health claim."
)
_ORDER = (
    "run_config_resolved.json",
    "window_signature.json",
    "results.json",
    "results_summary.json",
    "manual_judgement.json",
    "manual_judgement.jsonl",
    "governance_log.jsonl",
)

# What ends a cell or begins a link, a picture, code or HTML.
_ACTING = str.maketrans({"|": r"\|", "<": "&lt;", "`": r"\`", "[": r"\[", "]": r"\]"})

Rows = list[tuple[str, str]]


def markdown(run: RunHeader) -> str:
    """Return the report as Markdown."""
    lines: list[str] = []
    banner = _banner(run)
    if banner:
        lines += [banner, ""]
    lines += [f"# Veriscope Report: {markdown_code(_outdir(run), limit=_LONGEST)}", ""]
    lines += _table(_fields(run), code={"Run ID", "Gate Preset", "Window Signature"})
    if _is_safety(run):
        lines += [f"> **NOTE:** {_SAFETY}", ""]
    judged = _judgement(run)
    if judged:
        lines += ["## ⚠ Manual Judgement", "", *_table(judged)]
    lines += _governance_markdown(run)
    lines += _gates_markdown(run)
    lines += ["## Artifacts", "", "| Artifact | Found |", "|---|---|"]
    lines += [
        f"| `{name}` | {'✅' if run.validation.capsule.has(name) else '❌'} |" for name in _ORDER
    ]
    error = _error(run)
    if error:
        lines += ["", "## Error Capsule", ""]
        lines += [f"- **{name}**: {_cell(value)}" for name, value in error]
    return "\n".join(lines) + "\n"


def text(run: RunHeader) -> str:
    """Return the report as plain text."""
    lines: list[str] = []
    banner = _banner(run)
    if banner:
        lines += [banner, ""]
    lines += [f"Veriscope Report: {visible(_outdir(run), limit=_LONGEST)}", ""]
    lines += [f"{name}: {visible(value, limit=_LONGEST)}" for name, value in _fields(run)]
    if _is_safety(run):
        lines.append(f"NOTE: {_SAFETY}")
    lines.append("")
    sections: dict[str, Rows] = {
        "MANUAL JUDGEMENT": _judgement(run),
        "GOVERNANCE": _governance_text(run),
        "Gate Summary": [*_counts(run), *_coverage(run)],
        "Artifacts": [(n, _yes(run.validation.capsule.has(n))) for n in _ORDER],
        "Error Capsule": _error(run),
    }
    for title, rows in sections.items():
        if rows:
            shown = [f"  {name}: {visible(value, limit=_LONGEST)}" for name, value in rows]
            lines += [f"{title}:", *shown, ""]
    return "\n".join(lines[:-1]) + "\n"


def _told(run: RunHeader) -> tuple[Summary, Results | None]:
    summary = run.validation.summary
    if summary is None:
        raise AssertionError("a report is made of a valid capsule")
    return summary, run.validation.results


def _outdir(run: RunHeader) -> str:
    return run.validation.capsule.outdir


def _fields(run: RunHeader) -> Rows:
    summary, results = _told(run)
    fields = run.as_dict()
    final = str(fields["effective_decision"]).upper()
    header = summary.header if results is None else results.header
    return [
        ("Run ID", run.run_id),
        ("Status", summary.header.run_status.upper()),
        ("Final Status", f"MANUAL {final}" if run.overlay.judgement else final),
        ("Wrapper Exit", _or_dash(fields["wrapper_exit_code"])),
        ("Runner Exit", _or_dash(summary.header.exit_code)),
        ("Gate Preset", run.gate_preset),
        ("Started", str(header.started)),
        ("Ended", _or_dash(header.ended)),
        ("Window Signature", run.validation.window_hash or "-"),
    ]


def _judgement(run: RunHeader) -> Rows:
    judged = run.overlay.judgement
    if judged is None:
        return []
    return [
        ("Status", judged.status.upper()),
        ("Reason", judged.reason),
        ("Reviewer", judged.reviewer or "-"),
        ("Timestamp", str(judged.time)),
    ]


def _governance(run: RunHeader) -> Rows:
    """Return what is said of the log; a missing one is only said to be missing."""
    fields, log = run.as_dict(), run.validation.log
    if not fields["governance_present"]:
        return [("Log", "NO")]
    return [
        ("Log", "YES"),
        ("Valid", _yes(fields["governance_ok"])),
        ("Last Rev", _or_dash(log.rev)),
        ("Last Hash", (log.last_hash or "-")[:_SHORT]),
        ("Legacy (missing entry_hash)", _yes(log.legacy)),
    ]


def _events(run: RunHeader) -> str:
    return ", ".join(f"{n}={c}" for n, c in sorted(run.validation.log.counts.items()))


def _governance_text(run: RunHeader) -> Rows:
    log, rows = run.validation.log, _governance(run)
    if log.entries:
        rows.append(("Events", _events(run)))
    rows += [("INVALID", error) for error in log.errors(allow_legacy=True)]
    if log.problems:
        rows.append(("Warnings", str(len(log.problems))))
    return rows


def _governance_markdown(run: RunHeader) -> list[str]:
    log, rows = run.validation.log, _governance(run)
    errors = log.errors(allow_legacy=True)
    lines = ["## Governance", ""]
    if errors:
        lines += [f"> ⚠ **Governance log invalid:** {markdown_code(errors[0], limit=_LONGEST)}", ""]
    if log.entries:
        rows.append(("Event Counts", _events(run)))
    if log.problems:
        rows.append(("Warnings", str(len(log.problems))))
    lines += _table(rows, code={"Last Hash"})
    if errors:
        lines += ["**Errors:**", ""]
        lines += [f"- {markdown_code(error, limit=_LONGEST)}" for error in errors] + [""]
    return lines


def _counts(run: RunHeader) -> Rows:
    counts = _told(run)[0].counts
    return [
        ("Total", str(counts.evaluated + counts.skip)),
        ("Evaluated", str(counts.evaluated)),
        ("PASS", str(counts.passed)),
        ("SKIP", str(counts.skip)),
        ("WARN", str(counts.warn)),
        ("FAIL", str(counts.fail)),
    ]


def _coverage(run: RunHeader) -> Rows:
    results = _told(run)[1]
    gates = () if results is None else results.gates
    steps = [gate.iter for gate in gates if gate.audit.evaluated]
    share = f"{len(steps) / len(gates):.3f}" if gates else "not available"
    first = str(min(steps)) if steps else "not available"
    return [("evaluated_fraction", share), ("first_evaluated_step", first)]


def _gates_markdown(run: RunHeader) -> list[str]:
    names, values = zip(*_counts(run), strict=True)
    strong = {"Total", "PASS"}
    cells = [f"**{v}**" if n in strong else v for n, v in zip(names, values, strict=True)]
    return [
        "## Gate Summary",
        "",
        f"| {' | '.join(names)} |",
        f"|{'---:|' * len(names)}",
        f"| {' | '.join(cells)} |",
        *(f"- {name}: {value}" for name, value in _coverage(run)),
        "",
    ]


def _error(run: RunHeader) -> Rows:
    error: Any = (run.validation.config or {}).get("error")
    if not isinstance(error, dict):
        return []
    return [
        ("Type", str(error.get("type", "UnknownError"))),
        ("Message", str(error.get("message", "No message provided"))),
    ]


def _banner(run: RunHeader) -> str | None:
    found = detected(metadata(run.validation.log))
    if found is None:
        return None
    shown = visible(found.replace(" ", ", "))
    return f"WARNING: distributed execution detected ({shown}). Comparisons may be misleading."


def _is_safety(run: RunHeader) -> bool:
    return run.gate_preset.strip().startswith(_SAFETY_PRESET)


def _table(rows: Rows, *, code: set[str] | None = None) -> list[str]:
    lines = ["| Field | Value |", "|---|---|"]
    strong = {"Status", "Final Status"}
    for name, value in rows:
        cell = _cell(value)
        if code and name in code:
            cell = markdown_code(value, limit=_LONGEST)
        elif name in strong:
            cell = f"**{cell}**"
        lines.append(f"| {name} | {cell} |")
    return [*lines, ""]


def _cell(value: str) -> str:
    """Return a text for a table cell: on one line, with nothing that Markdown or HTML acts on."""
    folded = visible(" ".join(value.split()), limit=_LONGEST)
    return folded.translate(_ACTING)


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)


def _yes(value: object) -> str:
    return "YES" if value else "NO"


if set(_ORDER) != set(LIMITS) - {MARKER}:
    raise AssertionError("a report names the files that are read")
