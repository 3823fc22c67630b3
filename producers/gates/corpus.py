"""The text that a run trains on: the user's file, or one that every Python has."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger import MisuseError

_BUILT_IN = "pydoc_data.topics"
STDLIB = "stdlib source"


@dataclass(frozen=True, slots=True)
class Corpus:
    """Bytes to train on, and what they are called."""

    name: str
    content: bytes

    def as_data(self) -> dict[str, Any]:
        """Return the ``data`` member of ``run.planned``."""
        digest = hashlib.sha256(self.content).hexdigest()
        return {"name": self.name, "sha256": digest, "bytes": len(self.content)}


def load_corpus(path: Path | None) -> Corpus:
    """Return the bytes of *path*, or CPython's own help texts when it is ``None``.

    The help texts (CPython's ``pydoc_data.topics``, half a megabyte of English,
    sorted by key) need no download; they differ a little between Python
    versions, which the recorded digest shows.

    Raises:
        MisuseError: The file cannot be read, or is empty.
    """
    if path is None:
        from pydoc_data.topics import topics

        text = "\n\n".join(topics[key] for key in sorted(topics))
        return Corpus(_BUILT_IN, text.encode())
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MisuseError(f"{path} cannot be read: {error.strerror}") from error
    if not content:
        raise MisuseError(f"{path} is empty: there is nothing to train on")
    # The name alone: a full path says more about the machine than about the text.
    name = path.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return Corpus(name, content)


def stdlib_corpus() -> Corpus:
    """Return the sources of CPython's own top-level modules, in the order of their names.

    About five megabytes of Python; like the help texts, they differ between versions.
    """
    import os

    files = sorted(Path(os.__file__).parent.glob("*.py"))
    return Corpus(STDLIB, b"\n".join(path.read_bytes() for path in files))
