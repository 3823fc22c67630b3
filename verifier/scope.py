"""What was checked and what was not, as numbered sentences: the verifier's table of contents.

A check is named with the codes it can find, so that a sentence claims success
only where none of them was found.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from verifier.artifacts import ArtifactCount
from verifier.blobs import BlobCount
from verifier.core import Reading
from verifier.findings import Findings
from verifier.policy import Policy
from verifier.ranks import RankCount
from verifier.story import Story
from verifier.text import listed, plural, shown

__all__ = ["FileChecks", "checked", "not_checked"]

_NAMED = 12
_FILE_CODES = ("artifact.missing", "artifact.extra", "artifact.size", "artifact.checksum")
_COUNT_CODES = ("artifact.count", "artifact.content")
_RANK_CODES = ("artifact.missing", "artifact.content")
_GATE_CODES = ("gate.plan", "gate.decision", "gate.missing")
_BLOB_CODES = ("blob.missing", "blob.checksum")
# After these an entry is not understood, and no claim about all entries can be made.
_UNREAD_CODES = ("line.framing", "entry.version", "entry.json", "entry.members")


@dataclass(frozen=True, slots=True)
class FileChecks:
    """What was checked beside the ledger itself; ``None`` where it was not."""

    artifacts: ArtifactCount | None = None
    blobs: BlobCount | None = None


def checked(
    findings: Findings, reading: Reading, *, story: Story, files: FileChecks
) -> tuple[str, ...]:
    """Return one sentence for each check that was made, with its counts."""
    counts = findings.counts()
    rows = [*_ledger_checks(reading), *_story_checks(story), *_file_checks(story, files)]
    if story.recount().decided or any(code in counts for code in _GATE_CODES):
        rows.append(("gates recomputed", _GATE_CODES, _recomputed(story)))
    return tuple(_sentence(name, codes, claim, counts=counts) for name, codes, claim in rows)


def _sentence(name: str, codes: tuple[str, ...], claim: str, *, counts: Mapping[str, int]) -> str:
    found = [f"{code} {counts[code]}" for code in codes if code in counts]
    return f"{name}: not as it should be ({', '.join(found)})" if found else f"{name}: {claim}"


def _ledger_checks(reading: Reading) -> Iterator[tuple[str, tuple[str, ...], str]]:
    entries = plural(reading.size, "entry", "entries")
    signatures = plural(reading.signed, "signature")
    vouched = (
        f"all entries but {len(reading.unvouched)} are" if reading.unvouched else "each entry is"
    )
    yield "framing", ("line.framing",), f"{entries}, each framed exactly as the format says"
    yield (
        "entries",
        ("entry.version", "entry.json", "entry.members"),
        "strict JSON with one meaning, the eleven members in their order",
    )
    yield "hashes", ("entry.hash",), "each is the hash of the bytes that were written"
    yield (
        "chain",
        ("chain.seq", "chain.prev", "chain.ledger", *_UNREAD_CODES),
        f"{entries} in one unbroken chain from entry 0",
    )
    yield "ids", ("id.duplicate",), "no event is there twice"
    yield "genesis", ("genesis.invalid",), "entry 0 names the first keys and their roles"
    yield (
        "keys",
        ("key.unknown", "key.revoked", "key.role", "key.weak", "key.compromised"),
        f"{plural(len(reading.keys), 'key')}, each wrote only what its role allowed, when it was",
    )
    yield (
        "signatures",
        ("sig.invalid", "sig.presence", "batch.keys", "batch.long", "batch.torn", *_UNREAD_CODES),
        f"{signatures}, and {vouched} vouched for by one",
    )
    yield "times", ("time.form", "time.backward"), "well-formed, and never running backwards"
    if reading.store != "jsonl":
        yield "index", ("store.index",), "the columns of the database agree with their entries"
    yield from _anchor_checks(reading)


def _anchor_checks(reading: Reading) -> Iterator[tuple[str, tuple[str, ...], str]]:
    codes = ("anchor.id", "anchor.checkpoint", "anchor.missing")
    if reading.checkpoints_held:
        sizes = ", ".join(str(size) for size in reading.checkpoints_held)
        yield "anchor", codes, f"continues the trusted checkpoint of size {sizes}"
    elif reading.anchored:
        yield "anchor", codes, "has the trusted id"


def _story_checks(story: Story) -> Iterator[tuple[str, tuple[str, ...], str]]:
    fit = plural(story.schema_checked, "payload fits", "payloads fit")
    fit = f"{fit} the published schema of their type" if story.schema_checked else "none to check"
    claim = f"{fit}; key events keep the rules of keys"
    yield "payloads", ("event.schema",), claim
    if story.runs:
        runs = plural(len(story.runs), "run")
        yield "order", ("event.order",), f"the events of {runs} come in a possible order"


def _recomputed(story: Story) -> str:
    count = story.recount()
    said = f"{count.decided} of {count.checked}, from the plans and the metrics on record"
    anchors = f"; {plural(count.anchors, 'change was', 'changes were')} declared to the gate"
    return said + (anchors if count.anchors else "")


def _file_checks(story: Story, files: FileChecks) -> Iterator[tuple[str, tuple[str, ...], str]]:
    artifacts, blobs = files.artifacts, files.blobs
    if artifacts is not None and (artifacts.recorded or artifacts.unjudged is None):
        recorded = plural(artifacts.recorded, "file")
        others = ", and no others" if artifacts.unjudged is None else ""
        yield "artifacts", _FILE_CODES, f"{recorded} with the size and digest on record{others}"
    if artifacts is not None and artifacts.recounted:
        names = ", ".join(shown(path) for path in artifacts.recounted[:_NAMED])
        yield "second count", _COUNT_CODES, f"{names}: counted again from the events, they agree"
    if artifacts is not None and artifacts.ranks.ledgers:
        yield "ranks", _RANK_CODES, _ranks(artifacts.ranks)
    if blobs is not None and story.blob_references:
        erased = f", {blobs.erased} erased on record" if blobs.erased else ""
        yield "blobs", _BLOB_CODES, f"{blobs.good} with the size and digest on record{erased}"


def _ranks(count: RankCount) -> str:
    ledgers = plural(count.ledgers, "ledger of a rank", "ledgers of ranks")
    said = f"{ledgers}, each whole by itself and as the run says it stands"
    runs = plural(count.runs, "run")
    return said + (f"; what {runs} observed is the mean over them" if count.runs else "")


def not_checked(
    findings: Findings,
    reading: Reading,
    *,
    policy: Policy,
    story: Story,
    files: FileChecks,
) -> tuple[str, ...]:
    """Return one sentence for everything that the verdict does not cover."""
    return (
        "truth: whether the measured values are right; they are self-reported by the runner",
        "completeness: whether things happened that nobody recorded",
        "time: when it really happened; times are claims of the writers",
        *_unpinned(policy, reading),
        *_unread(findings, reading, story),
        *_undecided(story),
        *_unopened(story, files),
    )


def _unpinned(policy: Policy, reading: Reading) -> Iterator[str]:
    if policy.ledger_id is None and not policy.checkpoints:
        yield "origin: who made this ledger; neither its id nor a checkpoint was given"
    pinned = max(reading.checkpoints_held, default=0)
    if not pinned:
        yield "end: whether entries were cut off; only a checkpoint kept elsewhere can tell"
    elif pinned < reading.size:
        yield f"end: whether entries after the first {pinned} were cut off or rewritten"


def _unread(findings: Findings, reading: Reading, story: Story) -> Iterator[str]:
    free = reading.size - story.judged
    if free > 0:
        yield f"free payloads: {plural(free, 'entry', 'entries')} of type x.*, or unreadable"
    if story.unknown:
        types = listed([shown(name) for name in story.unknown_types], 5)
        yield f"unknown payloads: {story.unknown} of types without a published schema ({types})"
    if reading.unvouched:
        many = plural(len(reading.unvouched), "entry", "entries")
        yield f"unvouched: {many} without a valid signature; what they say is nobody's word"
    for code in findings.capped:
        yield f"places: {code} was found {findings.counts()[code]} times, and not all are listed"


def _undecided(story: Story) -> Iterator[str]:
    count = story.recount()
    left = count.checked - count.decided
    if left:
        few = f"{left} of {count.checked}" if count.decided else f"none of {count.checked}"
        what = "were not decided again" if count.decided else "was decided again"
        yield f"gate checks: {few} {what}; there is no plan, or no place in it, for them"


def _unopened(story: Story, files: FileChecks) -> Iterator[str]:
    artifacts, blobs = files.artifacts, files.blobs
    if artifacts is None:
        yield "artifacts: the files of a run; only the ledger was given, not its directory"
    elif artifacts.unjudged:
        many = plural(artifacts.unjudged, "file")
        why = "nothing was recorded when the run closed" if artifacts.forgotten else "no run closed"
        yield f"other files: {many} not on record; {why}"
    if artifacts is not None and artifacts.not_recounted:
        many = plural(artifacts.not_recounted, "artifact")
        yield f"content: what {many} say beyond their digest on record"
    links = sum(artifact.is_link for artifact in story.artifacts.values())
    if links:
        many = plural(links, "symbolic link leads", "symbolic links lead")
        yield f"links: where {many}; only their text was compared, and none was followed"
    if blobs is None and story.blob_references:
        many = plural(story.blob_references, "reference")
        yield f"blobs: {many} to blobs; there is no blob store beside the ledger"
    if blobs is not None and blobs.erased_but_present:
        many = plural(blobs.erased_but_present, "blob")
        yield f"erasure: {many} erased on record but still there"
