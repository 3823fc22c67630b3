"""Check a run directory against what its ledger says of it.

Every file except the ledger and its blobs is on record as an artifact, with size
and digest. The result files are counted a second time, from the events.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from verifier.beneath import Content, RefusedError, digest, digest_link, opened_root, read, walk
from verifier.facts import facts_of
from verifier.findings import Fault, Findings
from verifier.governance import GOVERNANCE
from verifier.ranks import RankCount, check_ranks
from verifier.results import RECOUNTED, UNENDING, recount
from verifier.runs import Replay, Run
from verifier.story import Artifact, Story
from verifier.text import listed, shown

__all__ = ["ArtifactCount", "check_artifacts"]

_NAMED = 5
_EXTRA_NAMED = 20
# What a result file may weigh: a measured value of 6 bytes in an event ('"n":1,') becomes an
# object of some 60 in a file. A file beyond that was not projected from this run.
_FILE_FLOOR = 64 << 10
_FILE_FACTOR = 16
_FILE_CEILING = 256 << 20
_COMPANIONS = ("", "-wal", "-shm", "-journal", ".torn-pending")
# What a crash leaves behind: a blob or a side file that was not yet given its name.
_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{2}/[0-9a-f]{64}|\.[0-9]+\.tmp)", re.ASCII)
_UNFINISHED = re.compile(r"\.ledger\.(torn-pending\.)?[0-9]+\.tmp", re.ASCII)
_RUN_FOLDER = re.compile(r"runs/[^/]+")
_MARKER = "first_fail_iter.txt"
_SUMMARY = "results_summary.json"


@dataclass(frozen=True, slots=True)
class ArtifactCount:
    """How much was checked: files on record, and those of them that were counted again.

    ``unjudged`` is how many files no event explains yet, or ``None`` if each must be
    explained; ``forgotten`` if a run was closed and nothing put on record after it.
    """

    recorded: int
    recounted: tuple[str, ...]
    not_recounted: int
    unjudged: int | None
    forgotten: bool
    ranks: RankCount


def check_artifacts(
    ledger: Path, story: Story, findings: Findings, *, ledger_id: str | None
) -> ArtifactCount:
    """Check the files of the directory that *ledger*, whose id is *ledger_id*, lies in.

    Raises:
        OSError: The directory cannot be opened.
    """
    recounted: list[str] = []
    unending = {path for run in story.runs.values() for path in _unending(run, story)}
    with opened_root(ledger.parent) as root:
        for artifact in story.artifacts.values():
            if artifact.path in unending:
                continue
            if _is_result(artifact.path):
                recounted.append(artifact.path)
                _check_result(root, artifact, story, findings=findings)
            else:
                _report(findings, artifact, list(_check_file(root, artifact)))
        for side_file in story.side_files.values():
            if "/" not in side_file.path:
                _check_side_file(root, side_file, findings)
        ranks = check_ranks(
            root, story, findings, chief=ledger_id, folder=lambda run: _folder(run, story) or ""
        )
        there = list(walk(root))
        going_on = list(_check_unending(root, there, story, findings=findings))
        recounted += going_on
        extra = [path for path in there if not _accounted_for(path, ledger.name, story)]
        extra = [path for path in extra if path not in going_on]
    closed = _all_closed(story)
    forgotten = bool(closed and extra and not story.artifacts)
    judged = closed and not forgotten
    if judged and extra:
        names = listed([shown(path) for path in sorted(extra)], _EXTRA_NAMED)
        findings.add("artifact.extra", None, None, f"not on record: {names}")
    return ArtifactCount(
        recorded=len(story.artifacts),
        recounted=tuple(recounted),
        not_recounted=sum(path not in recounted for path in story.artifacts),
        unjudged=None if judged else len(extra),
        forgotten=forgotten,
        ranks=ranks,
    )


def _is_result(path: str) -> bool:
    """Tell whether *path* is where a run's result file lies: on top, or in ``runs/<run>/``.

    Whatever the event calls it: a record without ``projection`` is no way around the count.
    """
    folder, _, name = path.rpartition("/")
    return name in RECOUNTED and (not folder or _RUN_FOLDER.fullmatch(folder) is not None)


def _unending(run: Run, story: Story) -> dict[str, Callable[[Replay], bytes | None]]:
    """Return the files of *run* that go on after it has closed, by their path, and what they hold.

    As long as a run is open they are being written, and nothing is said of them.
    """
    folder = None if run.opened is None or run.closing is None else _folder(run, story)
    return {} if folder is None else {folder + name: make for name, make in UNENDING.items()}


def _check_unending(
    root: int, there: list[str], story: Story, *, findings: Findings
) -> Iterator[str]:
    """Check the files that go on after the close against all events; return their paths.

    A capsule without a governance log is a poorer one; a judgement without its file is hidden.
    """
    for run in story.runs.values():
        for path, make in _unending(run, story).items():
            recorded = story.artifacts.get(path)
            place = None if recorded is None else recorded.place
            seq, line = (None, None) if place is None else (place.seq, place.line)
            optional = path.endswith(GOVERNANCE)
            if path in there:
                for fault in _read_unending(root, path, run):
                    findings.add(fault.code, seq, line, f"{shown(path)}: {fault.message}")
                yield path
            elif recorded is not None or (not optional and make(run.replay()) is not None):
                said = "there is no such file, though the events give one: project it again"
                findings.add("artifact.missing", seq, line, f"{shown(path)}: {said}")


def _read_unending(root: int, path: str, run: Run) -> list[Fault]:
    limit = min(_FILE_CEILING, _FILE_FLOOR + _FILE_FACTOR * run.weight)
    try:
        content = read(root, path, limit)
    except (RefusedError, OSError) as error:
        return [_missing(error)]
    if content.data is None:
        said = f"is {content.size} bytes, more than the run's events can become"
        return [Fault("artifact.content", said)]
    return recount(path.rpartition("/")[2], content.data, run.replay())


def _folder(run: Run, story: Story) -> str | None:
    """Return where a run's projected files lie: beside its summary; ``None`` if nothing tells."""
    for artifact in story.artifacts.values():
        folder, _, name = artifact.path.rpartition("/")
        if artifact.subject == run.subject and name == _SUMMARY and _is_result(artifact.path):
            return f"{folder}/" if folder else ""
    return None


