"""The sections of a report about files and people: artifacts, judgement, governance, checking."""

import re
from collections import Counter

from projections import calibration, judgement, results, run_config, summary
from projections import governance as governance_log
from projections import window_signature as signature
from projections.document import (
    Block,
    Bullets,
    Cell,
    Heading,
    Listing,
    Paragraph,
    Quoted,
    Strong,
    Table,
)
from projections.judgement import standing
from projections.report_state import Report, ReportRun
from projections.report_words import MOST_ROWS, NOTHING, moment, more

_HEX = re.compile("[0-9a-f]{8,64}")


def artifacts(run: ReportRun) -> list[Block]:
    """Name the files of the capsule, by their paths in it."""
    named = {**_projected(run), **({} if run.origin is None else run.origin.files)}
    others = sorted(path for path in run.artifacts if path not in named)
    rows = [_artifact_row(run, path, name) for path, name in named.items()]
    rows += [_artifact_row(run, path, None) for path in others[:MOST_ROWS]]
    return [
        Heading(2, "Artifacts"),
        Table(("Artifact", "Path", "Bytes", "SHA-256"), tuple(rows), right=frozenset({2})),
        *more(len(others)),
        Paragraph(
            "Named files of ours are projections, made from the ledger at will; digests are"
            " shown (in part) of the files that were recorded before this page was made."
        ),
    ]


def _projected(run: ReportRun) -> dict[str, str]:
    """Return the projections that this run has, by path, and what each is for."""
    core = run.core
    wanted = {
        run_config.FILE_NAME: ("Provenance", core.opened),
        signature.FILE_NAME: ("Window signature", True),
        results.FILE_NAME: ("Detailed results", not core.partial),
        summary.FILE_NAME: ("Summary", True),
        summary.MARKER_NAME: (
            "First fail",
            run.tally.first_fail is not None and not core.partial,
        ),
        governance_log.FILE_NAME: ("Governance log", bool(run.log.lines)),
        judgement.SNAPSHOT_NAME: ("Manual judgement", standing(run.judged) is not None),
        judgement.HISTORY_NAME: ("All judgements", bool(run.judged)),
        calibration.TABLE_NAME: ("Calibration table", core.gate is not None),
        calibration.META_NAME: ("Its columns", core.gate is not None),
    }
    return {path: name for path, (name, there) in wanted.items() if there}


def _artifact_row(run: ReportRun, path: str, name: str | None) -> tuple[Cell, ...]:
    recorded = run.artifacts.get(path)
    if recorded is None:
        return (name or NOTHING, Quoted(path), NOTHING, NOTHING)
    kind: Cell = Quoted(recorded.media_type) if name is None else name
    return (kind, Quoted(path), f"{recorded.bytes:,}", f"{recorded.sha256[:16]}…")


def judgements(run: ReportRun) -> list[Block]:
    """Say what people decided, and over which decision of the gate."""
    head = Heading(2, "Manual Judgement")
    if not run.judged:
        return [head, Bullets(("None",))]
    stands = standing(run.judged)
    back = sum(each.cleared is not None for each in run.judged)
    if stands is None:
        return [head, Bullets((f"None stands. Judgements of this run: {back}, all taken back.",))]
    rows: tuple[tuple[Cell, ...], ...] = (
        ("Status", stands.status.upper()),
        ("Reason", Quoted(stands.reason)),
        ("Reviewer", NOTHING if stands.reviewer is None else Quoted(stands.reviewer)),
        ("Signed by key", Quoted(stands.key)),
        ("Timestamp", moment(stands.time)),
    )
    said = (
        f": the gate decided {run.tally.final.upper()}, and none of its decisions is changed."
        f" Judgements of this run: {len(run.judged)}, taken back: {back}."
    )
    lead = Paragraph((Strong(f"MANUAL {stands.status.upper()}"), said))
    return [head, lead, Table(("Field", "Value"), rows)]


def governance(run: ReportRun, outdir: str | None) -> list[Block]:
    """Say where the governance log stands."""
    head = Heading(2, "Governance")
    if not run.log.lines:
        return [head, Bullets(("No event of this run belongs into the log.",))]
    linked = governance_log.chain(run.log.lines, outdir)
    events = Counter(line.event for line in run.log.lines)
    return [
        head,
        Bullets(
            (
                ("Log: ", Quoted(governance_log.FILE_NAME), f", {linked.rev} lines"),
                f"Last rev: {linked.rev}",
                ("Last hash: ", Quoted(linked.head or "")),
                "Events: " + ", ".join(f"{name} {events[name]}" for name in sorted(events)),
            )
        ),
    ]


def how_to_check(report: Report) -> list[Block]:
    """Say how a reader makes this page again, and why one should."""
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
