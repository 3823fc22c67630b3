"""Plain ustar archives: regular files, and nothing else that tar has grown since 1988.

What is written is a function of names and contents alone. What is read must be just as
plain: links, devices, folders, and every header that overrides another (pax, GNU long
names) are refused, because two readers of those can see two different archives.

>>> header = format_header("ledger.jsonl", 3)
>>> len(header), header[:12]
(512, b'ledger.jsonl')
"""

import re
from typing import Final

from ledger.errors import MalformedError, MisuseError
from ledger.members import MAX_MEMBERS, Member, Source

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)
"""What ends an archive."""
MAX_FILE_BYTES: Final = 8**11 - 1
"""What eleven octal digits can say."""
MAX_TRAILER_BYTES: Final = 1 << 20
"""Tapes were padded to a record; nobody needs more zeros than this."""

_NAME: Final = slice(0, 100)
_SIZE: Final = slice(124, 136)
_CHECKSUM: Final = slice(148, 156)
_TYPE: Final = slice(156, 157)
_LINK: Final = slice(157, 257)
_MAGIC: Final = slice(257, 265)
_PREFIX: Final = slice(345, 500)
_REST: Final = slice(500, 512)
_USTAR: Final = b"ustar\x0000"
_GNU: Final = b"ustar  \x00"
_OCTAL: Final = re.compile(rb" *([0-7]{1,11})[ \x00]*")
_KINDS: Final = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"5": "a folder (folders are implied by their files)",
    b"6": "a fifo",
    b"g": "a pax header",
    b"x": "a pax header",
    b"K": "a GNU long name",
    b"L": "a GNU long name",
}


def format_header(name: str, size: int) -> bytes:
    """Return the header of a file: mode 0644, time 0, no owner.

    Raises:
        MisuseError: ustar cannot hold a name that long, or a file that large.
    """
    if not 0 <= size <= MAX_FILE_BYTES:
        raise MisuseError(f"{name!a}: a file in a tar archive has at most {MAX_FILE_BYTES} bytes")
    prefix, base = _split(name)
    header = b"".join(
        (
            base.ljust(100, b"\0"),
            b"0000644\0" + b"0000000\0" * 2,
            b"%011o\0" % size,
            b"%011o\0" % 0,
            b" " * 8,
            b"0" + bytes(100) + _USTAR + bytes(64) + b"0000000\0" * 2,
            prefix.ljust(155, b"\0"),
            bytes(12),
        )
    )
    return header[: _CHECKSUM.start] + b"%06o\0 " % sum(header) + header[_CHECKSUM.stop :]


def padding(size: int) -> bytes:
    """Return the zeros that fill the last block of a file of *size* bytes."""
    return bytes(-size % BLOCK)


def read_tar(source: Source) -> tuple[Member, ...]:
    """Return the files in the archive, with names that nobody has judged yet.

    Raises:
        MalformedError: It is not a plain ustar archive of regular files, from its first
            byte to its last.
    """
    members: list[Member] = []
    place = 0
    while True:
        if place + len(END) > source.size or len(members) > MAX_MEMBERS:
            raise MalformedError("the tar archive has no end, or too many members")
        header = source.read(place, BLOCK)
        if not any(header):
            break
        name, size = _parse_header(header)
        data, end = place + BLOCK, place + BLOCK + size
        place = end + len(padding(size))
        if place > source.size or any(source.read(end, place - end)):
            raise MalformedError(f"the tar member {name[:80]!a} does not fit its size")
        members.append(Member(name, size, data, size))
    # A second archive after the end would be there for some readers only.
    trailer = source.size - place
    if trailer > MAX_TRAILER_BYTES or trailer % BLOCK or any(source.read(place, trailer)):
        raise MalformedError("the tar archive goes on after its end")
    return tuple(members)


def _parse_header(header: bytes) -> tuple[str, int]:
    """Return the name and size in *header*, if it is that of a regular file."""
    blank = header[: _CHECKSUM.start] + b" " * 8 + header[_CHECKSUM.stop :]
    if _octal(header[_CHECKSUM]) != sum(blank):
        raise MalformedError("not a tar header: its checksum is wrong")
    if header[_TYPE] not in (b"0", b"\0"):
        kind = _KINDS.get(header[_TYPE], "something unknown")
        raise MalformedError(f"a tar member is {kind}, not a regular file")
    magic, prefix = header[_MAGIC], _text(header[_PREFIX])
    # GNU keeps other things where ustar has the prefix: then it must be empty.
    if magic not in (_USTAR, _GNU) or (magic == _GNU and prefix):
        raise MalformedError("not a plain ustar header")
    if any(header[_LINK]) or any(header[_REST]):
        raise MalformedError("a tar header has data where a regular file has none")
    try:
        name = b"/".join(filter(None, (prefix, _text(header[_NAME])))).decode()
    except UnicodeError as error:
        raise MalformedError("the name of a tar member is not UTF-8") from error
    return name, _octal(header[_SIZE])


def _text(field: bytes) -> bytes:
    """Return the text in *field*; nothing may hide behind its end."""
    text, _, rest = field.partition(b"\0")
    if any(rest):
        raise MalformedError("a tar header has data behind the end of a name")
    return text


def _octal(field: bytes) -> int:
    """Return the number in *field*; GNU's binary numbers can be negative and are refused."""
    match = _OCTAL.fullmatch(field)
    if match is None:
        raise MalformedError("a tar header has a number that is not octal")
    return int(match[1], 8)


def _split(name: str) -> tuple[bytes, bytes]:
    """Return *name* as ustar's prefix and name fields."""
    raw = name.encode()
    if len(raw) <= 100:  # noqa: PLR2004 - the width of the field
        return b"", raw
    # The earliest slash that leaves a name short enough: the prefix is shortest then.
    cut = raw.find(b"/", len(raw) - 101)
    if not 0 < cut <= 155 or cut == len(raw) - 1:  # noqa: PLR2004 - the width of the field
        raise MisuseError(f"{name[:80]!a}...: too long a name for a plain tar archive")
    return raw[:cut], raw[cut + 1 :]
