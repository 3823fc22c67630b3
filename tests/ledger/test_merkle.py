"""The tree against vectors, and against RFC 6962's own recursive definitions."""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import MalformedError, MisuseError
from ledger.merkle import (
    EMPTY_ROOT,
    Frontier,
    check_consistency,
    check_inclusion,
    leaf_hash,
    node_hash,
    prove_consistency,
    prove_inclusion,
    root_of,
)

VECTORS = Path(__file__).parents[1] / "vectors"
MERKLE = json.loads((VECTORS / "c2sp" / "merkle.json").read_text())
NEGATIVE = json.loads((VECTORS / "c2sp" / "merkle_negative.json").read_text())["cases"]
GOLDEN = json.loads((VECTORS / "golden.json").read_text())
LEAVES = [leaf_hash(b"leaf-%d" % index) for index in range(300)]


def from_hex(values: Sequence[str]) -> list[bytes]:
    return [bytes.fromhex(value) for value in values]


def rfc_root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, as it is written there."""
    if len(leaves) <= 1:
        return leaves[0] if leaves else sha256(b"").digest()
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + rfc_root(leaves[:k]) + rfc_root(leaves[k:])).digest()


def rfc_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 6962 section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if index < k:
        return [*rfc_path(index, leaves[:k]), rfc_root(leaves[k:])]
    return [*rfc_path(index - k, leaves[k:]), rfc_root(leaves[:k])]


def rfc_subproof(first: int, leaves: Sequence[bytes], *, whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962 section 2.1.2."""
    if first == len(leaves):
        return [] if whole else [rfc_root(leaves)]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if first <= k:
        return [*rfc_subproof(first, leaves[:k], whole=whole), rfc_root(leaves[k:])]
    return [*rfc_subproof(first - k, leaves[k:], whole=False), rfc_root(leaves[:k])]


@pytest.mark.parametrize("tree", MERKLE["trees"], ids=lambda tree: f"size-{tree['size']}")
def test_trees_match_the_vectors(tree: dict[str, Any]) -> None:
    leaves = [leaf_hash(text.encode()) for text in tree["leaves_utf8"]]
    assert leaves == from_hex(tree["leaf_hashes"])
    root = root_of(leaves)
    assert root.hex() == tree["root"]
    for case in tree["inclusion"]:
        proof = prove_inclusion(leaves, case["index"], size=tree["size"])
        assert list(proof) == from_hex(case["proof"])
        leaf = leaves[case["index"]]
        check_inclusion(leaf, case["index"], size=tree["size"], proof=proof, root=root)
    for case in tree["consistency"]:
        proof = prove_consistency(leaves, case["from"], second=tree["size"])
        assert list(proof) == from_hex(case["proof"])
        old = bytes.fromhex(case["from_root"])
        check_consistency(case["from"], tree["size"], proof=proof, first_root=old, second_root=root)


def test_roots_match_the_vectors_at_every_size() -> None:
    for size, root in MERKLE["roots_by_size"].items():
        leaves = [leaf_hash(b"leaf-%d" % index) for index in range(int(size))]
        assert root_of(leaves).hex() == root
    assert EMPTY_ROOT.hex() == MERKLE["empty_root"]


def test_the_golden_ledger_has_the_golden_roots_and_proofs() -> None:
    leaves = from_hex(GOLDEN["hashes"])
    for size, root in GOLDEN["roots"].items():
        assert root_of(leaves[: int(size)]).hex() == root
    for case in GOLDEN["inclusion"]:
        proof = prove_inclusion(leaves, case["index"], size=case["size"])
        assert list(proof) == from_hex(case["proof"])
        root = bytes.fromhex(GOLDEN["roots"][str(case["size"])])
        check_inclusion(
            leaves[case["index"]], case["index"], size=case["size"], proof=proof, root=root
        )
    for case in GOLDEN["consistency"]:
        proof = prove_consistency(leaves, case["first"], second=case["second"])
        assert list(proof) == from_hex(case["proof"])
        roots = [bytes.fromhex(GOLDEN["roots"][str(case[key])]) for key in ("first", "second")]
        check_consistency(
            case["first"], case["second"], proof=proof, first_root=roots[0], second_root=roots[1]
        )


