"""Make a large, valid JSONL ledger fast; the same seed gives the same bytes.

    python -m benchmarks.make_ledger big.jsonl --entries 1000000 --batch 256

It goes around ``Ledger`` (no lock, no flush a batch), and so is no measure of how fast
the writer is.
"""

import argparse
import base64
import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from benchmarks import payload
from ledger import DEFAULT_ROLES, Key
from ledger.batch import Draft, Place, build_batch
from ledger.entry import build_entry, entry_hash, frame_line, pae
from ledger.strictjson import encode

_POOL = 4093  # a prime, so that payloads and batches do not fall into step
_ASCENDING = "019b76da-a800-7000-8000-{:012x}"
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Spec:
    """What kind of ledger: *batch* entries a signature, ids that ascend or do not."""

    entries: int
    batch: int = 256
    ids: Literal["ascending", "random"] = "ascending"
    kind: Literal["x.gate", "gate.checked"] = "x.gate"
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Made:
    """A ledger on disk; ``ends`` are the offsets behind entry 0 and behind each batch."""

    path: Path
    id: str
    entries: int
    batch: int
    ends: tuple[int, ...]

    def cut_to(self, entries: int) -> int:
        """Shorten the file to about *entries*, at the end of a batch; return how many stay."""
        batches = min(max(1, entries // self.batch), len(self.ends) - 1)
        with self.path.open("r+b") as file:
            file.truncate(self.ends[batches])
        return min(1 + batches * self.batch, self.entries)


def make(path: Path, spec: Spec) -> Made:
    """Write the ledger that *spec* describes."""
    key = Key.from_seed(hashlib.sha256(b"benchmark %d" % spec.seed).digest(), "bench")
    rng = random.Random(spec.seed)  # noqa: S311 - repeatable, not secret
    raw = _genesis(key, spec.seed)
    digest = entry_hash(raw)
    ledger = prev = digest.hex()
    ids, drafts = _ids(spec, rng), _drafts(spec, rng)
    ends, size = [], 1
    with path.open("xb", buffering=1 << 20) as file:
        file.write(frame_line(raw, digest, key.sign(pae(raw))))
        ends.append(file.tell())
        while size < spec.entries:
            count = min(spec.batch, spec.entries - size)
            rows = build_batch(
                Place(ledger, size, prev),
                [next(drafts) for _ in range(count)],
                ids=[next(ids) for _ in range(count)],
                time=_time(size),
                key=key,
            )
            file.write(b"".join([frame_line(row.raw, row.digest, row.signature) for row in rows]))
            ends.append(file.tell())
            size, prev = size + count, rows[-1].digest.hex()
    return Made(path, ledger, spec.entries, spec.batch, tuple(ends))


def _genesis(key: Key, seed: int) -> bytes:
    public = base64.b64encode(key.public).decode()
    first = {"alg": "ed25519", "public": public, "name": key.name, "roles": ["owner"]}
    data = {
        "format": "evidence-ledger/v1",
        "name": "benchmark",
        "nonce": f"{seed:032x}",
        "roles": {role: list(patterns) for role, patterns in DEFAULT_ROLES.items()},
        "keys": [first],
    }
    return build_entry(
        ledger=None,
        seq=0,
        prev=None,
        event_id=_ASCENDING.format(0),
        time=_time(0),
        key=key.id,
        signed=True,
        event_type="ledger.created",
        subject="",
        data=encode(data),
    )


def _time(position: int) -> str:
    return f"{_BEGIN + timedelta(milliseconds=position):%Y-%m-%dT%H:%M:%S.%fZ}"


def _ids(spec: Spec, rng: random.Random) -> Iterator[str]:
    """Yield ids in the form of UUIDs, version 7 or 4."""
    if spec.ids == "random":
        while True:
            text = f"{rng.getrandbits(128):032x}"
            yield f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
    number = 0
    while True:
        number += 1
        yield _ASCENDING.format(number)


def _drafts(spec: Spec, rng: random.Random) -> Iterator[Draft]:
    """Yield the events behind entry 0."""
    if spec.kind != payload.KIND:
        for kind, data in payload.run_of(spec.entries - 1):
            yield Draft(kind, payload.SUBJECT, encode(data), None)
        return
    start = b'{"iter":0'
    # All but the first member comes from a pool, to save time.
    pool = [encode(payload.data_of(0, rng)).removeprefix(start) for _ in range(_POOL)]
    for number in range(1, spec.entries):
        text = b'{"iter":%d%b' % (number, pool[number % _POOL])
        yield Draft(spec.kind, payload.SUBJECT, text, None)


def main() -> None:
    """Make the ledger that the command line asks for, and print its id."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--entries", type=int, required=True)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--ids", choices=("ascending", "random"), default="ascending")
    parser.add_argument("--kind", choices=("x.gate", "gate.checked"), default="x.gate")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    path: Path = options.path
    del options.path
    print(make(path, Spec(**vars(options))).id)


if __name__ == "__main__":
    main()
