"""Against whom a verdict proves anything, and why (format.md section 6, "What pinning is for")."""

from dataclasses import dataclass
from typing import Literal

from verifier.core import Reading
from verifier.policy import Policy
from verifier.text import plural

__all__ = ["Answer", "Proof", "proves"]

Answer = Literal["yes", "partly", "no"]


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether someone could have changed the ledger unnoticed: ``yes`` is that they could not."""

    answer: Answer
    reason: str

    def to_json(self) -> dict[str, str]:
        """Return the proof as JSON values."""
        return {"answer": self.answer, "reason": self.reason}


def proves(policy: Policy, reading: Reading, *, refuted: bool) -> tuple[tuple[str, Proof], ...]:
    """Return against whom the verdict proves anything: outsider, operator, key holder."""
    whom = ("outsider", "operator", "key_holder")
    if refuted:
        nothing = Proof("no", "what is refuted proves nothing")
        return tuple((name, nothing) for name in whom)
    pinned = max(reading.checkpoints_held, default=0)
    if pinned:
        return tuple(zip(whom, _by_checkpoint(pinned, reading.size), strict=True))
    if policy.ledger_id is not None:
        return tuple(zip(whom, _by_id(), strict=True))
    return tuple(zip(whom, _by_nothing(), strict=True))


def _by_nothing() -> tuple[Proof, Proof, Proof]:
    return (
        Proof(
            "no",
            "nothing is pinned: anyone can make a ledger that verifies, with keys of their own; "
            "a trusted id would change that",
        ),
        Proof("no", "nothing is pinned: whoever can write the file can replace it by another"),
        Proof("no", "nothing is pinned: the owner can rewrite everything"),
    )


def _by_id() -> tuple[Proof, Proof, Proof]:
    return (
        Proof(
            "partly",
            "without a key nobody can alter, insert or reorder entries of this ledger; but whoever "
            "can write the file can cut entries off its end",
        ),
        Proof(
            "partly",
            "whoever can write the file can cut its end off, a revocation too, and any single key "
            "can rewrite what comes after the last entry that another key signed",
        ),
        Proof(
            "no", "the owner's key can rewrite everything; only a checkpoint kept elsewhere tells"
        ),
    )


def _by_checkpoint(pinned: int, size: int) -> tuple[Proof, Proof, Proof]:
    first = f"the first {plural(pinned, 'entry', 'entries')}" if pinned != 1 else "the first entry"
    if pinned >= size:
        whole = Proof("yes", "the checkpoint pins every entry")
        return whole, whole, _by_checkpoint_against_owner(first)
    later = plural(size - pinned, "later entry", "later entries")
    return (
        Proof(
            "partly",
            f"nobody can alter {first} unnoticed; without a key nobody can alter the {later} "
            "either, but whoever can write the file can cut them off",
        ),
        Proof(
            "partly",
            f"nobody can alter {first} unnoticed; of the {later}, whoever can write the file can "
            "cut any off the end, and any single key can rewrite what comes after the last entry "
            "that another key signed",
        ),
        _by_checkpoint_against_owner(first),
    )


def _by_checkpoint_against_owner(first: str) -> Proof:
    return Proof(
        "partly",
        f"nobody can alter {first} unnoticed, not even the owner, unless the holder of the owner's "
        "key also controls where the checkpoint was kept; what comes later the owner can rewrite",
    )
