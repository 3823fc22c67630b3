"""The body of a checkpoint: which ledger, how many entries, which root (C2SP tlog-checkpoint).

A checkpoint of ours (format.md section 6) has exactly three lines. Those of other logs
may have extension lines, which are returned and never acted on. The body alone proves
nothing: ``open_checkpoint`` takes the signed note around it.

>>> format_checkpoint(Checkpoint("example.com/log", 0, EMPTY_ROOT)).splitlines()[:2]
['example.com/log', '0']
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ledger.errors import MalformedError, MisuseError
from ledger.merkle import EMPTY_ROOT, HASH_BYTES
from ledger.note import MAX_NOTE_BYTES, Note, Verifier, open_note
from ledger.wire import MAX_DECIMAL, decode_base64, encode_base64, octets, parse_decimal

ORIGIN_PREFIX: Final = "evidence-ledger/"

_HEX64: Final = re.compile(r"[0-9a-f]{64}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\ud800-\udfff]")
_BODY_LINES: Final = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head: the root over the first ``size`` entries of the log ``origin``."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no checkpoint can say.

        Raises:
            MisuseError: A field cannot be written, or the empty tree has another root.
        """
        fault = _fault(self)
        if fault is not None:
            raise MisuseError(fault)


def origin(ledger_id: str) -> str:
    """Return the name under which the ledger with that id signs its checkpoints.

    Raises:
        MisuseError: The id is not 64 lowercase hex digits.
    """
    if not _HEX64.fullmatch(ledger_id):
        raise MisuseError("a ledger's id has 64 lowercase hex digits")
    return ORIGIN_PREFIX + ledger_id


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """Return the body of *checkpoint*: the text of the note to sign."""
    lines = (checkpoint.origin, str(checkpoint.size), encode_base64(checkpoint.root))
    return "\n".join((*lines, *checkpoint.extensions, ""))


def parse_checkpoint(body: str | bytes) -> Checkpoint:
    """Return the checkpoint that *body*, the text of a note, states.

    Raises:
        MalformedError: It is not the one way to write a checkpoint.
    """
    raw = octets(body, MAX_NOTE_BYTES, what="checkpoint")
    lines = raw.split(b"\n")
    if len(lines) <= _BODY_LINES or lines.pop() != b"":
        raise MalformedError("a checkpoint has three lines, each with its newline")
    name, size, root, *extensions = lines
    try:
        return Checkpoint(
            name.decode(),
            parse_decimal(size),
            decode_base64(root),
            tuple(line.decode() for line in extensions),
        )
    except MisuseError as error:
        raise MalformedError(str(error)) from error


def parse_ledger_checkpoint(body: str | bytes, ledger_id: str) -> Checkpoint:
    """Return the checkpoint of the ledger with that id (format.md section 6).

    Raises:
        MalformedError: It is none, or of another ledger, or of an empty one.
        MisuseError: The id is not 64 lowercase hex digits.
    """
    expected = origin(ledger_id)
    checkpoint = parse_checkpoint(body)
    if checkpoint.origin != expected:
        raise MalformedError(f"the checkpoint is of {checkpoint.origin!a}, not of {expected}")
    if checkpoint.size == 0 or checkpoint.extensions:
        raise MalformedError("a ledger's checkpoint has a size of at least 1 and three lines")
    return checkpoint


def open_checkpoint(note: str | bytes, verifiers: Iterable[Verifier]) -> tuple[Checkpoint, Note]:
    """Return the checkpoint in a note that at least one of *verifiers* signed.

    Raises:
        MalformedError: It is not a checkpoint in a note, or a known key's line is false.
        UntrustedNoteError: None of *verifiers* signed it.
    """
    opened = open_note(note, verifiers)
    return parse_checkpoint(opened.text), opened


def _fault(checkpoint: Checkpoint) -> str | None:
    """Say why this cannot be a checkpoint, or nothing."""
    if any(not line or _CONTROL.search(line) for line in _texts(checkpoint)):
        return "an origin or extension line is not empty and has no control characters"
    if not 0 <= checkpoint.size <= MAX_DECIMAL:
        return "a tree has 0 to 2^63-1 entries"
    if len(checkpoint.root) != HASH_BYTES:
        return f"a root hash has {HASH_BYTES} bytes"
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        return "the empty tree has another root"
    return None


def _texts(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the lines whose content is free."""
    return (checkpoint.origin, *checkpoint.extensions)
