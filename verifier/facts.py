"""What several files of a capsule say alike of a run (docs/reference/capsule.md, sections 1 and 2).

It is taken from the events once more, and from nothing else. Numbers count as their
schema types them: a float that was written ``0`` is ``0.0``.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from verifier.runs import Event, Replay
from verifier.signature import SIGNATURE_PATH, Plan, engine_of, signature_hash

__all__ = ["Facts", "canonical", "digest", "facts_of", "number", "seconds"]

_UNPLANNED = "unplanned"  # what the files say of a run that died before its plan
_STATUS = {
    "success": "success",
    "user_code_failure": "user_code_failure",
    "wrapper_failure": "veriscope_failure",
}
_UNCLOSED = "veriscope_failure"


def canonical(value: object) -> bytes:
    """Return the one way to write a JSON value, without a line feed (section 1)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def digest(value: object) -> str:
    """Return the SHA-256 of the canonical JSON of *value*, in lowercase hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def seconds(time: str) -> str:
    """Return an entry's time without its fraction.

    >>> seconds("2026-01-15T10:00:05.123456Z")
    '2026-01-15T10:00:05Z'
    """
    return time[:19] + "Z"


def number(value: float | str | None) -> float | str | None:
    """Return a measured value as its schema types it: a float, a word, or nothing."""
    return float(value) if isinstance(value, int) else value


@dataclass(frozen=True, slots=True)
class Facts:
    """The events that count, and what follows from them alone."""

    run_id: str
    first: str
    opened: Event | None
    planned: Event | None
    finished: Event | None
    closed: Event | None

    @property
    def plan(self) -> Plan:
        """What the window signature is made of."""
        return Plan(
            kind=self.opened_data.get("kind"),
            gate=None if self.planned is None else self.planned.data["gate"],
        )

    @property
    def opened_data(self) -> Mapping[str, Any]:
        """The payload of ``run.opened``, or nothing."""
        return {} if self.opened is None else self.opened.data

    @property
    def partial(self) -> bool:
        """Tell whether the run has no plan that counts, or was not closed."""
        return self.planned is None or self.closed is None

    @property
    def preset(self) -> str:
        """The gate preset that the files name."""
        if self.planned is not None:
            return str(self.planned.data["gate"]["preset"])
        return self.opened_data.get("gate_preset") or _UNPLANNED

    @property
    def overrides(self) -> Mapping[str, Any]:
        """The gate controls that depart from the preset."""
        return {} if self.planned is None else self.planned.data.get("overrides", {})

    @property
    def status(self) -> str:
        """The contract's word for how the run ended."""
        return _UNCLOSED if self.closed is None else _STATUS[self.closed.data["status"]]

    @property
    def exit_code(self) -> int | None:
        """The runner's exit code."""
        return None if self.closed is None else self.closed.data["exit_code"]

    @property
    def signal(self) -> str | None:
        """The signal that ended the runner."""
        return None if self.closed is None else self.closed.data["signal"] or None

    @property
    def started(self) -> str:
        """When the run was opened, or first heard of."""
        return seconds(self.first if self.opened is None else self.opened.time)

    @property
    def ended(self) -> str | None:
        """When the run was closed, unless the clock went back."""
        if self.closed is None:
            return None
        ended = seconds(self.closed.time)
        return None if ended < self.started else ended

    @property
    def reference(self) -> dict[str, str]:
        """The ``window_signature_ref``."""
        return {"hash": signature_hash(self.plan), "path": SIGNATURE_PATH}

    @property
    def distributed(self) -> dict[str, Any]:
        """The member ``distributed``, or nothing."""
        block = None if self.planned is None else self.planned.data.get("distributed")
        return {} if block is None else {"distributed": block}

    @property
    def profile(self) -> dict[str, Any]:
        """The member ``profile``."""
        return {"gate_preset": self.preset, "overrides": self.overrides}

    @property
    def engine(self) -> str | None:
        """The gate's engine, ``None`` without a plan."""
        return None if self.planned is None else engine_of(self.planned.data["gate"])


def facts_of(replay: Replay) -> Facts:
    """Return the facts of a run that kept its events."""
    closed = replay.event("run.closed")
    planned = replay.event("run.planned")
    if planned is not None and closed is not None and planned.seq > closed.seq:
        planned = None
    return Facts(
        run_id=replay.run_id,
        first=replay.events[0].time if replay.events else "",
        opened=replay.event("run.opened"),
        planned=planned,
        finished=replay.event("run.finished"),
        closed=closed,
    )
