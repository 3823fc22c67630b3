"""Bytes too large for an entry, or that may have to be erased one day (format.md section 8).

A blob is named by its digest, so it cannot be changed, only lost or erased; the
entry that refers to it keeps the digest for ever.
"""

import hashlib
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from ledger.errors import MisuseError, StoreError
from ledger.stores.files import sync_directory

_CHUNK = 1 << 20
_HEX64 = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """The blob store beside a ledger."""

    def __init__(self, ledger_path: Path) -> None:
        """Use the folder ``blobs`` in the folder that the ledger lies in."""
        self.root = ledger_path.parent / "blobs" / "sha256"

    def put(self, source: BinaryIO, *, name: str, media_type: str) -> dict[str, Any]:
        """Store what *source* yields, durably, and return the reference to record.

        Raises:
            StoreError: The disk refused; no partial blob is left under its name.
        """
        digest, length = hashlib.sha256(), 0
        temporary = self.root / f".{secrets.token_hex(8)}.tmp"
        try:
            self._make_root()
            with temporary.open("xb") as file:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    length += len(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            path = self.path(digest.hexdigest())
            path.parent.mkdir(exist_ok=True)
            temporary.replace(path)
            sync_directory(path.parent)
            sync_directory(self.root)
        except OSError as error:
            raise StoreError(f"{temporary.parent}: {error.strerror}") from error
        finally:
            with suppress(OSError):
                temporary.unlink()
        return {
            "sha256": digest.hexdigest(),
            "bytes": length,
            "media_type": media_type,
            "name": name,
        }

    def _make_root(self) -> None:
        if not self.root.exists():
            self.root.mkdir(parents=True, exist_ok=True)
            sync_directory(self.root.parent)
            sync_directory(self.root.parent.parent)

    def path(self, sha256: str) -> Path:
        """Return where the blob of this digest lies.

        Raises:
            MisuseError: Not 64 lowercase hex digits; so no path out of the store.
        """
        if not _HEX64.fullmatch(sha256):
            raise MisuseError(f"{sha256[:80]!r} is not a SHA-256 digest in lowercase hex")
        return self.root / sha256[:2] / sha256

    def read(self, sha256: str) -> bytes:
        """Return the bytes of a blob, whose digest is checked.

        Raises:
            MisuseError: There is no such blob.
            StoreError: The bytes are not those of the digest, or the disk refused.
        """
        try:
            content = self.path(sha256).read_bytes()
        except FileNotFoundError as error:
            raise MisuseError(f"no blob {sha256} in {self.root}") from error
        except OSError as error:
            raise StoreError(f"{self.path(sha256)}: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise StoreError(f"{self.path(sha256)}: the bytes are not those of its digest")
        return content

    def erase(self, sha256: str) -> None:
        """Remove a blob; record ``blob.erased`` first, or it counts as missing.

        Raises:
            MisuseError: There is no such blob.
        """
        try:
            self.path(sha256).unlink()
        except FileNotFoundError as error:
            raise MisuseError(f"no blob {sha256} in {self.root}") from error
