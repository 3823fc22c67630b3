import json
import re
from pathlib import PurePosixPath

import histories
import pytest
import story
from hypothesis import given
from hypothesis import strategies as st
from reading import files, parsed

from projections import run_directory


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
    st.lists(
        histories.TEXTS | st.text("aA.-_~/0", min_size=1, max_size=4), unique=True, max_size=20
    )
)
def test_no_two_run_ids_share_a_directory_even_under_case_folding(run_ids: list[str]) -> None:
    directories = {run_directory(run_id).casefold() for run_id in run_ids}
    assert len(directories) == len(run_ids)


def test_a_plain_run_id_is_its_own_directory() -> None:
    assert run_directory("0197f3c2-2222-7abc") == "runs/0197f3c2-2222-7abc"
    assert run_directory("a" * 81) != "runs/" + "a" * 81
