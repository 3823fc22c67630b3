"""The ledger of one rank: is it whole, and does it say it is this run's (capsule.md section 11).

It is a ledger like any other, so it is read by the same core, by itself. Then it is read
again for what it says, since the core need not hand over what is of type ``x.*``.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from verifier.beneath import RefusedError, opened
from verifier.core import Reading, verify_open
from verifier.entries import leaf_hash
from verifier.findings import Fault, Findings
from verifier.lines import MAX_LINE, frame
from verifier.policy import Policy
from verifier.reader import Plan
from verifier.story import Place, RankClaim, Story
from verifier.text import plural, shown
from verifier.tree import Tree

__all__ = ["AtFaultError", "Held", "Home", "Observed", "check_alone", "observations", "wrong"]

_BLOCK = 2 * (MAX_LINE + 1)  # of the second reading: of each rank's file no more is held at once

_Number = float | Literal["NaN", "Infinity", "-Infinity"]


class _Entry(msgspec.Struct, gc=False):
    type: str
    subject: str
    data: msgspec.Raw


class _Opened(msgspec.Struct, gc=False):
    run_id: str
    rank: int
    world_size: int
    chief: str


class Observed(msgspec.Struct, gc=False):
    """What a rank measured at one iteration."""

    iter: int
    values: dict[str, _Number]


_entry = msgspec.json.Decoder(_Entry).decode
_opened = msgspec.json.Decoder(_Opened).decode
_observed = msgspec.json.Decoder(Observed).decode


class Home(NamedTuple):
    """Where the ledgers of a run's ranks lie, and what they must name."""

    root: int
    folder: str
    run_id: str
    chief: str | None
    world_size: int


class AtFaultError(Exception):
    """What is wrong at a ``run.rank``, which stands at *place*."""

    def __init__(self, place: Place, fault: Fault) -> None:
        """Say what is wrong, and where."""
        super().__init__(fault.message)
        self.place = place
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Held:
    """A ledger of a rank that verified by itself, and stands where it was said to."""

    claim: RankClaim
    path: str
    bytes: int
    root: str


def check_alone(claim: RankClaim, home: Home, read: set[str]) -> Held:
    """Read the ledger of one rank by itself; *read* holds the files that were read for any run.

    Raises:
        AtFaultError: It is not whole, or does not stand where *claim* says.
    """
    if claim.world_size != home.world_size or claim.rank >= home.world_size:
        said = f"is rank {claim.rank} of {claim.world_size}, but the plan counts {home.world_size}"
        raise wrong(claim, said)
    if claim.path != f"ranks/rank-{claim.rank}.jsonl":
        raise wrong(claim, f"is not ranks/rank-{claim.rank}.jsonl")
    path = home.folder + claim.path
    if path in read:  # each file is read for one run only, however many claim it
        raise wrong(claim, "belongs to another run, too")
    read.add(path)
    try:
        with opened(home.root, path) as descriptor:
            size = os.fstat(descriptor).st_size
            if size > claim.size * (MAX_LINE + 1):
                raise wrong(claim, f"is {size} bytes, more than {_entries(claim.size)} can be")
            reading = _read_alone(descriptor, claim)
    except (RefusedError, OSError) as error:
        raise _unread(claim, error) from error
    if (reading.size, reading.head) != (claim.size, claim.hash):
        found = f"{_entries(reading.size)} up to {reading.head}"
        raise wrong(claim, f"holds {found}; expected {_entries(claim.size)} up to {claim.hash}")
    return Held(claim, path, size, reading.root)


def _read_alone(descriptor: int, claim: RankClaim) -> Reading:
    inner = Findings()
    policy = Policy(strict=True, ledger_id=claim.ledger, checkpoints=(), jobs=1)
    story = Story(inner, strict=True)
    reading = verify_open(descriptor, policy, findings=inner, story=story, plan=Plan(jobs=1))
    first = next(iter(inner.items()), None)
    if first is not None:
        where = "" if first.line is None else f" at its line {first.line}"
        raise wrong(claim, f"does not verify: {first.code}{where}, {first.message}")
    if inner.errors:
        raise wrong(claim, f"does not verify: {', '.join(inner.counts())}")
    return reading


