"""Read ``governance_log.jsonl``: an unkeyed hash chain of what was done to a run.

The chain shows accidents, not attacks: whoever edits a line can hash the rest anew.
A ledger in the same directory is what tells that (``verifier.run``). Problems are
named by tokens; those of :data:`ERRORS` make the log invalid, the others are only
warned of.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from verifier.contract.capsule import NotJsonError, digest, parse
from verifier.contract.documents import DECISIONS, read_audit
from verifier.contract.values import Members, SchemaError

__all__ = ["EMPTY", "ERRORS", "RUN_EVENTS", "Entry", "Log", "read_log"]

RUN_STARTED = "run_started_v1"
OVERRIDES = "run_overrides_applied_v1"
GATE = "gate_decision_v1"
RUN_EVENTS = frozenset({RUN_STARTED, "capsule_opened_v1", OVERRIDES, GATE})
_MANUAL = ("manual_judgement_set", "manual_judgement_cleared", "artifact_note", "recompute_summary")
_EVENTS = RUN_EVENTS | set(_MANUAL)

ERRORS = (
    "GOVERNANCE_LOG_HASH_MISMATCH",
    "GOVERNANCE_LOG_PREV_HASH_MISMATCH",
    "GOVERNANCE_LOG_INVALID",
    "GOVERNANCE_LOG_REV_NONMONOTONE",
    "GOVERNANCE_LOG_ENTRY_HASH_MISSING",
)
_LEGACY = "GOVERNANCE_LOG_ENTRY_HASH_MISSING"
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,18}\s*", re.ASCII)
# Readers that split lines as Python's str.splitlines does cut a line here (legal inside JSON).
_SPLITS = re.compile("[\x85\u2028\u2029]")
_KINDS: Mapping[str, tuple[tuple[str, type], ...]] = {
    RUN_STARTED: (
        ("run_id", str),
        ("outdir", str),
        ("argv", list),
        ("code_identity", dict),
        ("window_signature_ref", dict),
        ("entrypoint", dict),
    ),
    OVERRIDES: (
        ("run_id", str),
        ("outdir", str),
        ("overrides", dict),
        ("profile", dict),
        ("entrypoint", dict),
    ),
    GATE: (
        ("run_id", str),
        ("outdir", str),
        ("iter", int),
        ("decision", str),
        ("audit", dict),
    ),
}
_ENTRYPOINT = (("entrypoint", "kind"), ("entrypoint", "name"))
_NAMED = {
    RUN_STARTED: (("window_signature_ref", "hash"), ("window_signature_ref", "path"), *_ENTRYPOINT),
    OVERRIDES: (*_ENTRYPOINT, ("profile", "gate_preset")),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a line: a token, and words."""

    token: str
    line: int
    said: str

    def __str__(self) -> str:
        """Return it as it is printed."""
        return f"WARNING:{self.token} line={self.line} {self.said}".rstrip()


@dataclass(frozen=True, slots=True)
class Entry:
    """One line that can be read."""

    line: int
    rev: int
    event: str
    payload: Mapping[str, Any]
    time: datetime


@dataclass(frozen=True, slots=True)
class Log:
    """The lines that can be read, and what is wrong with them and the others."""

    entries: tuple[Entry, ...] = ()
    problems: tuple[Problem, ...] = ()
    last_hash: str | None = None

    @property
    def rev(self) -> int | None:
        """The number of the last line."""
        return self.entries[-1].rev if self.entries else None

    @property
    def counts(self) -> dict[str, int]:
        """How often each event stands in it."""
        return dict(Counter(entry.event for entry in self.entries))

    @property
    def legacy(self) -> bool:
        """Whether a line lacks its hash, as lines of old writers do."""
        return any(problem.token == _LEGACY for problem in self.problems)

    def of(self, event: str) -> list[Entry]:
        """Return the lines of one event."""
        return [entry for entry in self.entries if entry.event == event]

    def errors(self, *, allow_legacy: bool) -> tuple[str, ...]:
        """Return the problems that make the log invalid."""
        tokens = [token for token in ERRORS if not (allow_legacy and token == _LEGACY)]
        return tuple(str(problem) for problem in self.problems if problem.token in tokens)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return all problems as they are printed."""
        return tuple(map(str, self.problems))


EMPTY = Log()


class _LineError(Exception):
    """A line that cannot be taken as an entry."""


def read_log(data: bytes) -> Log:
    """Read a whole log; lines end with LF, and blank ones are passed over."""
    reading = _Reading()
    for number, raw in enumerate(data.split(b"\n"), start=1):
        if raw.strip():
            reading.take(raw, number)
    return Log(tuple(reading.entries), tuple(reading.problems), reading.last_hash)


class _Reading:
    """The log so far: a chain in the making."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.problems: list[Problem] = []
        self.last_hash: str | None = None

    def take(self, raw: bytes, line: int) -> None:
        """Read one line."""
        try:
            document = _document(raw)
            entry, given = _entry(document, line), _hashes(document)
        except _LineError as error:
            self._warn("INVALID", line, str(error))
            return
        self._payload(entry)
        self._sequence(entry)
        if "event" in document and "event_type" in document:
            self._warn("EVENT_DUAL_PRESENT", line)
        if _SPLITS.search(raw.decode("utf-8", "replace")):
            self._warn("LINE_SEPARATOR", line)
        self._chain(document, given, line)
        self.entries.append(entry)

    def _warn(self, token: str, line: int, said: str = "") -> None:
        self.problems.append(Problem(f"GOVERNANCE_LOG_{token}", line, said))

    def _payload(self, entry: Entry) -> None:
        missing, invalid = _payload_faults(entry)
        if missing or invalid:
            said = (
                f"payload_required_fields event={entry.event}"
                f" missing={','.join(sorted(missing)) or '-'}"
                f" invalid={','.join(sorted(invalid)) or '-'}"
            )
            self._warn("INVALID", entry.line, said)

    def _sequence(self, entry: Entry) -> None:
        before = self.entries[-1] if self.entries else None
        prev_rev = 0 if before is None else before.rev
        if entry.rev != prev_rev + 1:
            said = f"rev={entry.rev} prev_rev={prev_rev}"
            self._warn("REV_NONMONOTONE", entry.line, said)
        if before is not None and entry.time < before.time:
            self._warn("TS_DECREASE", entry.line)

    def _chain(
        self, document: Mapping[str, Any], given: tuple[str | None, str | None], line: int
    ) -> None:
        prev_hash, entry_hash = given
        body = {n: v for n, v in document.items() if n not in ("entry_hash", "line_no")}
        expected = digest(body)
        if entry_hash is None:
            self._warn("ENTRY_HASH_MISSING", line)
        elif entry_hash != expected:
            self._warn("HASH_MISMATCH", line)
        if prev_hash != self.last_hash:
            self._warn("PREV_HASH_MISMATCH", line)
        self.last_hash = entry_hash or expected


