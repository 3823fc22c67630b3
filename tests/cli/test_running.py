"""``run``, ``project``, ``verify``, ``demo``: a run recorded, projected and judged."""

import importlib.util
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_shell import Command, Finished, command_line, environment, shell

from ledger import Key, Ledger

RUNNER = Path(__file__).with_name("cli_runner.py")


def run(outdir: Path, how: str, *options: object) -> Finished:
    return shell("run", "test", "--outdir", outdir, *options, "--", sys.executable, RUNNER, how)


@pytest.fixture(scope="module")
def failed_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A run whose gate failed, recorded once for all tests that only read it."""
    place = tmp_path_factory.mktemp("failed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEDGER_KEY", str(place / "key"))
        done = run(place / "run", "fail", "--json")
    assert done.code == 0, done.err
    return place / "run", json.loads(done.out)


def test_a_run_is_recorded_projected_and_verifies(
    failed_run: tuple[Path, dict[str, object]], call: Command
) -> None:
    folder, answer = failed_run
    assert answer["schema"] == "evidence-ledger/run/v1"
    assert (answer["status"], answer["runner_exit_code"]) == ("success", 0)
    assert (answer["final_decision"], answer["first_fail_iter"]) == ("fail", 20)
    done = call("verify", folder, "--strict", "--ledger-id", answer["ledger"], "--json")
    verdict = json.loads(done.out)
    assert (done.code, verdict["verdict"], verdict["exit_code"]) == (0, "VERIFIED", 0)
    assert verdict["runs"][0]["final_decision"] == "fail"
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "ledger.sqlite", "results.json", "results_summary.json", "window_signature.json",
        "report.md", "report.txt", "timeline.txt", "first_fail_iter.txt", "runner_output.log",
        "run_config_resolved.json", "governance_log.jsonl", "environment.txt",
    }  # fmt: skip


def test_the_runners_words_and_ours_stay_apart(tmp_path: Path) -> None:
    done = run(tmp_path / "run", "healthy")
    assert done.code == 0
    told, *ours = done.out.splitlines()
    assert told == "trained"
    assert ours[0].startswith("run:        ")
    assert ours[1] == "gate:       pass"
    assert ours[-1].startswith(f"verify: ledger verify {tmp_path / 'run'} --ledger-id ")
    done = run(tmp_path / "other", "healthy", "--json")
    assert "trained" in done.err
    assert json.loads(done.out)["exit_code"] == 0


@pytest.mark.parametrize(
    ("how", "limit", "code"),
    [
        ("healthy", "warn", 0),
        ("warn", "warn", 1),
        ("warn", "fail", 0),
        ("fail", "fail", 1),
        ("fail", "warn", 1),
    ],
)
def test_a_gate_decision_counts_only_if_it_is_told_to(
    how: str, limit: str, code: int, tmp_path: Path
) -> None:
    assert run(tmp_path / "run", how, "--fail-on", limit).code == code


def test_a_crash_is_exit_2_and_on_record(tmp_path: Path) -> None:
    done = run(tmp_path / "run", "crash", "--fail-on", "warn", "--json")
    assert done.code == 2
    answer = json.loads(done.out)
    assert (answer["status"], answer["runner_exit_code"]) == ("user_code_failure", 7)
    assert shell("verify", tmp_path / "run", "-q").code == 0


def test_a_run_that_takes_too_long_is_stopped_and_on_record(tmp_path: Path) -> None:
    done = run(tmp_path / "run", "hang", "--timeout", 4, "--grace", 2, "--json")
    assert done.code == 143
    assert json.loads(done.out)["runner_signal"] == "SIGTERM"
    assert shell("verify", tmp_path / "run", "-q").code == 0


def test_a_signal_stops_the_run_and_is_on_record(tmp_path: Path) -> None:
    line = command_line(
        "run", "test", "--outdir", tmp_path / "run", "--", sys.executable, RUNNER, "hang"
    )
    with subprocess.Popen(line, stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout
        assert process.stdout.readline() == b"trained\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    with Ledger.open(tmp_path / "run") as book:
        closed = [entry.data for entry in book.entries() if entry.type == "run.closed"]
    assert [data["signal"] for data in closed] == ["SIGINT"]


def test_a_directory_that_holds_a_run_is_left_alone(
    failed_run: tuple[Path, dict[str, object]], key: Key, tmp_path: Path
) -> None:
    folder, _ = failed_run
    assert key
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    done = run(folder, "healthy")
    assert (done.code, done.out) == (64, "")
    assert "another run" in done.err
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "results.json").write_text("{}")
    answer = json.loads(run(tmp_path / "old", "healthy", "--force", "--json").out)
    assert Path(answer["outdir"]).parent == tmp_path / "old"
    assert (tmp_path / "old" / "results.json").read_text() == "{}"


def test_a_run_that_leaves_links_verifies_and_an_odd_one_is_named(tmp_path: Path) -> None:
    """Trackers leave a ``latest-run``, trainers a ``best``; nothing is wrong with either."""
    code = 'cd "$LEDGER_OUTDIR" && mkdir c-2 && ln -s c-2 best && ln -s "$LEDGER_OUTDIR" up'
    done = shell("run", "test", "--outdir", tmp_path / "run", "--", "sh", "-c", code)
    assert done.code == 0
    assert "note:" not in done.out
    assert shell("verify", tmp_path / "run").code == 0
    (tmp_path / "run" / "best").unlink()
    (tmp_path / "run" / "best").symlink_to("c-1")
    done = shell("verify", tmp_path / "run")
    assert done.code == 2
    assert "artifact.checksum" in done.out
    odd = """ln -s "$(printf 'a\\033b')" "$LEDGER_OUTDIR/odd\""""
    done = shell("run", "test", "--outdir", tmp_path / "odd", "--", "sh", "-c", odd)
    assert "note: 'odd': not on record, and a verifier will ask why: neither a file" in done.out


