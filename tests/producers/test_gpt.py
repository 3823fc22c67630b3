"""The real GPT runner: deterministic, measured in its own forward pass, under the gate."""

import json
import math
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ledger import Entry, MisuseError
from ledger.events import check as check_payload
from producers.gates import Check, Metric, Plan
from producers.gates.corpus import Corpus, load_corpus
from producers.gates.corruption import Corruption
from producers.gates.gpt import main
from producers.gates.training import Settings, train

SMALL_GATE = Plan(
    preset="test",
    window=5,
    warmup=0,
    bins=8,
    metrics=(Metric("eff_dim", 0.0, 32.0, 1.0), Metric("loss", 0.0, 8.0, 1.0)),
    epsilon=0.7,
    persistence=1,
    min_evidence=10,
)
TEXT = Corpus("text", b"to be or not to be, that is the question. " * 40)


def small(**change: Any) -> Settings:
    values: dict[str, Any] = {
        "max_iters": 10,
        "layers": 1,
        "width": 32,
        "batch": 4,
        "block": 16,
        "gate": SMALL_GATE,
    }
    return Settings(**values | change)


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

    def inject(self, iteration: int, kind: str, *, fraction: float) -> None:
        self.events.append(
            ("fault.injected", {"iter": iteration, "kind": kind, "fraction": fraction})
        )

    def finish(self, iters: int, final_loss: float | None) -> None:
        self.events.append(("run.finished", {"iters": iters, "final_loss": final_loss}))

    def metrics(self) -> list[dict[str, float]]:
        return [data["values"] for event_type, data in self.events if event_type[0] == "m"]


def tell(settings: Settings, corpus: Corpus = TEXT) -> Told:
    told = Told()
    train(settings, corpus, told, watch=ignore)
    return told


def ignore(check: Check, values: Mapping[str, float]) -> None:
    del check, values


def test_a_story_is_told_in_its_order_and_fits_the_schemas() -> None:
    told = tell(small(corrupt=Corruption(7)))
    assert [event_type for event_type, _ in told.events] == [
        "run.planned",
        *["metric.observed"] * 5,
        "gate.checked",
        *["metric.observed"] * 2,
        "fault.injected",
        *["metric.observed"] * 3,
        "gate.checked",
        "run.finished",
    ]
    for event_type, data in told.events:
        check_payload(event_type, json.dumps(data).encode())


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    one, same, other = (tell(small(seed=seed)).events for seed in (3, 3, 4))
    assert one == same
    assert one[1] != other[1]


def test_a_corrupted_run_is_its_control_until_the_fault_begins() -> None:
    control = tell(small()).metrics()
    faulty = tell(small(corrupt=Corruption(6))).metrics()
    assert faulty[:6] == control[:6]
    assert faulty[6]["loss"] != control[6]["loss"]


def test_a_fault_of_limited_length_ends() -> None:
    control = tell(small(lr=1e-30)).metrics()  # so small a step that the weights stay
    faulty = tell(small(lr=1e-30, corrupt=Corruption(3, 4))).metrics()
    differ = [i for i in range(10) if faulty[i]["loss"] != control[i]["loss"]]
    assert differ == [3, 4, 5, 6]


def test_a_model_learns_and_its_metrics_lie_in_their_ranges() -> None:
    values = tell(small(max_iters=60, lr=5e-3)).metrics()
    assert values[-1]["loss"] < values[0]["loss"] - 1
    for row in values:
        assert set(row) == {"eff_dim", "loss", "var_out_k"}
        assert 1 <= row["eff_dim"] <= 32
        assert 0 <= row["var_out_k"] <= 1


def test_a_run_that_explodes_is_recorded_as_such_and_fails() -> None:
    """A number that is not finite must reach the gate: eigenvalues of it would raise."""
    told = tell(small(lr=1e38))
    assert any(math.isnan(row["eff_dim"]) for row in told.metrics())
    checks = [data for event_type, data in told.events if event_type == "gate.checked"]
    assert (checks[-1]["decision"], checks[-1]["audit"]["reason"]) == ("fail", "nonfinite_metric")
    check_payload("gate.checked", json.dumps(checks[-1]).encode())


def test_a_text_shorter_than_a_block_is_refused() -> None:
    with pytest.raises(MisuseError, match="too few for block 16"):
        tell(small(), Corpus("short", b"x" * 16))
    tell(small(max_iters=1), Corpus("just enough", b"x" * 17))


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
    ],
)
def test_a_model_that_cannot_be_built_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MisuseError):
        small(**change)