@pytest.mark.parametrize(
    "case", [case for case in NEGATIVE if case["kind"] != "note"], ids=lambda case: case["name"]
)
def test_a_false_proof_of_the_vectors_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        check_case(case)


def check_case(case: dict[str, Any]) -> None:
    proof = from_hex(case["proof"])
    if case["kind"] == "inclusion":
        leaf, root = bytes.fromhex(case["leaf_hash"]), bytes.fromhex(case["root"])
        check_inclusion(leaf, case["index"], size=case["size"], proof=proof, root=root)
    else:
        old, new = bytes.fromhex(case["root1"]), bytes.fromhex(case["root2"])
        check_consistency(
            case["size1"], case["size2"], proof=proof, first_root=old, second_root=new
        )


def test_an_inclusion_proof_does_not_bind_the_size() -> None:
    """What the module's docstring warns of, so that nobody comes to rely on more."""
    proof = prove_inclusion(LEAVES, 3, size=7)
    check_inclusion(LEAVES[3], 3, size=8, proof=proof, root=root_of(LEAVES[:7]))


def test_all_proofs_of_small_trees_are_those_of_the_rfc() -> None:
    for size in range(1, 36):
        leaves = LEAVES[:size]
        root = rfc_root(leaves)
        assert root_of(leaves) == root
        for index in range(size):
            path = prove_inclusion(LEAVES, index, size=size)
            assert list(path) == rfc_path(index, leaves)
            check_inclusion(LEAVES[index], index, size=size, proof=path, root=root)
        for first in range(1, size + 1):
            proof = prove_consistency(LEAVES, first, second=size)
            assert list(proof) == rfc_subproof(first, leaves, whole=True)
            check_consistency(
                first, size, proof=proof, first_root=rfc_root(leaves[:first]), second_root=root
            )


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(st.integers(0, 70), max_size=8))
def test_a_frontier_grows_to_the_same_root_in_any_portions(portions: list[int]) -> None:
    frontier, single = Frontier(), Frontier()
    for portion in portions:
        new = [leaf_hash(b"%d" % index) for index in range(portion)]
        frontier.extend(new)
        for leaf in new:
            single.append(leaf)
        assert (frontier.size, frontier.hashes) == (single.size, single.hashes)
    leaves = [leaf_hash(b"%d" % index) for portion in portions for index in range(portion)]
    assert frontier.root() == rfc_root(leaves)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300))
def test_a_restored_frontier_grows_on(first: int, second: int) -> None:
    first, second = sorted((first, second))
    frontier = Frontier()
    frontier.extend(LEAVES[:first])
    restored = Frontier.restore(frontier.size, frontier.hashes)
    restored.extend(LEAVES[first:second])
    assert restored.root() == root_of(LEAVES[:second])


def test_a_copy_can_be_thrown_away() -> None:
    frontier = Frontier()
    frontier.extend(LEAVES[:5])
    before = frontier.hashes
    frontier.copy().extend(LEAVES[5:9])
    assert (frontier.size, frontier.hashes) == (5, before)


@pytest.mark.parametrize(("size", "count"), [(-1, 1), (3, 1), (4, 2), (0, 1), (2**63, 1)])
def test_a_frontier_of_the_wrong_shape_is_refused(size: int, count: int) -> None:
    with pytest.raises(MalformedError, match="frontier"):
        Frontier.restore(size, LEAVES[:count])
    with pytest.raises(MalformedError, match="32 bytes"):
        Frontier.restore(1, [b"short"])


def test_a_leaf_that_is_no_hash_leaves_the_frontier_as_it_was() -> None:
    frontier = Frontier()
    frontier.extend(LEAVES[:3])
    with pytest.raises(MisuseError, match="32 bytes"):
        frontier.extend([LEAVES[3], b"leaf"])
    with pytest.raises(MisuseError, match="32 bytes"):
        frontier.append(b"leaf")
    assert frontier.root() == root_of(LEAVES[:3])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 3), (3, 3), (0, 301)])
def test_there_is_no_proof_of_a_leaf_outside_the_tree(index: int, size: int) -> None:
    with pytest.raises(MisuseError):
        prove_inclusion(LEAVES, index, size=size)


@pytest.mark.parametrize(("first", "second"), [(-1, 3), (4, 3), (3, 301)])
def test_there_is_no_proof_between_trees_that_do_not_exist(first: int, second: int) -> None:
    with pytest.raises(MisuseError):
        prove_consistency(LEAVES, first, second=second)


