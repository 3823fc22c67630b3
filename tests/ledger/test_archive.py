"""Handing over a capsule: what goes in comes out, here and with the tools of others."""

import io
import os
import resource
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.archive import _pack_file, _read_exactly, _step_into, pack, unpack
from ledger.errors import MisuseError, StoreError
from ledger.members import Source
from ledger.ustar import END, format_header, padding, read_tar
from tests.ledger.hostile import (
    GOOD_TAR,
    with_extra,
    zip_of,
)

FILES = {"ledger.jsonl": b"{}\n" * 99, "blobs/sha256/ab/abc": b"\0\1" * 700, "empty": b""}


def build(directory: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    directory.mkdir(exist_ok=True)
    return directory


def contents(directory: Path) -> dict[str, bytes]:
    found = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in found}


def test_a_capsule_survives_being_handed_over(tmp_path: Path) -> None:
    source = build(tmp_path / "capsule", FILES)
    names = pack(source, tmp_path / "out.tar")
    assert names == tuple(sorted(FILES))
    assert unpack(tmp_path / "out.tar", tmp_path / "copy") == names
    assert contents(tmp_path / "copy") == FILES
    modes = {path.stat().st_mode & 0o7111 for path in (tmp_path / "copy").rglob("*.jsonl")}
    assert modes == {0}


def test_an_empty_capsule_is_an_empty_archive(tmp_path: Path) -> None:
    assert pack(build(tmp_path / "capsule", {}), tmp_path / "out.tar") == ()
    assert (tmp_path / "out.tar").read_bytes() == END
    assert unpack(tmp_path / "out.tar", tmp_path / "copy") == ()
    (tmp_path / "empty.zip").write_bytes(zip_of())
    assert unpack(tmp_path / "empty.zip", tmp_path / "copy2") == ()


names = st.text(st.sampled_from("abÄ1. _"), min_size=1, max_size=6)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.dictionaries(st.lists(names, min_size=1, max_size=3).map("/".join), st.binary()))
def test_what_can_be_packed_can_be_unpacked(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    home = tmp_path_factory.mktemp("round")
    try:
        source = build(home / "capsule", files)
    except OSError:
        return  # "a" and "a/b", or "..": no directory has those
    try:
        pack(source, home / "out.tar")
    except MisuseError:
        return  # a twin or a trailing dot: refused before anything is written
    unpack(home / "out.tar", home / "copy")
    assert contents(home / "copy") == contents(source)


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    one = build(tmp_path / "one", FILES)
    two = build(tmp_path / "two", dict(reversed(FILES.items())))
    for path in two.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o755)
    pack(one, tmp_path / "one.tar")
    pack(two, tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_others_can_read_what_we_pack(tmp_path: Path) -> None:
    long = {"d" * 90 + "/" + "e" * 60 + "/" + "f" * 99: b"deep", "ü/é": b"text"}
    pack(build(tmp_path / "capsule", FILES | long), tmp_path / "out.tar")
    with tarfile.open(tmp_path / "out.tar") as archive:
        found = archive.getmembers()
        assert [each.name for each in found] == sorted(FILES | long)
        assert {(each.mode, each.mtime, each.uid, each.type) for each in found} == {
            (0o644, 0, 0, tarfile.REGTYPE)
        }
        for each in found:
            file = archive.extractfile(each)
            assert file is not None
            assert file.read() == (FILES | long)[each.name]
    assert unpack(tmp_path / "out.tar", tmp_path / "copy")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT])
