"""Several ranks tell one run: who is who, what is averaged, and that nothing fails quietly."""

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger import Entry, Ledger, LedgerError, MisuseError
from producers.gates.distributed import RENDEZVOUS, Seat, find_seat, reopen_key
from producers.gates.ranks import RankHead, RankLedger, check_rank, mean, rank_path, read_rank
from verifier.policy import Policy
from verifier.run import verify_path

LOOP = Path(__file__).with_name("rank_loop.py")
RUN = "ab" * 16
TORCHRUN = {
    "RANK": "1",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "1",
}

Drive = Callable[..., Any]
Entries = Callable[[], list[Entry]]


def begin(outdir: Path, rank: int = 1) -> RankLedger:
    return RankLedger.begin(outdir, RUN, rank=rank, world_size=2, chief="cd" * 32)


def ranks(drive: Drive, how: str, count: int = 2) -> tuple[int, str, str]:
    """Run the loop to its end; return its exit code, output and errors."""
    process = drive([sys.executable, str(LOOP), how, str(count)])
    stdout, stderr = process.communicate(timeout=100)
    return process.returncode, stdout.decode(), stderr.decode()


def data_of(told: list[Entry], event_type: str) -> list[dict[str, Any]]:
    return [entry.data for entry in told if entry.type == event_type]


# Who is who.


def test_a_process_that_nobody_placed_has_no_seat() -> None:
    assert find_seat(None, {}) is None
    assert find_seat(2, {}) is None


def test_a_launcher_gives_each_process_its_seat() -> None:
    assert find_seat(None, TORCHRUN) == Seat(1, 2, 1, None)
    assert find_seat(2, TORCHRUN) == Seat(1, 2, 1, None)


def test_our_own_ranks_meet_in_a_directory(tmp_path: Path) -> None:
    env = {"RANK": "0", "WORLD_SIZE": "3", RENDEZVOUS: str(tmp_path)}
    assert find_seat(3, env) == Seat(0, 3, 0, tmp_path)


def test_a_world_of_one_is_no_group() -> None:
    assert find_seat(None, TORCHRUN | {"RANK": "0", "WORLD_SIZE": "1"}) is None


@pytest.mark.parametrize(
    ("asked", "change", "said"),
    [
        (3, {}, "--ranks 3, but WORLD_SIZE says that there are 2"),
        (2, {"RANK": "0", "WORLD_SIZE": "1"}, "WORLD_SIZE says that there are 1"),
        (None, {"RANK": "2"}, "cannot be"),
        (None, {"WORLD_SIZE": "1000000"}, "cannot be"),
        (None, {"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two'"),
        (None, {"RANK": "\N{ARABIC-INDIC DIGIT ONE}"}, "RANK is"),
        (None, {"LOCAL_RANK": "-1"}, "LOCAL_RANK is"),
    ],
)
def test_variables_that_contradict_are_refused(
    asked: int | None, change: dict[str, str], said: str
) -> None:
    with pytest.raises(MisuseError, match=said):
        find_seat(asked, TORCHRUN | change)


@pytest.mark.parametrize("missing", ["RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"])
def test_half_a_launcher_is_refused(missing: str) -> None:
    with pytest.raises(MisuseError):
        find_seat(None, {name: TORCHRUN[name] for name in TORCHRUN if name != missing})


def test_a_key_is_asked_of_nobody_who_was_not_handed_it() -> None:
    """Our parents, the test runner among them, were not started by a wrapper of this run."""
    env = {"LEDGER_KEY_FD": "0", "LEDGER_RUN_ID": RUN}
    reopen_key(env)
    assert env["LEDGER_KEY_FD"] == "0"


# What is averaged.


def test_a_mean_is_exact_and_the_same_in_any_order() -> None:
    values = [1e16, 1.0, -1e16, 3.0]
    assert {mean(values), mean(values[::-1]), mean([*values[1:], values[0]])} == {1.0}
    assert mean([0.1, 0.1, 0.1]) == 0.1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 2.0**63, -(2.0**63)])
def test_what_is_not_finite_on_one_rank_is_not_a_number_for_all(bad: float) -> None:
    assert math.isnan(mean([1.0, bad, 1.0]))
    assert not math.isnan(mean([1.0, math.nextafter(2.0**63, 0)]))


# A rank's own ledger.


def test_a_ranks_ledger_verifies_alone_and_stands_where_the_rank_said(tmp_path: Path) -> None:
    ledger = begin(tmp_path)
    ledger.observe(0, {"loss": 1.5, "broken": math.nan})
    said = ledger.finish(1)
    ledger.close()
    assert said == read_rank(tmp_path, 1, world_size=2)
    assert RankHead.from_bytes(said.to_bytes(), 1, world_size=2) == said
    check_rank(tmp_path, said)
    policy = Policy(strict=True, ledger_id=said.ledger, checkpoints=())
    verdict = verify_path(tmp_path / said.path, policy)
    assert (verdict.outcome, verdict.reading.size) == ("VERIFIED", said.size)
    with Ledger.open(tmp_path / said.path) as book:
        told = list(book.entries())
    assert [entry.type for entry in told[1:]] == [
        "x.rank.opened",
        "x.rank.observed",
        "x.rank.closed",
    ]
    assert told[1].data == {"run_id": RUN, "rank": 1, "world_size": 2, "chief": "cd" * 32}
    assert told[2].data == {"iter": 0, "values": {"loss": 1.5, "broken": "NaN"}}


