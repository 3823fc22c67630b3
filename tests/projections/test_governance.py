import json
from typing import Any

import histories
import payloads
import pytest
import story
from contract import of_chain
from hypothesis import given, settings
from hypothesis import strategies as st

from projections import GovernanceStream, make, project, run_directory

NAME = "governance_log.jsonl"
RUN = "0198-forecast"


def log_of(entries: list[story.Entry], outdir: str | None = None) -> bytes:
    return project([make("governance", outdir)], entries).get(NAME, b"")


def parsed(raw: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in raw.splitlines()]


def events(entries: list[story.Entry]) -> list[str]:
    return [line["event"] for line in parsed(log_of(entries))]


@settings(max_examples=60, deadline=None)
@given(
    entries=histories.stories() | histories.stories(whole=True),
    outdir=st.none() | st.just("/elsewhere"),
    run_id=histories.RUN_IDS,
)
def test_the_stream_gives_the_bytes_of_the_projection(
    entries: list[story.Entry], outdir: str | None, run_id: str
) -> None:
    made = project([make("governance", outdir)], entries)
    alone = len({entry.subject for entry in entries if begins_a_run(entry)}) == 1
    path = NAME if alone else f"{run_directory(run_id)}/{NAME}"
    stream = GovernanceStream(outdir, run_id=run_id)
    streamed = b"".join(stream.feed(entry) for entry in entries)
    begun = any(begins_a_run(entry) and entry.subject == f"run/{run_id}" for entry in entries)
    assert streamed == (made.get(path, b"") if begun else b"")


def begins_a_run(entry: story.Entry) -> bool:
    families = ("run.", "metric.", "gate.", "fault.", "artifact.")
    unknown = ("metric.unheard_of", "run.dreamt")
    return entry.type.startswith(families) and entry.type not in unknown


def test_a_stream_without_a_name_is_about_the_first_run() -> None:
    entries = story.several_runs("first", "second").entries
    stream = GovernanceStream()
    streamed = b"".join(stream.feed(entry) for entry in entries)
    assert {line["payload"]["run_id"] for line in parsed(streamed)} == {"first"}
    assert streamed == project([make("governance")], entries)[f"runs/first/{NAME}"]


def test_a_line_is_there_as_soon_as_its_event_is() -> None:
    """What a killed run leaves behind is its log up to the last gate."""
    stream = GovernanceStream()
    told: dict[str, list[int]] = {}
    for entry in story.forecast().entries:
        told.setdefault(entry.type, []).append(len(parsed(stream.feed(entry))))
    assert told.pop("run.planned") == [2]
    assert set(told.pop("gate.checked")) == {1}
    assert {count for counts in told.values() for count in counts} == {0}


def test_a_run_starts_with_its_plan_and_its_overrides() -> None:
    started, overridden, decided, *_ = parsed(log_of(story.forecast().entries))
    assert started["payload"] == {
        "run_id": RUN,
        "outdir": "/data/run",
        "argv": ["python", "-m", "train", "--steps", "220"],
        "code_identity": {
            "package": "evidence-ledger",
            "version": "0.1.0",
            "git_sha": "ab" * 20,
            "gate_engine": "forecast_z/1",
        },
        "window_signature_ref": started["payload"]["window_signature_ref"],
        "entrypoint": {"kind": "runner", "name": "gpt"},
        "distributed": payloads.distributed(),
    }
    assert (started["ts_utc"], started["actor"]) == ("2026-01-15T10:00:03Z", None)
    assert overridden["event"] == "run_overrides_applied_v1"
    assert overridden["payload"]["overrides"] == {"window": 20, "warn_z": 5.0, "level": None}
    assert overridden["payload"]["profile"]["gate_preset"] == "tuned_v0"
    assert decided["payload"]["iter"] == 20
    assert "ok" not in decided["payload"]


def test_a_run_without_a_plan_is_started_by_its_end() -> None:
    (line,) = parsed(log_of(story.unplanned()))
    assert line["event"] == "run_started_v1"
    assert line["payload"]["code_identity"]["gate_engine"] is None


def test_a_run_is_started_once() -> None:
    made = story.fail_then_pass()
    before = events(made.entries)
    made.plan("0197f3c2-demo")
    made.close("0197f3c2-demo")
    assert events(made.entries) == before
    late = story.Story()
    late.open("r")
    late.close("r")
    late.plan("r")
    assert events(late.entries) == ["run_started_v1"]


def test_a_run_without_any_of_these_events_has_no_log() -> None:
    made = story.Story()
    made.open("r")
    made.metrics("r", 1, loss=1)
    assert project([make("governance")], made.entries) == {}


def test_judgements_are_told_with_their_reviewer_and_key() -> None:
    told = [line for line in parsed(log_of(story.judged())) if "manual" in line["event"]]
    key = payloads.key_id(payloads.REVIEWER)
    assert [(line["event"], line["actor"]) for line in told] == [
        ("manual_judgement_set", "Ada"),
        ("manual_judgement_cleared", "Grace"),
        ("manual_judgement_set", None),
        ("manual_judgement_set", "Ada"),
    ]
    assert told[0]["payload"] == {
        "run_id": "0197f3c2-demo",
        "status": "pass",
        "reason": "a known false alarm",
        "reviewer": "Ada",
        "source_path": "manual_judgement.json",
        "key": key,
    }
    assert told[1]["payload"]["reason"] == "it was none"


def test_judgements_only_lengthen_the_log() -> None:
    assert log_of(story.judged()).startswith(log_of(story.fail_then_pass().entries))


def test_a_judgement_of_a_run_that_there_is_not_makes_none() -> None:
    made = story.Story()
    made.judge("ghost", "pass", "mistyped")
    assert project([make("governance"), make("judgement"), make("summary")], made.entries) == {}


def test_only_the_outdir_and_the_hashes_change_with_the_place() -> None:
    here, there = (parsed(log_of(story.judged(), place)) for place in (None, "/moved/here"))
    for one, other in zip(here, there, strict=True):
        if "outdir" in one["payload"]:
            assert (one["payload"].pop("outdir"), other["payload"].pop("outdir")) == (
                "/data/run",
                "/moved/here",
            )
        changing = ("entry_hash", "prev_hash")
        assert all(one[name] == other[name] for name in one if name not in changing)


@settings(max_examples=40, deadline=None)
@given(entries=histories.stories(whole=True))
def test_the_chain_holds_in_any_history(entries: list[story.Entry]) -> None:
    for raw in project([make("governance")], entries).values():
        # A reason or preset may be hostile, but the links and the shapes are ours.
        assert list(of_chain(parsed(raw))) == []


@pytest.mark.parametrize("place", [0, 3, -1])
def test_an_edited_line_breaks_the_chain(place: int) -> None:
    log = parsed(log_of(story.forecast().entries))
    log[place]["payload"]["run_id"] = "other"
    assert "GOVERNANCE_LOG_HASH_MISMATCH" in [*of_chain(log)]
