"""What all sections of a report use."""

import re

from projections.document import Block, Paragraph, Piece, Quoted

MOST_ROWS = 24  # of a table whose rows somebody else makes: more would drown the rest
NOTHING = "-"

_TIME = re.compile(r"[0-9T:.Z-]{1,32}")
_SIX_ZEROS = re.compile(r"\.000000Z$")


def moment(time: str) -> Piece:
    """Return a time of the ledger, without a fraction that is zero."""
    return _SIX_ZEROS.sub("Z", time) if _TIME.fullmatch(time) else Quoted(time)


def more(count: int) -> list[Block]:
    """Return the line below a table that shows the first rows of *count*."""
    return [Paragraph(f"… and {count - MOST_ROWS} more.")] if count > MOST_ROWS else []
