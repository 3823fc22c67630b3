"""The trainer: deterministic, branchable, and broken exactly as it was told to be."""

import json
import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from ledger import Head, MisuseError
from ledger.events import check as check_payload
from producers.gates import DEMO, Check, ForecastPlan, Metric, Plan, View, preset
from producers.gates.corpus import Corpus, load_corpus, stdlib_corpus
from producers.gates.corruption import Corruption
from producers.gates.recording import GatedRun
from producers.gates.training import Settings, Trainer, train

TEXT = Corpus("text", b"to be or not to be, that is the question; whether tis nobler. " * 40)
TUNED = preset("tuned_v0")
FAULTS = ("random@5:3", "permute@5:3:0.5", "mask@5:3:0.3", "labels@5:3", "drift@5:3:1.0",
          "collapse@5:3", "lr@5:3", "stuck@5:3")  # fmt: skip
LATE = {"lr", "stuck"}  # the loss of the first iteration is still the control's
QUICK = ForecastPlan(
    preset="test",
    window=8,
    block=2,
    metric_interval=2,
    warmup=0,
    reference=4,
    views=(View("window", 1, 0, 8),),
    min_errors=1,
    metrics={"loss": "rise", "act_rms": "two_sided", "update_rms": "stall"},
    warn_z=5.0,
    fail_z=6.0,
    min_evidence=1,
)


def small(**change: Any) -> Settings:
    values: dict[str, Any] = {"max_iters": 10, "layers": 2, "width": 32, "batch": 4, "block": 16}
    return Settings(**{"gate": TUNED, **values, **change})


def trainer(**change: Any) -> Trainer:
    return Trainer(small(**change), TEXT)


def losses(each: Trainer, begin: int, end: int) -> list[float]:
    told = []
    for iteration in range(begin, end):
        each.step(iteration)
        told.append(each.loss)
    return told


def test_the_same_seed_gives_the_same_losses_and_another_seed_others() -> None:
    one, same, other = (losses(trainer(seed=seed), 0, 5) for seed in (3, 3, 4))
    assert one == same
    assert one != other


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_branch_goes_on_exactly_as_its_trunk_did_and_so_does_the_next(dropout: float) -> None:
    """Everything is in the state: weights, moments, batches, dropout; and using it leaves it."""
    trunk = trainer(dropout=dropout)
    losses(trunk, 0, 6)
    trunk.observe()  # the meter has a frame now
    state = trunk.state()
    rest = losses(trunk, 6, 10)
    seen = trunk.observe()
    for _ in range(2):
        branch = trainer(dropout=dropout, seed=99)  # its own weights are overwritten
        branch.restore(state)
        assert losses(branch, 6, 10) == rest
        assert branch.observe() == seen


def test_a_state_survives_the_disk() -> None:
    trunk = trainer()
    losses(trunk, 0, 3)
    branch = trainer(seed=99)
    branch.restore(pickle.loads(pickle.dumps(trunk.state())))  # noqa: S301 - made a line ago
    assert losses(branch, 3, 5) == losses(trunk, 3, 5)


@pytest.mark.parametrize("text", FAULTS)
def test_a_corrupted_run_is_its_control_until_the_fault_begins(text: str) -> None:
    fault = Corruption.parse(text)
    control = losses(trainer(), 0, 9)
    faulty = losses(trainer(corrupt=fault), 0, 9)
    first = 6 if fault.kind in LATE else 5
    assert faulty[:first] == control[:first]
    assert faulty[first] != control[first]


@pytest.mark.parametrize("text", sorted(set(FAULTS) - {"lr@5:3"}))
def test_a_fault_of_limited_length_ends_and_the_batches_were_the_controls(text: str) -> None:
    control = losses(trainer(lr=1e-30), 0, 10)  # so small a step that the weights stay
    faulty = losses(trainer(lr=1e-30, corrupt=Corruption.parse(text)), 0, 10)
    differ = [i for i in range(10) if faulty[i] != control[i]]
    assert differ == ([6, 7] if text.startswith("stuck") else [5, 6, 7])


def batches(text: str, iteration: int = 5) -> tuple[Any, Any, Any, Any]:
    """Return the control's tokens and targets, and those under the fault."""
    pair = trainer(), trainer(corrupt=Corruption.parse(text))
    for each in pair:
        each._iteration = iteration
    (tokens, targets), (bad_tokens, bad_targets) = (each._batch(iteration) for each in pair)
    return tokens, targets, bad_tokens, bad_targets


