"""A tree cut into files that never change: C2SP tlog-tiles.

A *tile* holds up to 256 neighbouring hashes of every eighth level of the tree, an *entry
bundle* up to 256 entries. Full ones are immutable, so a ledger can be published by any
web server, and mirrored and cached piece by piece.

>>> tile_path(Tile(level=1, number=1234067))
'tile/1/x001/x234/067'
>>> [(each.level, each.full, each.partial) for each in layout(300)]
[(0, 1, 44), (1, 0, 1)]
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.errors import MalformedError, MisuseError
from ledger.merkle import HASH_BYTES, node_hash
from ledger.wire import MAX_DECIMAL

WIDTH: Final = 256
"""The hashes in a full tile, and the entries in a full bundle."""
MAX_ENTRY_BYTES: Final = 0xFFFF
"""What the two length bytes of a bundle can say; so no entry may be longer (section 1)."""
MAX_LEVEL: Final = 63
"""As the specification has it; a tree of 2^63-1 leaves reaches level 7."""

_HEIGHT: Final = 8
_LENGTH_BYTES: Final = 2
_PATH: Final = re.compile(
    r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True)
class Tile:
    """Where a tile is: its level, its number in that level, and how many hashes it has.

    The bundle with the entries under a tile of level 0 has the same number and width.
    """

    level: int
    number: int
    width: int = WIDTH

    def __post_init__(self) -> None:
        """Refuse a place that no tree has.

        Raises:
            MisuseError: The level, number or width is out of range.
        """
        sane = 0 <= self.level <= MAX_LEVEL and self.number >= 0 and 1 <= self.width <= WIDTH
        if not sane or self.number * WIDTH + self.width << _HEIGHT * self.level > MAX_DECIMAL:
            raise MisuseError(f"no tree has the tile {self}")


@dataclass(frozen=True, slots=True)
class Level:
    """How many full tiles a level has, and the width of the partial one after them (or 0)."""

    level: int
    full: int
    partial: int


def layout(size: int) -> tuple[Level, ...]:
    """Return which tiles the tree of *size* leaves has, the lowest level first.

    Raises:
        MisuseError: No tree has that size.
    """
    if not 0 <= size <= MAX_DECIMAL:
        raise MisuseError(f"no tree has {size} leaves")
    levels: list[Level] = []
    while size:
        levels.append(Level(len(levels), *divmod(size, WIDTH)))
        size //= WIDTH
    return tuple(levels)


def tiles_of(size: int) -> Iterator[Tile]:
    """Yield every tile of the tree of *size* leaves, the partial one last in its level.

    Raises:
        MisuseError: No tree has that size.
    """
    for level in layout(size):
        for number in range(level.full):
            yield Tile(level.level, number)
        if level.partial:
            yield Tile(level.level, level.full, level.partial)


def tile_path(tile: Tile) -> str:
    """Return the path of *tile* under a log's address."""
    return f"tile/{tile.level}/{_numbered(tile)}"


def bundle_path(tile: Tile) -> str:
    """Return the path of the entries under *tile*.

    Raises:
        MisuseError: It is not of level 0.
    """
    if tile.level != 0:
        raise MisuseError("entries lie under the tiles of level 0 only")
    return f"tile/entries/{_numbered(tile)}"


def parse_path(path: str) -> tuple[Tile, bool]:
    """Return the tile that *path* names, and whether it means its entries.

    Raises:
        MalformedError: It is the path of neither, or not the one way to write it.
    """
    match = _PATH.fullmatch(path[:256])  # the longest has 40 characters
    if match is None or len(path) > match.end():
        raise MalformedError("not the path of a tile or of entries")
    kind, number, width = match.groups()
    digits = number.replace("x", "").replace("/", "")
    is_bundle = kind == "entries"
    try:
        tile = Tile(0 if is_bundle else int(kind), int(digits), int(width or WIDTH))
    except MisuseError as error:
        raise MalformedError(str(error)) from error
    # "x000/001" for "001", and ".p/256" for a full tile.
    if (bundle_path(tile) if is_bundle else tile_path(tile)) != path:
        raise MalformedError("not the one path of that tile")
    return tile, is_bundle


