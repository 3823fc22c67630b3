"""Open the files that a ledger names, and never any other.

The names are hostile: they are in events, and whoever held a key chose them. A
path is opened one component at a time, none of them through a symbolic link,
and only a regular file is read, or the text of a link. It is opened once; what
is hashed is what is parsed, so that a file that is swapped meanwhile cannot be
two things.
"""

import errno
import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Content",
    "RefusedError",
    "digest",
    "digest_link",
    "opened",
    "opened_root",
    "read",
    "walk",
]

_CHUNK = 1 << 20
_LONGEST_PATH = 4096  # as in the schema of artifact.recorded; what Linux itself can open
_DRIVE = re.compile(r"[A-Za-z]:")
_BREAKING = frozenset({"Cc", "Cs", "Zl", "Zp"})  # control characters, line ends, lone surrogates
# O_NONBLOCK: opening a FIFO would otherwise wait for a writer that never comes.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


class RefusedError(Exception):
    """The name is not followed, or leads to something that is no regular file of this directory."""


@dataclass(frozen=True, slots=True)
class Content:
    """What was read of a file. ``data`` is there only if it was asked for and is not too long."""

    sha256: str
    size: int
    data: bytes | None


@contextmanager
def opened_root(path: Path) -> Iterator[int]:
    """Hold the directory *path* open; all else is opened relative to it.

    Raises:
        OSError: It is no directory or cannot be opened.
    """
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield root
    finally:
        os.close(root)


def digest(root: int, path: str, limit: int) -> Content:
    """Hash the file at *path*, reading no further than one byte beyond *limit*.

    Raises:
        RefusedError: The path leads out of *root*, through a link, or to no regular file.
        OSError: There is no such file, or it cannot be read.
    """
    hashed = hashlib.sha256()
    size = 0
    for chunk in _chunks(root, path):
        hashed.update(chunk)
        size += len(chunk)
        if size > limit:  # longer than it should be; how much longer does not matter
            break
    return Content(hashed.hexdigest(), size, None)


def digest_link(root: int, path: str) -> Content:
    """Hash the text of the symbolic link at *path*: where it points, which is never looked at.

    The kernel bounds that text by the longest path.

    Raises:
        RefusedError: The path leads out of *root*, through another link, or to no link.
        OSError: There is nothing, or it cannot be read.
    """
    *folders, name = _components(path)
    folder = _descend(root, folders)
    try:
        target = os.fsencode(os.readlink(name, dir_fd=folder))
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise RefusedError("is on record as a symbolic link, and is none") from error
        raise
    finally:
        os.close(folder)
    return Content(hashlib.sha256(target).hexdigest(), len(target), None)


def read(root: int, path: str, limit: int) -> Content:
    """Read and hash the file at *path*; of a file longer than *limit* only the digest is kept.

    Raises:
        RefusedError: The path leads out of *root*, through a link, or to no regular file.
        OSError: There is no such file, or it cannot be read.
    """
    hashed = hashlib.sha256()
    size = 0
    kept: list[bytes] = []
    for chunk in _chunks(root, path):
        hashed.update(chunk)
        size += len(chunk)
        if size > limit:
            kept.clear()
        else:
            kept.append(chunk)
    return Content(hashed.hexdigest(), size, b"".join(kept) if size <= limit else None)


@contextmanager
def opened(root: int, path: str) -> Iterator[int]:
    """Hold the file at *path* open for reading, however long it is.

    Raises:
        RefusedError: The path leads out of *root*, through a link, or to no regular file.
        OSError: There is no such file, or it cannot be opened.
    """
    descriptor = _open(root, path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def walk(root: int) -> Iterator[str]:
    """Yield the path of everything below *root* that is no directory; links are not followed.

    A directory that cannot be read is yielded itself, with a ``/`` at its end.
    """
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            names = _listing(root, folder)
        except OSError:
            yield f"{folder}/"
            continue
        for name, is_folder in names:
            path = f"{folder}/{name}" if folder else name
            if is_folder:
                waiting.append(path)
            else:
                yield path


def _listing(root: int, folder: str) -> list[tuple[str, bool]]:
    descriptor = _descend(root, folder.split("/") if folder else [])
    try:
        with os.scandir(descriptor) as entries:
            return sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    finally:
        os.close(descriptor)


def _chunks(root: int, path: str) -> Iterator[bytes]:
    with opened(root, path) as descriptor:
        while chunk := os.read(descriptor, _CHUNK):
            yield chunk


def _open(root: int, path: str) -> int:
    *folders, name = _components(path)
    folder = _descend(root, folders)
    try:
        descriptor = os.open(name, _FILE, dir_fd=folder)
    except OSError as error:
        _explain(folder, name, error)
        raise
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RefusedError("is not a regular file")
    return descriptor


def _descend(root: int, folders: list[str]) -> int:
    """Return a descriptor of the directory that *folders* lead to, which the caller closes."""
    current = os.dup(root)
    for name in folders:
        try:
            below = os.open(name, _DIRECTORY, dir_fd=current)
        except OSError as error:
            _explain(current, name, error)
            raise
        finally:
            os.close(current)
        current = below
    return current


def _explain(folder: int, name: str, error: OSError) -> None:
    """Raise RefusedError if *name* could not be opened because it is a symbolic link."""
    with suppress(OSError):
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise RefusedError("leads through a symbolic link") from error


def _components(path: str) -> list[str]:
    """Split a relative POSIX path, and refuse every other kind of name."""
    components = path.split("/")
    if path.startswith("/") or "\\" in path or _DRIVE.match(path):
        raise RefusedError("is not a relative path with forward slashes")
    if any(component in {"", ".", ".."} for component in components):
        raise RefusedError("has an empty, '.' or '..' component")
    if any(unicodedata.category(character) in _BREAKING for character in path):
        raise RefusedError("holds control characters")
    if len(path.encode()) > _LONGEST_PATH:
        raise RefusedError("is longer than a path can be")
    return components
