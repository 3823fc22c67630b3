"""The ranks that the chief starts on its own machine, and what becomes of them.

Each is another process of the same program. It lives no longer than the chief,
however that ended: see :class:`Lifeline`.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from ledger import LedgerError
from producers.gates.distributed import READY, RENDEZVOUS, Group, RankError, Seat, joined

_POLL_S = 0.02
_COME_S = 300.0  # starting Python and torch takes long where many do so at once
_SETTLE_S = 2.0  # a rank that lost a peer ends within this
_GRACE_S = 5.0
_ENOUGH = b"."
ORPHANED = 2
"""The exit code of a rank that ends because its chief does."""


@contextmanager
def chief_of(
    ranks: int, command: Sequence[str], *, env: Mapping[str, str], timeout: float
) -> Iterator[Group]:
    """Start the other *ranks* with *command*, and join them as rank 0 for the block.

    Take the run's key out of *env* first (``attach`` does): it is the chief's alone.
    When the block is left, every one of them has ended.

    Raises:
        RankError: A rank did not come, died, was silent for *timeout* seconds, or
            ended badly.
    """
    with TemporaryDirectory(prefix="ranks-") as name:
        folder = Path(name)
        workers = _Workers(ranks, command, env=env, folder=folder)
        try:
            workers.wait_until_there()
            with joined(Seat(0, ranks, 0, folder), timeout=timeout) as group:
                yield group
            workers.wait_until_done(timeout)
        except RankError as error:
            raise RankError(workers.explain(error, timeout)) from error
        finally:
            workers.stop()


class Lifeline:
    """The pipe at a rank's standard input, by which it lives as long as the chief does.

    A rank that waits for a silent peer can be waiting for minutes, deaf to
    signals. So another thread listens here: when the chief asks for an end,
    it makes the rank's own ledger durable; when the chief is gone, it writes
    nothing any more, since the wrapper may have taken stock of the run
    directory. Either way the process ends at once.
    """

    def __init__(self) -> None:
        """Hold on."""
        self._flush: Callable[[], None] | None = None
        threading.Thread(target=self._listen, name="lifeline", daemon=True).start()

    def flush_with(self, flush: Callable[[], None]) -> None:
        """Say what makes everything durable that this rank has recorded."""
        self._flush = flush

    def _listen(self) -> None:
        # Not sys.stdin: its lock, held by a daemon thread, would abort the interpreter's exit.
        asked = os.read(0, 1) == _ENOUGH
        if asked and self._flush is not None:
            with suppress(LedgerError):  # the chief has a better reason to fail than this one
                self._flush()
        os._exit(ORPHANED)


class _Workers:
    """The other ranks, by number."""

    def __init__(
        self, ranks: int, command: Sequence[str], *, env: Mapping[str, str], folder: Path
    ) -> None:
        self._folder = folder
        self._ranks: dict[int, subprocess.Popen[bytes]] = {}
        common = {**env, "WORLD_SIZE": str(ranks), RENDEZVOUS: str(folder)}
        try:
            for rank in range(1, ranks):
                self._ranks[rank] = subprocess.Popen(
                    list(command),
                    stdin=subprocess.PIPE,
                    env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                )
        except OSError as error:
            self.stop()
            raise RankError(f"a rank could not be started: {error.strerror}") from error

    def wait_until_there(self) -> None:
        """Wait until each rank is about to join: until then gloo could not see it die."""
        deadline = time.monotonic() + _COME_S
        missing = set(self._ranks)
        while missing:
            missing = {r for r in missing if not (self._folder / f"{READY}{r}").exists()}
            if any(self._ranks[rank].poll() is not None for rank in missing):
                raise RankError("a rank ended before it joined")
            if time.monotonic() > deadline:
                raise RankError(f"{_named(missing)} did not come within {_COME_S:g} s")
            time.sleep(_POLL_S)

    def wait_until_done(self, timeout: float) -> None:
        """Wait for each rank to end well."""
        for rank, process in self._ranks.items():
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired as error:
                raise RankError(f"rank {rank} did not end") from error
            if process.returncode:
                raise RankError(f"rank {rank} ended badly")

    def explain(self, error: RankError, timeout: float) -> str:
        """Return why the ranks lost each other, as far as it can be told from how they ended."""
        deadline = time.monotonic() + _SETTLE_S
        while self._running() and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        ended = {rank: process.poll() for rank, process in self._ranks.items()}
        killed = [f"rank {r} was killed by {_signal(-c)}" for r, c in ended.items() if c and c < 0]
        silent = [r for r, code in ended.items() if code is None]
        failed = [f"rank {r} ended with exit code {c}" for r, c in ended.items() if c and c > 0]
        if killed:
            why = ", ".join(killed)
        elif silent and error.timed_out:
            why = f"{_named(silent)} did not answer within {timeout:g} s"
        else:
            why = ", ".join(failed)
        return f"{why} ({error})" if why else str(error)

    def stop(self) -> None:
        """End what is left: politely, so that a rank's own ledger is complete, then not."""
        for process in self._ranks.values():
            if process.stdin is not None:
                with suppress(OSError):  # it has ended already
                    process.stdin.write(_ENOUGH)
                    process.stdin.close()
        deadline = time.monotonic() + _GRACE_S
        for process in self._ranks.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            process.kill()
            process.wait()

    def _running(self) -> list["subprocess.Popen[bytes]"]:
        return [process for process in self._ranks.values() if process.poll() is None]


def _named(ranks: Sequence[int] | set[int]) -> str:
    return ", ".join(f"rank {rank}" for rank in sorted(ranks))


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
