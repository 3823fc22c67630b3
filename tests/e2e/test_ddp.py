"""The real GPT on two ranks, through the real command: recorded as one run, or failing loudly."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ledger import Entry, Ledger

ROOT = Path(__file__).parents[2]
TINY = ["--layers", "1", "--width", "32", "--batch", "2", "--block", "16"]
SHORT = [*TINY, "--gate-preset", "short_v0"]
RUN = ["run", "gpt", "--outdir", "run", "--gate-preset", "short_v0", "--"]


def command(home: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start ``ledger`` as a user with a home of their own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LEDGER_", "VERISCOPE_"))}
    paths = os.pathsep.join(path for path in (str(ROOT), kept.get("PYTHONPATH", "")) if path)
    extra = {"HOME": str(home), "PYTHONPATH": paths}
    if "torchrun" in arguments:
        launcher = "-m torch.distributed.run --nproc-per-node 2 -m producers.gates.gpt"
        extra["LEDGER_GPT_RUNNER_CMD"] = f"{sys.executable} {launcher}"
        arguments = tuple(a for a in arguments if a != "torchrun")
    return subprocess.Popen(
        [sys.executable, "-m", "cli", *arguments],
        env=kept | extra,
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    stdout, stderr = process.communicate(timeout=150)
    return process.returncode, stdout, stderr


def told(outdir: Path) -> list[Entry]:
    with Ledger.open(outdir) as book:
        return list(book.entries())


def rank_of(outdir: Path, rank: int) -> int:
    """Return the process that is this rank of the run in *outdir*."""
    wanted = {f"RANK={rank}".encode(), f"LEDGER_OUTDIR={outdir}".encode()}
    for folder in Path("/proc").iterdir():
        try:
            if wanted <= set((folder / "environ").read_bytes().split(b"\0")):
                return int(folder.name)
        except (OSError, ValueError):
            continue
    raise AssertionError(f"no rank {rank} runs")


@pytest.mark.parametrize("launcher", [["--ranks", "2"], ["torchrun"]], ids=["ours", "torchrun"])
def test_two_ranks_train_one_model_and_every_ledger_verifies(
    tmp_path: Path, launcher: list[str]
) -> None:
    outdir = tmp_path / "run"
    runner = [*SHORT, "--max-iters", "20", *launcher]
    code, stdout, stderr = ended(command(tmp_path, *RUN, *runner))
    assert code == 0, stderr
    assert [line.split()[:3] for line in stdout.splitlines() if line.startswith("iter")] == [
        ["iter", "20", "skip"]
    ]
    entries = told(outdir)
    planned = next(entry.data for entry in entries if entry.type == "run.planned")
    assert planned["distributed"]["world_size_observed"] == 2
    assert planned["distributed"]["ddp_wrapped"] is True
    anchors = [entry.data for entry in entries if entry.type == "run.rank"]
    assert [(a["rank"], a["world_size"]) for a in anchors] == [(0, 2), (1, 2)]
    checks = [(outdir, entries[0].hash)]
    checks += [(outdir / anchor["path"], anchor["ledger"]) for anchor in anchors]
    for path, ledger in checks:
        verify = ["verify", str(path), "--strict", "--ledger-id", ledger, "--json"]
        code, stdout, stderr = ended(command(tmp_path, *verify))
        assert code == 0, stdout
    with Ledger.open(outdir / anchors[1]["path"]) as book:
        assert (book.size, book.head.hash.hex()) == (anchors[1]["size"], anchors[1]["hash"])
    # The ranks drew batches of their own; their replicas took the same steps all the same.
    rows = [
        [e.data["values"] for e in told(outdir / a["path"]) if e.type == "x.rank.observed"]
        for a in anchors
    ]
    for one, other in zip(*rows, strict=True):
        assert one["loss"] != other["loss"]
        assert one["update_rms"] == other["update_rms"]


def test_a_rank_that_is_killed_fails_the_run_and_what_was_checked_is_kept(tmp_path: Path) -> None:
    outdir = tmp_path / "run"
    runner = [*SHORT, "--max-iters", "1000000", "--ranks", "2"]
    process = command(tmp_path, *RUN, *runner)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("iter     20")
    os.kill(rank_of(outdir, 1), signal.SIGKILL)
    begun = time.monotonic()
    code, stdout, stderr = ended(process)
    assert code == 2
    assert "the run failed: rank 1 was killed by SIGKILL" in stderr
    assert time.monotonic() - begun < 30
    printed = [20, *(int(line.split()[1]) for line in stdout.splitlines() if "iter " in line)]
    entries = told(outdir)
    checked = [entry.data["iter"] for entry in entries if entry.type == "gate.checked"]
    assert checked == printed
    observed = [entry.data["iter"] for entry in entries if entry.type == "metric.observed"]
    assert observed == list(range(len(observed)))
    assert len(observed) >= checked[-1]
    closed = next(entry.data for entry in entries if entry.type == "run.closed")
    assert (closed["status"], closed["exit_code"]) == ("user_code_failure", 2)
    assert not any(entry.type == "run.finished" for entry in entries)
    verify = command(tmp_path, "verify", "run", "--strict", "--ledger-id", entries[0].hash)
    code, stdout, _ = ended(verify)
    assert code == 0, stdout


def test_a_run_that_stops_on_a_fail_stops_on_all_ranks(tmp_path: Path) -> None:
    """A rate beyond all bounds: the loss is no number any more, and the first check fails."""
    outdir = tmp_path / "run"
    runner = [*SHORT, "--max-iters", "1000", "--ranks", "2", "--lr", "1e30", "--stop-on", "fail"]
    code, _, stderr = ended(command(tmp_path, *RUN, *runner))
    assert code == 0, stderr
    entries = told(outdir)
    finished = next(entry.data for entry in entries if entry.type == "run.finished")
    assert (finished["iters"], finished["stopped"]) == (20, "the gate said fail at 20")
    for anchor in (entry.data for entry in entries if entry.type == "run.rank"):
        assert told(outdir / anchor["path"])[-1].data == {"iters": 20}
    summary = json.loads((outdir / "results_summary.json").read_bytes())
    assert (summary["final_decision"], summary["first_fail_iter"]) == ("fail", 20)