def _document(raw: bytes) -> dict[str, Any]:
    try:
        document = parse(raw)
    except NotJsonError as error:
        raise _LineError(f"json_error={error}") from error
    if not isinstance(document, dict):
        raise _LineError("not_object")
    return document


def _entry(document: Mapping[str, Any], line: int) -> Entry:
    version = _integer(document.get("schema_version"), "schema_version_missing_or_invalid")
    if version != 1:
        raise _LineError(f"schema_version={version}")
    rev = _integer(document.get("rev"), "rev_missing_or_invalid")
    event = document.get("event") or document.get("event_type")
    if not isinstance(event, str) or event not in _EVENTS:
        raise _LineError(f"event_invalid={str(event)[:80]}")
    payload = document.get("payload")
    if not isinstance(payload, dict):
        raise _LineError("payload_missing_or_invalid")
    time = _time(document.get("ts_utc"))
    actor = document.get("actor")
    if actor is not None and not isinstance(actor, str):
        raise _LineError("actor_invalid")
    return Entry(line, rev, event, payload, time)


def _hashes(document: Mapping[str, Any]) -> tuple[str | None, str | None]:
    found = []
    for name in ("prev_hash", "entry_hash"):
        value = document.get(name)
        if value is not None and not isinstance(value, str):
            raise _LineError(f"{name}_invalid")
        found.append(value)
    return found[0], found[1]


def _integer(value: object, fault: str) -> int:
    """Return an integer; one that is written as a string will do."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    raise _LineError(fault)


def _time(value: object) -> datetime:
    if not isinstance(value, str):
        raise _LineError("ts_utc_missing_or_invalid")
    text = value.strip()
    try:
        time = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _LineError(f"ts_utc_invalid={value[:80]!r}") from error


def _payload_faults(entry: Entry) -> tuple[set[str], set[str]]:
    """Return the members that a payload lacks, and those that are not what they must be."""
    payload = entry.payload
    kinds = _KINDS.get(entry.event, ())
    missing = {name for name, _ in kinds if name not in payload}
    invalid = {name for name, kind in kinds if name in payload and not _is_a(payload[name], kind)}
    for outer, inner in _NAMED.get(entry.event, ()):
        if isinstance(payload.get(outer), dict) and not _is_a(payload[outer].get(inner), str):
            invalid.add(f"{outer}.{inner}")
    further: dict[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {
        RUN_STARTED: _started_faults,
        OVERRIDES: _override_faults,
        GATE: _gate_faults,
    }
    if entry.event in further:
        invalid.update(further[entry.event](payload))
    return missing, invalid


def _is_a(value: object, kind: type) -> bool:
    if kind is str:
        return isinstance(value, str) and bool(value.strip())
    return isinstance(value, kind) and not isinstance(value, bool)


def _started_faults(payload: Mapping[str, Any]) -> Iterator[str]:
    if payload.get("distributed") is None:
        return
    try:
        _read_distributed(Members.of(payload["distributed"]))
    except SchemaError:
        yield "distributed"


def _read_distributed(block: Members) -> None:
    """Check the form of a distributed block; what it says is judged later."""
    for name in ("distributed_mode", "backend", "ddp_backend"):
        block.maybe(block.text, name)
    for name in ("rank", "rank_observed", "local_rank", "local_rank_observed"):
        block.maybe(block.count, name)
    for name in ("ddp_wrapped", "ddp_active"):
        block.maybe(block.boolean, name)
    if block.maybe(block.count, "world_size_observed") == 0:
        raise block.fail("world_size_observed", "Input should be greater than or equal to 1")


def _override_faults(payload: Mapping[str, Any]) -> Iterator[str]:
    if "argv" in payload and not isinstance(payload["argv"], list):
        yield "argv"


def _gate_faults(payload: Mapping[str, Any]) -> Iterator[str]:
    decision = str(payload.get("decision", "")).strip().lower()
    if isinstance(payload.get("decision"), str) and decision not in DECISIONS:
        yield "decision"
    yield from (n for n in ("ok", "warn") if n in payload and not isinstance(payload[n], bool))
    audit = payload.get("audit")
    if not isinstance(audit, dict):
        return
    if "per_metric_tv" not in audit:
        yield "audit.per_metric_tv"
    try:
        evaluated = read_audit(audit).evaluated
    except SchemaError:
        yield "audit"
        return
    if decision in DECISIONS and evaluated is (decision == "skip"):
        yield "audit.evaluated"
