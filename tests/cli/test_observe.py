"""``ledger observe``: a loop in any language, a line at a time."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cli_shell import Command, Finished, command_line, environment

from ledger import Key, Ledger

Feed = Callable[..., Finished]


@contextmanager
def standard_input(path: Path) -> Iterator[None]:
    """Let *path* be the standard input of this process for the block."""
    before, now = os.dup(0), os.open(path, os.O_RDONLY)
    os.dup2(now, 0)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(now)


@pytest.fixture
def feed(call: Command, tmp_path: Path, key: Key) -> Feed:
    """Return a way to run ``ledger observe`` with lines on its standard input."""
    del key

    def run(lines: list[Any] | bytes, *args: object) -> Finished:
        text = lines if isinstance(lines, bytes) else b"".join(map(as_line, lines))
        (tmp_path / "lines").write_bytes(text)
        with standard_input(tmp_path / "lines"):
            return call("observe", "--outdir", tmp_path / "run", "--gate-preset", "short_v0", *args)

    return run


def as_line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


def steps(first: int, stop: int, **values: float) -> list[dict[str, Any]]:
    return [{"iter": i, "values": values or {"loss": 1.0}} for i in range(first, stop)]


def events(place: Path, wanted: str) -> list[dict[str, Any]]:
    with Ledger.open(place) as book:
        return [entry.data for entry in book.entries() if entry.type == wanted]


def test_lines_become_a_run_whose_gate_was_checked_and_which_verifies(
    feed: Feed, call: Command, tmp_path: Path
) -> None:
    done = feed(steps(0, 45), "--max-iters", 45, "--seed", 9)
    assert done.code == 0, done.err
    assert [line.split()[:3] for line in done.out.splitlines()[:2]] == [
        ["iter", "20", "skip"],
        ["iter", "40", "skip"],
    ]
    place = tmp_path / "run"
    (planned,) = events(place, "run.planned")
    assert (planned["max_iters"], planned["seed"]) == (45, 9)
    assert events(place, "run.finished")[0]["iters"] == 45
    assert events(place, "run.opened")[0]["witness"] == "in_process"
    assert events(place, "run.closed")[0]["status"] == "success"
    assert call("verify", place, "--quiet").code == 0
    assert (place / "results_summary.json").is_file()


def test_a_check_is_printed_as_json_and_nothing_else_is(feed: Feed, tmp_path: Path) -> None:
    done = feed(steps(0, 40), "--jsonl")
    printed = [json.loads(line) for line in done.out.splitlines()]
    assert printed == events(tmp_path / "run", "gate.checked")
    assert "ledger verify" in done.err


def test_with_json_one_object_comes_at_the_end(feed: Feed) -> None:
    said = json.loads(feed(steps(0, 40), "--json").out)
    assert said["schema"] == "evidence-ledger/observe/v1"
    assert said["checks"] == {"skip": 2, "pass": 0, "warn": 0, "fail": 0}
    assert (said["final_decision"], said["exit_code"]) == ("skip", 0)


def test_a_check_comes_before_what_is_observed_after_its_window(feed: Feed, tmp_path: Path) -> None:
    feed(steps(0, 25))
    with Ledger.open(tmp_path / "run") as book:
        told = [
            (e.type, e.data["iter"])
            for e in book.entries()
            if e.type in {"gate.checked", "metric.observed"}
        ]
    place = told.index(("gate.checked", 20))
    assert told[place - 1] == ("metric.observed", 19)
    assert told[place + 1] == ("metric.observed", 20)


def test_iterations_that_are_left_out_leave_no_window_unchecked(feed: Feed, tmp_path: Path) -> None:
    feed([*steps(0, 1), *steps(70, 71)])
    assert [check["iter"] for check in events(tmp_path / "run", "gate.checked")] == [20, 40, 60]


def test_the_loss_is_the_mean_since_the_last_observation(
    feed: Feed, call: Command, tmp_path: Path
) -> None:
    del call
    lines = [{"iter": i, "values": {"loss": float(i), "a": i}} for i in range(12)]
    feed(lines, "--gate-preset", "tuned_v0")  # observes every fifth; the later option counts
    assert [(d["iter"], d["values"]) for d in events(tmp_path / "run", "metric.observed")] == [
        (0, {"loss": 0.0, "a": 0.0}),
        (5, {"loss": 3.0, "a": 5.0}),
        (10, {"loss": 8.0, "a": 10.0}),
    ]


def test_what_is_not_finite_is_written_by_its_name_and_fails_the_gate(
    feed: Feed, tmp_path: Path
) -> None:
    done = feed([*steps(0, 19), *steps(19, 20, loss="NaN"), *steps(20, 21)], "--fail-on", "fail")  # type: ignore[arg-type]
    assert done.code == 1
    (check,) = events(tmp_path / "run", "gate.checked")
    assert (check["decision"], check["audit"]["reason"]) == ("fail", "nonfinite_fail")


def test_a_change_that_is_no_fault_is_declared(feed: Feed, tmp_path: Path) -> None:
    feed([*steps(0, 25), {"anchor": 25, "reason": "other data"}, *steps(25, 40)])
    assert events(tmp_path / "run", "gate.anchored") == [{"iter": 25, "reason": "other data"}]
    assert events(tmp_path / "run", "gate.checked")[-1]["iter"] == 40


GOOD = as_line({"iter": 0, "values": {"loss": 1.0}})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"loss 2.3\n", "not JSON"),
        (b'{"iter":1,"values":{"loss":NaN}}\n', "NaN"),
        (b'{"iter":1,"iter":1,"values":{"loss":1}}\n', "occurs twice"),
        (b'{"iter":1}\n', "values must be an object"),
        (b'{"iter":1,"values":{}}\n', "at least one number"),
        (b'{"iter":1,"values":{"loss":"high"}}\n', "loss is no number"),
        (b'{"iter":1,"values":{"loss":true}}\n', "loss is no number"),
        (b'{"iter":1,"values":{"loss":null}}\n', "loss is no number"),
        (b'{"iter":-1,"values":{"loss":1}}\n', "whole number"),
        (b'{"iter":1.5,"values":{"loss":1}}\n', "whole number"),
        (b'{"iter":1,"values":{"loss":1},"epoch":2}\n', "unknown member 'epoch'"),
        (b'{"anchor":1}\n', "needs a reason"),
        (b'{"iter":9007199254740991,"values":{"loss":1}}\n', "typing error"),
        (b'{"iter":1,"values":{"x":"' + b"a" * (1 << 20) + b'"}}\n', "more than"),
        (b'["iter",1]\n', "not a JSON object"),
    ],
)
def test_a_line_that_is_not_what_was_expected_ends_the_run_and_is_named(
    feed: Feed, call: Command, tmp_path: Path, line: bytes, said: str
) -> None:
    done = feed(GOOD + b"\n" + line + GOOD)
    assert done.code == 64
    assert "line 3" in done.err
    assert said in done.err
    assert len(events(tmp_path / "run", "metric.observed")) == 1
    assert events(tmp_path / "run", "run.closed")[0]["status"] == "user_code_failure"
    assert call("verify", tmp_path / "run", "--quiet").code == 0


def test_an_iteration_that_went_by_is_refused(feed: Feed) -> None:
    done = feed([*steps(0, 5), *steps(2, 3)])
    assert done.code == 64
    assert "line 6: iteration 2 comes too late" in done.err


def test_a_directory_that_holds_a_run_is_refused(feed: Feed) -> None:
    assert feed(steps(0, 1)).code == 0
    assert feed(steps(0, 1)).code == 64


def test_no_lines_are_a_run_without_an_observation(
    feed: Feed, call: Command, tmp_path: Path
) -> None:
    assert feed(b"").code == 0
    assert events(tmp_path / "run", "run.finished")[0]["iters"] == 0
    assert call("verify", tmp_path / "run", "--quiet").code == 0


def test_without_a_directory_and_a_wrapper_it_says_what_is_missing(
    call: Command, tmp_path: Path
) -> None:
    (tmp_path / "none").write_bytes(b"")
    with standard_input(tmp_path / "none"):
        done = call("observe")
    assert done.code == 64
    assert "--outdir DIR is needed" in done.err


def test_an_unknown_preset_is_refused_before_anything_is_made(feed: Feed, tmp_path: Path) -> None:
    done = feed(steps(0, 1), "--gate-preset", "shrt_v0")
    assert done.code == 64
    assert "did you mean short_v0" in done.err
    assert not (tmp_path / "run").exists()


def test_inside_a_witnessed_run_it_records_into_that_run(
    call: Command, key: Key, tmp_path: Path
) -> None:
    del key
    (tmp_path / "lines").write_bytes(b"".join(map(as_line, steps(0, 20))))
    pipe = f"cat {tmp_path / 'lines'} | {sys.executable} -m cli observe --jsonl"
    script = f"cd {Path(__file__).parents[2]} && {pipe}"
    done = call(
        "run",
        "loop",
        "--outdir",
        tmp_path / "run",
        "--gate-preset",
        "short_v0",
        "--",
        "sh",
        "-c",
        script,
    )
    assert done.code == 0, done.err
    place = tmp_path / "run"
    assert len(events(place, "run.opened")) == len(events(place, "run.closed")) == 1
    assert events(place, "run.opened")[0].get("witness", "process") == "process"
    assert events(place, "run.planned")[0]["gate"]["preset"] == "short_v0"
    assert len(events(place, "gate.checked")) == 1
    assert call("verify", place, "--quiet").code == 0


def test_a_check_is_printed_while_the_loop_goes_on_and_a_signal_closes_the_run(
    key: Key, tmp_path: Path
) -> None:
    del key
    argv = command_line("observe", "--outdir", tmp_path / "run", "--gate-preset", "short_v0")
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"".join(map(as_line, steps(0, 21))))
        process.stdin.flush()
        assert process.stdout.readline().startswith(b"iter     20  skip")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
    assert events(tmp_path / "run", "run.closed")[0]["status"] == "user_code_failure"
