"""``calibrate``: the contract's numbers, exact intervals, and the guard before the onset."""

import json
from pathlib import Path
from typing import Any

import contracts
import pytest
from cli_shell import Command, Finished
from contracts import Capsule

from cli.capsules.intervals import clopper_pearson

Steps = tuple[tuple[str, int], ...]
QUIET: Steps = (("skip", 100), *(("pass", step) for step in range(200, 2000, 100)))


def steps(**alarms: str) -> Steps:
    """A quiet run with other decisions at some iterations: ``steps(_500="fail")``."""
    changed = {int(name[1:]): word for name, word in alarms.items()}
    return tuple((changed.get(step, word), step) for word, step in QUIET)


def control(**alarms: str) -> Capsule:
    return contracts.capsule(steps(**alarms), metrics=False)


def injected(at: int | None = 1000, **alarms: str) -> Capsule:
    capsule = contracts.capsule(steps(**alarms), metrics=False)
    assert capsule.config is not None
    capsule.config["data_corrupt_at"] = -1 if at is None else at
    return capsule


class Bench:
    """Writes capsules, each time to new places, and calibrates with them."""

    def __init__(self, folder: Path, call: Command) -> None:
        self.folder = folder
        self.call = call
        self.runs = 0

    def run(
        self, *controls: Capsule, against: Capsule, options: tuple[object, ...] = ()
    ) -> Finished:
        self.runs += 1
        place = self.folder / f"run{self.runs}"
        words: list[object] = []
        for number, capsule in enumerate(controls):
            words += ["--control-dir", capsule.write(place / f"control{number}")]
        words += ["--injected-dir", against.write(place / "injected")]
        words += ["--out", self.folder / "out.json", "--out-md", self.folder / "out.md"]
        return self.call("calibrate", *words, *options)

    def numbers(
        self, *controls: Capsule, against: Capsule, options: tuple[object, ...] = ()
    ) -> Any:
        done = self.run(*controls, against=against, options=options)
        assert done.code == 0, done.err
        return json.loads((self.folder / "out.json").read_text())


@pytest.fixture
def bench(tmp_path: Path, call: Command) -> Bench:
    return Bench(tmp_path, call)


def test_the_numbers_are_the_contracts(bench: Bench) -> None:
    found = bench.numbers(
        control(_500="warn", _700="fail"), against=injected(_1100="warn", _1300="fail")
    )
    expected = {
        "W": 100,
        "W_source": "window_signature.gate_controls.gate_window",
        "K": 150,
        "warmup_source": "control.run_config_resolved.resolved_gate_cfg.gate_warmup",
        "FAR": 2 / 18,
        "FAR_warnfail": 2 / 18,
        "FAR_fail": 1 / 18,
        "FAR_counts": {
            "post_warmup_total": 18,
            "post_warmup_fail": 1,
            "post_warmup_warnfail": 2,
        },
        "FAR_source": "results.json",
        "Delay_W": 1.0,
        "Delay_warn_W": 1.0,
        "Delay_warn_iters": 100,
        "Delay_fail_W": 3.0,
        "Delay_fail_iters": 300,
        "injection_onset_iter": 1000,
        "injection_onset_source": "run_config_resolved.data_corrupt_at",
        "overhead": 1.02,
        "policy_rev": "v1",
        "redactions_applied": False,
        "calibration_status": "complete",
        "missing_fields": [],
        "notes": [],
        "control_gate_events_source": "results.json",
        "control_gate_events_total": 19,
        "control_gate_events_post_warmup": 18,
        "control_gate_events_truncated": True,
        "control_final_decision": "fail",
        "control_effective_decision": "pass",
        "control_effective_decision_source": "post_warmup_last",
        "injected_final_decision": "fail",
        "pre_onset_alarm": False,
    }
    assert {name: found[name] for name in expected} == expected
    assert [row["iter"] for row in found["control_gate_events_first"]] == [100, 200, 300, 400, 500]
    assert found["control_gate_events_first"][4] == {
        "iter": 500,
        "decision": "warn",
        "reason": "change_warn",
        "worst_DW": 0.5,
    }
    assert found["control_gate_events_last"][0]["iter"] == 1500