def test_permuted_positions_stay_within_their_sequence() -> None:
    tokens, targets, bad, same = batches("permute@5::0.5")
    assert torch.equal(targets, same)
    assert torch.equal(tokens.sort(1).values, bad.sort(1).values)
    moved = (tokens != bad).sum(1)
    assert (moved <= 8).all()  # half of 16; equal letters and fixed points do not show
    assert moved.sum() > 8
    assert len({tuple((row != other).tolist()) for row, other in zip(tokens, bad, strict=True)}) > 1


def test_masked_positions_are_byte_zero_as_many_in_each_sequence() -> None:
    tokens, targets, bad, same = batches("mask@5::0.25")
    assert torch.equal(targets, same)
    assert ((bad == 0).sum(1) == 4).all()
    assert torch.equal(bad[bad != 0], tokens[bad != 0])


def test_shuffled_labels_are_the_batchs_own_and_the_input_stays() -> None:
    tokens, targets, same, bad = batches("labels@5")
    assert torch.equal(tokens, same)
    assert torch.equal(targets.flatten().sort().values, bad.flatten().sort().values)
    assert (targets != bad).float().mean() > 0.5
    _, targets, _, few = batches("labels@5::0.1")
    assert 0 < (targets != few).sum() <= 6


def test_random_tokens_are_about_as_many_as_asked() -> None:
    tokens, targets, bad, same = batches("random@5::0.5")
    assert torch.equal(targets, same)
    assert 0.3 < (tokens != bad).float().mean() < 0.7


def test_collapse_leaves_one_direction_of_the_hidden_states() -> None:
    """In a model of one block its output is what is measured."""
    each = trainer(layers=1, corrupt=Corruption.parse("collapse@1"))
    ranks = []
    for iteration in range(2):
        each.step(iteration)
        ranks.append(int(torch.linalg.matrix_rank(each._hidden.reshape(-1, 32), rtol=1e-4)))
    assert ranks == [32, 1]


def test_a_stalled_optimizer_is_seen_as_updates_of_exactly_zero() -> None:
    each = trainer(corrupt=Corruption.parse("lr@2::0"))
    moved = []
    for iteration in range(4):
        each.step(iteration)
        moved.append(each.observe()["update_rms"])
    assert all(value > 0 for value in moved[:2])
    assert moved[2:] == [0.0, 0.0]


def test_the_observed_loss_is_the_mean_since_the_last_observation() -> None:
    each = trainer()
    for begin, end in ((0, 1), (1, 6), (6, 8)):
        told = losses(each, begin, end)
        assert each.observe()["loss"] == pytest.approx(sum(told) / len(told), rel=1e-6)


def test_the_gate_decides_which_instruments_are_used() -> None:
    each, demo = trainer(), trainer(gate=DEMO)
    each.step(0)
    demo.step(0)
    assert set(TUNED.as_data()["metrics"]) <= set(each.observe())
    assert set(demo.observe()) == {"eff_dim", "loss", "var_out_k"}


def test_the_demos_default_run_is_still_the_one_that_its_gate_was_tuned_on() -> None:
    """demo_traces.json was recorded then; other machines differ in the last digits."""
    traces = json.loads(Path(__file__).with_name("demo_traces.json").read_text(encoding="utf-8"))
    assert traces[0]["options"] == "--seed 306"
    each = Trainer(Settings(seed=306), load_corpus(None))
    for iteration in range(6):
        each.step(iteration)
        for name, value in each.observe().items():
            assert value == pytest.approx(traces[0]["metrics"][name][iteration], rel=0.01)


@pytest.mark.parametrize(
    ("schedule", "middle", "last"),
    [("cosine", 0.55, 0.1), ("linear", 0.5, 0.0), ("constant", 1.0, 1.0)],
)
def test_the_rate_rises_and_then_follows_its_schedule(
    schedule: Any, middle: float, last: float
) -> None:
    made = small(max_iters=1000, lr=1.0, schedule=schedule)
    assert made.rate(0) == pytest.approx(1 / 20, rel=0.01)
    assert made.rate(500) == pytest.approx(middle)
    assert made.rate(999) == pytest.approx(last, abs=0.002)


