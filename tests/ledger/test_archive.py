"""Handing over a capsule: what goes in comes out, and nothing else ever comes out."""

import io
import json
import os
import random
import resource
import stat
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.archive import check_member_name, pack, unpack
from ledger.errors import LedgerError, MalformedError, MisuseError, StoreError
from ledger.members import MAX_DEPTH, MAX_MEMBERS, Member, Source, check_members, content
from ledger.plainzip import read_zip
from ledger.ustar import END, MAX_TRAILER_BYTES, format_header, padding, read_tar

CASES = json.loads(
    (Path(__file__).parents[1] / "vectors" / "c2sp" / "pack_must_reject.json").read_text()
)["cases"]
FILES = {"ledger.jsonl": b"{}\n" * 99, "blobs/sha256/ab/abc": b"\0\1" * 700, "empty": b""}

Archive = Callable[[Path], None]


# --- builders of hostile archives


def tar_header(name: bytes, size: int, **fields: bytes) -> bytes:
    """A header with any field overwritten, and the right checksum."""
    header = bytearray(format_header("x", size))
    header[:100] = name.ljust(100, b"\0")
    places = {"type": 156, "link": 157, "magic": 257, "prefix": 345, "rest": 500, "digits": 124}
    for field, value in fields.items():
        header[places[field] : places[field] + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def tar_of(*members: tuple[bytes, bytes], **fields: bytes) -> bytes:
    blocks = [
        tar_header(name, len(data), **fields) + data + padding(len(data)) for name, data in members
    ]
    return b"".join(blocks) + END


def zip_of(
    *members: tuple[str, bytes],
    compression: int = zipfile.ZIP_DEFLATED,
    change: Callable[[zipfile.ZipInfo], None] = lambda info: None,
) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", compression) as archive:
        warnings.simplefilter("ignore")  # zipfile warns of the duplicates we want
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.filename = name  # the constructor cuts at NUL
            info.compress_type = compression
            info.external_attr = 0o100644 << 16
            change(info)
            archive.writestr(info, data)
    return buffer.getvalue()


def overwrite(raw: bytes, place: int, value: bytes) -> bytes:
    return raw[:place] + value + raw[place + len(value) :]


def of_mode(mode: int) -> Callable[[zipfile.ZipInfo], None]:
    def change(info: zipfile.ZipInfo) -> None:
        info.external_attr = mode << 16

    return change


def zip64_lie() -> bytes:
    """The local header says zip64 in an extra field, the directory another size."""
    extra = struct.pack("<HHQQ", 1, 16, 5, 5)
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 0, 0, 33, zlib.crc32(b"hello"), 0xFFFFFFFF,
                        0xFFFFFFFF, 1, len(extra)) + b"a" + extra + b"hello"  # fmt: skip
    record = struct.pack("<4s6H3L5H2L", b"PK\1\2", 45, 45, 0, 0, 0, 33, zlib.crc32(b"hello"), 5, 9,
                         1, 0, 0, 0, 0, 0, 0) + b"a"  # fmt: skip
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(record), len(local), 0)
    return local + record + end


def streamed_zip() -> bytes:
    """Sizes that come after the data, as a writer to a pipe leaves them."""

    class Pipe(io.BytesIO):
        def tell(self) -> int:
            raise OSError

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        archive.writestr("a", b"hello")
    return pipe.getvalue()


GOOD_ZIP = zip_of(("a", b"hello"), ("b/c", b"world" * 99))
STORED_ZIP = zip_of(("a", b"hello"), compression=zipfile.ZIP_STORED)
GOOD_TAR = tar_of((b"a", b"hello"), (b"b/c", b"world" * 99))
DIRECTORY = GOOD_ZIP.index(b"PK\1\2")


def tar_with_pax() -> bytes:
    body = b"20 path=../../evil\n\n"
    return tar_header(b"x", len(body), type=b"x") + body + padding(len(body)) + GOOD_TAR


def tar_with_long_name() -> bytes:
    body = b"../../evil\0"
    return tar_header(b"././@LongLink", len(body), type=b"L") + body + padding(11) + GOOD_TAR


def duplicated(data: bytes) -> list[tuple[str, bytes]]:
    return [("events.jsonl", data), ("events.jsonl", b"other")]


