"""``LedgerCallback`` under a real ``Trainer``: what it sees, what it records, what it refuses."""

import json
import os
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_trainer import OWNER, PLAN, rows, tiny_model, tiny_trainer
from transformers import TrainerCallback

from ledger import Ledger, MisuseError
from producers import LedgerCallback
from producers.gates.hooks import Watch, last_block
from producers.gates.measure import SHAPE
from producers.gates.resume import weigh

ROOT = Path(__file__).parents[2]
METRICS = {*SHAPE, "loss", "update_rms"}


@pytest.fixture(autouse=True)
def no_wrapper(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LEDGER_")]:
        monkeypatch.delenv(name)


def events(place: Path, wanted: str) -> list[dict[str, Any]]:
    with Ledger.open(place) as book:
        return [entry.data for entry in book.entries() if entry.type == wanted]


def observed(place: Path) -> dict[int, dict[str, float]]:
    return {data["iter"]: data["values"] for data in events(place, "metric.observed")}


def verified(place: Path) -> int:
    command = [sys.executable, "-m", "verifier", str(place)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode


class Losses(TrainerCallback):  # type: ignore[misc]  # transformers is not type-checked
    """Every step's loss by another way: as the Trainer logs it."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **others: Any) -> None:
        del args, state, control, others
        if "loss" in logs:
            self.seen.append(float(logs["loss"]))


def test_two_lines_make_a_run_that_verifies(tmp_path: Path) -> None:
    callback = LedgerCallback(tmp_path / "run", preset=PLAN)
    tiny_trainer(tmp_path / "out", callback).train()
    place = tmp_path / "run"
    assert sorted(observed(place)) == list(range(20))
    assert all(set(values) == METRICS for values in observed(place).values())
    assert [check["iter"] for check in events(place, "gate.checked")] == [10, 20]
    (planned,) = events(place, "run.planned")
    assert (planned["max_iters"], planned["seed"]) == (20, 3)
    assert planned["model"]["watched"] == "transformer.h.1"
    assert planned["distributed"]["distributed_mode"] == "single_process"
    (finished,) = events(place, "run.finished")
    assert (finished["iters"], finished["stopped"]) == (20, None)
    assert finished["overhead_s"] > 0
    assert events(place, "run.closed")[0]["status"] == "success"
    assert verified(place) == 0


def test_the_training_is_the_same_with_the_callback_and_without(tmp_path: Path) -> None:
    with_it, without = tiny_model(), tiny_model()
    callback = LedgerCallback(tmp_path / "run", preset=PLAN)
    tiny_trainer(tmp_path / "a", callback, model=with_it, steps=10).train()
    tiny_trainer(tmp_path / "b", model=without, steps=10).train()
    for one, other in zip(with_it.parameters(), without.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_hidden_states_are_those_of_the_last_block_in_the_first_forward_of_a_step(
    tmp_path: Path, accumulation: int
) -> None:
    model = tiny_model()
    forwards: list[float] = []
    model.transformer.h[1].register_forward_hook(
        lambda _, __, output: forwards.append(
            float((output[0] if isinstance(output, tuple) else output).detach().square().mean())
        )
    )
    options = {"model": model, "steps": 10, "gradient_accumulation_steps": accumulation}
    callback = LedgerCallback(tmp_path / "run", preset=PLAN)
    tiny_trainer(tmp_path / "out", callback, **options).train()
    assert len(forwards) == 10 * accumulation  # no second forward
    found = observed(tmp_path / "run")
    seen = [found[i]["act_rms"] ** 2 for i in range(10)]
    assert seen == pytest.approx(forwards[::accumulation], rel=1e-5)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_loss_is_the_mean_over_the_steps_since_the_last_observation(
    tmp_path: Path, accumulation: int
) -> None:
    losses = Losses()
    callback = LedgerCallback(tmp_path / "run", preset="tuned_v0")  # observes every fifth
    tiny_trainer(
        tmp_path / "out",
        callback,
        losses,
        steps=11,
        gradient_accumulation_steps=accumulation,
        logging_strategy="steps",
        logging_steps=1,
    ).train()
    found = observed(tmp_path / "run")
    assert sorted(found) == [0, 5, 10]
    assert found[0]["loss"] == pytest.approx(losses.seen[0], abs=2e-4)  # logs are rounded
    assert found[5]["loss"] == pytest.approx(sum(losses.seen[1:6]) / 5, abs=2e-4)
    assert found[10]["loss"] == pytest.approx(sum(losses.seen[6:11]) / 5, abs=2e-4)


def test_a_model_that_returns_no_loss_is_followed_by_what_is_logged_and_it_is_said(
    tmp_path: Path,
) -> None:
    losses = Losses()
    callback = LedgerCallback(tmp_path / "run", preset=PLAN)
    trainer = tiny_trainer(
        tmp_path / "out",
        callback,
        losses,
        steps=10,
        label_smoothing_factor=0.1,
        logging_strategy="steps",
        logging_steps=1,
    )
    with pytest.warns(UserWarning, match="the model returns no loss"):
        trainer.train()
    found = observed(tmp_path / "run")
    assert "loss" not in found[0]
    assert [found[i]["loss"] for i in range(1, 10)] == losses.seen[:9]
    assert events(tmp_path / "run", "run.planned")[0]["model"]["loss"] == "logged"


def test_padding_is_not_measured(tmp_path: Path) -> None:
    def padded(length: int, filler: int) -> list[dict[str, Any]]:
        changed = []
        for row in rows(16):
            ids = row["input_ids"].clone()
            ids[length:] = filler
            mask = (torch.arange(len(ids)) < length).long()
            labels = torch.where(mask.bool(), ids, -100)
            changed.append({"input_ids": ids, "labels": labels, "attention_mask": mask})
        return changed

    for filler in (1, 2):
        callback = LedgerCallback(tmp_path / f"run{filler}", preset=PLAN)
        tiny_trainer(tmp_path / "out", callback, steps=10, rows_=padded(5, filler)).train()
    one, other = (observed(tmp_path / f"run{filler}")[0] for filler in (1, 2))
    assert one == pytest.approx(other, rel=1e-4)


def test_a_stalled_optimizer_is_seen_as_exactly_zero(tmp_path: Path) -> None:
    callback = LedgerCallback(tmp_path / "run", preset=PLAN)
    tiny_trainer(tmp_path / "out", callback, steps=20, learning_rate=0.0).train()
    assert {values["update_rms"] for values in observed(tmp_path / "run").values()} == {0.0}
    last = events(tmp_path / "run", "gate.checked")[-1]
    assert (last["decision"], last["audit"]["reason"]) == ("fail", "stalled_fail")


def test_a_failed_gate_stops_the_training_if_it_is_asked_to(tmp_path: Path) -> None:
    callback = LedgerCallback(tmp_path / "run", preset=PLAN, stop_on="fail")
    trainer = tiny_trainer(tmp_path / "out", callback, steps=50, learning_rate=0.0)
    trainer.train()
    assert trainer.state.global_step == 10
    (finished,) = events(tmp_path / "run", "run.finished")
    assert (finished["iters"], finished["stopped"]) == (10, "the gate said fail at 10")
    assert verified(tmp_path / "run") == 0


def test_a_training_that_raises_is_recorded_as_failed(tmp_path: Path) -> None:
    class Breaks(TrainerCallback):  # type: ignore[misc]  # see Losses
        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            del args, control, others
            if state.global_step == 5:
                raise ZeroDivisionError

    callback = LedgerCallback(tmp_path / "run", preset=PLAN)
    with pytest.raises(ZeroDivisionError) as caught:
        tiny_trainer(tmp_path / "out", callback, Breaks()).train()
    callback.close(caught.value)
    assert events(tmp_path / "run", "run.closed")[0]["status"] == "user_code_failure"
    assert not events(tmp_path / "run", "run.finished")
    assert verified(tmp_path / "run") == 0


def test_the_hooks_are_gone_when_the_training_has_ended(tmp_path: Path) -> None:
    model = tiny_model()
    callback = LedgerCallback(tmp_path / "run", preset=PLAN)
    tiny_trainer(tmp_path / "out", callback, model=model, steps=5).train()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_callback_that_is_used_twice_makes_two_runs_of_one_ledger(tmp_path: Path) -> None:
    callback = LedgerCallback(tmp_path / "run", preset=PLAN, key=OWNER)
    for _ in range(2):
        tiny_trainer(tmp_path / "out", callback, steps=5).train()
    assert len(events(tmp_path / "run", "run.closed")) == 2
    assert verified(tmp_path / "run") == 0


# --- several processes -------------------------------------------------------


def test_of_two_ranks_the_first_records_the_mean_of_both(tmp_path: Path) -> None:
    script, run = str(ROOT / "tests" / "tiny_trainer.py"), tmp_path / "run"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    ranks = []
    for rank in ("0", "1"):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "RANK": rank, "LOCAL_RANK": rank}
        environment |= {
            "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "OMP_NUM_THREADS": "1",
        }
        ranks.append(
            subprocess.Popen(
                [sys.executable, script, str(run), "0"], env=environment, stdout=subprocess.PIPE
            )
        )
    told = [rank.communicate(timeout=120)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0]
    losses = json.loads(told[0].splitlines()[-1])
    found = observed(run)
    assert sorted(found) == list(range(len(losses))) == list(range(40))
    assert [found[i]["loss"] for i in range(40)] == pytest.approx(losses, abs=2e-4)
    assert events(run, "run.planned")[0]["distributed"] == {
        "distributed_mode": "ddp_wrapped",
        "world_size_observed": 2,
        "backend": "gloo",
        "rank": 0,
        "local_rank": 0,
        "ddp_wrapped": True,
    }
    assert [saved["iter"] for saved in events(run, "run.saved")] == [15, 30, 40]
    assert (run / "checkpoint-15" / "rng_state_1.pth").is_file()
    assert weigh(run / "checkpoint-15").sha256 == events(run, "run.saved")[0]["sha256"]
    assert verified(run) == 0


# --- which module ------------------------------------------------------------


def test_the_last_block_is_that_of_the_outermost_longest_list() -> None:
    from torch import nn

    class Mixed(nn.Module):  # type: ignore[misc]  # nor is torch
        def __init__(self) -> None:
            super().__init__()
            self.heads = nn.ModuleList([nn.Linear(1, 1)])
            self.encoder = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])
            block = nn.Module()
            block.experts = nn.ModuleList([nn.Linear(1, 1) for _ in range(9)])
            self.decoder = nn.ModuleList([nn.Linear(1, 1), block])

    model = Mixed()
    assert last_block(model)[0] == "decoder.1"
    assert last_block(model, "encoder.0") == ("encoder.0", model.encoder[0])
    with pytest.raises(MisuseError, match="no such module"):
        last_block(model, "encoder.7")
    with pytest.raises(MisuseError, match="say which module"):
        last_block(nn.Linear(1, 1))


def test_a_model_of_which_nothing_is_trained_is_refused() -> None:
    model = tiny_model()
    for parameter in model.parameters():
        parameter.requires_grad = False
    with pytest.raises(MisuseError, match="no trainable parameter"):
        Watch(model, None, timed=nullcontext)
