import dataclasses
import json
import re
from typing import Any

import histories
import payloads
import pytest
import story
from hypothesis import given, settings
from reading import canonical, files, one_run, parsed

WORDS = ("skip", "pass", "warn", "fail")


@settings(max_examples=60, deadline=None)
@given(histories.stories())
def test_every_file_is_canonical_json_with_a_line_end_and_finite(
    entries: list[story.Entry],
) -> None:
    for path, content in files(entries).items():
        if path.endswith(".json"):
            assert content == canonical(json.loads(content, parse_constant=pytest.fail)) + b"\n"
        else:
            assert re.fullmatch(rb"[0-9]+\n", content)


@settings(max_examples=60, deadline=None)
@given(histories.stories() | histories.stories(whole=True))
def test_counts_agree_with_a_second_count(entries: list[story.Entry]) -> None:
    """Counted here from the events alone, without the code under test."""
    made = files(entries)
    summaries = {path: json.loads(raw) for path, raw in made.items() if "summary" in path}
    for path, summary in summaries.items():
        prefix = path.removesuffix("results_summary.json")
        subject = f"run/{summary['run_id']}"
        gates = [
            (entry.data["iter"], entry.data["decision"])
            for entry in entries
            if entry.type == "gate.checked" and entry.subject == subject and "audit" in entry.data
        ]
        tally = {word: sum(word == said for _, said in gates) for word in WORDS}
        counts = {**tally, "evaluated": len(gates) - tally["skip"]}
        fails = [step for step, said in gates if said == "fail"]
        if summary["partial"]:
            assert summary["recorded_counts"] == counts
            gates, fails, counts = [], [], dict.fromkeys(counts, 0)
            assert prefix + "results.json" not in made
        else:
            results = json.loads(made[prefix + "results.json"])
            assert [(gate["iter"], gate["decision"]) for gate in results["gates"]] == gates
        assert summary["counts"] == counts
        assert summary["final_decision"] == next(
            (word for word in ("fail", "warn", "pass") if counts[word]), "skip"
        )
        assert summary["first_fail_iter"] == min(fails, default=None)
        marker = made.get(prefix + "first_fail_iter.txt")
        assert marker == (f"{min(fails)}\n".encode() if fails else None)


def test_results_have_exactly_the_members_of_the_seed() -> None:
    results = parsed(story.fail_then_pass().entries, "results.json")
    assert set(results) == {
        "schema_version",
        "run_id",
        "window_signature_ref",
        "profile",
        "run_status",
        "runner_exit_code",
        "runner_signal",
        "started_ts_utc",
        "ended_ts_utc",
        "gates",
        "metrics",
    }
    assert results["schema_version"] == 1
    assert results["profile"] == {"gate_preset": "tuned_v0", "overrides": {}}
    assert results["started_ts_utc"] == "2026-01-15T10:00:02Z"
    assert results["ended_ts_utc"] == "2026-01-15T10:00:28Z"
    assert results["metrics"][:2] == [
        {"name": "eff_dim", "iter": 20, "value": 31.0},
        {"name": "var_out_k", "iter": 20, "value": 0.5},
    ]
    assert set(results["gates"][-1]["audit"]) == {
        "evaluated",
        "reason",
        "policy",
        "worst_DW",
        "eps_eff",
        "per_metric_tv",
        "evidence_total",
        "min_evidence",
    }


@pytest.mark.parametrize(
    ("decision", "flags"),
    [
        ("pass", {"ok": True, "warn": False}),
        ("warn", {"ok": True, "warn": True}),
        ("fail", {"ok": False, "warn": False}),
        ("skip", {}),
    ],
)
def test_ok_and_warn_follow_the_decision_and_a_skip_has_neither(
    decision: str, flags: dict[str, bool]
) -> None:
    (gate,) = parsed(one_run(decision).entries, "results.json")["gates"]
    assert gate["decision"] == decision
    assert {name: gate[name] for name in ("ok", "warn") if name in gate} == flags


