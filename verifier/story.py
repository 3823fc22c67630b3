"""The story that the entries tell: do the payloads fit, is the order possible, what comes out.

This is the *second count*. It is written from the published schemas and from
the rules of counting (docs/reference), shares no code with the projections, and
is what the projected files of a run directory are compared with. It never
stops: what does not fit is a finding, and the next entry is read as if nothing
had happened.

Not done here: ``ledger.created`` and ``key.*``, which the key register judges.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from verifier.findings import Findings
from verifier.gates import Recount
from verifier.runs import Replay, Run
from verifier.schema import Check, load_schemas

__all__ = ["Artifact", "BlobReference", "Keep", "Place", "RankClaim", "Story"]

_RUN_FAMILIES = frozenset({"run", "metric", "gate", "fault", "artifact", "governance"})
_REFERENCE = frozenset({"sha256", "bytes", "media_type", "name"})
_HEX = frozenset("0123456789abcdef")
_EXAMPLES = 10
_LINK = "inode/symlink"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry stands."""

    seq: int
    line: int


@dataclass(frozen=True, slots=True)
class Keep:
    """What is worth remembering: only a run directory has artifacts to compare with."""

    artifacts: bool = False
    blobs: bool = False


@dataclass(frozen=True, slots=True)
class Artifact:
    """What the last ``artifact.recorded`` of a path says."""

    place: Place
    subject: str
    path: str
    sha256: str
    size: int
    at: int | None
    media_type: str

    @property
    def is_link(self) -> bool:
        """Whether a symbolic link is on record: its bytes are its text, where it points."""
        return self.media_type == _LINK


