"""Show lines as the table of ``docs/benchmarks.md``, on a terminal, or as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bench import Line

_BEGIN, _END = "<!-- table: begin -->\n", "<!-- table: end -->\n"
_TITLES = ("work", "limit, measured beside it", "asked", "measured", "", "in this run")


def row_of(line: Line) -> tuple[str, ...]:
    """Return the cells of a line."""
    return (line.work, line.limit, str(line.reach), line.measured, line.verdict, line.note)


def as_text(line: Line) -> str:
    """Return a line for a terminal, as soon as it has been measured."""
    work, limit, asked, measured, verdict, note = row_of(line)
    return f"{verdict:5}  {work}\n       {measured}   asked {asked}   of: {limit}\n       {note}"


def as_markdown(lines: Sequence[Line]) -> str:
    """Return the whole table."""
    rows = [_TITLES, tuple("---" for _ in _TITLES), *map(row_of, lines)]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |\n" for row in rows)


def as_json(lines: Sequence[Line], conditions: dict[str, object]) -> str:
    """Return everything, with each pair's value."""
    table = [
        {
            "work": line.work,
            "limit": line.limit,
            "asked": {"sense": line.reach.sense, "value": line.reach.value},
            "unit": line.reach.unit,
            "median": line.median,
            "values": line.values,
            "verdict": line.verdict,
            "note": line.note,
        }
        for line in lines
    ]
    return json.dumps({**conditions, "lines": table}, ensure_ascii=False, indent=1)


def write_into(page: Path, lines: Sequence[Line], conditions: dict[str, object]) -> None:
    """Replace the table of a page.

    Raises:
        ValueError: The page does not have the two marks that it stands between.
    """
    text = page.read_text(encoding="utf-8")
    before, begun, rest = text.partition(_BEGIN)
    _, ended, after = rest.partition(_END)
    if not begun or not ended:
        raise ValueError(f"{page} lacks {_BEGIN.strip()} … {_END.strip()}")
    when = f"Measured {conditions['date']} ({conditions['size']} size): {conditions['machine']}."
    load = f"{conditions['load']:.1f} processes wanted a core when it began."
    fresh = f"\n{when} {load}\n\n{as_markdown(lines)}\n"
    page.write_text(f"{before}{begun}{fresh}{ended}{after}", encoding="utf-8")
