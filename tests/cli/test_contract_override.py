"""``override``: who may judge a run, what is recorded, and what the files then say."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_shell import Command, Finished, command_line, environment, shell

from cli import keys
from ledger import Key, Ledger
from producers import record_run
from projections import run_directory

RUNNER = Path(__file__).with_name("cli_runner.py")
ALL_STRICT = ("--strict-governance", "--require-governance", "--strict-identity")


def record(place: Path, how: str) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEDGER_KEY", str(place / "key"))
        line = ("run", "test", "--outdir", place / "run", "--", sys.executable, RUNNER, how)
        shell(*line)
    return place


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("recorded"), "fail")


@pytest.fixture
def run(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A capsule of one's own whose gate failed; the user is its owner."""
    place = shutil.copytree(recorded, tmp_path / "copy")
    monkeypatch.setenv("LEDGER_KEY", str(place / "key"))
    return place / "run"


@pytest.fixture
def reviewer(run: Path, tmp_path: Path, call: Command) -> Path:
    """A key that the owner let in as a reviewer."""
    place = tmp_path / "reviewer"
    keys.make(place, name="ada")
    done = call("key", "authorize", run, place.with_name("reviewer.pub"), "--role", "reviewer")
    assert done.code == 0, done.err
    return place


def judge(call: Command, run: Path, *options: object, status: str = "pass") -> Finished:
    return call("override", run, "--status", status, "--reason", "a known data switch", *options)


def last(run: Path) -> tuple[str, str, dict[str, object]]:
    with Ledger.open(run) as book:
        *_, entry = book.entries()
        name = book.register.keys[entry.key].name
    return entry.type, name, entry.data


def test_a_reviewers_judgement_is_an_event_under_their_own_key(
    run: Path, reviewer: Path, call: Command
) -> None:
    done = judge(call, run, "--reviewer", "Ada L.", "--key-file", reviewer)
    assert done.code == 0, done.err
    assert done.out.startswith("judged: pass\n")
    said = {"status": "pass", "reason": "a known data switch", "reviewer": "Ada L."}
    assert last(run) == ("governance.judged", "ada", said)
    judgement = json.loads((run / "manual_judgement.json").read_text())
    assert {name: judgement[name] for name in said} == said
    line = json.loads((run / "manual_judgement.jsonl").read_text())
    assert (line["rev"], line["status"]) == (1, "pass")
    *_, logged = (run / "governance_log.jsonl").read_text().splitlines()
    assert json.loads(logged)["event"] == "manual_judgement_set"


def test_the_files_say_when_it_was_recorded_whatever_date_the_reviewer_gives(
    run: Path, call: Command
) -> None:
    done = judge(call, run, "--ts-utc", "2020-02-02T02:02:02+02:00")
    assert done.code == 0, done.err
    judgement = json.loads((run / "manual_judgement.json").read_text())
    assert not judgement["ts_utc"].startswith("2020")
    assert judgement["reason"] == (
        "a known data switch [dated by the reviewer: 2020-02-02T00:02:02Z]"
    )


def test_a_judged_capsule_verifies_validates_and_reports_the_judgement(
    run: Path, call: Command
) -> None:
    assert judge(call, run).code == 0
    assert call("verify", run).code == 0
    done = call("validate", run, *ALL_STRICT)
    assert done.code == 0, done.err
    answer = json.loads(call("diff", run, run, "--json").out)["run_a"]
    assert (answer["final_decision"], answer["effective_decision"]) == ("fail", "pass")
    assert "MANUAL PASS" in call("report", run).out


def test_a_second_judgement_needs_force(run: Path, call: Command) -> None:
    assert judge(call, run).code == 0
    done = judge(call, run, status="fail")
    assert (done.code, done.out) == (2, "")
    assert "is judged already" in done.err
    assert "--force" in done.err
    assert judge(call, run, "--force", status="fail").code == 0
    assert json.loads((run / "manual_judgement.json").read_text())["status"] == "fail"
    assert len((run / "manual_judgement.jsonl").read_text().splitlines()) == 2
    assert call("verify", run).code == 0


def test_a_judgement_can_be_taken_back_and_nothing_stands_then(run: Path, call: Command) -> None:
    assert judge(call, run).code == 0
    done = call("override", run, "--clear", "--reason", "it was another run")
    assert done.code == 0, done.err
    assert last(run)[0] == "governance.cleared"
    assert not (run / "manual_judgement.json").exists()
    answer = json.loads(call("diff", run, run, "--json").out)["run_a"]
    assert (answer["effective_decision"], answer["decision_source"]) == ("fail", "automated")
    assert call("verify", run).code == 0
    assert call("validate", run, *ALL_STRICT).code == 0
    assert judge(call, run).code == 0, "what was taken back is judged anew without force"