def tile_bytes(leaves: Sequence[bytes], tile: Tile) -> bytes:
    """Return the content of *tile* in the tree over *leaves* (leaf hashes).

    Hashes what lies under the tile: 256 times more for each level above the lowest.

    Raises:
        MisuseError: There are not enough leaves for it, or one is not 32 bytes long.
    """
    first = tile.number * WIDTH << _HEIGHT * tile.level
    last = tile.number * WIDTH + tile.width << _HEIGHT * tile.level
    hashes = list(leaves[first:last])
    if len(hashes) != last - first or any(len(each) != HASH_BYTES for each in hashes):
        raise MisuseError(f"{len(leaves)} leaf hashes do not fill the tile {tile_path(tile)}")
    for _ in range(_HEIGHT * tile.level):
        hashes = list(map(node_hash, hashes[::2], hashes[1::2]))
    return b"".join(hashes)


def export_tiles(leaves: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of every tile of the tree over *leaves*; hashes all once.

    Raises:
        MisuseError: A leaf hash is not 32 bytes long.
    """
    if any(len(each) != HASH_BYTES for each in leaves):
        raise MisuseError(f"a leaf hash has {HASH_BYTES} bytes")
    hashes, level = list(leaves), 0
    while hashes:
        for start in range(0, len(hashes), WIDTH):
            part = hashes[start : start + WIDTH]
            yield tile_path(Tile(level, start // WIDTH, len(part))), b"".join(part)
        # Only full tiles have a hash in the next level of tiles.
        del hashes[len(hashes) // WIDTH * WIDTH :]
        for _ in range(_HEIGHT):
            hashes = list(map(node_hash, hashes[::2], hashes[1::2]))
        level += 1


def parse_tile(content: bytes, tile: Tile) -> tuple[bytes, ...]:
    """Return the hashes in the *content* of *tile*; nothing is verified.

    Raises:
        MalformedError: It does not have the length of that tile.
    """
    if len(content) != tile.width * HASH_BYTES:
        raise MalformedError(f"the tile {tile_path(tile)} has {tile.width} hashes of 32 bytes")
    return tuple(
        content[start : start + HASH_BYTES] for start in range(0, len(content), HASH_BYTES)
    )


def format_bundle(entries: Sequence[bytes]) -> bytes:
    """Return the bundle of *entries*, each with its length in two bytes before it.

    Raises:
        MisuseError: There are none or more than 256, or one is too long.
    """
    if not 1 <= len(entries) <= WIDTH:
        raise MisuseError(f"a bundle has 1 to {WIDTH} entries, not {len(entries)}")
    if any(len(entry) > MAX_ENTRY_BYTES for entry in entries):
        raise MisuseError(f"an entry in a bundle has at most {MAX_ENTRY_BYTES} bytes")
    return b"".join(len(entry).to_bytes(_LENGTH_BYTES, "big") + entry for entry in entries)


def parse_bundle(content: bytes, tile: Tile) -> tuple[bytes, ...]:
    """Return the entries in *content*, the bundle under *tile*; nothing is verified.

    Raises:
        MalformedError: It does not have exactly that many entries.
    """
    entries: list[bytes] = []
    place = 0
    while place < len(content) and len(entries) < tile.width:
        start = place + _LENGTH_BYTES
        place = start + int.from_bytes(content[place:start], "big")
        entries.append(content[start:place])
    # A place beyond the end: the last length, or its two bytes, were cut.
    if place != len(content) or len(entries) != tile.width:
        raise MalformedError(f"the bundle {bundle_path(tile)} has {tile.width} entries")
    return tuple(entries)


def _numbered(tile: Tile) -> str:
    """Return the number in groups of three digits, and the width of a partial tile."""
    groups = [f"{tile.number % 1000:03}"]
    rest = tile.number // 1000
    while rest:
        groups.append(f"x{rest % 1000:03}")
        rest //= 1000
    partial = "" if tile.width == WIDTH else f".p/{tile.width}"
    return "/".join(reversed(groups)) + partial
