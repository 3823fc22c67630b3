"""``diff`` and ``report --compare``: what may be compared, and what is shown of it."""

import json
from pathlib import Path
from typing import Any

import contracts
import pytest
from cli_shell import Command
from contracts import Capsule

HASH = contracts.digest(contracts.signature())
HEADER = [
    "outdir",
    "run_id",
    "run_status",
    "schema_version",
    "wrapper_exit_code",
    "runner_exit_code",
    "final_decision",
    "effective_decision",
    "decision_source",
    "manual_status",
    "gate_preset",
    "window_signature_hash",
    "partial",
    "governance_present",
    "governance_ok",
    "governance_rev",
    "governance_legacy_missing_hash",
]
TITLES = (
    "| run_id | run_status | wrapper_exit_code | runner_exit_code | final_decision |"
    " effective_decision | decision_source | window_signature_hash | gate_preset | partial |"
    " gov_present | gov_ok | gov_rev | gov_legacy_missing_hash |"
)
OTHER = (("skip", 100), ("pass", 200), ("warn", 300), ("warn", 400), ("pass", 600))


def preset(capsule: Capsule, name: str) -> Capsule:
    for document in (capsule.results, capsule.summary):
        if document is not None:
            document["profile"]["gate_preset"] = name
    return capsule


def shifted(capsule: Capsule) -> Capsule:
    assert capsule.results is not None
    for metric in capsule.results["metrics"]:
        if metric["name"] == "loss" and metric["iter"] >= 300:
            metric["value"] += 0.25 * (metric["iter"] == 400) + 0.125
    return capsule


def other_window() -> Capsule:
    capsule = contracts.capsule()
    capsule.signature["metric_interval"] = 7
    return capsule


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    a = contracts.capsule().write(tmp_path / "a")
    b = shifted(contracts.capsule(OTHER)).write(tmp_path / "b")
    return a, b


def test_diff_prints_the_contracts_blocks_and_then_ours(
    pair: tuple[Path, Path], call: Command
) -> None:
    a, b = pair
    done = call("diff", a, b)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[:19] == [
        "Run A:",
        f"  outdir: {a}",
        f"  run_id: {contracts.RUN}",
        "  run_status: success",
        "  schema_version: 1",
        "  wrapper_exit_code: 0",
        "  runner_exit_code: 0",
        "  final_decision: fail",
        "  effective_decision: fail",
        "  decision_source: automated",
        "  manual_status: -",
        "  gate_preset: tuned_v0",
        f"  window_signature_hash: {HASH[:12]}",
        "  partial: false",
        "  governance_present: yes",
        "  governance_ok: yes",
        "  governance_rev: 6",
        "  governance_legacy_missing_hash: no",
        "",
    ]
    assert lines[38:] == [
        "Comparison:",
        "  run_id_differs: no",
        "  run_status_differs: no",
        "  schema_version_differs: no",
        "  wrapper_exit_code_differs: no",
        "  runner_exit_code_differs: no",
        "  final_decision_differs: yes",
        "  effective_decision_differs: yes",
        "  decision_source_differs: no",
        "  manual_status_differs: no",
        "  gate_preset_differs: no",
        "  window_signature_hash_differs: no",
        "  governance_present_differs: no",
        "  governance_ok_differs: no",
        "  governance_rev_differs: no",
        "  counts_differs: yes",
        "  counts_a: evaluated=4 skip=1 pass=2 warn=1 fail=1",
        "  counts_b: evaluated=4 skip=1 pass=2 warn=2 fail=0",
        "",
        "Comparability:",
        "  ok: yes",
        "  reason: -",
        "  details: -",
        "  policy: {'allow_gate_preset_mismatch': False}",
        "",
        "Trajectories:",
        "  eff_dim: last_a=56.25 last_b=56.25 max_abs_difference=0 at iter=0",
        "  loss: last_a=4.5 last_b=4.625 max_abs_difference=0.375 at iter=400",
        "  decisions_differ: 3",
        "    iter=400: a=fail b=warn",
        "    iter=500: a=pass b=-",
        "    iter=600: a=- b=pass",
    ]


