"""Small file operations whose durability matters, in one place."""

import os
from pathlib import Path

from ledger.errors import StoreError


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable: a new file is lost without it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes) -> None:
    """Put *content* at *path* so that a crash leaves the old file or the new one.

    Raises:
        StoreError: The disk refused.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"{path}: {error.strerror}") from error


def publish(temporary: Path, path: Path) -> None:
    """Give a finished file its name, unless the name is taken.

    Raises:
        StoreError: There is a file of that name already, or the disk refused.
    """
    try:
        os.link(temporary, path)
        temporary.unlink()
        sync_directory(path.parent)
    except FileExistsError as error:
        raise StoreError(f"{path} exists already; it is left as it is") from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