def test_two_who_judge_at_once_leave_files_that_tell_of_both(run: Path, call: Command) -> None:
    words = ("override", run, "--status", "fail", "--force", "--reason")
    several = [
        subprocess.Popen(
            command_line(*words, f"number {number}"),
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for number in range(4)
    ]
    ends = [(each.communicate(timeout=60)[1], each.returncode) for each in several]
    assert {code for _, code in ends} <= {0, 64}, ends
    judged = sum(code == 0 for _, code in ends)
    assert len((run / "manual_judgement.jsonl").read_text().splitlines()) == judged >= 1
    assert call("verify", run).code == 0


def test_there_must_be_something_to_take_back(run: Path, call: Command) -> None:
    done = call("override", run, "--clear")
    assert done.code == 2
    assert done.err.startswith("error: Cannot clear: no judgement stands over run ")


def test_a_key_without_the_role_may_not_judge_and_learns_how(
    run: Path, tmp_path: Path, call: Command
) -> None:
    keys.make(tmp_path / "stranger", name="eve")
    before = (run / "governance_log.jsonl").read_bytes()
    done = judge(call, run, "--key", tmp_path / "stranger")
    assert (done.code, done.out) == (4, "")
    assert "ledger key authorize DIR KEY.pub --role reviewer" in done.err
    assert not (run / "manual_judgement.json").exists()
    assert (run / "governance_log.jsonl").read_bytes() == before


def test_a_partial_run_cannot_be_judged(
    tmp_path: Path, call: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = record(tmp_path, "healthy")
    (place / "run" / "results.json").unlink()
    monkeypatch.setenv("LEDGER_KEY", str(place / "key"))
    done = judge(call, place / "run")
    assert done.code == 2
    assert "results.json not found" in done.err


def test_a_run_that_was_never_closed_cannot_be_judged(
    tmp_path: Path, key: object, call: Command
) -> None:
    del key
    place = tmp_path / "run"
    with record_run(place, max_iters=10, key=Key.from_file(tmp_path / "home" / "key")) as run:
        done = judge(call, place)
        assert done.code == 2
        assert "is partial: it was never planned or never closed" in done.err
        run.observe(0, {"loss": 1.0})


def test_one_of_several_runs_is_judged_by_its_name(tmp_path: Path, key: Key, call: Command) -> None:
    ids = []
    for name in ("a", "b"):
        with record_run(
            tmp_path / name, max_iters=10, key=key, ledger=tmp_path / "book.sqlite"
        ) as run:
            ids.append(run.session.run_id)
    place = tmp_path / "both"
    place.mkdir()
    (tmp_path / "book.sqlite").rename(place / "ledger.sqlite")
    assert call("project", place, "all", "--out", f"{place}/").code == 0
    done = judge(call, place)
    assert done.code == 64
    assert "name one with --run" in done.err
    done = judge(call, place, "--run", ids[1])
    assert done.code == 0, done.err
    judged = place / run_directory(ids[1]) / "manual_judgement.json"
    assert json.loads(judged.read_text())["run_id"] == ids[1]
    assert not (place / run_directory(ids[0]) / "manual_judgement.json").exists()


def test_files_without_a_ledger_cannot_be_judged(
    tmp_path: Path, call: Command, key: object
) -> None:
    del key
    done = judge(call, tmp_path)
    assert done.code == 2
    assert "holds no ledger; a judgement is a signed event" in done.err


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--status", "pass"),
        ("--status", "maybe", "--reason", "x"),
        ("--status", "pass", "--clear", "--reason", "x"),
        ("--status", "pass", "--reason", " "),
        ("--status", "pass", "--reason", "x" * 5000),
        ("--status", "pass", "--reason", "x", "--ts-utc", "soon"),
        ("--status", "pass", "--reason", "x", "--run", "other"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_a_usage_error_and_writes_nothing(
    words: tuple[str, ...], run: Path, call: Command
) -> None:
    size = (run / "ledger.sqlite").stat().st_size
    assert call("override", run, *words).code == 64
    assert (run / "ledger.sqlite").stat().st_size == size
    assert not (run / "manual_judgement.json").exists()


def test_the_answer_for_programs_names_the_entry_and_the_files(run: Path, call: Command) -> None:
    answer = json.loads(judge(call, run, "--json").out)
    with Ledger.open(run) as book:
        assert answer["seq"] == book.size - 1
    assert answer["files"] == [
        "governance_log.jsonl", "manual_judgement.json", "manual_judgement.jsonl",
    ]  # fmt: skip


def test_a_judgement_that_someone_wrote_into_the_file_is_found(run: Path, call: Command) -> None:
    assert judge(call, run, status="fail").code == 0
    path = run / "manual_judgement.json"
    path.write_text(path.read_text().replace('"fail"', '"pass"'))
    done = call("validate", run)
    assert done.code == 2
    assert done.err.startswith("INVALID: ERROR:LEDGER_REFUTED ")
