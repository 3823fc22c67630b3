import json
from typing import Any

import payloads
import pytest
import story

from projections import make, project

RUN = "r"


def config(made: story.Story) -> dict[str, Any]:
    (raw,) = project([make("run_config")], made.entries).values()
    return dict(json.loads(raw))


def begun(**opened: Any) -> story.Story:
    made = story.Story()
    made.open(RUN, **opened)
    return made


def planned(**changes: Any) -> story.Story:
    made = begun()
    made.plan(RUN, **changes)
    return made


def test_it_has_every_member_that_the_seed_requires() -> None:
    found = config(story.forecast())
    assert found["schema_version"] == 1
    assert found["ts_utc"] == "2026-01-15T10:00:02Z"
    assert found["package"] == {"name": "evidence-ledger", "version": "0.1.0"}
    assert (found["git_sha"], found["notes"]) == ("ab" * 20, ["dirty"])
    assert found["run"] == {"kind": "gpt", "run_id": "0198-forecast", "outdir": "/data/run"}
    assert found["argv"] == {
        "veriscope_argv": ["ledger", "run", "gpt"],
        "runner_cmd": ["python", "-m", "train", "--steps", "220"],
        "normalized_forwarded_args": ["--steps", "220"],
    }
    assert found["env"] == {"VERISCOPE_SEED": "7", "LEDGER_TOKEN": "***REDACTED***"}
    assert set(found["env_capture"]) == {
        "allowlist",
        "deny_exact",
        "deny_regex",
        "redactions_applied",
    }
    assert found["determinism_status"] == {"strict": False, "pyhashseed_ok": True, "notes": []}
    assert found["dependencies"] == {
        "method": "pip_freeze",
        "path": "environment.txt",
        "notes": [],
    }


def test_it_has_what_a_calibration_reads() -> None:
    found = config(story.forecast())
    assert found["provenance"]["policy_rev"] == "v1"
    assert found["resolved_gate_cfg"]["gate_window"] == 20
    assert found["resolved_gate_cfg"]["gate_warmup"] == 40
    assert found["timing"] == {"veriscope_wall_s": 42.25, "runner_wall_s": 41.75}
    assert found["data_corrupt_at"] == 150
    assert found["resolved_seed"] == 7


@pytest.mark.parametrize("kind", ["permute", "labels", "collapse", "drift", "lr"])
def test_a_fault_of_any_kind_begins_where_public_tools_look_for_it(kind: str) -> None:
    found = config(planned(injection=payloads.injection(kind=kind)))
    assert {name: found[name] for name in found if name.startswith("data_corrupt")} == {
        "data_corrupt_at": 150,
        "data_corrupt_len": 40,
        "data_corrupt_frac": 0.15,
        "data_corrupt_mode": kind,
    }
    assert found["injection"]["kind"] == kind
    assert ("lr_spike_at" in found) == (kind == "lr")


def test_a_spike_of_the_rate_has_the_names_of_the_seed() -> None:
    fault = payloads.injection(kind="lr", fraction=None, factor=30)
    found = config(planned(injection=fault))
    assert (found["lr_spike_at"], found["lr_spike_len"], found["lr_spike_mult"]) == (150, 40, 30.0)
    assert found["data_corrupt_frac"] is None


def test_a_run_without_a_planned_fault_has_no_onset() -> None:
    found = config(planned())
    assert not {"data_corrupt_at", "lr_spike_at", "injection"} & set(found)


def test_it_can_be_made_from_the_start_on() -> None:
    made = begun(gate_preset="tuned_v0")
    first = config(made)
    assert (first["lifecycle_state"], first["run_status"]) == ("STARTED", "running")
    assert (first["gate_preset"], first["wrapper_exit_code"]) == ("tuned_v0", None)
    assert not {"resolved_gate_cfg", "timing", "error", "finished"} & set(first)
    made.plan(RUN)
    assert config(made)["lifecycle_state"] == "RUNNING"
    made.close(RUN)
    last = config(made)
    assert (last["lifecycle_state"], last["run_status"]) == ("FINALIZED", "success")
    assert last["wrapper_exit_code"] == 0
    assert "error" not in last


def test_it_is_not_there_before_the_run_was_opened() -> None:
    made = story.Story()
    made.plan(RUN)
    assert project([make("run_config")], made.entries) == {}


@pytest.mark.parametrize(
    ("closing", "code", "state", "message"),
    [
        (
            {"status": "user_code_failure", "exit_code": 7},
            2,
            "FINALIZED",
            "the runner exited with code 7",
        ),
        (
            {"status": "user_code_failure", "exit_code": None, "signal": "SIGKILL"},
            2,
            "FINALIZED",
            "signal SIGKILL ended the runner",
        ),
        (
            {"status": "wrapper_failure", "exit_code": None},
            3,
            "FAILED_INTERNAL",
            "there was no runner, or the wrapper lost it",
        ),
        (
            {"status": "wrapper_failure", "exit_code": None, "reason": "no such command"},
            3,
            "FAILED_INTERNAL",
            "no such command",
        ),
    ],
)
def test_a_failure_says_what_happened(
    closing: dict[str, Any], code: int, state: str, message: str
) -> None:
    made = planned()
    made.close(RUN, **closing)
    found = config(made)
    assert found["error"]["message"] == message
    assert found["error"]["type"] == found["run_status"]
    assert (found["wrapper_exit_code"], found["lifecycle_state"]) == (code, state)


@pytest.mark.parametrize("overhead", [None, 42.25, 50])
def test_the_time_of_the_runner_is_told_only_where_it_is_known(overhead: float | None) -> None:
    made = planned()
    made.finish(RUN, 10, overhead_s=overhead)
    made.close(RUN)
    assert config(made)["timing"] == {"veriscope_wall_s": 42.25}


def test_what_was_planned_or_said_twice_counts_once() -> None:
    made = planned(seed=1)
    made.plan(RUN, seed=2)
    made.open(RUN, kind="other")
    made.finish(RUN, 1)
    made.finish(RUN, 2)
    found = config(made)
    assert (found["resolved_seed"], found["run"]["kind"]) == (1, "gpt")
    assert found["finished"]["iters"] == 1


def test_a_plan_after_the_end_leaves_no_trace() -> None:
    made = begun()
    made.close(RUN)
    made.plan(RUN)
    assert not {"resolved_gate_cfg", "resolved_seed", "model"} & set(config(made))


def test_nothing_is_said_of_what_nobody_listed() -> None:
    found = config(begun())
    assert found["dependencies"] == {"method": "unavailable", "notes": []}
    assert found["determinism_status"] == {}
    assert "normalized_forwarded_args" not in found["argv"]
