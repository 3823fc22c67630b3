"""Runs that are killed: what was recorded before the blow is there, and verifies.

Real commands, real processes, real signals. What a run leaves is VERIFIED (0) or
INCOMPLETE (5), and never REFUTED.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from witnessed import (
    HELD,
    INCOMPLETE,
    PARTIAL,
    ROOT,
    STORY,
    TOLD,
    Runs,
    children,
    command_of,
    is_alive,
    read_until,
    story,
    until,
)

trainer = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("transformers") is None, reason="it trains"
)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_a_fifo_in_the_place_of_the_streamed_log_holds_nobody_up(runs: Runs) -> None:
    trap = 'rm -f "$LEDGER_OUTDIR/$0"; mkfifo "$LEDGER_OUTDIR/$0"; exec "$@"'
    done = runs.run("--", "sh", "-c", trap, "governance_log.jsonl", *story("whole")[1:])
    assert done.returncode == 0
    assert "governance_log.jsonl could not be streamed" in done.stdout
    assert runs.verdict() == HELD


@pytest.mark.parametrize("how", ["sigkill", "sigterm"])
def test_a_killed_runner_leaves_a_whole_capsule_that_says_so(runs: Runs, how: str) -> None:
    """Planned and closed: a full capsule, of a run that failed."""
    assert runs.run(*story(how)).returncode == 2
    assert runs.told() == [*TOLD, "run.closed"]
    assert runs.closed()["signal"] == how.upper()
    assert (runs.summary()["run_status"], runs.summary()["partial"]) == ("user_code_failure", False)
    assert runs.verdict() == HELD


def test_a_runner_that_runs_out_of_memory_leaves_a_whole_capsule(runs: Runs) -> None:
    done = runs.run(*story("grow"))
    assert done.returncode == 2
    assert "MemoryError" in done.stderr
    assert runs.told() == [*TOLD, "run.closed"]
    assert runs.verdict() == HELD


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"]
)
def test_a_signal_to_the_wrapper_ends_the_runner_and_finishes_the_capsule(
    runs: Runs, number: signal.Signals, code: int
) -> None:
    process = runs.start(*story("hang"))
    read_until(process.stdout, b"told")
    process.send_signal(number)
    assert process.wait(60) == code
    assert runs.closed()["reason"] == f"{number.name} to the wrapper"
    assert runs.told() == [*TOLD, "run.closed"]
    assert runs.verdict() == HELD


def test_a_runner_deaf_to_signals_is_killed_in_the_end(runs: Runs) -> None:
    process = runs.start("--grace", "0.3", *story("ignore"))
    read_until(process.stdout, b"deaf")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert runs.closed()["signal"] == "SIGKILL"
    assert runs.verdict() == HELD


@pytest.fixture
def orphaned(runs: Runs) -> Iterator[tuple[Runs, int]]:
    """A run whose wrapper was killed while it went on, and the runner's process."""
    process = runs.start("--grace", "1", *story("go-on"), start_new_session=True)
    read_until(process.stdout, b"told")
    log = runs.outdir / "governance_log.jsonl"
    until(lambda: log.exists() and log.read_bytes().count(b"gate_decision_v1") >= 2)
    (runner,) = [p for p in children(process.pid) if b"tell_story" in command_of(p)]
    os.killpg(process.pid, signal.SIGKILL)  # with everything that shares its group
    process.wait()
    yield runs, runner
    if is_alive(runner):
        os.kill(runner, signal.SIGKILL)


def test_a_runner_does_not_outlive_its_wrapper(orphaned: tuple[Runs, int]) -> None:
    """It would train on unwitnessed, and nobody would record its end."""
    _, runner = orphaned
    until(lambda: not is_alive(runner))


