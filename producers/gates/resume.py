"""Weights that a run saves, and a later run of the same ledger goes on from.

Three things tie a checkpoint to the ledger. ``run.saved`` holds the digest of its
files. ``ledger_head.json``, written into it, says how far the ledger had come with
that event. And whoever resumes checks both before the first step, so that weights
that were exchanged, or that belong to another history, are not trained on as if
they were these.

The digest is SHA-256 over the text that begins with the line
``evidence-ledger/weights/v1`` and has one line for each regular file below the
directory, in the byte order of their paths: digest in hex, size in bytes, path
with ``/``, separated by single spaces. ``ledger_head.json`` itself is left out.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ledger import Ledger, LedgerError, MalformedError, MisuseError, StoreError
from ledger.strictjson import parse
from producers.gates.recording import GatedRun
from producers.runs.files import write_atomically
from producers.runs.session import Session

HEAD_NAME = "ledger_head.json"
_TAG = "evidence-ledger/weights/v1"
_MAX_HEAD = 4096  # it has some 300 bytes
_CHUNK = 1 << 20
_SCAN = 256  # run.saved is nearly always the last entry under the head


@dataclass(frozen=True, slots=True)
class Weights:
    """The digest over the files of a checkpoint, and how many bytes they have."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class SavedHead:
    """What ``ledger_head.json`` says: which run saved, and where its ledger stood then.

    ``iter`` is how many iterations were complete; ``size`` and ``hash`` are the head.
    """

    ledger: str
    run_id: str
    iter: int
    size: int
    hash: str


@dataclass(frozen=True, slots=True)
class Start:
    """Where a run goes on from, checked against the ledger."""

    head: SavedHead
    weights: Weights


def weigh(folder: Path) -> Weights:
    """Return the digest over all files below *folder*.

    Raises:
        MisuseError: There is none, or one is not a regular file or has a name
            that cannot be written down.
        StoreError: The disk refused.
    """
    lines = [_TAG]
    total = 0
    for name, path in sorted(_files(folder), key=lambda pair: pair[0].encode()):
        digest, size = _hashed(path)
        lines.append(f"{digest} {size} {name}")
        total += size
    if len(lines) == 1:
        raise MisuseError(f"{folder} holds no files: there are no weights to record")
    return Weights(hashlib.sha256(("\n".join(lines) + "\n").encode()).hexdigest(), total)


def record_save(run: GatedRun, session: Session, folder: Path, *, iteration: int) -> SavedHead:
    """Record that *folder* holds the weights after *iteration* iterations. Durable.

    Call it when all files are written; ``ledger_head.json`` comes last.

    Raises:
        LedgerError: It cannot be digested, recorded or written.
    """
    with run.measuring():
        weights = weigh(folder)
        name = _shown(folder, session.outdir)
        head = run.saved(iteration, name, sha256=weights.sha256, size=weights.bytes)
        saved = SavedHead(session.book.id, session.run_id, iteration, head.size, head.hash.hex())
        write_atomically(folder / HEAD_NAME, _written(saved))
    return saved


def find_start(book: Ledger, folder: Path) -> Start:
    """Check that the weights in *folder* were saved by a run of this ledger, and are the same.

    Raises:
        MisuseError: They were not, or are not: the message says what was expected
            and what was found.
        StoreError: The disk refused.
    """
    head = _read_head(folder)
    where = f"{folder} cannot be resumed from"
    if head.ledger != book.id:
        raise MisuseError(
            f"{where}: it belongs to another ledger; expected {book.id}, found {head.ledger}."
            " Record into the ledger that the first run was recorded in"
        )
    found = _hash_at(book, head.size)
    if found != head.hash:
        raise MisuseError(
            f"{where}: it was saved in another history of this ledger; after {head.size} entries,"
            f" expected hash {head.hash}, found {found or f'only {book.size} entries'}"
        )
    said = _saved(book, head)
    if said is None:
        raise MisuseError(
            f"{where}: expected a run.saved of run {head.run_id} at iteration {head.iter} among"
            f" the first {head.size} entries, found none"
        )
    weights = weigh(folder)
    if weights != said:
        raise MisuseError(
            f"{where}: its files are not those that were saved;"
            f" expected digest {said.sha256} over {said.bytes} bytes,"
            f" found {weights.sha256} over {weights.bytes}"
        )
    return Start(head, weights)


def record_resume(run: GatedRun, start: Start) -> None:
    """Record that *run* goes on from *start*, before its first observation. Durable.

    Raises:
        LedgerError: It cannot be recorded.
    """
    run.resumed(
        start.head.iter,
        start.head.run_id,
        sha256=start.weights.sha256,
        head_size=start.head.size,
        head_hash=start.head.hash,
    )


def _written(head: SavedHead) -> bytes:
    return json.dumps(asdict(head), separators=(",", ":")).encode() + b"\n"


def _read_head(folder: Path) -> SavedHead:
    path = folder / HEAD_NAME
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_HEAD + 1)
    except OSError as error:
        raise MisuseError(
            f"{folder} cannot be resumed from: {HEAD_NAME}: {error.strerror}."
            " Only a checkpoint that was saved under a ledger can be gone on from"
        ) from error
    try:
        if len(text) > _MAX_HEAD:
            raise MalformedError(f"more than {_MAX_HEAD} bytes")
        return _head_of(parse(text.removesuffix(b"\n")))
    except (LedgerError, TypeError) as error:
        raise MisuseError(f"{path} is not what a save writes: {error}") from error


def _head_of(data: dict[str, Any]) -> SavedHead:
    head = SavedHead(**data)
    texts = (head.ledger, head.run_id, head.hash)
    if not all(isinstance(text, str) for text in texts) or not all(
        type(n) is int and n >= 0 for n in (head.iter, head.size)
    ):
        raise MalformedError("a member has another type")
    return head


def _hash_at(book: Ledger, size: int) -> str | None:
    if not 0 < size <= book.refresh().size:
        return None
    return next(book.entries(size - 1, size)).hash


def _saved(book: Ledger, head: SavedHead) -> Weights | None:
    """Return what the matching ``run.saved`` under the head says; the last, if there are two."""
    subject = f"run/{head.run_id}"
    for stop in range(head.size, 0, -_SCAN):
        found = [
            entry.data
            for entry in book.entries(max(0, stop - _SCAN), stop)
            if entry.type == "run.saved" and entry.subject == subject
        ]
        for data in reversed(found):
            if data["iter"] == head.iter:
                return Weights(data["sha256"], data["bytes"])
    return None


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for place, folders, names in os.walk(folder):
        linked = [name for name in folders if (Path(place) / name).is_symlink()]
        for each in names + linked:
            path = Path(place) / each
            name = path.relative_to(folder).as_posix()
            if name == HEAD_NAME:
                continue
            if path.is_symlink():
                raise MisuseError(f"{path} is not a regular file: it cannot be recorded")
            if not name.isprintable():
                raise MisuseError(f"{folder}: {name!r} is no name that can be recorded")
            yield name, path


def _hashed(path: Path) -> tuple[str, int]:
    digest = hashlib.sha256()
    size = 0
    try:
        # A link could point at anything, and opening a pipe would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise MisuseError(f"{path} is not a regular file: it cannot be recorded")
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    return digest.hexdigest(), size


def _shown(folder: Path, outdir: Path) -> str:
    """Return the path inside the run directory, else the name: the rest is about the machine."""
    place, root = folder.resolve(), outdir.resolve()
    return place.relative_to(root).as_posix() if place.is_relative_to(root) else place.name
