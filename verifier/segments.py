"""Parts of a ledger that the fast path has read: surely valid in themselves, or in doubt.

A segment is a row of lines without a fault *if* it begins where it claims to: with that
``seq``, that ``prev``, keys that may sign what they signed. The chain checks these claims
against what came before, and reads the lines exactly if one does not hold.
"""

import msgspec

__all__ = ["Doubt", "Part", "Segment", "Sight"]


class Sight(msgspec.Struct, frozen=True, array_like=True):
    """An entry that a witness has to see, at its distance from the first of its segment."""

    offset: int
    type: str
    subject: str
    key: str
    entry: bytes


class Segment(msgspec.Struct, frozen=True, array_like=True, tag="segment"):
    """What the chain needs to know of lines that hold no fault in themselves."""

    start: int  # where they lie: bytes of a file, or places in a list of rows
    stop: int
    lines: int
    seq: int  # of the first, as it claims
    place: int  # its index in the tree; another one than seq behind a gap
    prev: bytes  # in hex, as the first claims
    last: bytes  # the hash of the last
    nodes: tuple[tuple[int, bytes], ...]
    pairs: tuple[tuple[str, str], ...]  # each key with each type that it signed
    head: int  # unsigned entries before the first signed one
    head_key: str
    closed: bool  # whether there is a signed one
    tail: int  # unsigned entries behind the last signed one, if there is any
    tail_key: str
    signed: int
    first_time: bytes
    last_time: bytes
    least_id: bytes
    greatest_id: bytes
    id_hashes: bytes  # sorted, 8 bytes each; empty unless asked for
    seen: tuple[Sight, ...]


class Doubt(msgspec.Struct, frozen=True, array_like=True, tag="doubt"):
    """Lines of which the fast path could not say that they are valid."""

    start: int
    stop: int


Part = Segment | Doubt
