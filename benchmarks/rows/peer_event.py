"""An event of eventsourcing's that holds what one of ours holds."""

from dataclasses import dataclass
from typing import Any

from eventsourcing.domain import AggregateEvent


@dataclass(frozen=True)
class Checked(AggregateEvent):
    """One iteration of a training gate."""

    data: dict[str, Any]
