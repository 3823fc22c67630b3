"""The ledgers of single ranks and their attackers: rank.py, ranks.py (capsule.md, section 11)."""

import copy
import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from math import isfinite
from pathlib import Path
from typing import Any

import pytest

from producers.gates.ranks import RankLedger
from tests.verifier.capsule import PLANNED, RUN, Capsule, Signer
from verifier.measured import Metrics
from verifier.policy import Policy
from verifier.ranks import mean
from verifier.run import verify_path
from verifier.verdict import Verdict

Values = Mapping[str, float | str]
ROWS: tuple[tuple[Values, Values], ...] = (
    ({"loss": 0.25, "other": 1}, {"loss": 0.5, "other": 4}),
    ({"loss": 0.1, "other": -0.0}, {"loss": 0.2, "other": -0.0}),
    ({"loss": 0.75, "other": 2.0**63}, {"loss": 0.5, "other": 1.0}),
    ({"loss": "NaN", "other": 5e-324}, {"loss": 0.5, "other": 0.0}),
)
MEANS: tuple[Values, ...] = (
    {"loss": 0.375, "other": 2.5},
    {"loss": 0.15000000000000002, "other": 0.0},
    {"loss": 0.625, "other": "NaN"},
    {"loss": "NaN", "other": 0.0},
)
FINISHED = {"iters": 50, "final_loss": None}


class Spread:
    """A run over several ranks; a test changes what it likes before the run is written."""

    def __init__(self, folder: Path, world: int = 2) -> None:
        self.chief = Capsule(folder)
        self.world = world
        self.means: Sequence[Values] = MEANS
        self.ranks: dict[int, Capsule] = {}
        self.anchors: list[dict[str, Any]] = []
        self.finished = True
        self.chief.opened()

    def rank(self, rank: int, rows: Sequence[Values], /, *, name: str = "", **said: object) -> None:
        """Write the ledger of one rank, and mean to anchor it."""
        place = self.chief.folder.parent / f"rank-{rank}{name}"
        book = Capsule(place, name=f"rank-{rank}{name}")
        subject = str(said.pop("subject", f"{RUN}/rank/{rank}"))
        opened = {"run_id": "r1", "rank": rank, "world_size": self.world, "chief": self.chief.id}
        book.add("x.rank.opened", opened | said, subject=subject)
        for step, values in enumerate(rows):
            book.add("x.rank.observed", {"iter": step, "values": values}, subject=subject)
        book.add("x.rank.closed", {"iters": len(rows)}, subject=subject)
        self.put(rank, book)

    def put(self, rank: int, book: Capsule) -> None:
        self.ranks[rank] = book
        self.file(rank).parent.mkdir(exist_ok=True)
        self.file(rank).write_bytes(b"".join(book.lines))

    def file(self, rank: int) -> Path:
        return self.chief.folder / "ranks" / f"rank-{rank}.jsonl"

    def anchor(self, rank: int, /, **said: object) -> dict[str, Any]:
        book = self.ranks[rank]
        return {
            "rank": rank,
            "world_size": self.world,
            "path": f"ranks/rank-{rank}.jsonl",
            "ledger": book.id,
            "size": book.size,
            "hash": book.prev,
        } | said

    def write(self) -> "Spread":
        """Tell the chief's story, and put every file on record as it lies there."""
        block = {
            "distributed_mode": "ddp_wrapped",
            "world_size_observed": self.world,
            "backend": "gloo",
            "rank": 0,
            "local_rank": 0,
            "ddp_wrapped": True,
        }
        self.chief.add("run.planned", copy.deepcopy(PLANNED) | {"distributed": block}, by="runner")
        for step, values in enumerate(self.means):
            self.chief.add("metric.observed", {"iter": step, "values": values}, by="runner")
        for anchor in self.anchors:
            self.chief.add("run.rank", anchor)
        if self.finished:
            self.chief.add("run.finished", FINISHED, by="runner")
        self.chief.closed()
        for path in sorted(self.chief.folder.glob("ranks/*.jsonl")):
            self.chief.record(f"ranks/{path.name}", path.read_bytes())
        return self

    def verdict(self) -> Verdict:
        policy = Policy(strict=True, ledger_id=self.chief.id, checkpoints=())
        return verify_path(self.chief.folder, policy)

    def found(self) -> list[tuple[str, str]]:
        """What is wrong with files: the code, and the type of the entry where it stands.

        That nobody asked the gate, and that there is no governance log, is no matter here.
        """
        return [
            (finding.code, self._type(finding.seq))
            for finding in self.verdict().findings
            if finding.code.startswith("artifact.") and "governance_log" not in finding.message
        ]

    def said(self) -> str:
        return "\n".join(finding.message for finding in self.verdict().findings)

    def _type(self, seq: int | None) -> str:
        line = b"" if seq is None else self.chief.lines[seq]
        return line.partition(b'"type":"')[2].partition(b'"')[0].decode()


