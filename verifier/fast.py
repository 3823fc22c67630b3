"""The fast path: it may only say "surely valid". All else is read exactly.

Whole expected bytes are compared instead of parsed: the frame's tail is built from the
recomputed hash, the header's beginning from the expected seq and prev, and the rest of the
header is looked up by its bytes. ``data`` is decoded into types that bound integers and
depth, encoded again, and must come out the same: that proves strict JSON, U+0000 apart,
which is looked for. Ids and times are checked in columns.
"""

import base64
import binascii
import re
from array import array
from binascii import hexlify, unhexlify
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, NamedTuple

import msgspec

from verifier.ed25519 import PublicKey, is_weak
from verifier.entries import HEADER, MAX_TYPE, TYPE, Entry, is_time, pae, read_entry
from verifier.lines import MAX_ENTRY
from verifier.segments import Doubt, Part, Segment, Sight
from verifier.strictjson import LIMIT
from verifier.tree import nodes_over

__all__ = ["Fast"]

_Int = Annotated[int, msgspec.Meta(ge=-LIMIT, le=LIMIT)]
_Scalar = None | bool | _Int | float | str
_Level1 = _Scalar
_Level2 = _Scalar | list[_Level1] | dict[str, _Level1]
_Level3 = _Scalar | list[_Level2] | dict[str, _Level2]
_Level4 = _Scalar | list[_Level3] | dict[str, _Level3]
_Level5 = _Scalar | list[_Level4] | dict[str, _Level4]
_decode = msgspec.json.Decoder(dict[str, _Level5]).decode
_encode = msgspec.json.Encoder().encode

# The header behind the time.
_REST = re.compile(
    rb'","key":"([0-9a-f]{64})","signed":(true|false),"type":"(' + TYPE.encode() + rb')",'
    rb'"subject":"([^"\\\x00-\x1f\x7f]{0,512})"'
)
_PUBLIC = re.compile(rb'"public":"([A-Za-z0-9+/]{43}=)"')
_REFERENCE = b'"sha256":"'  # to a blob, unless its name is escaped
_ID_BYTES = bytes(range(0x21, 0x7F))
_MAX_ID = 128
_MAX_HEADERS = 4096
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_TIME_FORM = b'","time":"0000-00-00T00:00:00.000000Z'
_GREATEST_CLAIM = 2**52  # of a seq, far from where it is no integer of the format any more
_SHORTEST = 200  # no line with a frame and eleven members is shorter


@dataclass(frozen=True, slots=True)
class _Rest:
    """The part of a header behind the time, read once for all entries that share it."""

    text: bytes
    key: str
    signed: bool
    type: str
    subject: str
    public: PublicKey | None
    seen: bool


_NO_REST = _Rest(b"", "", signed=False, type="", subject="", public=None, seen=False)


class _Claim(NamedTuple):
    """What the first line of a segment says of its place."""

    seq: int
    prev: bytes


@dataclass(slots=True)
class _Columns:
    """What is collected of the lines of one segment."""

    key: str  # of the first

    digests: list[bytes] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)
    times: list[bytes] = field(default_factory=list)
    rests: set[_Rest] = field(default_factory=set)
    seen: list[Sight] = field(default_factory=list)
    head: int = -1  # -1 until the first signed entry
    run: int = 0
    run_key: str = ""
    signed: int = 0


