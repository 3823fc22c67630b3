"""The small parts on their own: bytes, numbers, points, trees, and the memory they take."""

import base64
import itertools
import json
import os
import random
import tracemalloc
from pathlib import Path

import pytest

import verifier
from tests.verifier.builder import RUNNER, Builder, codes, leaf, read, root_of
from verifier import ed25519
from verifier.chain import Chain
from verifier.ed25519 import SMALL_ORDER, PublicKey, is_weak
from verifier.entries import is_time
from verifier.findings import CAP, Findings
from verifier.ids import BLOCK, SMALL, Ids
from verifier.jsonl import JsonlFile
from verifier.late import ChangedError, look_again
from verifier.lines import MAX_LINE, Blanks, Line, could_be_torn, frame
from verifier.lines import read as read_lines
from verifier.policy import Policy
from verifier.tree import Tree, nodes_over

C2SP = Path(__file__).parents[1] / "vectors" / "c2sp"


def test_the_package_exports_what_it_promises() -> None:
    assert verifier.__all__ == [
        "Finding", "Findings", "KeyState", "NoLedgerError", "Policy", "Reading", "Verdict",
        "Witness", "verify", "verify_path",
    ]  # fmt: skip
    assert all(hasattr(verifier, name) for name in verifier.__all__)


# -- findings


def test_findings_are_in_the_order_of_their_place() -> None:
    found = Findings()
    found.add("b", 1, 2, "")
    found.add("anchor.id", None, None, "")
    found.add("a", 1, 2, "")
    found.add("z", 0, 1, "", "warning")
    assert [f.code for f in found.items()] == ["z", "a", "b", "anchor.id"]
    assert found.errors == 3


def test_the_same_finding_at_the_same_place_is_one() -> None:
    found = Findings()
    found.add("a", 1, 2, "once")
    found.add("a", 1, 2, "twice")
    assert found.counts() == {"a": 1}


def test_after_a_thousand_of_a_code_they_are_only_counted() -> None:
    found, other = Findings(), Findings()
    for n in range(CAP + 5):
        found.add("a", n, n, "")
    found.add("b", 1, 1, "")
    other.add("b", 2, 2, "", "warning")
    other.count("c", 7, severity="warning")
    other.merge(found)
    for each in (found, other):
        assert each.counts()["a"] == CAP + 5
        assert sum(f.code == "a" for f in each.items()) == CAP
    assert found.capped == ("a",)
    assert other.capped == ("a", "c")
    assert other.counts() == {"a": CAP + 5, "b": 2, "c": 7}
    assert (found.errors, other.errors) == (CAP + 6, CAP + 6)


# -- lines


def reread(
    tmp_path: Path, raw: bytes, start: int = 0, stop: int | None = None
) -> list[Line | Blanks]:
    path = tmp_path / "f"
    path.write_bytes(raw)
    with JsonlFile(path) as file:
        return list(read_lines(file.descriptor, start, file.size if stop is None else stop))


def test_lines_are_read_with_their_ends(tmp_path: Path) -> None:
    assert reread(tmp_path, b"a\n\n\nb\r\nc") == [
        Line(b"a", terminated=True),
        Blanks(2),
        Line(b"b\r", terminated=True),
        Line(b"c", terminated=False),
    ]


def test_a_range_of_a_file_is_read(tmp_path: Path) -> None:
    assert reread(tmp_path, b"a\nbb\nccc\n", 2, 5) == [Line(b"bb", terminated=True)]


def test_lines_across_blocks_are_whole(tmp_path: Path) -> None:
    lines = [bytes([65 + n % 26]) * (n * 7919 % 60_000) for n in range(1, 60)]
    found = reread(tmp_path, b"\n".join(lines) + b"\n")
    assert [line.bytes for line in found if isinstance(line, Line)] == lines


def test_a_line_without_end_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    tracemalloc.start()
    _, found = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert codes(found) == [("genesis.invalid", 0), ("line.framing", 0)]
    assert peak < 5_000_000


def test_an_overlong_line_is_cut_to_what_shows_that_it_is(tmp_path: Path) -> None:
    (found,) = reread(tmp_path, b"z" * 1_000_000 + b"\n")
    assert isinstance(found, Line)
    assert MAX_LINE < len(found.bytes) <= 1 << 18 or len(found.bytes) == MAX_LINE + 1


