"""The words of a report: from what was kept of a run to the blocks of a page.

Everything that comes out of the ledger as text is a ``Quoted``. A skip is never
worded, counted or drawn as a pass.
"""

import json
import re

from projections.document import (
    Block,
    Bullets,
    Cell,
    Heading,
    Listing,
    Paragraph,
    Piece,
    Quoted,
    Strong,
    Table,
)
from projections.escape import number
from projections.report_state import FLAGS_KEPT, Report, ReportRun
from projections.report_strip import legend, strip
from projections.results import preset_of
from projections.runs import run_directory
from projections.window_signature import signature_ref

MOST_ROWS = 24  # of a table whose rows somebody else makes: more would drown the rest
NOTHING = "-"

_WRAPPER_EXIT = {"success": "0", "user_code_failure": "2", "veriscope_failure": "3"}
_TIME = re.compile(r"[0-9T:.Z-]{1,32}")
_SIX_ZEROS = re.compile(r"\.000000Z$")
_HEX = re.compile("[0-9a-f]{8,64}")


def run_page(report: Report, run: ReportRun) -> list[Block]:
    """Return the report of one run."""
    return [
        Heading(1, ("Run report: ", Quoted(run.core.run_id))),
        *_verdict(run),
        _fields(run),
        *_gate_summary(run),
        *_training(run),
        *_faults(run),
        *_metrics(run),
        *_artifacts(run),
        *_how_to_check(report),
    ]


def overview_page(report: Report) -> list[Block]:
    """Return the page of a ledger that holds several runs, or none."""
    head = Heading(1, ("Ledger report: ", Quoted(report.name)))
    if not report.runs:
        return [head, Paragraph("This ledger holds no run."), *_how_to_check(report)]
    runs = list(report.runs.values())
    rows: list[tuple[Cell, ...]] = [
        (
            Quoted(run.core.run_id),
            moment(run.core.started),
            run.core.status + (" (partial)" if run.core.ending is None else ""),
            run.tally.final.upper(),
            str(run.tally.total),
            Quoted(f"{run_directory(run.core.run_id)}/report.md"),
        )
        for run in runs[:MOST_ROWS]
    ]
    header = ("Run", "Started", "Status", "Final decision", "Checks", "Report")
    return [
        head,
        Paragraph(f"{len(runs)} runs."),
        Table(header, tuple(rows), right=frozenset({4})),
        *_more(len(runs)),
        *_how_to_check(report),
    ]


def moment(time: str) -> Piece:
    """Return a time of the ledger, without a fraction that is zero."""
    return _SIX_ZEROS.sub("Z", time) if _TIME.fullmatch(time) else Quoted(time)


def _more(count: int) -> list[Block]:
    return [Paragraph(f"… and {count - MOST_ROWS} more.")] if count > MOST_ROWS else []


def _verdict(run: ReportRun) -> list[Block]:
    """Say in a sentence or two how it stands, the worst news included."""
    tally, core = run.tally, run.core
    checks = f"{tally.evaluated} evaluated checks"
    words = {
        "fail": f": {tally.failed} of {checks} failed, the first at iteration {tally.first_fail}.",
        "warn": f": none of {checks} failed, {tally.warned} warned.",
        "pass": f": all of {checks} passed.",
        "skip": ": no gate check was evaluated. That is not a pass.",
    }[tally.final]
    if tally.skipped and tally.evaluated:
        words += f" {tally.skipped} skipped, which is not a pass."
    blocks: list[Block] = [Paragraph((Strong(tally.final.upper()), words))]
    trouble = {
        "user_code_failure": ("CRASHED", ": the runner failed; the decisions end where it did."),
        "veriscope_failure": ("WRAPPER FAILED", ": the recording may lack what came last."),
    }.get(core.status)
    if core.ending is None:
        trouble = ("PARTIAL", ": the run was never closed; this is its story so far.")
    if trouble is not None:
        blocks.append(Paragraph((Strong(trouble[0]), trouble[1])))
    notes = _notes(run)
    return [*blocks, Bullets(notes)] if notes else blocks


def _notes(run: ReportRun) -> tuple[str, ...]:
    """Say what is missing from the story or was left out of this page."""
    notes = {
        "No run.opened was recorded for this run.": not run.core.opened,
        "No plan was recorded: nobody knows what its gate was to do.": run.core.gate is None,
        f"{run.core.unread} of its events do not fit their schema and are left out here.": (
            run.core.unread > 0
        ),
    }
    return tuple(note for note, applies in notes.items() if applies)