@dataclass(frozen=True, slots=True)
class BlobReference:
    """A blob that an entry refers to by its digest (format.md section 8)."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class RankClaim:
    """What a ``run.rank`` says: where the ledger of one rank of its run stands."""

    place: Place
    rank: int
    world_size: int
    path: str
    ledger: str
    size: int
    hash: str


class _Entry(msgspec.Struct, gc=False):
    """The two members of an entry that the reader does not hand over; the others are skipped."""

    time: str
    data: dict[str, Any]


_decode = msgspec.json.Decoder(_Entry).decode


class Story:
    """Sees the readable entries in their order, and folds what they say."""

    def __init__(
        self, findings: Findings, *, strict: bool = False, keep: Keep | None = None
    ) -> None:
        """Start before entry 0; findings go to *findings*.

        Raises:
            SchemaError: The published schemas cannot be checked in full.
        """
        self._findings = findings
        self._strict = strict
        self._keep = Keep() if keep is None else keep
        self._checks: Mapping[str, Check] = load_schemas()
        self._runs: dict[str, Run] = {}
        self._artifacts: dict[str, Artifact] = {}
        self._side_files: dict[str, Artifact] = {}
        self._ranks: dict[str, list[RankClaim]] = {}
        self._finished: dict[str, Place] = {}
        self._blobs: dict[BlobReference, Place] = {}
        self._erased: set[str] = set()
        self._unknown: dict[str, None] = {}
        self.schema_checked = 0
        self.judged = 0
        self.unknown = 0
        self.blob_references = 0
        self._acts: Mapping[str, Callable[[Place, str, dict[str, Any]], None]] = {
            "artifact.recorded": self._artifact_recorded,
            "blob.erased": self._blob_erased,
            "ledger.recovered": self._recovered,
            "run.rank": self._rank,
            "run.finished": self._run_finished,
        }

    @property
    def runs(self) -> Mapping[str, Run]:
        """The runs by subject, in the order in which they first appear."""
        return self._runs

    @property
    def artifacts(self) -> Mapping[str, Artifact]:
        """The last record of each path, if they were kept."""
        return self._artifacts

    @property
    def side_files(self) -> Mapping[str, Artifact]:
        """The files that torn bytes were moved to (format.md section 4), if they were kept."""
        return self._side_files

    @property
    def ranks(self) -> Mapping[str, Sequence[RankClaim]]:
        """The ledgers of single ranks by the subject of their run, if they were kept."""
        return self._ranks

    @property
    def finished(self) -> Mapping[str, Place]:
        """Where each run's first ``run.finished`` stands, if they were kept."""
        return self._finished

    @property
    def blobs(self) -> Mapping[BlobReference, Place]:
        """Each blob that is referred to, and where first, if they were kept."""
        return self._blobs

    @property
    def erased(self) -> frozenset[str]:
        """The digests whose erasure is on record."""
        return frozenset(self._erased)

    @property
    def unknown_types(self) -> tuple[str, ...]:
        """Some of the types that have no published schema."""
        return tuple(self._unknown)

    def replays(self) -> tuple[Replay, ...]:
        """What came out of each run, over all entries."""
        return tuple(run.replay() for run in self._runs.values())

    def recount(self) -> Recount:
        """How many gate checks of all runs were decided again."""
        counts = [run.recount for run in self._runs.values()]
        return Recount(
            checked=sum(count.checked for count in counts),
            decided=sum(count.decided for count in counts),
            anchors=sum(count.anchors for count in counts),
        )

    def see(
        self, seq: int, line: int, event_type: str, subject: str, key: str, entry: bytes
    ) -> None:
        """Take the next readable entry."""
        # Whether that key may sign this is judged by the key register (format.md section 5).
        place = Place(seq, line)
        family = event_type.partition(".")[0]
        data, time = self._read(place, entry)
        if family != "x":
            self.judged += 1
            data = self._fit(place, event_type, data)
        if family in _RUN_FAMILIES:
            faults = self._run(subject).follow(
                seq, event_type, time=time, data=data, weight=len(entry), key=key
            )
            for fault in faults:
                self._findings.add(fault.code, seq, line, fault.message)
        if data is None:
            return
        if b'"media_type"' in entry and b'"sha256"' in entry:
            self._refer(place, data)
        if event_type in self._acts:
            self._acts[event_type](place, subject, data)

    def _read(self, place: Place, entry: bytes) -> tuple[dict[str, Any] | None, str]:
        try:
            read = _decode(entry)
        except msgspec.DecodeError as error:
            self._findings.add("event.schema", place.seq, place.line, f"not understood: {error}")
            return None, ""
        return read.data, read.time

    def _fit(
        self, place: Place, event_type: str, data: dict[str, Any] | None
    ) -> dict[str, Any] | None:
        """Return *data* if it is what the schema of its type asks for."""
        if event_type == "ledger.created" or event_type.startswith("key."):
            return data
        check = self._checks.get(event_type)
        if check is None:
            self._note_unknown(place, event_type)
            return data
        self.schema_checked += 1
        fault = None if data is None else check(data)
        if fault is None:
            return data
        message = f"{event_type}: {fault}"
        self._findings.add("event.schema", place.seq, place.line, message)
        return None

    def _note_unknown(self, place: Place, event_type: str) -> None:
        self.unknown += 1
        if len(self._unknown) < _EXAMPLES:
            self._unknown[event_type] = None
        if self._strict:
            message = f"{event_type}: no published schema has this type, and it is not x.*"
            self._findings.add("event.schema", place.seq, place.line, message)

    def _run(self, subject: str) -> Run:
        run = self._runs.get(subject)
        if run is None:
            run = self._runs[subject] = Run(subject, keep=self._keep.artifacts)
        return run

    def _artifact_recorded(self, place: Place, subject: str, data: dict[str, Any]) -> None:
        if self._keep.artifacts:
            self._artifacts[data["path"]] = Artifact(
                place,
                subject,
                data["path"],
                data["sha256"],
                data["bytes"],
                at=data["at"],
                media_type=data["media_type"],
            )

    def _recovered(self, place: Place, subject: str, data: dict[str, Any]) -> None:
        if self._keep.artifacts:
            self._side_files[data["side_file"]] = Artifact(
                place,
                subject,
                data["side_file"],
                data["sha256"],
                data["bytes"],
                at=None,
                media_type="application/octet-stream",
            )

    def _rank(self, place: Place, subject: str, data: dict[str, Any]) -> None:
        if self._keep.artifacts:
            said = (data[name] for name in ("rank", "world_size", "path", "ledger", "size", "hash"))
            self._ranks.setdefault(subject, []).append(RankClaim(place, *said))

    def _run_finished(self, place: Place, subject: str, data: dict[str, Any]) -> None:
        del data
        if self._keep.artifacts:
            self._finished.setdefault(subject, place)

    def _blob_erased(self, place: Place, subject: str, data: dict[str, Any]) -> None:
        del place, subject
        self._erased.add(data["sha256"])

    def _refer(self, place: Place, data: dict[str, Any]) -> None:
        for reference in _references(data):
            self.blob_references += 1
            if self._keep.blobs:
                self._blobs.setdefault(reference, place)


def _references(value: object) -> Iterator[BlobReference]:
    """Yield the blob references anywhere in *value*; entries nest at most 64 deep (section 2)."""
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif isinstance(value, dict):
        if value.keys() == _REFERENCE and _is_reference(value):
            yield BlobReference(value["sha256"], value["bytes"])
        else:
            for item in value.values():
                yield from _references(item)


def _is_reference(value: Mapping[str, object]) -> bool:
    digest, size = value["sha256"], value["bytes"]
    return (
        isinstance(digest, str)
        and len(digest) == 64  # noqa: PLR2004 - hex64 of format.md section 2
        and _HEX.issuperset(digest)
        and type(size) is int
        and size >= 0
        and isinstance(value["media_type"], str)
        and isinstance(value["name"], str)
    )