def test_a_million_empty_lines_take_no_memory_and_are_all_counted(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(Builder().text + b"\n" * 3_000_000 + b"x")
    tracemalloc.start()
    reading, found = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.counts() == {"line.framing": 3_000_001}
    assert len(found.items()) == CAP
    assert (reading.size, reading.root) == (3_000_002, "")
    assert peak < 20_000_000


def test_a_file_cut_while_it_is_read_ends_there(tmp_path: Path) -> None:
    assert reread(tmp_path, b"a\nb", 0, 100) == [
        Line(b"a", terminated=True),
        Line(b"b", terminated=False),
    ]


def test_every_changed_byte_of_a_frame_is_seen() -> None:
    b = Builder()
    line = b.lines[0][:-1]
    good = frame(line)
    assert good is not None
    assert good.entry == b.entries[0]
    places = itertools.chain(range(10), range(len(line) - 173, len(line)))
    for at in places:
        for bit in range(8):
            changed = frame(line[:at] + bytes([line[at] ^ 1 << bit]) + line[at + 1 :])
            assert changed is None or changed != good


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"null}", b'=="}', b'{"entry":{}', b"x" * 86, b"\x00" * 400]
)
def test_short_and_odd_lines_are_not_framed(raw: bytes) -> None:
    assert frame(raw) is None


def test_a_torn_line_is_told_from_a_changed_one() -> None:
    line = Builder().lines[0][:-1]
    assert all(could_be_torn(line[:cut]) for cut in range(1, len(line) + 1))
    assert not could_be_torn(line + b"x")
    assert not could_be_torn(b'{"entry":{"a":"' + b"x" * 66_000)


# -- keys and signatures


EDGE = json.loads((C2SP / "ed25519_edge.json").read_text())["cases"]


@pytest.mark.parametrize("case", EDGE, ids=lambda case: case["why"])
def test_the_edge_cases_of_ed25519(case: dict[str, object]) -> None:
    public = bytes.fromhex(str(case["public_key"]))
    sound = len(public) == 32 and not is_weak(public)
    accepted = sound and PublicKey(public).accepts(
        bytes.fromhex(str(case["signature"])), bytes.fromhex(str(case["message_hex"]))
    )
    assert accepted is case["must_accept"]


def test_there_are_fourteen_encodings_of_small_order() -> None:
    assert len(SMALL_ORDER) == 14
    assert all(is_weak(encoded) for encoded in SMALL_ORDER)


def test_a_key_of_mixed_order_is_weak() -> None:
    """An honest key plus a point of order 8 verifies in some libraries and not in others."""
    honest = ed25519._decode(RUNNER.public)
    assert honest is not None
    assert not is_weak(RUNNER.public)
    weak = 0
    for encoded in SMALL_ORDER:
        point = ed25519._decode(encoded)
        if point is None or ed25519._is_identity(point):
            continue
        x, y, z, _ = ed25519._add(honest, point)
        inverse = pow(z, -1, ed25519._P)
        number = y * inverse % ed25519._P | (x * inverse % ed25519._P & 1) << 255
        assert is_weak(number.to_bytes(32, "little"))
        weak += 1
    assert weak == 7


def test_a_point_that_is_not_on_the_curve_or_not_canonical_is_weak() -> None:
    assert is_weak((2).to_bytes(32, "little"))
    assert is_weak((2**255 - 19 + 3).to_bytes(32, "little"))
    assert is_weak((1 | 1 << 255).to_bytes(32, "little"))


def test_a_signature_is_64_bytes_with_a_sound_r() -> None:
    key = PublicKey(RUNNER.public)
    good = RUNNER.private.sign(b"m")
    assert key.accepts(good, b"m")
    assert not key.accepts(good, b"n")
    assert not key.accepts(good[:-1], b"m")
    assert not key.accepts(min(SMALL_ORDER) + good[32:], b"m")


# -- times


@pytest.mark.parametrize(
    "time",
    ["2026-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00.000000Z"],
)
def test_a_real_time(time: str) -> None:
    assert is_time(time.encode())


@pytest.mark.parametrize(
    "time",
    ["", "2026-01-01T00:00:00.000000", "2026-01-01T00:00:00Z", "2026-01-01 00:00:00.000000Z",
     "2026-01-01T00:60:00.000000Z", "2026-00-01T00:00:00.000000Z", "2026-04-31T00:00:00.000000Z",
     "2026-01-01T00:00:00.000000Z\n", "1900-02-29T00:00:00.000000Z"],
)  # fmt: skip
def test_no_real_time(time: str) -> None:
    assert not is_time(time.encode())


# -- the tree


