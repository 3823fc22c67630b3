"""``governance_log.jsonl``: the run's decisions, and people's, as a hash chain (seed 2.3).

The chain is the public contract's and has no key: whoever edits the file can hash
it anew. What it is worth comes from the ledger, which gives the same bytes to
anyone who asks. The content is docs/reference/capsule.md, section 7.

A line is made of one event and the line before it, so a wrapper can write the log
while the run goes on: ``GovernanceStream`` gives the lines that an entry adds.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from ledger.events import Payload
from ledger.events.governance import GovernanceCleared, GovernanceJudged
from ledger.events.run import GateChecked, RunClosed, RunOpened, RunPlanned
from projections.judgement import SNAPSHOT_NAME
from projections.protocol import EntryLike
from projections.records import gate_record, profile
from projections.runs import RunCore, Runs, RunState, canonical, follow, json_line, place, second
from projections.window_signature import engine_of, signature_ref

FILE_NAME = "governance_log.jsonl"
_UNKNOWN = "unknown"


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """A line before it is linked to the one before it; its payload has the recorded outdir."""

    time: str
    event: str
    actor: str | None
    payload: dict[str, Any]


class Origin(msgspec.Struct, forbid_unknown_fields=True):
    """What the lines repeat of ``run.opened``."""

    outdir: str = ""
    argv: list[str] = msgspec.field(default_factory=list)
    package: str | None = None
    version: str | None = None
    git_sha: str | None = None


class Log(msgspec.Struct, forbid_unknown_fields=True):
    """The lines of one run, and what the next ones will repeat."""

    origin: Origin | None = None
    lines: list[Line] = msgspec.field(default_factory=list)
    started: bool = False

    def take(self, core: RunCore, entry: EntryLike, payload: Payload) -> None:
        """Append the lines of one event of the run, whose *core* has taken it in."""
        self.lines += _lines(self, core, entry, payload=payload)


class GovernanceRun(RunState):
    """A run and its log."""

    log: Log = msgspec.field(default_factory=Log)


class Governance:
    """The projection of ``governance_log.jsonl``; *outdir* takes the place of the recorded one."""

    name = "governance"
    version = 1
    state_type = Runs[GovernanceRun]

    def __init__(self, outdir: str | None = None) -> None:
        """Bind the log to the recorded place of the run, or to *outdir*."""
        self._outdir = outdir

    def initial(self) -> Runs[GovernanceRun]:
        """Return a state without runs."""
        return Runs()

    def apply(self, state: Runs[GovernanceRun], entry: EntryLike) -> Runs[GovernanceRun]:
        """Append the lines that *entry* gives."""
        followed = follow(state, entry, GovernanceRun)
        if followed is not None:
            run, payload = followed
            run.log.take(run.core, entry, payload)
        return state

    def render(self, state: Runs[GovernanceRun]) -> dict[str, bytes]:
        """Return the log of each run that has a line."""
        return place(state, self._files)

    def _files(self, run: GovernanceRun) -> dict[str, bytes]:
        made = b"".join(chain(run.log.lines, self._outdir).content)
        return {FILE_NAME: made} if made else {}


class Chain(msgspec.Struct):
    """Finished lines, and where the next one begins."""

    rev: int = 0
    head: str | None = None
    content: list[bytes] = msgspec.field(default_factory=list)

    def add(self, line: Line, outdir: str | None) -> None:
        """Link *line* to the last one."""
        payload = line.payload
        if outdir is not None and "outdir" in payload:
            payload = {**payload, "outdir": outdir}
        self.rev += 1
        record = {
            "schema_version": 1,
            "rev": self.rev,
            "ts_utc": second(line.time),
            "actor": line.actor,
            "event": line.event,
            "payload": payload,
            "prev_hash": self.head,
        }
        self.head = hashlib.sha256(canonical(record)).hexdigest()
        self.content.append(json_line({**record, "entry_hash": self.head}))


def chain(lines: Iterable[Line], outdir: str | None = None) -> Chain:
    """Return *lines* linked from the first on."""
    linked = Chain()
    for line in lines:
        linked.add(line, outdir)
    return linked


class GovernanceStream:
    """The log of one run as it grows: feed it the ledger's entries in their order.

    It is about the run named, or else about the first that the entries tell of.
    All that it was fed with gives together the bytes of the projection.
    """

    def __init__(self, outdir: str | None = None, *, run_id: str | None = None) -> None:
        """Begin an empty log."""
        self._outdir = outdir
        self._run_id = run_id
        self._runs: Runs[GovernanceRun] = Runs()
        self._chain = Chain()

    def feed(self, entry: EntryLike) -> bytes:
        """Return the lines that *entry* adds: often none."""
        followed = follow(self._runs, entry, GovernanceRun)
        if followed is None:
            return b""
        run, payload = followed
        wanted = self._run_id if self._run_id is not None else next(iter(self._runs.runs))
        if run.core.run_id != wanted:
            return b""
        run.log.take(run.core, entry, payload)
        for line in run.log.lines:
            self._chain.add(line, self._outdir)
        run.log.lines.clear()
        content = b"".join(self._chain.content)
        self._chain.content.clear()
        return content


def _lines(log: Log, core: RunCore, entry: EntryLike, *, payload: Payload) -> list[Line]:
    time = entry.time
    match payload:
        case RunOpened() if log.origin is None:
            log.origin = _origin(payload)
        case RunPlanned() | RunClosed() if not log.started:
            log.started = True
            return _start(core, log.origin or Origin(), time)
        case GateChecked():
            record = {**_place(core, log.origin or Origin()), **gate_record(payload)}
            return [Line(time, "gate_decision_v1", None, record)]
        case GovernanceJudged():
            said = {"status": payload.status, **_said(core, entry, payload)}
            return [Line(time, "manual_judgement_set", payload.reviewer, said)]
        case GovernanceCleared():
            said = _said(core, entry, payload)
            return [Line(time, "manual_judgement_cleared", payload.reviewer, said)]
        case _:
            pass
    return []


def _origin(payload: RunOpened) -> Origin:
    package = payload.package
    return Origin(
        outdir=payload.outdir,
        argv=payload.argv,
        package=package.name,
        version=package.version,
        git_sha=payload.git.sha,
    )


def _place(core: RunCore, origin: Origin) -> dict[str, Any]:
    return {"run_id": core.run_id, "outdir": origin.outdir}


def _start(core: RunCore, origin: Origin, time: str) -> list[Line]:
    shared = {
        **_place(core, origin),
        "argv": origin.argv,
        "entrypoint": {"kind": "runner", "name": core.kind or _UNKNOWN},
    }
    started = {
        **shared,
        "code_identity": {
            "package": origin.package,
            "version": origin.version,
            "git_sha": origin.git_sha,
            "gate_engine": None if core.gate is None else engine_of(core.gate),
        },
        "window_signature_ref": signature_ref(core),
    }
    if core.distributed is not None:
        started["distributed"] = core.distributed
    lines = [Line(time, "run_started_v1", None, started)]
    if core.overrides:
        overridden = {**shared, "overrides": core.overrides, "profile": profile(core)}
        lines.append(Line(time, "run_overrides_applied_v1", None, overridden))
    return lines


def _said(
    core: RunCore, entry: EntryLike, payload: GovernanceJudged | GovernanceCleared
) -> dict[str, Any]:
    return {
        "run_id": core.run_id,
        "reason": payload.reason,
        "reviewer": payload.reviewer,
        "source_path": SNAPSHOT_NAME,
        "key": entry.key,
    }
