"""Plain zip archives, read as strictly as a zip can be.

A zip says everything twice, in each member's own header and in the directory at its
end, and leaves room before, between and after: so two readers can see two archives. Here
both must agree, and the members must fill the file from its first byte to the directory
without a gap. Zip64, encryption, streamed sizes and comments are refused: a capsule
that needs them travels as tar.

>>> read_zip(Source(0, lambda start, count: b""))
Traceback (most recent call last):
    ...
ledger.errors.MalformedError: not a plain zip archive: no directory at its end
"""

from struct import Struct
from typing import Final

from ledger.errors import MalformedError
from ledger.members import Member, Source

STARTS: Final = (b"PK\x03\x04", b"PK\x05\x06")
"""What a zip begins with: a member, or the end of an empty one."""
MAX_DIRECTORY_BYTES: Final = 1 << 27
"""65,534 records with names of 1,024 bytes and the extra fields that we allow."""

_END: Final = Struct("<4s4H2LH")
_RECORD: Final = Struct("<4s6H3L5H2L")
_LOCAL: Final = Struct("<4s5H3L2H")
_UTF8: Final = 0x0800
_ALLOWED_FLAGS: Final = _UTF8 | 0x0006  # UTF-8 names, and hints of the compressor
_STORED: Final = 0
_DEFLATED: Final = 8
# Times and owners, which we ignore. Any other could override a name or a size.
_ALLOWED_EXTRAS: Final = (0x000A, 0x5455, 0x7875)
_ZIP64_COUNT: Final = 0xFFFF
_ZIP64_SIZE: Final = 0xFFFFFFFF
_FORMAT_BITS: Final = 0o170000
_REGULAR: Final = (0, 0o100000)
_DOS_FOLDER: Final = 0x10


def read_zip(source: Source) -> tuple[Member, ...]:
    """Return the files in the archive, with names that nobody has judged yet.

    Raises:
        MalformedError: It is not a plain zip archive of regular files, from its first
            byte to its last.
    """
    count, start, size = _directory(source)
    directory = source.read(start, size)
    found: list[tuple[int, Member]] = []
    place = 0
    for _ in range(count):
        begin, member, place = _record(source, directory, place)
        found.append((begin, member))
    if place != size:
        raise MalformedError("the zip directory is longer than its records")
    found.sort(key=lambda each: each[0])
    # Without gaps and overlaps: nothing before, between or after the members.
    edge = 0
    for begin, member in found:
        if begin != edge:
            raise MalformedError("the zip archive has data that belongs to no member, or to two")
        edge = member.offset + member.stored
    if edge != start:
        raise MalformedError("the zip archive has data between its members and its directory")
    return tuple(member for _, member in found)


def _directory(source: Source) -> tuple[int, int, int]:
    """Return how many records the directory has, where it begins, and its size."""
    place = source.size - _END.size
    end = _END.unpack(source.read(place, _END.size)) if place >= 0 else (b"",)
    if end[0] != STARTS[1]:
        raise MalformedError("not a plain zip archive: no directory at its end")
    _, disk, first_disk, here, count, size, start, comment = end
    if disk or first_disk or comment or here != count:
        raise MalformedError("a zip archive in one piece, without a comment, is needed")
    if count == _ZIP64_COUNT or size > MAX_DIRECTORY_BYTES or start + size != place:
        raise MalformedError("the zip directory does not end where the archive does, or is zip64")
    return count, start, size


def _record(source: Source, directory: bytes, place: int) -> tuple[int, Member, int]:
    """Return where a member begins, the member, and where its record ends."""
    tail = place + _RECORD.size
    if tail > len(directory):
        raise MalformedError("the zip directory is cut short")
    record = _RECORD.unpack_from(directory, place)
    signature, _, _, flags, method, _, _, crc, stored, size = record[:10]
    name_size, extra_size, comment_size, disk, _, attributes, begin = record[10:]
    end = tail + name_size + extra_size
    if signature != b"PK\x01\x02" or comment_size or disk or end > len(directory):
        raise MalformedError("not a plain record of a zip directory")
    name = directory[tail : tail + name_size]
    _check_plain(flags, method, attributes)
    if _ZIP64_SIZE in (stored, size, begin):
        raise MalformedError("a zip member is zip64")
    _check_extras(directory[tail + name_size : end])
    data = _check_local(source, begin, (flags, method, crc, stored, size, name))
    member = Member(_decode(name, flags), size, data, stored, crc=crc, deflated=method == _DEFLATED)
    return begin, member, end


def _check_local(
    source: Source, begin: int, expected: tuple[int, int, int, int, int, bytes]
) -> int:
    """Return where the data begins; the member's own header must say what the record says."""
    tail = begin + _LOCAL.size
    if tail > source.size:
        raise MalformedError("a zip member begins behind the end")
    local = _LOCAL.unpack(source.read(begin, _LOCAL.size))
    signature, _, flags, method, _, _, crc, stored, size, name_size, extra_size = local
    data: int = tail + name_size + extra_size
    if signature != STARTS[0] or data + stored > source.size:
        raise MalformedError("a zip member has no header of its own, or no room")
    name = source.read(tail, name_size)
    if (flags, method, crc, stored, size, name) != expected:
        raise MalformedError("a zip member and its record in the directory disagree")
    _check_extras(source.read(tail + name_size, extra_size))
    return data


def _check_plain(flags: int, method: int, attributes: int) -> None:
    """Refuse what is encrypted, streamed, oddly compressed, or no regular file."""
    if flags & ~_ALLOWED_FLAGS or method not in (_STORED, _DEFLATED):
        raise MalformedError("a zip member is encrypted, streamed or oddly compressed")
    mode = attributes >> 16
    if mode & _FORMAT_BITS not in _REGULAR or attributes & _DOS_FOLDER:
        raise MalformedError("a zip member is a link, a device or a folder, not a regular file")


def _check_extras(extras: bytes) -> None:
    """Refuse extra fields that could override a name or a size, or hide data."""
    place = 0
    while place < len(extras):
        kind = int.from_bytes(extras[place : place + 2], "little")
        place += 4 + int.from_bytes(extras[place + 2 : place + 4], "little")
        if kind not in _ALLOWED_EXTRAS:
            raise MalformedError(f"a zip member has the extra field 0x{kind:04x}")
    if place != len(extras):
        raise MalformedError("the extra fields of a zip member are cut short")


def _decode(name: bytes, flags: int) -> str:
    """Return *name* as text, if its encoding is beyond doubt."""
    try:
        return name.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeError as error:
        raise MalformedError("the name of a zip member is not in a known encoding") from error
