"""The sections of a report about its gate: counts, false alarms, what it cost."""

from typing import Any

from projections.document import (
    Block,
    Bullets,
    Cell,
    Heading,
    Listing,
    Paragraph,
    Quoted,
    Table,
)
from projections.escape import number
from projections.interval import exact_interval
from projections.report_state import FLAGS_KEPT, MARKS, ReportRun
from projections.report_strip import legend, strip
from projections.report_words import NOTHING

_SKIP, _WARN, _FAIL = MARKS["skip"], MARKS["warn"], MARKS["fail"]


def gate_summary(run: ReportRun) -> list[Block]:
    """Say what the checks came to, by the rule that the run planned."""
    tally = run.tally
    counts = (tally.total, tally.evaluated, tally.passed, tally.skipped, tally.warned, tally.failed)
    header = ("Total checks", "Evaluated", "PASS", "SKIP", "WARN", "FAIL")
    blocks: list[Block] = [
        Heading(2, "Gate Summary"),
        Table(header, (tuple(str(count) for count in counts),), right=frozenset(range(6))),
        Bullets(_evaluation(run)),
    ]
    gate = run.core.gate
    if gate is not None:
        blocks.append(Paragraph(("Policy ", Quoted(gate["policy"]), _rule(gate))))
    if run.marks:
        blocks += [Listing(strip(run)), Paragraph(legend(run))]
    if run.flags:
        blocks.append(_flag_table(run))
        flagged = tally.warned + tally.failed
        if flagged > FLAGS_KEPT:
            left = flagged - FLAGS_KEPT
            blocks.append(Paragraph(f"… and {left} more that warned or failed."))
    return blocks


def _evaluation(run: ReportRun) -> tuple[Cell, ...]:
    tally = run.tally
    steps = [step for step, mark in zip(run.iters, run.marks, strict=True) if mark != _SKIP]
    share = f"{tally.evaluated / tally.total:.3f}" if tally.total else "not available"
    first = str(min(steps)) if steps else "not available"
    return (f"evaluated_fraction: {share}", f"first_evaluated_step: {first}")


def _rule(gate: dict[str, Any]) -> str:
    if "engine" in gate:
        bounds = (
            f"blocks of {gate['block']} forecast from {gate['reference']},"
            f" warn above z {number(gate['warn_z'])}, fail above z {number(gate['fail_z'])}"
        )
    else:
        bounds = f"epsilon {number(gate['epsilon'])}"
    return (
        f": window {gate['window']} iterations, a metric every {gate['metric_interval']},"
        f" warm-up {gate['warmup']}, {bounds}, persistence {gate['persistence']},"
        f" at least {gate['min_evidence']} observations."
    )


def _flag_table(run: ReportRun) -> Table:
    rows = tuple(
        (
            str(flag.iter),
            flag.decision.upper(),
            number(flag.z),
            number(flag.worst_dw),
            number(flag.eps_eff),
            NOTHING if flag.metric is None else Quoted(flag.metric),
            NOTHING if flag.view is None else Quoted(flag.view),
            Quoted(flag.reason),
        )
        for flag in run.flags
    )
    header = ("Iteration", "Decision", "z", "D_W", "eps", "Moved most", "View", "Reason")
    return Table(header, rows, right=frozenset({0, 2, 3, 4}))


def false_alarms(run: ReportRun) -> list[Block]:
    """Say how often the gate spoke up while nothing was known to be wrong."""
    head = Heading(2, "False Alarm Rate")
    if run.core.gate is None:
        return [head, Bullets(("Not known: no plan was recorded, and so no warm-up.",))]
    onset = run.onset
    marks = [
        mark
        for step, mark in zip(run.iters, run.marks, strict=True)
        if mark != _SKIP and step >= run.core.gate["warmup"] and (onset is None or step <= onset)
    ]
    alarms = sum(mark in (_WARN, _FAIL) for mark in marks)
    when = "post-warmup" if onset is None else "post-warmup, before the fault"
    rates = (
        f"FAR ({when}): {_rate(alarms, len(marks))}",
        f"FAR of FAIL alone: {_rate(marks.count(_FAIL), len(marks))}",
    )
    said = (
        "This is a rate of false alarms if this run is a control: if nothing went wrong in it."
        if onset is None
        else f"This run is no control: a fault begins at iteration {onset}, and only checks of"
        " windows that end by then are counted."
    )
    return [head, Bullets(rates), Paragraph(f"{said} Checks of one run depend on each other.")]


def _rate(hits: int, trials: int) -> str:
    if not trials:
        return "not available (no check was evaluated)"
    told = f"{hits / trials:.1%} ({hits}/{trials})"
    bounds = exact_interval(hits, trials)
    if bounds is None:
        return told
    low, high = (f"{bound // 100}.{bound % 100:02}%" for bound in bounds)
    return f"{told}, exact 95% interval {low} to {high}"


def overhead(run: ReportRun) -> list[Block]:
    """Say how much time went into metrics, gate and recording."""
    ending, finish = run.core.ending, run.finish
    spent = None if finish is None else finish.overhead_s
    if ending is None or spent is None or spent >= ending.wall_s:
        said = "Not known: the events have no timing of it."
    else:
        share = spent / (ending.wall_s - spent)
        said = (
            f"Overhead (wall-clock): {share:.1%}"
            f" ({spent:.2f} s of metrics, gate and recording in {ending.wall_s:.2f} s)"
        )
    return [Heading(2, "Overhead"), Bullets((said,))]
