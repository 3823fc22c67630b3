"""What a signer remembers of what it signed; on its own machine, not beside the ledger."""

import os
from pathlib import Path


def signer_memory() -> Path:
    """Return the folder of the last checkpoints that were signed here."""
    given = os.environ.get("LEDGER_STATE")
    if given:
        return Path(given)
    state = os.environ.get("XDG_STATE_HOME")
    base = Path(state) if state else Path.home() / ".local" / "state"
    return base / "evidence-ledger"
