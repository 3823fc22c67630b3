"""What is said of the faults that the exact reader names by code alone."""

__all__ = ["KEY_FAULTS", "RUN_FAULTS", "UNREADABLE"]

UNREADABLE = {
    "entry.json": "not strict JSON",
    "entry.members": "not the eleven members in their order and form",
    "entry.version": "a format version that is not known here",
}
KEY_FAULTS = {
    "key.unknown": "the key was not authorised by then",
    "key.revoked": "the key was rotated out or revoked by then",
    "key.role": "the key has no role for this type",
}
RUN_FAULTS = {
    "batch.keys": "entries before it that it vouches for carry another key",
    "batch.long": "more than 65 536 entries under one signature",
}
