import json
from typing import Any

import histories
import story
from contract import of_judgements
from hypothesis import given, settings

from projections import make, project

RUN = "0197f3c2-demo"


def files(entries: list[story.Entry]) -> dict[str, bytes]:
    return project([make("judgement")], entries)


def snapshot(made: story.Story) -> dict[str, Any] | None:
    raw = files(made.entries).get("manual_judgement.json")
    return None if raw is None else dict(json.loads(raw))


def history(made: story.Story) -> list[dict[str, Any]]:
    raw = files(made.entries).get("manual_judgement.jsonl", b"")
    return [json.loads(line) for line in raw.splitlines()]


def test_a_run_that_nobody_judged_has_neither_file() -> None:
    assert files(story.fail_then_pass().entries) == {}


def test_the_judgement_that_stands_is_the_last() -> None:
    made = story.fail_then_pass()
    made.judge(RUN, "pass", "a known false alarm", "Ada")
    made.judge(RUN, "fail", "it was none")
    assert snapshot(made) == {
        "schema_version": 1,
        "run_id": RUN,
        "status": "fail",
        "reason": "it was none",
        "reviewer": None,
        "ts_utc": "2026-01-15T10:00:32Z",
    }
    assert [(line["rev"], line["status"]) for line in history(made)] == [(1, "pass"), (2, "fail")]


def test_a_judgement_that_was_taken_back_is_found_by_no_reader() -> None:
    """The public readers take the last valid line, and know no line that takes one back."""
    made = story.fail_then_pass()
    made.judge(RUN, "pass", "a known false alarm", "Ada")
    made.judge(RUN, "fail", "no")
    made.clear(RUN, "it was none", "Grace")
    assert snapshot(made) is None
    assert [line["status"] for line in history(made)] == ["cleared", "cleared"]
    assert history(made)[0] == {
        "schema_version": 1,
        "run_id": RUN,
        "status": "cleared",
        "was": "pass",
        "reason": "a known false alarm",
        "reviewer": "Ada",
        "ts_utc": "2026-01-15T10:00:31Z",
        "cleared_ts_utc": "2026-01-15T10:00:33Z",
        "cleared_by": "Grace",
        "cleared_reason": "it was none",
        "rev": 1,
    }


def test_what_was_taken_back_once_keeps_the_word_of_who_did() -> None:
    made = story.fail_then_pass()
    made.judge(RUN, "pass", "one", "Ada")
    made.clear(RUN, "first", "Grace")
    made.clear(RUN, "second", "Eve")
    made.judge(RUN, "pass", "two", "Ada")
    made.clear(RUN, "third", "Grace")
    assert [line["cleared_reason"] for line in history(made)] == ["first", "third"]


def test_a_judgement_after_a_clearing_stands() -> None:
    made = story.fail_then_pass()
    made.clear(RUN)
    made.judge(RUN, "pass", "anew")
    stands = snapshot(made)
    assert stands is not None
    assert stands["reason"] == "anew"


def test_a_judgement_changes_no_other_file_of_the_capsule() -> None:
    names = ("results", "summary", "window_signature", "run_config", "calibration")
    judged, not_judged = (
        project([make(name) for name in names], entries)
        for entries in (story.judged(), story.fail_then_pass().entries)
    )
    assert judged == not_judged


@settings(max_examples=60, deadline=None)
@given(entries=histories.stories(whole=True))
def test_any_history_leaves_the_two_files_in_agreement(entries: list[story.Entry]) -> None:
    made = project([make("judgement"), make("summary")], entries)
    for path, raw in made.items():
        if path.endswith("results_summary.json"):
            prefix = path.removesuffix("results_summary.json")
            own = {name.removeprefix(prefix): made[name] for name in made if prefix in name}
            assert list(of_judgements(own, json.loads(raw)["run_id"])) == []
