"""Checkpoints of a real ``Trainer``: each is on record, and only such a one is gone on from."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_trainer import OWNER, PLAN, tiny_trainer

from ledger import Ledger, MisuseError
from producers import LedgerCallback
from producers.gates.resume import Weights, find_start, weigh

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_wrapper(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LEDGER_")]:
        monkeypatch.delenv(name)


def events(place: Path, wanted: str) -> list[dict[str, Any]]:
    with Ledger.open(place) as book:
        return [entry.data for entry in book.entries() if entry.type == wanted]


def verified(place: Path) -> int:
    command = [sys.executable, "-m", "verifier", str(place)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode


def save(place: Path) -> Path:
    """Train, and return a checkpoint."""
    callback = LedgerCallback(place, preset=PLAN, key=OWNER)
    tiny_trainer(place, callback, save_strategy="steps", save_steps=15).train()
    return place / "checkpoint-15"


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("once") / "run").parent


@pytest.fixture
def checkpoint(once: Path, tmp_path: Path) -> Path:
    """A checkpoint in the run directory ``run``, of which each test has its own copy."""
    shutil.copytree(once, tmp_path / "run")
    return tmp_path / "run" / "checkpoint-15"


def go_on(tmp_path: Path, checkpoint: Path, **options: Any) -> Any:
    """Go on from a checkpoint in the ledger of the first run, in another directory."""
    chosen = {"key": OWNER, "ledger": tmp_path / "run"} | options
    callback = LedgerCallback(tmp_path / "next", preset=PLAN, **chosen)
    trainer = tiny_trainer(tmp_path / "next", callback, steps=40)
    trainer.train(resume_from_checkpoint=str(checkpoint))
    return trainer


def test_a_saved_checkpoint_is_on_record_and_holds_the_head(checkpoint: Path) -> None:
    (saved, _) = events(checkpoint.parent, "run.saved")
    assert (saved["iter"], saved["path"]) == (15, "checkpoint-15")
    assert (saved["sha256"], saved["bytes"]) == (weigh(checkpoint).sha256, weigh(checkpoint).bytes)
    with Ledger.open(checkpoint.parent) as book:
        start = find_start(book, checkpoint)
        (entry,) = book.entries(start.head.size - 1, start.head.size)
    assert (entry.type, entry.hash) == ("run.saved", start.head.hash)


def test_the_digest_of_a_checkpoint_is_what_its_page_says(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(b"xyz")
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "ledger_head.json").write_bytes(b"left out")
    digests = [hashlib.sha256(content).hexdigest() for content in (b"", b"xyz")]
    text = f"evidence-ledger/weights/v1\n{digests[0]} 0 a\n{digests[1]} 3 b/c\n"
    assert weigh(tmp_path) == Weights(hashlib.sha256(text.encode()).hexdigest(), 3)


def test_a_checkpoint_that_holds_a_link_or_nothing_is_not_digested(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="no files"):
        weigh(tmp_path)
    (tmp_path / "zero").symlink_to("/dev/zero")
    with pytest.raises(MisuseError, match="not a regular file"):
        weigh(tmp_path)


def test_a_resumed_training_is_a_new_run_of_the_same_ledger(
    tmp_path: Path, checkpoint: Path
) -> None:
    assert go_on(tmp_path, checkpoint).state.global_step == 40
    (resumed,) = events(tmp_path / "run", "run.resumed")
    with Ledger.open(tmp_path / "run") as book:
        opened = [e.subject for e in book.entries() if e.type == "run.opened"]
    assert resumed["from_run"] == opened[0].removeprefix("run/")
    assert resumed["iter"] == 15
    checks = [check["iter"] for check in events(tmp_path / "run", "gate.checked")]
    assert checks == [10, 20, 30, 40]  # the second run's first whole window is [20, 30)
    assert [data["iter"] for data in events(tmp_path / "run", "metric.observed")][20] == 20
    assert verified(tmp_path / "run") == 0


def altered(checkpoint: Path, fault: str, other: Path) -> None:
    """Break a checkpoint in one way."""
    weights, head = checkpoint / "model.safetensors", checkpoint / "ledger_head.json"
    if fault == "a weight":
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
    elif fault == "an added file":
        (checkpoint / "extra").write_bytes(b"")
    elif fault == "no head":
        head.unlink()
    elif fault == "another ledger":
        shutil.copy(save(other) / head.name, checkpoint)
    elif fault == "another history":
        text = head.read_text()
        place = text.index('"hash":"') + 8
        head.write_text(text[:place] + "0" * 64 + text[place + 64 :])
    elif fault == "an iteration of nobody":
        head.write_text(head.read_text().replace('"iter":15', '"iter":14'))
    else:
        head.write_text('{"ledger":1}')


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("a weight", "expected digest"),
        ("an added file", "expected digest"),
        ("no head", "saved under a ledger"),
        ("another ledger", "belongs to another ledger; expected"),
        ("another history", "another history of this ledger; after .* expected hash 0000"),
        ("an iteration of nobody", "expected a run.saved of run .* at iteration 14"),
        ("a head that is none", "not what a save writes"),
    ],
)
def test_a_checkpoint_that_is_not_the_one_on_record_is_refused_before_training(
    tmp_path: Path, checkpoint: Path, fault: str, said: str
) -> None:
    before = len(events(tmp_path / "run", "metric.observed"))
    moved = tmp_path / "moved" / checkpoint.name
    shutil.copytree(checkpoint, moved)
    altered(moved, fault, tmp_path / "other")
    with pytest.raises(MisuseError, match=said):
        go_on(tmp_path, moved, resume_from=moved)
    assert len(events(tmp_path / "run", "metric.observed")) == before
    assert events(tmp_path / "run", "run.closed")[-1]["status"] == "user_code_failure"
    assert verified(tmp_path / "run") == 0


def test_a_resume_into_another_ledger_is_refused(tmp_path: Path, checkpoint: Path) -> None:
    with pytest.raises(MisuseError, match="belongs to another ledger"):
        go_on(tmp_path, checkpoint, ledger=None)
    assert not events(tmp_path / "next", "metric.observed")


def test_a_checkpoint_that_the_trainer_did_not_load_is_not_taken_for_it(
    tmp_path: Path, checkpoint: Path
) -> None:
    callback = LedgerCallback(tmp_path / "run", preset=PLAN, key=OWNER)
    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 15}
    tiny_trainer(tmp_path / "again", callback, steps=15, **options).train()
    with pytest.raises(MisuseError, match="not what the Trainer loaded"):
        go_on(tmp_path, checkpoint, resume_from=tmp_path / "again" / "checkpoint-15")


def test_a_training_that_was_killed_goes_on_from_its_checkpoint_on_the_same_chain(
    tmp_path: Path,
) -> None:
    script, run = str(ROOT / "tests" / "tiny_trainer.py"), str(tmp_path / "run")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, script, run, "18"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"hanging\n"
        process.send_signal(signal.SIGKILL)
    with Ledger.open(tmp_path / "run") as book:
        head = book.head
    go_on(tmp_path, tmp_path / "run" / "checkpoint-15")
    with Ledger.open(tmp_path / "run") as book:
        assert next(book.entries(head.size - 1, head.size)).digest == head.hash
    (resumed,) = events(tmp_path / "run", "run.resumed")
    assert resumed["iter"] == 15
    assert [check["iter"] for check in events(tmp_path / "run", "gate.checked")] == [10, 30, 40]
    # Nobody saw how the first run ended: nothing is refuted, and it is not complete.
    assert verified(tmp_path / "run") == 5
