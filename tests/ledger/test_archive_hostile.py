"""What strangers hand over: nothing of it is written unless all of it may be."""

import random
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from ledger.archive import check_member_name, unpack
from ledger.errors import LedgerError, MalformedError
from ledger.members import MAX_DEPTH, MAX_MEMBERS, Member, Source, check_members, content
from ledger.plainzip import read_zip
from ledger.ustar import read_tar
from tests.ledger.hostile import (
    AMBIGUOUS,
    CASES,
    GOOD_TAR,
    GOOD_ZIP,
    MANIFEST_CASES,
    NAMES,
    STORED_ZIP,
    STRUCTURES,
    deflate,
    raw_zip,
    tar_of,
    zip_of,
)


def source_of(raw: bytes) -> Source:
    return Source(len(raw), lambda start, count: raw[start : start + count])


def refused(raw: bytes, tmp_path: Path) -> None:
    """Unpacking raises, and there is nothing where it would have written."""
    archive, into = tmp_path / "archive", tmp_path / "into"
    archive.write_bytes(raw)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(MalformedError):
        unpack(archive, into)
    assert sorted(tmp_path.rglob("*")) == before


def test_every_case_of_the_vectors_has_its_test() -> None:
    assert len(CASES) == 47
    assert set(STRUCTURES) | MANIFEST_CASES <= set(CASES)
    assert len(NAMES) == 47 - len(STRUCTURES) - len(MANIFEST_CASES)


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:40]))
def test_a_bad_name_of_the_vectors_is_refused_alone_and_in_archives(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(MalformedError):
        check_member_name(name)
    if len(name) < 0xFFFF:
        refused(zip_of(("good", b"1"), (name, b"2")), tmp_path)
    raw = name.encode()
    if len(raw) <= 100:
        refused(tar_of((b"good", b"1"), (raw, b"2")), tmp_path)


@pytest.mark.parametrize("case", list(STRUCTURES))
def test_a_bad_structure_of_the_vectors_is_refused(case: str, tmp_path: Path) -> None:
    for raw in STRUCTURES[case]:
        refused(raw, tmp_path)


def test_a_lie_in_a_zip_comes_out_before_anything_is_written(tmp_path: Path) -> None:
    """The place to write to would be the next thing to be refused."""
    lie = raw_zip(b"hello", deflate(b"hell!"))
    (tmp_path / "a.zip").write_bytes(lie)
    with pytest.raises(MalformedError, match="declares"):
        unpack(tmp_path / "a.zip", tmp_path)


def test_an_archive_must_have_exactly_the_members_of_its_manifest(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(GOOD_TAR)
    for expected, fault in ((["a"], "not in the manifest"), (["a", "b/c", "d"], "missing")):
        with pytest.raises(MalformedError, match=fault):
            unpack(archive, tmp_path / "into", expected=expected)
        assert not (tmp_path / "into").exists()
    assert unpack(archive, tmp_path / "into", expected=["b/c", "a"]) == ("a", "b/c")


@pytest.mark.parametrize(
    "name",
    [
        "con.txt",
        "COM1",
        "lpt9.log",
        "a/NUL .txt",
        "CONIN$",
        "x/.GIT/config",
        "git~1",
        "a/-b",
        "a/ ",
        "a\u200db",
        "a\u202eb",
        "a\ufeff",
        "a\u2028b",
        "a\u00a0b",
        "a\u3164",
        "a\ufe0f",
        "a\ud800",
        "a\uff0fb",  # a slash after NFKC
        "\u2100",  # a/c after NFKC
        "c\uff4fn",
        "COM\u00b9",
        "file:stream",
        "a?",
        "a\x7f",
        "a\x9b",
        "/".join("a" * (MAX_DEPTH + 1)),
        "/".join(["é" * 100] * 6),
        "\u00e9" * 128,
    ],
)
def test_more_names_that_some_system_would_take_for_something_else(name: str) -> None:
    with pytest.raises(MalformedError):
        check_member_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "ledger.sqlite-wal",
        "blobs/sha256/ab/" + "ab" * 32,
        "a b/c-d_e.f~",
        "Ergebnis ä.json",
        "数据/値.json",
        "console.log",
        ".hidden",
        "a" * 255,
        "/".join("a" * MAX_DEPTH),
    ],
)
def test_honest_names_are_let_through(name: str) -> None:
    check_member_name(name)


@pytest.mark.parametrize("raw", AMBIGUOUS)
def test_an_archive_that_two_readers_could_read_differently_is_refused(
    raw: bytes, tmp_path: Path
) -> None:
    refused(raw, tmp_path)


def test_a_deflated_member_ends_where_its_bytes_end(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(600_000)  # noqa: S311 - reproducible, not secret
    stream = deflate(data)
    (tmp_path / "a.zip").write_bytes(raw_zip(data, stream))
    unpack(tmp_path / "a.zip", tmp_path / "copy")
    assert (tmp_path / "copy" / "a").read_bytes() == data
    for bad in (stream + b"x", stream + b"x" * 300_000, stream[:-1], stream[:-40] + bytes(40)):
        refused(raw_zip(data, bad), tmp_path / "copy")


def test_a_bomb_is_stopped_by_what_it_unpacks_to_in_total(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    for raw in (GOOD_TAR, GOOD_ZIP):
        archive.write_bytes(raw)
        with pytest.raises(MalformedError, match="more than 499"):
            unpack(archive, tmp_path / "into", max_bytes=499)
        unpack(archive, tmp_path / f"into-{len(raw)}", max_bytes=500)
    members = [Member(f"{n}", 0, 0, 0) for n in range(MAX_MEMBERS + 1)]
    with pytest.raises(MalformedError, match="at most"):
        check_members(members, max_bytes=1, expected=None)


def test_a_member_never_yields_more_than_it_declares() -> None:
    """Even if the archive changes between the judgement and the writing."""
    bomb = deflate(bytes(50_000_000))
    source = source_of(bomb)
    member = Member("a", 10, 0, len(bomb), crc=0, deflated=True)
    written: list[bytes] = []
    with pytest.raises(MalformedError, match="declares"):
        written.extend(content(source, member))
    assert sum(map(len, written)) <= 10


def test_nothing_but_ledger_errors_leaves_the_readers() -> None:
    source = random.Random(13)  # noqa: S311 - reproducible, not secret
    for _ in range(3000):
        mutant = bytearray(source.choice([GOOD_TAR, GOOD_ZIP, STORED_ZIP]))
        for _ in range(source.randint(1, 3)):
            place = source.randrange(len(mutant))
            if source.random() < 0.8:
                mutant[place] = source.choice([0, 1, 0x7F, 0xFF, source.randrange(256)])
            else:
                del mutant[place : place + source.choice([1, 30, 512])]
        raw = bytes(mutant)
        read = source_of(raw)
        for reader in (read_tar, read_zip):
            with suppress(LedgerError):
                consume(read, reader(read))


def consume(source: Source, members: Iterable[Member]) -> None:
    found = tuple(members)
    check_members(found, max_bytes=1 << 20, expected=None)
    for member in found:
        assert sum(map(len, content(source, member))) == member.size
