"""What is captured of a run's circumstances, and what is not."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from ledger import MisuseError
from ledger.events import check as check_payload
from producers.runs.determinism import determinism, require_determinism
from producers.runs.environment import ALLOWLIST, capture, environment_text
from producers.runs.redact import MASK

CANARY = "c4n4ry-S3cret-0123456789"
ENV = {
    "CUDA_VISIBLE_DEVICES": "0",
    "SLURM_JOB_ID": "7",
    "WORLD_SIZE": "1",
    "PYTHONHASHSEED": "0",
    "VERISCOPE_TOKEN": CANARY,
    "LEDGER_KEY": "/home/ada/.ssh/id_ed25519",
    "HOME": "/home/ada",
    "AWS_SECRET_ACCESS_KEY": "aws-" + CANARY,
    "RANKED": "no",
}


def test_only_allow_listed_variables_are_captured(tmp_path: Path) -> None:
    found = capture(["train"], env=ENV, cwd=tmp_path)
    assert found.env == {
        "CUDA_VISIBLE_DEVICES": "0",
        "LEDGER_KEY": MASK,
        "PYTHONHASHSEED": "0",
        "SLURM_JOB_ID": "7",
        "VERISCOPE_TOKEN": MASK,
        "WORLD_SIZE": "1",
    }
    assert found.redactions_applied
    assert found.env_capture()["allowlist"] == list(ALLOWLIST)


def test_redactions_applied_is_false_when_no_rule_matched_a_captured_key(tmp_path: Path) -> None:
    env = {"RANK": "0", "AWS_SECRET_ACCESS_KEY": CANARY}
    assert not capture(["train"], env=env, cwd=tmp_path).redactions_applied


def test_the_value_of_a_secret_variable_is_masked_in_the_arguments_too(tmp_path: Path) -> None:
    found = capture(["train", "--note", f"with {CANARY}"], env=ENV, cwd=tmp_path)
    assert found.argv == ("train", "--note", f"with {MASK}")


def test_the_value_of_a_variable_that_is_not_captured_is_masked_too(tmp_path: Path) -> None:
    found = capture(["train", "--note", f"aws-{CANARY}!"], env=ENV, cwd=tmp_path)
    assert found.argv == ("train", "--note", f"{MASK}!")
    assert f"aws-{CANARY}" in found.secrets


def test_no_secret_is_in_what_is_written(tmp_path: Path) -> None:
    found = capture(["train", f"--password={CANARY}"], env=ENV, cwd=tmp_path)
    outdir = tmp_path / CANARY
    opened = json.dumps(found.opened(kind="command", outdir=outdir, runner_key="0" * 64))
    assert CANARY not in opened
    assert CANARY not in repr(found)


def test_run_opened_fits_the_published_schema_even_with_arguments_that_are_not_utf_8(
    tmp_path: Path,
) -> None:
    odd = os.fsdecode(b"--name=\xff\xfe")
    found = capture(["train", odd, "two\nlines"], env={"RANK": os.fsdecode(b"\x80")}, cwd=tmp_path)
    opened = found.opened(kind="command", outdir=tmp_path, runner_key="0" * 64)
    data = json.dumps(opened, ensure_ascii=False).encode()
    check_payload("run.opened", data)
    assert opened["argv"] == ["train", r"--name=\xff\xfe", "two\nlines"]
    assert opened["env"] == {"RANK": r"\x80"}


def test_what_the_wrapper_knows_of_the_run_is_in_its_first_event(tmp_path: Path) -> None:
    settings = determinism({"PYTHONHASHSEED": "0"}, strict=True, own_threads=False)
    argv = ["python", "-m", "runner", "--seed", "1"]
    found = capture(argv, env=ENV, cwd=tmp_path, runner_words=3, determinism=settings)
    opened = found.opened(kind="gpt", outdir=tmp_path, runner_key="0" * 64, gate_preset="tuned_v0")
    check_payload("run.opened", json.dumps(opened).encode())
    assert (opened["argv"], opened["runner_cmd"]) == (argv, argv[:3])
    assert opened["wrapper_argv"]
    assert opened["gate_preset"] == "tuned_v0"
    assert opened["determinism"]["strict"] is True
    assert opened["dependencies"]["path"] == "environment.txt"
    found.write(tmp_path)
    assert "\npydantic==" in (tmp_path / "environment.txt").read_text()


def test_a_path_that_exists_is_no_secret(tmp_path: Path) -> None:
    """Else the path of a key file beside the run would mask where the run itself is."""
    env = {"LEDGER_KEY": str(tmp_path), "MY_TOKEN": "/no/such/" + CANARY}
    found = capture(["train"], env=env, cwd=tmp_path)
    opened = found.opened(kind="x", outdir=tmp_path / "run", runner_key="0" * 64)
    assert opened["outdir"] == str(tmp_path / "run")
    assert opened["env"] == {"LEDGER_KEY": MASK}
    assert found.secrets == {"/no/such/" + CANARY}


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, (False, False)),
        ({"PYTHONHASHSEED": "random"}, (False, False)),
        ({"PYTHONHASHSEED": "4294967296"}, (False, False)),
        ({"PYTHONHASHSEED": "0", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}, (True, True)),
        ({"PYTHONHASHSEED": "7", "CUDA_VISIBLE_DEVICES": ""}, (True, None)),
    ],
)
def test_determinism_is_described(
    env: dict[str, str], expected: tuple[bool, bool | None], tmp_path: Path
) -> None:
    (tmp_path / "nvidia0").touch()
    found = determinism(env, strict=False, own_threads=True, devices=tmp_path)
    assert (found["pyhashseed_ok"], found["cublas_config_ok"]) == expected
    assert found["cudnn_deterministic"] is None


GOOD = {"PYTHONHASHSEED": "0", "CUBLAS_WORKSPACE_CONFIG": ":16:8", "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("name", GOOD)
def test_a_strict_run_needs_each_setting_and_is_told_how(name: str, tmp_path: Path) -> None:
    (tmp_path / "nvidia0").touch()
    require_determinism(GOOD, own_threads=False, devices=tmp_path)
    lacking = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(MisuseError, match=f"export {name}="):
        require_determinism(lacking, own_threads=False, devices=tmp_path)


def test_without_a_gpu_and_with_a_runner_that_sets_its_threads_a_seed_is_enough(
    tmp_path: Path,
) -> None:
    require_determinism({"PYTHONHASHSEED": "0"}, own_threads=True, devices=tmp_path)
    (tmp_path / "nvidia0").touch()
    hidden = {"PYTHONHASHSEED": "0", "CUDA_VISIBLE_DEVICES": "-1"}
    require_determinism(hidden, own_threads=True, devices=tmp_path)


def test_a_directory_without_git_is_no_reason_to_fail(tmp_path: Path) -> None:
    found = capture(["train"], env={}, cwd=tmp_path)
    assert (found.git_sha, found.git_dirty) == (None, None)


def test_the_commit_is_captured_and_whether_the_tree_was_dirty(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "a.txt").write_text("a", encoding="utf-8")
    git("add", "a.txt")
    git("commit", "-q", "-m", "a")
    clean = capture(["train"], env={}, cwd=tmp_path)
    assert (clean.git_sha, clean.git_dirty) == (git("rev-parse", "HEAD"), False)
    (tmp_path / "a.txt").write_text("b", encoding="utf-8")
    assert capture(["train"], env={}, cwd=tmp_path).git_dirty is True


def test_the_environment_text_names_interpreter_platform_and_packages() -> None:
    text = environment_text()
    assert text.startswith("python: 3.")
    assert "\nplatform: " in text
    assert "\npydantic==" in text
    assert "\ntorch: " in text


@pytest.mark.parametrize("argv", [["x" * 200_000], ["\x01" * 3000] * 50, ["y"] * 100_000])
def test_a_very_long_command_still_fits_into_one_entry(tmp_path: Path, argv: list[str]) -> None:
    env = {f"SLURM_{i}": "z" * 5000 for i in range(1000)}
    found = capture(argv, env=env, cwd=tmp_path)
    opened = found.opened(kind="command", outdir=tmp_path, runner_key="0" * 64)
    assert len(json.dumps(opened)) < 60_000
    assert "more" in json.dumps(opened["argv"], ensure_ascii=False)