def test_asking_for_the_runners_options_records_nothing(tmp_path: Path) -> None:
    done = shell("run", "gpt", "--outdir", tmp_path / "run", "--", "--help")
    assert done.code == 0
    assert "--max-iters" in done.out
    assert not (tmp_path / "run").exists()


def test_a_run_needs_a_command(tmp_path: Path) -> None:
    done = shell("run", "test", "--outdir", tmp_path / "run")
    assert (done.code, done.out) == (64, "")


def test_a_projection_goes_to_stdout_a_file_or_a_directory(
    failed_run: tuple[Path, dict[str, object]], call: Command, tmp_path: Path
) -> None:
    folder, _ = failed_run
    results = (folder / "results.json").read_text()
    assert call("project", folder, "results").out == results
    assert call("project", folder / "ledger.sqlite", "results", "--out", "-").out == results
    at = json.loads(results)["gates"]
    assert [gate["decision"] for gate in at] == ["skip", "skip", "pass", "warn", "fail", "fail"]
    assert call("project", folder, "report", "--out", tmp_path / "r.txt").code == 0
    assert (tmp_path / "r.txt").read_text().startswith("Run report: ")
    assert call("project", folder, "report").out.startswith("# ")
    done = json.loads(call("project", folder, "all", "--out", f"{tmp_path}/all/", "--json").out)
    assert len(done["files"]) == 11
    assert (tmp_path / "all" / "results.json").read_text() == results


def test_a_projection_may_stop_early(
    failed_run: tuple[Path, dict[str, object]], call: Command
) -> None:
    folder, _ = failed_run
    early = json.loads(call("project", folder, "summary", "--at", 5).out)
    assert early["partial"] is True
    assert call("project", folder, "summary", "--at", 5000).code == 64


def test_the_database_can_be_asked(
    failed_run: tuple[Path, dict[str, object]], call: Command, tmp_path: Path
) -> None:
    import sqlite3
    from contextlib import closing

    folder, answer = failed_run
    assert call("project", folder, "sqlite").code == 64
    assert call("project", folder, "sqlite", "--out", tmp_path / "q.db").code == 0
    with closing(sqlite3.connect(tmp_path / "q.db")) as database:
        assert database.execute("SELECT id FROM ledger").fetchone() == (answer["ledger"],)
        fails = database.execute("SELECT count(*) FROM gates WHERE decision = 'fail'").fetchone()
    assert fails == (2,)
    assert call("project", folder, "sqlite", "--out", folder / "ledger.sqlite").code == 64


def test_projected_files_are_compared_with_the_events(
    failed_run: tuple[Path, dict[str, object]], call: Command, tmp_path: Path
) -> None:
    import shutil

    folder, _ = failed_run
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert call("project", copy, "all", "--check").code == 0
    (copy / "report.md").write_text("all is well\n")
    (copy / "timeline.txt").unlink()
    done = call("project", copy, "all", "--check", "--json")
    states = {item["path"]: item["state"] for item in json.loads(done.out)["files"]}
    assert done.code == 2
    assert (states["report.md"], states["timeline.txt"]) == ("DIFFERENT", "missing")
    assert states["results.json"] == "same"
    assert call("project", copy, "results", "--check").code == 0


@pytest.mark.parametrize(
    "args",
    [
        ("nonsense",),
        ("results", "--json"),
        ("results", "--check", "--out", "x"),
    ],
)
def test_what_cannot_be_projected_is_usage(
    args: tuple[str, ...], failed_run: tuple[Path, dict[str, object]], call: Command
) -> None:
    assert call("project", failed_run[0], *args).code == 64