def test_the_files_are_the_same_bytes_every_time_and_end_as_the_contract_says(
    bench: Bench,
) -> None:
    done = bench.run(control(), against=injected(_1000="warn"))
    folder = bench.folder
    assert done.out == f"WROTE: {folder / 'out.json'} {folder / 'out.md'}\n"
    first = [(folder / name).read_bytes() for name in ("out.json", "out.md")]
    text = first[0].decode()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True)
    bench.run(control(), against=injected(_1000="warn"))
    assert [(folder / name).read_bytes() for name in ("out.json", "out.md")] == first
    page = first[1].decode()
    assert page.startswith("# Pilot Calibration Summary\n\n## Summary\n")
    assert "- Control FAR_warnfail (post-warmup): 0 (0/18, 95 % 0.0000 to 0.1853)\n" in page
    assert "| 100 | skip | not_evaluated_warmup | n/a |\n" in page
    assert page.endswith("- Overhead ≤ 5% wall-clock (when timing fields exist).\n")


@pytest.mark.parametrize("alarm", ["warn", "fail"])
@pytest.mark.parametrize("step", [800, 900])
def test_a_gate_that_alarmed_before_the_onset_has_no_delay(
    alarm: str, step: int, bench: Bench
) -> None:
    """The public tool counts it as a delay of 0, and calls the calibration complete."""
    against = injected(1000, _1000="fail", **{f"_{step}": alarm})
    found = bench.numbers(control(), against=against)
    assert found["pre_onset_alarm"] is True
    assert (found["Delay_W"], found["Delay_fail_iters"]) == (None, None)
    assert found["calibration_status"] == "incomplete"
    assert found["missing_fields"] == ["injected.pre_onset_alarm", "injected.delay_warn_missing"]


def test_an_alarm_long_before_the_onset_is_no_reason_to_drop_the_delay(bench: Bench) -> None:
    found = bench.numbers(control(), against=injected(_700="fail", _1200="warn"))
    assert (found["pre_onset_alarm"], found["Delay_W"]) == (False, 2.0)


def test_skipped_checks_are_not_among_the_two_that_must_be_quiet(bench: Bench) -> None:
    against = injected(_700="fail", _800="skip", _1200="warn")
    assert bench.numbers(control(), against=against)["pre_onset_alarm"] is True


def test_several_controls_are_pooled_and_each_is_shown(bench: Bench) -> None:
    found = bench.numbers(
        control(), control(_500="warn"), control(), against=injected(_1000="fail")
    )
    assert found["FAR_counts"]["post_warmup_total"] == 54
    assert found["FAR"] == 1 / 54
    assert [run["FAR"] for run in found["control_runs"]] == [0.0, 1 / 18, 0.0]
    assert found["FAR_ci95"] == list(clopper_pearson(1, 54))
    assert found["sample_size_needed"] == {"FAR_at_most_0.05": 72, "FAR_at_most_0.01": 368}
    assert found["overhead_fraction"] == pytest.approx(0.02)
    assert found["overhead_runs"] == 4
    page = (bench.folder / "out.md").read_text()
    assert f"| {contracts.RUN} | 18 | 1 | 0 | 0.0555556 | 0.0014 to 0.2729 |\n" in page


def test_what_is_missing_is_named(bench: Bench) -> None:
    lone = contracts.capsule((("skip", 100),), metrics=False)
    found = bench.numbers(lone, against=injected(None))
    assert (found["FAR"], found["FAR_ci95"], found["Delay_W"]) == (None, None, None)
    assert found["calibration_status"] == "incomplete"
    assert found["missing_fields"] == [
        "control.post_warmup_events_missing",
        "injected.injection_onset_missing",
        "injected.delay_warn_missing",
    ]
    assert found["injection_onset_source"] == "missing"