def test_a_killed_wrapper_leaves_a_partial_capsule_up_to_the_last_gate(
    orphaned: tuple[Runs, int],
) -> None:
    runs, runner = orphaned
    until(lambda: not is_alive(runner))
    assert runs.told()[: len(TOLD)] == TOLD
    assert "run.closed" not in runs.told()
    assert runs.verdict() == INCOMPLETE
    files = {*PARTIAL, "governance_log.jsonl", "environment.txt", "runner_output.log"}
    assert runs.files() >= files
    assert not runs.files() & {"results.json", "first_fail_iter.txt"}
    summary = runs.summary()
    assert (summary["partial"], summary["final_decision"]) == (True, "skip")
    assert set(summary["counts"].values()) == {0}
    config = json.loads((runs.outdir / "run_config_resolved.json").read_bytes())
    assert config["lifecycle_state"] == "STARTED"
    assert Path(config["run"]["outdir"]) == runs.outdir
    # What was streamed is a beginning of what the ledger gives.
    command = [sys.executable, "-m", "cli", "project", str(runs.outdir), "governance"]
    whole = subprocess.run(command, cwd=ROOT, env=runs.env, capture_output=True, check=True).stdout
    streamed = (runs.outdir / "governance_log.jsonl").read_bytes()
    assert whole.startswith(streamed)
    assert streamed.count(b"gate_decision_v1") >= 2


def test_a_wrapper_and_its_guard_may_be_killed_together(runs: Runs) -> None:
    """Then nobody is left to end the runner; what it goes on to record still verifies."""
    process = runs.start(*story("go-on"))
    read_until(process.stdout, b"told")
    family = children(process.pid)
    (runner,) = [p for p in family if b"tell_story" in command_of(p)]
    for pid in [p for p in family if p != runner] + [process.pid]:
        os.kill(pid, signal.SIGKILL)
    process.wait()
    assert len(family) == 2
    count = len(runs.entries())
    until(lambda: len(runs.entries()) > count)
    os.kill(runner, signal.SIGKILL)
    until(lambda: not is_alive(runner))
    assert runs.verdict() == INCOMPLETE


def test_the_governance_log_grows_gate_by_gate(runs: Runs) -> None:
    process = runs.start(*story("go-on"))
    log = runs.outdir / "governance_log.jsonl"
    until(lambda: log.exists() and log.read_bytes().count(b"gate_decision_v1") >= 1)
    first = log.read_bytes()
    until(lambda: log.read_bytes().count(b"gate_decision_v1") >= 3)
    assert log.read_bytes().startswith(first)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert log.read_bytes().startswith(first)
    assert runs.verdict() == HELD


def test_stop_on_fail_ends_a_foreign_runner_at_the_first_fail(runs: Runs) -> None:
    """It gets SIGTERM, and why is on record; it would have gone on for minutes."""
    done = runs.run("--stop-on-fail", "--json", *story("go-on"))
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["runner_signal"]) == (2, "SIGTERM")
    assert answer["final_decision"] == "fail"
    first = answer["first_fail_iter"]
    assert runs.closed()["reason"] == f"gate fail at iteration {first}"
    last = max(e.data["iter"] for e in runs.entries() if e.type == "metric.observed")
    assert last < 200
    assert runs.verdict() == HELD


def test_without_it_a_fail_stops_nothing(runs: Runs) -> None:
    process = runs.start(*story("go-on"))
    log = runs.outdir / "governance_log.jsonl"
    deadline = time.monotonic() + 30
    while not (log.exists() and log.read_bytes().count(b'"decision":"fail"') >= 2):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert process.poll() is None
    process.terminate()
    assert process.wait(60) == 143


def test_a_run_whose_wrapper_was_killed_is_closed_when_another_goes_on_from_it(runs: Runs) -> None:
    runs.env["LEDGER_HF_RUNNER_CMD"] = f"{sys.executable} {STORY} save-and-go-on"
    process = runs.start("--grace", "1", kind="hf")
    read_until(process.stdout, b"saved")
    checkpoint = runs.outdir / "checkpoint-8"
    runs.env["LEDGER_HF_RUNNER_CMD"] = f"{sys.executable} {STORY} finish"
    early = runs.run("--resume", str(checkpoint), kind="hf")
    assert (early.returncode, "still goes on" in early.stderr) == (64, True)
    (runner,) = [p for p in children(process.pid) if b"tell_story" in command_of(p)]
    process.kill()
    process.wait()
    until(lambda: not is_alive(runner))
    assert runs.verdict() == INCOMPLETE
    done = runs.run("--resume", str(checkpoint), "--json", kind="hf")
    assert done.returncode == 0, done.stderr
    assert "was left open" in done.stderr
    told = runs.entries()
    first, second = [e.subject for e in told if e.type == "run.opened"]
    ends = {e.subject: e.data for e in told if e.type == "run.closed"}
    assert (ends[first]["status"], ends[second]["status"]) == ("wrapper_failure", "success")
    assert "the wrapper was killed" in ends[first]["reason"]
    keys = {e.data["key"] for e in told if e.type == "key.revoked"}
    assert keys == {e.data["runner_key"] for e in told if e.type == "run.opened"}
    assert runs.summary()["run_status"] == "veriscope_failure"
    place = runs.outdir / "runs" / second.removeprefix("run/")
    assert json.loads(done.stdout)["outdir"] == str(place)
    assert json.loads((place / "results_summary.json").read_bytes())["run_status"] == "success"
    recorded = {e.data["path"] for e in told if e.type == "artifact.recorded"}
    assert {"results.json", "checkpoint-8/weights"} <= recorded
    assert f"runs/{place.name}/results.json" in recorded
    assert runs.verdict() == HELD


