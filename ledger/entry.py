r"""One entry of the ledger: its bytes, its hash, its line (format.md sections 1 to 4).

An entry is never re-serialised. ``build_entry`` makes the bytes once; everything
after that (hash, signature, store, export) handles those bytes as they are.

>>> line = frame_line(b"{}", entry_hash(b"{}"), None)
>>> line[:9], line[-86:][:10]
(b'{"entry":', b',"hash":"9')
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ledger import strictjson
from ledger.errors import MalformedError, MisuseError, OversizeError

MAX_ENTRY_BYTES = 65_535  # section 1: what a C2SP entry bundle can hold
MAX_RUN = 65_536  # section 4: entries that one signature vouches for, itself included
HASH_BYTES = 32
PAYLOAD_TYPE = b"application/vnd.evidence-ledger.entry.v1+json"

_TYPE = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+")
_ID = re.compile(r"[!#-\[\]-~]{1,128}")
_HEADER_TEXT = re.compile(r'[^"\\\x00-\x1f\x7f\ud800-\udfff]*')
_MAX_TYPE = 128
_MAX_SUBJECT = 512

_HEADER = re.compile(
    rb'\{"v":(?P<v>0|[1-9][0-9]{0,15})'
    rb',"ledger":(?P<ledger>null|"[0-9a-f]{64}")'
    rb',"seq":(?P<seq>0|[1-9][0-9]{0,15})'
    rb',"prev":(?P<prev>null|"[0-9a-f]{64}")'
    rb',"id":"(?P<id>[!#-\[\]-~]{1,128})"'
    rb',"time":"(?P<time>[^"\\\x00-\x1f\x7f]*)"'
    rb',"key":"(?P<key>[0-9a-f]{64})"'
    rb',"signed":(?P<signed>true|false)'
    rb',"type":"(?P<type>(?=[a-z0-9_.]{3,128}")[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+)"'
    rb',"subject":"(?P<subject>[^"\\\x00-\x1f\x7f]{0,512})"'
    rb',"data":(?P<data>\{.*\})\}',
    re.DOTALL,
)
_TIME = re.compile(
    rb"(?!0000)[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    rb"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z"
)
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_OPEN = b'{"entry":'
_UNSIGNED_TAIL = 86  # ,"hash":"<64>","sig":null}
_SIGNED_TAIL = 172  # ,"hash":"<64>","sig":"<88>"}
_TAIL = re.compile(
    rb',"hash":"([0-9a-f]{64})","sig":(?:null|"([A-Za-z0-9+/]{85}[AQgw]==)")\}', re.DOTALL
)


@dataclass(frozen=True)
class Event:
    """Something that happened, not yet in a ledger.

    ``data`` is a JSON object. ``id`` makes the append idempotent; without it each
    append is a new entry.
    """

    type: str
    subject: str
    data: dict[str, Any]
    id: str | None = None

    def __post_init__(self) -> None:
        """Check the header members (section 2).

        Raises:
            MisuseError: A member does not have the form that the page demands.
        """
        if not _TYPE.fullmatch(self.type) or len(self.type) > _MAX_TYPE:
            raise MisuseError(
                f"type {self.type[:140]!r}: expected dotted lower-case names such as"
                f" gate.checked, at most {_MAX_TYPE} bytes"
            )
        if not _HEADER_TEXT.fullmatch(self.subject):
            raise MisuseError(
                f"subject {self.subject[:80]!r}: quotes, backslashes and control characters"
                " are not allowed"
            )
        if len(self.subject) * 4 > _MAX_SUBJECT and len(self.subject.encode()) > _MAX_SUBJECT:
            raise MisuseError(f"subject is longer than {_MAX_SUBJECT} bytes of UTF-8")
        if self.id is not None and not _ID.fullmatch(self.id):
            raise MisuseError(
                f"id {self.id[:140]!r}: expected 1 to 128 printable ASCII characters"
                " without quotes, backslashes and spaces"
            )


@dataclass(frozen=True)
class Entry:
    """An event at its place: numbered, linked and, alone or in its batch, signed."""

    raw: bytes
    digest: bytes
    signature: bytes | None
    ledger: str | None
    seq: int
    prev: str | None
    id: str
    time: str
    key: str
    signed: bool
    type: str
    subject: str
    payload: bytes

    @property
    def hash(self) -> str:
        """The entry hash in lowercase hex: identity, link and Merkle leaf (section 3)."""
        return self.digest.hex()

    @cached_property
    def data(self) -> dict[str, Any]:
        """The payload, parsed strictly.

        Raises:
            MalformedError: The payload breaks a rule of section 2.
        """
        try:
            return strictjson.parse(self.payload, depth=strictjson.MAX_DEPTH - 1)
        except MalformedError as error:
            raise MalformedError(error.reason, seq=self.seq) from error


@dataclass(frozen=True, slots=True)
class Head:
    """How many entries a ledger has, and the hash of the last (32 zero bytes of none)."""

    size: int
    hash: bytes


def entry_hash(raw: bytes) -> bytes:
    """Return SHA-256(0x00 || E), which is also the RFC 6962 leaf hash (section 3)."""
    return hashlib.sha256(b"\0" + raw).digest()


def pae(raw: bytes) -> bytes:
    """Return the DSSE v1 pre-authentication encoding that is signed (section 4)."""
    return b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE, len(raw), raw)


def build_entry(  # noqa: PLR0913 - the eleven members of section 2, `v` aside
    *,
    ledger: str | None,
    seq: int,
    prev: str | None,
    event_id: str,
    time: str,
    key: str,
    signed: bool,
    event_type: str,
    subject: str,
    data: bytes,
) -> bytes:
    """Return the bytes E of an entry whose members have been checked.

    Raises:
        OversizeError: The entry would not fit; larger data belongs in a blob.
    """
    ledger_json = "null" if ledger is None else f'"{ledger}"'
    prev_json = "null" if prev is None else f'"{prev}"'
    raw = (
        (
            f'{{"v":1,"ledger":{ledger_json},"seq":{seq},"prev":{prev_json},"id":"{event_id}"'
            f',"time":"{time}","key":"{key}","signed":{"true" if signed else "false"}'
            f',"type":"{event_type}","subject":"{subject}","data":'
        ).encode()
        + data
        + b"}"
    )
    if len(raw) > MAX_ENTRY_BYTES:
        raise OversizeError(
            f"{event_type}: the entry would have {len(raw)} bytes, at most {MAX_ENTRY_BYTES} fit:"
            " put the large part into a blob and record its digest"
        )
    return raw


def parse_entry(raw: bytes, signature: bytes | None) -> Entry:
    """Read the header of E and slice out its payload, whose JSON is not parsed yet.

    Raises:
        MalformedError: E is not an entry of version 1.
    """
    if len(raw) > MAX_ENTRY_BYTES:
        raise MalformedError(f"longer than {MAX_ENTRY_BYTES} bytes")
    match = _HEADER.fullmatch(raw)
    if match is None:
        raise MalformedError("not the eleven members of an entry in their order")
    part = match.groupdict()
    if part["v"] != b"1":
        raise MalformedError(f"format version {part['v'].decode()}: this program reads version 1")
    try:
        time, subject = part["time"].decode("ascii"), part["subject"].decode()
    except UnicodeDecodeError as error:
        raise MalformedError("a header member is not UTF-8") from error
    _check_time(part["time"])
    return Entry(
        raw=raw,
        digest=entry_hash(raw),
        signature=signature,
        ledger=_hex_or_none(part["ledger"]),
        seq=int(part["seq"]),
        prev=_hex_or_none(part["prev"]),
        id=part["id"].decode(),
        time=time,
        key=part["key"].decode(),
        signed=part["signed"] == b"true",
        type=part["type"].decode(),
        subject=subject,
        payload=part["data"],
    )


def _hex_or_none(token: bytes) -> str | None:
    return None if token == b"null" else token[1:-1].decode()


def _check_time(token: bytes) -> None:
    """Refuse what is not a real UTC date in the one form of section 2."""
    if not _TIME.fullmatch(token):
        raise MalformedError("time is not of the form YYYY-MM-DDThh:mm:ss.ffffffZ")
    year, month, day = int(token[:4]), int(token[5:7]), int(token[8:10])
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if day > _DAYS[month - 1] or (month == 2 and day == 29 and not leap):  # noqa: PLR2004 - February
        raise MalformedError("time is not a real date")


def frame_line(raw: bytes, digest: bytes, signature: bytes | None) -> bytes:
    """Return the JSONL line of an entry, its LF included (section 1)."""
    sig = b"null" if signature is None else b'"%b"' % base64.b64encode(signature)
    return b'{"entry":%b,"hash":"%b","sig":%b}\n' % (raw, digest.hex().encode(), sig)


def parse_line(line: bytes) -> tuple[bytes, bytes, bytes | None]:
    """Slice a line, without its LF, into (E, hash, signature).

    Raises:
        MalformedError: The line is not framed as section 1 demands.
    """
    cut = len(line) - (_UNSIGNED_TAIL if line.endswith(b"null}") else _SIGNED_TAIL)
    tail = _TAIL.fullmatch(line, max(cut, 0))
    raw = line[len(_OPEN) : max(cut, 0)]
    if tail is None or not line.startswith(_OPEN + b"{") or not raw.endswith(b"}"):
        raise MalformedError("the line is not framed as an entry")
    signature = None if tail[2] is None else base64.b64decode(tail[2])
    return raw, bytes.fromhex(tail[1].decode()), signature
