"""Several processes that append to one ledger at once, and what must come of it."""

import os
import traceback
from collections import defaultdict
from pathlib import Path

from forge import OWNER, REVIEWER, RUNNER, WRAPPER, new_book, verdict, walk

from ledger import Event, Ledger

KEYS = (OWNER, RUNNER, WRAPPER, REVIEWER)


def crowd(path: Path, *, processes: int, appends: int) -> None:
    """Let *processes* append *appends* events each, then check that none is lost or twice."""
    roles = ((RUNNER, "runner"), (WRAPPER, "wrapper"), (REVIEWER, "writer"))
    with new_book(path, *roles) as book:
        before = book.size
    children = [_start(path, number, appends) for number in range(processes)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0] * processes
    entries = walk(path)
    assert len(entries) == before + processes * appends
    told = defaultdict(list)
    for entry in entries[before:]:
        told[entry["subject"]].append(entry["data"]["n"])
    assert told == {f"process/{n}": list(range(appends)) for n in range(processes)}
    found = verdict(path)
    assert found.outcome == "VERIFIED", found.findings
    assert found.findings == ()


def _start(path: Path, number: int, appends: int) -> int:
    child = os.fork()
    if child:
        return child
    try:
        _append(path, number, appends)
        os._exit(0)
    except BaseException:  # noqa: BLE001 - the parent sees the exit code
        traceback.print_exc()
    finally:
        os._exit(1)


def _append(path: Path, number: int, appends: int) -> None:
    """Append in singles and small batches, and ask once more now and then."""
    with Ledger.open(path, key=KEYS[number % len(KEYS)].key, timeout=120) as book:
        done = 0
        while done < appends:
            count = min(1 + done % 3, appends - done)
            made = [
                Event("x.step", f"process/{number}", {"n": n}, f"{number}-{n}")
                for n in range(done, done + count)
            ]
            receipts = book.append_batch(made)
            if done % 7 == 0:
                assert book.append_batch(made) == receipts
            done += count