@pytest.fixture
def spread(tmp_path: Path) -> Spread:
    """Two honest ranks, not yet anchored."""
    made = Spread(tmp_path / "run")
    for rank in range(2):
        made.rank(rank, [row[rank] for row in ROWS])
    return made


def honest(spread: Spread) -> Spread:
    spread.anchors = [spread.anchor(rank) for rank in sorted(spread.ranks)]
    return spread.write()


BLAMED = [("artifact.content", "run.rank")]


def test_two_honest_ranks_are_checked_and_their_means_counted_again(spread: Spread) -> None:
    honest(spread)
    assert spread.found() == []
    checked = "\n".join(spread.verdict().checked)
    assert "ranks: not as it should be" not in checked
    assert "ranks: 2 ledgers of ranks, each whole by itself" in checked
    assert "what 1 run observed is the mean over them" in checked


def test_the_writers_own_ledgers_of_ranks_are_understood(tmp_path: Path) -> None:
    spread = Spread(tmp_path / "run", world=3)
    rng = random.Random(7)  # noqa: S311 - the same numbers each time
    rows = [[rng.gauss(0, 10.0 ** rng.randrange(-9, 9)) for _ in range(3)] for _ in range(30)]
    rows[11][2] = float("-inf")
    for rank in range(3):
        pen = RankLedger.begin(
            spread.chief.folder, "r1", rank=rank, world_size=3, chief=str(spread.chief.id)
        )
        for step, row in enumerate(rows):
            pen.observe(step, {"loss": row[rank]})
        spread.anchors.append(pen.finish(30).as_data())
        pen.close()
    spread.means = [{"loss": exact(row)} for row in rows]
    assert spread.write().found() == []
    assert "ranks: 3 ledgers of ranks" in "\n".join(spread.verdict().checked)


def exact(values: Sequence[float]) -> float | str:
    """The mean as the page says it, by fractions."""
    if not all(isfinite(value) and abs(value) < 2.0**63 for value in values):
        return "NaN"
    return float(sum(map(Fraction, values), Fraction()) / len(values))


def test_the_mean_is_the_exact_one_rounded_once() -> None:
    rng = random.Random(3)  # noqa: S311 - as above
    for _ in range(500):
        values = [
            rng.uniform(-1, 1) * 2.0 ** rng.randrange(-1074, 64) for _ in range(rng.randrange(1, 9))
        ]
        assert mean(values) == exact(values)
    assert str(mean([-0.0, -0.0])) == "0.0"


@pytest.mark.parametrize("lying", [False, True])
def test_what_is_long_is_read_the_fast_way_and_comes_out_the_same(
    tmp_path: Path,
    lying: bool,  # noqa: FBT001 - pytest passes by name
) -> None:
    """From 1 MiB on the core does not hand over what is of type x.*."""
    spread = Spread(tmp_path / "run")
    pad = {f"m{i}": 0.5 for i in range(2000)}
    rows = [{**pad, "loss": float(step)} for step in range(48)]
    for rank in range(2):
        spread.rank(rank, rows)
        assert spread.file(rank).stat().st_size > 1 << 20
    spread.means = [*rows[:-1], {**pad, "loss": 0.5}] if lying else rows
    honest(spread)
    assert spread.found() == (BLAMED if lying else [])


# -- attacks


def test_a_ledger_that_was_signed_again_by_another_key_is_not_the_anchored_one(
    spread: Spread,
) -> None:
    spread.anchors = [spread.anchor(0), spread.anchor(1)]
    forged = [row[1] for row in ROWS]
    forged[0] = {"loss": 0.0, "other": 4}
    spread.rank(1, forged, name="-forged")
    spread.write()
    assert spread.found() == BLAMED
    assert "ranks/rank-1.jsonl: does not verify: anchor.id" in spread.said()