@pytest.mark.parametrize(
    "change",
    [
        {"max_iters": 0},
        {"layers": 0},
        {"width": 2},
        {"width": 40},
        {"seed": -1},
        {"lr": 0.0},
        {"lr": math.nan},
        {"lr": math.inf},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"schedule": "sideways"},
        {"corrupt": Corruption.parse("permute@1::0.1"), "block": 14},  # one position of 14
        {"corrupt": Corruption.parse("mask@1::0.01")},
    ],
)
def test_settings_that_cannot_be_or_do_nothing_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MisuseError):
        small(**change)


class Told:
    """A story that is kept in memory."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def plan(self, data: Mapping[str, Any]) -> None:
        self.events.append(("run.planned", dict(data)))

    def observe(self, iteration: int, values: Mapping[str, float]) -> None:
        self.events.append(("metric.observed", {"iter": iteration, "values": dict(values)}))

    def check(self, data: Mapping[str, Any]) -> None:
        self.events.append(("gate.checked", dict(data)))

    def anchor(self, iteration: int, reason: str) -> None:
        raise AssertionError((iteration, reason))

    def resumed(self, data: Mapping[str, Any]) -> None:
        raise AssertionError(data)

    def saved(self, iteration: int, path: str, *, sha256: str, size: int) -> Head:
        raise AssertionError((iteration, path, sha256, size))

    def inject(
        self, iteration: int, kind: str, *, fraction: float = 1.0, factor: float | None = None
    ) -> None:
        data = {"iter": iteration, "kind": kind, "fraction": fraction, "factor": factor}
        self.events.append(("fault.injected", data))

    def finish(
        self,
        iters: int,
        final_loss: float | None,
        *,
        overhead_s: float | None = None,
        stopped: str | None = None,
    ) -> None:
        told = {"iters": iters, "final_loss": final_loss, "overhead_s": overhead_s}
        self.events.append(("run.finished", {**told, "stopped": stopped}))


def tell(settings: Settings, *, stop_on: tuple[str, ...] = ()) -> list[tuple[str, dict[str, Any]]]:
    told = Told()
    train(settings, TEXT, GatedRun(told, settings.gate), watch=ignore, stop_on=stop_on)
    return told.events


def ignore(check: Check, values: Mapping[str, float]) -> None:
    del check, values


def test_a_run_is_observed_at_its_interval_and_its_story_fits_the_schemas() -> None:
    events = tell(small(gate=QUICK, max_iters=17, corrupt=Corruption.parse("lr@9:2:3")))
    assert [event_type for event_type, _ in events] == [
        "run.planned",
        *["metric.observed"] * 4,
        "gate.checked",
        "metric.observed",
        "fault.injected",
        *["metric.observed"] * 3,
        "gate.checked",
        "metric.observed",
        "run.finished",
    ]
    for event_type, data in events:
        check_payload(event_type, json.dumps(data).encode())
    iters = [data["iter"] for event_type, data in events if event_type == "metric.observed"]
    assert iters == list(range(0, 17, 2))
    assert events[0][1]["injection"]["factor"] == 3
    assert events[7][1] == {"iter": 9, "kind": "lr", "fraction": 1.0, "factor": 3.0}
    assert events[-1][1]["overhead_s"] > 0


def test_a_run_stops_at_the_decision_that_it_was_told_to_stop_at() -> None:
    plan = Plan(
        preset="test",
        window=5,
        warmup=0,
        bins=8,
        metrics=(Metric("loss", 0.0, 8.0, 1.0),),
        epsilon=0.0,
        persistence=1,
        min_evidence=1,
    )
    change: dict[str, Any] = {"gate": plan, "max_iters": 40, "lr": 0.05}
    whole = [data for event_type, data in tell(small(**change)) if event_type == "gate.checked"]
    first = next(data["iter"] for data in whole if data["decision"] == "fail")
    ended = tell(small(**change), stop_on=("fail",))[-1][1]
    assert first < 40
    assert (ended["iters"], ended["stopped"]) == (first, f"the gate said fail at {first}")
    assert tell(small(**change))[-1][1]["stopped"] is None


def test_the_sources_of_the_standard_library_are_megabytes_and_always_the_same() -> None:
    corpus = stdlib_corpus()
    assert corpus.as_data() == stdlib_corpus().as_data()
    assert len(corpus.content) > 1_000_000
    assert b"def dataclass(" in corpus.content
