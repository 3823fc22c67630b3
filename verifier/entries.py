"""Entries: the eleven members of ``format.md`` section 2.

All of ``E`` must be strict JSON; then one regular expression reads the header, so that two
encodings of one header do not exist and no escape can hide a type.
"""

import re
from datetime import date
from hashlib import sha256
from typing import Any, NamedTuple

from verifier.strictjson import NotStrictJson, parse

__all__ = ["HEADER", "TYPE", "Entry", "is_time", "leaf_hash", "pae", "read_entry"]

TYPE = r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+"
MAX_TYPE = 128
_MEMBERS = 11

HEADER = re.compile(
    rb'\{"v":1,"ledger":(null|"[0-9a-f]{64}"),"seq":(0|[1-9][0-9]{0,15}),'
    rb'"prev":(null|"[0-9a-f]{64}"),"id":"([!#-\[\]-~]{1,128})","time":"([^"\\\x00-\x1f\x7f]*)",'
    rb'"key":"([0-9a-f]{64})","signed":(true|false),"type":"(' + TYPE.encode() + rb')",'
    rb'"subject":"([^"\\\x00-\x1f\x7f]{0,512})","data":\{'
)
_TIME = re.compile(
    rb"([0-9]{4}-[0-9]{2}-[0-9]{2})T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z"
)
_PAE = b"DSSEv1 45 application/vnd.evidence-ledger.entry.v1+json %d %b"


class Entry(NamedTuple):
    """A readable entry; the two hashes in hex, as they stand there."""

    ledger: bytes | None
    seq: int
    prev: bytes | None
    id: bytes
    time: bytes
    key: str
    signed: bool
    type: str
    subject: str
    data: dict[str, Any]


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry, which is its Merkle leaf (format.md section 3)."""
    return sha256(b"\x00" + entry).digest()


def pae(entry: bytes) -> bytes:
    """Return what is signed: the DSSE encoding of an entry (format.md section 4)."""
    return _PAE % (len(entry), entry)


def read_entry(entry: bytes) -> Entry | str:
    """Return the entry that the bytes ``E`` are, or the code of the finding if none."""
    try:
        value = parse(entry)
    except NotStrictJson:
        return "entry.json"
    version = value.get("v")
    if isinstance(version, int) and not isinstance(version, bool) and version != 1:
        return "entry.version"
    header = HEADER.match(entry)
    if header is None or len(value) != _MEMBERS or len(header.group(8)) > MAX_TYPE:
        return "entry.members"
    ledger, seq, prev, name, time, key, signed, event_type, subject = header.groups()
    return Entry(
        None if ledger == b"null" else ledger[1:-1],
        int(seq),
        None if prev == b"null" else prev[1:-1],
        name,
        time,
        key.decode("ascii"),
        signed == b"true",
        event_type.decode("ascii"),
        subject.decode("utf-8"),
        value["data"],
    )


def is_time(time: bytes) -> bool:
    """Tell whether *time* is a real UTC date and time of the one form allowed."""
    found = _TIME.fullmatch(time)
    if found is None:
        return False
    try:
        date.fromisoformat(found.group(1).decode("ascii"))
    except ValueError:
        return False
    return True
