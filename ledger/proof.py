r"""A proof that a stranger can check offline: C2SP ``tlog-proof@v1``.

One small file says that an entry stands at a place in a ledger: the place, the path to
the root, and the checkpoint with that root, as it was signed. What the entry *is* the
reader brings along: its bytes, of which ``ledger.merkle.leaf_hash`` is taken.

>>> parse_proof("c2sp.org/tlog-proof@v2\n")
Traceback (most recent call last):
    ...
ledger.errors.MalformedError: not a c2sp.org/tlog-proof@v1
"""

from dataclasses import dataclass
from typing import Final

from ledger.errors import MalformedError, MisuseError
from ledger.merkle import HASH_BYTES, check_inclusion
from ledger.note import MAX_NOTE_BYTES, parse_note
from ledger.policy import Endorsement, Policy, open_by_policy
from ledger.wire import MAX_DECIMAL, decode_base64, encode_base64, octets, parse_decimal

MAGIC: Final = "c2sp.org/tlog-proof@v1"
MAX_HASHES: Final = 63
"""The path in a tree of 2^63-1 entries."""
MAX_EXTRA_BYTES: Final = 1 << 16
"""As much as the largest entry, should someone send it along."""
MAX_PROOF_BYTES: Final = MAX_NOTE_BYTES + 2 * MAX_EXTRA_BYTES + 4096
"""A note, the extra data in base64, and 63 hashes of 45 bytes."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Where an entry stands, the path to the root, and the checkpoint as a note.

    ``extra`` is authenticated by nothing: no decision may rest on it.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None

    def __post_init__(self) -> None:
        """Refuse what could not be written as a file.

        Raises:
            LedgerError: The index, a hash, the note or the extra data cannot be one.
        """
        if not 0 <= self.index <= MAX_DECIMAL or len(self.hashes) > MAX_HASHES:
            raise MisuseError(f"an index below 2^63 and at most {MAX_HASHES} hashes")
        if any(len(each) != HASH_BYTES for each in self.hashes):
            raise MisuseError(f"a hash of a proof has {HASH_BYTES} bytes")
        if self.extra is not None and not 0 < len(self.extra) <= MAX_EXTRA_BYTES:
            raise MisuseError(f"extra data has 1 to {MAX_EXTRA_BYTES} bytes")
        parse_note(self.checkpoint)


def format_proof(proof: Proof) -> str:
    """Return *proof* as a file; the customary suffix is ``.tlog-proof``."""
    extra = () if proof.extra is None else (f"extra {encode_base64(proof.extra)}",)
    path = map(encode_base64, proof.hashes)
    return "\n".join((MAGIC, *extra, f"index {proof.index}", *path, "", proof.checkpoint))


def parse_proof(text: str | bytes) -> Proof:
    """Return the proof in *text*; nothing in it is verified.

    Raises:
        MalformedError: It is not a tlog-proof.
    """
    raw = octets(text, MAX_PROOF_BYTES, what="proof")
    head, blank, note = raw.partition(b"\n\n")
    magic, *lines = head.split(b"\n")
    if magic != MAGIC.encode():
        raise MalformedError(f"not a {MAGIC}")
    extra = None
    if lines and lines[0].startswith(b"extra "):
        extra = decode_base64(lines.pop(0).removeprefix(b"extra "))
    if not blank or not lines or not lines[0].startswith(b"index "):
        raise MalformedError("a proof is an index, a path and a checkpoint")
    index, *path = lines
    if len(path) > MAX_HASHES:
        raise MalformedError(f"a path has at most {MAX_HASHES} hashes")
    try:
        return Proof(
            parse_decimal(index.removeprefix(b"index ")),
            tuple(map(decode_base64, path)),
            note.decode(),
            extra,
        )
    except MisuseError as error:
        raise MalformedError(str(error)) from error


def check_proof(proof: Proof, leaf: bytes, *, policy: Policy) -> Endorsement:
    """Check that the entry with leaf hash *leaf* stands where *proof* says.

    The order is fixed: first who signed the checkpoint, then who cosigned it, and only
    then the path to a root that is trusted by now.

    Raises:
        MisuseError: The policy names no log.
        UntrustedNoteError: The checkpoint is not signed as *policy* demands.
        MalformedError: A signature or the path is false.
    """
    endorsement = open_by_policy(proof.checkpoint, policy)
    checkpoint = endorsement.checkpoint
    check_inclusion(
        leaf, proof.index, size=checkpoint.size, proof=proof.hashes, root=checkpoint.root
    )
    return endorsement
