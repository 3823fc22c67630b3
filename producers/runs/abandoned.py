"""Runs whose wrapper was killed: find them, and close them for it.

A wrapper holds a lock on its run's log for as long as it lives. A run that is open
in the ledger, and whose log nobody has locked, has lost its witness. Whoever goes on
in that ledger may say so: the run is closed as the wrapper's failure, its runner's
key is revoked, and what lies in its directory goes on record as it is found.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ledger import Ledger, MisuseError
from producers.runs.child import Ending
from producers.runs.witness import Finalize, Witness

LOG_NAME = "runner_output.log"

_REASON = "found open later: the wrapper was killed, and nobody saw how the runner ended"
_SUBJECT = "run/"


@contextmanager
def held(log: BinaryIO) -> Iterator[None]:
    """Hold the lock of a run's log, also when the file itself is closed before the end."""
    _lock(log)
    copy = os.dup(log.fileno())  # the lock is let go with the last descriptor
    try:
        yield
    finally:
        os.close(copy)


def _lock(log: BinaryIO) -> bool:
    """Lock a log; ``False`` means that another process has locked it: the run goes on."""
    try:
        fcntl.flock(log.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: then nobody can hold one
        return True
    return True


def close_abandoned(
    book: Ledger,
    place: Callable[[str], Path],
    finalize: Callable[[str], Finalize | None],
) -> tuple[str, ...]:
    """Close the runs of *book* whose wrapper is gone, and return their ids.

    *place* gives the directory of a run by its id, and *finalize* what makes its
    projected files. A run that recorded itself is left alone: it has no wrapper.

    Raises:
        MisuseError: A run of this ledger still goes on.
        LedgerError: It could not be recorded.
    """
    closed = []
    for run_id, opened in _open_runs(book).items():
        outdir = place(run_id)
        if opened.get("witness", "process") != "process" or not _is_dead(outdir / LOG_NAME, run_id):
            continue
        witness = Witness(book, run_id, outdir)
        key = book.register.keys.get(str(opened.get("runner_key")))
        if key is not None and key.state == "active":
            book.revoke(str(opened["runner_key"]), reason="run closed")
        witness.close("wrapper_failure", Ending(None, None), wall_s=0.0, reason=_REASON)
        witness.finish(finalize(run_id))
        closed.append(run_id)
    return tuple(closed)


def _open_runs(book: Ledger) -> dict[str, dict[str, Any]]:
    """Return the ``run.opened`` of each run that was never closed, by its id."""
    found: dict[str, dict[str, Any]] = {}
    for entry in book.entries():
        run_id = entry.subject.removeprefix(_SUBJECT)
        if entry.type == "run.opened":
            found.setdefault(run_id, entry.data)
        elif entry.type == "run.closed":
            found.pop(run_id, None)
    return found


def _is_dead(log: Path, run_id: str) -> bool:
    try:
        # The runner may have left a FIFO or a link there: neither is waited for or followed.
        descriptor = os.open(log, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if _lock(file):
                return True
    except OSError:
        return False  # moved away: nothing can be said of it
    raise MisuseError(f"run {run_id} of this ledger still goes on")
