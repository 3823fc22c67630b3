"""Runs that are begun badly or oddly: a runner in another's place, missing, mute, loud or absent.

Each is refused before anything is written, or leaves a capsule that verifies.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from witnessed import HELD, PARTIAL, ROOT, STORY, Runs


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


@pytest.mark.parametrize("name", ["LEDGER_GPT_RUNNER_CMD", "VERISCOPE_GPT_RUNNER_CMD"])
def test_another_command_may_take_the_runners_place(runs: Runs, name: str) -> None:
    runs.env[name] = f"{sys.executable} '{STORY}' finish"
    done = runs.run("--", "--anything", "goes", kind="gpt")
    assert done.returncode == 0, done.stderr
    opened = next(e.data for e in runs.entries() if e.type == "run.opened")
    assert opened["argv"] == [sys.executable, str(STORY), "finish", "--anything", "goes"]
    assert opened["runner_cmd"] == [sys.executable, str(STORY), "finish"]
    assert (opened["kind"], opened["gate_preset"]) == ("gpt", "tuned_v0")


def test_a_runner_command_with_an_open_quote_is_refused(runs: Runs) -> None:
    runs.env["LEDGER_HF_RUNNER_CMD"] = "python 'oops"
    done = runs.run(kind="hf")
    assert done.returncode == 64
    assert "LEDGER_HF_RUNNER_CMD is not a command line" in done.stderr
    assert not runs.outdir.exists()


def without(folder: Path, *names: str) -> str:
    """Return a path of imports from which *names* cannot be imported."""
    folder.mkdir()
    lines = "".join(f"sys.modules[{name!r}] = None\n" for name in names)
    (folder / "sitecustomize.py").write_text(f"import sys\n{lines}", encoding="utf-8")
    return f"{folder}{os.pathsep}{ROOT}"


def test_hf_without_its_packages_ends_before_the_launch_with_a_partial_capsule(
    runs: Runs, tmp_path: Path
) -> None:
    runs.env["PYTHONPATH"] = without(tmp_path / "path", "torch", "transformers")
    done = runs.run(kind="hf")
    assert done.returncode == 2
    assert "torch and transformers are not installed: pip install" in done.stdout
    assert runs.told() == ["run.opened", "run.closed"]
    assert runs.closed()["status"] == "user_code_failure"
    assert runs.closed()["reason"].startswith("not started: torch and transformers")
    assert "results.json" not in runs.files()
    assert runs.files() >= PARTIAL
    assert (runs.summary()["partial"], runs.summary()["profile"]["gate_preset"]) == (
        True,
        "tuned_v0",
    )
    assert runs.verdict() == HELD


def test_the_packages_are_not_asked_for_when_another_command_takes_the_place(
    runs: Runs, tmp_path: Path
) -> None:
    """The public tool asks all the same, and fails."""
    runs.env["PYTHONPATH"] = without(tmp_path / "path", "torch", "transformers", "accelerate")
    runs.env["VERISCOPE_HF_RUNNER_CMD"] = f"{sys.executable} -c 'print(1)'"
    assert runs.run(kind="hf").returncode == 0


def test_gpt_without_torch_is_refused_before_anything_is_written(
    runs: Runs, tmp_path: Path
) -> None:
    runs.env["PYTHONPATH"] = without(tmp_path / "path", "torch")
    done = runs.run(kind="gpt")
    assert done.returncode == 64
    assert "torch is not installed: pip install" in done.stderr
    assert not runs.outdir.exists()


def test_a_runner_that_is_not_there_is_a_failure_of_the_users(runs: Runs) -> None:
    done = runs.run("--", "/no/such/program")
    assert done.returncode == 2
    assert runs.closed()["status"] == "user_code_failure"
    assert "/no/such/program" in runs.closed()["reason"]
    assert runs.files() >= PARTIAL
    assert runs.verdict() == HELD


def test_a_runner_that_is_not_executable_is_a_failure_of_the_users(
    runs: Runs, tmp_path: Path
) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n", encoding="utf-8")
    assert runs.run("--", str(tmp_path / "plain")).returncode == 2
    assert "Permission denied" in runs.closed()["reason"]
    assert runs.verdict() == HELD


def test_a_runner_may_print_binary(runs: Runs) -> None:
    code = "import os; os.write(1, bytes(range(256)) * 3000); os.write(2, b'\\x00\\xff')"
    process = runs.start("--", sys.executable, "-c", code)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.startswith(bytes(range(256)) * 3000)
    assert (runs.outdir / "runner_output.log").stat().st_size == 768_002
    assert runs.verdict() == HELD


def test_a_daemon_that_keeps_the_pipes_open_is_not_waited_for(runs: Runs) -> None:
    code = "import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep(20); os._exit(0)"
    begun = time.monotonic()
    assert runs.start("--", sys.executable, "-c", code).wait(60) == 0
    assert time.monotonic() - begun < 15
    assert runs.verdict() == HELD


def test_a_runner_that_ends_before_its_first_event_leaves_a_partial_capsule(runs: Runs) -> None:
    assert runs.run("--", "false").returncode == 2
    assert runs.told() == ["run.opened", "run.closed"]
    assert runs.summary()["partial"] is True
    assert "results.json" not in runs.files()
    assert runs.verdict() == HELD


@pytest.mark.parametrize("where", ["/proc/nowhere", "/dev/null", "/dev/null/x"])
def test_an_outdir_that_cannot_be_written_is_usage(runs: Runs, where: str) -> None:
    done = runs.run("--outdir", where, "--", "true")
    assert done.returncode == 64
    assert "cannot be a run directory" in done.stderr


def test_an_outdir_without_room_is_refused_without_a_run(runs: Runs) -> None:
    """A directory that may be read and not written: not even root can write to /sys."""
    done = runs.run("--outdir", "/sys", "--", "true")
    assert done.returncode == 3
    assert "error: " in done.stderr


def test_without_an_outdir_a_new_directory_is_made_for_each_run(runs: Runs) -> None:
    runs.env["LEDGER_OUT_BASE"] = str(runs.folder / "base")
    for _ in range(2):
        command = [sys.executable, "-m", "cli", "run", "My Kind", "--json", "--", "true"]
        done = subprocess.run(
            command, env=runs.env, cwd=runs.folder, capture_output=True, check=True
        )
        outdir = Path(json.loads(done.stdout)["outdir"])
        assert outdir.parent == runs.folder / "base"
        assert outdir.name.startswith("ledger_my-kind_20")
    assert len(list((runs.folder / "base").iterdir())) == 2


def test_an_unknown_preset_is_refused_with_a_suggestion(runs: Runs) -> None:
    done = runs.run("--gate-preset", "tuned_v1", kind="gpt")
    assert done.returncode == 64
    assert "tuned_v0" in done.stderr
    assert not runs.outdir.exists()
    done = runs.run("--", "--gate-preset=spyke_v1", kind="gpt")
    assert done.returncode == 64
    assert "spike_v1" in done.stderr


def test_two_presets_that_differ_are_refused(runs: Runs) -> None:
    done = runs.run("--gate-preset", "tuned_v0", "--", "--gate_preset", "legacy", kind="gpt")
    assert done.returncode == 64
    assert "two gate presets" in done.stderr


def test_a_strict_run_is_refused_before_the_start_if_it_could_not_be_repeated(runs: Runs) -> None:
    runs.env.pop("PYTHONHASHSEED", None)
    runs.env |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = runs.run("--strict-determinism", "--", "true")
    assert done.returncode == 64
    assert "export PYTHONHASHSEED=0" in done.stderr
    assert not runs.outdir.exists()
    runs.env["PYTHONHASHSEED"] = "0"
    code = "import os; assert os.environ['LEDGER_STRICT_DETERMINISM'] == '1'"
    assert runs.run("--strict-determinism", "--", sys.executable, "-c", code).returncode == 0
    opened = next(e.data for e in runs.entries() if e.type == "run.opened")
    assert (opened["determinism"]["strict"], opened["determinism"]["pyhashseed_ok"]) == (True, True)


def test_resume_needs_a_ledger_and_a_checkpoint_of_it(runs: Runs, tmp_path: Path) -> None:
    assert runs.run("--resume", str(tmp_path), "--", "true").returncode == 64
    done = runs.run("--resume", str(tmp_path), kind="hf")
    assert done.returncode == 64
    assert "holds no ledger" in done.stderr
    assert not runs.outdir.exists()
    assert runs.run("--", "true").returncode == 0
    count = len(runs.entries())
    done = runs.run("--resume", str(tmp_path), kind="hf")
    assert done.returncode == 64
    assert "ledger_head.json" in done.stderr
    assert len(runs.entries()) == count
    assert "runs" not in runs.files()
