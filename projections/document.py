"""A small document, and its two looks: Markdown and plain text.

What a report says is written once, as blocks. Text of our own is a ``str`` and is
taken as it is; text from the ledger is a ``Quoted`` and is made harmless by the
renderer (``projections.escape``). No third kind exists, so nothing hostile gets
in by being forgotten.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from projections.escape import markdown_code, plain_quote


@dataclass(frozen=True, slots=True)
class Quoted:
    """Text that somebody wrote into the ledger."""

    text: str


@dataclass(frozen=True, slots=True)
class Strong:
    """A word of our own that must be seen."""

    text: str


Piece = str | Quoted | Strong
Cell = Piece | tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """A title (level 1) or the head of a section (2)."""

    level: int
    cell: Cell


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A few sentences on one line."""

    cell: Cell


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list without numbers."""

    items: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A header and rows of as many cells; columns in *right* are set flush right."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    right: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Listing:
    """Lines of our own making to be kept as they stand: a strip, a command."""

    lines: tuple[str, ...]


Block = Heading | Paragraph | Bullets | Table | Listing


def to_markdown(blocks: Sequence[Block]) -> bytes:
    """Return the document as GitHub-flavoured Markdown that also reads well as it is."""
    return _join([_markdown_block(block) for block in blocks])


def to_text(blocks: Sequence[Block]) -> bytes:
    """Return the document as plain text for a terminal."""
    return _join([_text_block(block) for block in blocks])


def _join(blocks: list[str]) -> bytes:
    return ("\n\n".join(blocks) + "\n").encode()


def _markdown_block(block: Block) -> str:
    match block:
        case Heading(level, cell):
            return f"{'#' * level} {_markdown(cell)}"
        case Paragraph(cell):
            return _markdown(cell)
        case Bullets(items):
            return "\n".join(f"- {_markdown(item)}" for item in items)
        case Table(header, rows, right):
            cells = [header, *(tuple(_markdown(cell) for cell in row) for row in rows)]
            lines = _columns(cells, right)
            rule = [
                "-" * (width - 1) + (":" if column in right else "-")
                for column, width in enumerate(len(cell) for cell in lines[0])
            ]
            return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))
        case Listing(lines):
            return "\n".join(("```text", *lines, "```"))


def _text_block(block: Block) -> str:
    match block:
        case Heading(level, cell):
            shown = _text(cell)
            return f"{shown}\n{('=' if level == 1 else '-') * len(shown)}"
        case Paragraph(cell):
            return _text(cell)
        case Bullets(items):
            return "\n".join(f"- {_text(item)}" for item in items)
        case Table(header, rows, right):
            cells = [header, *(tuple(_text(cell) for cell in row) for row in rows)]
            return "\n".join("  ".join(line).rstrip() for line in _columns(cells, right))
        case Listing(lines):
            return "\n".join(f"    {line}".rstrip() for line in lines)


def _columns(rows: list[tuple[str, ...]], right: frozenset[int]) -> list[tuple[str, ...]]:
    """Return *rows* with each column padded to its widest cell, which has at least 3 characters."""
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(rows[0]))]
    return [
        tuple(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _markdown(cell: Cell) -> str:
    match cell:
        case tuple():
            return "".join(_markdown(piece) for piece in cell)
        case Quoted(text):
            return markdown_code(text)
        case Strong(text):
            return f"**{text}**"
        case _:
            return cell


def _text(cell: Cell) -> str:
    match cell:
        case tuple():
            return "".join(_text(piece) for piece in cell)
        case Quoted(text):
            return plain_quote(text)
        case Strong(text):
            return text
        case _:
            return cell
