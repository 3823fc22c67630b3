"""The recipes of the auditor's page, run as they stand there."""

import base64
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ledger import Event, Key, Ledger
from ledger.signing import sign_checkpoint

PAGE = Path(__file__).parents[2] / "docs" / "auditors.md"
RECIPES = dict(
    re.findall(r"<!-- recipe: (\w+) -->\n```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)
)

pytestmark = pytest.mark.skipif(
    not (shutil.which("openssl") and shutil.which("basenc")), reason="openssl and coreutils needed"
)


@pytest.fixture
def handed(tmp_path: Path) -> Path:
    """A folder as an auditor gets it: a ledger of eleven entries and its checkpoint."""
    key = Key.from_seed(bytes(range(32)), "owner")
    with Ledger.create(tmp_path / "ledger.jsonl", name="audited", key=key) as book:
        for number in range(6):
            book.append(Event("x.seen", "s", {"n": number}))
        book.append_batch([Event("x.seen", "s", {"n": number}) for number in range(4)])
        note = sign_checkpoint(book, memory=tmp_path / "memory")
    (tmp_path / "checkpoint.note").write_text(note)
    return tmp_path


def run(recipe: str, folder: Path) -> subprocess.CompletedProcess[str]:
    public = Key.from_seed(bytes(range(32))).public
    return subprocess.run(
        ["bash", "-c", recipe],
        cwd=folder,
        env={**os.environ, "PUBLIC": base64.b64encode(public).decode(), "LC_ALL": "C"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_recipe_for_an_entry_accepts_an_honest_one(handed: Path) -> None:
    done = run(RECIPES["entry"], handed)
    assert "the hash is right" in done.stdout
    assert "Signature Verified Successfully" in done.stdout


def test_the_recipe_for_an_entry_sees_one_changed_byte(handed: Path) -> None:
    path = handed / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'{"n":0}', b'{"n":7}')
    path.write_bytes(b"".join(lines))
    done = run(RECIPES["entry"], handed)
    assert "the hash is right" not in done.stdout
    assert "Signature Verified Successfully" not in done.stdout


def test_the_recipe_for_a_checkpoint_accepts_an_honest_one(handed: Path) -> None:
    done = run(RECIPES["entry"] + RECIPES["checkpoint"], handed)
    assert done.stdout.count("Signature Verified Successfully") == 2
    assert "the root is right" in done.stdout


def test_the_recipe_for_a_checkpoint_sees_two_entries_swapped(handed: Path) -> None:
    path = handed / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3], lines[4] = lines[4], lines[3]
    path.write_bytes(b"".join(lines))
    assert "the root is right" not in run(RECIPES["entry"] + RECIPES["checkpoint"], handed).stdout
