"""``governance.*``: what people decide about a run after the gate has.

The subject is ``run/<run id>``. Nothing recorded by the gate is changed by it:
a judgement lies over the decisions, and both are shown.
"""

from typing import Literal

from ledger.events.base import Payload, Text


class GovernanceJudged(Payload):
    """A reviewer judges a run, and says why; the last judgement counts."""

    status: Literal["pass", "fail"]
    reason: Text
    reviewer: Text | None


class GovernanceCleared(Payload):
    """A reviewer takes back the judgement that stands."""

    reason: Text | None
    reviewer: Text | None
