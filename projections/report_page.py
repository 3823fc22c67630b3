"""The words of a report: from what was kept of a run to the blocks of a page.

Everything that comes out of the ledger as text is a ``Quoted``. A skip is never
worded, counted or drawn as a pass. The sections that stand here are about the run
as a whole; ``report_gate`` has those about its gate, ``report_training`` those about
the training, and ``report_files`` those about files and people.
"""

from projections.document import (
    Block,
    Bullets,
    Cell,
    Heading,
    Paragraph,
    Piece,
    Quoted,
    Strong,
    Table,
)
from projections.escape import visible_json
from projections.judgement import standing
from projections.records import WRAPPER_EXIT, preset_of
from projections.report_files import artifacts, governance, how_to_check, judgements
from projections.report_gate import false_alarms, gate_summary, overhead
from projections.report_state import Report, ReportRun
from projections.report_training import anchors, faults, metrics, ranks, training
from projections.report_words import MOST_ROWS, NOTHING, moment, more
from projections.runs import run_directory
from projections.window_signature import signature_ref


def run_page(report: Report, run: ReportRun, *, outdir: str | None = None) -> list[Block]:
    """Return the report of one run; *outdir* is what its governance log is bound to."""
    judged = judgements(run)
    return [
        Heading(1, ("Run report: ", Quoted(run.core.run_id))),
        *_banner(run),
        *_verdict(run),
        *(judged if run.judged else []),
        _fields(run),
        *gate_summary(run),
        *false_alarms(run),
        *overhead(run),
        *faults(run),
        *anchors(run),
        *training(run),
        *metrics(run),
        *ranks(run),
        *artifacts(run),
        *([] if run.judged else judged),
        *governance(run, outdir),
        *how_to_check(report),
    ]


def overview_page(report: Report) -> list[Block]:
    """Return the page of a ledger that holds several runs, or none."""
    head = Heading(1, ("Ledger report: ", Quoted(report.name)))
    if not report.runs:
        return [head, Paragraph("This ledger holds no run."), *how_to_check(report)]
    runs = list(report.runs.values())
    rows: list[tuple[Cell, ...]] = [
        (
            Quoted(run.core.run_id),
            moment(run.core.started),
            _status(run),
            _final(run),
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
        *more(len(runs)),
        *how_to_check(report),
    ]


def _banner(run: ReportRun) -> list[Block]:
    """Say first of all that a run was spread out: its numbers do not compare with others."""
    spread = run.core.distributed
    if spread is None or spread["world_size_observed"] < 2:  # noqa: PLR2004 - one is not spread out
        return []
    processes = f": {spread['world_size_observed']} processes, {spread['distributed_mode']}"
    backend: tuple[Piece, ...] = ()
    if spread["backend"] is not None:
        backend = (", backend ", Quoted(spread["backend"]))
    recorded = f"; rank {spread['rank']} recorded this."
    return [Paragraph((Strong("DISTRIBUTED"), processes, *backend, recorded))]


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
    if core.ending is not None and core.ending.reason is not None:
        blocks.append(Paragraph(("The wrapper says: ", Quoted(core.ending.reason))))
    notes = _notes(run)
    return [*blocks, Bullets(notes)] if notes else blocks


def _notes(run: ReportRun) -> tuple[str, ...]:
    """Say what is missing from the story or was left out of this page."""
    notes = {
        "No run.opened was recorded for this run.": not run.core.opened,
        "No plan was recorded: nobody knows what its gate was to do.": run.core.gate is None,
        "The program recorded its own start and end: there was no second witness.": (
            run.origin is not None and not run.origin.witnessed
        ),
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
        ("Status", _status(run)),
        ("Final Status", _final(run)),
        ("Wrapper Exit", _wrapper_exit(run)),
        ("Runner Exit", runner_cell),
        ("gate_preset", Quoted(preset_of(core))),
    ]
    if core.overrides:
        rows.append(("Overrides", Quoted(visible_json(core.overrides))))
    rows += [
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


def _status(run: ReportRun) -> str:
    return run.core.status + (" (partial)" if run.core.partial else "")


def _final(run: ReportRun) -> str:
    """What counts: a person's judgement if one stands, else the gate's decision."""
    stands = standing(run.judged)
    return run.tally.final.upper() if stands is None else f"MANUAL {stands.status.upper()}"


def _wrapper_exit(run: ReportRun) -> str:
    if run.core.ending is None:
        return NOTHING
    code = str(WRAPPER_EXIT[run.core.status])
    flagged = code == "0" and run.tally.final in {"warn", "fail"}
    return f"{code} (or 1, if --fail-on asked for it)" if flagged else code


def _commit(sha: str | None, dirty: bool | None) -> Cell:  # noqa: FBT001 - a fact with three values
    if sha is None:
        return "unknown"
    return (Quoted(sha), " with uncommitted changes" if dirty else "")
