"""Show text that others wrote, on a terminal or in a message, without letting it act.

Names, paths and subjects come from the ledger and from the directory, and may hold
terminal escapes, line breaks, bidirectional overrides or zero-width characters.
"""

import unicodedata
from collections.abc import Sequence

__all__ = ["listed", "plural", "shown"]

_LIMIT = 120
# Control, format (bidi, zero-width), surrogate, private, unassigned; line and paragraph separators.
_ACTING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def shown(text: str, limit: int = _LIMIT) -> str:
    r"""Return *text* with everything that could act replaced by its escape, clipped to *limit*.

    >>> shown("gpt\x1b[2J\u202e")
    'gpt\\x1b[2J\\u202e'
    """
    clipped = text[:limit]
    safe = "".join(_escape(c) if unicodedata.category(c) in _ACTING else c for c in clipped)
    return safe if len(text) <= limit else f"{safe}…"


def plural(number: int, noun: str, many: str | None = None) -> str:
    """Return the number with its noun.

    >>> plural(1, "entry", "entries"), plural(12804, "gate check")
    ('1 entry', '12 804 gate checks')
    """
    return f"{number:,} ".replace(",", " ") + (noun if number == 1 else many or f"{noun}s")


def listed(parts: Sequence[str], limit: int) -> str:
    """Join the first *limit* parts, and say how many there are besides."""
    more = len(parts) - limit
    return "; ".join(parts[:limit]) + (f"; … and {more} more" if more > 0 else "")


def _escape(character: str) -> str:
    code = ord(character)
    if code <= 0xFF:  # noqa: PLR2004 - what two hex digits hold
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - four digits
