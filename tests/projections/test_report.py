import re
from pathlib import Path

import histories
import make_golden
import pytest
import story
from hypothesis import given, settings

from projections import PROJECTIONS, project

GOLDEN = Path(__file__).parent / "golden"


def report(entries: list[story.Entry]) -> dict[str, str]:
    made = project([PROJECTIONS["report"]()], entries)
    return {path: content.decode() for path, content in made.items()}


def page(entries: list[story.Entry]) -> str:
    return report(entries)["report.md"]


def row(text: str, name: str) -> str:
    """The value beside *name* in a table."""
    found = re.search(rf"^\| {re.escape(name)} +\| (.*?) *\|$", text, re.MULTILINE)
    assert found is not None, f"no row {name} in:\n{text}"
    return found[1]


def test_the_golden_files_are_what_is_made_today() -> None:
    """After a change that is meant: python tests/projections/make_golden.py, and read the diff."""
    made = make_golden.files()
    kept = {
        path.relative_to(GOLDEN).as_posix(): path.read_bytes()
        for path in GOLDEN.rglob("*")
        if path.is_file()
    }
    assert made.keys() == kept.keys()
    for path in sorted(made):
        assert made[path] == kept[path], path


def test_the_report_has_the_skeleton_of_the_seed() -> None:
    text = page(story.fail_then_pass().entries)
    assert text.startswith("# Run report: `0197f3c2-demo`\n")
    for name in (
        "Run ID",
        "Status",
        "Final Status",
        "Wrapper Exit",
        "Runner Exit",
        "gate_preset",
        "Started",
        "Ended",
        "Window Signature",
    ):
        assert row(text, name)
    sections = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert sections == [
        "Gate Summary",
        "False Alarm Rate",
        "Overhead",
        "Injected faults",
        "Declared changes",
        "Training",
        "Metrics",
        "Artifacts",
        "Manual Judgement",
        "Governance",
        "How to check this page",
    ]


def test_the_text_report_says_the_same_as_the_markdown_one() -> None:
    files = report(story.fail_then_pass().entries)
    words = [re.findall(r"[A-Za-z0-9_.]+", text.replace("```text", "")) for text in files.values()]
    assert words[0] == words[1]


def test_the_report_says_where_in_which_ledger_it_was_made() -> None:
    entries = story.fail_then_pass().entries
    text = page(entries)
    assert entries[0].hash in text
    assert entries[-1].hash in text
    assert f"Made from {len(entries)} entries, 0 to {len(entries) - 1}" in text
    assert f"ledger project report . --at {len(entries)}" in text


def test_a_skip_is_never_shown_as_a_pass() -> None:
    text = page(story.partial())
    assert "**SKIP**: no gate check was evaluated. That is not a pass." in text
    assert "**PARTIAL**: the run was never closed" in text
    assert "**PASS**" not in text
    (counts,) = re.findall(r"^\| +1 \| .*$", text, re.MULTILINE)
    assert re.findall(r"\d+", counts) == ["1", "0", "0", "1", "0", "0"]
    assert re.search(r"^20  \.$", text, re.MULTILINE)


def test_skips_beside_passes_are_counted_out_loud() -> None:
    made = story.Story()
    made.open("r")
    made.plan("r")
    made.gate("r", 10, "skip")
    made.gate("r", 20, "pass")
    made.close("r")
    text = page(made.entries)
    assert "**PASS**: all of 1 evaluated checks passed. 1 skipped, which is not a pass." in text


def test_a_crashed_runner_is_told_at_the_top_whatever_its_gates_said() -> None:
    made = story.Story()
    made.open("r")
    made.plan("r")
    made.gate("r", 10, "pass")
    made.close("r", status="user_code_failure", exit_code=None, signal="SIGKILL")
    text = page(made.entries)
    assert "**CRASHED**" in text.partition("| Field")[0]
    assert row(text, "Runner Exit") == "signal `SIGKILL`"
    assert row(text, "Wrapper Exit") == "2"


def test_what_is_missing_or_left_out_is_said() -> None:
    made = story.Story()
    made.gate("r", 10, "pass")
    made.add("gate.checked", "run/r", {"nonsense": 1})
    text = page(made.entries)
    assert "- No run.opened was recorded for this run." in text
    assert "- No plan was recorded" in text
    assert "- 1 of its events do not fit their schema" in text
    assert "CRASHED" not in text


def test_the_delay_of_a_detection_is_counted_from_the_fault() -> None:
    text = page(story.fail_then_pass().entries)
    assert re.search(
        r"\| +150 \| `random` \| +50% \| +- \| 10 iterations +\| 30 iterations +\|", text
    )


def test_a_fault_that_nothing_followed_was_detected_by_none() -> None:
    made = story.Story()
    made.open("r")
    made.plan("r")
    made.gate("r", 10, "fail")
    made.fault("r", 20)
    made.close("r")
    text = page(made.entries)
    assert re.search(r"\| +20 \| `random` \| +50% \| +- \| none +\| none +\|", text)
    assert re.search(r"^10  F!$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("onset", "strip", "delay"),
    [(0, "!pFp", 20), (10, "!pFp", 10), (11, "p!Fp", 9), (20, "p!Fp", 0), (21, "pF!p", None)],
)
def test_a_fault_stands_before_the_first_check_that_could_see_it(
    onset: int, strip: str, delay: int | None
) -> None:
    made = story.Story()
    made.open("r")
    made.plan("r")
    made.fault("r", onset)
    for step, decision in ((10, "pass"), (20, "fail"), (30, "pass")):
        made.gate("r", step, decision)
    text = page(made.entries)
    assert f"\n10  {strip}\n" in text
    said = "none" if delay is None else f"{delay} iterations"
    assert re.search(rf"\| +{onset} \| `random` \| +50% \| +- \| {said} +\| {said} +\|", text)