class Fast:
    """Reads lines of one ledger into segments and doubts.

    ``witnessed`` is whether entries have to be handed to a witness at all, ``hashes``
    whether the hashes of ids are asked for, ``shift`` by how much the places in the tree are
    ahead of the seqs, which is only so where entries are missing or doubled.
    """

    def __init__(self, ledger_id: str, *, witnessed: bool) -> None:
        """Start with no keys."""
        self.hashes = False
        self.shift = 0
        self._witnessed = witnessed
        self._ledger = ledger_id.encode()
        self._keys: dict[str, PublicKey] = {}
        self._rests: dict[bytes, _Rest | None] = {}

    def learn(self, public: bytes) -> None:
        """Take a public key into account: its id is its hash, so anyone may offer one."""
        key_id = sha256(public).hexdigest()
        if key_id not in self._keys and not is_weak(public):
            self._keys[key_id] = PublicKey(public)
            self._rests.clear()

    def block(self, data: bytes, offset: int) -> list[Part]:
        """Read the lines in *data*, which begins at *offset* of its file."""
        lines = data.split(b"\n")
        rest = lines.pop()
        if not lines or len(lines) * _SHORTEST > len(data):
            return [Doubt(offset, offset + len(data))]
        places = [offset]
        for line in lines:
            offset += len(line) + 1
            places.append(offset)
        parts = self.lines(lines, escapes=b"\\" in data)
        found: list[Part] = [
            msgspec.structs.replace(part, start=places[part.start], stop=places[part.stop])
            for part in parts
        ]
        if rest:
            _doubt(found, offset, offset + len(rest))
        return found

    def lines(self, lines: list[bytes], *, escapes: bool = True) -> list[Part]:
        """Read *lines*, without their LF, with escapes in some or in none.

        The parts lie at their indices.
        """
        parts: list[Part] = []
        at = 0
        while at < len(lines):
            header = HEADER.match(lines[at], 9)
            stop = at
            if header is not None and int(header.group(2)) < _GREATEST_CLAIM:
                claim = _Claim(int(header.group(2)), header.group(3)[1:-1])
                columns = _Columns(key=header.group(6).decode())
                stop = self._row(lines, at, columns=columns, claim=claim, escapes=escapes)
                if stop > at:
                    part = self._segment(columns, at, claim)
                    _doubt(parts, at, stop) if part is None else parts.append(part)
            if stop < len(lines):  # this line is in doubt; the next may claim what it likes
                self._learn_from(lines[stop])
                _doubt(parts, stop, stop + 1)
            at = stop + 1
        return parts

    def _learn_from(self, line: bytes) -> None:
        if b'"type":"key.' in line:
            for found in _PUBLIC.findall(line):
                self.learn(base64.b64decode(found))

    def _row(  # noqa: C901, PLR0912, PLR0915 - the loop that everything waits for: few calls in it
        self, lines: list[bytes], at: int, *, columns: _Columns, claim: _Claim, escapes: bool
    ) -> int:
        """Read lines from *at* on into *columns*; return where the first one in doubt is."""
        begin = b'{"entry":{"v":1,"ledger":"' + self._ledger + b'","seq":%d,"prev":"%b","id":"'
        seq, prev, first, stop = claim.seq, claim.prev, at, len(lines)
        keep_digest, keep_id = columns.digests.append, columns.ids.append
        keep_time = columns.times.append
        rest, guess, size, look, run = _NO_REST, b"?", 0, False, 0
        witnessed = self._witnessed
        while at < stop:
            line = lines[at]
            unsigned = line[-5:] == b"null}"
            entry = line[9:-86] if unsigned else line[9:-172]
            prev_digest, prev = prev, hexlify(sha256(b"\x00" + entry).digest())
            opening = begin % (seq, prev_digest)
            if not line.startswith(opening):
                break
            if unsigned:
                if not line.endswith(b'},"hash":"%b","sig":null}' % prev):
                    break
            elif line[-173:-90] != b'},"hash":"%b","sig":"' % prev or line[-2:] != b'"}':
                break
            start = len(opening)
            end = line.find(b'"', start)
            key_at = end + 37
            if not line.startswith(guess, key_at):  # the header behind the time is a new one
                found = self._rest(line[key_at : line.find(b',"data":{', key_at)])
                if found is None or (run and found.key != rest.key):
                    break
                rest, guess = found, found.text
                size = len(guess)
                columns.rests.add(rest)
                look = rest.seen and self._witnessed
            data = line[key_at + size : -87] if unsigned else line[key_at + size : -173]
            try:
                if _encode(_decode(data)) != data or (escapes and b"\\u0000" in data):
                    raise ValueError  # noqa: TRY301 - as much in doubt as what msgspec refuses
            except ValueError:  # msgspec's own errors are some
                if not _is_strict(entry):
                    break
            if len(entry) > MAX_ENTRY or rest.signed is unsigned:
                break
            if unsigned:
                run += 1
            elif not _accepts(rest, entry, line):
                break
            else:
                columns.head = run if columns.head < 0 else columns.head
                columns.signed += 1
                run = 0
            if look or (witnessed and (_REFERENCE in data or (escapes and b"\\u" in data))):
                sight = Sight(at - first, rest.type, rest.subject, rest.key, entry)
                columns.seen.append(sight)
            keep_digest(prev)
            keep_id(line[start:end])
            keep_time(line[end:key_at])
            seq += 1
            at += 1
        columns.run, columns.run_key = run, rest.key
        return at

    def _rest(self, known: bytes) -> _Rest | None:
        """Return what the part of a header behind the time says, None if it is in doubt."""
        cached = self._rests.get(known)
        if cached is not None:
            return cached
        found = _REST.fullmatch(known)
        if found is None or len(found.group(3)) > MAX_TYPE:
            return None
        key, signed, event_type, subject = found.groups()
        if event_type.startswith(b"key.") or event_type == b"ledger.created":
            return None  # what changes the register is read exactly
        try:
            text = subject.decode("utf-8")
        except UnicodeDecodeError:
            return None
        if len(self._rests) >= _MAX_HEADERS:
            self._rests.clear()
        rest = _Rest(
            known + b',"data":',
            key.decode(),
            signed == b"true",
            event_type.decode(),
            text,
            self._keys.get(key.decode()),
            seen=not event_type.startswith(b"x."),
        )
        self._rests[known] = rest
        return rest

    def _segment(self, columns: _Columns, at: int, claim: _Claim) -> Segment | None:
        """Check the columns; return the segment, None if something in them is in doubt."""
        ids, times, number = columns.ids, columns.times, len(columns.ids)
        if not _are_times(times) or not _are_ids(ids):
            return None
        joined = unhexlify(b"".join(columns.digests))
        leaves = [joined[place : place + 32] for place in range(0, len(joined), 32)]
        closed = columns.head >= 0
        return Segment(
            start=at,
            stop=at + number,
            lines=number,
            seq=claim.seq,
            place=claim.seq + self.shift,
            prev=claim.prev,
            last=leaves[-1],
            nodes=tuple(nodes_over(claim.seq + self.shift, leaves)),
            pairs=tuple({(rest.key, rest.type) for rest in columns.rests}),
            head=columns.head if closed else number,
            head_key=columns.key,
            closed=closed,
            tail=columns.run if closed else 0,
            tail_key=columns.run_key,
            signed=columns.signed,
            first_time=times[0][10:],
            last_time=times[-1][10:],
            least_id=min(ids),
            greatest_id=max(ids),
            id_hashes=array("q", sorted(map(hash, ids))).tobytes() if self.hashes else b"",
            seen=tuple(columns.seen),
        )


