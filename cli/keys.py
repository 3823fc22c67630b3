"""Which key signs: ``--key``, else ``$LEDGER_KEY``, else the user's own default."""

import binascii
import os
import sys
from dataclasses import replace
from pathlib import Path

from ledger.errors import KeyFileError
from ledger.keyfile import Key, parse_public

_PASSPHRASE = "LEDGER_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable, not a secret
_BEGIN = b"-----BEGIN OPENSSH PRIVATE KEY-----"
_END = b"-----END OPENSSH PRIVATE KEY-----"
_MAX_FILE = 65_536  # a key file has some 400 bytes
_KIND = b"\0\0\0\x0bssh-ed25519\0\0\0\x20"
_NONE = b"\0\0\0\x04none"
# PROTOCOL.key of OpenSSH: no cipher, no derivation, one key, and its public half.
_PLAIN = b"openssh-key-v1\0" + _NONE * 2 + b"\0\0\0\0\0\0\0\x01\0\0\0\x33" + _KIND


def default_path() -> Path:
    """Return where the user's key lies, or would lie."""
    given = os.environ.get("LEDGER_KEY")
    return Path(given) if given else Path.home() / ".config" / "evidence-ledger" / "key"


def load(path: Path | None) -> Key:
    """Read the key to sign with, named as its public half is.

    Raises:
        KeyFileError: There is none, or it cannot be read or unlocked.
    """
    place = path or default_path()
    seed = _plain_seed(place)
    if seed is not None:
        return Key.from_seed(seed, _comment(place) or place.name)
    key = _load_slowly(place)
    return replace(key, name=_comment(place) or key.name)


def make(path: Path, *, name: str) -> Key:
    """Make a new key at *path*, locked if a passphrase is set in the environment.

    Raises:
        KeyFileError: There is a file already, or it cannot be written.
    """
    key = Key.generate(name)
    secret = os.environ.get(_PASSPHRASE)
    key.write(path, secret.encode() if secret else None)
    return key


def load_or_make(path: Path | None, *, name: str) -> tuple[Key, bool]:
    """Return the user's key, and whether it had to be made.

    A key that was named on the command line must be there: a typing error makes none.
    """
    place = path or default_path()
    if path is None and not place.exists():
        return make(place, name=name), True
    return load(path), False


def read_public(source: str) -> tuple[bytes, str]:
    """Read a public key: an OpenSSH line, or the ``.pub`` file that holds one.

    Raises:
        KeyFileError: It is neither.
    """
    if source.startswith("ssh-"):
        return parse_public(source)
    try:
        with Path(source).open("rb") as file:
            text = file.read(_MAX_FILE).decode("utf-8", "replace")
    except OSError as error:
        raise KeyFileError(f"public key {source}: {error.strerror}") from error
    try:
        return parse_public(text)
    except KeyFileError as error:
        raise KeyFileError(f"public key {source}: {error}") from error


def _load_slowly(place: Path) -> Key:
    """Read a key of any kind; a passphrase is asked for only if there is one."""
    try:
        return Key.from_file(place)
    except KeyFileError as error:
        if "passphrase" not in str(error):
            raise
        secret = _passphrase(place)
        if not secret:
            raise
    return Key.from_file(place, secret)


def _passphrase(path: Path) -> bytes:
    """Return the passphrase for *path*, asking on a terminal; empty if there is nobody to ask."""
    secret = os.environ.get(_PASSPHRASE)
    if secret is None and sys.stdin.isatty():
        import click

        secret = click.prompt(f"Passphrase of {path}", hide_input=True, err=True)
    return (secret or "").encode()


def _plain_seed(path: Path) -> bytes | None:
    """Return the seed of a key file without a passphrase, or None: then the long way tells why.

    A library that reads every kind of key costs a third of what an append costs.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE)
        body = text.strip().removeprefix(_BEGIN).removesuffix(_END)
        raw = binascii.a2b_base64(b"".join(body.split()))
    except (OSError, ValueError):
        return None
    if not raw.startswith(_PLAIN):
        return None
    # Behind it: the public key, a length, a number twice, and the key as it began, with the seed.
    public, rest = raw[len(_PLAIN) : len(_PLAIN) + 32], raw[len(_PLAIN) + 36 :]
    whole = rest[:4] == rest[4:8] and rest[8:].startswith(_KIND + public + b"\0\0\0\x40")
    seed = rest[8 + len(_KIND) + 36 :][:32]
    return seed if whole and rest[8 + len(_KIND) + 68 :].startswith(public) else None


def _comment(path: Path) -> str:
    """Return the name in the ``.pub`` file beside a key; it is a label and nothing more."""
    try:
        with path.with_name(path.name + ".pub").open("rb") as file:
            words = file.read(_MAX_FILE).decode("utf-8", "replace").split()
    except OSError:
        return ""
    return " ".join(words[2:])
