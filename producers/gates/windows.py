"""Which window a run is in, and what may still be observed (gate.md, section 2).

>>> windows = Windows(window=4, interval=2, start=5)
>>> windows.begin, windows.due  # the first whole window after iteration 5
(8, 12)
>>> windows.ends(11), windows.ends(12)
(False, True)
"""

from ledger.errors import MisuseError


class Windows:
    """The windows of one run, each of which is checked once, in order."""

    def __init__(self, *, window: int, interval: int, start: int) -> None:
        """Begin with the first window that begins at iteration *start* or later.

        Raises:
            MisuseError: *start* is negative.
        """
        if start < 0:
            raise MisuseError(f"a run cannot begin at iteration {start}")
        self._window = window
        self._interval = interval
        self._first = -(-start // window) * window
        self._last = 0
        self.begin = self._first

    @property
    def due(self) -> int:
        """The iteration at which the current window ends, and its check is due."""
        return self.begin + self._window

    def wants(self, iteration: int) -> bool:
        """Whether an observation at *iteration* can count."""
        return iteration >= self._first and iteration % self._interval == 0

    def admit(self, iteration: int) -> None:
        """Refuse what does not belong to the current window, or to what comes before the first.

        Raises:
            MisuseError: Its window has been checked, or an earlier one has not.
        """
        if iteration >= self.due:
            raise MisuseError(
                f"iteration {iteration} is told of before the check at {self.due} was made"
            )
        if iteration < self.begin != self._first:
            raise MisuseError(f"iteration {iteration} is before the last check, at {self.begin}")

    def takes(self, iteration: int) -> bool:
        """Whether an observation that is made now counts.

        Raises:
            MisuseError: It does not belong here, or a later one was made before.
        """
        self.admit(iteration)
        if iteration < self._last:
            raise MisuseError(f"iteration {iteration} was observed after iteration {self._last}")
        self._last = iteration
        return self.wants(iteration)

    def ends(self, done: int) -> bool:
        """Whether the current window is complete when *done* iterations are.

        Raises:
            MisuseError: The end of the window was passed over.
        """
        if done > self.due:
            raise MisuseError(f"{done} iterations are done, and the check at {self.due} is missing")
        return done == self.due

    def advance(self) -> None:
        """Go on to the next window."""
        self.begin = self.due
