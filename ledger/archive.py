"""A capsule as one file to hand over: a plain tar out, a tar or zip in.

What comes in was made by a stranger. Every member is judged, and every deflated one is
read to its end, before the first byte is written; then files are created one by one, each
new, under directories that were opened without following links. What was unpacked is
still unverified: that is the verifier's work.

>>> check_member_name("/etc/passwd")
Traceback (most recent call last):
    ...
ledger.errors.MalformedError: the archive member '/etc/passwd' is refused: '' is no file name
"""

import os
import shutil
import stat
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from ledger.errors import MalformedError, MisuseError, StoreError
from ledger.members import (
    Member,
    Source,
    check_member_name,
    check_members,
    check_names,
    content,
)
from ledger.plainzip import STARTS, read_zip
from ledger.ustar import END, format_header, padding, read_tar

__all__ = ["MAX_BYTES", "check_member_name", "pack", "unpack"]

MAX_BYTES: Final = 10 << 30
"""What an archive may unpack to, unless the caller says otherwise."""

_CHUNK: Final = 1 << 20
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a fifo in the place of a file must not stop us.
_OLD: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


def pack(directory: Path, out: Path) -> tuple[str, ...]:
    """Write the files under *directory* to the new tar archive *out*, and return their names.

    The same files give the same bytes: sorted names, time 0, mode 0644. Empty folders
    are not files and are left out.

    Raises:
        MisuseError: *out* exists or lies in *directory*, or there is something in it that
            ``unpack`` would refuse: a link, a device, an odd or too long name.
        StoreError: Reading or writing failed, or a file changed meanwhile.
    """
    with _world("pack", directory):
        if not directory.is_dir():
            raise MisuseError(f"there is no directory {directory}")
        if out.resolve().is_relative_to(directory.resolve()):
            raise MisuseError("the archive cannot lie in the directory that it is made of")
        names = sorted(_files(directory))
        try:
            check_names(names)
        except MalformedError as error:
            raise MisuseError(error.reason) from error
        with _new_file(out) as write:
            for name in names:
                _pack_file(directory / name, name, write)
            write(END)
    return tuple(names)


def unpack(
    archive: Path,
    into: Path,
    *,
    max_bytes: int = MAX_BYTES,
    expected: Collection[str] | None = None,
) -> tuple[str, ...]:
    """Write the members of the tar or zip *archive* to the new directory *into*.

    Nothing is written unless all of it may be; with *expected*, its names must be exactly
    those. Returns the names, sorted.

    Raises:
        MalformedError: The archive is not a plain one, or a member is refused.
        MisuseError: There is no *archive*, or *into* exists already.
        StoreError: Reading or writing failed; what had been written is gone again.
    """
    with _world("unpack", archive), _open_archive(archive) as source:
        is_zip = source.read(0, min(4, source.size)) in STARTS
        members = read_zip(source) if is_zip else read_tar(source)
        check_members(members, max_bytes=max_bytes, expected=expected)
        for member in members:
            # A lie about a size or checksum must come out before anything is written.
            if member.crc is not None:
                deque(content(source, member), maxlen=0)
        _write_all(source, members, into)
    return tuple(sorted(member.name for member in members))


def _write_all(source: Source, members: Sequence[Member], into: Path) -> None:
    """Create *into* with all *members*, or leave nothing behind."""
    try:
        into.mkdir()
    except FileExistsError as error:
        raise MisuseError(f"{into} exists: an archive is unpacked to a new place") from error
    except FileNotFoundError as error:
        raise MisuseError(f"there is no directory {into.parent}") from error
    try:
        root = os.open(into, _FOLDER)
        try:
            for member in members:
                _write_member(source, member, root)
        finally:
            os.close(root)
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise


def _write_member(source: Source, member: Member, root: int) -> None:
    """Create one file below the directory *root*, following no links on the way."""
    *folders, name = member.name.split("/")
    here = os.dup(root)
    try:
        for folder in folders:
            here = _step_into(folder, here)
        with os.fdopen(os.open(name, _NEW, 0o644, dir_fd=here), "wb") as file:
            file.writelines(content(source, member))
    finally:
        os.close(here)


def _step_into(folder: str, here: int) -> int:
    """Return the subdirectory *folder* of *here*, made if need be, and close *here*."""
    # It may be there for another member; a link in its place is refused by the open.
    with suppress(FileExistsError):
        os.mkdir(folder, dir_fd=here)
    there = os.open(folder, _FOLDER, dir_fd=here)
    os.close(here)
    return there


def _files(directory: Path) -> Iterator[str]:
    """Yield the names of all files below *directory*."""
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(directory / prefix) as found:
            for each in found:
                name = prefix + each.name
                if each.is_dir(follow_symlinks=False):
                    pending.append(name + "/")
                elif each.is_file(follow_symlinks=False):
                    yield name
                else:
                    raise MisuseError(f"{name!a} is neither a file nor a directory")


def _pack_file(path: Path, name: str, write: Callable[[bytes], object]) -> None:
    """Write one file, with its header and padding."""
    with os.fdopen(os.open(path, _OLD | os.O_NOFOLLOW), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"{name!a} changed while it was packed")
        write(format_header(name, found.st_size))
        left = found.st_size
        while left and (chunk := file.read(min(_CHUNK, left))):
            write(chunk)
            left -= len(chunk)
        # A live ledger grows: half of an append must not be handed over as the whole.
        if left or os.fstat(file.fileno()).st_size != found.st_size:
            raise StoreError(f"{name!a} changed while it was packed")
        write(padding(found.st_size))


@contextmanager
def _new_file(path: Path) -> Iterator[Callable[[bytes], object]]:
    """Give a call that writes to the new file *path*; it is gone again after an error."""
    try:
        descriptor = os.open(path, _NEW, 0o644)
    except FileExistsError as error:
        raise MisuseError(f"{path} exists already") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file.write
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def _open_archive(path: Path) -> Iterator[Source]:
    """Open *path* once: what is judged and what is written come from the same file."""
    try:
        descriptor = os.open(path, _OLD)
    except FileNotFoundError as error:
        raise MisuseError(f"there is no archive {path}") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise MisuseError(f"{path} is not a file")
        yield Source(found.st_size, partial(_read_exactly, descriptor))
    finally:
        os.close(descriptor)


def _read_exactly(descriptor: int, start: int, count: int) -> bytes:
    """Return *count* bytes from *start* on, which the file had when it was opened."""
    pieces = []
    while count:
        piece = os.pread(descriptor, count, start)
        if not piece:
            raise StoreError("the archive became shorter while it was read")
        pieces.append(piece)
        start, count = start + len(piece), count - len(piece)
    return b"".join(pieces)


@contextmanager
def _world(verb: str, path: Path) -> Iterator[None]:
    """Turn what the operating system refuses into the world's fault."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot {verb} {path}: {error.strerror}") from error
