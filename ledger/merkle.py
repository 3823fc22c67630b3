"""The Merkle tree of RFC 6962 over entry hashes, and its two kinds of proof.

The *leaves* here are leaf hashes, which are the hashes of the entries (format.md
sections 3 and 6). Nothing is kept but the hashes themselves: where they come from
and who signed the root is the business of others.

An inclusion proof does not bind the size of the tree: the proof of leaf 3 in 7
leaves also holds for 8. Take sizes and roots from a signed checkpoint only.

>>> leaves = [leaf_hash(b"a"), leaf_hash(b"b"), leaf_hash(b"c")]
>>> proof = prove_inclusion(leaves, 1, size=3)
>>> check_inclusion(leaves[1], 1, size=3, proof=proof, root=root_of(leaves))
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final, Self

from ledger.errors import MalformedError, MisuseError
from ledger.wire import MAX_DECIMAL

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()

# Section 6: the two tags keep an inner node from being passed off as an entry.
_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of *entry* as a leaf; of an entry's bytes it is the entry hash."""
    return sha256(_LEAF + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node above *left* and *right*."""
    return sha256(_NODE + left + right).digest()


class Frontier:
    """The right edge of a growing tree: enough to append to it and to know its root.

    It holds one hash for each bit that is set in ``size`` (at most 63), so it is
    cheap to save beside a ledger and to restore. It is a value that its owner
    changes; ``copy`` one to try an append that may have to be taken back.
    """

    __slots__ = ("_peaks", "_size")

    def __init__(self) -> None:
        """Start with the empty tree."""
        self._size = 0
        self._peaks: list[bytes] = []

    @classmethod
    def restore(cls, size: int, hashes: Sequence[bytes]) -> Self:
        """Return the frontier that ``size`` and ``hashes`` were once read from.

        Raises:
            MalformedError: The two cannot belong together.
        """
        if not 0 <= size <= MAX_DECIMAL or len(hashes) != size.bit_count():
            raise MalformedError(f"a frontier of size {size} does not have {len(hashes)} hashes")
        _require_hashes(hashes, "of the frontier")
        restored = cls()
        restored._size, restored._peaks = size, list(hashes)
        return restored

    def copy(self) -> Self:
        """Return a frontier that grows on its own from here."""
        return self.restore(self._size, self._peaks)

    @property
    def size(self) -> int:
        """How many leaves the tree has."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The roots of the full subtrees, the largest (leftmost) first."""
        return tuple(self._peaks)

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash.

        Raises:
            MisuseError: It is not 32 bytes long.
        """
        if len(leaf) != HASH_BYTES:
            raise MisuseError(f"a leaf hash has {HASH_BYTES} bytes, not {len(leaf)}")
        # Like a carry in binary addition: each trailing 1 bit is a subtree to merge with.
        bits = self._size
        while bits & 1:
            leaf = sha256(_NODE + self._peaks.pop() + leaf).digest()
            bits >>= 1
        self._peaks.append(leaf)
        self._size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add many leaf hashes, a whole level of the tree at a time.

        Raises:
            MisuseError: One of them is not 32 bytes long; none has been added then.
        """
        level = list(leaves)
        if any(map(HASH_BYTES.__ne__, map(len, level))):
            raise MisuseError(f"a leaf hash has {HASH_BYTES} bytes")
        added, bits, fresh = len(level), self._size, []
        while level:
            if bits & 1:
                level.insert(0, self._peaks.pop())
            if len(level) & 1:
                fresh.append(level.pop())
            level = _pairs(level)
            bits >>= 1
        self._peaks.extend(reversed(fresh))
        self._size += added

    def root(self) -> bytes:
        """Return the root hash of the tree as it is now."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in self._peaks[-2::-1]:
            root = node_hash(peak, root)
        return root


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root hash of the tree over *leaves*.

    Raises:
        MisuseError: A leaf hash is not 32 bytes long.
    """
    frontier = Frontier()
    frontier.extend(leaves)
    return frontier.root()


def prove_inclusion(leaves: Sequence[bytes], index: int, *, size: int) -> tuple[bytes, ...]:
    """Return the path from leaf *index* to the root of the first *size* leaves.

    It hashes the whole tree once, level by level: O(size) time.

    Raises:
        MisuseError: There are not that many leaves, or *index* is not below *size*.
    """
    if not 0 <= index < size <= len(leaves):
        raise MisuseError(f"no leaf {index} in a tree of {size} over {len(leaves)} leaves")
    return _path(leaves[:size], index, 0)


def prove_consistency(leaves: Sequence[bytes], first: int, *, second: int) -> tuple[bytes, ...]:
    """Return the proof that the tree of *second* leaves extends that of *first*.

    Empty when *first* is 0 or both are the same. O(second) time.

    Raises:
        MisuseError: There are not that many leaves, or *first* is above *second*.
    """
    if not 0 <= first <= second <= len(leaves):
        raise MisuseError(f"no tree of {second} that extends {first} over {len(leaves)} leaves")
    if first in (0, second):
        return ()
    # The last full subtree of the old tree: its path in the new tree is the proof.
    # If it is the whole old tree, its hash is the old root, which the checker has.
    height = _trailing_zeros(first)
    return _path(leaves[:second], first - 1, height, with_seed=first != 1 << height)


def check_inclusion(
    leaf: bytes, index: int, *, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that *leaf* is leaf *index* of the tree of *size* leaves with *root*.

    The algorithm of RFC 9162 section 2.1.3.2.

    Raises:
        MalformedError: It is not, or the proof cannot be one.
    """
    if not 0 <= index < size <= MAX_DECIMAL:
        raise MalformedError(f"no leaf {index} in a tree of {size} leaves")
    # Without this an empty leaf "proves" an empty root.
    _require_hashes((leaf, root, *proof), "of the inclusion proof")
    inner = (index ^ (size - 1)).bit_length()
    if len(proof) != inner + (index >> inner).bit_count():
        raise MalformedError(f"an inclusion proof of {len(proof)} hashes has the wrong length")
    node, last = index, size - 1
    for sibling in proof:
        if node & 1 or node == last:
            leaf = node_hash(sibling, leaf)
            node, last = _skip_promoted(node, last)
        else:
            leaf = node_hash(leaf, sibling)
        node, last = node >> 1, last >> 1
    if leaf != root:
        raise MalformedError("the inclusion proof does not lead to the root")


def check_consistency(
    first: int, second: int, *, proof: Sequence[bytes], first_root: bytes, second_root: bytes
) -> None:
    """Check that the tree (*second*, *second_root*) extends (*first*, *first_root*).

    The algorithm of RFC 9162 section 2.1.4.2. Every tree extends the empty one, with
    an empty proof, provided that the empty one has the root of an empty tree.

    Raises:
        MalformedError: It does not, or the proof cannot be one.
    """
    if not 0 <= first <= second <= MAX_DECIMAL:
        raise MalformedError(f"a tree of {second} leaves cannot extend one of {first}")
    _require_hashes((first_root, second_root, *proof), "of the consistency proof")
    if first in (0, second):
        expected = EMPTY_ROOT if first == 0 else second_root
        if proof or first_root != expected or (second == 0 and second_root != EMPTY_ROOT):
            raise MalformedError(f"the trees of {first} and {second} leaves are not consistent")
        return
    if not proof:
        raise MalformedError("the consistency proof is empty")
    if _fold_consistency(first, second, proof, first_root) != (first_root, second_root):
        raise MalformedError("the consistency proof does not lead to both roots")


def _fold_consistency(
    first: int, second: int, proof: Sequence[bytes], first_root: bytes
) -> tuple[bytes, bytes]:
    """Return the two roots that *proof* leads to."""
    path = [first_root, *proof] if first.bit_count() == 1 else list(proof)
    height = _trailing_zeros(first)
    node, last = (first - 1) >> height, (second - 1) >> height
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise MalformedError("the consistency proof is too long")
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            node, last = _skip_promoted(node, last)
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise MalformedError("the consistency proof is too short")
    return old, new


def _skip_promoted(node: int, last: int) -> tuple[int, int]:
    """Climb over the levels where *node* had no sibling, to where it is a right child."""
    while node and not node & 1:
        node, last = node >> 1, last >> 1
    return node, last


def _path(
    level: Sequence[bytes], index: int, height: int, *, with_seed: bool = False
) -> tuple[bytes, ...]:
    """Return the siblings above node *index* from *height* on, after itself if asked."""
    for _ in range(height):
        level, index = _climb(level), index >> 1
    path = [level[index]] if with_seed else []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level, index = _climb(level), index >> 1
    return tuple(path)


def _climb(level: Sequence[bytes]) -> list[bytes]:
    """Return the level above; a last node without sibling is promoted as it is."""
    above = _pairs(level)
    if len(level) & 1:
        above.append(level[-1])
    return above


def _pairs(level: Sequence[bytes]) -> list[bytes]:
    """Return the hashes of the full pairs of *level*: the append hot path."""
    return [
        sha256(b"\x01" + left + right).digest()
        for left, right in zip(level[::2], level[1::2], strict=False)
    ]


def _trailing_zeros(number: int) -> int:
    """Return the exponent of the largest power of two that divides *number*."""
    return (number & -number).bit_length() - 1


def _require_hashes(hashes: Iterable[bytes], what: str) -> None:
    """Refuse anything but 32-byte hashes, before any of them is used."""
    if any(len(value) != HASH_BYTES for value in hashes):
        raise MalformedError(f"a hash {what} does not have {HASH_BYTES} bytes")