# For each structural case of the vectors: real archives that have it.
STRUCTURES: dict[str, list[bytes]] = {
    "\u00e9 vs e\u0301 (two members equal after NFC)": [
        zip_of(("\u00e9", b""), ("e\u0301", b"")),
        tar_of(("\u00e9".encode(), b""), ("e\u0301".encode(), b"")),
    ],
    "X.jsonl and x.jsonl (two members equal after casefold)": [
        zip_of(("X.jsonl", b""), ("x.jsonl", b"")),
        tar_of((b"X.jsonl", b""), (b"x.jsonl", b"")),
        tar_of((b"A/x", b""), (b"a/y", b"")),
        tar_of((b"a", b""), (b"a/y", b"")),
        tar_of((b"a/y", b""), (b"a", b"")),
    ],
    "events.jsonl (listed twice)": [
        zip_of(*duplicated(b"one")),
        tar_of((b"events.jsonl", b"one"), (b"events.jsonl", b"two")),
    ],
    "symlink -> ../../etc/passwd": [
        tar_of((b"a", b""), type=b"2", link=b"../../etc/passwd"),
        zip_of(("a", b"../../etc/passwd"), change=of_mode(0o120777)),
    ],
    "symlink dir then write through it": [
        tar_header(b"a", 0, type=b"2", link=b"/tmp") + tar_of((b"a/x", b"")),
        tar_header(b"a", 0, type=b"5") + tar_of((b"a/x", b"")),
    ],
    "hard link to outside path": [tar_of((b"a", b""), type=b"1", link=b"/etc/passwd")],
    "device / fifo / socket entry": [
        *(tar_of((b"a", b""), type=kind) for kind in (b"3", b"4", b"6", b"7", b"S")),
        *(
            zip_of(("a", b""), change=of_mode(mode))
            for mode in (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFDIR)
        ),
    ],
    "member whose declared size differs from data": [
        tar_header(b"a", 9999) + bytes(512) + END,
        tar_header(b"a", 3) + b"hello".ljust(512, b"\0") + END,
        overwrite(overwrite(GOOD_ZIP, 22, b"\6"), DIRECTORY + 24, b"\6"),
        overwrite(overwrite(GOOD_ZIP, 22, b"\4"), DIRECTORY + 24, b"\4"),
        overwrite(GOOD_ZIP, 22, b"\6"),
        overwrite(GOOD_ZIP, DIRECTORY + 24, b"\6"),
        overwrite(STORED_ZIP, STORED_ZIP.index(b"PK\1\2") + 24, b"\4"),
    ],
    "zip64 size mismatch between central directory and local header": [zip64_lie()],
    "zip with data before first entry / appended second archive": [
        b"MZ" + GOOD_ZIP,
        b"PK\3\4" + GOOD_ZIP,
        GOOD_ZIP + GOOD_ZIP,
        GOOD_ZIP + b"\n",
        GOOD_TAR + GOOD_TAR,
        GOOD_TAR + b"\1".ljust(512, b"\0"),
        GOOD_TAR + b"\0",
        GOOD_TAR + bytes(MAX_TRAILER_BYTES + 512),
    ],
    "deflate bomb 1000:1": [zip_of(("a", bytes(1_000_000))), zip_of(("a", bytes(20_000_000)))],
    "pax header path override in tar": [
        tar_with_pax(),
        tar_header(b"x", 0, type=b"g") + GOOD_TAR,
    ],
    "GNU long-name override in tar": [
        tar_with_long_name(),
        tar_header(b"x", 0, type=b"K") + GOOD_TAR,
    ],
}
MANIFEST_CASES = {"member present on disk but not in manifest", "manifest entry missing on disk"}
NAMES = [case for case in CASES if case not in STRUCTURES and case not in MANIFEST_CASES]


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


def with_extra(extra: bytes) -> bytes:
    def change(info: zipfile.ZipInfo) -> None:
        info.extra = extra

    return zip_of(("a", b"hello"), change=change)


