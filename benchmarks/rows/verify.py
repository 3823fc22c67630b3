"""Strict verification of large ledgers by a real process, on all cores.

The limits run on one core and do nothing but the arithmetic: no JSON, no chain, no
signature (rows of 256), or nothing but signatures.
"""

import json
from collections.abc import Iterator
from statistics import median
from typing import Any

from benchmarks import machine
from benchmarks.bench import Bench, Line, Reach, ratios
from benchmarks.make_ledger import Made, Spec
from benchmarks.measure import MEGABYTE, Spent, python, run
from benchmarks.payload import KIND

_SAMPLE = 0.01  # seconds between two looks at the memory


def verify(made: Made, *, entries: int | None = None, sample: float | None = None) -> Spent:
    """Verify as a stranger would who knows the ledger's id; demand that it holds."""
    command = python("-m", "verifier", str(made.path), "--strict", "--ledger-id", made.id, "--json")
    spent = run(command, sample=sample)
    verdict = json.loads(spent.output)
    found = (verdict["verdict"], verdict["size"], verdict["findings"])
    assert found == ("VERIFIED", entries or made.entries, []), found
    return spent


def limit(work: str, made: Made) -> dict[str, Any]:
    """Run a bare loop of ``benchmarks.limits`` over the same file."""
    loop: dict[str, Any] = json.loads(
        run(python("-m", "benchmarks.limits", work, str(made.path))).output
    )
    return loop


def run_batched(bench: Bench) -> Iterator[Line]:
    """Batches of 256, against hashing each line once."""
    count = bench.pick(200_000, 1_000_000)
    yield _hashing(bench, Spec(count), Reach("≥", 0.20))
    spec = Spec(bench.pick(50_000, 200_000), kind="gate.checked")
    yield _hashing(bench, spec, Reach("≥", None))
    bench.discard(spec)


def _hashing(bench: Bench, spec: Spec, reach: Reach) -> Line:
    kind = spec.kind if spec.kind == KIND else "metrics and gate.checked by turns"
    work = f"verify --strict, {_thousands(spec.entries)} x {kind}, batches of 256"
    made = bench.ledger(spec)
    return _against(bench, made, "sha256", reach, work=work, of="one core, sha256(line)")


def run_signed(bench: Bench) -> Iterator[Line]:
    """Every entry signed, against verifying the same signatures and nothing else."""
    spec = Spec(bench.pick(20_000, 100_000), batch=1)
    work = f"verify --strict, {_thousands(spec.entries)} entries, each signed"
    of = "one core, Ed25519 verification with cryptography"
    yield _against(bench, bench.ledger(spec), "ed25519", Reach("≥", 1.3), work=work, of=of)
    bench.discard(spec)


def _against(  # what is measured, and how the table calls it
    bench: Bench, made: Made, loop: str, reach: Reach, *, work: str, of: str
) -> Line:
    """Alternate a verification and a bare loop over the same file."""
    ours, limits = [], []
    for _ in range(bench.pick(5, 7)):
        own, bare = verify(made), limit(loop, made)
        assert bare["count"] == made.entries
        ours.append(own)
        limits.append(bare)
    each = 1e6 / made.entries
    wall, least = median([own.wall for own in ours]), median([bare["wall"] for bare in limits])
    cpu = median(ratios([own.cpu for own in ours], [bare["cpu"] for bare in limits]))
    used = median([own.cpu / own.wall for own in ours])
    return Line(
        work,
        of,
        reach,
        ratios([own.wall for own in ours], [bare["wall"] for bare in limits]),
        f"{wall * each:.2f} µs an entry against {least * each:.2f} µs;"
        f" got {used:.1f} of {machine.cores()} cores; by CPU time {cpu:.2f} x",
    )


def run_memory(bench: Bench) -> Iterator[Line]:
    """The peak of all processes together, for ids that ascend and ids that do not."""
    half = bench.pick(200_000, 1_000_000)
    small, large = Spec(half), Spec(2 * half)
    mixed = Spec(half, ids="random")
    peaks: dict[Spec, Spent] = {}
    for spec in (small, large, mixed):
        peaks[spec] = verify(bench.ledger(spec), sample=_SAMPLE)
    bench.discard(mixed)
    yield _memory(f"memory of verify, {_thousands(half)} ascending ids", peaks[small], 100)
    yield Line(
        f"memory of verify, {_thousands(2 * half)} ascending ids",
        f"the same with {_thousands(half)}",
        Reach("≤", 1.15),
        (peaks[large].peak / peaks[small].peak,),
        f"{peaks[large].peak / MEGABYTE:.0f} MB, largest single process"
        f" {peaks[large].largest / MEGABYTE:.0f} MB",
    )
    yield _memory(f"memory of verify, {_thousands(half)} random ids", peaks[mixed], 300)


def _memory(work: str, spent: Spent, most: float) -> Line:
    return Line(
        work,
        "sum over all its processes",
        Reach("≤", most, "MB"),
        (spent.peak / MEGABYTE,),
        f"largest single process {spent.largest / MEGABYTE:.0f} MB",
    )


def _thousands(number: int) -> str:
    return f"{number:,}".replace(",", " ")
