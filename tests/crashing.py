"""Kill a writer at random moments, and hold the ledger to what it had acknowledged.

The child appends single events and batches, small and large, as fast as it can,
and tells the pipe of each receipt only after the append has returned. The parent
kills it. What the pipe says was acknowledged must be in the file, for ever.
"""

import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from forge import OWNER, RUNNER, WRAPPER, lines_of, new_book, recoveries, unframe, verdict, walk
from fuzzing import seeded

from ledger import Event, Ledger, Receipt

LARGEST_BATCH = 40


def events(source: random.Random) -> list[Event]:
    """One event, or a batch of them; some batches are megabytes, to be killed in the middle."""
    if source.random() < 0.3:
        return [Event("x.one", "run/1", {"n": source.randrange(1000)})]
    text = "x" * source.choice((10, 30_000))
    count = source.randrange(2, LARGEST_BATCH)
    return [Event("x.many", "run/1", {"n": n, "text": text}) for n in range(count)]


def _child(path: Path, pipe: int, seed: str) -> None:
    """Append until killed."""
    source = seeded(seed)
    with Ledger.open(path, key=source.choice((RUNNER, WRAPPER)).key) as book:
        os.write(pipe, b"open\n")
        while True:
            receipts = book.append_batch(events(source))
            text = "".join(f"{made.seq} {made.id} {made.hash}\n" for made in receipts)
            os.write(pipe, text.encode())


def killed(path: Path, seed: str) -> list[Receipt]:
    """Start a writer, kill it at a moment that *seed* gives, and return what it acknowledged."""
    source = seeded(seed)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            _child(path, writer, seed)
        finally:
            os._exit(70)
    os.close(writer)
    said = bytearray()
    if source.random() < 0.8:  # else it may die while it opens and recovers
        said += os.read(reader, 5)
    os.set_blocking(reader, False)
    _wait_for_the_moment(path, source)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"the writer ended by itself: {os.WEXITSTATUS(status)}"
    said += _available(reader)
    os.close(reader)
    lines = [line.split() for line in said.decode().splitlines() if line != "open"]
    return [Receipt(int(seq), event_id, digest) for seq, event_id, digest in lines]


def _wait_for_the_moment(path: Path, source: random.Random) -> None:
    """Wait for a random time; or for a write that has just begun, and then a little."""
    until = time.monotonic() + source.random() ** 2 * 0.03
    if source.random() < 0.5:
        time.sleep(max(0.0, until - time.monotonic()))
        return
    file = path if path.suffix == ".jsonl" else Path(f"{path}-wal")
    size = _size(file)
    patience = time.monotonic() + 0.2
    while _size(file) == size and time.monotonic() < patience:
        pass
    until = time.monotonic() + source.random() ** 2 * 0.0006
    while time.monotonic() < until:
        pass


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return -1


def _available(reader: int) -> bytes:
    said = b""
    try:
        while part := os.read(reader, 1 << 20):
            said += part
    except BlockingIOError:
        pass
    return said


@dataclass
class Battery:
    """A ledger whose writers are killed again and again."""

    path: Path
    seed: int
    acknowledged: list[Receipt] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    kills: int = 0

    def __post_init__(self) -> None:
        new_book(self.path, (RUNNER, "runner"), (WRAPPER, "wrapper")).close()

    def kill(self) -> None:
        """Kill one writer, then check everything that a crash must not touch."""
        self.kills += 1
        made = killed(self.path, f"{self.seed}-{self.path.suffix}-{self.kills}")
        self.acknowledged += made
        self.counts["kills"] += 1
        self.counts["acknowledged"] += len(made)
        torn, fragment = torn_end(self.path)
        already = len(recoveries_in(self.path))
        before = len(lines_of(self.path))
        with Ledger.open(self.path, key=OWNER.key) as book:
            book.append(Event("x.after", "", {"kill": self.kills}))
        recorded = recoveries(self.path)[already:]
        self.counts["torn ends"] += bool(torn or fragment)
        self.counts["torn entries"] += len(torn)
        self.counts["torn lines"] += bool(fragment)
        self.counts["recoveries"] += bool(recorded)
        if torn or fragment:
            hashes = [digest for data in recorded for digest in data["hashes"]]
            assert hashes[len(hashes) - len(torn) :] == torn, "torn entries that nothing records"
            side = self.path.with_name(recorded[-1]["side_file"]).read_bytes()
            assert side.rstrip(b"\n").endswith(fragment), "a torn line that nothing keeps"
        assert len(lines_of(self.path)) >= before - len(torn) - bool(fragment)
        self.check_receipts()

    def check_receipts(self) -> None:
        """Every acknowledged entry is there, at its place, with its hash; all is verified."""
        entries = walk(self.path)
        for made in self.acknowledged:
            entry = entries[made.seq]
            assert (entry["id"], entry["hash"]) == (made.id, made.hash), (
                "an acknowledged entry lost"
            )
        found = verdict(self.path)
        assert found.outcome == "VERIFIED", found.findings


def torn_end(path: Path) -> tuple[list[str], bytes]:
    """The hashes of the unsigned entries at the end, and the torn line behind them."""
    lines = lines_of(path)
    fragment = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
    torn: list[str] = []
    while lines[-1].endswith(b"null}\n"):
        torn.insert(0, unframe(lines.pop()[:-1])[1].hex())
    return torn, fragment


def recoveries_in(path: Path) -> list[bytes]:
    """The recovery entries of a ledger that may be torn."""
    return [line for line in lines_of(path) if b'"type":"ledger.recovered"' in line]
