"""What turns work into events: the wrapper and the session of a run, the training gate.

    from producers import record_run        # a loop of your own
    from producers import LedgerCallback    # transformers.Trainer
    from producers import LedgerTracker     # accelerate

These are imported when they are asked for: the last two need transformers and
accelerate, which are extras.
"""

from importlib import import_module
from typing import Any

_LAZY = {
    "LedgerCallback": "producers.gates.callback",
    "LedgerTracker": "producers.gates.tracker",
    "record_run": "producers.runs.inprocess",
}

__all__ = ["LedgerCallback", "LedgerTracker", "record_run"]


def __getattr__(name: str) -> Any:
    """Import a name when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
