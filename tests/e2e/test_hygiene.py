"""A secret that a run was trusted with is in no byte of its capsule, wherever it was given.

Each place that by itself says what it holds has a secret of its own, so that none is
masked only because another place gave it away. Free text says nothing: there stands
one secret that a variable holds too (docs/explanation/limits.md).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ledger import Ledger

ROOT = Path(__file__).parents[2]
RUNNER = Path(__file__).with_name("tell_secrets.py")
FREE = "c4n4ry-free-S3cret-0123456789"


def canary(number: int) -> str:
    return f"c4n4ry{number:02d}S3cret{number * 7919:06d}"


ARGUMENTS = (
    ("--token", canary(1)),
    (f"--token={canary(2)}",),
    ("--wandb_key", canary(3)),
    ("-p", canary(4)),
    (f"https://ada:{canary(5)}@example.org/data",),
    (f"KEY={canary(6)}",),
    ("--json", json.dumps({"lr": 1, "api_key": canary(7)})),
    ("--config=" + json.dumps({"auth": {"hub": [canary(8)]}}),),
    ("-H", f"Authorization: Bearer {canary(9)}"),
    (f"+wandb.api_key={canary(10)}",),
    ("sh -c", f"HF_TOKEN={canary(11)} train --lr 1"),
    (f"https://example.org/?access_token={canary(12)}&x=1",),
    ("-u", f"ada:{canary(13)}"),
    ("hf_" + canary(14),),
    (f"https://{canary(15)}@example.org/x.git",),
    ("--data", f"/mnt/{FREE}/corpus.txt"),
    ("--model", FREE),
    ("--note", f"a note about {FREE}"),
)
VARIABLES = {
    "WANDB_API_KEY": canary(20),
    "AWS_SECRET_ACCESS_KEY": canary(21),
    "AWS_SESSION_TOKEN": canary(22),
    "OPENAI_API_KEY": canary(23),
    "VERISCOPE_API_KEY": canary(24),
    "LEDGER_KEY_PASSPHRASE": canary(25),
    "SLURM_JWT": canary(26),
    "PGPASSWORD": canary(27),
    "DATABASE_URL": f"postgres://ada:{canary(28)}@db/x",
    "VERISCOPE_NOTE": f"train --token {canary(29)} --lr 1",
    "LEDGER_EXTRA": json.dumps({"credentials": {"x": canary(30)}}),
    "CUDA_NOTE": f"it was {FREE}",
    "MY_PRIVATE_KEY": f"-----BEGIN PRIVATE KEY-----\n{canary(31)}\n-----END PRIVATE KEY-----",
    "HUGGING_FACE_HUB_TOKEN": canary(32),
    "GITHUB_PAT": "ghp_" + canary(33),
    "SAID": canary(34),  # only a line of output says that this is a password
    "HF_TOKEN": FREE,
}
SECRETS = [FREE, *(canary(n) for n in range(1, 41))]


def environment(folder: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LEDGER_", "VERISCOPE_"))}
    own = {"LEDGER_KEY": str(folder / "owner.key"), "LEDGER_STATE": str(folder / "state")}
    own |= {"HOME": str(folder), "PYTHONPATH": str(ROOT), "RELEASE": str(folder / "release")}
    return kept | own | VARIABLES


def leaks(folder: Path) -> set[tuple[str, str]]:
    """Return which secret is in which file, or in which file's name, below *folder*."""
    found = set()
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        text = name.encode() + (path.read_bytes() if path.is_file() else b"")
        found |= {(name, secret) for secret in SECRETS if secret.encode() in text}
    return found


def repository(folder: Path) -> Path:
    """Return a working directory whose path and whose remote hold secrets."""
    folder.mkdir()
    remote = f"https://ada:{canary(35)}@example.org/x.git"
    for arguments in (["init", "-q"], ["remote", "add", "origin", remote]):
        subprocess.run(["git", "-C", str(folder), *arguments], check=True)
    return folder


@pytest.mark.parametrize(
    ("kind", "outdir"), [("hf", "run"), (f"kind-{FREE}", "run"), ("gpt", f"{FREE}/run")]
)
def test_no_secret_is_in_any_file_of_a_capsule(kind: str, outdir: str, tmp_path: Path) -> None:
    env = environment(tmp_path)
    # The key that owns the ledger lies beside the capsule, and is no part of it.
    place = tmp_path / "capsules" / outdir
    program = [sys.executable, str(RUNNER)]
    if kind in {"gpt", "hf"}:
        env[f"LEDGER_{kind.upper()}_RUNNER_CMD"] = f"{sys.executable} {RUNNER} --key {canary(36)}"
        program = []
    command = [sys.executable, "-m", "cli", "run", kind, "--outdir", str(place)]
    command += ["--name", f"ledger of {FREE}", "--", *program]
    command += [word for words in ARGUMENTS for word in words]
    cwd = repository(tmp_path / f"work-{FREE}")
    with subprocess.Popen(
        command, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = b""
        while b"ready\n" not in said:
            chunk = process.stdout.readline()
            assert chunk, process.stderr.read()
            said += chunk
        meanwhile = leaks(place)  # in the write-ahead log too, and in whatever else lies there
        (tmp_path / "release").touch()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2, errors
    assert FREE.encode() in said  # the user's own screen shows what the program prints
    assert b"RuntimeError: cannot read" in errors
    assert (meanwhile, leaks(place)) == (set(), set())
    told = {path.name for path in place.iterdir()}
    assert told >= {"ledger.sqlite", "runner_output.log", "environment.txt", "report.md"}
    assert told >= {"run_config_resolved.json", "results.json", "governance_log.jsonl"}
    with Ledger.open(place) as book:
        opened = next(e.data for e in book.entries() if e.type == "run.opened")
        planned = next(e.data for e in book.entries() if e.type == "run.planned")
    assert opened["env_capture"]["redactions_applied"] is True
    assert opened["env"]["VERISCOPE_API_KEY"] == "***REDACTED***"
    assert planned["data"]["name"] == "/data/***REDACTED***/text"
    assert planned["gate"]["preset"] == (opened["gate_preset"] or "mine")
    # What was masked is masked the same in the events and in all that is made of them.
    verified = subprocess.run(
        [sys.executable, "-m", "verifier", str(place), "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout


def test_the_words_around_a_secret_stay_readable(tmp_path: Path) -> None:
    """Masking that left nothing would pass the test above."""
    env = environment(tmp_path)
    code = "import sys; print('lr is', sys.argv[-1]); print('KeyError: loss', sys.argv[2])"
    command = [sys.executable, "-m", "cli", "run", "mine", "--outdir", str(tmp_path / "run"), "--"]
    command += [sys.executable, "-c", code, "--token", canary(1), "--lr", "0.125"]
    subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, check=True)
    log = (tmp_path / "run" / "runner_output.log").read_text(encoding="utf-8")
    assert log == "lr is 0.125\nKeyError: loss ***REDACTED***\n"
    with Ledger.open(tmp_path / "run") as book:
        opened = next(e.data for e in book.entries() if e.type == "run.opened")
    assert opened["argv"][-4:] == ["--token", "***REDACTED***", "--lr", "0.125"]
    assert opened["outdir"] == str(tmp_path / "run")


def test_a_preset_that_is_none_is_refused_and_written_nowhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cli", "run", "gpt", "--outdir", str(tmp_path / "run")]
    done = subprocess.run(
        [*command, "--gate-preset", FREE],
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 64
    assert leaks(tmp_path) == set()
