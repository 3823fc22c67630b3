"""verifier/blobs.py: bytes outside the chain, there, gone, wrong, or erased on record."""

from pathlib import Path
from typing import Any

import pytest

from tests.verifier.capsule import Capsule
from verifier.policy import Policy
from verifier.run import verify_path
from verifier.verdict import Verdict


@pytest.fixture
def capsule(tmp_path: Path) -> Capsule:
    return Capsule(tmp_path / "run")


def verdict(path: Path, *, strict: bool = False) -> Verdict:
    return verify_path(path, Policy(strict=strict, ledger_id=None, checkpoints=()))


def codes(capsule: Capsule) -> list[tuple[str, int | None]]:
    """What is found in the directory, and beside the file alone: it must be the same."""
    found = [(finding.code, finding.seq) for finding in verdict(capsule.folder).findings]
    beside = [(finding.code, finding.seq) for finding in verdict(capsule.path).findings]
    assert found == beside
    return found


def file_of(capsule: Capsule, blob: dict[str, Any]) -> Path:
    name: str = blob["sha256"]
    return capsule.folder / "blobs" / "sha256" / name[:2] / name


def test_good_blobs_are_counted(capsule: Capsule) -> None:
    capsule.add("x.note", {"a": capsule.blob(b"one"), "b": [capsule.blob(b"two")]})
    capsule.add("x.note", {"again": capsule.blob(b"one"), "empty": capsule.blob(b"")})
    assert codes(capsule) == []
    found = verdict(capsule.path)
    assert "blobs: 3 with the size and digest on record" in found.checked
    assert not any("blob" in line for line in found.not_checked)


def test_a_lost_blob_is_missing_where_it_was_first_referred_to(capsule: Capsule) -> None:
    blob = capsule.blob(b"one")
    capsule.add("x.note", {"a": blob})
    capsule.add("x.note", {"a": blob})
    file_of(capsule, blob).unlink()
    assert codes(capsule) == [("blob.missing", 1)]


@pytest.mark.parametrize("content", [b"onE", b"on", b"", b"oneone", b"x" * 3_000_000])
def test_other_bytes_are_a_checksum_finding(capsule: Capsule, content: bytes) -> None:
    blob = capsule.blob(b"one")
    capsule.add("x.note", {"a": blob})
    file_of(capsule, blob).write_bytes(content)
    assert codes(capsule) == [("blob.checksum", 1)]


@pytest.mark.parametrize("size", [2, 4, 0, 2**53 - 1])
def test_a_reference_that_lies_about_the_size_is_found(capsule: Capsule, size: int) -> None:
    capsule.add("x.note", {"a": {**capsule.blob(b"one"), "bytes": size}})
    assert codes(capsule) == [("blob.checksum", 1)]


def test_a_blob_erased_on_record_is_not_missing(capsule: Capsule) -> None:
    blob = capsule.blob(b"one")
    capsule.add("x.note", {"a": blob})
    capsule.add("blob.erased", {"sha256": blob["sha256"], "reason": "asked"}, subject="")
    found = verdict(capsule.folder)
    assert "blobs: 1 with the size and digest on record" in found.checked
    assert "erasure: 1 blob erased on record but still there" in found.not_checked
    file_of(capsule, blob).unlink()
    assert codes(capsule) == []
    found = verdict(capsule.folder)
    assert "blobs: 0 with the size and digest on record, 1 erased on record" in found.checked


def test_an_erasure_on_record_excuses_no_wrong_bytes_and_no_other_blob(capsule: Capsule) -> None:
    one, two = capsule.blob(b"one"), capsule.blob(b"two")
    capsule.add("x.note", {"a": one, "b": two})
    capsule.add("blob.erased", {"sha256": one["sha256"], "reason": "asked"}, subject="")
    file_of(capsule, one).write_bytes(b"eno")
    file_of(capsule, two).unlink()
    assert codes(capsule) == [("blob.checksum", 1), ("blob.missing", 1)]


def test_several_lost_blobs_of_an_entry_are_one_finding(capsule: Capsule) -> None:
    blobs = [capsule.blob(b"%d" % number) for number in range(8)]
    capsule.add("x.note", {"all": blobs})
    for blob in blobs:
        file_of(capsule, blob).unlink()
    (finding,) = verdict(capsule.folder).findings
    assert (finding.code, finding.seq) == ("blob.missing", 1)
    assert finding.message.endswith("… and 3 more")


def test_a_blob_behind_a_link_or_no_regular_file_is_missing(capsule: Capsule) -> None:
    linked, folder = capsule.blob(b"one"), capsule.blob(b"two")
    capsule.add("x.note", {"a": linked})
    capsule.add("x.note", {"a": folder})
    aside = capsule.folder.parent / "aside"
    file_of(capsule, linked).rename(aside)
    file_of(capsule, linked).symlink_to(aside)
    file_of(capsule, folder).unlink()
    file_of(capsule, folder).mkdir()
    assert codes(capsule) == [("blob.missing", 1), ("blob.missing", 2)]


def test_a_path_through_a_file_is_a_missing_blob(capsule: Capsule) -> None:
    blob = capsule.blob(b"one")
    capsule.add("x.note", {"a": blob})
    file_of(capsule, blob).unlink()
    file_of(capsule, blob).parent.rmdir()
    file_of(capsule, blob).parent.write_bytes(b"no directory")
    assert codes(capsule) == [("blob.missing", 1)]


def test_a_store_that_was_deleted_whole_is_noticed_in_a_run_directory(capsule: Capsule) -> None:
    capsule.add("x.note", {"a": capsule.blob(b"one")})
    (capsule.folder / "blobs").rename(capsule.folder.parent / "gone")
    assert [finding.code for finding in verdict(capsule.folder).findings] == ["blob.missing"]


def test_beside_a_single_file_without_a_store_only_strict_misses_blobs(capsule: Capsule) -> None:
    capsule.add("x.note", {"a": capsule.blob(b"one")})
    (capsule.folder / "blobs").rename(capsule.folder.parent / "gone")
    found = verdict(capsule.path)
    assert found.findings == ()
    said = "blobs: 1 reference to blobs; there is no blob store beside the ledger"
    assert said in found.not_checked
    codes = [finding.code for finding in verdict(capsule.path, strict=True).findings]
    assert "blob.missing" in codes