def test_a_checkpoint_that_was_changed_is_not_gone_on_from(runs: Runs) -> None:
    runs.env["LEDGER_HF_RUNNER_CMD"] = f"{sys.executable} {STORY} save-and-finish"
    assert runs.run(kind="hf").returncode == 0
    checkpoint = runs.outdir / "checkpoint-8"
    (checkpoint / "weights").write_bytes(b"v" * 100)
    count = len(runs.entries())
    done = runs.run("--resume", str(checkpoint), kind="hf")
    assert done.returncode == 64
    assert "its files are not those that were saved" in done.stderr
    assert len(runs.entries()) == count


@trainer
def test_a_real_training_that_loses_its_wrapper_stops_and_leaves_its_gates(runs: Runs) -> None:
    options = (
        "--gate-preset",
        "demo_v0",
        "--",
        "--max-iters",
        "3000",
        "--width",
        "16",
        "--layers",
        "1",
    )
    process = runs.start("--grace", "2", *options, kind="gpt")
    log = runs.outdir / "governance_log.jsonl"
    until(lambda: log.exists() and log.read_bytes().count(b"gate_decision_v1") >= 2)
    (runner,) = [p for p in children(process.pid) if b"producers.gates.gpt" in command_of(p)]
    process.kill()
    process.wait()
    until(lambda: not is_alive(runner))
    told = runs.told()
    assert told[:2] == ["run.opened", "run.planned"]
    assert told.count("gate.checked") >= 2
    assert not {"run.finished", "run.closed"} & set(told)
    assert runs.verdict() == INCOMPLETE


@trainer
def test_our_own_runner_stops_by_itself_at_the_check_that_failed(runs: Runs) -> None:
    """It was told, so it ends well: no signal, and an exit code of 0."""
    gate = ("--gate-epsilon", "0", "--gate-warmup", "0", "--gate-persistence", "1")
    size = ("--max-iters", "300", "--width", "16", "--layers", "1", "--threads", "1")
    done = runs.run(
        "--gate-preset", "demo_v0", "--stop-on-fail", "--json", "--", *gate, *size, kind="gpt"
    )
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["status"]) == (0, "success"), done.stderr
    finished = next(e.data for e in runs.entries() if e.type == "run.finished")
    assert finished["iters"] == answer["first_fail_iter"] < 300
    assert finished["stopped"]
    assert runs.verdict() == HELD


def test_what_the_runner_plants_under_our_names_is_said_and_refuted(runs: Runs) -> None:
    plant = 'echo "{}" > "$LEDGER_OUTDIR/manual_judgement.json"'
    done = runs.run("--", "sh", "-c", plant)
    assert done.returncode == 0
    assert "manual_judgement.json: the runner wrote it, under a name that is ours" in done.stdout
    command = [sys.executable, "-m", "verifier", str(runs.outdir)]
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert found.returncode == 2
    assert "artifact.content" in found.stdout


def test_a_path_that_is_taken_costs_the_other_files_nothing(runs: Runs) -> None:
    done = runs.run("--", "sh", "-c", 'mkdir "$LEDGER_OUTDIR/timeline.txt"')
    assert done.returncode == 3
    assert "timeline.txt" in done.stderr
    assert (runs.outdir / "report.md").is_file()
    assert (runs.outdir / "results_summary.json").is_file()
