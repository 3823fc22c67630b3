import hashlib
import json
from typing import Any

import payloads
import pytest
import story
from reading import canonical, files, parsed


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
        "gate_warmup": 40,
        "gate_warmup_iters": 40,
        "persistence_k": 2,
        "eps_sens": None,
        "cap_frac": None,
        "policy": "persistence",
        "window": 20,
        "metric_interval": 2,
        "warmup": 40,
        "bins": 16,
        "ranges": {"var_out_k": [0.0, 1.0], "eff_dim": [0.0, 64.0]},
        "weights": {"var_out_k": 0.5, "eff_dim": 0.5},
        "epsilon": 0.3,
        "persistence": 2,
        "min_evidence": 16,
        "gain": None,
        "min_metrics_exceeding": None,
    }


def test_a_forecast_plan_has_the_names_of_the_seed_too_and_all_of_its_own() -> None:
    entries = story.forecast().entries
    raw = files(entries)["window_signature.json"]
    signature = json.loads(raw)
    plan = payloads.forecast_plan()
    assert signature["code_identity"] == {
        "package": "evidence-ledger",
        "gate_engine": "forecast_z/1",
    }
    assert signature["evidence"]["metrics"] == ["act_rms", "loss", "update_rms"]
    assert signature["gate_controls"] == {
        **{name: value for name, value in plan.items() if name != "preset"},
        "gate_window": 20,
        "gate_warmup": 40,
        "gate_warmup_iters": 40,
        "persistence_k": 1,
        "min_metrics_exceeding": None,
        "eps_sens": None,
        "cap_frac": None,
    }
    assert b'"warn_z":5.0' in raw  # the event says 5


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"seed": 8, "max_iters": 1, "model": {}}, True),
        ({"injection": payloads.injection(), "distributed": payloads.distributed()}, True),
        ({"gate": payloads.gate_plan(preset="other")}, True),
        ({"gate": payloads.gate_plan(ranges={"eff_dim": [0.0, 64.0], "var_out_k": [0, 1]})}, True),
        *[
            ({"gate": payloads.gate_plan(**{name: value})}, False)
            for name, value in {
                "gain": -0.5,
                "min_metrics_exceeding": 2,
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
    summary = parsed(made.entries, "results_summary.json")
    assert summary["profile"]["gate_preset"] == "unplanned"
    assert (summary["partial"], summary["note"]) == (True, "the run recorded no plan")
    assert "results.json" not in files(made.entries)


def test_a_run_without_a_plan_names_the_preset_that_was_asked_for() -> None:
    profile = parsed(story.unplanned(), "results_summary.json")["profile"]
    assert profile == {"gate_preset": "spike_v1", "overrides": {}}
