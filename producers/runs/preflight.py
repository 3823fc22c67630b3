"""What our runners need, looked for before one is started: better than a traceback later."""

from collections.abc import Sequence
from importlib.util import find_spec

NEEDED = {
    "gpt": ("torch", "transformers"),
    "hf": ("torch", "transformers", "accelerate"),
}
"""The packages that a kind of run imports; all are in the extra ``train``."""

_INSTALL = "pip install 'evidence-ledger[train]'"


def missing_for(kind: str) -> str | None:
    """Return what to tell the user if a package is not installed, and nothing if all are.

    They are looked for and not imported: that would take seconds.
    """
    absent = [name for name in NEEDED.get(kind, ()) if not _is_there(name)]
    if not absent:
        return None
    are = "is" if len(absent) == 1 else "are"
    return f"{_listed(absent)} {are} not installed: {_INSTALL}"


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