def _fields(run: ReportRun) -> Table:
    """The seed's table of metadata (Appendix A)."""
    core, ending = run.core, run.core.ending
    runner = NOTHING if ending is None or ending.exit_code is None else str(ending.exit_code)
    runner_cell: Cell = runner
    if ending is not None and ending.signal is not None:
        runner_cell = ("signal ", Quoted(ending.signal))
    rows: list[tuple[Cell, ...]] = [
        ("Run ID", Quoted(core.run_id)),
        ("Kind", NOTHING if core.kind is None else Quoted(core.kind)),
        ("Status", core.status + (" (partial)" if ending is None else "")),
        ("Wrapper Exit", _wrapper_exit(run)),
        ("Runner Exit", runner_cell),
        ("gate_preset", Quoted(preset_of(core))),
        ("Started", moment(core.started)),
        ("Ended", NOTHING if ending is None else moment(ending.time)),
        ("Wall time", NOTHING if ending is None else f"{ending.wall_s:.1f} s"),
        ("Window Signature", Quoted(f"sha256:{signature_ref(core)['hash']}")),
    ]
    if run.origin is not None:
        rows += [
            ("Recorded by", Quoted(run.origin.package)),
            ("Python", Quoted(run.origin.python)),
            ("Platform", Quoted(run.origin.platform)),
            ("Commit", _commit(run.origin.commit, run.origin.dirty)),
        ]
    return Table(("Field", "Value"), tuple(rows))


def _wrapper_exit(run: ReportRun) -> str:
    """The code that the status stands for (seed 2.7); the wrapper itself cannot record its own."""
    if run.core.ending is None:
        return NOTHING
    code = _WRAPPER_EXIT[run.core.status]
    flagged = code == "0" and run.tally.final in {"warn", "fail"}
    return f"{code} (or 1, if --fail-on asked for it)" if flagged else code


def _commit(sha: str | None, dirty: bool | None) -> Cell:  # noqa: FBT001 - a fact with three values
    if sha is None:
        return "unknown"
    return (Quoted(sha), " with uncommitted changes" if dirty else "")


def _gate_summary(run: ReportRun) -> list[Block]:
    tally = run.tally
    counts = (tally.total, tally.evaluated, tally.passed, tally.skipped, tally.warned, tally.failed)
    header = ("Total checks", "Evaluated", "PASS", "SKIP", "WARN", "FAIL")
    blocks: list[Block] = [
        Heading(2, "Gate Summary"),
        Table(header, (tuple(str(count) for count in counts),), right=frozenset(range(6))),
    ]
    gate = run.core.gate
    if gate is not None:
        rule = (
            f": window {gate['window']} iterations, a metric every {gate['metric_interval']},"
            f" warm-up {gate['warmup']}, epsilon {number(gate['epsilon'])},"
            f" persistence {gate['persistence']}, at least {gate['min_evidence']} observations."
        )
        blocks.append(Paragraph(("Policy ", Quoted(gate["policy"]), rule)))
    if run.marks:
        blocks += [Listing(strip(run)), Paragraph(legend(run))]
    if run.flags:
        blocks.append(_flag_table(run))
        flagged = tally.warned + tally.failed
        if flagged > FLAGS_KEPT:
            left = flagged - FLAGS_KEPT
            blocks.append(Paragraph(f"… and {left} more that warned or failed."))
    return blocks


def _flag_table(run: ReportRun) -> Table:
    rows = tuple(
        (
            str(flag.iter),
            flag.decision.upper(),
            number(flag.worst_dw),
            number(flag.eps_eff),
            NOTHING if flag.metric is None else Quoted(flag.metric),
            Quoted(flag.reason),
        )
        for flag in run.flags
    )
    header = ("Iteration", "Decision", "D_W", "eps", "Moved most", "Reason")
    return Table(header, rows, right=frozenset({0, 2, 3}))


def _training(run: ReportRun) -> list[Block]:
    plan, finish = run.plan, run.finish
    if plan is None:
        return [Heading(2, "Training"), Paragraph("No plan was recorded.")]
    rows: list[tuple[Cell, ...]] = [
        ("Data", Quoted(plan.data_name)),
        ("Data SHA-256", Quoted(plan.data_sha256)),
        ("Data size", f"{plan.data_bytes:,} bytes"),
        ("Iterations planned", str(plan.max_iters)),
        ("Iterations done", NOTHING if finish is None else str(finish.iters)),
        ("Final loss", NOTHING if finish is None else number(finish.final_loss)),
        ("Seed", str(plan.seed)),
    ]
    for name, value in list(plan.model.items())[:MOST_ROWS]:
        shown: Cell = Quoted(value) if isinstance(value, str) else json.dumps(value)
        rows.append((("Model: ", Quoted(name)), shown))
    table = Table(("What", "Value"), tuple(rows))
    return [Heading(2, "Training"), table, *_more(len(plan.model))]