def _entries(number: int) -> str:
    return plural(number, "entry", "entries")


# -- what it says: the second reading


def observations(held: Held, home: Home) -> Iterator[Observed]:
    """Yield what the rank observed, in order, behind its ``x.rank.opened``.

    Raises:
        AtFaultError: It says something else than what the run says of it.
    """
    begun = False
    for entry in _events(held, home):
        if not entry.type.startswith("x.rank."):
            continue
        _check_subject(held, entry, home)
        if begun is (entry.type == "x.rank.opened"):
            again = "a second x.rank.opened" if begun else f"{entry.type} before x.rank.opened"
            raise wrong(held.claim, f"has {again}")
        if not begun:
            _check_opened(held, entry, home)
            begun = True
        if entry.type == "x.rank.observed":
            yield _observation(held, entry)
    if not begun:
        raise wrong(held.claim, "has no x.rank.opened")


def _events(held: Held, home: Home) -> Iterator[_Entry]:
    """Yield what the entries say; they must have the Merkle root that the core found."""
    tree = Tree()
    for line in _lines(held, home):
        framed = frame(line)
        if framed is None:
            raise _changed(held)
        tree.append(leaf_hash(framed.entry))
        try:
            yield _entry(framed.entry)
        except msgspec.DecodeError as error:  # it was strict JSON with these members
            raise _changed(held) from error
    root = tree.root()
    if root is None or root.hex() != held.root:
        raise _changed(held)


def _lines(held: Held, home: Home) -> Iterator[bytes]:
    """Yield the lines of a file that verified. It is opened for each block: ranks may be many."""
    at = 0
    while at < held.bytes:
        try:
            with opened(home.root, held.path) as descriptor:
                block = os.pread(descriptor, min(_BLOCK, held.bytes - at), at)
        except (RefusedError, OSError) as error:
            raise _unread(held.claim, error) from error
        end = block.rfind(b"\n")
        if end < 0:
            raise _changed(held)
        yield from block[:end].split(b"\n")
        at += end + 1


def _check_subject(held: Held, entry: _Entry, home: Home) -> None:
    subject = f"run/{home.run_id}/rank/{held.claim.rank}"
    if entry.subject != subject:
        said = f"has an {entry.type} about {shown(entry.subject)}, not {shown(subject)}"
        raise wrong(held.claim, said)


def _check_opened(held: Held, entry: _Entry, home: Home) -> None:
    try:
        said = _opened(entry.data)
    except msgspec.DecodeError as error:
        raise wrong(held.claim, f"x.rank.opened is not understood: {error}") from error
    pairs = {
        "run_id": (home.run_id, said.run_id),
        "rank": (held.claim.rank, said.rank),
        "world_size": (home.world_size, said.world_size),
        "chief": (home.chief, said.chief),
    }
    for name, (expected, found) in pairs.items():
        if found != expected:
            told = f"expected {shown(str(expected))}, found {shown(str(found))}"
            raise wrong(held.claim, f"x.rank.opened {name}: {told}")


def _observation(held: Held, entry: _Entry) -> Observed:
    try:
        return _observed(entry.data)
    except msgspec.DecodeError as error:
        raise wrong(held.claim, f"x.rank.observed is not understood: {error}") from error


# -- faults


def wrong(claim: RankClaim, said: str) -> AtFaultError:
    """Return that the ledger of *claim* says something else than the run does."""
    return AtFaultError(claim.place, Fault("artifact.content", f"{shown(claim.path)}: {said}"))


def _changed(held: Held) -> AtFaultError:
    return wrong(held.claim, "was changed while it was read")


def _unread(claim: RankClaim, error: RefusedError | OSError) -> AtFaultError:
    said = str(error)
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        said = "there is no such file"
    elif isinstance(error, OSError):
        said = f"cannot be read: {error.strerror or error}"
    return AtFaultError(claim.place, Fault("artifact.missing", f"{shown(claim.path)}: {said}"))
