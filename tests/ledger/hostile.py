"""Archives made to deceive, for the tests of those who read archives."""

import io
import json
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from ledger.ustar import END, MAX_TRAILER_BYTES, format_header, padding

CASES = json.loads(
    (Path(__file__).parents[1] / "vectors" / "c2sp" / "pack_must_reject.json").read_text()
)["cases"]


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


def _as_it_is(info: zipfile.ZipInfo) -> None:
    """Change nothing of *info*."""


def zip_of(
    *members: tuple[str, bytes],
    compression: int = zipfile.ZIP_DEFLATED,
    change: Callable[[zipfile.ZipInfo], None] = _as_it_is,
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


def with_extra(extra: bytes) -> bytes:
    def change(info: zipfile.ZipInfo) -> None:
        info.extra = extra

    return zip_of(("a", b"hello"), change=change)


def two_records_for_one_member() -> bytes:
    """Two names for the same bytes: the overlap of a classic zip bomb."""
    record = STORED_ZIP[STORED_ZIP.index(b"PK\1\2") : STORED_ZIP.index(b"PK\5\6")]
    start = STORED_ZIP.index(b"PK\1\2")
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2, 2, 2 * len(record), start, 0)
    return STORED_ZIP[:start] + record * 2 + end


def zip_with_gap() -> bytes:
    """Bytes before the directory that belong to no member."""
    start = STORED_ZIP.index(b"PK\1\2")
    gap = STORED_ZIP[:start] + b"gap" + STORED_ZIP[start:]
    return overwrite(gap, len(gap) - 6, struct.pack("<L", start + 3))


def local_header(name: bytes, data: bytes) -> bytes:
    """The header before a stored member."""
    sizes = (zlib.crc32(data), len(data), len(data), len(name), 0)
    return struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 33, *sizes) + name


def record_of(name: bytes, data: bytes, begin: int) -> bytes:
    """The record of a stored member in the directory."""
    sizes = (zlib.crc32(data), len(data), len(data), len(name), 0, 0, 0, 0, 0, begin)
    return struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 33, *sizes) + name


def zip_in_parts(members: bytes, *records: bytes) -> bytes:
    """A zip of parts that need not fit together."""
    count, size = len(records), sum(map(len, records))
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size, len(members), 0)
    return members + b"".join(records) + end


def zip_with_prefix() -> bytes:
    """A self-extracting archive: what comes first is a program, and all offsets are right."""
    member = local_header(b"a", b"hello") + b"hello"
    return zip_in_parts(b"PK\3\4" + member, record_of(b"a", b"hello", 4))


def nested_zip() -> bytes:
    """A member within the data of another: the overlap of a better zip bomb."""
    inner = local_header(b"b", b"hello") + b"hello"
    outer = local_header(b"a", inner) + inner
    begin = len(outer) - len(inner)
    return zip_in_parts(outer, record_of(b"a", inner, 0), record_of(b"b", b"hello", begin))


def zip_with_one_extra(place: str) -> bytes:
    """A Unicode path in an extra field of the member or of its record, not of both."""
    extra = struct.pack("<HH4s", 0x7075, 4, b"evil")
    member, record = local_header(b"a", b"hello"), record_of(b"a", b"hello", 0)
    if place == "member":
        member = overwrite(member, 28, struct.pack("<H", len(extra))) + extra
    else:
        record = overwrite(record, 30, struct.pack("<H", len(extra))) + extra
    return zip_in_parts(member + b"hello", record)


def of_dos_folder(info: zipfile.ZipInfo) -> None:
    info.external_attr = 0x10


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

AMBIGUOUS: list[bytes] = [
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
    zip_with_gap(),
    zip_with_prefix(),
    nested_zip(),
    zip_with_one_extra("member"),
    zip_with_one_extra("record"),
    zip_of(("a", b""), change=of_dos_folder),
    overwrite(GOOD_ZIP, 6, b"\2"),  # other flags in the member than in its record
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
]
"""Archives that one reader takes for one thing and another for another."""
