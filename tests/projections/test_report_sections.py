import re

import payloads
import pytest
import story

from projections import make, project


def page(entries: list[story.Entry]) -> str:
    return project([make("report")], entries)["report.md"].decode()


def section(text: str, name: str) -> str:
    return text.partition(f"\n## {name}\n")[2].partition("\n## ")[0].strip()


def checked_run(*decisions: str, warmup: int = 0, fault: int | None = None) -> story.Story:
    """Checks at 10, 20, …"""
    made = story.Story()
    made.open("r")
    made.plan("r", gate=payloads.gate_plan(warmup=warmup))
    if fault is not None:
        made.fault("r", fault)
    for number, decision in enumerate(decisions, 1):
        made.gate("r", number * 10, decision)
    made.close("r")
    return made


# Gate summary


def test_the_summary_says_which_share_was_evaluated_and_from_where_on() -> None:
    text = section(page(checked_run("skip", "skip", "pass", "warn").entries), "Gate Summary")
    assert "- evaluated_fraction: 0.500\n- first_evaluated_step: 30\n" in text


@pytest.mark.parametrize("decisions", [(), ("skip",)])
def test_where_nothing_was_evaluated_no_step_is_named(decisions: tuple[str, ...]) -> None:
    text = section(page(checked_run(*decisions).entries), "Gate Summary")
    assert "- first_evaluated_step: not available" in text


def test_the_rule_of_each_kind_of_gate_is_told() -> None:
    assert "warm-up 0, epsilon 0.3, persistence 2" in page(checked_run("pass").entries)
    assert "warn above z 5, fail above z 6.5" in page(story.forecast().entries)


def test_a_declared_change_stands_in_the_strip_once_beside_a_fault() -> None:
    made = story.Story()
    made.open("r")
    made.plan("r")
    made.gate("r", 10, "pass")
    made.anchor("r", 15, "another corpus")
    made.anchor("r", 16, "another rate")
    made.fault("r", 20)
    made.gate("r", 20, "fail")
    made.anchor("r", 25, "and back")
    text = page(made.entries)
    assert "\n10  p!^F^\n" in text
    assert "^ a change was declared before the next mark." in text
    assert re.search(r"\| +15 \| `another corpus` +\|", section(text, "Declared changes"))


# False alarms


def test_alarms_of_a_control_are_counted_after_the_warm_up() -> None:
    """4 evaluated checks at or after 30: one warns, one fails. The fail at 20 is before."""
    made = checked_run("pass", "fail", "pass", "warn", "fail", "pass", "skip", warmup=30)
    text = section(page(made.entries), "False Alarm Rate")
    assert "- FAR (post-warmup): 50.0% (2/4), exact 95% interval 6.75% to 93.25%" in text
    assert "- FAR of FAIL alone: 25.0% (1/4), exact 95% interval 0.63% to 80.59%" in text
    assert "if this run is a control" in text


def test_in_a_run_with_a_fault_only_checks_before_it_are_counted() -> None:
    made = checked_run("pass", "warn", "pass", "fail", "fail", fault=30)
    text = section(page(made.entries), "False Alarm Rate")
    assert "FAR (post-warmup, before the fault): 33.3% (1/3)" in text
    assert "This run is no control: a fault begins at iteration 30" in text


def test_a_planned_fault_makes_a_run_no_control_before_it_strikes() -> None:
    made = story.Story()
    made.open("r")
    made.plan("r", injection=payloads.injection(at=15))
    text = section(page(made.entries), "False Alarm Rate")
    assert "a fault begins at iteration 15" in text
    assert "not available (no check was evaluated)" in text


def test_without_a_plan_there_is_no_rate() -> None:
    text = section(page(story.unplanned()), "False Alarm Rate")
    assert text == "- Not known: no plan was recorded, and so no warm-up."


# Overhead


def test_the_overhead_is_the_time_beside_the_training() -> None:
    made = checked_run("pass")
    closed = made.entries.pop()
    made.finish("r", 10, overhead_s=2.25)
    made.close("r", **{**closed.data, "wall_s": 47.25})
    text = section(page(made.entries), "Overhead")
    expected = "5.0% (2.25 s of metrics, gate and recording in 47.25 s)"
    assert text == f"- Overhead (wall-clock): {expected}"


