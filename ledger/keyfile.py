"""Signing keys: OpenSSH Ed25519 files, the ones engineers already have.

The private half never leaves this module's ``Key``; only the seed can be handed
to a child process, which the run wrapper does through a pipe.
"""

import base64
import os
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ledger import ed25519
from ledger.errors import KeyFileError
from ledger.register import key_id

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_MAX_KEY_FILE = 65_536  # an OpenSSH Ed25519 key has some 400 bytes
_SSH_PREFIX = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"


@dataclass(frozen=True, repr=False)
class Key:
    """An Ed25519 key that can sign. Its ``repr`` shows no secret."""

    seed: bytes
    name: str

    @classmethod
    def generate(cls, name: str) -> Self:
        """Make a new key from the system's randomness."""
        return cls(secrets.token_bytes(ed25519.KEY_BYTES), name)

    @classmethod
    def from_seed(cls, seed: bytes, name: str = "") -> Self:
        """Make the key of a 32-byte seed.

        Raises:
            KeyFileError: The seed does not have 32 bytes.
        """
        if len(seed) != ed25519.KEY_BYTES:
            raise KeyFileError(f"a seed has {ed25519.KEY_BYTES} bytes, found {len(seed)}")
        return cls(seed, name)

    @classmethod
    def from_file(cls, path: Path | str, passphrase: bytes | None = None) -> Self:
        """Read an OpenSSH private key, such as ``~/.ssh/id_ed25519``.

        Raises:
            KeyFileError: Missing, unreadable, locked by a passphrase that is not
                *passphrase*, or not an Ed25519 key.
        """
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - slow to import
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - see above
            Ed25519PrivateKey,
        )

        text = _read(Path(path))
        try:
            private = serialization.load_ssh_private_key(text, passphrase)
        except (TypeError, ValueError) as error:
            raise KeyFileError(_why(path, text, passphrase)) from error
        except Exception as error:  # UnsupportedAlgorithm and what a hostile file can provoke
            raise KeyFileError(f"key file {path}: {error}") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise KeyFileError(
                f"key file {path}: expected an Ed25519 key, found {type(private).__name__};"
                " make one with: ledger key new PATH"
            )
        return cls(private.private_bytes_raw(), Path(path).name)

    def __repr__(self) -> str:
        """Show the id, never the seed."""
        return f"Key({self.name!r}, id={self.id[:16]}…)"

    @cached_property
    def _private(self) -> "Ed25519PrivateKey":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - slow to import
            Ed25519PrivateKey,
        )

        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @cached_property
    def public(self) -> bytes:
        """The raw 32-byte public key."""
        return self._private.public_key().public_bytes_raw()

    @cached_property
    def id(self) -> str:
        """The key id: SHA-256 of the public key in lowercase hex."""
        return key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature of *message*."""
        return self._private.sign(message)

    def write(self, path: Path, passphrase: bytes | None = None) -> None:
        """Write the key as an OpenSSH file (mode 0600) and its ``.pub`` beside it.

        Raises:
            KeyFileError: The file exists already, or cannot be written.
        """
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - slow to import

        lock: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase:
            lock = serialization.BestAvailableEncryption(passphrase)
        text = self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, lock
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write_new(path, text, 0o600)
            _write_new(path.with_name(path.name + ".pub"), self.public_line().encode(), 0o644)
        except OSError as error:
            raise KeyFileError(f"key file {path}: {error.strerror}") from error

    def public_line(self) -> str:
        """Return the OpenSSH public key line, LF included."""
        return public_line(self.public, self.name)


def public_line(public: bytes, name: str) -> str:
    """Return the one-line OpenSSH form of a public key, LF included."""
    return f"ssh-ed25519 {base64.b64encode(_SSH_PREFIX + public).decode()} {name}\n"


def parse_public(text: str) -> tuple[bytes, str]:
    """Read an OpenSSH public key line; return the raw key and its comment.

    Raises:
        KeyFileError: Not one ``ssh-ed25519`` line, or a weak key.
    """
    words = text.split()
    if len(words) < 2 or words[0] != "ssh-ed25519" or "\n" in text.strip():  # noqa: PLR2004 - algorithm and key
        raise KeyFileError("expected a line that begins: ssh-ed25519 AAAA…")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except ValueError as error:
        raise KeyFileError("the public key is not base64") from error
    if not blob.startswith(_SSH_PREFIX):
        raise KeyFileError("the public key is not an ssh-ed25519 key")
    public = blob[len(_SSH_PREFIX) :]
    ed25519.check_public(public)
    return public, " ".join(words[2:])


def fingerprint(public: bytes) -> str:
    """Return what ``ssh-keygen -l`` prints: SHA256 and unpadded base64 of the key blob."""
    import hashlib  # noqa: PLC0415 - only shown, never on a hot path

    digest = hashlib.sha256(_SSH_PREFIX + public).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_KEY_FILE)
    except FileNotFoundError as error:
        raise KeyFileError(
            f"key file {path} does not exist; make one with: ledger key new {path}"
        ) from error
    except OSError as error:
        raise KeyFileError(f"key file {path} cannot be read: {error.strerror}") from error


def _why(path: Path | str, text: bytes, passphrase: bytes | None) -> str:
    if b"OPENSSH PRIVATE KEY" not in text:
        return f"key file {path}: not an OpenSSH private key"
    if passphrase is None:
        return (
            f"key file {path} is locked by a passphrase, or damaged; unlock it through"
            " LEDGER_KEY_PASSPHRASE or at the prompt of a terminal"
        )
    return f"key file {path}: the passphrase does not fit, or the file is damaged"


def _write_new(path: Path, text: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
