"""Tiles and entry bundles against the vectors, and against the tree they are cut from."""

import json
import random
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import LedgerError, MalformedError, MisuseError
from ledger.merkle import leaf_hash, root_of
from ledger.tiles import (
    MAX_ENTRY_BYTES,
    Tile,
    bundle_path,
    export_tiles,
    format_bundle,
    layout,
    parse_bundle,
    parse_path,
    parse_tile,
    tile_bytes,
    tile_path,
    tiles_of,
)

C2SP = Path(__file__).parents[1] / "vectors" / "c2sp"
VECTORS = json.loads((C2SP / "tiles.json").read_text())
LOG300 = VECTORS["log300"]
ENTRIES = [b"leaf-%d" % index for index in range(300)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


@pytest.mark.parametrize("case", VECTORS["paths"], ids=lambda case: case["path"])
def test_paths_match_the_vectors_and_parse_back(case: dict[str, Any]) -> None:
    tile = Tile(case["level"], case["n"], case["width"])
    assert tile_path(tile) == case["path"]
    assert parse_path(case["path"]) == (tile, False)
    ground = Tile(0, case["n"], case["width"])
    assert bundle_path(ground) == case["entries_path"]
    assert parse_path(case["entries_path"]) == (ground, True)


@pytest.mark.parametrize("case", VECTORS["layout_by_size"], ids=lambda case: str(case["size"]))
def test_layouts_match_the_vectors(case: dict[str, Any]) -> None:
    levels = [(each.level, each.full, each.partial) for each in layout(case["size"])]
    expected = [(each["level"], each["full"], each["partial_width"]) for each in case["tiles"]]
    assert levels == expected


def test_the_300_leaf_log_of_the_vectors_comes_out_the_same() -> None:
    for resource in LOG300["resources"]:
        tile, is_bundle = parse_path(resource["path"])
        first = tile.number * 256
        content = (
            format_bundle(ENTRIES[first : first + tile.width])
            if is_bundle
            else tile_bytes(LEAVES, tile)
        )
        assert len(content) == resource["len"]
        if "hex" in resource:
            assert content.hex() == resource["hex"]
        else:
            assert sha256(content).hexdigest() == resource["sha256"]
    assert root_of(LEAVES).hex() == LOG300["root"]
    assert format_bundle(ENTRIES[:3]).hex() == LOG300["bundle_of_3_hex"]


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 300])
def test_an_export_has_every_tile_of_the_tree_once(size: int) -> None:
    exported = dict(export_tiles(LEAVES[:size]))
    assert list(exported) == [tile_path(tile) for tile in tiles_of(size)]
    for path, content in exported.items():
        assert content == tile_bytes(LEAVES[:size], parse_path(path)[0])


def test_a_hash_of_a_higher_tile_is_the_root_of_the_tiles_under_it() -> None:
    leaves = [leaf_hash(b"%d" % index) for index in range(65_536 + 300)]
    exported = dict(export_tiles(leaves))
    middle = parse_tile(exported["tile/1/000"], Tile(1, 0))
    assert middle[17] == root_of(leaves[17 * 256 : 18 * 256])
    assert exported["tile/2/000.p/1"] == root_of(leaves[:65_536])
    assert tile_bytes(leaves, Tile(2, 0, 1)) == exported["tile/2/000.p/1"]
    assert len(exported["tile/1/001.p/1"]) == 32


@settings(max_examples=80, derandomize=True, deadline=None)
@given(st.integers(0, 6), st.integers(0, 10**9), st.integers(1, 256))
def test_paths_survive_a_round_trip(level: int, number: int, width: int) -> None:
    number >>= level * 4
    try:
        tile = Tile(level, number, width)
    except MisuseError:
        assert (number * 256 + width) << (8 * level) >= 2**63
        return
    assert parse_path(tile_path(tile)) == (tile, False)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/1",
        "tile/00/001",
        "tile/64/001",
        "tile/0/x000/001",
        "tile/0/001/x002",
        "tile/0/x001",
        "tile/0/001.p/0",
        "tile/0/001.p/256",
        "tile/0/001.p/300",
        "tile/0/001.p/01",
        "tile/0/001\n",
        "tile/0/../../checkpoint",
        "tile/entries/\u0660\u0660\u0661",
        "tile/8/000",
        "tile/0/" + "x999/" * 80 + "999",
        "tile/0/" + "x999/" * 20 + "999",
        "/tile/0/000",
    ],
)
def test_another_path_is_refused(path: str) -> None:
    with pytest.raises(MalformedError):
        parse_path(path)


@pytest.mark.parametrize(
    ("level", "number", "width"),
    [(-1, 0, 1), (64, 0, 1), (0, -1, 256), (0, 0, 0), (0, 0, 257), (0, 2**55, 1), (8, 0, 1)],
)
def test_a_tile_that_no_tree_has_cannot_be_named(level: int, number: int, width: int) -> None:
    with pytest.raises(MisuseError):
        Tile(level, number, width)


@pytest.mark.parametrize("size", [-1, 2**63])
def test_a_size_that_no_tree_has_has_no_layout(size: int) -> None:
    with pytest.raises(MisuseError):
        layout(size)


def test_only_the_lowest_tiles_have_entries() -> None:
    with pytest.raises(MisuseError):
        bundle_path(Tile(1, 0))


def test_a_tile_needs_all_its_leaves() -> None:
    with pytest.raises(MisuseError, match="fill"):
        tile_bytes(LEAVES, Tile(0, 1, 45))
    with pytest.raises(MisuseError, match="fill"):
        tile_bytes([b"short"], Tile(0, 0, 1))
    with pytest.raises(MisuseError, match="32 bytes"):
        list(export_tiles([b"short"]))
    with pytest.raises(MalformedError, match="32 bytes"):
        parse_tile(bytes(33), Tile(0, 0, 1))


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_bundles_survive_a_round_trip(entries: list[bytes]) -> None:
    content = format_bundle(entries)
    assert parse_bundle(content, Tile(0, 0, len(entries))) == tuple(entries)


def test_a_bundle_has_exactly_its_entries() -> None:
    content = format_bundle([b"one", b"two"])
    for bad, width in ((content, 1), (content, 3), (content[:-1], 2), (content + b"\0", 2)):
        with pytest.raises(MalformedError):
            parse_bundle(bad, Tile(0, 0, width))
    for cut in (content[:1], content[:6], b""):
        with pytest.raises(MalformedError):
            parse_bundle(cut, Tile(0, 0, 1 + len(cut) // 5))


def test_a_bundle_has_room_for_the_longest_entry_and_no_more() -> None:
    longest = bytes(MAX_ENTRY_BYTES)
    assert parse_bundle(format_bundle([longest]), Tile(0, 0, 1)) == (longest,)
    for entries in ([longest + b"x"], [], [b""] * 257):
        with pytest.raises(MisuseError):
            format_bundle(entries)


def test_nothing_but_ledger_errors_leaves_the_parsers() -> None:
    source = random.Random(3)  # noqa: S311 - reproducible, not secret
    content = format_bundle(ENTRIES[:9])
    for _ in range(2000):
        cut = bytearray(content[: source.randrange(len(content) + 1)])
        if cut:
            cut[source.randrange(len(cut))] = source.randrange(256)
        path = list("tile/entries/x123/456.p/78")
        path[source.randrange(len(path))] = source.choice("x./0p9\n\u0663é")
        with suppress(LedgerError):
            parse_bundle(bytes(cut), Tile(0, 0, 9))
        with suppress(LedgerError):
            parse_path("".join(path))