def test_the_onset_may_be_said_on_the_command_line(bench: Bench) -> None:
    options = ("--injection-onset-iter", 1100)
    found = bench.numbers(control(), against=injected(None, _1300="warn"), options=options)
    assert (found["Delay_W"], found["injection_onset_source"]) == (2.0, "cli.injection_onset_iter")


@pytest.mark.parametrize(
    ("config", "source"),
    [
        ({"lr_spike_at": 1200}, "run_config_resolved.lr_spike_at"),
        ({"injection": {"kind": "collapse", "at": 1200}}, "run_config_resolved.injection.at"),
    ],
)
def test_our_own_runs_say_the_onset_of_every_kind_of_fault(
    config: dict[str, Any], source: str, bench: Bench
) -> None:
    against = injected(None, _1300="warn")
    assert against.config is not None
    against.config |= config
    found = bench.numbers(control(), against=against)
    assert (found["Delay_W"], found["injection_onset_source"]) == (1.0, source)


def bare(capsule: Capsule) -> Capsule:
    """Without any word of the gate's window and warm-up in its configuration."""
    assert capsule.config is not None
    capsule.config = {"data_corrupt_at": capsule.config["data_corrupt_at"]}
    return capsule


def unplanned(capsule: Capsule, controls: dict[str, Any]) -> Capsule:
    capsule.signature["gate_controls"] = controls
    return capsule


def test_the_warm_up_is_guessed_only_where_nobody_says_it(bench: Bench) -> None:
    planned = bench.numbers(bare(control()), against=bare(injected(_1000="warn")))
    assert planned["warmup_source"] == "window_signature.gate_controls.gate_warmup"
    assert planned["notes"] == [
        "NOTE:delay_0_the_check_ends_where_the_fault_begins", "NOTE:timing"
    ]  # fmt: skip
    only = {"gate_window": 100}
    found = bench.numbers(
        unplanned(bare(control()), only), against=unplanned(bare(injected(_1000="warn")), only)
    )
    assert (found["K"], found["warmup_source"]) == (100, "inferred_min_gate_iter")
    assert found["calibration_status"] == "incomplete"
    assert found["missing_fields"] == ["global.warmup_missing_inferred"]
    assert found["overhead"] is None
    assert found["policy_rev"] == "unknown"
    assert found["redactions_applied"] == "unknown"


def timed(**timing: object) -> Capsule:
    capsule = injected(_1100="warn")
    assert capsule.config is not None
    capsule.config["timing"] = timing
    return capsule


@pytest.mark.parametrize(
    ("against", "note"),
    [
        (timed(), "NOTE:timing.runner_wall_s NOTE:timing.veriscope_wall_s"),
        (timed(veriscope_wall_s=1.0), "NOTE:timing.runner_wall_s"),
        (timed(runner_wall_s=1.0), "NOTE:timing.veriscope_wall_s"),
        (timed(runner_wall_s="x", veriscope_wall_s=1.0), "NOTE:timing.parse_error"),
        (timed(runner_wall_s=0.0, veriscope_wall_s=1.0), "NOTE:timing.runner_wall_s_nonpositive"),
    ],
)
def test_an_overhead_that_cannot_be_told_is_noted_and_not_missing(
    against: Capsule, note: str, bench: Bench
) -> None:
    found = bench.numbers(control(), against=against)
    assert found["overhead"] is None
    assert found["notes"] == note.split()
    assert found["missing_fields"] == []
    assert found["calibration_status"] == "complete"


def other_window() -> Capsule:
    capsule = injected()
    capsule.signature["metric_interval"] = 9
    return capsule


def change(capsule: Capsule, **members: Any) -> Capsule:
    for document in (capsule.results, capsule.summary):
        if document is not None:
            document.update(members)
    return capsule


def lacking(capsule: Capsule, name: str) -> Capsule:
    capsule.after.append(lambda outdir: (outdir / name).unlink())
    return capsule


def spoiled(capsule: Capsule, name: str, content: bytes) -> Capsule:
    def spoil(outdir: Path) -> None:
        (outdir / name).write_bytes(content)

    capsule.after.append(spoil)
    return capsule


