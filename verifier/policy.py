"""What the caller trusts and asks for. There is no default trust."""

from dataclasses import dataclass

__all__ = ["Policy"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What is acceptable, and to whom the ledger is anchored.

    ``ledger_id`` is 64 lowercase hex digits that the caller got from outside the ledger, and
    ``checkpoints`` are the bytes of signed notes kept outside its host (format.md section 6).
    ``jobs`` is how many processes may read a large ledger, 0 for one per processor.
    """

    strict: bool
    ledger_id: str | None
    checkpoints: tuple[bytes, ...]
    jobs: int = 0