def test_the_built_in_corpus_is_half_a_megabyte_of_text_and_always_the_same() -> None:
    corpus = load_corpus(None)
    assert corpus.as_data() == load_corpus(None).as_data()
    assert corpus.name == "pydoc_data.topics"
    assert len(corpus.content) > 300_000
    assert b"assert" in corpus.content


def test_any_file_can_be_the_corpus(tmp_path: Path) -> None:
    (tmp_path / "mine.bin").write_bytes(bytes(range(256)))
    data = load_corpus(tmp_path / "mine.bin").as_data()
    assert (data["name"], data["bytes"]) == ("mine.bin", 256)
    assert data["sha256"] == "40aff2e9d2d8922e47afd4648e6967497158785fbd1da870e7110266bf944880"


def test_a_corpus_that_is_missing_or_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name in ("missing", "empty"):
        with pytest.raises(MisuseError, match=name):
            load_corpus(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("random@0", Corruption(0)),
        ("random@240:40", Corruption(240, 40)),
        ("random@240:40:0.5", Corruption(240, 40, 0.5)),
    ],
)
def test_a_corruption_is_read_and_written_alike(text: str, value: Corruption) -> None:
    assert Corruption.parse(text) == value
    assert str(value) == text


@pytest.mark.parametrize(
    "text",
    ["", "random", "random@", "random@-1", "random@1:0", "random@1:2:0", "random@1:2:1.5",
     "random@1:2:3:4", "permute@1", "random@\N{ARABIC-INDIC DIGIT ONE}", "random@1\n"],
)  # fmt: skip
def test_a_corruption_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(MisuseError):
        Corruption.parse(text)


@pytest.mark.parametrize(
    "argv",
    [
        ["--corrupt", "sideways@3"],
        ["--max-iters", "many"],
        ["--max-iters", "0"],
        ["--unknown"],
        ["--data", "/nonexistent/file"],
        [],  # not started by the wrapper
    ],
)
def test_bad_usage_is_explained_and_exits_64(
    argv: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LEDGER_KEY_FD", raising=False)
    try:
        code = main(argv)
    except SystemExit as stop:
        code = stop.code  # type: ignore[assignment]
    assert code == 64
    assert capsys.readouterr().err.strip()


TINY = ["gpt", "--layers", "1", "--width", "32", "--batch", "2", "--block", "16"]


def test_an_interrupted_run_keeps_every_metric_up_to_the_signal(
    drive: Callable[..., Any], entries: Callable[[], list[Entry]]
) -> None:
    """It flushes, then dies of the signal, so that the wrapper sees what it was."""
    process = drive([*TINY, "--max-iters", "1000000"], grace=60.0)
    assert process.stdout.readline().startswith(b"iter")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    told = entries()
    end = next(e.data for e in told if e.type == "run.closed")
    assert (end["status"], end["signal"]) == ("user_code_failure", "SIGTERM")
    iters = [e.data["iter"] for e in told if e.type == "metric.observed"]
    assert iters == list(range(len(iters)))
    assert len(iters) >= 20


def test_the_real_command_under_the_wrapper_records_a_detection(
    drive: Callable[..., Any], entries: Callable[[], list[Entry]], tmp_path: Path
) -> None:
    """The whole way: GPT, fault, gate, ledger; the numbers are small, the path is the real one."""
    text = tmp_path / "text.txt"
    text.write_bytes(TEXT.content)
    options = ["--max-iters", "45", "--data", str(text), "--corrupt", "random@30:10:0.5"]
    process = drive([*TINY, *options])
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    lines = stdout.decode().splitlines()
    assert [line.split()[:3] for line in lines] == [["iter", "20", "skip"], ["iter", "40", "skip"]]
    told = entries()
    assert sum(e.type == "metric.observed" for e in told) == 45
    fault = next(e for e in told if e.type == "fault.injected")
    assert fault.data == {"iter": 30, "kind": "random", "fraction": 0.5}
    planned = next(e.data for e in told if e.type == "run.planned")
    assert planned["data"]["name"] == "text.txt"
    assert planned["model"]["corrupt"] == "random@30:10:0.5"
    assert [e.data["status"] for e in told if e.type == "run.closed"] == ["success"]
    assert sys.executable in next(e.data["argv"] for e in told if e.type == "run.opened")
