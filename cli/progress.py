"""Progress on stderr: only on a terminal, and only for work that takes a while."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_PATIENCE_S = 1.0


class Progress:
    """Called with what is done and what is to do; shows a bar once a second has passed."""

    def __init__(self, label: str, *, quiet: bool = False) -> None:
        """Show nothing yet."""
        self._label = label
        self._shown = sys.stderr.isatty() and not quiet
        self._begun = time.monotonic()
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        """Return the callable itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        """Note that *done* of *total* units of work are done."""
        if not self._shown or time.monotonic() - self._begun < _PATIENCE_S:
            return
        if self._bar is None:
            self._start()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import Progress as Bar

        self._bar = Bar(console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(self._label)
        self._bar.start()
