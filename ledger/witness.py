r"""The words that a log and a witness exchange (C2SP tlog-witness, ``add-checkpoint``).

A witness remembers the latest checkpoint of each log that it cosigned, and cosigns the
next only if that extends it: so a log cannot show two histories to those who ask for
cosignatures. This module reads and writes the messages and judges a request; it opens
no socket and keeps nothing. Whoever does must compare and store in one atomic step, or
a slower request rolls the witness back.

>>> format_size(3), parse_size("3\n")
('3\n', 3)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ledger.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from ledger.errors import MalformedError, MisuseError
from ledger.merkle import EMPTY_ROOT, HASH_BYTES, check_consistency
from ledger.note import (
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    Signature,
    UntrustedNoteError,
    Verifier,
    format_signature,
    parse_note,
    parse_signature,
)
from ledger.wire import MAX_DECIMAL, decode_base64, encode_base64, octets, parse_decimal

MAX_PROOF_HASHES: Final = 63
"""What a consistency proof of a tree with 2^63-1 entries can have, and C2SP's limit."""
MAX_REQUEST_BYTES: Final = MAX_NOTE_BYTES + 4096
"""A note, and the old size and 63 hashes of 45 bytes in front of it."""
SIZE_CONTENT_TYPE: Final = "text/x.tlog.size"
"""The content type of the reply that names the size a witness last cosigned."""


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request for a cosignature: a checkpoint as a note, and why it extends ``old``."""

    old: int
    proof: tuple[bytes, ...]
    checkpoint: str

    def __post_init__(self) -> None:
        """Refuse what could not be sent.

        Raises:
            LedgerError: The size, a hash or the note cannot be one.
        """
        if not 0 <= self.old <= MAX_DECIMAL or len(self.proof) > MAX_PROOF_HASHES:
            raise MisuseError(f"an old size below 2^63 and at most {MAX_PROOF_HASHES} hashes")
        if any(len(each) != HASH_BYTES for each in self.proof):
            raise MisuseError(f"a hash of a proof has {HASH_BYTES} bytes")
        parse_note(self.checkpoint)


class Status(IntEnum):
    """The HTTP statuses with which a witness answers."""

    COSIGN = 200
    BAD_REQUEST = 400
    FORBIDDEN = 403
    UNKNOWN_LOG = 404
    CONFLICT = 409
    INCONSISTENT = 422


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a witness should answer; the checkpoint is there if it may be cosigned."""

    status: Status
    reason: str
    checkpoint: Checkpoint | None = None


def format_request(request: AddCheckpoint) -> str:
    """Return the body of an ``add-checkpoint`` request."""
    lines = (f"old {request.old}", *map(encode_base64, request.proof), "", request.checkpoint)
    return "\n".join(lines)


def parse_request(body: str | bytes) -> AddCheckpoint:
    """Return the request in *body*; nothing in it is verified.

    Raises:
        MalformedError: It is not an ``add-checkpoint`` request.
    """
    raw = octets(body, MAX_REQUEST_BYTES, what="request")
    head, blank, note = raw.partition(b"\n\n")
    old, *proof = head.split(b"\n")
    if not blank or not old.startswith(b"old ") or len(proof) > MAX_PROOF_HASHES:
        raise MalformedError("a request is an old size, up to 63 hashes and a checkpoint")
    try:
        return AddCheckpoint(
            parse_decimal(old.removeprefix(b"old ")),
            tuple(map(decode_base64, proof)),
            note.decode(),
        )
    except MisuseError as error:
        raise MalformedError(str(error)) from error


def format_response(cosignatures: Sequence[Signature]) -> str:
    """Return the body of a reply that grants *cosignatures*.

    Raises:
        MisuseError: There are none, or more than a note may have.
    """
    if not 0 < len(cosignatures) <= MAX_SIGNATURES:
        raise MisuseError(f"a response has 1 to {MAX_SIGNATURES} cosignatures")
    return "".join(map(format_signature, cosignatures))


def parse_response(body: str | bytes) -> tuple[Signature, ...]:
    """Return the cosignatures in the body of a reply; none of them is verified.

    Raises:
        MalformedError: It is not a sequence of signature lines.
    """
    raw = octets(body, MAX_NOTE_BYTES, what="response")
    if not raw.endswith(b"\n") or raw.count(b"\n") > MAX_SIGNATURES:
        raise MalformedError(f"a response is 1 to {MAX_SIGNATURES} signature lines")
    return tuple(map(parse_signature, raw[:-1].split(b"\n")))


def format_size(size: int) -> str:
    """Return the body of the reply that says which size was cosigned last.

    Raises:
        MisuseError: No tree has that size.
    """
    if not 0 <= size <= MAX_DECIMAL:
        raise MisuseError("a tree has 0 to 2^63-1 entries")
    return f"{size}\n"


def parse_size(body: str | bytes) -> int:
    """Return the size in the body of a conflict reply.

    Raises:
        MalformedError: It is not one decimal and a newline.
    """
    raw = octets(body, 32, what="size")  # 19 digits and a newline
    if not raw.endswith(b"\n"):
        raise MalformedError("a size ends in a newline")
    return parse_decimal(raw[:-1])


def judge_request(
    request: AddCheckpoint, logs: Iterable[Verifier], *, latest: Checkpoint | None
) -> Judgement:
    """Say how a witness that knows *logs* answers, having last cosigned *latest*.

    *latest* is of the origin that the request's checkpoint claims, or ``None``.

    Raises:
        MisuseError: *latest* is of another origin.
    """
    try:
        claimed = parse_checkpoint(parse_note(request.checkpoint).text)
    except MalformedError as error:
        return Judgement(Status.BAD_REQUEST, error.reason)
    if latest is not None and latest.origin != claimed.origin:
        raise MisuseError(f"the latest checkpoint is of {latest.origin!a}")
    # A key signs for its own origin only (its name), whatever else the witness knows.
    known = [verifier for verifier in logs if verifier.name == claimed.origin]
    if not known:
        return Judgement(Status.UNKNOWN_LOG, "no such log is known here")
    try:
        checkpoint, _ = open_checkpoint(request.checkpoint, known)
    except (MalformedError, UntrustedNoteError) as error:
        return Judgement(Status.FORBIDDEN, error.reason)
    return _judge_growth(request, checkpoint, latest=latest)


def _judge_growth(
    request: AddCheckpoint, checkpoint: Checkpoint, *, latest: Checkpoint | None
) -> Judgement:
    """Say whether the log's *checkpoint* extends *latest*."""
    size, root = (latest.size, latest.root) if latest else (0, EMPTY_ROOT)
    if request.old > checkpoint.size:
        return Judgement(Status.BAD_REQUEST, "the old size is above the new one")
    if request.old != size:
        return Judgement(Status.CONFLICT, f"the latest size is {size}")
    try:
        check_consistency(
            size,
            checkpoint.size,
            proof=request.proof,
            first_root=root,
            second_root=checkpoint.root,
        )
    except MalformedError as error:
        return Judgement(Status.INCONSISTENT, error.reason)
    return Judgement(Status.COSIGN, "it extends the latest", checkpoint)
