"""Checkpoints in signed notes, read as strictly as C2SP and ``format.md`` section 6 write them.

>>> parse_checkpoint(b"no note at all")
Traceback (most recent call last):
    ...
verifier.notes.MalformedNote: there is no empty line before the signatures
"""

import base64
import binascii
import re
from dataclasses import dataclass
from hashlib import sha256

__all__ = ["Checkpoint", "MalformedNote", "Signature", "key_hint", "parse_checkpoint"]

MAX_NOTE = 1 << 20
MAX_SIGNATURES = 100  # what golang's sumdb takes; C2SP asks for at least 16
_MAX_SIZE = 2**63 - 1
_HINT, _LOG_SIGNATURE = 4, 68
_PREFIX = "evidence-ledger/"

_ORIGIN = re.compile(r"evidence-ledger/([0-9a-f]{64})")
_SIZE = re.compile(r"[1-9][0-9]{0,18}")
_ROOT = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f]")
_SIGNATURE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")


class MalformedNote(Exception):  # noqa: N818 - says what it is
    """The bytes are not a checkpoint of an evidence ledger in a signed note."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature line: the name, the key's four bytes, the signature's."""

    name: str
    hint: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint claims, the bytes that were signed, and by whom; nothing is verified."""

    ledger_id: str
    size: int
    root: bytes
    text: bytes
    signatures: tuple[Signature, ...]

    @property
    def origin(self) -> str:
        """The first line, and the name of the log's own signatures."""
        return _PREFIX + self.ledger_id


def key_hint(name: str, public: bytes) -> bytes:
    """Return the four bytes by which a note names an Ed25519 key."""
    return sha256(name.encode() + b"\n\x01" + public).digest()[:_HINT]


def parse_checkpoint(note: bytes) -> Checkpoint:
    """Take a note apart.

    Raises:
        MalformedNote: It is none, or not one of a checkpoint of format.md section 6.
    """
    text, signatures = _split(note)
    origin, size, root, *more = text[:-1].split("\n")
    if (found := _ORIGIN.fullmatch(origin)) is None:
        raise MalformedNote("the origin is not that of an evidence ledger")
    if not _SIZE.fullmatch(size) or int(size) > _MAX_SIZE:
        raise MalformedNote("the size is not a plain decimal of at least 1")
    if not _ROOT.fullmatch(root):
        raise MalformedNote("the root is not the base64 of 32 bytes")
    if not all(more):
        raise MalformedNote("an extension line is empty")
    return Checkpoint(found.group(1), int(size), base64.b64decode(root), text.encode(), signatures)


def _split(note: bytes) -> tuple[str, tuple[Signature, ...]]:
    if len(note) > MAX_NOTE:
        raise MalformedNote("longer than any checkpoint")
    try:
        whole = note.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedNote("not UTF-8") from None
    if _CONTROL.search(whole):
        raise MalformedNote("a control character")
    body, gap, tail = whole.rpartition("\n\n")
    if not gap:
        raise MalformedNote("there is no empty line before the signatures")
    if not tail.endswith("\n"):
        raise MalformedNote("the last line does not end")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise MalformedNote("too many signatures")
    if body.count("\n") < 2:  # noqa: PLR2004 - origin, size and root
        raise MalformedNote("fewer than three lines")
    return body + "\n", tuple(_signature(line) for line in lines)


def _signature(line: str) -> Signature:
    found = _SIGNATURE.fullmatch(line)
    if found is None:
        raise MalformedNote("a signature line of another form")
    name, text = found.groups()
    try:
        blob = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise MalformedNote("a signature that is not base64") from None
    if len(blob) <= _HINT or base64.b64encode(blob).decode("ascii") != text:
        raise MalformedNote("a signature too short, or not canonical base64")
    return Signature(name, blob[:_HINT], blob[_HINT:])
