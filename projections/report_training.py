"""The sections of a report about the training: plan, faults, declared changes, metrics, ranks."""

import json

from projections.document import Block, Cell, Heading, Paragraph, Quoted, Table
from projections.escape import number
from projections.report_state import ReportRun
from projections.report_words import MOST_ROWS, NOTHING, more

_NONE = Paragraph("None was recorded.")


def training(run: ReportRun) -> list[Block]:
    """Say what was trained on what, how far, and from which weights."""
    plan = run.plan
    if plan is None:
        return [Heading(2, "Training"), Paragraph("No plan was recorded.")]
    rows: list[tuple[Cell, ...]] = [
        ("Data", Quoted(plan.data_name)),
        ("Data SHA-256", Quoted(plan.data_sha256)),
        ("Data size", f"{plan.data_bytes:,} bytes"),
        ("Iterations planned", str(plan.max_iters)),
        *_progress(run),
        ("Seed", str(plan.seed)),
    ]
    for name, value in list(plan.model.items())[:MOST_ROWS]:
        shown: Cell = Quoted(value) if isinstance(value, str) else json.dumps(value)
        rows.append((("Model: ", Quoted(name)), shown))
    table = Table(("What", "Value"), tuple(rows))
    return [Heading(2, "Training"), table, *more(len(plan.model))]


def _progress(run: ReportRun) -> list[tuple[Cell, ...]]:
    finish = run.finish
    rows: list[tuple[Cell, ...]] = [
        ("Iterations done", NOTHING if finish is None else str(finish.iters)),
        ("Final loss", NOTHING if finish is None else number(finish.final_loss)),
    ]
    if finish is not None and finish.stopped is not None:
        rows.append(("Stopped early", Quoted(finish.stopped)))
    if run.resumed is not None:
        from_run = (Quoted(run.resumed.where), f" at iteration {run.resumed.iter}")
        rows += [
            ("Resumed from", from_run),
            ("Weights SHA-256", Quoted(run.resumed.sha256)),
        ]
    if run.last_saved is not None:
        last = (f"{run.saved}, the last at iteration {run.last_saved.iter}: ",)
        rows += [
            ("Weights saved", (*last, Quoted(run.last_saved.where))),
            ("Their SHA-256", Quoted(run.last_saved.sha256)),
        ]
    return rows


def faults(run: ReportRun) -> list[Block]:
    """Say what the run inflicted on itself, and how soon its gate spoke up."""
    head = Heading(2, "Injected faults")
    if not run.faults:
        return [head, _NONE]
    rows = tuple(
        (
            str(fault.iter),
            Quoted(fault.kind),
            f"{fault.fraction:.0%}",
            number(fault.factor),
            _delay(run, fault.iter, "WF"),
            _delay(run, fault.iter, "F"),
        )
        for fault in run.faults[:MOST_ROWS]
    )
    header = (
        "Iteration",
        "Kind",
        "Of the input",
        "Factor",
        "First WARN or FAIL after",
        "First FAIL after",
    )
    table = Table(header, rows, right=frozenset({0, 2, 3}))
    return [head, table, *more(len(run.faults))]


def _delay(run: ReportRun, onset: int, marks: str) -> str:
    """Say how long after *onset* the first check with one of *marks* came."""
    steps = [
        step
        for step, mark in zip(run.iters, run.marks, strict=True)
        if mark in marks and step >= onset
    ]
    return f"{min(steps) - onset} iterations" if steps else "none"


def anchors(run: ReportRun) -> list[Block]:
    """Say which changes the run declared to be none of the gate's business."""
    head = Heading(2, "Declared changes")
    if not run.anchors:
        return [head, _NONE]
    rows = tuple((str(anchor.iter), Quoted(anchor.reason)) for anchor in run.anchors[:MOST_ROWS])
    table = Table(("Iteration", "Reason"), rows, right=frozenset({0}))
    after = Paragraph("After each of them the gate began its history anew.")
    return [head, table, *more(len(run.anchors)), after]


def metrics(run: ReportRun) -> list[Block]:
    """Say where each metric began and ended, and how far it went."""
    head = Heading(2, "Metrics")
    if not run.spreads:
        return [head, _NONE]
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
    return [head, Table(header, rows, right=frozenset(range(1, 7))), *more(len(run.spreads))]


def ranks(run: ReportRun) -> list[Block]:
    """Name the ledgers of the other ranks, if there are any."""
    if not run.ranks:
        return []
    rows = tuple(
        (str(rank.rank), Quoted(rank.path), str(rank.size), Quoted(rank.hash))
        for rank in run.ranks[:MOST_ROWS]
    )
    header = ("Rank", "Ledger", "Entries", "Hash of the last")
    table = Table(header, rows, right=frozenset({0, 2}))
    return [Heading(2, "Ranks"), table, *more(len(run.ranks))]