def _faults(run: ReportRun) -> list[Block]:
    head = Heading(2, "Injected faults")
    if not run.faults:
        return [head, Paragraph("None was recorded.")]
    rows = tuple(
        (
            str(fault.iter),
            Quoted(fault.kind),
            f"{fault.fraction:.0%}",
            _delay(run, fault.iter, "WF"),
            _delay(run, fault.iter, "F"),
        )
        for fault in run.faults[:MOST_ROWS]
    )
    header = ("Iteration", "Kind", "Of the input", "First WARN or FAIL after", "First FAIL after")
    table = Table(header, rows, right=frozenset({0, 2}))
    return [head, table, *_more(len(run.faults))]


def _delay(run: ReportRun, onset: int, marks: str) -> str:
    """Say how long after *onset* the first check with one of *marks* came."""
    steps = [
        step
        for step, mark in zip(run.iters, run.marks, strict=True)
        if mark in marks and step >= onset
    ]
    return f"{min(steps) - onset} iterations" if steps else "none"


def _metrics(run: ReportRun) -> list[Block]:
    head = Heading(2, "Metrics")
    if not run.spreads:
        return [head, Paragraph("None was recorded.")]
    rows = tuple(
        (
            Quoted(name),
            str(spread.count),
            number(spread.first),
            number(spread.last),
            number(spread.low),
            number(spread.high),
            str(spread.nonfinite),
        )
        for name, spread in sorted(run.spreads.items())[:MOST_ROWS]
    )
    header = ("Metric", "Observed", "First", "Last", "Lowest", "Highest", "Not finite")
    return [head, Table(header, rows, right=frozenset(range(1, 7))), *_more(len(run.spreads))]


def _artifacts(run: ReportRun) -> list[Block]:
    projected = {
        "window_signature.json": "Window signature",
        "results.json": "Detailed results",
        "results_summary.json": "Summary",
    }
    if run.tally.first_fail is not None:
        projected["first_fail_iter.txt"] = "First fail"
    others = sorted(path for path in run.artifacts if path not in projected)
    rows = [_artifact_row(run, path, name) for path, name in projected.items()]
    rows += [_artifact_row(run, path, None) for path in others[:MOST_ROWS]]
    return [
        Heading(2, "Artifacts"),
        Table(("Artifact", "Path", "Bytes", "SHA-256"), tuple(rows), right=frozenset({2})),
        *_more(len(others)),
        Paragraph(
            "Named files are projections, made from the ledger at will; digests are shown"
            " (in part) of the files that were recorded before this page was made."
        ),
    ]


def _artifact_row(run: ReportRun, path: str, name: str | None) -> tuple[Cell, ...]:
    recorded = run.artifacts.get(path)
    if recorded is None:
        return (name or NOTHING, Quoted(path), NOTHING, NOTHING)
    kind: Cell = Quoted(recorded.media_type) if name is None else name
    return (kind, Quoted(path), f"{recorded.bytes:,}", f"{recorded.sha256[:16]}…")


def _how_to_check(report: Report) -> list[Block]:
    ledger = report.ledger or ""
    anchor = f" --ledger-id {ledger}" if _HEX.fullmatch(ledger) else ""
    last = report.size - 1
    return [
        Heading(2, "How to check this page"),
        Bullets(
            (
                ("Ledger: ", Quoted(report.name), ", id ", Quoted(ledger)),
                f"Made from {report.size} entries, 0 to {last}",
                (f"Hash of entry {last}: ", Quoted(report.head or "")),
                ("Time of that entry, as its writer says: ", moment(report.until or "")),
            )
        ),
        Paragraph(
            "This page is a projection and proves nothing by itself. With the ledger at hand"
            " (here in the current directory), verify it and make this page again, offline,"
            " byte for byte:"
        ),
        Listing(
            (
                f"ledger verify .{anchor} --strict",
                f"ledger project report . --at {report.size}",
            )
        ),
        Paragraph(
            "Take the id from somewhere else than from this page. Entries that were cut off the"
            " end are noticed only with a checkpoint that was kept elsewhere."
        ),
    ]