@pytest.mark.parametrize(
    ("decisions", "final", "first"),
    [
        ((), "skip", None),
        (("skip", "skip"), "skip", None),
        (("skip", "pass"), "pass", None),
        (("pass", "warn", "pass"), "warn", None),
        (("fail", "pass"), "fail", 10),
        (("warn", "fail", "pass", "fail"), "fail", 20),
    ],
)
def test_the_worst_decision_is_the_final_one(
    decisions: tuple[str, ...], final: str, first: int | None
) -> None:
    summary = parsed(one_run(*decisions).entries, "results_summary.json")
    assert (summary["final_decision"], summary["first_fail_iter"]) == (final, first)
    assert summary["partial"] is False


def test_a_fail_at_iteration_0_has_its_marker() -> None:
    made = story.Story()
    made.open("r")
    made.plan("r")
    made.gate("r", 0, "fail")
    made.gate("r", 50, "fail")
    made.close("r")
    assert files(made.entries)["first_fail_iter.txt"] == b"0\n"


def test_the_first_fail_is_the_least_iteration_not_the_first_event() -> None:
    made = one_run()
    made.gate("r", 90, "fail")
    made.gate("r", 30, "fail")
    assert files(made.entries)["first_fail_iter.txt"] == b"30\n"


def test_a_fail_that_came_after_the_close_still_counts() -> None:
    made = one_run("pass")
    made.gate("r", 99, "fail")
    assert parsed(made.entries, "results_summary.json")["final_decision"] == "fail"


def test_a_pass_that_was_not_evaluated_is_a_skip() -> None:
    made = one_run()
    made.gate("r", 10, "pass", evaluated=False)
    made.gate("r", 20, "fail", evaluated=False)
    summary = parsed(made.entries, "results_summary.json")
    assert summary["counts"] == {"evaluated": 1, "skip": 1, "pass": 0, "warn": 0, "fail": 1}


@pytest.mark.parametrize(
    ("closing", "status"),
    [
        ({"status": "success"}, "success"),
        ({"status": "user_code_failure", "exit_code": 7}, "user_code_failure"),
        ({"status": "wrapper_failure", "exit_code": None}, "veriscope_failure"),
        (
            {"status": "user_code_failure", "exit_code": None, "signal": "SIGKILL"},
            "user_code_failure",
        ),
    ],
)
def test_the_ending_is_told_in_the_words_of_the_seed(closing: dict[str, Any], status: str) -> None:
    summary = parsed(one_run("pass", **closing).entries, "results_summary.json")
    assert summary["run_status"] == status
    assert summary["partial"] is False
    assert summary["runner_exit_code"] == closing.get("exit_code", 0)
    assert summary["runner_signal"] == closing.get("signal")


def test_a_run_that_never_closed_is_partial_and_a_failure_of_the_wrapper() -> None:
    made = story.Story()
    made.open("r")
    made.plan("r")
    made.gate("r", 20, "fail")
    assert set(files(made.entries)) == {"results_summary.json", "window_signature.json"}
    summary = parsed(made.entries, "results_summary.json")
    assert summary["partial"] is True
    assert summary["note"] == "the run was never closed"
    assert summary["run_status"] == "veriscope_failure"
    assert summary["runner_exit_code"] is None
    assert summary["ended_ts_utc"] is None
    assert summary["first_fail_iter"] is None
    assert summary["final_decision"] == "skip"
    assert set(summary["counts"].values()) == {0}
    assert summary["recorded_counts"] == {
        "evaluated": 1,
        "skip": 0,
        "pass": 0,
        "warn": 0,
        "fail": 1,
    }


def test_what_was_planned_after_the_end_is_no_plan() -> None:
    made = story.Story()
    made.open("r")
    made.close("r")
    made.plan("r")
    summary = parsed(made.entries, "results_summary.json")
    assert (summary["partial"], summary["profile"]["gate_preset"]) == (True, "unplanned")
    assert parsed(made.entries, "window_signature.json")["placeholder"] is True


