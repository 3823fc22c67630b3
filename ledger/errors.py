"""Every error that the ledger raises on purpose.

A subclass exists where a caller would do something different. None of them
knows of exit codes: the command line maps types to codes in one place.
"""


class LedgerError(Exception):
    """Base class, for callers that handle all of them alike."""


class MisuseError(LedgerError):
    """The caller's fault: what it asked for cannot be recorded or does not exist."""


class ConflictError(MisuseError):
    """The ledger has moved on: another head than expected, or an id in use for other content."""


class OversizeError(MisuseError):
    """The entry would exceed 65 535 bytes; larger data belongs in a blob (section 8)."""


class KeyFileError(LedgerError):
    """A key could not be read, unlocked or used: missing, unreadable, wrong kind, weak."""


class KeyRefusedError(LedgerError):
    """The ledger's key register does not let this key write this type of event."""


class MalformedError(LedgerError):
    """The evidence's fault: bytes that do not follow the format.

    ``seq`` is the place in the ledger, when there is one.
    """

    def __init__(self, reason: str, *, seq: int | None = None) -> None:
        """Keep the reason and the place, for callers that say them in another way."""
        super().__init__(reason if seq is None else f"entry {seq}: {reason}")
        self.reason = reason
        self.seq = seq


class BrokenLinkError(MalformedError):
    """An entry that does not follow from the entries before it, or is not vouched for."""


class StoreError(LedgerError):
    """The world's fault: disk full, read-only, locked, failing."""


class LockedError(StoreError):
    """Another process holds the ledger's lock and did not let go in time."""
