"""Sign checkpoints, and prove that an entry stands under one (format.md section 6).

A signer must never sign two histories. So it reads the ledger from disk anew,
and compares it with the last checkpoint that it signed, which it remembers in a
folder of its own: beside its key, not beside the ledger, or a restored backup
would bring its own memory along.
"""

from pathlib import Path

from ledger.checkpoint import (
    Checkpoint,
    format_checkpoint,
    open_checkpoint,
    origin,
    parse_ledger_checkpoint,
)
from ledger.errors import BrokenLinkError, KeyRefusedError, MisuseError
from ledger.keyfile import Key
from ledger.ledger import Ledger
from ledger.merkle import prove_inclusion
from ledger.note import Signer, Verifier, parse_note, sign_note
from ledger.proof import Proof, format_proof
from ledger.register import OWNER
from ledger.replay import Replay
from ledger.stores.files import write_durably

LOG = "log"


def sign_checkpoint(book: Ledger, *, memory: Path) -> str:
    """Return a signed checkpoint of the ledger as it stands on disk, and remember it.

    *memory* is the signer's own folder.

    Raises:
        KeyRefusedError: The ledger's key has neither the role ``owner`` nor ``log``.
        BrokenLinkError: The tree does not extend the last one signed, what is on
            disk is damaged, or the ledger ends inside a batch.
        StoreError: The disk refused.
    """
    key = book.key
    verifier = Verifier(origin(book.id), key.public)
    remembered = memory / f"{book.id}-{key.id[:16]}.note"
    last = _last_signed(remembered, verifier)
    replay = _reread(book, last)
    if not replay.register.has_role(key.id, OWNER, LOG):
        raise KeyRefusedError(f"key {key.id[:16]}… has neither the role owner nor log, or is out")
    checkpoint = Checkpoint(origin(book.id), replay.head.size, replay.frontier.root())
    note = sign_note(format_checkpoint(checkpoint), [Signer(verifier, key.sign)])
    memory.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_durably(remembered, note.encode())
    return note


def log_verifier(ledger_id: str, key: Key) -> Verifier:
    """Return what verifies the checkpoints that *key* signs for a ledger."""
    return Verifier(origin(ledger_id), key.public)


def prove(book: Ledger, seq: int, *, note: str) -> str:
    """Return a ``tlog-proof`` that entry *seq* stands under the checkpoint in *note*.

    Raises:
        MisuseError: The checkpoint does not cover *seq*, or this ledger does not reach it.
        BrokenLinkError: The ledger's root at that size is another one.
        MalformedError: *note* is not a checkpoint of this ledger.
    """
    checkpoint = parse_ledger_checkpoint(parse_note(note).text, book.id)
    if not 0 <= seq < checkpoint.size:
        raise MisuseError(f"entry {seq} is not below the checkpoint's size {checkpoint.size}")
    if book.size < checkpoint.size:
        raise MisuseError(f"the ledger has {book.size} entries, the checkpoint {checkpoint.size}")
    leaves = [row[1] for row in book.rows(0, checkpoint.size)]
    replay = Replay()
    replay.frontier.extend(leaves)
    if replay.frontier.root() != checkpoint.root:
        raise BrokenLinkError(f"the root over {checkpoint.size} entries is not the checkpoint's")
    hashes = tuple(prove_inclusion(leaves, seq, size=checkpoint.size))
    return format_proof(Proof(seq, hashes, note))


def _last_signed(remembered: Path, verifier: Verifier) -> Checkpoint | None:
    if not remembered.exists():
        return None
    return open_checkpoint(remembered.read_bytes(), [verifier])[0]


def _reread(book: Ledger, last: Checkpoint | None) -> Replay:
    """Hash what is on disk, under the lock, and check that it extends *last*."""
    with book.locked():
        replay = Replay()
        for row in book.rows():
            replay.take(row)
            if last is not None and replay.head.size == last.size:
                _require_root(replay, last)
    if replay.ledger != book.id:
        raise BrokenLinkError("the file now holds another ledger")
    if last is not None and replay.head.size < last.size:
        raise BrokenLinkError(
            f"this key has signed a checkpoint of size {last.size}, but the ledger has"
            f" {replay.head.size} entries: it was cut, or restored from a backup"
        )
    if replay.torn:
        raise BrokenLinkError("the ledger ends inside a batch: no checkpoint is signed there")
    replay.settle()
    return replay


def _require_root(replay: Replay, last: Checkpoint) -> None:
    if replay.frontier.root() != last.root:
        raise BrokenLinkError(
            f"this key has signed another history: at size {last.size} the root was"
            f" {last.root.hex()[:16]}…, now it is {replay.frontier.root().hex()[:16]}…"
        )