def test_a_metric_is_told_by_its_ends_and_its_finite_extremes() -> None:
    made = story.Story()
    made.open("r")
    for step, value in enumerate((5, -2.5, "NaN", 12345.678, 3)):
        made.metrics("r", step, loss=value)
    assert re.split(r" *\| *", row(page(made.entries), "`loss`").strip()) == [
        "5",
        "5",
        "3",
        "-2.5",
        "12345.7",
        "1",
    ]


def test_the_metric_that_moved_most_is_named_and_what_is_not_finite_moved_more() -> None:
    made = story.Story()
    made.open("r")
    made.gate("r", 10, "fail", per_metric_tv={"a": 0.5, "b": 0.75, "c": 0.25})
    made.gate("r", 20, "fail", per_metric_tv={"a": 0.5, "b": "NaN", "c": 99})
    made.gate("r", 30, "fail", per_metric_tv={})
    assert re.findall(r"\| FAIL .*\| (`.`|-) +\| - +\| `fail` +\|", page(made.entries)) == [
        "`b`",
        "`b`",
        "-",
    ]


def test_a_long_run_shows_the_worst_of_the_checks_behind_a_mark() -> None:
    made = story.Story()
    made.open("r")
    made.plan("r")
    for number in range(1202):
        decision = {5: "fail", 31: "warn", 62: "skip"}.get(number, "pass")
        made.gate("r", number, decision)
    made.close("r")
    text = page(made.entries)
    strip = text.partition("```text\n")[2].partition("```")[0].splitlines()
    marks = "".join(line.split(maxsplit=1)[1].replace(" ", "") for line in strip)
    assert "Each mark stands for 3 gate checks and shows the worst of them" in text
    assert len(marks) == 401
    assert {place: mark for place, mark in enumerate(marks) if mark != "p"} == {
        1: "F",
        10: "W",
        20: ".",
    }


def test_long_tables_are_cut_and_say_so() -> None:
    made = story.Story()
    made.open("r")
    made.plan("r", model={f"knob{number}": number for number in range(30)})
    made.metrics("r", 1, **{f"m{number:02}": number for number in range(40)})
    for number in range(20):
        made.gate("r", number, "fail")
        made.fault("r", number)
    for number in range(27):
        made.fault("r", number)
        made.artifact("r", f"file{number}")
    text = page(made.entries)
    for line in ("… and 6 more.", "… and 16 more.", "… and 23 more.", "… and 3 more."):
        assert line in text
    assert "… and 8 more that warned or failed." in text


def test_a_ledger_without_runs_still_has_a_report() -> None:
    assert "This ledger holds no run." in page(story.Story().entries)
    assert "This ledger holds no run." in page([])


def test_several_runs_have_an_overview_and_a_report_each() -> None:
    files = report(story.several_runs("first", "../x").entries)
    assert set(files) > {"report.md", "report.txt", "runs/first/report.md"}
    assert len(files) == 6
    assert "| `first` " in files["report.md"]
    assert "`runs/first/report.md`" in files["report.md"]


# Hostile texts


@pytest.mark.parametrize("name", ["report.md", "report.txt"])
@settings(max_examples=60, deadline=None)
@given(entries=histories.stories())
def test_nothing_hidden_reaches_a_report(name: str, entries: list[story.Entry]) -> None:
    text = report(entries)[name]
    assert not story.INVISIBLE.search(text)
    assert "\n#  " not in text


@settings(max_examples=60, deadline=None)
@given(entries=histories.stories())
def test_no_text_leaves_its_place_in_the_markdown(entries: list[story.Entry]) -> None:
    """Outside of code spans the page has words of ours alone, and tables stay rectangular."""
    for text in (page(entries), page(story.hostile())):
        without_listings = re.sub(r"^```text\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        bare = re.sub(r"`[^`\n]*`", "CODE", without_listings)
        assert "`" not in bare
        assert not re.search(r"[<>\[\]\\]|https?:|www\.|javascript", bare)
        assert "<" not in text
        for table in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
            assert len({line.count("|") for line in table.splitlines()}) == 1
        headings = re.findall(r"^#+ .*$", bare, re.MULTILINE)
        assert all(
            re.fullmatch(r"#+ [A-Za-z_ :]+(CODE)?|#+ .*\(empty\)", line) for line in headings
        )


def test_a_sentence_of_ours_cannot_be_forged_by_a_name() -> None:
    made = story.Story()
    made.open("x\n\n**PASS**: all of 9 evaluated checks passed.")
    made.plan("x\n\n**PASS**: all of 9 evaluated checks passed.")
    lines = page(made.entries).splitlines()
    assert not [line for line in lines if line.startswith("**PASS**")]