def test_an_entry_signed_by_a_key_of_ones_own_names_the_inner_finding(spread: Spread) -> None:
    book = spread.ranks[1]
    book.keys["wrapper"] = Signer("mallory")
    book.add("x.rank.closed", {"iters": 4}, subject=f"{RUN}/rank/1")
    spread.put(1, book)
    honest(spread)
    assert spread.found() == BLAMED
    assert "does not verify: key.unknown at its line 8" in spread.said()


def test_a_changed_byte_is_found_even_if_the_file_is_put_on_record_with_it(spread: Spread) -> None:
    spread.anchors = [spread.anchor(0), spread.anchor(1)]
    content = spread.file(1).read_bytes()
    spread.file(1).write_bytes(content.replace(b'"loss":0.5', b'"loss":0.4', 1))
    spread.write()
    assert spread.found() == BLAMED
    assert "does not verify: entry.hash at its line 3" in spread.said()


def test_a_file_that_is_changed_after_the_run_is_found_twice(spread: Spread) -> None:
    honest(spread)
    spread.file(1).write_bytes(spread.file(1).read_bytes().replace(b"0.5", b"0.4", 1))
    assert sorted(spread.found()) == [
        ("artifact.checksum", "artifact.recorded"),
        ("artifact.content", "run.rank"),
    ]


@pytest.mark.parametrize("left", [1, 3, 6])
def test_a_ledger_that_was_cut_holds_fewer_entries_than_anchored(spread: Spread, left: int) -> None:
    spread.anchors = [spread.anchor(0), spread.anchor(1)]
    spread.file(1).write_bytes(b"".join(spread.ranks[1].lines[:left]))
    spread.write()
    assert spread.found() == BLAMED
    assert "expected 7 entries up to" in spread.said()


def test_a_ledger_that_went_on_holds_more_entries_than_anchored(spread: Spread) -> None:
    spread.anchors = [spread.anchor(0), spread.anchor(1)]
    spread.ranks[1].add("x.rank.observed", {"iter": 9, "values": {}}, subject=f"{RUN}/rank/1")
    spread.put(1, spread.ranks[1])
    spread.write()
    assert spread.found() == BLAMED


def test_a_file_far_longer_than_anchored_is_not_read(spread: Spread) -> None:
    spread.anchors = [spread.anchor(0), spread.anchor(1)]
    spread.file(1).write_bytes(b"\n" * 1_000_000)
    spread.write()
    assert spread.found() == BLAMED
    assert "is 1000000 bytes, more than 7 entries can be" in spread.said()


def test_ranks_that_are_swapped_say_so_themselves(spread: Spread) -> None:
    spread.ranks = {0: spread.ranks[1], 1: spread.ranks[0]}
    for rank, book in spread.ranks.items():
        spread.put(rank, book)
    honest(spread)
    assert spread.found() == BLAMED
    assert "about run/r1/rank/1, not run/r1/rank/0" in spread.said()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"run_id": "r2"}, "x.rank.opened run_id: expected r1, found r2"),
        ({"rank": 0}, "x.rank.opened rank: expected 1, found 0"),
        ({"world_size": 3}, "x.rank.opened world_size: expected 2, found 3"),
        ({"chief": "0" * 64}, "x.rank.opened chief: expected"),
        ({"chief": None}, "x.rank.opened is not understood"),
        ({"subject": "run/r2/rank/1"}, "about run/r2/rank/1, not run/r1/rank/1"),
    ],
)
def test_a_ledger_of_another_run_rank_or_chief_is_not_this_runs(
    spread: Spread, said: dict[str, object], message: str
) -> None:
    spread.rank(1, [row[1] for row in ROWS], name="-other", **said)
    honest(spread)
    assert spread.found() == BLAMED
    assert message in spread.said()


def test_a_rank_that_the_chief_leaves_out_is_missing_at_the_end(spread: Spread) -> None:
    spread.anchors = [spread.anchor(0)]
    spread.write()
    assert spread.found() == [("artifact.missing", "run.finished")]
    assert "without a run.rank of rank 1" in spread.said()


