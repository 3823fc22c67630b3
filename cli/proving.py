"""Checkpoints and proofs for the command line."""

from pathlib import Path

from cli.output import Output
from cli.render import escape, fields
from ledger.checkpoint import origin, parse_checkpoint
from ledger.entry import Entry, parse_entry, parse_line
from ledger.errors import MalformedError, MisuseError
from ledger.note import MAX_NOTE_BYTES, Verifier, parse_note
from ledger.policy import Log, Policy
from ledger.proof import MAX_PROOF_BYTES, check_proof, parse_proof
from ledger.stores.files import write_durably

_MAX_LINE = 1 << 17  # an entry and its frame, with room


def checkpoint_answer(note: str, ledger: str, out: Path | None) -> Output:
    """Return a signed checkpoint as output, after writing it to *out* if that is given."""
    checkpoint = parse_checkpoint(parse_note(note).text)
    data = {"ledger": ledger, "size": checkpoint.size, "root": checkpoint.root.hex()}
    data |= {"note": note, "path": None if out is None else str(out)}
    if out is None:
        return Output("checkpoint", data, note)
    write_durably(out, note.encode())
    text = fields({"checkpoint": f"{checkpoint.size} entries, in {out}", "ledger": ledger})
    return Output("checkpoint", data, text)


def proof_answer(proof: str, ledger: str, seq: int, *, out: Path | None) -> Output:
    """Return a proof as output, after writing it to *out* if that is given."""
    data = {"ledger": ledger, "seq": seq, "proof": proof, "path": str(out) if out else None}
    if out is None:
        return Output("proof", data, proof)
    write_durably(out, proof.encode())
    return Output("proof", data, fields({"proof": f"of entry {seq}, in {out}", "ledger": ledger}))


def read_note(path: Path) -> str:
    """Return the text of a checkpoint file.

    Raises:
        MisuseError: It cannot be read.
        MalformedError: It is not text.
    """
    try:
        return _read(path, MAX_NOTE_BYTES).decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"{path} is not a checkpoint: not UTF-8") from error


def check(proof_file: Path, entry_file: Path, ledger: str, *, public: bytes) -> Output:
    """Check a proof against a ledger's id and the key of its log.

    Raises:
        MisuseError: A file cannot be read, or the id is none.
        MalformedError: The proof, the entry or a signature is false.
        UntrustedNoteError: The checkpoint is not signed by that key.
    """
    policy = Policy(logs=(Log(Verifier(origin(ledger), public)),))
    proof = parse_proof(_read(proof_file, MAX_PROOF_BYTES))
    entry = _entry(_read(entry_file, _MAX_LINE))
    endorsement = check_proof(proof, entry.digest, policy=policy)
    id_of_entry = entry.hash if entry.seq == 0 else entry.ledger
    if (entry.seq, id_of_entry) != (proof.index, ledger):
        raise MalformedError("the entry says that it stands elsewhere", seq=entry.seq)
    size = endorsement.checkpoint.size
    data = {"ledger": ledger, "seq": entry.seq, "hash": entry.hash, "size": size}
    data |= {"type": entry.type, "subject": entry.subject, "time": entry.time}
    shown = {
        "entry": f"{entry.seq}, {entry.type}, {entry.subject or '-'}",
        "hash": entry.hash,
        "ledger": ledger,
        "checkpoint": f"{size} entries, signed by the key that you named",
    }
    text = (
        f"{fields(shown)}\nPROVEN: this entry is in the ledger, unchanged. Not checked: who"
        " signed the entry itself, and whether what it says is true."
    )
    return Output("check-proof", data, text)


def _entry(content: bytes) -> Entry:
    """Read the bytes of an entry, or its line."""
    if content.startswith(b'{"entry":'):
        raw, _, signature = parse_line(content.removesuffix(b"\n"))
        return parse_entry(raw, signature)
    return parse_entry(content, None)


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise MisuseError(f"{escape(str(path))}: {error.strerror}") from error
    if len(content) > limit:
        raise MalformedError(f"{path} is longer than {limit} bytes")
    return content
