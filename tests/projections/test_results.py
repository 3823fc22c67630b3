import hashlib
import json
import re
from pathlib import PurePosixPath
from typing import Any

import pytest
import story
from hypothesis import given, settings
from hypothesis import strategies as st

from projections import PROJECTIONS, project, run_directory

RESULT_NAMES = ("results", "summary", "window_signature")


def files(entries: list[story.Entry]) -> dict[str, bytes]:
    return project([PROJECTIONS[name]() for name in RESULT_NAMES], entries)


def parsed(entries: list[story.Entry], name: str) -> dict[str, Any]:
    value = json.loads(files(entries)[name])
    assert isinstance(value, dict)
    return value


def canonical(value: object) -> bytes:
    """The seed's section 4B, written down a second time."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def one_run(*decisions: str, **closing: Any) -> story.Story:
    made = story.Story()
    made.open("r")
    made.plan("r")
    for number, decision in enumerate(decisions, 1):
        made.gate("r", number * 10, decision)
    made.close("r", **closing)
    return made


@settings(max_examples=60, deadline=None)
@given(story.stories())
def test_every_file_is_canonical_json_with_a_line_end_and_finite(
    entries: list[story.Entry],
) -> None:
    for path, content in files(entries).items():
        if path.endswith(".json"):
            assert content == canonical(json.loads(content, parse_constant=pytest.fail)) + b"\n"
        else:
            assert re.fullmatch(rb"[0-9]+\n", content)


@settings(max_examples=60, deadline=None)
@given(story.stories())
def test_counts_agree_with_a_second_count(entries: list[story.Entry]) -> None:
    """Counted here from the events alone, without the code under test."""
    made = files(entries)
    runs = {path.rpartition("results.json")[0] for path in made if path.endswith("results.json")}
    for prefix in runs:
        results, summary = (
            json.loads(made[prefix + name]) for name in ("results.json", "results_summary.json")
        )
        subject = f"run/{summary['run_id']}"
        gates = [
            (entry.data["iter"], entry.data["decision"])
            for entry in entries
            if entry.type == "gate.checked" and entry.subject == subject and "audit" in entry.data
        ]
        assert [(gate["iter"], gate["decision"]) for gate in results["gates"]] == gates
        words = ("skip", "pass", "warn", "fail")
        tally = {word: sum(word == said for _, said in gates) for word in words}
        evaluated = tally["pass"] + tally["warn"] + tally["fail"]
        assert summary["counts"] == {**tally, "evaluated": evaluated}
        assert summary["final_decision"] == next(
            (word for word in ("fail", "warn", "pass") if tally[word]), "skip"
        )
        fails = [step for step, said in gates if said == "fail"]
        assert summary["first_fail_iter"] == min(fails, default=None)
        assert (prefix + "first_fail_iter.txt" in made) == bool(fails)
        if fails:
            assert made[prefix + "first_fail_iter.txt"] == f"{min(fails)}\n".encode()


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
    assert results["started_ts_utc"] == "2026-01-15T10:00:02.000000Z"
    assert results["ended_ts_utc"] == "2026-01-15T10:00:28.000000Z"
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
    summary = parsed(story.partial(), "results_summary.json")
    assert summary["partial"] is True
    assert summary["run_status"] == "veriscope_failure"
    assert summary["runner_exit_code"] is None
    assert summary["ended_ts_utc"] is None
    assert summary["final_decision"] == "skip"


def test_a_second_word_changes_nothing() -> None:
    made = one_run("pass", status="user_code_failure", exit_code=1)
    before = files(made.entries)
    made.open("r", kind="other")
    made.plan("r", gate=story.gate_plan(preset="lenient", epsilon=9.0))
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
    made.add("gate.checked", "run/r", story.checked(30, "fail", evaluated="yes"))
    assert parsed(made.entries, "results.json") == before


@pytest.mark.parametrize("subject", ["", "run", "run/", "r", "task/r", "RUN/r"])
def test_an_event_that_is_about_no_run_is_of_none(subject: str) -> None:
    made = story.Story()
    made.add("run.opened", subject, story.opened())
    assert files(made.entries) == {}


def test_a_ledger_without_runs_has_no_results() -> None:
    assert files(story.Story().entries) == {}
    assert files([]) == {}


# The window signature


def test_the_reference_is_the_hash_of_the_canonical_signature() -> None:
    made = files(story.fail_then_pass().entries)
    signature = json.loads(made["window_signature.json"])
    digest = hashlib.sha256(canonical(signature)).hexdigest()
    for name in ("results.json", "results_summary.json"):
        assert json.loads(made[name])["window_signature_ref"] == {
            "hash": digest,
            "path": "window_signature.json",
        }
    controls = signature["gate_controls"]
    assert signature["gate_controls_hash"] == hashlib.sha256(canonical(controls)).hexdigest()
    assert signature["schema_version"] == 1
    assert "created_ts_utc" not in signature


def test_the_gate_controls_name_every_control_of_the_seed_and_null_what_is_absent() -> None:
    controls = parsed(story.fail_then_pass().entries, "window_signature.json")["gate_controls"]
    assert controls == {
        "gate_window": 20,
        "gate_warmup_iters": 40,
        "gate_epsilon": 0.3,
        "min_evidence": 16,
        "policy": "persistence",
        "persistence_k": 2,
        "min_metrics_exceeding": None,
        "eps_sens": None,
        "cap_frac": None,
    }


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"seed": 8, "max_iters": 1, "model": {}}, True),
        ({"gate": story.gate_plan(ranges={"eff_dim": [0.0, 64.0], "var_out_k": [0, 1]})}, True),
        *[
            ({"gate": story.gate_plan(**{name: value})}, False)
            for name, value in {
                "preset": "other",
                "policy": "other",
                "window": 21,
                "metric_interval": 3,
                "warmup": 41,
                "bins": 17,
                "ranges": {"var_out_k": [0.0, 1.0], "eff_dim": [0, 65]},
                "weights": {"var_out_k": 0.5, "eff_dim": 0.25},
                "epsilon": 0.31,
                "persistence": 3,
                "min_evidence": 17,
            }.items()
        ],
    ],
)
def test_two_plans_compare_exactly_when_their_gates_are_the_same(
    change: dict[str, Any], *, same: bool
) -> None:
    signatures = []
    for changes in ({}, change):
        made = story.Story()
        made.open("r")
        made.plan("r", **changes)
        signatures.append(files(made.entries)["window_signature.json"])
    assert (signatures[0] == signatures[1]) is same


def test_a_run_without_a_plan_has_a_placeholder_that_says_so() -> None:
    made = story.Story()
    made.open("r")
    made.close("r", status="user_code_failure", exit_code=1)
    signature = parsed(made.entries, "window_signature.json")
    assert signature["placeholder"] is True
    assert parsed(made.entries, "results.json")["profile"]["gate_preset"] == "unplanned"


# Several runs


def test_several_runs_do_not_mix() -> None:
    made = files(story.several_runs("first", "second", "third").entries)
    finals = {
        path: json.loads(content)["final_decision"]
        for path, content in made.items()
        if path.endswith("results_summary.json")
    }
    assert finals == {
        "runs/first/results_summary.json": "pass",
        "runs/second/results_summary.json": "fail",
        "runs/third/results_summary.json": "pass",
    }
    assert "runs/second/first_fail_iter.txt" in made
    assert "runs/first/first_fail_iter.txt" not in made
    values = [item["value"] for item in json.loads(made["runs/third/results.json"])["metrics"]]
    assert values == [22.0, 42.0, 62.0]


def test_each_of_several_runs_says_what_it_would_say_alone() -> None:
    shared = files(story.several_runs("first", "second").entries)
    alone = json.loads(shared["runs/first/results.json"])["gates"]
    single = parsed(story.several_runs("first").entries, "results.json")["gates"]
    assert alone == single


@pytest.mark.parametrize("run_id", story.HOSTILE_TEXTS)
def test_no_run_id_leads_out_of_its_directory(run_id: str) -> None:
    for path in files(story.several_runs("honest", run_id).entries):
        parts = PurePosixPath(path).parts
        assert parts[0] == "runs"
        assert len(parts) == 3
        assert re.fullmatch(r"[a-z0-9_-]{1,80}(~[0-9a-f]{32})?", parts[1])
        assert parts[1] not in {"con", "nul", "aux", "prn"}


@given(
    st.lists(story.TEXTS | st.text("aA.-_~/0", min_size=1, max_size=4), unique=True, max_size=20)
)
def test_no_two_run_ids_share_a_directory_even_under_case_folding(run_ids: list[str]) -> None:
    directories = {run_directory(run_id).casefold() for run_id in run_ids}
    assert len(directories) == len(run_ids)


def test_a_plain_run_id_is_its_own_directory() -> None:
    assert run_directory("0197f3c2-2222-7abc") == "runs/0197f3c2-2222-7abc"
    assert run_directory("a" * 81) != "runs/" + "a" * 81