def test_leaving_out_all_ranks_is_no_way_out_while_their_files_are_there(spread: Spread) -> None:
    spread.write()
    assert spread.found() == [("artifact.missing", "run.finished")]
    assert "without a run.rank of rank 0, 1" in spread.said()


def test_a_run_over_several_processes_may_have_no_ledgers_of_ranks(tmp_path: Path) -> None:
    """The trainers of others record means alone: nothing is said of their ranks."""
    spread = Spread(tmp_path / "run").write()
    assert spread.found() == []
    assert not any(line.startswith("ranks:") for line in spread.verdict().checked)


def test_a_run_that_failed_need_not_anchor_its_ranks(spread: Spread) -> None:
    spread.finished = False
    spread.anchors = [spread.anchor(0)]
    spread.write()
    assert spread.found() == []
    checked = next(line for line in spread.verdict().checked if line.startswith("ranks:"))
    assert checked.startswith("ranks: 1 ledger of a rank")
    assert "mean" not in checked


def test_what_a_single_anchored_rank_of_a_failed_run_says_is_read_all_the_same(
    spread: Spread,
) -> None:
    spread.finished = False
    spread.rank(1, [], name="-other", chief="0" * 64)
    spread.anchors = [spread.anchor(1)]
    spread.write()
    assert spread.found() == BLAMED


def test_a_file_that_is_gone_is_missing(spread: Spread) -> None:
    spread.anchors = [spread.anchor(0), spread.anchor(1)]
    spread.file(1).unlink()
    spread.write()
    assert spread.found() == [("artifact.missing", "run.rank")]


def test_a_link_is_not_followed(spread: Spread) -> None:
    honest(spread)
    elsewhere = spread.chief.folder.parent / "elsewhere.jsonl"
    spread.file(1).rename(elsewhere)
    spread.file(1).symlink_to(elsewhere)
    assert sorted(spread.found()) == [
        ("artifact.missing", "artifact.recorded"),
        ("artifact.missing", "run.rank"),
    ]
    assert "leads through a symbolic link" in spread.said()


@pytest.mark.parametrize(
    "said",
    [
        {"path": "../run/ranks/rank-1.jsonl"},
        {"path": "/etc/passwd"},
        {"path": "ranks/rank-0.jsonl"},
        {"path": "ledger.jsonl"},
        {"rank": 2, "path": "ranks/rank-2.jsonl"},
        {"rank": 2**53 - 1},
        {"world_size": 3},
        {"size": 6},
        {"size": 0},
        {"hash": "0" * 64},
        {"ledger": "0" * 64},
        {"rank": 0},
    ],
)
def test_an_anchor_that_says_anything_else_is_at_fault(
    spread: Spread, said: dict[str, object]
) -> None:
    spread.anchors = [spread.anchor(0), spread.anchor(1, **said)]
    spread.write()
    found = spread.found()
    assert BLAMED[0] in found
    assert set(found) <= {*BLAMED, ("artifact.missing", "run.finished")}


def test_a_world_of_any_size_is_told_in_a_few_words(spread: Spread) -> None:
    spread.world = 2**53 - 1
    spread.write()
    assert "of rank 0, 1, 2, 3, 4 and 9007199254740986 more" in spread.said()


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("value", [0.5, "Infinity", 0.15])
def test_a_mean_that_lies_is_found(spread: Spread, at: int, value: float | str) -> None:
    """In row 3 a NaN on rank 0 is hidden; in row 1, 0.15 is the mean rounded twice."""
    means = [dict(values) for values in MEANS]
    means[at]["loss"] = value
    spread.means = means
    honest(spread)
    assert spread.found() == BLAMED
    assert f"the metric.observed at seq {at + 3} is not the mean over the ranks" in spread.said()


def leave_out(values: list[Values]) -> list[Values]:
    return values[:-1]


def say_more(values: list[Values]) -> list[Values]:
    return [*values, {"loss": 0.5}]


def rename(values: list[Values]) -> list[Values]:
    return [{"loss": values[0]["loss"], "another": 1.0}, *values[1:]]


