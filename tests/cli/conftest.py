"""A user of their own for each test: key, signer memory and home lie in its folder."""

import sys
from pathlib import Path

import pytest

from ledger import Key, Ledger

sys.path.insert(0, str(Path(__file__).parent))

from cli_shell import Command, Finished


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def user(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LEDGER_KEY", str(home / "key"))
    monkeypatch.setenv("LEDGER_STATE", str(home / "state"))
    monkeypatch.delenv("LEDGER_KEY_PASSPHRASE", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def call(capsysbinary: pytest.CaptureFixture[bytes]) -> Command:
    """Run a command in this process: the same code, without the start."""
    from cli.main import run

    def call_it(*args: object) -> Finished:
        code = run([str(arg) for arg in args])
        done = capsysbinary.readouterr()
        return Finished(code, done.out.decode(), done.err.decode())

    return call_it


@pytest.fixture
def key(home: Path) -> Key:
    """The user's key, on disk."""
    from cli import keys

    return keys.make(home / "key", name="ada")


@pytest.fixture(params=["jsonl", "sqlite"])
def book(request: pytest.FixtureRequest, tmp_path: Path, key: Key) -> Path:
    """A ledger of the user's, with nothing in it but its beginning."""
    path = tmp_path / f"book.{request.param}"
    Ledger.create(path, name="demo", key=key).close()
    return path
