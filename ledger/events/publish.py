"""Write the published JSON Schemas to a file: ``python -m ledger.events.publish PATH``.

The verifier checks payloads against that file and never imports the models, so
the file is the only thing that the two sides share. A test compares it with
what the models generate.
"""

import json
import sys
from pathlib import Path

from ledger.events import json_schemas

__all__ = ["main", "published"]

_USAGE = 64


def published() -> bytes:
    """Return the schemas as one JSON object, event type to schema, sorted, fit for a diff."""
    return json.dumps(json_schemas(), sort_keys=True, indent=1).encode() + b"\n"


def main(argv: list[str]) -> int:
    """Write the schemas to the path in *argv*, and return the exit code."""
    if len(argv) != 1:
        sys.stderr.write("usage: python -m ledger.events.publish PATH\n")
        return _USAGE
    Path(argv[0]).write_bytes(published())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