def test_an_end_before_the_start_is_not_told() -> None:
    """The public readers refuse a file whose end is before its start."""
    made = one_run("pass")
    closed = dataclasses.replace(made.entries[-1], time="2026-01-15T09:59:59.999999Z")
    summary = parsed([*made.entries[:-1], closed], "results_summary.json")
    assert summary["ended_ts_utc"] is None
    assert summary["run_status"] == "success"


def test_overrides_and_the_distributed_block_are_the_plans() -> None:
    entries = story.forecast().entries
    for name in ("results.json", "results_summary.json"):
        document = parsed(entries, name)
        assert document["profile"]["overrides"] == {"window": 20, "warn_z": 5.0, "level": None}
        assert document["distributed"] == payloads.distributed()
    raw = files(entries)["results.json"]
    assert b'"overrides":{"level":null,"warn_z":5.0,"window":20}' in raw


def test_an_audit_says_what_drove_a_forecasting_gate() -> None:
    gates = parsed(story.forecast().entries, "results.json")["gates"]
    drivers = [
        [gate["audit"][name] for name in ("driver", "view", "z", "regime")] for gate in gates
    ]
    assert drivers[0] == [None, None, None, 0]
    assert drivers[-2] == ["loss", "window", 20.25, 1]


def test_what_the_schema_types_as_a_float_is_written_as_one() -> None:
    """A reader of ours that types it hashes 1.0; one that does not would hash 1."""
    raw = files(story.forecast().entries)["results.json"]
    assert b'"worst_DW":1.0' in raw
    assert b'"per_metric_tv":{"act_rms":0.0,"loss":0.0}' in raw


def test_a_second_word_changes_nothing() -> None:
    made = one_run("pass", status="user_code_failure", exit_code=1)
    before = files(made.entries)
    made.open("r", kind="other")
    made.plan("r", gate=payloads.gate_plan(preset="lenient", epsilon=9.0))
    made.close("r")
    assert files(made.entries) == before


def test_an_empty_signal_is_none() -> None:
    summary = parsed(one_run("pass", signal="").entries, "results_summary.json")
    assert summary["runner_signal"] is None


def test_a_number_that_is_not_finite_is_null_and_named_beside_it() -> None:
    made = one_run()
    made.metrics("r", 5, loss="NaN", eff_dim=3)
    made.gate("r", 10, "fail", worst_DW="NaN", per_metric_tv={"a": "Infinity", "b": 0.5})
    results = parsed(made.entries, "results.json")
    assert results["metrics"] == [
        {"name": "eff_dim", "iter": 5, "value": 3.0},
        {"name": "loss", "iter": 5, "value": None, "nonfinite": "NaN"},
    ]
    audit = results["gates"][0]["audit"]
    assert audit["worst_DW"] is None
    assert audit["per_metric_tv"] == {"b": 0.5}
    assert audit["nonfinite"] == {"worst_DW": "NaN", "per_metric_tv": {"a": "Infinity"}}


def test_a_metric_named_like_a_field_hides_nothing() -> None:
    made = one_run()
    made.gate("r", 10, "fail", worst_DW="NaN", per_metric_tv={"worst_DW": "Infinity"})
    audit = parsed(made.entries, "results.json")["gates"][0]["audit"]
    assert audit["nonfinite"] == {"worst_DW": "NaN", "per_metric_tv": {"worst_DW": "Infinity"}}


def test_a_payload_that_does_not_fit_its_schema_is_left_out() -> None:
    made = one_run("pass")
    before = parsed(made.entries, "results.json")
    made.add("gate.checked", "run/r", {"iter": 20, "decision": "fail"})
    made.add("gate.checked", "run/r", payloads.checked(30, "fail", evaluated="yes"))
    assert parsed(made.entries, "results.json") == before


@pytest.mark.parametrize("subject", ["", "run", "run/", "r", "task/r", "RUN/r"])
def test_an_event_that_is_about_no_run_is_of_none(subject: str) -> None:
    made = story.Story()
    made.add("run.opened", subject, payloads.opened())
    assert files(made.entries) == {}


def test_a_ledger_without_runs_has_no_results() -> None:
    assert files(story.Story().entries) == {}
    assert files([]) == {}
