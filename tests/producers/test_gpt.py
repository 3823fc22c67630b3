"""The command that trains a GPT under the gate: its options, its lines, its exit codes."""

import argparse
import math
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger import Entry, MisuseError
from producers.gates import DEMO, Check, Forecast, Score, preset
from producers.gates.corpus import load_corpus
from producers.gates.gpt import main, usage
from producers.gates.lines import check_line
from producers.gates.options import GateChoice, RunnerParser, add_gate_options, chosen_gate

TUNED = preset("tuned_v0")
TINY = ["gpt", "--layers", "1", "--width", "32", "--batch", "2", "--block", "16"]

Drive = Callable[..., Any]
Entries = Callable[[], list[Entry]]


def chosen(*arguments: str) -> GateChoice:
    return chosen_gate(parsed(*arguments))


def parsed(*arguments: str) -> argparse.Namespace:
    parser = RunnerParser("runner", "A runner.")
    add_gate_options(parser)
    parser.add_argument("--max-iters", type=int)
    return parser.parse_args(arguments)


# The options of the gate.


def test_the_canonical_preset_is_the_default_and_overrides_nothing() -> None:
    assert chosen() == GateChoice(TUNED, {}, frozenset())
    assert chosen("--gate-preset", "demo_v0") == GateChoice(DEMO, {}, frozenset())


def test_single_controls_depart_from_the_preset_by_name_and_value() -> None:
    choice = chosen("--gate-window", "50", "--gate-warn-z", "4")
    assert choice.plan == preset("tuned_v0", {"window": 50, "warn_z": 4.0})
    assert choice.overrides == {"window": 50, "warn_z": 4.0}
    assert isinstance(choice.overrides["warn_z"], float)


def test_the_presets_own_value_is_no_override() -> None:
    assert chosen("--gate-window", "100", "--gate-fail-z", "6.0").overrides == {}


@pytest.mark.parametrize(
    ("arguments", "overrides"),
    [
        (["--gate_preset=legacy", "--gate_epsilon=0.2"], {"epsilon": 0.2}),
        (["--gate_preset", "legacy", "--gate_gain_thresh", "-0.003"], {"gain": -0.003}),
        (["--gate_preset", "legacy", "--gate-gain", "none"], {"gain": None}),
        (["--gate_preset", "legacy", "--metric_interval", "10"], {"metric_interval": 10}),
        (["--gate_preset", "legacy", "--min_metrics_exceeding", "2"],
         {"min_metrics_exceeding": 2}),
        (["--gate_warmup", "0", "--gate_persistence_k", "1"], {"warmup": 0}),
    ],
)  # fmt: skip
def test_other_spellings_mean_the_same(arguments: list[str], overrides: dict[str, Any]) -> None:
    assert chosen(*arguments).overrides == overrides


def test_underscores_in_a_value_stay() -> None:
    options = parsed("--gate_preset", "tuned_v0", "--max_iters", "5")
    assert (options.gate_preset, options.max_iters) == ("tuned_v0", 5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gate-preset", "tuned_v1"], "did you mean tuned_v0"),
        (["--gate-preset", "zzz"], "known are tuned_v0"),
        (["--gate-epsilon", "0.1"], "tuned_v0 has no control 'epsilon'"),
        (["--gate-preset", "legacy", "--gate-warn-z", "4"], "legacy has no control 'warn_z'"),
        (["--gate-window", "60"], "window"),
    ],
)
def test_a_gate_that_cannot_be_is_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(MisuseError, match=said):
        chosen(*arguments)


def test_a_run_stops_on_what_it_is_told_to_or_worse() -> None:
    assert chosen("--stop-on", "fail").stop_on == {"fail"}
    assert chosen("--stop_on", "warn").stop_on == {"warn", "fail"}


@pytest.mark.parametrize(
    "arguments",
    [["--gate-window", "x"], ["--gate-warn-z", "nan"], ["--stop-on", "pass"], ["--gate-wind", "5"]],
)
def test_an_option_of_another_form_is_bad_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="64"):
        parsed(*arguments)


def test_the_help_names_the_presets_the_kinds_of_fault_and_the_ranks() -> None:
    told = usage()
    for name in ("tuned_v0, spike_v1, short_v0", "random, permute, mask", "--ranks", "--stop-on"):
        assert name in told
    assert "_window" not in told  # the other spellings work, and would double the page


# The lines.


def evaluated(**change: Any) -> Check:
    forecast = Forecast(
        metric="loss", scores={"loss": Score("window", 7.25)}, regime=0, held=0, history=40
    )
    values: dict[str, Any] = {
        "iter": 1200,
        "decision": "fail",
        "reason": "change_fail",
        "policy": "p",
        "evidence_total": 20,
        "min_evidence": 20,
        "worst_dw": 0.8125,
        "eps_eff": 0.75,
        "per_metric_tv": {"loss": 0.8125},
        "forecast": forecast,
    }
    return Check(**values | change)


@pytest.mark.parametrize(
    ("check", "line"),
    [
        (
            evaluated(),
            "iter 1200 fail D_W 0.812 > 0.750 loss z 7.25 > 6 loss 2.500 (change_fail)",
        ),
        (
            evaluated(decision="pass", reason="none_ok", eps_eff=0.875),
            "iter 1200 pass D_W 0.812 <= 0.875 loss z 7.25 > 5 loss 2.500",
        ),
        (
            evaluated(
                reason="nonfinite_fail", worst_dw=math.nan, eps_eff=None, per_metric_tv={},
                forecast=Forecast(metric=None, scores={}, regime=0, held=0, history=40),
            ),
            "iter 1200 fail D_W nan loss 2.500 (nonfinite_fail)",
        ),
        (
            evaluated(
                decision="warn", reason="warn", forecast=None,
                per_metric_tv={"a": 0.25, "b": 0.5, "c": math.nan},
            ),
            "iter 1200 warn D_W 0.812 > 0.750 b TV 0.500 loss 2.500",
        ),
    ],
)  # fmt: skip
def test_a_line_says_what_decided_and_how_far_off_it_was(check: Check, line: str) -> None:
    assert " ".join(check_line(check, 2.5, TUNED).split()) == line