def test_every_tree_extends_the_empty_one_if_that_has_its_root() -> None:
    assert prove_consistency(LEAVES, 0, second=7) == ()
    root = root_of(LEAVES[:7])
    check_consistency(0, 7, proof=(), first_root=EMPTY_ROOT, second_root=root)
    check_consistency(0, 0, proof=(), first_root=EMPTY_ROOT, second_root=EMPTY_ROOT)
    with pytest.raises(MalformedError):
        check_consistency(0, 0, proof=(), first_root=EMPTY_ROOT, second_root=root)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.data())
def test_no_changed_byte_of_an_inclusion_proof_goes_unnoticed(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 300))
    index = data.draw(st.integers(0, size - 1))
    proof = list(prove_inclusion(LEAVES, index, size=size))
    hashes = [LEAVES[index], root_of(LEAVES[:size]), *proof]
    place = data.draw(st.integers(0, len(hashes) * 32 - 1))
    flip = data.draw(st.integers(1, 255))
    changed = bytearray(b"".join(hashes))
    changed[place] ^= flip
    leaf, root, *path = (bytes(changed[at : at + 32]) for at in range(0, len(changed), 32))
    with pytest.raises(MalformedError):
        check_inclusion(leaf, index, size=size, proof=path, root=root)


def test_no_changed_byte_of_a_consistency_proof_goes_unnoticed() -> None:
    for first, second in ((3, 7), (4, 7), (6, 8), (1, 2), (5, 300)):
        proof = prove_consistency(LEAVES, first, second=second)
        roots = [root_of(LEAVES[:first]), root_of(LEAVES[:second])]
        for place in range((2 + len(proof)) * 32):
            changed = bytearray(b"".join((*roots, *proof)))
            changed[place] ^= 1 << place % 8
            old, new, *path = (bytes(changed[at : at + 32]) for at in range(0, len(changed), 32))
            with pytest.raises(MalformedError):
                check_consistency(first, second, proof=path, first_root=old, second_root=new)


@settings(max_examples=80, derandomize=True, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_a_consistency_proof_of_another_length_is_refused(one: int, two: int, count: int) -> None:
    first, second = sorted((one, two))
    proof = prove_consistency(LEAVES, first, second=second)
    resized = (*proof, *LEAVES)[:count]
    roots = {"first_root": root_of(LEAVES[:first]), "second_root": root_of(LEAVES[:second])}
    if len(resized) == len(proof):
        check_consistency(first, second, proof=resized, **roots)
    else:
        with pytest.raises(MalformedError):
            check_consistency(first, second, proof=resized, **roots)


def test_sizes_of_2_to_the_63_cost_nothing() -> None:
    """A claimed size is never allocated, whatever it is."""
    with pytest.raises(MalformedError, match="wrong length"):
        check_inclusion(LEAVES[0], 0, size=2**63 - 1, proof=LEAVES[:3], root=LEAVES[1])
    with pytest.raises(MalformedError, match="no leaf"):
        check_inclusion(LEAVES[0], 0, size=2**63, proof=(), root=LEAVES[1])
    with pytest.raises(MalformedError, match="too short"):
        check_consistency(
            5, 2**63 - 1, proof=LEAVES[:3], first_root=LEAVES[0], second_root=LEAVES[1]
        )


def test_a_root_over_longer_hashes_proves_nothing() -> None:
    """An attacker may know bytes of any length that hash to the root: as an entry's, say."""
    long = b"sibling of 33 bytes, one too many"
    for size, index in ((2, 0), (2, 1)):
        pair = (LEAVES[0], long) if index == 0 else (long, LEAVES[0])
        with pytest.raises(MalformedError, match="32 bytes"):
            check_inclusion(LEAVES[0], index, size=size, proof=[long], root=node_hash(*pair))
    root = node_hash(LEAVES[0], long)
    with pytest.raises(MalformedError, match="32 bytes"):
        check_consistency(1, 2, proof=[long], first_root=LEAVES[0], second_root=root)


def test_a_node_is_no_leaf() -> None:
    """The two domain tags: hashing a pair as data gives something else."""
    assert node_hash(LEAVES[0], LEAVES[1]) != leaf_hash(LEAVES[0] + LEAVES[1])