def test_a_ranks_ledger_is_never_written_over(tmp_path: Path) -> None:
    begin(tmp_path).close()
    with pytest.raises(LedgerError):
        begin(tmp_path)


def _lose(path: Path) -> None:
    path.unlink()


def _tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def _cut(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def _garble(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"loss":1.5', b'"loss":2.5'))


@pytest.mark.parametrize("damage", [_lose, _tear, _cut, _garble])
def test_a_ranks_ledger_that_was_damaged_is_refused(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    ledger = begin(tmp_path)
    ledger.observe(0, {"loss": 1.5})
    said = ledger.finish(1)
    ledger.close()
    damage(tmp_path / rank_path(1))
    with pytest.raises(LedgerError, match="rank 1"):
        check_rank(tmp_path, said)


def test_a_ranks_ledger_that_goes_on_is_refused(tmp_path: Path) -> None:
    ledger = begin(tmp_path)
    said = ledger.finish(1)
    ledger.observe(1, {"loss": 1.5})
    ledger.close()
    with pytest.raises(LedgerError, match="the rank left it at 3 entries"):
        check_rank(tmp_path, said)


# All of it together, in real processes.


def test_three_ranks_tell_one_story_whose_means_can_be_calculated_again(
    drive: Drive, entries: Entries, capsule: Path
) -> None:
    code, stdout, stderr = ranks(drive, "well", 3)
    assert code == 0, stderr
    said = [json.loads(line) for line in stdout.splitlines()]
    assert sorted(line["rank"] for line in said) == [1, 2]
    assert [line["hidden"] for line in said] == [[], []]  # nobody else has the run's key
    told = entries()
    assert data_of(told, "run.planned")[0]["distributed"] == {
        "distributed_mode": "ddp_wrapped",
        "world_size_observed": 3,
        "backend": "gloo",
        "rank": 0,
        "local_rank": 0,
        "ddp_wrapped": True,
    }
    anchors = data_of(told, "run.rank")
    assert anchors == [read_rank(capsule, k, world_size=3).as_data() for k in range(3)]
    rows = []
    for anchor in anchors:
        with Ledger.open(capsule / anchor["path"]) as book:
            own = list(book.entries())
        assert data_of(own, "x.rank.opened")[0]["chief"] == told[0].hash
        rows.append(data_of(own, "x.rank.observed"))
    for whole, *parts in zip(data_of(told, "metric.observed"), *rows, strict=True):
        assert {part["iter"] for part in parts} == {whole["iter"]}
        assert whole["values"]["loss"] == mean([part["values"]["loss"] for part in parts])
    recorded = {entry["path"] for entry in data_of(told, "artifact.recorded")}
    assert {rank_path(k) for k in range(3)} <= recorded


def test_what_is_not_finite_on_rank_1_alone_fails_the_gate(drive: Drive, entries: Entries) -> None:
    code, _, stderr = ranks(drive, "nan")
    assert code == 0, stderr
    told = entries()
    losses = [data["values"]["loss"] for data in data_of(told, "metric.observed")]
    assert [i for i, loss in enumerate(losses) if loss == "NaN"] == [5]
    checks = data_of(told, "gate.checked")
    assert [(c["decision"], c["audit"]["reason"]) for c in checks] == [
        ("skip", "not_evaluated_insufficient_history"),
        ("fail", "nonfinite_fail"),
    ]


@pytest.mark.parametrize(
    ("how", "said", "last"),
    [
        ("die", "rank 1 was killed by SIGKILL", 4),
        ("hang", "rank 1 did not answer within 8 s", 4),
        ("run-ahead", "rank 1 measured something else: iteration 6, where rank 0 was at 5", 4),
        ("disagree", "rank 1 and rank 0 differ in their seed", None),
        ("never-join", "rank 1 ended with exit code 7", None),
        ("lose-ledger", "the ledger of rank 1 cannot be read", 7),
        ("end-badly", "rank 1 ended with exit code 9", 7),
    ],
)
def test_a_rank_that_goes_wrong_fails_the_run_and_says_how(
    drive: Drive, entries: Entries, how: str, said: str, last: int | None
) -> None:
    begun = time.monotonic()
    code, _, stderr = ranks(drive, how)
    assert code == 2
    assert said in stderr
    assert time.monotonic() - begun < 50
    told = entries()
    assert data_of(told, "run.closed")[0]["status"] == "user_code_failure"
    observed = [data["iter"] for data in data_of(told, "metric.observed")]
    assert observed == ([] if last is None else list(range(last + 1)))
    assert bool(data_of(told, "run.finished")) == (how == "end-badly")


def test_no_rank_outlives_its_chief(drive: Drive, entries: Entries) -> None:
    """It sleeps, deaf to everything but the end of the chief, and would write on later."""
    code, stdout, _ = ranks(drive, "lose-chief")
    assert code == 2
    assert data_of(entries(), "run.closed")[0]["signal"] == "SIGKILL"
    rank = Path("/proc") / str(json.loads(stdout)["pid"])
    deadline = time.monotonic() + 10
    while rank.exists() and "Z" not in (rank / "stat").read_text().rpartition(")")[2].split()[:1]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
