"""What a projection is, and how one is folded, frozen and continued.

A projection is three functions: a first state, a step and a rendering. The step
*owns* the state that it is given: it may change it in place and return it, so an
append to a list of 100 000 gates costs what an append costs. What makes the fold
pure all the same is that nobody else ever holds a live state: ``replay`` keeps it
to itself and hands out a ``Snapshot``, which is bytes.

The law that every projection keeps, for any n:

    replay(p, entries, snapshot=replay(p, entries, at=n)) == replay(p, entries)

No projection reads a clock, a file or the environment: the same entries give the
same bytes. A projection judges nothing either. It shows what the ledger says;
whether the ledger holds is the verifier's to say.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from ledger.errors import MalformedError, MisuseError

__all__ = [
    "AnyProjection",
    "EntryLike",
    "Projection",
    "Snapshot",
    "dump_snapshot",
    "in_order",
    "load_snapshot",
    "project",
    "render",
    "replay",
]

SNAPSHOT_SCHEMA = "evidence-ledger/snapshot/v1"

_HEX64 = re.compile("[0-9a-f]{64}")

S = TypeVar("S", bound=msgspec.Struct)


class EntryLike(Protocol):
    """What a projection sees of an entry; ``ledger.Entry`` is one, and so is a test's dataclass."""

    @property
    def seq(self) -> int:
        """The entry's place, counted from 0."""

    @property
    def id(self) -> str:
        """The event's own id."""

    @property
    def time(self) -> str:
        """When the writer says that it happened."""

    @property
    def key(self) -> str:
        """The id of the key that the entry names as its signer."""

    @property
    def signed(self) -> bool:
        """Whether the entry carries its own signature."""

    @property
    def type(self) -> str:
        """The event type."""

    @property
    def subject(self) -> str:
        """What the event is about."""

    @property
    def data(self) -> dict[str, Any]:
        """The payload, parsed."""

    @property
    def hash(self) -> str:
        """The entry hash in lowercase hex."""


class Projection(Protocol[S]):
    """A fold from entries to files.

    ``version`` changes with the shape or the meaning of the state, so that a
    snapshot from before the change is refused and not misread.
    """

    @property
    def name(self) -> str:
        """The name under which ``ledger project`` and ``artifact.recorded`` know it."""

    @property
    def version(self) -> int:
        """The version of the state."""

    @property
    def state_type(self) -> type[S]:
        """The type that a frozen state is read back as."""

    def initial(self) -> S:
        """Return the state before entry 0: a new one at every call."""

    def apply(self, state: S, entry: EntryLike) -> S:
        """Return the state after *entry*. The caller gives *state* away and uses it no more.

        Amortised constant time. Types that the projection does not know, and
        payloads that do not fit their schema, change no decision and no count.
        """

    def render(self, state: S) -> dict[str, bytes]:
        """Return the files, by their path in the capsule. *state* stays as it is."""


AnyProjection = Projection[Any]


class Snapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state of one projection after the first ``size`` entries.

    ``head`` is the hash of entry ``size - 1``, or ``None`` before entry 0;
    ``state`` is JSON. A snapshot is a cache: it may be thrown away, and it is
    evidence of nothing, so no verifier reads one.
    """

    schema: str
    projection: str
    version: int
    size: int
    head: str | None
    state: msgspec.Raw

    def __eq__(self, other: object) -> bool:
        """Compare by value; ``msgspec.Raw`` alone would compare by identity."""
        return isinstance(other, Snapshot) and dump_snapshot(self) == dump_snapshot(other)

    def __hash__(self) -> int:
        """Hash what equality compares."""
        return hash(dump_snapshot(self))


def replay(
    projection: Projection[S],
    entries: Iterable[EntryLike],
    *,
    snapshot: Snapshot | None = None,
    at: int | None = None,
) -> Snapshot:
    """Fold *entries* up to the first *at* of the ledger, going on from *snapshot* if there is one.

    With a snapshot, *entries* may begin anywhere up to its size; what it already
    holds is passed over, and entry ``size - 1``, if it is among them, must have
    the snapshot's head. Begin there to be sure that the snapshot is of this ledger.

    Raises:
        MisuseError: The snapshot is of another projection, of another ledger, or
            beyond *at*; or the ledger has fewer than *at* entries.
        MalformedError: The entries are not numbered one after the other, or the
            snapshot's state is not one.
    """
    start = _thaw(projection, snapshot)
    if at is not None and start.size > at:
        raise MisuseError(f"the snapshot holds {start.size} entries, more than the first {at}")
    _fold([start], entries, at)
    return start.freeze()


def project(
    projections: Sequence[AnyProjection], entries: Iterable[EntryLike], *, at: int | None = None
) -> dict[str, bytes]:
    """Fold *entries* once for all *projections* and return their files by path.

    Raises:
        MisuseError: The ledger has fewer than *at* entries, or two projections
            make a file of the same path.
        MalformedError: The entries are not numbered one after the other.
    """
    files: dict[str, bytes] = {}
    folds = [_thaw(projection, None) for projection in projections]
    _fold(folds, entries, at)
    for fold in folds:
        made = fold.projection.render(fold.state)
        twice = sorted(files.keys() & made.keys())
        if twice:
            raise MisuseError(f"{twice[0]} is made by more than one of the projections asked for")
        files.update(made)
    return files


def render(projection: Projection[S], snapshot: Snapshot) -> dict[str, bytes]:
    """Return the files of a frozen state.

    Raises:
        MisuseError: The snapshot is of another projection.
        MalformedError: The snapshot's state is not one.
    """
    return projection.render(_thaw(projection, snapshot).state)


def in_order(entries: Iterable[EntryLike], *, begin_by: int = 0) -> Iterator[EntryLike]:
    """Yield *entries*, which must be numbered one after the other and begin by *begin_by*.

    Raises:
        MalformedError: One is missing, twice or out of order.
    """
    expected: int | None = None
    for entry in entries:
        if expected is None:
            expected = min(entry.seq, begin_by)
        if entry.seq != expected:
            raise MalformedError(f"found entry {entry.seq} in its place", seq=expected)
        yield entry
        expected += 1


class _Live(Generic[S]):
    """A state in the making, and how far it has come. Never leaves this module."""

    def __init__(self, projection: Projection[S], state: S, size: int, *, head: str | None) -> None:
        self.projection = projection
        self.state = state
        self.size = size
        self.head = head

    def take(self, entry: EntryLike) -> None:
        """Step over one entry, or pass over one that the state already holds."""
        if entry.seq < self.size:
            if entry.seq == self.size - 1 and entry.hash != self.head:
                raise MisuseError(
                    f"the snapshot is of another ledger: its entry {entry.seq} is {self.head},"
                    f" here it is {entry.hash}"
                )
            return
        self.state = self.projection.apply(self.state, entry)
        self.size, self.head = entry.seq + 1, entry.hash

    def freeze(self) -> Snapshot:
        """Return the state as bytes."""
        return Snapshot(
            schema=SNAPSHOT_SCHEMA,
            projection=self.projection.name,
            version=self.projection.version,
            size=self.size,
            head=self.head,
            state=msgspec.Raw(msgspec.json.encode(self.state)),
        )


def _fold(folds: Sequence[_Live[Any]], entries: Iterable[EntryLike], at: int | None) -> None:
    """Step all *folds*, which stand at one size, over the entries before *at*."""
    size = folds[0].size if folds else 0
    if size != at:
        for entry in in_order(entries, begin_by=size):
            for fold in folds:
                fold.take(entry)
            size = max(size, entry.seq + 1)
            if size == at:
                break
    if at is not None and size < at:
        raise MisuseError(f"the ledger has {size} entries, not {at}")


def _thaw(projection: Projection[S], snapshot: Snapshot | None) -> _Live[S]:
    """Return a live state: a new one, or the one that *snapshot* holds."""
    if snapshot is None:
        return _Live(projection, projection.initial(), 0, head=None)
    if (snapshot.projection, snapshot.version) != (projection.name, projection.version):
        raise MisuseError(
            f"the snapshot is of {snapshot.projection} version {snapshot.version},"
            f" not of {projection.name} version {projection.version}"
        )
    try:
        state = msgspec.json.decode(snapshot.state, type=projection.state_type)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"not a state of {projection.name}: {error}") from error
    # msgspec passes over spaces and doubled names: only what we would write is taken.
    if msgspec.json.encode(state) != bytes(snapshot.state):
        raise MalformedError(f"not a state of {projection.name}: written by something else")
    return _Live(projection, state, snapshot.size, head=snapshot.head)


def dump_snapshot(snapshot: Snapshot) -> bytes:
    """Return the one JSON text of *snapshot*, LF included; ``load_snapshot`` reads it back."""
    return msgspec.json.encode(snapshot) + b"\n"


def load_snapshot(raw: bytes) -> Snapshot:
    """Return the snapshot that ``dump_snapshot`` wrote; its state is judged when it is used.

    Raises:
        MalformedError: The bytes are not exactly what ``dump_snapshot`` writes.
    """
    try:
        snapshot = msgspec.json.decode(raw, type=Snapshot)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"not a snapshot: {error}") from error
    if snapshot.schema != SNAPSHOT_SCHEMA:
        raise MalformedError(f"not a snapshot: its schema is not {SNAPSHOT_SCHEMA}")
    _check_place(snapshot)
    if dump_snapshot(snapshot) != raw:
        raise MalformedError("not a snapshot: not written the way that we write one")
    return snapshot


def _check_place(snapshot: Snapshot) -> None:
    """Refuse a head without entries, entries without a head, and what is no hash."""
    if snapshot.size < 0 or (snapshot.size == 0) != (snapshot.head is None):
        raise MalformedError("not a snapshot: size and head do not go together")
    if snapshot.head is not None and not _HEX64.fullmatch(snapshot.head):
        raise MalformedError("not a snapshot: the head is not a hash")
