"""What the projections of runs have in common: which run an event is of, and a run's bare story.

A run is there from the first of its events, whatever that is, and a second
``run.opened``, ``run.planned`` or ``run.closed`` changes nothing. Gate checks count
even where the story does not allow them: a FAIL that came after the run was
closed must not vanish from a report because it came late. Whether the order
holds is the verifier's to say (``event.order``). The rules, for whoever writes
them a second time, are in docs/reference/capsule.md.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec
from pydantic import ValidationError

from ledger.events import MODELS, Payload
from ledger.events.run import GateChecked, RunClosed, RunOpened, RunPlanned
from projections.protocol import EntryLike

STATUS = {
    "success": "success",
    "user_code_failure": "user_code_failure",
    "wrapper_failure": "veriscope_failure",
}
"""Our word for how a run ended, and the seed's (section 4D)."""

_SUBJECT = "run/"
_GOVERNANCE = "governance."
_FAMILIES = ("run.", "metric.", "gate.", "fault.", "artifact.", _GOVERNANCE)
_SECONDS = 19  # characters of YYYY-MM-DDThh:mm:ss
_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")
_DEVICE_NAME = re.compile(r"con|prn|aux|nul|com[0-9]|lpt[0-9]")
_UNSAFE = re.compile(r"[^a-z0-9_-]+")


class Ending(msgspec.Struct, forbid_unknown_fields=True):
    """What ``run.closed`` said, and when."""

    time: str
    status: str
    exit_code: int | None
    signal: str | None
    wall_s: float
    reason: str | None = None


Override = int | float | str | bool | None


class RunCore(msgspec.Struct, forbid_unknown_fields=True):
    """The bare story of one run. ``unread`` counts payloads that do not fit their schema.

    ``asked`` is the preset that was asked of the wrapper. ``gate``, ``overrides``
    and ``distributed`` are what the runner planned.
    """

    run_id: str
    started: str
    opened: bool = False
    kind: str | None = None
    asked: str | None = None
    gate: dict[str, Any] | None = None
    overrides: dict[str, Override] = msgspec.field(default_factory=dict)
    distributed: dict[str, Any] | None = None
    ending: Ending | None = None
    unread: int = 0

    @property
    def status(self) -> str:
        """The seed's run_status; a run that never closed counts as the wrapper's failure."""
        return "veriscope_failure" if self.ending is None else STATUS[self.ending.status]

    @property
    def partial(self) -> bool:
        """Whether the story lacks its plan or its end, so that its counts are no result."""
        return self.gate is None or self.ending is None

    def take(self, entry: EntryLike, payload: Payload) -> None:
        """Follow the events that open, plan and close a run; the first of each counts."""
        if isinstance(payload, RunOpened) and not self.opened:
            self.opened, self.kind, self.started = True, payload.kind, entry.time
            self.asked = payload.gate_preset
        elif isinstance(payload, RunPlanned) and self.takes_plan:
            self.gate = payload.gate.model_dump(mode="json")
            self.overrides = payload.overrides
            spread = payload.distributed
            self.distributed = None if spread is None else spread.model_dump()
        elif isinstance(payload, RunClosed) and self.ending is None:
            self.ending = Ending(
                time=entry.time,
                status=payload.status,
                exit_code=payload.exit_code,
                signal=payload.signal or None,
                wall_s=payload.wall_s,
                reason=payload.reason,
            )

    @property
    def takes_plan(self) -> bool:
        """Whether a plan would count now: there is none, and what is over cannot be planned."""
        return self.gate is None and self.ending is None


class RunState(msgspec.Struct, forbid_unknown_fields=True):
    """What a projection of runs keeps of one run; its own state adds to this."""

    core: RunCore


R = TypeVar("R", bound=RunState)


class Runs(msgspec.Struct, Generic[R], forbid_unknown_fields=True):
    """All runs of a ledger by run id, in the order in which they first appear."""

    runs: dict[str, R] = msgspec.field(default_factory=dict)


def run_id_of(entry: EntryLike) -> str | None:
    """Return the id of the run that *entry* is about, or ``None`` if it is about none."""
    if not entry.type.startswith(_FAMILIES) or entry.type not in MODELS:
        return None
    subject = entry.subject
    return subject[len(_SUBJECT) :] or None if subject.startswith(_SUBJECT) else None


def read_payload(entry: EntryLike) -> Payload | None:
    """Return the payload as its model, or ``None`` if there is no such type or it does not fit.

    It goes through JSON because the strict models take a list for a tuple only there.
    """
    model = MODELS.get(entry.type)
    if model is None:
        return None
    try:
        return model.model_validate_json(msgspec.json.encode(entry.data))
    except ValidationError:
        return None


def follow(
    state: Runs[R], entry: EntryLike, begin: Callable[[RunCore], R]
) -> tuple[R, Payload] | None:
    """Find or begin the run of *entry*, and return it with the payload; ``None``: not a run's.

    The payload is applied to the run's core. A judgement begins no run: a reviewer
    who mistypes a run id must not turn one run's capsule into that of several.
    """
    run_id = run_id_of(entry)
    if run_id is None:
        return None
    run = state.runs.get(run_id)
    if run is None:
        if entry.type.startswith(_GOVERNANCE):
            return None
        run = state.runs[run_id] = begin(RunCore(run_id=run_id, started=entry.time))
    payload = read_payload(entry)
    if payload is None:
        run.core.unread += 1
        return None
    run.core.take(entry, payload)
    return run, payload


def decision_of(check: GateChecked) -> str:
    """Return the decision to show: what was recorded, but a pass that was not evaluated is a skip.

    The schema allows the contradiction; a warn or fail is never softened by it.
    """
    if check.decision == "pass" and not check.audit.evaluated:
        return "skip"
    return check.decision


def second(time: str) -> str:
    """Return a time of the ledger as the seed's files write it: whole seconds.

    >>> second("2026-01-15T10:00:02.250000Z")
    '2026-01-15T10:00:02Z'
    """
    return f"{time[:_SECONDS]}Z"


def canonical(value: Mapping[str, Any]) -> bytes:
    """Return the canonical JSON of the seed's section 4B, without a line end."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def json_line(value: Mapping[str, Any]) -> bytes:
    """Return a line of a ``.jsonl`` file, in ASCII: some readers end lines at U+2028, too."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"{text}\n".encode()


def place(state: Runs[R], files: Callable[[R], dict[str, bytes]]) -> dict[str, bytes]:
    """Return the files of all runs: plain names for the only run, ``runs/<id>/…`` for several."""
    if len(state.runs) == 1:
        return files(next(iter(state.runs.values())))
    return {
        f"{run_directory(run_id)}/{name}": content
        for run_id, run in state.runs.items()
        for name, content in files(run).items()
    }


def run_directory(run_id: str) -> str:
    """Return the directory for the files of one of several runs.

    A run id is hostile: it may be ``../..``, a device, or a twin of another id
    under case folding or NFC. One that is not plainly a name is cut down and told
    apart by a digest after ``~``, which no plain name has.

    >>> run_directory("0192-abc")
    'runs/0192-abc'
    >>> run_directory("../../etc")
    'runs/etc~74ccf3c5b4c19a8167f9a3d1dd63e0e4'
    """
    if _PLAIN_NAME.fullmatch(run_id) and not _DEVICE_NAME.fullmatch(run_id):
        return f"runs/{run_id}"
    stem = _UNSAFE.sub("-", run_id.lower())[:40].strip("-") or "run"
    return f"runs/{stem}~{hashlib.sha256(run_id.encode()).hexdigest()[:32]}"