def test_times_and_owners_in_a_zip_are_allowed_and_ignored(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(with_extra(struct.pack("<HHBL", 0x5455, 5, 1, 0)))
    assert unpack(tmp_path / "a.zip", tmp_path / "into") == ("a",)


def two_records_for_one_member() -> bytes:
    """Two names for the same bytes: the overlap of a classic zip bomb."""
    record = STORED_ZIP[STORED_ZIP.index(b"PK\1\2") : STORED_ZIP.index(b"PK\5\6")]
    start = STORED_ZIP.index(b"PK\1\2")
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2, 2, 2 * len(record), start, 0)
    return STORED_ZIP[:start] + record * 2 + end


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"PK\3\4",
        b"\x1f\x8b" + bytes(2000),
        bytes(512),
        GOOD_TAR[:-1024],
        GOOD_TAR[:-1],
        overwrite(GOOD_TAR, 0, b"b"),  # the checksum is of another name
        tar_of((b"a\0hidden", b"")),
        tar_of((b"a", b""), link=b"b"),
        tar_of((b"a", b""), rest=b"x"),
        tar_of((b"a", b""), magic=bytes(8)),
        tar_of((b"a", b""), magic=b"ustar  \0", prefix=b"b"),
        tar_of((b"\xff", b"")),
        tar_of((b"a", b""), digits=b"\x80" + bytes(11)),
        tar_of((b"a", b""), digits=b"\xff" * 12),
        tar_of((b"a", b""), digits=b"99999999999\0"),
        tar_of((b"a", b""), prefix=b".."),
        two_records_for_one_member(),
        streamed_zip(),
        with_extra(struct.pack("<HHQ", 1, 8, 5)),
        with_extra(struct.pack("<HH4s", 0x7075, 4, b"evil")),
        with_extra(struct.pack("<HHB", 0x5455, 5, 1)),
        with_extra(b"\x55\x54\x00"),
        overwrite(GOOD_ZIP, DIRECTORY + 8, b"\1"),  # encrypted
        overwrite(overwrite(GOOD_ZIP, 8, b"\x0c"), DIRECTORY + 10, b"\x0c"),  # bzip2
        overwrite(GOOD_ZIP, DIRECTORY + 30, b"\xff"),  # an extra field beyond the directory
        overwrite(GOOD_ZIP, DIRECTORY + 42, b"\xff\xff\xff\x7f"),  # begins behind the end
        overwrite(GOOD_ZIP, DIRECTORY + 42, b"\xff\xff\xff\xff"),  # zip64
        overwrite(GOOD_ZIP, DIRECTORY + 42, b"\1"),  # no header there
        overwrite(GOOD_ZIP, len(GOOD_ZIP) - 14, b"\1\0\1\0"),  # one record too few
        overwrite(GOOD_ZIP, len(GOOD_ZIP) - 14, b"\3\0\3\0"),  # one too many
        overwrite(GOOD_ZIP, len(GOOD_ZIP) - 14, b"\2\0\3\0"),  # another disk
        overwrite(GOOD_ZIP, len(GOOD_ZIP) - 2, b"\1"),  # a comment
        overwrite(GOOD_ZIP, 35, b"\xff"),  # the deflated bytes
        overwrite(GOOD_ZIP, 14, b"\0\0\0\0"),  # the checksum, here only
        overwrite(overwrite(STORED_ZIP, 14, b"1234"), STORED_ZIP.index(b"PK\1\2") + 16, b"1234"),
        zip_of(("é", b"")).replace("é".encode(), b"\xff\xfe"),
        zip_of(("ab", b"")).replace(b"ab", "é".encode()),  # UTF-8 without its flag
    ],
)
def test_an_archive_that_two_readers_could_read_differently_is_refused(
    raw: bytes, tmp_path: Path
) -> None:
    refused(raw, tmp_path)


def raw_zip(data: bytes, stored: bytes) -> bytes:
    """A zip of one deflated member whose stored bytes are whatever we say."""
    crc = zlib.crc32(data)
    sizes = (crc, len(stored), len(data))
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 33, *sizes, 1, 0) + b"a" + stored
    record = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 33, *sizes, 1, 0, 0, 0, 0, 0, 0)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(record) + 1, len(local), 0)
    return local + record + b"a" + end


def deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return engine.compress(data) + engine.flush()


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
    with pytest.raises(MalformedError, match="at most"):
        members = [Member(f"{n}", 0, 0, 0) for n in range(MAX_MEMBERS + 1)]
        check_members(members, max_bytes=1, expected=None)


def test_a_member_never_yields_more_than_it_declares() -> None:
    """Even if the archive changes between the judgement and the writing."""
    bomb = deflate(bytes(50_000_000))
    source = Source(len(bomb), lambda start, count: bomb[start : start + count])
    member = Member("a", 10, 0, len(bomb), crc=0, deflated=True)
    written = 0
    with pytest.raises(MalformedError, match="declares"):
        for chunk in content(source, member):
            written += len(chunk)
    assert written <= 10


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
        read = Source(len(raw), lambda start, count, raw=raw: raw[start : start + count])
        for reader in (read_tar, read_zip):
            try:
                consume(read, reader(read))
            except LedgerError:
                pass


def consume(source: Source, members: Iterable[Member]) -> None:
    found = tuple(members)
    check_members(found, max_bytes=1 << 20, expected=None)
    for member in found:
        assert sum(map(len, content(source, member))) == member.size