TREES = json.loads((C2SP / "merkle.json").read_text())["trees"]


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree["size"])
def test_the_roots_of_the_vectors(tree: dict[str, object]) -> None:
    leaves = tree.get("leaves_utf8") or [f"leaf-{n}" for n in range(int(str(tree["size"])))]
    assert isinstance(leaves, list)
    grown = Tree()
    for text in leaves:
        grown.append(leaf(str(text).encode()))
    root = grown.root()
    assert root is not None
    assert root.hex() == tree["root"]


def test_a_tree_grown_in_parts_is_the_same_tree() -> None:
    rng = random.Random(2)  # noqa: S311 - repeatable on purpose
    leaves = [leaf(str(n).encode()) for n in range(300)]
    for _ in range(50):
        tree, at = Tree(), 0
        while at < len(leaves):
            part = leaves[at : at + rng.randrange(1, 70)]
            for level, node in nodes_over(at, part):
                tree.add(level, node)
            at += len(part)
            assert tree.root() == root_of(leaves[:at])
            assert tree.size == at


def test_behind_a_gap_there_is_no_root() -> None:
    tree = Tree()
    tree.append(bytes(32))
    assert not tree.takes(5)
    tree.gap(1)
    tree.append(bytes(32))
    assert (tree.root(), tree.size) == (None, 3)
    assert tree.takes(5)


# -- ids


def fed(names: list[bytes], size: int, *, hashes: bool) -> Ids:
    ids = Ids()
    for at in range(0, len(names), size):
        part = names[at : at + size]
        if len(set(part)) != len(part) or size == 1:
            for n, name in enumerate(part):
                ids.add(name, at + n + 1)
            continue
        ids.flush(at)
        runs = b"".join(h.to_bytes(8, "little", signed=True) for h in sorted(map(hash, part)))
        ids.add_block(min(part), max(part), hashes=runs if hashes else b"", line=at + len(part))
    ids.flush(len(names))
    return ids


@pytest.mark.parametrize("size", [1, 100, 5000])
@pytest.mark.parametrize("hashes", [True, False])
@pytest.mark.parametrize("kind", ["ascending", "random", "late", "doubled", "doubled late"])
def test_doubled_ids_are_suspects_whatever_their_order(
    kind: str, size: int, *, hashes: bool
) -> None:
    rng = random.Random(4)  # noqa: S311 - repeatable on purpose
    total = SMALL + 3 * BLOCK
    names = [b"%08d" % n for n in range(total)]
    if kind in ("random", "doubled"):
        rng.shuffle(names)
    if kind == "late":
        names[-1] = b"00000000x"
    if kind.startswith("doubled"):
        names[-1] = names[7]
    ids = fed(names, size, hashes=hashes)
    ids.gather(iter(names[: ids.missing] if not ids.ascending else []))
    doubled = {hash(names[7])} if kind.startswith("doubled") else set()
    assert ids.suspects() == doubled
    assert ids.ascending is (kind == "ascending")


def test_ascending_ids_take_no_memory() -> None:
    ids = Ids()
    tracemalloc.start()
    for n in range(4 * SMALL):
        ids.add(b"%012d" % n, n + 1)
    ids.flush(4 * SMALL)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert ids.ascending
    assert kept < 1_500_000


def test_a_ledger_changed_between_its_two_readings_is_noticed(tmp_path: Path) -> None:
    b = Builder()
    b.add()
    b.revoke(RUNNER, 1)
    path = b.write(tmp_path / "l.jsonl")
    chain = Chain(Policy(strict=False, ledger_id=None, checkpoints=()), Findings(), None)
    with JsonlFile(path) as file:
        for piece in file.pieces():
            assert not isinstance(piece, Blanks)
            chain.take(piece)
        raw = b.text.replace(b"run/1", b"run/2")
        path.write_bytes(raw)
        os.truncate(path, len(raw))
        with pytest.raises(ChangedError):
            look_again(chain, file.pieces)


def test_more_doubled_ids_than_are_looked_at_are_counted(tmp_path: Path) -> None:
    b = Builder()
    for n in range(40):
        b.add(id=f"twice-{n // 2}")
    _, found = read(b.write(tmp_path / "l.jsonl"))
    assert found.counts() == {"id.duplicate": 20}


def test_base64_of_a_signature_is_canonical() -> None:
    line = Builder().lines[0][:-1]
    good = frame(line)
    assert good is not None
    assert good.sig is not None
    assert base64.b64encode(good.sig) == line[-90:-2]
    last = chr(line[-5])
    for other in "BCDEFxyz0189+/":
        assert other != last
        assert frame(line[:-5] + other.encode() + line[-4:]) is None
