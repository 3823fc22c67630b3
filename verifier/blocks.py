"""Blocks of observations, and the list of those that the gate has accepted (gate.md 3.1, 3.2)."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from verifier.quantum import quantum

__all__ = ["Block", "History", "Window"]


class Block:
    """What was observed of each forecast metric in one block: n, S1 and S2."""

    __slots__ = ("count", "index", "square", "total")

    def __init__(self, index: int, metrics: int) -> None:
        """Start without observations."""
        self.index = index
        self.count = [0] * metrics
        self.total = [0] * metrics
        self.square = [0] * metrics

    def add(self, metric: int, value: int) -> None:
        """Take a finite observation of the metric of this number."""
        self.count[metric] += 1
        self.total[metric] += value
        self.square[metric] += value * value


class Window:
    """The observations of the window that is due."""

    def __init__(self, forecast: Sequence[str], stall: Sequence[str], *, block: int) -> None:
        """Start without observations; *block* is in iterations."""
        self._forecast = forecast
        self._stall = stall
        self._length = block
        self._at = -1
        self._taken: set[str] = set()
        self._seen: dict[str, int] = {}
        self._known: set[str] = set()
        self.start(0)

    def start(self, begin: int) -> None:
        """Go on to the window that begins at iteration *begin*, dropping this one."""
        self.begin = begin
        self.nonfinite = False
        self.zeros = dict.fromkeys(self._stall, 0)
        self._known.update(self._seen)
        self._seen = {}
        self._blocks: dict[int, Block] = {}

    def observe(self, iteration: int, values: Mapping[str, object]) -> None:
        """Take an observation; of an iteration that is observed twice the first value counts."""
        if iteration != self._at:
            self._at, self._taken = iteration, set()
        block = self.block(iteration // self._length)
        for number, name in enumerate(self._forecast):
            if self._is_new(name, values):
                value = quantum(values[name])
                if value is None:
                    self.nonfinite = True
                else:
                    block.add(number, value)
        for name in self._stall:
            if self._is_new(name, values):
                self.nonfinite = self.nonfinite or quantum(values[name]) is None
                self.zeros[name] += values[name] == 0

    def _is_new(self, name: str, values: Mapping[str, object]) -> bool:
        if name not in values or name in self._taken:
            return False
        self._taken.add(name)
        self._seen[name] = self._seen.get(name, 0) + 1
        return True

    def lost(self, full: int) -> bool:
        """Tell whether a metric that was observed before has fewer than *full* values here."""
        return any(self._seen.get(name, 0) < full for name in self._known)

    def block(self, index: int) -> Block:
        """Return the block of this *index*, which is empty if nothing was observed in it."""
        found = self._blocks.get(index)
        if found is None:
            found = self._blocks[index] = Block(index, len(self._forecast))
        return found


@dataclass(slots=True)
class Pattern:
    """The blocks that one view takes at one position, and the weights of its forecast.

    In integers: a_i = ``weights[i]`` / ``divisor``, and the sum of their squares is
    ``square_sum`` / ``square_divisor``.
    """

    position: int
    tested: Sequence[Block]
    reference: Sequence[Block]
    weights: list[int]
    divisor: int
    square_sum: int
    square_divisor: int


class History:
    """The accepted blocks, as far back as any view can look."""

    def __init__(self, *, reference: int, reach: int) -> None:
        """Start empty; *reach* is the most that a view has of tested blocks and gap together."""
        self._reference = reference
        self._kept = reference + reach
        self._blocks: list[Block] = []
        self._indices: list[int] = []
        self._dropped = 0

    def __len__(self) -> int:
        """How many blocks were accepted since the history was begun."""
        return self._dropped + len(self._blocks)

    def append(self, block: Block) -> None:
        """Append the next block."""
        self._blocks.append(block)
        self._indices.append(block.index)

    def take_back(self, number: int) -> None:
        """Take the last *number* blocks out again."""
        if number:
            del self._blocks[-number:], self._indices[-number:]

    def clear(self) -> None:
        """Begin anew."""
        self._dropped = 0
        self._blocks.clear()
        self._indices.clear()

    def trim(self) -> None:
        """Forget what no view reaches any more; the number of blocks is kept."""
        surplus = len(self._blocks) - self._kept
        if surplus > 0:
            self._dropped += surplus
            del self._blocks[:surplus], self._indices[:surplus]

    def last(self) -> Sequence[Block]:
        """Return as many of the last blocks as a reference has."""
        return self._blocks[-self._reference :]

    def pattern(self, position: int, *, blocks: int, gap: int) -> Pattern | None:
        """Return what the view of *blocks* and *gap* takes at *position*, if it is all there.

        Section 3.3, with block indices relative to *position*, which changes nothing: with
        X = sum of x, D = L * (sum of squares of x) - X^2 and G = L*(2c) - 2X, where c is the
        middle of the tested blocks, a_i = (2D + (L*x_i - X)*G) / (2LD), and the squares of
        the a_i sum up to (4D + G^2) / (4LD).
        """
        tested = self._blocks[-blocks:]
        if len(tested) < blocks or tested[0].index != position - blocks:
            return None
        stop = bisect_left(self._indices, position - blocks - gap)
        length = self._reference
        if stop < length:
            return None
        reference = self._blocks[stop - length : stop]
        places = [block.index - position for block in reference]
        x_sum = sum(places)
        spread = length * sum(x * x for x in places) - x_sum * x_sum
        lever = -length * (blocks + 1) - 2 * x_sum
        return Pattern(
            position,
            tested,
            reference,
            weights=[2 * spread + (length * x - x_sum) * lever for x in places],
            divisor=2 * length * spread,
            square_sum=4 * spread + lever * lever,
            square_divisor=4 * length * spread,
        )