def test_diff_gives_programs_the_contracts_payload_and_the_trajectories(
    pair: tuple[Path, Path], call: Command
) -> None:
    done = call("diff", *pair, "--format", "json")
    answer = json.loads(done.out)
    assert done.code == 0
    assert sorted(answer) == [
        "comparability", "exit_code", "partial_mode", "run_a", "run_b", "schema", "trajectories",
    ]  # fmt: skip
    assert answer["comparability"] == {
        "ok": True,
        "reason": None,
        "details": {},
        "warnings": [],
        "policy": {"allow_gate_preset_mismatch": False},
    }
    assert sorted(answer["run_a"]) == sorted(HEADER)
    assert answer["run_a"]["window_signature_hash"] == HASH
    assert answer["partial_mode"] is False
    assert answer["trajectories"]["metrics"][1] == {
        "name": "loss",
        "observed_a": 10,
        "observed_b": 10,
        "last_a": 4.5,
        "last_b": 4.625,
        "common_iters": 10,
        "max_abs_difference": 0.375,
        "max_abs_difference_iter": 400,
    }
    assert call("diff", *pair, "--json").out == done.out


@pytest.mark.parametrize(
    ("reason", "make"),
    [
        ("PARTIAL_CAPSULE", contracts.partial),
        ("WINDOW_HASH_MISMATCH", other_window),
        ("GATE_PRESET_MISMATCH", lambda: preset(contracts.capsule(), "legacy")),
    ],
)
def test_what_may_not_be_compared_exits_2_with_the_reason(
    reason: str, make: Any, tmp_path: Path, call: Command
) -> None:
    a = contracts.capsule().write(tmp_path / "a")
    b = make().write(tmp_path / "b")
    done = call("diff", a, b)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"INCOMPARABLE: {reason}\nComparability:\n  ok: no\n")
    done = call("diff", a, b, "--format", "json")
    answer = json.loads(done.out)
    assert (done.code, answer["exit_code"]) == (2, 2)
    assert (answer["comparability"]["ok"], answer["comparability"]["reason"]) == (False, reason)
    assert answer["trajectories"] is None
    done = call("report", "--compare", a, b)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"INCOMPARABLE: {reason}\n  ok: no\n")


def test_presets_may_differ_on_request_and_by_alias(tmp_path: Path, call: Command) -> None:
    a = contracts.capsule().write(tmp_path / "a")
    b = preset(contracts.capsule(), "legacy").write(tmp_path / "b")
    c = preset(contracts.capsule(), "TUNED").write(tmp_path / "c")
    assert call("diff", a, b, "--allow-gate-preset-mismatch").code == 0
    assert call("report", "--compare", a, b, "--allow-gate-preset-mismatch").code == 0
    assert call("diff", a, c).code == 0


def test_an_invalid_capsule_is_never_compared_not_even_for_programs(
    tmp_path: Path, call: Command
) -> None:
    a = contracts.capsule().write(tmp_path / "a")
    b = contracts.capsule().write(tmp_path / "b")
    (b / "governance_log.jsonl").unlink()
    for options in ((), ("--json",), ("--format", "json")):
        done = call("diff", a, b, *options)
        assert (done.code, done.out) == (2, "")
        assert done.err == "INVALID: Missing governance_log.jsonl for results.json\n"
        done = call("report", "--compare", a, b, "--allow-incompatible", *options)
        assert (done.code, done.out) == (2, "")


def test_compare_prints_one_table_with_the_first_as_reference(
    pair: tuple[Path, Path], tmp_path: Path, call: Command
) -> None:
    done = call("report", "--compare", *pair)
    row = f"| {contracts.RUN} | success | 0 | 0 | fail | fail | automated | {HASH[:12]}"
    assert done.code == 0
    assert done.out.splitlines() == [
        TITLES,
        f"|{' --- |' * 14}",
        f"{row} | tuned_v0 | false | yes | yes | 6 | no |",
        f"{row.replace('fail', 'warn')} | tuned_v0 | false | yes | yes | 6 | no |",
        "",
        "Comparable group: yes, reason=OK",
    ]
    assert call("report", "--compare", *pair, "--format", "md").out == done.out
    other = other_window().write(tmp_path / "c")
    done = call("report", "--compare", *pair, other, "--allow-incompatible")
    lines = done.out.splitlines()
    assert done.code == 0
    assert lines[0].endswith(" | comparable | reason |")
    assert [line.split(" | ")[-2:] for line in lines[2:5]] == [
        ["yes", "- |"],
        ["yes", "- |"],
        ["no", "WINDOW_HASH_MISMATCH |"],
    ]
    assert lines[6] == "Comparable group: no, reason=WINDOW_HASH_MISMATCH"
    assert "- run_index=2" in lines


