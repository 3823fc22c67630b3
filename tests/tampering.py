"""Flip bytes of a ledger and hold the verifier to its word.

A flip must end in exit 2, or leave verdict and projections exactly as they were:
then nothing depended on that byte. There is no third way. An incomplete verdict
is allowed for one thing only, the LF that ends the file: what is missing there is
what a crash leaves too.
"""

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from forge import frame, lines_of, unframe, verdict

from ledger import Ledger
from projections import PROJECTIONS, project

DIRECT = {"line.framing", "entry.hash", "entry.json", "entry.members", "entry.version",
          "sig.invalid", "sig.presence", "store.index"}  # fmt: skip
"""Codes that stand at the very entry whose bytes were changed, and at no other."""

Flip = tuple[int, int]  # offset, mask


def projections_of(path: Path) -> dict[str, bytes]:
    """Every file that can be projected from the ledger at *path*."""
    with Ledger.open(path) as book:
        return dict(project(book.entries(), [make() for make in PROJECTIONS.values()]))


def judged(path: Path) -> dict[str, Any]:
    """The verdict as JSON, without the path."""
    said: dict[str, Any] = verdict(path).to_json()
    return {name: value for name, value in said.items() if name != "path"}


@dataclass(frozen=True)
class Bench:
    """An honest ledger and a place to put tampered copies of it."""

    honest: Path
    copy: Path

    @cached_property
    def content(self) -> bytes:
        return self.honest.read_bytes()

    @cached_property
    def verdict(self) -> dict[str, Any]:
        return judged(self.honest)

    @cached_property
    def projections(self) -> dict[str, bytes]:
        return projections_of(self.honest)

    def put(self, content: bytes) -> Path:
        """Write a tampered copy, with nothing of an earlier one beside it."""
        for suffix in ("-wal", "-shm", "-journal"):
            Path(f"{self.copy}{suffix}").unlink(missing_ok=True)
        self.copy.write_bytes(content)
        return self.copy

    def flipped(self, flips: Iterable[Flip]) -> bytes:
        content = bytearray(self.content)
        for offset, mask in flips:
            content[offset] ^= mask
        return bytes(content)

    def complaint(self, content: bytes) -> str | None:
        """What is wrong with the verifier's answer to *content*, or None."""
        said = judged(self.put(content))
        if said["exit_code"] == 2:
            return None
        if said["exit_code"] == 5 and self._only_the_last_line_feed(content):
            return None
        if said != self.verdict:
            return f"exit {said['exit_code']} and another verdict: {said['findings']}"
        if projections_of(self.copy) != self.projections:
            return "the verdict is the same, but the projections are not"
        return None

    def _only_the_last_line_feed(self, content: bytes) -> bool:
        jsonl = self.honest.suffix == ".jsonl"
        return jsonl and content[:-1] == self.content[:-1] and content[-1:] != b"\n"

    def unnamed(self, content: bytes, seqs: set[int]) -> set[int]:
        """The entries among *seqs* that the verifier does not name as changed themselves."""
        found = verdict(self.put(content)).findings
        return seqs - {finding.seq for finding in found if finding.code in DIRECT}


def masks(offset: int, seed: int) -> tuple[int, int, int]:
    """The flips of one byte: the lowest bit, the highest bit, and one seeded change."""
    return 0x01, 0x80, random.Random(seed * 1_000_003 + offset).randrange(2, 0x80)


def in_columns(lengths: list[int]) -> Iterator[list[tuple[int, int]]]:
    """Walk entries side by side: the n-th byte of each, as (entry, n)."""
    for place in range(max(lengths)):
        yield [(seq, place) for seq, length in enumerate(lengths) if place < length]


def reframe(line: bytes, **changes: Any) -> bytes:
    """Change members of an entry without a key: the hash fits again, the signature cannot."""
    import hashlib

    raw, _, sig = unframe(line.rstrip(b"\n"))
    entry = {**json.loads(raw), **changes}
    raw = json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode()
    return frame(raw, hashlib.sha256(b"\0" + raw).digest(), sig)


def payload_spans(path: Path) -> list[tuple[int, int]]:
    """Where the columns of each row lie in a SQLite file: (offset, length), by seq."""
    content = path.read_bytes()
    spans = []
    for line in lines_of(path):
        raw, digest, sig = unframe(line[:-1])
        entry = json.loads(raw)
        index = "".join(entry[name] for name in ("id", "time", "type", "subject")).encode()
        payload = raw + digest + (sig or b"") + index
        assert content.count(payload) == 1
        spans.append((content.index(payload), len(payload)))
    return spans


def zero_runs(content: bytes, least: int = 32) -> list[tuple[int, int]]:
    """Stretches of zeros: (offset, length). No page keeps anything there."""
    runs, start = [], None
    for offset, byte in enumerate(content + b"\1"):
        if byte == 0 and start is None:
            start = offset
        elif byte and start is not None:
            if offset - start >= least:
                runs.append((start, offset - start))
            start = None
    return runs
