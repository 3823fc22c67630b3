"""Flip bytes of a ledger and hold the verifier to its word.

A flip must end in exit 2, or leave verdict and projections exactly as they were:
then nothing depended on that byte. There is no third way. An incomplete verdict
is allowed for one thing only, the LF that ends the file: what is missing there is
what a crash leaves too.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from forge import compact, digest_of, frame, lines_of, unframe, verdict
from fuzzing import seeded

from ledger import Ledger
from projections import PROJECTIONS, project

DIRECT = {"line.framing", "entry.hash", "entry.json", "entry.members", "entry.version",
          "sig.invalid", "sig.presence", "store.index"}  # fmt: skip
"""Codes that stand at the very entry whose bytes were changed, and at no other."""

Flip = tuple[int, int]  # offset, mask


def projections_of(path: Path) -> dict[str, bytes]:
    """Every file that can be projected from the ledger at *path*."""
    with Ledger.open(path) as book:
        return dict(project([make() for make in PROJECTIONS.values()], book.entries()))


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

    def flip(self, offset: int, seed: int) -> Flip:
        """One of the three flips of a byte, in turn; never one that makes a LF of it."""
        mask = masks(offset, seed)[offset % 3]
        return offset, mask ^ 0x20 if self.content[offset] ^ mask == 0x0A else mask

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

    def unchanged(self, content: bytes) -> bool:
        """Whether verdict and projections of *content* are those of the honest ledger."""
        same = judged(self.put(content)) == self.verdict
        return same and projections_of(self.copy) == self.projections

    def _only_the_last_line_feed(self, content: bytes) -> bool:
        jsonl = self.honest.suffix == ".jsonl"
        return jsonl and content[:-1] == self.content[:-1] and content[-1:] != b"\n"

    def unnamed(self, content: bytes, seqs: set[int]) -> set[int]:
        """The entries among *seqs* that the verifier does not name as changed themselves."""
        found = verdict(self.put(content)).findings
        # By line and not by seq: a changed ``seq`` moves the finding with it.
        lines = {finding.line for finding in found if finding.code in DIRECT}
        return {seq for seq in seqs if seq + 1 not in lines}


def batched(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Cut *items* into pieces of *size*."""
    return (items[start : start + size] for start in range(0, len(items), size))


def masks(offset: int, seed: int) -> tuple[int, int, int]:
    """The flips of one byte: the lowest bit, the highest bit, and one seeded change."""
    return 0x01, 0x80, seeded(seed * 1_000_003 + offset).randrange(2, 0x80)


def reframe(line: bytes, **changes: Any) -> bytes:
    """Change members of an entry without a key: the hash fits again, the signature cannot."""
    raw, _, sig = unframe(line.rstrip(b"\n"))
    raw = compact({**json.loads(raw), **changes})
    return frame(raw, digest_of(raw), sig)


def relinked(lines: list[bytes], start: int) -> list[bytes]:
    """Give every entry behind *start* the ``prev`` that fits, as far as a thief can."""
    made = lines[: start + 1]
    for line in lines[start + 1 :]:
        prev = digest_of(unframe(made[-1].rstrip(b"\n"))[0]).hex()
        made.append(reframe(line, prev=prev))
    return made


def groups(path: Path) -> list[list[int]]:
    """Entries that can be changed at once, so that each must still be found by itself.

    Entry 0 and the key events go apart: under a register that they no longer fill,
    signatures of others would not be looked at.
    """
    types = [json.loads(unframe(line[:-1])[0])["type"] for line in lines_of(path)]
    keys = [seq for seq, kind in enumerate(types) if kind.startswith("key.")]
    return [[0], keys, [seq for seq in range(1, len(types)) if seq not in keys]]


def line_spans(path: Path) -> list[tuple[int, int]]:
    """Where the lines of a JSONL ledger lie, their LFs aside: (offset, length), by seq."""
    lengths = [len(line) for line in lines_of(path)]
    return [(sum(lengths[:seq]), length - 1) for seq, length in enumerate(lengths)]


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
