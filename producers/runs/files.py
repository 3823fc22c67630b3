"""The files of a run directory: claim it, write into it, take stock of it.

A file that we write appears whole or not at all: it is written beside its
place, synced, and renamed.
"""

import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ledger.errors import MisuseError, StoreError

SENTINELS = (
    "run_config_resolved.json",
    "results.json",
    "results_summary.json",
    "window_signature.json",
)
"""A directory that holds one of these holds a run's artifacts (the seed's section 2.1)."""

LINK = "inode/symlink"
"""The media type of a symbolic link; its bytes are its text, where it points."""

_BLOBS = "blobs"
_COMPANIONS = ("", "-wal", "-shm", "-journal")
_TEMPORARY = ".partial-"
_CHUNK = 1 << 20
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\\]")
_MEDIA_TYPES = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".log": "text/plain",
    ".md": "text/markdown",
    ".txt": "text/plain",
}


@dataclass(frozen=True, slots=True)
class FileFact:
    """One file of a run directory, as it stood when it was read."""

    path: str
    sha256: str
    bytes: int
    media_type: str


def claim_outdir(outdir: Path, *, force: bool = False) -> Path:
    """Make the directory of a new run and return its absolute path.

    With *force*, a directory that holds another run's artifacts is left as it
    is, and a fresh subdirectory of it is returned.

    Raises:
        MisuseError: It holds a run's artifacts already, or cannot be a directory.
    """
    place = Path(os.path.abspath(outdir))  # noqa: PTH100 - resolve() would follow symlinks
    try:
        if any((place / name).exists() for name in SENTINELS):
            if not force:
                raise MisuseError(
                    f"{outdir} holds the artifacts of another run;"
                    " choose another directory, or --force for a fresh subdirectory in it"
                )
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
            place /= f"run_{stamp}_{secrets.token_hex(4)}"
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MisuseError(f"{outdir} cannot be a run directory: {error.strerror}") from error
    return place


def write_atomically(path: Path, content: bytes) -> None:
    """Put *content* at *path*: a crash leaves the old file or the new one, never a part.

    Raises:
        StoreError: The disk refused.
    """
    temporary = path.with_name(f"{_TEMPORARY}{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"{path}: {error.strerror}") from error


def take_stock(outdir: Path, ledger: Path) -> tuple[tuple[FileFact, ...], tuple[str, ...]]:
    """Return the files and links under *outdir* with their digests, and what was left out.

    The ledger's own files and the blobs are not artifacts. A symbolic link is not
    followed: on record is its text, where it points. Left out are devices and names
    that hold control characters, a backslash, or bytes that are not UTF-8: no reader
    could open them safely. Nor does a link go on record that points to such a name.
    """
    facts = []
    left_out = []
    root = outdir.resolve()
    for path in sorted(_files(root, ledger.resolve())):
        name = path.relative_to(root).as_posix()
        try:
            facts.append(_fact(path, name))
        except (OSError, UnicodeEncodeError, ValueError):
            left_out.append(ascii(name))
    return tuple(facts), tuple(left_out)


def _files(outdir: Path, ledger: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(outdir):
        here = Path(folder)
        if here == ledger.parent and _BLOBS in folders and not (here / _BLOBS).is_symlink():
            folders.remove(_BLOBS)
        for name in names + [f for f in folders if (here / f).is_symlink()]:
            if not (here == ledger.parent and _belongs_to(ledger.name, name)):
                yield here / name


def _belongs_to(ledger: str, name: str) -> bool:
    if name.startswith(f".{ledger}."):  # one of its files, not yet given its name
        return name.endswith(".tmp")
    rest = name.removeprefix(ledger)
    return name.startswith(ledger) and (rest in _COMPANIONS or rest.startswith(".torn-"))


def _fact(path: Path, name: str) -> FileFact:
    name.encode()
    if _UNSAFE.search(name):
        raise ValueError("not a plain name")
    if path.is_symlink():
        return _link(path, name)
    digest = hashlib.sha256()
    size = 0
    # O_NOFOLLOW: a link could point at anything. O_NONBLOCK: opening a pipe would wait forever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    media_type = _MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")
    return FileFact(name, digest.hexdigest(), size, media_type)


def _link(path: Path, name: str) -> FileFact:
    target = os.readlink(path)  # noqa: PTH115 - a Path would drop a './' or a last '/'
    if _UNSAFE.search(target):
        raise ValueError("not a plain target")
    content = target.encode()
    return FileFact(name, hashlib.sha256(content).hexdigest(), len(content), LINK)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