def test_a_ledger_without_runs_projects_nothing(call: Command, book: Path) -> None:
    done = call("project", book, "results")
    assert (done.code, done.out) == (64, "")
    assert "no run" in done.err


def test_the_verdict_decides_the_exit_code(
    failed_run: tuple[Path, dict[str, object]], call: Command, tmp_path: Path
) -> None:
    folder, answer = failed_run
    assert call("verify", folder).out.splitlines()[-1].startswith("VERIFIED (unanchored)")
    assert call("verify", folder, "--strict", "-q").code == 5
    assert call("verify", folder, "--ledger-id", "0" * 64, "-q").code == 2
    copy = tmp_path / "copy.jsonl"
    call("export", folder, copy)
    copy.write_bytes(copy.read_bytes().replace(b'"decision":"fail"', b'"decision":"pass"', 1))
    done = call("verify", copy, "--ledger-id", answer["ledger"], "-q")
    assert done.code == 2
    assert done.out.startswith("REFUTED: ")
    verdict = json.loads(call("verify", copy, "--json").out)
    assert {"entry.hash", "chain.prev"} <= {item["code"] for item in verdict["findings"]}


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("no-such-path",),
        ("--explain", "no.such"),
    ],
)
def test_what_cannot_be_verified_is_usage(args: tuple[str, ...], call: Command) -> None:
    done = call("verify", *args)
    assert (done.code, done.out) == (64, "")


@pytest.mark.parametrize("option", [("--ledger-id", "XYZ"), ("--checkpoint", "no-such-file")])
def test_an_anchor_that_is_none_is_usage(
    option: tuple[str, str], call: Command, book: Path
) -> None:
    done = call("verify", book, *option)
    assert (done.code, done.out) == (64, "")
    assert option[0] in done.err


def test_a_finding_is_explained(call: Command) -> None:
    done = json.loads(call("verify", "--explain", "sig.invalid", "--json").out)
    assert done["code"] == "sig.invalid"
    assert done["meaning"]
    assert "what to do" in call("verify", "--explain", "sig.invalid").out


trainer = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None or importlib.util.find_spec("transformers") is None,
    reason="the demo trains: it needs the extra",
)


@trainer
def test_a_training_goes_on_from_a_checkpoint_in_the_same_ledger(tmp_path: Path) -> None:
    outdir = tmp_path / "run"
    size = ("--batch", 2, "--block", 16, "--gate_preset", "short_v0", "--gate-window", 10)
    command = ("run", "hf", "--outdir", outdir, "--json")
    first = shell(*command, "--", *size, "--max-steps", 20, "--save-steps", 10)
    assert first.code == 0, first.err
    checkpoint = ("--resume", outdir / "checkpoint-10")
    second = shell(*command, *checkpoint, "--", *size, "--max-steps", 20)
    assert second.code == 0, second.err
    answer = json.loads(second.out)
    assert answer["ledger"] == json.loads(first.out)["ledger"]
    assert Path(answer["outdir"]) == outdir / "runs" / answer["run_id"]
    with Ledger.open(outdir) as book:
        told = [e for e in book.entries() if e.subject == f"run/{answer['run_id']}"]
    resumed = next(e.data for e in told if e.type == "run.resumed")
    assert (resumed["iter"], resumed["from_run"]) == (10, json.loads(first.out)["run_id"])
    opened = next(e.data for e in told if e.type == "run.opened")
    assert (opened["outdir"], opened["gate_preset"]) == (answer["outdir"], "short_v0")
    done = shell("verify", outdir, "--strict", "--ledger-id", answer["ledger"], "-q")
    assert done.code == 0, done.out


@trainer
def test_the_demo_does_every_step(tmp_path: Path) -> None:
    done = shell("demo", "--dir", tmp_path / "demo", "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert len(answer["steps"]) == 5
    assert all(step["ok"] for step in answer["steps"])
    assert answer["final_decision"] == "fail"
    for name in ("run/report.md", "ledger.jsonl", "tampered.jsonl", "checkpoint.note"):
        assert (tmp_path / "demo" / name).is_file()
    one = (tmp_path / "demo" / "ledger.jsonl").read_bytes()
    other = (tmp_path / "demo" / "tampered.jsonl").read_bytes()
    assert sum(a != b for a, b in zip(one, other, strict=True)) == 1
    assert not (tmp_path / "home" / "key").exists()


@trainer
def test_a_demo_without_its_fault_says_that_it_went_wrong(tmp_path: Path) -> None:
    """The demo can fail: nothing is corrupted before the training ends."""
    done = shell("demo", "--dir", tmp_path / "demo", "--iters", 8, "--json")
    answer = json.loads(done.out)
    assert (done.code, answer["exit_code"]) == (2, 2)
    assert [step["ok"] for step in answer["steps"]] == [True, False]
