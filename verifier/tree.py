"""The Merkle tree of RFC 6962, grown from the left, in memory that grows with its height.

>>> Tree().root().hex()[:16]
'e3b0c44298fc1c14'
"""

from collections.abc import Sequence
from hashlib import sha256

__all__ = ["Node", "Tree", "nodes_over"]

Node = tuple[int, bytes]  # level (0 is a leaf) and hash of a complete subtree


class Tree:
    """A tree of leaves put behind each other."""

    def __init__(self) -> None:
        """Start empty."""
        self.size = 0
        self._peaks: list[bytes] = []  # complete subtrees, the largest first
        self._broken = False

    def append(self, leaf: bytes) -> None:
        """Put one leaf hash behind the others."""
        self.add(0, leaf)

    def add(self, level: int, node: bytes) -> None:
        """Put a complete subtree of 2**level leaves behind; the size is a multiple of that."""
        upper = self.size >> level
        self.size += 1 << level
        if self._broken:
            return
        while upper & 1:
            node = sha256(b"\x01" + self._peaks.pop() + node).digest()
            upper >>= 1
        self._peaks.append(node)

    def takes(self, start: int) -> bool:
        """Tell whether subtrees made for leaves from *start* on fit behind what is there."""
        return self._broken or start == self.size

    def gap(self, number: int) -> None:
        """Count *number* places whose leaf nobody can know: from here on there is no root."""
        self._broken = True
        self._peaks = []
        self.size += number

    def root(self) -> bytes | None:
        """Return the root hash, None behind a gap."""
        if self._broken:
            return None
        if not self._peaks:
            return sha256(b"").digest()
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = sha256(b"\x01" + peak + root).digest()
        return root


def nodes_over(start: int, leaves: Sequence[bytes]) -> list[Node]:
    """Return the largest complete subtrees over *leaves*, whose first has the index *start*.

    Adding them in order to a tree of size *start* gives what appending each leaf would.
    """
    head: list[Node] = []
    tail: list[Node] = []
    level, row, place = 0, list(leaves), start
    while row:
        if place & 1:  # a right child whose left sibling lies before us
            head.append((level, row.pop(0)))
            place += 1
        if len(row) & 1:  # a left child whose right sibling lies behind us
            tail.append((level, row.pop()))
        pairs = iter(row)
        row = [sha256(b"\x01" + left + next(pairs)).digest() for left in pairs]
        place >>= 1
        level += 1
    return head + tail[::-1]