def gate(capsule: Capsule, **members: Any) -> Capsule:
    assert capsule.results is not None
    found = capsule.results["gates"][1]
    for name, value in members.items():
        found[name] = value
        if value is None:
            del found[name]
    return capsule


def reference(**members: Any) -> Capsule:
    capsule = injected()
    capsule.summary["window_signature_ref"] = {"path": "window_signature.json", **members}
    return capsule


def summary_without(name: str) -> Capsule:
    capsule = injected()
    del capsule.summary[name]
    return capsule


def no_hash() -> Capsule:
    """The hash is put in when the capsule is sealed; so it is taken out after that."""
    capsule = injected()

    def take_out(outdir: Path) -> None:
        document = json.loads((outdir / "results_summary.json").read_bytes())
        del document["window_signature_ref"]["hash"]
        (outdir / "results_summary.json").write_bytes(contracts.canonical(document))

    capsule.after.append(take_out)
    return capsule


REFUSED = {
    "MISSING_RESULTS_SUMMARY": lacking(injected(), "results_summary.json"),
    "MISSING_WINDOW_SIGNATURE": lacking(injected(), "window_signature.json"),
    "INVALID_WINDOW_SIGNATURE": spoiled(injected(), "window_signature.json", b"[]"),
    "INVALID_INJECTED_CAPSULE": lacking(injected(_1100="fail"), "first_fail_iter.txt"),
    "INVALID_RUN_CONFIG": spoiled(injected(), "run_config_resolved.json", b"{"),
    "RUN_STATUS_NOT_SUCCESS": change(injected(), run_status="user_code_failure"),
    "WINDOW_SIGNATURE_HASH_MISMATCH": other_window(),
    "MISSING_WINDOW_SIGNATURE_REF": summary_without("window_signature_ref"),
    "MISSING_WINDOW_SIGNATURE_REF_HASH": no_hash(),
    "MISSING_GATE_PRESET": change(injected(), profile={}),
    "GATE_PRESET_MISMATCH": change(injected(), profile={"gate_preset": "legacy"}),
    "MISSING_GATE_ITER": gate(injected(), iter=None),
    "INVALID_GATE_ITER": gate(injected(), iter="soon"),
    "INVALID_GATE_DECISION": gate(injected(), decision="maybe"),
}


@pytest.mark.parametrize("token", REFUSED)
def test_an_injected_capsule_that_will_not_do_is_refused_with_its_token(
    token: str, bench: Bench
) -> None:
    done = bench.run(control(), against=REFUSED[token])
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"{token}: "), done.err
    assert not (bench.folder / "out.json").exists()


def test_a_control_that_will_not_do_is_refused(bench: Bench) -> None:
    broken = lacking(control(), "governance_log.jsonl")
    done = bench.run(control(), broken, against=injected())
    assert done.err.startswith("INVALID_CONTROL_CAPSULE: control: Missing governance_log.jsonl")
    assert done.code == 2


def test_a_partial_run_is_no_control(bench: Bench) -> None:
    done = bench.run(contracts.partial(), against=injected())
    assert done.code == 2
    assert done.err.startswith("RUN_STATUS_NOT_SUCCESS: ")
    done = bench.run(control(), against=change(contracts.partial(), run_status="success"))
    assert (done.code, done.err.split(":")[0]) == (2, "INVALID_INJECTED_CAPSULE")


def test_a_window_that_nobody_names_is_missed(bench: Bench) -> None:
    found = unplanned(bare(control()), {}), unplanned(bare(injected()), {})
    done = bench.run(found[0], against=found[1])
    assert (done.code, done.err.split(":")[0]) == (2, "MISSING_GATE_WINDOW")


def test_a_disk_that_refuses_is_an_internal_error(bench: Bench) -> None:
    options = ("--out", bench.folder / "none" / "out.json")
    done = bench.run(control(), against=injected(_1100="warn"), options=options)
    assert done.code == 3
    assert done.err.startswith("ERROR:CALIBRATE_INTERNAL StoreError: ")
