"""The run directory: claimed once, written whole, taken stock of."""

import hashlib
import os
from pathlib import Path

import pytest

from ledger import MisuseError, StoreError
from producers.runs import SENTINELS, claim_outdir
from producers.runs.files import take_stock, write_atomically


def test_a_new_directory_is_made_and_named_absolutely(tmp_path: Path) -> None:
    place = claim_outdir(tmp_path / "a" / "b" / ".." / "c")
    assert place == tmp_path / "a" / "c"
    assert place.is_dir()


def test_a_directory_with_a_ledger_and_no_run_may_be_claimed(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"")
    assert claim_outdir(tmp_path) == tmp_path


@pytest.mark.parametrize("name", SENTINELS)
def test_a_directory_with_artifacts_of_a_run_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}", encoding="utf-8")
    with pytest.raises(MisuseError, match="artifacts of another run"):
        claim_outdir(tmp_path)


def test_force_leaves_the_old_run_alone_and_makes_a_fresh_subdirectory(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("old", encoding="utf-8")
    one, other = claim_outdir(tmp_path, force=True), claim_outdir(tmp_path, force=True)
    assert one != other
    assert one.parent == other.parent == tmp_path
    assert (tmp_path / "results.json").read_text(encoding="utf-8") == "old"


def test_force_on_an_empty_directory_uses_it(tmp_path: Path) -> None:
    assert claim_outdir(tmp_path, force=True) == tmp_path


def test_a_file_cannot_be_a_run_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(MisuseError, match="cannot be a run directory"):
        claim_outdir(tmp_path / "file")


def test_a_file_is_written_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"one")
    write_atomically(tmp_path / "a", b"two")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"two")]


def test_a_write_that_the_disk_refuses_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StoreError):
        write_atomically(tmp_path / "a", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_stock_is_taken_of_every_regular_file_but_the_ledgers_own(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.sqlite"
    own = ["", "-wal", "-shm", "-journal", ".torn-pending", ".torn-0a1b"]
    for suffix in own:
        (tmp_path / f"ledger.sqlite{suffix}").write_bytes(b"x")
    (tmp_path / ".ledger.sqlite.77.tmp").write_bytes(b"x")
    blob = tmp_path / "blobs" / "sha256" / "ab"
    blob.mkdir(parents=True)
    (blob / "x").write_bytes(b"x")
    deep = tmp_path / "deep" / "blobs"
    deep.mkdir(parents=True)
    (deep / "kept.JSON").write_bytes(b"{}")
    (tmp_path / "ledger.sqlite2").write_bytes(b"no companion")
    (tmp_path / "log.txt").write_bytes(b"abc")
    facts, left_out = take_stock(tmp_path, ledger)
    assert [(f.path, f.bytes, f.media_type) for f in facts] == [
        ("deep/blobs/kept.JSON", 2, "application/json"),
        ("ledger.sqlite2", 12, "application/octet-stream"),
        ("log.txt", 3, "text/plain"),
    ]
    assert facts[2].sha256 == hashlib.sha256(b"abc").hexdigest()
    assert left_out == ()


def test_of_a_link_the_text_goes_on_record_wherever_it_leads(tmp_path: Path) -> None:
    """A link could point at anything: it is never followed."""
    (tmp_path / "checkpoint-200").mkdir()
    (tmp_path / "checkpoint-200" / "model.bin").write_bytes(b"w")
    blobs = tmp_path.parent / f"{tmp_path.name}-blobs"
    blobs.mkdir()
    (blobs / "x").write_bytes(b"x")
    targets = {
        "best": "./checkpoint-200/",
        "blobs": str(blobs),
        "gone": "nowhere/ü",
        "loop": "loop",
        "passwd": "/etc/passwd",
    }
    for name, target in targets.items():
        os.symlink(target, tmp_path / name)  # noqa: PTH211 - a Path would drop the './'
    facts, left_out = take_stock(tmp_path, tmp_path / "ledger.sqlite")
    text = {name: target.encode() for name, target in targets.items()}
    links = [(f.path, f.sha256, f.bytes) for f in facts if f.media_type == "inode/symlink"]
    assert links == [(n, hashlib.sha256(t).hexdigest(), len(t)) for n, t in text.items()]
    assert [f.path for f in facts if f.media_type != "inode/symlink"] == [
        "checkpoint-200/model.bin"
    ]
    assert left_out == ()


@pytest.mark.parametrize("target", [b"a\nb", b"\x1b[2J", b"\xff", "\u2028".encode(), b"c:\\x"])
def test_a_link_to_a_name_that_is_not_plain_is_left_out_and_named(
    tmp_path: Path, target: bytes
) -> None:
    os.symlink(target, os.fsencode(tmp_path / "link"))  # noqa: PTH211 - bytes on purpose
    assert take_stock(tmp_path, tmp_path / "ledger.sqlite") == ((), ("'link'",))


def test_pipes_and_names_that_are_not_plain_are_left_out_and_named(tmp_path: Path) -> None:
    """Opening a pipe would wait for ever."""
    (tmp_path / "two\nlinks").symlink_to("a")
    (tmp_path / os.fsdecode(b"\xfe")).symlink_to("a")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / os.fsdecode(b"\xff")).write_bytes(b"x")
    (tmp_path / "two\nlines").write_bytes(b"x")
    (tmp_path / "c:\\x").write_bytes(b"x")
    facts, left_out = take_stock(tmp_path, tmp_path / "ledger.sqlite")
    assert facts == ()
    odd = {r"'\udcff'", r"'\udcfe'", r"'two\nlines'", r"'two\nlinks'", r"'c:\\x'"}
    assert set(left_out) == {"'pipe'", *odd}


def test_stock_is_the_same_through_a_linked_path(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "ledger.sqlite").write_bytes(b"x")
    (real / "a.txt").write_bytes(b"a")
    (tmp_path / "link").symlink_to(real)
    facts, left_out = take_stock(tmp_path / "link", real / "ledger.sqlite")
    assert [f.path for f in facts] == ["a.txt"]
    assert left_out == ()