def _is_strict(entry: bytes) -> bool:
    """Tell exactly whether an entry whose header is good is readable, however it is written."""
    return isinstance(read_entry(entry), Entry)


def _accepts(rest: _Rest, entry: bytes, line: bytes) -> bool:
    if rest.public is None:
        return False
    text = line[-90:-2]
    try:
        signature = base64.b64decode(text)
    except binascii.Error:
        return False
    return base64.b64encode(signature) == text and rest.public.accepts(signature, pae(entry))


def _doubt(parts: list[Part], start: int, stop: int) -> None:
    """Put a doubt behind *parts*, joined with the one before if there is one."""
    if parts and isinstance(parts[-1], Doubt) and parts[-1].stop == start:
        parts[-1] = Doubt(parts[-1].start, stop)
    else:
        parts.append(Doubt(start, stop))


def _are_ids(ids: list[bytes]) -> bool:
    """Tell whether ids are well-formed, and no two the same; none holds a quote."""
    sizes = set(map(len, ids))
    if min(sizes) < 1 or max(sizes) > _MAX_ID or len(set(ids)) != len(ids):
        return False
    joined = b"".join(ids)
    return b"\\" not in joined and not joined.translate(None, _ID_BYTES)


def _are_times(times: list[bytes]) -> bool:
    """Tell whether times, with what stands before them, are well-formed, real and in order."""
    joined = b"".join(times)
    if joined.translate(_DIGITS) != _TIME_FORM * len(times) or sorted(times) != times:
        return False
    hours = set(zip(joined[21::37], joined[22::37], strict=True))
    sixties = max(joined[24::37]) <= ord("5") and max(joined[27::37]) <= ord("5")
    days = {time[10:20] for time in times}
    return (
        sixties
        and all(bytes(hour) < b"24" for hour in hours)
        and all(is_time(day + b"T00:00:00.000000Z") for day in days)
    )
