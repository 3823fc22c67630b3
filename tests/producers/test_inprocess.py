"""A program that records its own run: one witness, who says that there is no other."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ledger import Key, Ledger, MisuseError
from producers import record_run
from producers.gates import Plan
from producers.runs import RunSpec, run
from producers.runs.inprocess import data_source, plan_of

ROOT = Path(__file__).parents[2]
OWNER = Key.from_seed(bytes(range(32)), name="owner")


@pytest.fixture(autouse=True)
def no_wrapper(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LEDGER_")]:
        monkeypatch.delenv(name)


def events(place: Path) -> list[tuple[str, dict[str, Any]]]:
    with Ledger.open(place) as book:
        return [(e.type, e.data) for e in book.entries()]


def story(place: Path) -> list[str]:
    left_out = {"ledger.created", "artifact.recorded"}
    return [event_type for event_type, _ in events(place) if event_type not in left_out]


def of_type(place: Path, wanted: str) -> dict[str, Any]:
    (found,) = [data for event_type, data in events(place) if event_type == wanted]
    return found


def verified(place: Path) -> int:
    command = [sys.executable, "-m", "verifier", str(place)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode


def test_a_block_becomes_a_run_that_is_opened_planned_checked_and_closed(
    tmp_path: Path, plan: Plan
) -> None:
    with record_run(tmp_path / "run", preset=plan, max_iters=4, seed=7) as run:
        for i in range(4):
            run.observe(i, {"a": 0.5, "b": 1.0, "loss": 4.0 - i})
            run.check(i + 1)
    assert story(tmp_path / "run") == [
        "key.authorized",
        "run.opened",
        "run.planned",
        *["metric.observed"] * 4,
        "gate.checked",
        "run.finished",
        "key.revoked",
        "run.closed",
    ]
    assert of_type(tmp_path / "run", "run.opened")["witness"] == "in_process"
    assert of_type(tmp_path / "run", "run.planned")["seed"] == 7
    finished = of_type(tmp_path / "run", "run.finished")
    assert (finished["iters"], finished["final_loss"]) == (4, 1.0)
    closed = of_type(tmp_path / "run", "run.closed")
    assert (closed["status"], closed["exit_code"], closed["signal"]) == ("success", 0, None)
    assert verified(tmp_path / "run") == 0


def test_the_key_that_observes_may_not_open_or_close_and_is_no_longer_valid(
    tmp_path: Path, plan: Plan
) -> None:
    with record_run(tmp_path / "run", preset=plan, max_iters=4) as run:
        signer = run.session.book.key
    with Ledger.open(tmp_path / "run") as book:
        signed = {e.type: e.key for e in book.entries()}
        assert signed["run.planned"] == signed["run.finished"] == signer.id
        assert signed["run.opened"] == signed["run.closed"] == signed["ledger.created"] != signer.id
    assert of_type(tmp_path / "run", "key.revoked")["key"] == signer.id


@pytest.mark.parametrize(
    ("error", "status", "code", "name"),
    [
        (ValueError("boom"), "user_code_failure", 1, None),
        (KeyboardInterrupt(), "user_code_failure", None, "SIGINT"),
        (SystemExit(3), "user_code_failure", 3, None),
        (SystemExit("why"), "user_code_failure", 1, None),
        (SystemExit(0), "success", 0, None),
    ],
)
def test_an_exception_is_recorded_as_the_end_and_goes_on(
    tmp_path: Path, plan: Plan, error: BaseException, status: str, code: int, name: str
) -> None:
    def train() -> None:
        with record_run(tmp_path / "run", preset=plan, max_iters=4) as run:
            run.observe(0, {"a": 0.5, "b": 1.0})
            raise error

    with pytest.raises(type(error)) as caught:
        train()
    assert caught.value is error
    assert "run.finished" not in story(tmp_path / "run")
    closed = of_type(tmp_path / "run", "run.closed")
    assert (closed["status"], closed["exit_code"], closed["signal"]) == (status, code, name)
    failed = status != "success"
    assert closed["reason"] == (type(error).__name__ if failed else None)  # never its text
    assert verified(tmp_path / "run") == 0


def test_a_preset_and_single_controls_are_recorded_as_what_they_are(tmp_path: Path) -> None:
    with record_run(tmp_path / "run", preset="short_v0", max_iters=1, warmup=40, window=20) as run:
        assert run.plan.warmup == 40
    planned = of_type(tmp_path / "run", "run.planned")
    assert planned["gate"]["preset"] == "short_v0"
    assert planned["overrides"] == {"warmup": 40}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"preset": "tuned_v1"}, "did you mean tuned_v0"),
        ({"windw": 50}, "did you mean window"),
        ({"window": 50.5}, "not an integer"),
    ],
)
def test_a_gate_that_cannot_be_is_refused_before_anything_is_made(
    tmp_path: Path, arguments: dict[str, Any], said: str
) -> None:
    manager = record_run(tmp_path / "run", max_iters=1, **arguments)
    with pytest.raises(MisuseError, match=said), manager:
        pass
    assert not (tmp_path / "run").exists()


def test_the_preset_that_the_wrapper_was_asked_for_is_the_default_and_the_only_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("KEY_FD", "PATH", "RUN_ID", "OUTDIR"):
        monkeypatch.setenv(f"LEDGER_{name}", "1")
    monkeypatch.setenv("LEDGER_GATE_PRESET", "short_v0")
    assert plan_of(None, {}).preset == plan_of("short_v0", {}).preset == "short_v0"
    with pytest.raises(MisuseError, match="asked for gate preset short_v0, not tuned_v0"):
        plan_of("tuned_v0", {})
    monkeypatch.delenv("LEDGER_KEY_FD")  # what a wrapper left behind does not count
    assert plan_of(None, {}).preset == "tuned_v0"


def test_a_plan_of_ones_own_is_not_overridden(tmp_path: Path, plan: Plan) -> None:
    manager = record_run(tmp_path / "run", preset=plan, max_iters=1, window=8)
    with pytest.raises(MisuseError, match="changed where it is made"), manager:
        pass


def test_without_a_directory_and_a_wrapper_there_is_nowhere_to_record() -> None:
    with pytest.raises(MisuseError, match="ledger run KIND"), record_run(max_iters=1):
        pass


def test_the_owners_key_adds_runs_to_a_ledger_and_nobody_else_does(
    tmp_path: Path, plan: Plan
) -> None:
    place = tmp_path / "run"
    for _ in range(2):
        with record_run(place, preset=plan, max_iters=1, key=OWNER):
            pass
    assert story(place).count("run.closed") == 2
    for key, said in ((None, "holds a ledger already"), (Key.generate("x"), "owns this ledger")):
        size = len(events(place))
        with (
            pytest.raises(MisuseError, match=said),
            record_run(place, preset=plan, max_iters=1, key=key),
        ):
            pass
        assert len(events(place)) == size
    assert verified(place) == 0


def test_a_run_can_go_into_a_ledger_that_lies_elsewhere(tmp_path: Path, plan: Plan) -> None:
    with record_run(tmp_path / "one", preset=plan, max_iters=1, key=OWNER) as first:
        pass
    with record_run(
        tmp_path / "two", preset=plan, max_iters=1, key=OWNER, ledger=tmp_path / "one"
    ) as second:
        assert second.ledger_id == first.ledger_id
        assert second.outdir == tmp_path / "two"
    assert story(tmp_path / "one").count("run.closed") == 2
    assert not (tmp_path / "two" / "ledger.sqlite").exists()


def test_the_directory_of_another_run_is_refused(tmp_path: Path, plan: Plan) -> None:
    (tmp_path / "results.json").write_text("{}")
    with (
        pytest.raises(MisuseError, match="artifacts of another run"),
        record_run(tmp_path, preset=plan, max_iters=1),
    ):
        pass


def test_projected_files_are_written_and_recorded_at_the_end(tmp_path: Path, plan: Plan) -> None:
    def finalize(book: Ledger, outdir: Path) -> dict[str, bytes]:
        closed = [e for e in book.entries() if e.type == "run.closed"]
        return {"report.md": f"{len(closed)} closed in {outdir.name}".encode()}

    with record_run(tmp_path / "run", preset=plan, max_iters=1, finalize=finalize) as run:
        (run.outdir / "weights.bin").write_bytes(b"w")
    assert (tmp_path / "run" / "report.md").read_text() == "1 closed in run"
    recorded = {
        data["path"]: data["projection"]
        for event_type, data in events(tmp_path / "run")
        if event_type == "artifact.recorded"
    }
    assert recorded.items() >= {"report.md": "report", "weights.bin": None}.items()


def test_the_data_is_recorded_by_its_digest(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_bytes(b"hello")
    digest = hashlib.sha256(b"hello").hexdigest()
    assert data_source(tmp_path / "corpus.txt") == {
        "name": "corpus.txt",
        "sha256": digest,
        "bytes": 5,
    }
    assert data_source(b"hello") == {"name": "bytes", "sha256": digest, "bytes": 5}
    assert data_source({"name": "c", "sha256": digest, "bytes": 5})["name"] == "c"
    assert data_source(None)["name"] == "not named"
    with pytest.raises(MisuseError, match="cannot be read"):
        data_source(tmp_path / "missing")


PROGRAM = """
import sys, time
from producers import record_run
with record_run(sys.argv[1] if len(sys.argv) > 1 else None, preset="short_v0", max_iters=40) as run:
    print(run.session.run_id, flush=True)
    for i in range(40):
        run.observe(i, {"loss": 1.0 / (i + 1)})
        run.check(i + 1)
    if sys.argv[-1] == "hang":
        print("hanging", flush=True)
        time.sleep(60)