def test_plain_archives_of_others_are_read(form: int, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as archive:
        for name, data in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    unpack(tmp_path / "a.tar", tmp_path / "from-tar")
    assert contents(tmp_path / "from-tar") == FILES
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        (tmp_path / "a.zip").write_bytes(zip_of(*FILES.items(), compression=compression))
        unpack(tmp_path / "a.zip", tmp_path / f"from-zip-{compression}")
        assert contents(tmp_path / f"from-zip-{compression}") == FILES


def test_times_and_owners_in_a_zip_are_allowed_and_ignored(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(with_extra(struct.pack("<HHBL", 0x5455, 5, 1, 0)))
    assert unpack(tmp_path / "a.zip", tmp_path / "into") == ("a",)


def test_an_existing_place_is_never_written_to(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(GOOD_TAR)
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    for place in ("there", "link", "missing/into"):
        with pytest.raises(MisuseError):
            unpack(archive, tmp_path / place)
    assert list((tmp_path / "there").iterdir()) == []
    with pytest.raises(MisuseError, match="no archive"):
        unpack(tmp_path / "missing.tar", tmp_path / "into")
    with pytest.raises(MisuseError, match="not a file"):
        unpack(tmp_path / "there", tmp_path / "into")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(MisuseError, match="not a file"):
        unpack(tmp_path / "fifo", tmp_path / "into")


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the second member does not fit."""
    archive, into = tmp_path / "a.zip", tmp_path / "into"
    archive.write_bytes(zip_of(("a/b", b"1"), ("c", bytes(5000))))
    capsule = build(tmp_path / "capsule", {"c": bytes(5000)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        with pytest.raises(StoreError, match="cannot unpack"):
            unpack(archive, into)
        with pytest.raises(StoreError, match="cannot pack"):
            pack(capsule, tmp_path / "out.tar")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not into.exists()
    assert not (tmp_path / "out.tar").exists()


def test_the_length_of_a_path_on_this_system_does_not_matter(tmp_path: Path) -> None:
    deep = "/".join(["d" * 120] * 8)
    (tmp_path / "a.zip").write_bytes(zip_of((deep, b"deep")))
    assert unpack(tmp_path / "a.zip", tmp_path / "into") == (deep,)


def test_a_packed_directory_must_be_plain(tmp_path: Path) -> None:
    cases: list[Callable[[Path], object]] = [
        lambda home: (home / "link").symlink_to("/etc/passwd"),
        lambda home: (home / "folder").symlink_to("/etc"),
        lambda home: os.mkfifo(home / "fifo"),
        lambda home: (home / "a:b").write_bytes(b""),
        lambda home: (home / "A").write_bytes(b"") + (home / "a").write_bytes(b""),
        lambda home: (home / ("n" * 101)).write_bytes(b""),
        lambda home: os.close(os.open(os.fsencode(home) + b"/\xff", os.O_CREAT)),
    ]
    for number, spoil in enumerate(cases):
        home = build(tmp_path / f"capsule{number}", FILES)
        spoil(home)
        with pytest.raises(MisuseError):
            pack(home, tmp_path / "out.tar")
        assert not (tmp_path / "out.tar").exists()


def test_an_archive_is_made_beside_its_directory_and_only_once(tmp_path: Path) -> None:
    home = build(tmp_path / "capsule", FILES)
    with pytest.raises(MisuseError, match="cannot lie"):
        pack(home, home / "out.tar")
    with pytest.raises(MisuseError, match="no directory"):
        pack(tmp_path / "missing", tmp_path / "out.tar")
    pack(home, tmp_path / "out.tar")
    with pytest.raises(MisuseError, match="exists"):
        pack(home, tmp_path / "out.tar")
    with pytest.raises(StoreError, match="cannot pack"):
        pack(home, tmp_path / "missing" / "out.tar")


def test_a_name_or_file_too_long_for_tar_is_refused_by_the_writer() -> None:
    for name in ("a" * 101, "a/" * 60 + "b" * 101, "a" * 156 + "/b" * 60):
        with pytest.raises(MisuseError, match="too long"):
            format_header(name, 0)
    for size in (-1, 8**11):
        with pytest.raises(MisuseError, match="at most"):
            format_header("a", size)


@settings(max_examples=80, derandomize=True, deadline=None)
@given(st.lists(st.text("ab", min_size=1, max_size=90), min_size=1, max_size=4), st.binary())
def test_tar_headers_survive_a_round_trip(steps: list[str], data: bytes) -> None:
    name = "/".join(steps)
    try:
        raw = format_header(name, len(data)) + data + padding(len(data)) + END
    except MisuseError:
        assert len(name) > 100
        return
    (member,) = read_tar(Source(len(raw), lambda start, count: raw[start : start + count]))
    assert (member.name, member.size) == (name, len(data))
    assert raw[member.offset : member.offset + member.size] == data


def shrink_or_grow(path: Path, size: int) -> Callable[[bytes], object]:
    return lambda _: os.truncate(path, size)


def test_a_file_that_changes_while_it_is_packed_is_not_packed(tmp_path: Path) -> None:
    """The callback that takes the archive's bytes plays the live writer."""
    path = tmp_path / "ledger.jsonl"
    for size in (3, 2000):
        path.write_bytes(b"e" * 1000)
        with pytest.raises(StoreError, match="changed"):
            _pack_file(path, "ledger.jsonl", shrink_or_grow(path, size))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(StoreError, match="changed"):
        _pack_file(tmp_path / "fifo", "fifo", lambda chunk: chunk)


def test_an_archive_that_shrinks_while_it_is_read_is_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"short")
    descriptor = os.open(tmp_path / "a.tar", os.O_RDONLY)
    try:
        assert _read_exactly(descriptor, 1, 4) == b"hort"
        with pytest.raises(StoreError, match="shorter"):
            _read_exactly(descriptor, 1, 5)
    finally:
        os.close(descriptor)


def test_a_link_that_appears_while_unpacking_is_not_followed(tmp_path: Path) -> None:
    """Someone else on the machine may be faster than we are between two files."""
    (tmp_path / "folder").symlink_to("/")
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match=r"[Nn]ot a directory|[Tt]oo many"):
            _step_into("folder", here)
    finally:
        os.close(here)
