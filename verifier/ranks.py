"""Check the ledgers of a run's single ranks, and count its means again (capsule.md section 11).

What ties them to the run: the chief's ledger says where each of them stands, each names
the run and the chief's ledger, and what the run observed is the mean over all of them.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from verifier.findings import Fault, Findings
from verifier.measured import Metrics
from verifier.rank import (
    AtFaultError,
    Held,
    Home,
    Observed,
    check_alone,
    observations,
    wrong,
)
from verifier.runs import Run
from verifier.story import Place, RankClaim, Story
from verifier.text import listed, plural

__all__ = ["RankCount", "check_ranks", "mean"]

_LARGEST = 2.0**63  # gate.md section 1: what is not smaller counts as not finite
_NAMED = 5
_RANK_FILE = re.compile(r"(?:runs/[^/]+/)?ranks/rank-(?:0|[1-9][0-9]*)\.jsonl")


@dataclass(frozen=True, slots=True)
class RankCount:
    """How many ledgers of ranks held, and of how many runs the means were counted again."""

    ledgers: int = 0
    runs: int = 0


def check_ranks(
    root: int,
    story: Story,
    findings: Findings,
    *,
    chief: str | None,
    folder: Callable[[Run], str],
) -> RankCount:
    """Check all that ``run.rank`` claims; *chief* is the id of the ledger that *story* tells.

    *folder* says where in *root* the files of a run lie: ``""``, or a path that ends in ``/``.
    """
    ledgers = runs = 0
    read: set[str] = set()
    for subject in dict.fromkeys([*story.ranks, *_left_files(story)]):
        run = story.runs.get(subject)
        if run is None:  # the event itself made it one
            raise AssertionError(subject)
        home = Home(root, folder(run), run.run_id, chief, _world_size(run))
        claims = story.ranks.get(subject, ())
        held, faults = _check_each(claims, home, read)
        faults += _missing(claims, home, story.finished.get(subject))
        whole = not faults and len(held) == home.world_size
        faults += _recount(held, home, run) if whole else _follow(held, home)
        ledgers += len(held)
        runs += whole and not faults
        _report(findings, faults)
    return RankCount(ledgers, runs)


def _left_files(story: Story) -> Iterator[str]:
    """Yield the subjects of the runs of which the ledger of a rank is on record as a file."""
    for artifact in story.artifacts.values():
        if _RANK_FILE.fullmatch(artifact.path):
            yield artifact.subject


def _world_size(run: Run) -> int:
    """Return over how many ranks the run is spread, by its plan; 1 if that says nothing."""
    planned = run.replay().event("run.planned")
    block = None if planned is None else planned.data.get("distributed")
    return 1 if block is None else int(block["world_size_observed"])


# -- the ledger of one rank


def _check_each(
    claims: Iterable[RankClaim], home: Home, read: set[str]
) -> tuple[list["Held"], list[AtFaultError]]:
    held: dict[int, Held] = {}
    faults: list[AtFaultError] = []
    ranks: set[int] = set()
    for claim in claims:
        try:
            if claim.rank in ranks:
                raise wrong(claim, f"rank {claim.rank} was anchored before")
            ranks.add(claim.rank)
            held[claim.rank] = check_alone(claim, home, read)
        except AtFaultError as error:
            faults.append(error)
    return [held[rank] for rank in sorted(held)], faults


# -- all ranks together


def _missing(claims: Sequence[RankClaim], home: Home, finished: Place | None) -> list[AtFaultError]:
    """Name the ranks of a finished run that have no ``run.rank``."""
    if finished is None or home.world_size < 2:  # noqa: PLR2004 - one is not spread out
        return []
    there = {claim.rank for claim in claims}
    missing = home.world_size - sum(rank < home.world_size for rank in there)
    if not missing:
        return []
    ranks = (str(rank) for rank in range(home.world_size) if rank not in there)
    some = [next(ranks) for _ in range(min(missing, _NAMED))]
    more = "" if missing <= _NAMED else f" and {missing - _NAMED} more"
    said = f"the run finished without a run.rank of rank {', '.join(some)}{more}"
    return [AtFaultError(finished, Fault("artifact.missing", said))]


def _follow(held: Iterable[Held], home: Home) -> list[AtFaultError]:
    """Read what each rank says, where the means cannot be counted again."""
    faults: list[AtFaultError] = []
    for one in held:
        try:
            for _ in observations(one, home):
                pass
        except AtFaultError as error:
            faults.append(error)
    return faults


def _recount(held: Sequence[Held], home: Home, run: Run) -> list[AtFaultError]:
    """Hold what the run observed against the means over its ranks."""
    expected = Metrics()
    try:
        for number, rows in enumerate(zip_longest(*(observations(one, home) for one in held))):
            expected.add(number, *_means(held, rows))
    except AtFaultError as error:
        return [error]
    found = run.metrics
    if found.events != expected.events:
        said = f"the ranks observed {plural(expected.events, 'time')}, the run {found.events}"
    elif (seq := found.first_unlike(expected)) is not None:
        said = f"the metric.observed at seq {seq} is not the mean over the ranks"
    else:
        return []
    return [AtFaultError(held[0].claim.place, Fault("artifact.content", said))]


def _means(
    held: Sequence[Held], rows: Sequence[Observed | None]
) -> tuple[int, dict[str, float | str]]:
    """Return the iteration that all ranks observed, and the mean of each value."""
    whole = [row for row in rows if row is not None]
    first = whole[0]
    for one, row in zip(held, rows, strict=True):
        if row is None:
            raise wrong(one.claim, f"has no observation beside another's of {first.iter}")
        if row.iter != first.iter or row.values.keys() != first.values.keys():
            said = f"observed other metrics or another iteration than the others at {first.iter}"
            raise wrong(one.claim, said)
    return first.iter, {name: mean([row.values[name] for row in whole]) for name in first.values}


def mean(values: Sequence[float | str]) -> float | str:
    """Return the exact mean, rounded once to binary64; ``"NaN"`` if one value is not finite.

    A value of a magnitude of 2**63 or more counts as not finite. The sum is over integers
    with one denominator, and Python rounds the quotient of two integers once.

    >>> mean([0.1, 0.2, 0.3]), mean([1.0, "Infinity"])
    (0.2, 'NaN')
    """
    numbers = [value for value in values if isinstance(value, float) and abs(value) < _LARGEST]
    if len(numbers) < len(values):
        return "NaN"
    ratios = [value.as_integer_ratio() for value in numbers]
    scale = max(denominator for _, denominator in ratios)  # each is a power of two
    total = sum(numerator * (scale // denominator) for numerator, denominator in ratios)
    return total / (scale * len(ratios))


def _report(findings: Findings, faults: Iterable[AtFaultError]) -> None:
    """Add one finding of each code at each place."""
    messages: dict[tuple[str, Place], list[str]] = {}
    for error in faults:
        messages.setdefault((error.fault.code, error.place), []).append(error.fault.message)
    for (code, place), said in messages.items():
        findings.add(code, place.seq, place.line, listed(said, _NAMED))
