"""Key files: what ssh-keygen writes is read, what we write ssh-keygen reads."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from curve import WEAK_KEYS, mixed_order
from forge import MALLORY, OWNER

from ledger import Key, KeyFileError
from ledger.keyfile import fingerprint, parse_public, public_line

needs_ssh = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is not installed")


def keygen(*arguments: str) -> str:
    return subprocess.run(
        ["ssh-keygen", *arguments], check=True, capture_output=True, text=True
    ).stdout


@needs_ssh
@pytest.mark.parametrize("passphrase", ["", "secret"])
def test_a_key_of_ssh_keygen_is_read(tmp_path: Path, passphrase: str) -> None:
    path = tmp_path / "id_ed25519"
    keygen("-q", "-t", "ed25519", "-N", passphrase, "-C", "me@host", "-f", str(path))
    key = Key.from_file(path, passphrase.encode() or None)
    public, comment = parse_public(path.with_name("id_ed25519.pub").read_text())
    assert (key.public, comment) == (public, "me@host")
    assert key.name == "id_ed25519"
    assert fingerprint(public) in keygen("-l", "-f", str(path))


@needs_ssh
@pytest.mark.parametrize("passphrase", [None, b"secret"])
def test_a_key_that_we_wrote_is_read_by_ssh_keygen(
    tmp_path: Path, passphrase: bytes | None
) -> None:
    path = tmp_path / "deep" / "key"
    OWNER.key.write(path, passphrase)
    said = keygen("-y", "-P", (passphrase or b"").decode(), "-f", str(path))
    assert parse_public(said)[0] == OWNER.public
    assert Key.from_file(path, passphrase).seed == OWNER.seed
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert parse_public(path.with_name("key.pub").read_text()) == (OWNER.public, "owner")


def test_a_key_file_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "key"
    OWNER.key.write(path)
    before = path.read_bytes()
    with pytest.raises(KeyFileError):
        MALLORY.key.write(path)
    assert path.read_bytes() == before


def test_a_key_is_not_written_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError):
        OWNER.key.write(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()


def test_a_locked_key_without_its_passphrase_says_so(tmp_path: Path) -> None:
    path = tmp_path / "key"
    OWNER.key.write(path, b"secret")
    with pytest.raises(KeyFileError, match="passphrase"):
        Key.from_file(path)
    with pytest.raises(KeyFileError, match="passphrase"):
        Key.from_file(path, b"wrong")
    assert Key.from_file(path, b"secret").public == OWNER.public


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\0" * 100,
        b"\xff" * 100,
        b"-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----\n",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + b"A" * 100_000,
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
    ],
)
def test_a_file_that_is_no_key_is_an_error_of_ours(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    for passphrase in (None, b"secret"):
        with pytest.raises(KeyFileError):
            Key.from_file(path, passphrase)


def test_every_damaged_byte_of_a_key_file_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "key"
    OWNER.key.write(path)
    content = path.read_bytes()
    for offset in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[offset] ^= 0x10
        path.write_bytes(bytes(damaged))
        try:
            key = Key.from_file(path)
        except KeyFileError:
            continue
        assert len(key.public) == 32


def test_an_rsa_key_is_refused_by_name(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    text = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    (tmp_path / "key").write_bytes(text)
    with pytest.raises(KeyFileError, match="Ed25519"):
        Key.from_file(tmp_path / "key")


def test_a_missing_key_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="ledger key new"):
        Key.from_file(tmp_path / "nothing")


def test_a_directory_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError):
        Key.from_file(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_key_is_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "key"
    OWNER.key.write(path)
    path.chmod(0)
    with pytest.raises(KeyFileError):
        Key.from_file(path)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_seed_has_32_bytes(length: int) -> None:
    with pytest.raises(KeyFileError):
        Key.from_seed(bytes(length))


def test_two_generated_keys_differ() -> None:
    assert Key.generate("a").seed != Key.generate("a").seed


def test_a_public_line_and_its_reader_are_inverse() -> None:
    line = public_line(OWNER.public, "my laptop")
    assert line.endswith("\n")
    assert parse_public(line) == (OWNER.public, "my laptop")
    assert parse_public(public_line(OWNER.public, "")) == (OWNER.public, "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        "ssh-rsa AAAA me",
        "ssh-ed25519 !!!! me",
        "ssh-ed25519 AAAA me",
        "ssh-ed25519 é me",
        public_line(OWNER.public, "a")[:60],
        public_line(OWNER.public + b"\0", "a"),
        public_line(OWNER.public[:31], "a"),
        public_line(mixed_order(OWNER.public), "a"),
        public_line(WEAK_KEYS["order 8"], "a"),
        public_line(OWNER.public, "one") + public_line(MALLORY.public, "two"),
    ],
)
def test_what_is_not_one_good_public_line_is_refused(text: str) -> None:
    with pytest.raises(KeyFileError):
        parse_public(text)
