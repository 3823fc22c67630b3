"""Lines: their frame, and reading them from a file that may be anything.

A line is ``{"entry":E,"hash":"H","sig":S}`` and nothing else (``format.md`` section 1), so
``E`` is a slice at fixed offsets. The reader holds one block and at most one line: a file
without newlines does not fill the memory, and a run of empty lines is one item.

>>> frame(b'{"entry":{},"hash":"' + b"0" * 64 + b'","sig":null}')
Frame(entry=b'{}', hash=b'0000000000000000000000000000000000000000000000000000000000000000', sig=None)
"""  # noqa: E501 - the doctest's line is what the function returns

import base64
import os
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from verifier.strictjson import viable

__all__ = ["MAX_ENTRY", "MAX_LINE", "Blanks", "Frame", "Line", "could_be_torn", "frame", "read"]

MAX_ENTRY = 65_535  # format.md section 1: what a C2SP entry bundle can hold
_START = b'{"entry":'
_UNSIGNED_TAIL, _SIGNED_TAIL = 86, 172
MAX_LINE = len(_START) + MAX_ENTRY + _SIGNED_TAIL
_BLOCK = 1 << 18

_TAIL = re.compile(
    rb',"hash":"([0-9a-f]{64})","sig":(?:null|"([A-Za-z0-9+/]{85}[AQgw]==)")\}', re.DOTALL
)
_CUT_TAIL = re.compile(
    rb',(?:"(?:h(?:a(?:s(?:h(?:"(?::(?:"[0-9a-f]{0,64})?)?)?)?)?)?)?)?'
    rb'|,"hash":"[0-9a-f]{64}"(?:,(?:"(?:s(?:i(?:g(?:"(?::(?:n(?:u(?:ll?)?)?)?)?)?)?)?)?)?)?'
    rb'|,"hash":"[0-9a-f]{64}","sig":"(?:[A-Za-z0-9+/]{0,85}'
    rb'|[A-Za-z0-9+/]{85}[AQgw](?:=(?:="?)?)?)'
)


class Frame(NamedTuple):
    """The three parts of a line: E, H in hex, and the 64 bytes of S or None."""

    entry: bytes
    hash: bytes
    sig: bytes | None


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its LF; cut off, and longer than any line may be, if it is too long."""

    bytes: bytes
    terminated: bool


@dataclass(frozen=True, slots=True)
class Blanks:
    """A run of empty lines."""

    number: int


def frame(line: bytes) -> Frame | None:
    """Take *line* apart, or return None if it is not framed exactly as section 1 has it."""
    size = _UNSIGNED_TAIL if line.endswith(b"null}") else _SIGNED_TAIL
    entry = line[len(_START) : -size]
    tail = _TAIL.fullmatch(line, max(len(line) - size, 0))
    if tail is None or not line.startswith(_START + b"{"):
        return None
    if not entry.endswith(b"}") or not len(b"{}") <= len(entry) <= MAX_ENTRY:
        return None
    sig = tail.group(2)
    return Frame(entry, tail.group(1), None if sig is None else base64.b64decode(sig))


def could_be_torn(line: bytes) -> bool:
    """Tell whether *line*, the last one and without LF, is a well-formed line cut short.

    A complete line that lacks only its LF is; a complete line with another byte behind it
    is not, so a flipped last LF is never taken for a crash.
    """
    if len(line) <= len(_START):
        return _START.startswith(line)
    if not line.startswith(_START + b"{") or len(line) > MAX_LINE or not viable(line[9:]):
        return False
    end = _end_of_object(line)
    if end is None:
        return len(line) - len(_START) <= MAX_ENTRY
    return (
        _CUT_TAIL.fullmatch(line, end) is not None
        or _TAIL.fullmatch(line, end) is not None
        or end == len(line)
    )


_BRACKET = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|"|[{}]', re.DOTALL)


def _end_of_object(line: bytes) -> int | None:
    """Return where the object that begins behind the frame's start ends, None if it does not."""
    depth = 0
    for token in _BRACKET.finditer(line, len(_START)):
        depth += {b"{": 1, b"}": -1}.get(token.group(), 0)
        if depth == 0:
            return token.end()
    return None


def read(descriptor: int, start: int, stop: int) -> Iterator[Line | Blanks]:
    """Yield the lines in the bytes from *start* to *stop* of an open file.

    The file is read with ``pread``, so that readers do not disturb each other.

    Raises:
        OSError: It cannot be read.
    """
    rest = b""
    while start < stop:
        block = os.pread(descriptor, min(_BLOCK, stop - start), start)
        if not block:  # cut while we read it: what is left is its last line
            break
        start += len(block)
        at = 0
        if rest:
            end = block.find(b"\n")
            if end < 0:
                rest = _bounded(rest, block)
                continue
            yield Line(_bounded(rest, block[:end]), terminated=True)
            at, rest = end + 1, b""
        at = yield from _whole_lines(block, at)
        rest = block[at:]
    if rest:
        yield Line(rest, terminated=False)


def _whole_lines(block: bytes, at: int) -> Generator[Line | Blanks, None, int]:
    """Yield the lines of *block* from *at* on that end in it; return where the rest begins."""
    while (end := block.find(b"\n", at)) >= 0:
        if end > at:
            yield Line(block[at:end], terminated=True)
            at = end + 1
            continue
        run = _LFS.match(block, at)
        stop = run.end() if run else at + 1
        yield Blanks(stop - at)
        at = stop
    return at


_LFS = re.compile(rb"\n+")


def _bounded(rest: bytes, more: bytes) -> bytes:
    """Join two parts of a line, keeping no more than shows that it is too long."""
    return (rest + more[: MAX_LINE + 1])[: MAX_LINE + 1]