@pytest.mark.parametrize("change", [leave_out, say_more, rename])
def test_every_rank_observed_what_the_run_did(
    spread: Spread, change: Callable[[list[Values]], list[Values]]
) -> None:
    spread.rank(1, change([row[1] for row in ROWS]), name="-other")
    honest(spread)
    assert spread.found() == BLAMED


@pytest.mark.parametrize("change", [leave_out, say_more, rename])
def test_the_run_observed_what_every_rank_did(
    spread: Spread, change: Callable[[list[Values]], list[Values]]
) -> None:
    spread.means = change(list(MEANS))
    honest(spread)
    assert spread.found() == BLAMED


@pytest.mark.parametrize("value", [None, "nan", True, [1.0]])
def test_an_observation_that_is_no_number_is_not_understood(spread: Spread, value: Any) -> None:
    spread.rank(1, [{"loss": value}], name="-other")
    honest(spread)
    assert spread.found() == BLAMED
    assert "x.rank.observed is not understood" in spread.said()


def test_a_ledger_without_or_with_two_openings_is_nobodys(spread: Spread) -> None:
    subject = f"{RUN}/rank/1"
    opened = {"run_id": "r1", "rank": 1, "world_size": 2, "chief": spread.chief.id}
    spread.ranks[1].add("x.rank.opened", opened, subject=subject)
    spread.put(1, spread.ranks[1])
    honest(spread)
    assert "has a second x.rank.opened" in spread.said()


def test_a_ledger_that_observes_before_it_is_opened_is_nobodys(spread: Spread) -> None:
    book = Capsule(spread.chief.folder.parent / "mute", name="mute")
    book.add("x.rank.observed", {"iter": 0, "values": {}}, subject=f"{RUN}/rank/1")
    spread.put(1, book)
    honest(spread)
    assert "has x.rank.observed before x.rank.opened" in spread.said()


def test_one_file_cannot_stand_for_two_runs(spread: Spread) -> None:
    spread.anchors = [spread.anchor(0), spread.anchor(1)]
    spread.write()
    chief = spread.chief
    chief.opened(subject="run/r2")
    block = {"world_size_observed": 2, "distributed_mode": "ddp_wrapped", "backend": None}
    block |= {"rank": 0, "local_rank": None, "ddp_wrapped": True}
    planned = PLANNED | {"distributed": block}
    chief.add("run.planned", planned, by="runner", subject="run/r2")
    chief.add("run.rank", spread.anchor(0), subject="run/r2")
    assert "belongs to another run, too" in spread.said()


def test_the_ledgers_of_a_second_run_lie_beside_its_own_summary(spread: Spread) -> None:
    """A resumed run has a directory of its own in that of the first."""
    home = spread.chief.folder
    (home / "runs").mkdir()
    (home / "ranks").rename(home / "ranks-of-r1")
    (home / "runs" / "r1").mkdir()
    (home / "ranks-of-r1").rename(home / "runs" / "r1" / "ranks")
    spread.anchors = [spread.anchor(0), spread.anchor(1)]
    spread.write()
    chief = spread.chief
    for path in sorted((home / "runs" / "r1" / "ranks").iterdir()):
        chief.record(f"runs/r1/ranks/{path.name}", path.read_bytes())
    assert [code for code, _ in spread.found()].count("artifact.missing") == 2
    summary = b"{}\n"
    chief.record("runs/r1/results_summary.json", summary, projection="summary", at=chief.size)
    assert ("artifact.missing", "run.rank") not in spread.found()
    assert BLAMED[0] not in spread.found()


def test_metrics_that_differ_once_differ_from_there_on() -> None:
    one, other = Metrics(), Metrics()
    for step, value in enumerate([1.0, 2.0, 3.0]):
        one.add(step + 10, step, {"loss": value})
        other.add(step, step, {"loss": value if step != 1 else 2.5})
    assert one.first_unlike(other) == 11
    assert one.first_unlike(one) is None


def test_the_id_of_a_rank_ledger_is_the_hash_of_its_first_entry(spread: Spread) -> None:
    """The helper's own honesty: an anchor names what format.md calls the id."""
    entry = spread.ranks[0].lines[0].removeprefix(b'{"entry":').partition(b',"hash":"')[0]
    assert spread.anchor(0)["ledger"] == hashlib.sha256(b"\0" + entry).hexdigest()
