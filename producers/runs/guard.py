"""The guard: ends the runner when the wrapper is killed before it could.

Nobody can act on SIGKILL or on a power cut of one's own process. So a shell, in a
session of its own, waits at a pipe that only the wrapper holds open. If the pipe
closes and no word came through it, the wrapper is dead, and the runner's group
gets SIGTERM and after the grace SIGKILL: it must not train on unwitnessed. Its run
stays open in the ledger, which the verifier calls INCOMPLETE.
"""

import math
import os
import subprocess
from contextlib import suppress
from types import TracebackType
from typing import Self

_SHELL = "/bin/sh"
# $1 is the grace. A group whose last member is gone cannot be signalled: that is well.
_SCRIPT = (
    "read group || exit 0; read over && exit 0;"
    ' kill -TERM "-$group"; sleep "$1"; kill -KILL "-$group"'
)
_PATIENCE_S = 5.0


class Guard:
    """One guard for one runner."""

    def __init__(self, grace: float) -> None:
        """Start nothing yet. *grace* is in seconds."""
        self.problem: str | None = None
        self._grace = grace
        self._watching = False
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the guard, before there is anything to guard."""
        try:
            self._process = subprocess.Popen(
                [_SHELL, "-c", _SCRIPT, "ledger-run-guard", str(math.ceil(self._grace))],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                cwd="/",
                env={"PATH": os.defpath},
                start_new_session=True,
            )
        except OSError as error:
            why = f"{_SHELL}: {error.strerror}"
            self.problem = f"the runner would outlive a wrapper that is killed ({why})"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Send the guard home: the runner has ended, or there was none."""
        if self._watching:
            self._tell(b"over\n")
        if self._process is not None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE_S)

    def watch(self, group: int) -> None:
        """Name the process group that ends with us."""
        self._watching = True
        self._tell(b"%d\n" % group)

    def _tell(self, line: bytes) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):  # it was killed: then there is no guard
                self._process.stdin.write(line)
