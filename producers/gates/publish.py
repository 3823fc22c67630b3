"""Write the gate presets to a file: ``python -m producers.gates.publish PATH``.

The verifier reads ``verifier/presets.json`` and never imports the presets, so the
file is the only thing that the two sides share. A test compares it with them.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from producers.gates.presets import PRESETS

__all__ = ["main", "published"]

_USAGE = 64


def published() -> bytes:
    """Return the presets as one JSON object, name to plan, sorted, fit for a diff."""
    plans = {name: plan.as_data() for name, plan in PRESETS.items()}
    return json.dumps(plans, sort_keys=True, indent=1).encode() + b"\n"


def main(argv: Sequence[str]) -> int:
    """Write the presets to the path in *argv*, and return the exit code."""
    if len(argv) != 1:
        sys.stderr.write("usage: python -m producers.gates.publish PATH\n")
        return _USAGE
    Path(argv[0]).write_bytes(published())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