"""


def test_under_a_wrapper_the_same_program_records_into_the_wrappers_run(
    tmp_path: Path, capsule: Path, key: Key
) -> None:
    (tmp_path / "loop.py").write_text(PROGRAM)
    spec = RunSpec(
        kind="mine",
        argv=(sys.executable, str(tmp_path / "loop.py")),
        outdir=capsule,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with Ledger.open(capsule, key=key) as book:
        outcome = run(spec, book)
    assert outcome.status == "success"
    assert of_type(capsule, "run.opened").get("witness", "process") == "process"
    assert story(capsule).count("run.opened") == story(capsule).count("run.closed") == 1
    assert (capsule / "runner_output.log").read_text().split() == [outcome.run_id]


def test_a_program_that_was_killed_leaves_its_checks_and_an_open_run(tmp_path: Path) -> None:
    (tmp_path / "loop.py").write_text(PROGRAM)
    place = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "loop.py"), str(place), "hang"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert story(place).count("gate.checked") == 2
    assert "run.closed" not in story(place)
    assert verified(place) == 5


def test_recording_takes_little_of_a_loop(tmp_path: Path) -> None:
    """A thousand iterations, all observed, ten windows of the canonical gate."""
    begun = time.perf_counter()
    with record_run(tmp_path / "run", max_iters=1000) as run:
        for i in range(1000):
            run.observe(i, {"loss": 1.0 / (i + 1)})
            run.check(i + 1)
        inside = run.overhead_s
    assert inside < time.perf_counter() - begun
    assert story(tmp_path / "run").count("metric.observed") == 200
    said = json.loads(json.dumps(of_type(tmp_path / "run", "run.finished")))
    assert 0 < said["overhead_s"] < 60
