"""The runner of ``ledger run hf``: a real ``Trainer``, its faults, and a run that goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ledger import Key, Ledger
from producers.gates import hf

ROOT = Path(__file__).parents[2]
TEXT = b"The quick brown fox jumps over the lazy dog. " * 40
SMALL = ("--batch", "4", "--block", "16", "--gate-preset", "short_v0", "--gate-warmup", "0")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wrapper around this process; and what the runner sets does not stay."""
    for name in [name for name in os.environ if name.startswith("LEDGER_")]:
        monkeypatch.delenv(name)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(name, "1")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_bytes(TEXT)
    return path


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A healthy run of eight steps."""
    folder = tmp_path_factory.mktemp("control")
    (folder / "corpus.txt").write_bytes(TEXT)
    assert train(folder / "run", folder / "corpus.txt", "--max-steps", "8") == 0
    return folder / "run"


def train(outdir: Path, corpus: Path, *options: str) -> int:
    return hf.main(["--outdir", str(outdir), "--data", str(corpus), *SMALL, *options])


def events(place: Path, wanted: str) -> list[dict[str, Any]]:
    with Ledger.open(place) as book:
        return [entry.data for entry in book.entries() if entry.type == wanted]


def series(place: Path, name: str) -> list[float]:
    return [data["values"][name] for data in events(place, "metric.observed")]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", *arguments]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_training_on_a_local_file_is_recorded_with_its_data_and_its_gate(
    tmp_path: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "run", corpus, "--max-steps", "40", "--seed", "5") == 0
    (planned,) = events(tmp_path / "run", "run.planned")
    assert planned["data"]["name"] == "corpus.txt"
    assert planned["data"]["bytes"] == len(TEXT)
    assert (planned["max_iters"], planned["seed"]) == (40, 5)
    assert (planned["gate"]["preset"], planned["overrides"]) == ("short_v0", {"warmup": 0})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [["iter", "20", "skip"], ["iter", "40", "skip"]]
    losses = series(tmp_path / "run", "loss")
    assert len(losses) == 40
    assert losses[-1] < losses[0] - 0.5  # it really learns


def test_the_same_seed_gives_the_same_run(tmp_path: Path, corpus: Path, control: Path) -> None:
    train(tmp_path / "again", corpus, "--max-steps", "8")
    assert events(tmp_path / "again", "metric.observed") == events(control, "metric.observed")


@pytest.mark.parametrize(
    ("fault", "metric", "later"),
    [
        ("random@4", "loss", 0),
        ("permute@4::0.5", "loss", 0),
        ("mask@4", "loss", 0),
        ("labels@4", "loss", 0),
        ("drift@4:4", "loss", 0),
        ("collapse@4", "eff_dim", 0),
        ("lr@4::30", "update_rms", 0),
        ("stuck@4", "loss", 1),  # the first batch is its own
    ],
)
def test_a_fault_changes_what_comes_from_its_iteration_on_and_nothing_before(
    tmp_path: Path, corpus: Path, control: Path, fault: str, metric: str, later: int
) -> None:
    train(tmp_path / "faulty", corpus, "--max-steps", "8", "--corrupt", fault)
    healthy, faulty = series(control, metric), series(tmp_path / "faulty", metric)
    assert faulty[: 4 + later] == healthy[: 4 + later]
    assert all(a != b for a, b in zip(faulty[4 + later :], healthy[4 + later :], strict=True))
    (injected,) = events(tmp_path / "faulty", "fault.injected")
    (planned,) = events(tmp_path / "faulty", "run.planned")
    assert injected["iter"] == planned["injection"]["at"] == 4
    assert injected["kind"] == planned["injection"]["kind"] == fault.partition("@")[0]


def test_a_stuck_batch_is_one_batch(tmp_path: Path, corpus: Path) -> None:
    train(tmp_path / "run", corpus, "--max-steps", "6", "--corrupt", "stuck@2", "--lr", "1e-12")
    losses = series(tmp_path / "run", "loss")
    assert losses[2:] == pytest.approx([losses[2]] * 4, abs=1e-6)
    assert abs(losses[1] - losses[2]) > 1e-4


def test_a_fault_that_is_over_is_over(tmp_path: Path, corpus: Path) -> None:
    options = ("--max-steps", "8", "--lr", "1e-12")
    train(tmp_path / "control", corpus, *options)
    train(tmp_path / "faulty", corpus, *options, "--corrupt", "random@4:2")
    control, faulty = (series(tmp_path / name, "loss") for name in ("control", "faulty"))
    different = [i for i in range(8) if abs(control[i] - faulty[i]) > 1e-6]
    assert different == [4, 5]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--gate-preset", "tuned_v1"), "did you mean tuned_v0"),
        (("--corrupt", "permute@4::0.01"), "the dose changes nothing"),
        (("--max-steps", "0"), "at least 1"),
        (("--lr", "0"), "above 0"),
        (("--resume", "nowhere"), "no such checkpoint"),
        (("--model", "nowhere"), "expected a directory of weights"),
        (("--block", "100000"), "too few for --block"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_recorded(
    tmp_path: Path,
    corpus: Path,
    options: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train(tmp_path / "run", corpus, *options) == 64
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [b"", None])
def test_data_that_is_empty_or_missing_is_refused(
    tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data"
    if content is not None:
        path.write_bytes(content)
    assert train(tmp_path / "run", path) == 64
    assert str(path) in capsys.readouterr().err


def test_an_option_that_nobody_knows_is_refused(tmp_path: Path, corpus: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        train(tmp_path / "run", corpus, "--epochs", "3")
    assert caught.value.code == 64


def test_a_run_id_that_is_not_the_wrappers_is_refused(
    tmp_path: Path,
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LEDGER_RUN_ID", "theirs")
    assert train(tmp_path / "run", corpus, "--run_id", "mine") == 64
    assert "LEDGER_RUN_ID=theirs" in capsys.readouterr().err


def test_a_model_in_a_directory_needs_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    binary = tmp_path / "data.bin"
    binary.write_bytes(b"ok \xff\xfe")
    assert train(tmp_path / "run", binary, "--model", str(tmp_path)) == 64
    assert "not UTF-8 at byte 3" in capsys.readouterr().err


def test_a_model_and_its_tokenizer_are_loaded_from_a_directory(
    tmp_path: Path, corpus: Path
) -> None:
    from tiny_trainer import tiny_model
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = sorted({*TEXT.decode().replace(".", " .").split()})
    vocabulary = {word: i for i, word in enumerate(["?", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))  # noqa: S106 - no secret
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path / "model"
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    tiny_model().save_pretrained(folder)
    options = ("--model", str(folder), "--block", "8", "--max-steps", "3")
    assert train(tmp_path / "run", corpus, *options) == 0
    assert events(tmp_path / "run", "run.planned")[0]["model"]["watched"] == "transformer.h.1"


def test_a_runner_that_was_killed_goes_on_under_the_wrapper_in_the_same_ledger(
    tmp_path: Path, corpus: Path
) -> None:
    key, place = tmp_path / "key", tmp_path / "run"
    Key.generate("owner").write(key)
    front = ("cli", "run", "hf", "--outdir", str(place), "--key", str(key))
    back = ("--", "--data", str(corpus), *SMALL, "--gate-window", "10", "--save-steps", "15")
    argv = [sys.executable, "-m", *front, *back, "--max-steps", "100000"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL) as wrapper:
        head = place / "checkpoint-15" / "ledger_head.json"
        deadline = time.monotonic() + 60
        while not head.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(_runner_of(wrapper.pid), signal.SIGKILL)
        assert wrapper.wait(60) == 2
    run_id = json.loads(head.read_text())["run_id"]
    assert command("verifier", str(place)).returncode == 0
    again = command(*front, "--resume", str(head.parent), *back, "--max-steps", "40")
    assert again.returncode == 0, again.stderr
    (resumed,) = events(place, "run.resumed")
    assert (resumed["from_run"], resumed["iter"]) == (run_id, 15)
    assert events(place, "run.closed")[0]["signal"] == "SIGKILL"
    assert events(place, "run.closed")[1]["status"] == "success"
    assert events(place, "gate.checked")[-1]["iter"] == 40
    checked = command("verifier", str(place))
    assert checked.returncode == 0, checked.stdout


def _runner_of(wrapper: int) -> int:
    """Return the process that trains, of those that the wrapper started."""
    children = Path(f"/proc/{wrapper}/task/{wrapper}/children").read_text().split()
    (runner,) = [c for c in children if b"producers.gates.hf" in _command_line(c)]
    return int(runner)


def _command_line(process: str) -> bytes:
    return Path(f"/proc/{process}/cmdline").read_bytes()