def test_the_columns_of_a_line_stay_where_they_are() -> None:
    lines = [
        check_line(evaluated(iter=100, worst_dw=0.1), 2.0, TUNED),
        check_line(evaluated(iter=99900, decision="pass", reason="none_ok"), 2.0, TUNED),
        check_line(evaluated(worst_dw=None, per_metric_tv={}, forecast=None), 2.0),
    ]
    assert len({line.index("loss 2.0") for line in lines}) == 1


# The text.


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


# The command.


@pytest.mark.parametrize(
    "argv",
    [
        ["--corrupt", "sideways@3"],
        ["--corrupt", "permute@3::0.01"],  # fewer than two positions: it would change nothing
        ["--max-iters", "many"],
        ["--max-iters", "0"],
        ["--unknown"],
        ["--data", "/nonexistent/file"],
        ["--data", "/dev/null"],
        ["--gate-preset", "tuned_v9"],
        ["--gate-window", "7"],
        ["--ranks", "0"],
        ["--ranks", "two"],
        ["--rank-timeout", "0"],
        ["--rank-timeout", "inf"],
        ["--ranks", "2"],  # not started by the wrapper
        [],  # not started by the wrapper
    ],
)
def test_bad_usage_is_explained_and_exits_64(
    argv: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LEDGER_KEY_FD", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    try:
        code = main(argv)
    except SystemExit as stop:
        code = stop.code  # type: ignore[assignment]
    assert code == 64
    assert capsys.readouterr().err.strip()


def test_an_interrupted_run_keeps_every_metric_up_to_the_signal(
    drive: Drive, entries: Entries
) -> None:
    """It flushes, then dies of the signal, so that the wrapper sees what it was."""
    command = [*TINY, "--gate-preset", "demo_v0", "--max-iters", "1000000"]
    process = drive(command, grace=60.0)
    assert process.stdout.readline().startswith(b"iter")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    told = entries()
    end = next(e.data for e in told if e.type == "run.closed")
    assert (end["status"], end["signal"]) == ("user_code_failure", "SIGTERM")
    iters = [e.data["iter"] for e in told if e.type == "metric.observed"]
    assert iters == list(range(len(iters)))
    assert len(iters) >= 20


def test_the_real_command_under_the_wrapper_records_all_that_it_was_asked(
    drive: Drive, entries: Entries, tmp_path: Path
) -> None:
    """The whole way: GPT, fault, gate, ledger; the numbers are small, the path is the real one."""
    text = tmp_path / "text.bin"
    text.write_bytes(b"to be or not to be\xff, that is the question. " * 40)
    options = ["--max_iters", "25", "--data", str(text), "--corrupt", "random@20:10:0.5"]
    gate = ["--gate_preset", "short_v0", "--gate_window", "10", "--gate-warmup", "0"]
    process = drive([*TINY, *options, *gate])
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    lines = stdout.decode().splitlines()
    assert [line.split()[:3] for line in lines] == [["iter", "10", "skip"], ["iter", "20", "skip"]]
    assert b"text.bin: 1720 bytes, one token a byte; it is not UTF-8 (byte 18)" in stderr
    told = entries()
    assert sum(e.type == "metric.observed" for e in told) == 25
    fault = next(e.data for e in told if e.type == "fault.injected")
    assert (fault["iter"], fault["kind"], fault["fraction"]) == (20, "random", 0.5)
    planned = next(e.data for e in told if e.type == "run.planned")
    assert planned["data"]["name"] == "text.bin"
    assert planned["overrides"] == {"window": 10, "warmup": 0}
    assert planned["injection"] == {
        "kind": "random",
        "at": 20,
        "length": 10,
        "fraction": 0.5,
        "factor": None,
    }
    assert planned.get("distributed") is None
    finished = next(e.data for e in told if e.type == "run.finished")
    assert (finished["iters"], finished["stopped"]) == (25, None)
    assert finished["overhead_s"] > 0
    assert [e.data["status"] for e in told if e.type == "run.closed"] == ["success"]
    assert sys.executable in next(e.data["argv"] for e in told if e.type == "run.opened")


def test_a_run_that_breaks_is_seen_and_stops_when_told_to(drive: Drive, entries: Entries) -> None:
    """The rate is multiplied by a thousand; the run ends with the check that fails, and well."""
    gate = ["--gate-preset", "short_v0", "--gate-warmup", "100", "--stop-on", "fail"]
    fault = ["--max-iters", "1000", "--corrupt", "lr@140::1000"]
    process = drive([*TINY, *fault, *gate])
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    told = entries()
    checks = [e.data for e in told if e.type == "gate.checked"]
    assert [check["decision"] for check in checks[-2:]] == ["pass", "fail"]
    assert checks[-1]["iter"] == 160
    finished = next(e.data for e in told if e.type == "run.finished")
    assert (finished["iters"], finished["stopped"]) == (160, "the gate said fail at 160")
    assert stdout.decode().splitlines()[-1].split()[:3] == ["iter", "160", "fail"]