def _check_file(root: int, artifact: Artifact) -> Iterator[Fault]:
    try:
        if artifact.is_link:
            content = digest_link(root, artifact.path)
        else:
            content = digest(root, artifact.path, artifact.size)
    except (RefusedError, OSError) as error:
        yield _missing(error)
    else:
        yield from _compare(artifact, content)


def _check_side_file(root: int, side_file: Artifact, findings: Findings) -> None:
    """A side file may be gone: nothing rests on it. If it is there it holds what was recorded."""
    faults = list(_check_file(root, side_file))
    _report(findings, side_file, [fault for fault in faults if fault.code != "artifact.missing"])


def _check_result(root: int, artifact: Artifact, story: Story, *, findings: Findings) -> None:
    run = story.runs.get(artifact.subject)
    if run is None:  # the event itself made it one
        raise AssertionError(artifact.subject)
    limit = min(_FILE_CEILING, _FILE_FLOOR + _FILE_FACTOR * run.weight)
    try:
        content = read(root, artifact.path, limit)
    except (RefusedError, OSError) as error:
        _report(findings, artifact, [_missing(error)])
        return
    faults = list(_compare(artifact, content))
    replay = run.replay_until(_stop(artifact))
    faults += _stale(artifact, run)
    if content.data is None:
        said = f"is {content.size} bytes, more than the run's events can become"
        faults.append(Fault("artifact.content", said))
    else:
        faults += recount(artifact.path.rpartition("/")[2], content.data, replay)
    if artifact.path.endswith(_SUMMARY):
        faults += _lost_marker(artifact, replay, story)
    _report(findings, artifact, faults)


def _stop(artifact: Artifact) -> int:
    """How many entries the file says it is a projection of; all before its record if it is mute."""
    return artifact.place.seq if artifact.at is None else artifact.at


def _stale(artifact: Artifact, run: Run) -> Iterator[Fault]:
    """A file cut back to before the bad news agrees with its ``at``, and is not the run's."""
    stop = _stop(artifact)
    if stop > artifact.place.seq:
        said = f"projected from {stop} entries, when there were only {artifact.place.seq}"
        yield Fault("artifact.content", said)
    if run.closing is not None and stop <= run.closing.seq < artifact.place.seq:
        said = f"projected from {stop} entries, before the run closed at seq {run.closing.seq}"
        yield Fault("artifact.content", said)


def _lost_marker(artifact: Artifact, replay: Replay, story: Story) -> Iterator[Fault]:
    """The marker file is there exactly when a check failed (seed section 4D)."""
    marker = artifact.path.removesuffix(_SUMMARY) + _MARKER
    failed = replay.first_fail_iter is not None and not facts_of(replay).partial
    if failed and marker not in story.artifacts:
        said = f"{marker} is not on record, though a gate check failed"
        yield Fault("artifact.missing", said)


def _missing(error: RefusedError | OSError) -> Fault:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return Fault("artifact.missing", "there is no such file")
    if isinstance(error, OSError):
        return Fault("artifact.missing", f"cannot be read: {error.strerror}")
    return Fault("artifact.missing", str(error))


def _compare(artifact: Artifact, content: Content) -> Iterator[Fault]:
    if content.size != artifact.size:
        size = "more" if content.size > artifact.size else content.size
        yield Fault("artifact.size", f"expected {artifact.size} bytes, found {size}")
    elif content.sha256 != artifact.sha256:
        said = f"expected the digest {artifact.sha256}, found {content.sha256}"
        yield Fault("artifact.checksum", said)


def _report(findings: Findings, artifact: Artifact, faults: list[Fault]) -> None:
    """Add one finding of each code: a finding stands at the entry that records the file."""
    by_code: dict[str, list[str]] = {}
    for fault in faults:
        by_code.setdefault(fault.code, []).append(fault.message)
    for code, messages in by_code.items():
        message = f"{shown(artifact.path)}: {listed(messages, _NAMED)}"
        findings.add(code, artifact.place.seq, artifact.place.line, message)


def _accounted_for(path: str, ledger: str, story: Story) -> bool:
    return (
        path in story.artifacts
        or path in story.side_files
        or any(path == ledger + companion for companion in _COMPANIONS)
        or _BLOB.fullmatch(path) is not None
        or _UNFINISHED.fullmatch(path.replace(f".{ledger}.", ".ledger.", 1)) is not None
    )


def _all_closed(story: Story) -> bool:
    """Tell whether all files must be on record.

    As long as a run is open its files are not, and a directory without runs is no
    capsule: it may hold whatever it likes.
    """
    runs = [run for run in story.runs.values() if run.opened is not None]
    return bool(runs) and all(run.closing is not None for run in runs)
