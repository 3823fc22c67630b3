"""Symbolic links in a run directory: their text is compared, and none is followed."""

import os
import shutil
from pathlib import Path

import pytest

from tests.verifier.capsule import Capsule
from verifier.beneath import RefusedError, digest_link, opened_root
from verifier.policy import Policy
from verifier.run import verify_path
from verifier.verdict import Verdict


def verdict(capsule: Capsule) -> Verdict:
    return verify_path(capsule.folder, Policy(strict=True, ledger_id=capsule.id, checkpoints=()))


def codes(capsule: Capsule) -> list[tuple[str, int | None]]:
    return [(finding.code, finding.seq) for finding in verdict(capsule).findings]


def messages(capsule: Capsule) -> str:
    return "\n".join(finding.message for finding in verdict(capsule).findings)


@pytest.fixture
def capsule(tmp_path: Path) -> Capsule:
    return Capsule(tmp_path / "run").story().record_all()


def test_a_recorded_link_is_verified_wherever_it_leads(capsule: Capsule) -> None:
    capsule.link("latest-run", "logs")
    capsule.link("logs/gone", "../../nowhere/ü")
    capsule.link("loop", "loop")
    capsule.link("zero", "/dev/zero")
    capsule.link("long", "x" * 4095)
    found = verdict(capsule)
    assert (found.outcome, found.findings) == ("VERIFIED", ())
    assert any("11 files with the size and digest on record" in line for line in found.checked)
    (said,) = [line for line in found.not_checked if line.startswith("links:")]
    assert "where 5 symbolic links lead" in said


def test_what_lies_behind_a_link_may_change_or_go(capsule: Capsule) -> None:
    outside = capsule.folder.parent / "outside"
    outside.write_bytes(b"one")
    capsule.link("best", str(outside))
    assert codes(capsule) == []
    outside.write_bytes(b"another")
    assert codes(capsule) == []
    outside.unlink()
    os.mkfifo(outside)  # opening it would wait for ever
    assert codes(capsule) == []


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("checkpoint-300", "artifact.checksum"),
        ("checkpoint-20", "artifact.size"),
        ("./checkpoint-200", "artifact.size"),
        ("checkpoint-200/", "artifact.size"),
        ("/dev/zero", "artifact.size"),
        ("x" * 4095, "artifact.size"),
    ],
)
def test_a_link_that_points_elsewhere_is_found(capsule: Capsule, target: str, code: str) -> None:
    seq = capsule.link("best", "checkpoint-200")
    (capsule.folder / "best").unlink()
    os.symlink(target, capsule.folder / "best")  # noqa: PTH211 - a Path would drop the './'
    assert codes(capsule) == [(code, seq)]


def test_a_link_to_a_name_of_other_bytes_is_found(capsule: Capsule) -> None:
    seq = capsule.link("best", "ab")
    (capsule.folder / "best").unlink()
    os.symlink(b"\xff\n", os.fsencode(capsule.folder / "best"))  # noqa: PTH211 - bytes on purpose
    assert codes(capsule) == [("artifact.checksum", seq)]
    verdict(capsule).to_text().encode()


def test_a_lost_link_is_missing(capsule: Capsule) -> None:
    seq = capsule.link("best", "logs")
    (capsule.folder / "best").unlink()
    assert codes(capsule) == [("artifact.missing", seq)]
    assert "there is no such file" in messages(capsule)


def test_a_file_that_holds_the_text_of_the_link_is_no_link(capsule: Capsule) -> None:
    seq = capsule.link("best", "logs")
    (capsule.folder / "best").unlink()
    (capsule.folder / "best").write_bytes(b"logs")
    assert codes(capsule) == [("artifact.missing", seq)]
    assert "is on record as a symbolic link, and is none" in messages(capsule)


def test_a_copy_that_followed_the_links_is_found(capsule: Capsule, tmp_path: Path) -> None:
    seq = capsule.link("latest-run", "logs")
    shutil.copytree(capsule.folder, tmp_path / "copy")
    capsule.folder = tmp_path / "copy"
    assert codes(capsule) == [("artifact.missing", seq), ("artifact.extra", None)]
    assert "not on record: latest-run/out.txt" in messages(capsule)


def test_a_fifo_in_the_place_of_a_link_is_found(capsule: Capsule) -> None:
    seq = capsule.link("best", "logs")
    (capsule.folder / "best").unlink()
    os.mkfifo(capsule.folder / "best")
    assert codes(capsule) == [("artifact.missing", seq)]


def test_a_link_in_the_place_of_a_file_that_held_its_text_is_found(capsule: Capsule) -> None:
    seq = capsule.record("note", b"logs")
    (capsule.folder / "note").unlink()
    (capsule.folder / "note").symlink_to("logs")
    assert codes(capsule) == [("artifact.missing", seq)]
    assert "leads through a symbolic link" in messages(capsule)


def test_a_recorded_link_opens_no_way_to_what_is_behind_it(capsule: Capsule) -> None:
    outside = capsule.folder.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"s")
    (outside / "inner").symlink_to("x")
    capsule.link("way-out", str(outside))
    seq = capsule.claim("way-out/secret", b"s")
    capsule.claim("way-out/inner", b"x", media_type="inode/symlink")
    assert codes(capsule) == [("artifact.missing", seq), ("artifact.missing", seq + 1)]
    assert messages(capsule).count("leads through a symbolic link") == 2


@pytest.mark.parametrize("name", ["results.json", "results_summary.json", "first_fail_iter.txt"])
def test_a_result_file_that_is_a_link_stays_a_fault_though_on_record(
    capsule: Capsule, name: str
) -> None:
    """Neither its text nor what is behind it is the run's result."""
    (capsule.folder.parent / name).write_bytes((capsule.folder / name).read_bytes())
    seq = capsule.link(name, f"../{name}")
    assert codes(capsule) == [("artifact.missing", seq)]


def test_a_governance_log_that_is_a_link_is_refused_too(capsule: Capsule) -> None:
    capsule.link("governance_log.jsonl", "logs/out.txt")
    assert [code for code, _ in codes(capsule)] == ["artifact.missing"]


@pytest.mark.parametrize("media_type", ["Inode/Symlink", "inode/symlink;x", "text/plain"])
def test_a_link_goes_on_record_under_one_media_type(capsule: Capsule, media_type: str) -> None:
    seq = capsule.link("best", "logs", media_type=media_type)
    assert codes(capsule) == [("artifact.missing", seq)]


@pytest.mark.parametrize("path", ["/etc/mtab", "../link", "logs/../link", "logs\\link", "a\x00b"])
def test_a_hostile_name_of_a_link_is_never_read(capsule: Capsule, path: str) -> None:
    (capsule.folder.parent / "link").symlink_to("target")
    (capsule.folder / "link").symlink_to("target")
    with opened_root(capsule.folder) as root, pytest.raises(RefusedError):
        digest_link(root, path)


def test_an_unrecorded_link_is_still_extra(capsule: Capsule) -> None:
    capsule.link("best", "logs")
    (capsule.folder / "worst").symlink_to("logs")
    assert codes(capsule) == [("artifact.extra", None)]
    assert messages(capsule) == "not on record: worst"
