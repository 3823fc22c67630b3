"""The gate decisions of a run as a strip of letters, in the order of the checks."""

from projections.report_state import MARKS, ReportRun

WIDTH = 60  # marks in a row, in groups of ten
MOST_MARKS = 600  # ten rows; a longer run has several checks to a mark

_WORST_FIRST = "FW.p"  # a skip outranks a pass: a mark that says pass means all of it
_FAULT = "!"
_ANCHOR = "^"


def strip(run: ReportRun) -> tuple[str, ...]:
    """Return the rows of the strip; each begins with the iteration of its first check."""
    each = _checks_per_mark(run)
    signs = sorted(
        [(anchor.iter, _ANCHOR) for anchor in run.anchors]
        + [(fault.iter, _FAULT) for fault in run.faults],
        reverse=True,
    )
    cells: list[tuple[int, str]] = []
    for start in range(0, len(run.marks), each):
        steps = run.iters[start : start + each]
        cells += [(steps[0], sign) for sign in _signs_until(signs, max(steps))]
        cells.append((steps[0], _worst(run.marks[start : start + each])))
    if signs:
        first = signs[-1][0]
        cells += [(first, sign) for sign in _signs_until(signs, None)]
    rows = [cells[start : start + WIDTH] for start in range(0, len(cells), WIDTH)]
    digits = max(len(str(row[0][0])) for row in rows)
    return tuple(f"{row[0][0]:>{digits}}  {_grouped([mark for _, mark in row])}" for row in rows)


def _signs_until(signs: list[tuple[int, str]], step: int | None) -> list[str]:
    """Take the signs up to *step* off the end of *signs*; return each kind once."""
    found = set()
    while signs and (step is None or signs[-1][0] <= step):
        found.add(signs.pop()[1])
    return sorted(found)


def legend(run: ReportRun) -> str:
    """Say what the letters mean."""
    words = ", ".join(f"{MARKS[name]} {name}" for name in ("pass", "warn", "fail"))
    text = f"Each mark is a gate check: {words}, {MARKS['skip']} skip (not evaluated)."
    each = _checks_per_mark(run)
    if each > 1:
        text = (
            f"Each mark stands for {each} gate checks and shows the worst of them:"
            f" {MARKS['fail']} fail, {MARKS['warn']} warn, {MARKS['skip']} at least one skip,"
            f" {MARKS['pass']} all pass."
        )
    if run.faults:
        text += f" {_FAULT} a fault was injected before the next mark."
    if run.anchors:
        text += f" {_ANCHOR} a change was declared before the next mark."
    return f"{text} A row begins with the iteration of its first mark."


def _checks_per_mark(run: ReportRun) -> int:
    return max(1, -(-len(run.marks) // MOST_MARKS))


def _worst(marks: list[str]) -> str:
    return min(marks, key=_WORST_FIRST.index)


def _grouped(marks: list[str]) -> str:
    row = "".join(marks)
    return " ".join(row[start : start + 10] for start in range(0, len(row), 10))
