"""What each finding means, and what to do about it; for people, offline.

The codes are those of format.md section 9 and are a stable interface.
"""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CODES", "Explanation", "explain"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a finding means for the reader, and the next step."""

    meaning: str
    action: str


_COPY = "Compare with another copy of the ledger, from a backup or from whoever holds a checkpoint."
_ASK = "Ask the owner of the ledger, and do not rely on what these entries say until it is settled."
_BUG = "If no one touched the file, the program that wrote it is at fault: report it."

CODES: Mapping[str, Explanation] = {
    "line.framing": Explanation(
        'A line is not exactly {"entry":E,"hash":H,"sig":S} and a line feed: bytes were added, '
        "lost or changed, or writing was interrupted at the last line.",
        "At the last line alone: let the writer recover the ledger and verify again. " + _COPY,
    ),
    "entry.version": Explanation(
        "The entry was written by a newer version of the format, which this verifier cannot judge.",
        "Use a newer verifier.",
    ),
    "entry.json": Explanation(
        "The entry is not strict JSON: two readers could understand it differently.",
        _COPY,
    ),
    "entry.members": Explanation(
        "The entry does not have exactly the members of the format, in their order and form.",
        _COPY,
    ),
    "entry.hash": Explanation(
        "The entry's bytes are not the ones that its hash was made of: one of the two was changed.",
        _COPY,
    ),
    "chain.seq": Explanation(
        "Entries are missing, repeated or out of order at this place.",
        _COPY,
    ),
    "chain.prev": Explanation(
        "The entry does not follow from the one before it: one of the two was changed or moved.",
        _COPY,
    ),
    "chain.ledger": Explanation(
        "The entry belongs to another ledger and was spliced in here.",
        _COPY,
    ),
    "id.duplicate": Explanation(
        "Two entries have the same event id: one event was recorded twice, or replayed.",
        _BUG,
    ),
    "genesis.invalid": Explanation(
        "Entry 0 does not set up a ledger, so nothing says which keys may write.",
        "Make sure that this is the whole file, from its first line. " + _COPY,
    ),
    "key.unknown": Explanation(
        "The entry is signed by a key that the ledger has not authorised at that point.",
        _ASK,
    ),
    "key.revoked": Explanation(
        "The entry is signed by a key that had been revoked or rotated out.",
        _ASK,
    ),
    "key.role": Explanation(
        "The key that signed may not write this type of event.",
        _ASK,
    ),
    "key.weak": Explanation(
        "Signatures can be forged under a public key here, or libraries disagree about it.",
        "Have the owner register a key that was made by an ordinary key generator.",
    ),
    "key.compromised": Explanation(
        "The owner has declared that the key was in wrong hands when this entry was signed.",
        "Do not rely on this entry, checkpoint or not.",
    ),
    "sig.invalid": Explanation(
        "The signature does not fit the entry: the entry was changed, or the key's holder never "
        "signed it.",
        _COPY,
    ),
    "sig.presence": Explanation(
        "The entry says that it is signed and has no signature, or the other way round.",
        _COPY,
    ),
    "batch.keys": Explanation(
        "Entries of several keys stand under one signature, or a key event has none of its own.",
        _ASK,
    ),
    "batch.long": Explanation(
        "More entries stand under one signature than the format allows.",
        _BUG,
    ),
    "batch.torn": Explanation(
        "The ledger ends in entries that no signature vouches for: writing was interrupted, or "
        "someone without a key appended them, or the signed entry was cut off.",
        "Let the writer recover the ledger, and verify again.",
    ),
    "time.form": Explanation(
        "The entry's time is not a UTC date in the form of the format.",
        _BUG,
    ),
    "time.backward": Explanation(
        "The entry claims an earlier time than one before it: a clock was set back, or an entry "
        "was back-dated.",
        "Look at the two times; they are claims of the writers, and prove nothing.",
    ),
    "anchor.id": Explanation(
        "This is not the ledger whose id you trust.",
        "Check that you have the right file and the right id; if both are right, it was replaced.",
    ),
    "anchor.checkpoint": Explanation(
        "The ledger does not continue the one that your checkpoint was signed for: entries were "
        "cut off or rewritten, or it is another ledger.",
        "Keep both, the checkpoint and this file: together they prove that history was changed.",
    ),
    "anchor.missing": Explanation(
        "The ledger is consistent, but nothing says that it is the right one: anyone can make a "
        "ledger with keys of their own.",
        "Get the ledger's id or a checkpoint from its owner by another way, and pass it.",
    ),
    "event.schema": Explanation(
        "The payload is not what the published schema of its type asks for, or a key event breaks "
        "the rules of the key register and has no effect.",
        _BUG,
    ),
    "event.order": Explanation(
        "The event cannot have happened at this point of its run's story.",
        "Look at the events of this subject in their order. " + _BUG,
    ),
    "gate.plan": Explanation(
        "The plan of the training gate contradicts itself, or is not the preset whose name it "
        "bears: the gate was made milder, or stricter, than its name says.",
        "Compare the plan in run.planned with the published preset; do not rely on the gate's "
        "decisions in this run.",
    ),
    "gate.decision": Explanation(
        "A gate check is not what its plan and the metrics on record give: the decision, or the "
        "numbers beside it, were made up or changed.",
        "Rely on the metrics, not on the check: the message says what they give. " + _BUG,
    ),
    "gate.missing": Explanation(
        "A window of the run has no gate check: the gate was not asked, or what it said was left "
        "out.",
        "Look at the metrics of that window; it counts as not checked. " + _BUG,
    ),
    "artifact.missing": Explanation(
        "A file or link that the ledger records is not in the run directory, or is something "
        "else there: a link for a file, a file for a link.",
        "Restore the file from another copy, or project it again from the ledger.",
    ),
    "artifact.extra": Explanation(
        "The run directory holds files that no event explains.",
        "Move them away if they are yours; do not rely on them.",
    ),
    "artifact.checksum": Explanation(
        "A file's bytes are not the ones on record: it was changed after the run.",
        "Project it again from the ledger, or restore it from another copy.",
    ),
    "artifact.size": Explanation(
        "A file has another size than the one on record: it was changed after the run.",
        "Project it again from the ledger, or restore it from another copy.",
    ),
    "artifact.count": Explanation(
        "A result file counts gate checks otherwise than the events do.",
        "Rely on the events, not on the file; project it again from the ledger.",
    ),
    "artifact.content": Explanation(
        "A result file, or the ledger of a rank, says something else than the events do, whatever "
        "its digest on record.",
        "Rely on the events, not on a result file: project it again. A rank's ledger cannot be "
        "made again: the message says where it and the run part.",
    ),
    "blob.missing": Explanation(
        "A blob that an entry refers to is gone, and no event says that it was erased.",
        "Restore it from another copy; its name is its digest.",
    ),
    "blob.checksum": Explanation(
        "A blob's bytes are not the ones that its digest was made of.",
        "Restore it from another copy; its name is its digest.",
    ),
    "store.index": Explanation(
        "A column of the database disagrees with the entry that it indexes: queries would be "
        "answered wrongly, though the entry itself is whole.",
        "Export the ledger and import it into a new database.",
    ),
}


def explain(code: str) -> Explanation:
    """Return what *code* means; a code of a later version is said to be unknown."""
    unknown = Explanation("This code is not known here.", "Use the verifier that printed it.")
    return CODES.get(code, unknown)
