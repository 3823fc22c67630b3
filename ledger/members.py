"""Which files an archive may hold, decided before any of them is written.

Archives come from strangers. Their member names are judged by one strict rule that holds
on every system that may unpack them: what Linux takes for a file, Windows may take for a
device and macOS for another file. Nothing here touches a disk.

>>> check_member_name("blobs/sha256/ab/abcd")
>>> check_member_name("../x")
Traceback (most recent call last):
    ...
ledger.errors.MalformedError: the archive member '../x' is refused: '..' is no file name
"""

import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from unicodedata import category, normalize

from ledger.errors import MalformedError

MAX_COMPONENT_BYTES: Final = 255
MAX_PATH_BYTES: Final = 1024
MAX_DEPTH: Final = 32
MAX_MEMBERS: Final = 100_000
"""A capsule has a file for each artifact and blob; more would exhaust inodes first."""
MAX_RATIO: Final = 100
"""JSON lines shrink to a tenth or so; a deflate bomb to a thousandth."""
RATIO_FLOOR: Final = 1 << 16
"""Small files may shrink as they like."""

_CHUNK: Final = 1 << 18
_FORBIDDEN: Final = frozenset('<>:"|?*\\/')  # drives, schemes, streams, UNC paths, wildcards
_FIRST: Final = frozenset("-~$")  # what a shell or a tool would take for something else
_LAST: Final = frozenset(" .")  # what Windows drops, so that two names become one
# Not of category C, yet nothing is to be seen of them: fillers and variation selectors.
_INVISIBLE: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
) | frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
_PORTS: Final = tuple(f"{port}{digit}" for port in ("com", "lpt") for digit in range(10))
_DEVICES: Final = frozenset(("con", "prn", "aux", "nul", "conin$", "conout$", "clock$", *_PORTS))
_GIT: Final = frozenset((".git", "git~1"))  # a checkout would run its hooks