@pytest.mark.parametrize("overhead", [None, 50.0])
def test_an_overhead_that_is_not_known_is_not_zero(overhead: float | None) -> None:
    made = story.Story()
    made.open("r")
    made.plan("r")
    made.finish("r", 10, overhead_s=overhead)
    made.close("r")
    assert section(page(made.entries), "Overhead").startswith("- Not known")


# People


def test_a_judgement_stands_before_the_table_and_hides_nothing() -> None:
    text = page(story.judged())
    assert text.index("## Manual Judgement") < text.index("| Field            |")
    told = section(text, "Manual Judgement")
    assert "**MANUAL PASS**: the gate decided FAIL" in told
    assert "Judgements of this run: 3, taken back: 1." in told
    assert f"`{payloads.key_id(payloads.REVIEWER)}`" in told
    assert text.startswith("# Run report: `0197f3c2-demo`\n\n**FAIL**")
    assert re.search(r"\| Final Status +\| MANUAL PASS +\|", text)
    assert text.count("## Manual Judgement") == 1


def test_a_judgement_that_was_taken_back_is_told_and_does_not_count() -> None:
    made = story.fail_then_pass()
    made.judge("0197f3c2-demo", "pass", "no", "Ada")
    made.clear("0197f3c2-demo")
    text = page(made.entries)
    assert "None stands. Judgements of this run: 1, all taken back." in text
    assert re.search(r"\| Final Status +\| FAIL +\|", text)


def test_without_a_judgement_the_section_says_none_in_its_place() -> None:
    text = page(story.fail_then_pass().entries)
    assert section(text, "Manual Judgement") == "- None"
    assert text.index("## Artifacts") < text.index("## Manual Judgement")


def test_the_governance_log_is_summed_up() -> None:
    text = section(page(story.judged()), "Governance")
    made = project([make("governance")], story.judged())["governance_log.jsonl"]
    last = re.findall(rb'"entry_hash":"([0-9a-f]{64})"', made)[-1].decode()
    assert f"- Log: `governance_log.jsonl`, {made.count(b'entry_hash')} lines" in text
    assert f"- Last hash: `{last}`" in text
    events = "gate_decision_v1 11, manual_judgement_cleared 1, manual_judgement_set 3"
    assert f"- Events: {events}, run_started_v1 1" in text


# The run


def test_a_spread_out_run_says_so_before_anything_else() -> None:
    text = page(story.forecast().entries)
    head = text.splitlines()[2]
    assert head.startswith("**DISTRIBUTED**: 2 processes, ddp_wrapped, backend `gloo`; rank 0")
    assert "`rank-1.ledger`" in section(text, "Ranks")


def test_a_run_of_one_process_has_no_banner() -> None:
    made = story.Story()
    made.open("r")
    alone = payloads.distributed(world_size_observed=1, distributed_mode="single_process")
    made.plan("r", distributed=alone)
    assert "DISTRIBUTED" not in page(made.entries)


def test_a_program_that_was_its_own_witness_is_told_apart() -> None:
    made = story.Story()
    made.open("r", witness="in_process")
    text = page(made.entries)
    assert "there was no second witness" in text
    assert "runner_output.log" not in text
    assert "no second witness" not in page(story.fail_then_pass().entries)


def test_the_artifacts_are_the_ones_that_this_run_has() -> None:
    def named(entries: list[story.Entry]) -> set[str]:
        return set(re.findall(r"`([a-z_]+\.[a-z.]+)`", section(page(entries), "Artifacts")))

    whole = named(story.forecast().entries)
    assert {"results.json", "first_fail_iter.txt", "environment.txt"} <= whole
    assert not {"results.json", "first_fail_iter.txt", "calibration.csv"} & named(story.unplanned())
    assert "manual_judgement.json" in named(story.judged())


def test_the_wrapper_says_why_it_ended_the_run() -> None:
    assert "The wrapper says: `no data at DATA`" in page(story.unplanned())
