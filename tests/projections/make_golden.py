"""Write the golden files anew: ``python tests/projections/make_golden.py``. Look at the diff."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import story  # noqa: E402 - the path comes first

from projections import PROJECTIONS, project  # noqa: E402 - the path comes first

GOLDEN = HERE / "golden"


def files() -> dict[str, bytes]:
    """Return every golden file by its path below ``golden/``."""
    made: dict[str, bytes] = {}
    for case, entries in story.golden_cases().items():
        projections = [factory() for factory in PROJECTIONS.values()]
        for path, content in project(projections, entries).items():
            made[f"{case}/{path}"] = content
    return made


def main() -> None:
    """Replace what is there."""
    for path, content in files().items():
        target = GOLDEN / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


if __name__ == "__main__":
    main()
