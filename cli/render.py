r"""Text from a ledger on its way to a terminal: nothing in it may act there.

Whoever can write a subject could otherwise move the cursor, recolour a verdict or
turn a name around with a bidi override.

>>> escape("run/1\x1b[32m VERIFIED")
'run/1\\x1b[32m VERIFIED'
"""

from collections.abc import Sequence

_BYTE = 0x100
_PLANE = 0x10000
_CUT = "…"


def escape(text: str) -> str:
    """Return *text* with everything invisible or active shown as an escape.

    That is what Unicode calls not printable: control characters, format characters
    (bidi, zero width), surrogates, private use, unassigned, and spaces but U+0020.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    point = ord(char)
    if point < _BYTE:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < _PLANE else f"\\U{point:08x}"


def escape_lines(text: str) -> str:
    """Escape each line of a text whose line ends are ours."""
    return "\n".join(escape(line) for line in text.split("\n"))


def shorten(text: str, width: int) -> str:
    """Return *text* in at most *width* characters."""
    return text if len(text) <= width else text[: width - 1] + _CUT


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return *rows* as aligned text; cells are escaped, the last column is left ragged."""
    cells = [[escape(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def fields(pairs: dict[str, str]) -> str:
    """Return names and values, a line each."""
    return columns([[f"{name}:", value] for name, value in pairs.items()])