def test_compare_gives_programs_each_runs_comparability(
    pair: tuple[Path, Path], tmp_path: Path, call: Command
) -> None:
    other = other_window().write(tmp_path / "c")
    options = ("--allow-incompatible", "--format", "json")
    answer = json.loads(call("report", "--compare", *pair, other, *options).out)
    assert answer["reference_run_id"] == contracts.RUN
    assert [each["comparability"]["ok"] for each in answer["comparisons"]] == [True, True, False]


def test_a_judgement_is_what_counts_and_is_said_to_be_one(tmp_path: Path, call: Command) -> None:
    a = contracts.capsule()
    a.judgement = contracts.judgement()
    b = contracts.capsule().write(tmp_path / "b")
    answer = json.loads(call("diff", a.write(tmp_path / "a"), b, "--json").out)
    run = answer["run_a"]
    assert (run["final_decision"], run["effective_decision"]) == ("fail", "pass")
    assert (run["decision_source"], run["manual_status"]) == ("manual", "pass")


def test_the_last_line_of_judgements_counts_and_one_taken_back_does_not(
    tmp_path: Path, call: Command
) -> None:
    a = contracts.capsule().write(tmp_path / "a")
    lines = [
        contracts.judgement(rev=1, status="fail"),
        {"rev": 2, "status": "warn"},
        contracts.judgement(rev=3, run_id="other"),
        contracts.judgement(rev=4, status="cleared"),
        contracts.judgement(rev=5, ts_utc="2026-01-15T00:00:00Z"),
    ]
    text = b"".join(contracts.canonical(line) + b"\n" for line in lines)
    (a / "manual_judgement.jsonl").write_bytes(text)
    done = call("diff", a, contracts.capsule().write(tmp_path / "b"), "--json")
    assert json.loads(done.out)["run_a"]["manual_status"] == "pass"
    assert [line.split(" ")[:2] for line in done.err.splitlines()] == [
        ["RUN_A:WARNING:MANUAL_JUDGEMENT_LOG_INVALID", "line=2"],
        ["RUN_A:WARNING:MANUAL_JUDGEMENT_RUN_ID_MISMATCH", "line=3"],
        ["RUN_A:WARNING:MANUAL_JUDGEMENT_TS_DECREASE", "line=5"],
    ]


def test_runs_that_were_spread_differently_are_compared_with_a_warning(
    tmp_path: Path, call: Command
) -> None:
    dirs = []
    for name, size, mode in (("a", 2, "ddp_wrapped"), ("b", 1, "single_process")):
        capsule = contracts.capsule()
        block = {"distributed_mode": mode, "world_size_observed": size, "rank": 0}
        capsule.log[0] = contracts.started(distributed=block)
        dirs.append(capsule.write(tmp_path / name))
    for command in (("diff",), ("report", "--compare")):
        done = call(*command, *dirs)
        assert done.code == 0
        assert done.err.startswith("WARNING:DISTRIBUTED_METADATA_MISMATCH A(mode=ddp_wrapped,")


def test_diff_sees_what_equal_counts_hide(tmp_path: Path, call: Command) -> None:
    a = contracts.capsule((("pass", 100), ("fail", 200))).write(tmp_path / "a")
    b = contracts.capsule((("fail", 100), ("pass", 200))).write(tmp_path / "b")
    done = call("diff", a, b)
    assert "  counts_differs: no" in done.out
    assert "  decisions_differ: 2\n    iter=100: a=pass b=fail\n" in done.out