@dataclass(frozen=True, slots=True)
class Source:
    """An archive to read from: its size, and a call that returns exactly what is asked for."""

    size: int
    read: Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file in an archive: its name, its size, and where its bytes lie.

    ``crc`` is there for zip members only, which may also be deflated: then ``stored``
    bytes become ``size``.
    """

    name: str
    size: int
    offset: int
    stored: int
    crc: int | None = None
    deflated: bool = False


def check_member_name(name: str) -> None:
    """Refuse *name* unless it is a plain relative path, the same on every system.

    Raises:
        MalformedError: It is not.
    """
    fault = _path_fault(name)
    if fault is not None:
        raise MalformedError(f"the archive member {name[:80]!a} is refused: {fault}")


def check_names(names: Iterable[str]) -> None:
    """Refuse *names* unless each is sound and all can lie side by side on every system.

    Two that differ in case or Unicode form only would overwrite each other somewhere.

    Raises:
        MalformedError: They cannot.
    """
    tree: dict[str, _Node] = {}
    for name in names:
        check_member_name(name)
        *folders, leaf = name.split("/")
        siblings = tree
        for folder in folders:
            node = siblings.setdefault(_fold(folder), _Node(folder, {}))
            if node.name != folder or node.children is None:
                raise MalformedError(f"the archive member {name[:80]!a} collides with another")
            siblings = node.children
        if _fold(leaf) in siblings:
            raise MalformedError(f"the archive member {name[:80]!a} is there twice, or a twin is")
        siblings[_fold(leaf)] = _Node(leaf, None)


def check_members(
    members: Sequence[Member], *, max_bytes: int, expected: Collection[str] | None
) -> None:
    """Refuse *members* unless they may all be written.

    With *expected*, they must be exactly those: nothing missing, nothing extra.

    Raises:
        MalformedError: They may not.
    """
    if len(members) > MAX_MEMBERS:
        raise MalformedError(f"an archive has at most {MAX_MEMBERS} members")
    check_names(member.name for member in members)
    if sum(member.size for member in members) > max_bytes:
        raise MalformedError(f"the archive unpacks to more than {max_bytes} bytes")
    for member in members:
        if member.size > member.stored * MAX_RATIO + RATIO_FLOOR:
            raise MalformedError(f"the archive member {member.name!a} is a decompression bomb")
    if expected is not None:
        found = {member.name for member in members}
        for name in sorted(found.symmetric_difference(expected)):
            fault = "not in the manifest" if name in found else "missing"
            raise MalformedError(f"the archive member {name[:80]!a} is {fault}")


def content(source: Source, member: Member) -> Iterator[bytes]:
    """Yield the bytes of *member*, in pieces; never more than it declares.

    Raises:
        MalformedError: They are not as many as it declares, or have another checksum.
    """
    left, crc = member.size, 0
    for chunk in _inflate(source, member) if member.deflated else _stored(source, member):
        left -= len(chunk)
        if left < 0:
            break
        crc = zlib.crc32(chunk, crc)
        yield chunk
    if left != 0 or member.crc not in (None, crc):
        raise MalformedError(f"the archive member {member.name!a} is not what it declares")


def _stored(source: Source, member: Member) -> Iterator[bytes]:
    """Yield the bytes of *member* as they lie in the archive."""
    end = member.offset + member.stored
    for start in range(member.offset, end, _CHUNK):
        yield source.read(start, min(_CHUNK, end - start))


def _inflate(source: Source, member: Member) -> Iterator[bytes]:
    """Yield what *member* inflates to, at most one piece of memory at a time."""
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for stored in _stored(source, member):
            rest = stored
            while rest:
                yield engine.decompress(rest, _CHUNK)
                # What lies after the end of the stream would be invisible to others.
                rest = engine.unconsumed_tail
                if engine.unused_data:
                    raise MalformedError(f"the archive member {member.name!a} has more data")
        yield engine.flush()
    except zlib.error as error:
        raise MalformedError(f"the archive member {member.name!a} does not inflate") from error
    if not engine.eof:
        raise MalformedError(f"the archive member {member.name!a} is cut short")


@dataclass(frozen=True, slots=True)
class _Node:
    """A name in a folder; the names in it, if it is a folder itself."""

    name: str
    children: "dict[str, _Node] | None"


def _path_fault(name: str) -> str | None:
    """Say why *name* is refused, or nothing."""
    try:
        size = len(name.encode())
    except UnicodeError:
        return "it is not valid Unicode"
    if size > MAX_PATH_BYTES:
        return f"it is longer than {MAX_PATH_BYTES} bytes"
    components = name.split("/")
    if len(components) > MAX_DEPTH:
        return f"it is deeper than {MAX_DEPTH} folders"
    for component in components:
        # Once as it is and once as a system may read it: fullwidth dots are dots there.
        for reading in (component, normalize("NFKC", component)):
            fault = _component_fault(reading)
            if fault is not None:
                return fault
    return None


def _component_fault(text: str) -> str | None:
    """Say why one step of a path is refused, or nothing."""
    if text in ("", ".", ".."):
        return f"{text!a} is no file name"
    if len(text.encode()) > MAX_COMPONENT_BYTES:
        return f"a file name has at most {MAX_COMPONENT_BYTES} bytes"
    if not _FORBIDDEN.isdisjoint(text) or any(map(_is_invisible, text)):
        return "it has a character that is special somewhere, or invisible"
    if text[0] in _FIRST or text[-1] in _LAST:
        return "it begins with - ~ $, or ends in a space or dot"
    if text.casefold() in _GIT or text.partition(".")[0].rstrip(" ").casefold() in _DEVICES:
        return "the name is reserved"
    return None


def _is_invisible(character: str) -> bool:
    """Tell whether *character* is a control, or cannot be seen, or may turn the text around."""
    kind = category(character)
    return kind[0] == "C" or (kind[0] == "Z" and character != " ") or character in _INVISIBLE


def _fold(component: str) -> str:
    """Return what two file names share if some system takes them for one."""
    return normalize("NFKC", normalize("NFKC", component).casefold())
