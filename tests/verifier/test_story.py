"""verifier/story.py and verifier/runs.py: payloads, the order of a run, and the second count."""

import itertools
import json
from typing import Any

import pytest

from tests.verifier.capsule import OPENED, PLANNED, RUN, audit
from verifier.findings import Findings
from verifier.runs import Run, metrics_digest
from verifier.story import BlobReference, Keep, Story

HEX = "0123456789abcdef" * 4
OPEN = ("run.opened", OPENED)
PLAN = ("run.planned", PLANNED)
FINISH = ("run.finished", {"iters": 3, "final_loss": None})
CLOSE = ("run.closed", {"status": "success", "exit_code": 0, "signal": None, "wall_s": 1})
FAULT = ("fault.injected", {"iter": 1, "kind": "random", "fraction": 0.5})
ANCHOR = ("gate.anchored", {"iter": 4, "reason": "other data"})
RESUME = (
    "run.resumed",
    {"from_run": "run/r0", "iter": 0, "sha256": HEX, "head_size": 9, "head_hash": HEX},
)
SAVE = ("run.saved", {"iter": 3, "path": "w", "sha256": HEX, "bytes": 1})
RANK = (
    "run.rank",
    {"rank": 1, "world_size": 2, "path": "r", "ledger": HEX, "size": 3, "hash": HEX},
)
JUDGE = ("governance.judged", {"status": "pass", "reason": "known noise", "reviewer": None})
CLEAR = ("governance.cleared", {"reason": None, "reviewer": "ann"})
FILE = (
    "artifact.recorded",
    {
        "path": "a",
        "sha256": HEX,
        "bytes": 1,
        "media_type": "text/plain",
        "projection": None,
        "at": None,
    },
)


def gate(step: int, decision: str = "pass", *, evaluated: bool | None = None) -> tuple[str, Any]:
    known = decision != "skip" if evaluated is None else evaluated
    said = audit(decision, reference=1, recent=0) | {"evaluated": known}
    return "gate.checked", {"iter": step, "decision": decision, "audit": said, "evidence": {}}


def metric(step: int, **values: float | str) -> tuple[str, Any]:
    return "metric.observed", {"iter": step, "values": values}


def told(
    *events: tuple[str, Any], strict: bool = False, keep: Keep | None = None
) -> tuple[Story, list[tuple[str, int | None]]]:
    """Tell a story from seq 1 on; return it with the findings as (code, seq).

    The gate checks here are made up, and what is found about that is left out: it is tested in
    ``test_gates.py``.
    """
    findings = Findings()
    story = Story(findings, strict=strict, keep=keep)
    for seq, (kind, data) in enumerate(events, start=1):
        entry = json.dumps({"seq": seq, "time": f"t{seq}", "data": data}).encode()
        story.see(seq, seq + 1, kind, RUN, HEX, entry)
    assert all(finding.line == (finding.seq or 0) + 1 for finding in findings.items())
    found = [(finding.code, finding.seq) for finding in findings.items()]
    return story, [(code, seq) for code, seq in found if not code.startswith("gate.")]


def test_an_honest_run_has_no_findings() -> None:
    story, found = told(
        OPEN, PLAN, metric(0, a=1), gate(5, "skip"), metric(5, a=2), FAULT, gate(10), FINISH, FILE,
        CLOSE, FILE, strict=True,
    )  # fmt: skip
    assert found == []
    (run,) = story.replays()
    assert (run.run_id, run.subject, run.opened) == ("r1", "run/r1", "t1")
    assert run.closing is not None
    assert (run.closing.time, run.closing.status, run.closing.exit_code) == ("t10", "success", 0)
    assert story.schema_checked == story.judged == 11


@pytest.mark.parametrize(
    ("events", "at"),
    [
        pytest.param([PLAN], [1], id="planned before opened"),
        pytest.param([metric(0)], [1], id="measured before opened"),
        pytest.param([FAULT], [1], id="fault before opened"),
        pytest.param([FILE], [1], id="artifact before opened"),
        pytest.param([CLOSE, OPEN], [1], id="closed before opened"),
        pytest.param([("run.paused", {}), OPEN], [1], id="anything of the family before opened"),
        pytest.param([OPEN, OPEN], [2], id="opened twice"),
        pytest.param([OPEN, PLAN, PLAN], [3], id="planned twice"),
        pytest.param([OPEN, PLAN, FINISH, FINISH], [4], id="finished twice"),
        pytest.param([OPEN, CLOSE, CLOSE], [3], id="closed twice"),
        pytest.param([OPEN, metric(0), PLAN], [3], id="planned after a metric"),
        pytest.param([OPEN, FAULT, PLAN], [3], id="planned after a fault"),
        pytest.param([OPEN, gate(1), PLAN], [2, 3], id="a gate before the plan"),
        pytest.param([OPEN, CLOSE, metric(0)], [3], id="a metric after the close"),
        pytest.param([OPEN, PLAN, CLOSE, gate(1)], [4], id="a gate after the close"),
        pytest.param([OPEN, CLOSE, PLAN], [3], id="planned after the close"),
        pytest.param([OPEN, CLOSE, FINISH], [3], id="finished after the close"),
        pytest.param([OPEN, FINISH, FAULT], [3], id="a fault after the finish"),
        pytest.param([OPEN, PLAN, FINISH, gate(1)], [4], id="a gate after the finish"),
        pytest.param([OPEN, FINISH, PLAN], [3], id="planned after the finish"),
        pytest.param([OPEN, PLAN, gate(5), gate(5)], [4], id="the same gate iteration twice"),
        pytest.param([OPEN, PLAN, gate(5), gate(4), gate(5)], [4], id="a gate goes back"),
        pytest.param([OPEN, metric(5), metric(4)], [3], id="a metric goes back"),
        pytest.param([OPEN, metric(5), metric(5)], [], id="two metrics of one iteration"),
        pytest.param([OPEN, metric(9), FINISH, CLOSE, FILE], [], id="no plan, no gate"),
        pytest.param([OPEN, PLAN, gate(5), metric(4)], [4], id="a metric before the last check"),
        pytest.param([OPEN, PLAN, gate(5), metric(5)], [], id="a metric at the last check"),
        pytest.param([OPEN, PLAN, gate(5), ANCHOR], [4], id="an anchor before the last check"),
        pytest.param([OPEN, PLAN, gate(4), ANCHOR], [], id="an anchor at the last check"),
        pytest.param([OPEN, ANCHOR], [2], id="an anchor without a plan"),
        pytest.param([OPEN, PLAN, FINISH, ANCHOR], [4], id="an anchor after the finish"),
        pytest.param([OPEN, PLAN, RESUME, metric(9), SAVE, RANK, FINISH], [], id="resumed, saved"),
        pytest.param([OPEN, RESUME, PLAN], [2], id="resumed without a plan"),
        pytest.param([OPEN, PLAN, RESUME, RESUME], [4], id="resumed twice"),
        pytest.param([OPEN, PLAN, metric(9), RESUME], [4], id="resumed after a metric"),
        pytest.param([OPEN, PLAN, ANCHOR, RESUME], [4], id="resumed after an anchor"),
        pytest.param([OPEN, PLAN, FAULT, RESUME], [4], id="resumed after a fault"),
        pytest.param([OPEN, PLAN, CLOSE, RESUME], [4], id="resumed after the close"),
        pytest.param([OPEN, SAVE, PLAN], [2], id="saved without a plan"),
        pytest.param([OPEN, PLAN, FINISH, SAVE], [4], id="saved after the finish"),
        pytest.param([OPEN, PLAN, SAVE, metric(9), SAVE], [], id="saved twice"),
        pytest.param([OPEN, RANK, PLAN], [2], id="a rank without a plan"),
        pytest.param([OPEN, PLAN, CLOSE, RANK], [4], id="a rank after the close"),
        pytest.param([OPEN, JUDGE, PLAN, JUDGE, FINISH, CLOSE, JUDGE], [], id="judged at any time"),
        pytest.param([JUDGE, OPEN], [1], id="judged before opened"),
        pytest.param([JUDGE, CLEAR], [1, 2], id="a run that never was is judged"),
        pytest.param([OPEN, CLEAR], [2], id="cleared without a judgement"),
        pytest.param([OPEN, JUDGE, CLEAR, CLEAR], [4], id="cleared twice"),
        pytest.param([OPEN, CLOSE, JUDGE, CLEAR, JUDGE, CLEAR], [], id="judged again"),
        pytest.param([OPEN, FILE, CLOSE], [], id="an artifact before the close"),
        pytest.param([OPEN, PLAN, gate(0)], [], id="the first gate may be at iteration 0"),
    ],
)
def test_the_order_of_a_run(events: list[tuple[str, Any]], at: list[int]) -> None:
    _, found = told(*events)
    assert found == [("event.order", seq) for seq in at]


def test_runs_of_several_subjects_are_told_apart() -> None:
    findings = Findings()
    story = Story(findings)
    for seq, (subject, (kind, data)) in enumerate(
        itertools.product(["run/a", "run/b"], [OPEN, PLAN, gate(5)])
    ):
        entry = json.dumps({"time": "t", "data": data}).encode()
        story.see(seq, seq, kind, subject, HEX, entry)
    assert "event.order" not in findings.counts()
    assert [run.run_id for run in story.replays()] == ["a", "b"]
    assert [run.counts.passed for run in story.replays()] == [1, 1]


@pytest.mark.parametrize(
    ("decisions", "final", "first"),
    [
        ([], "skip", None),
        (["skip", "skip"], "skip", None),
        (["skip", "pass"], "pass", None),
        (["pass", "warn", "pass"], "warn", None),
        (["pass", "fail", "warn", "fail"], "fail", 1),
    ],
)
def test_the_second_count(decisions: list[str], final: str, first: int | None) -> None:
    checks = [gate(step, decision) for step, decision in enumerate(decisions)]
    story, found = told(OPEN, PLAN, *checks, keep=Keep(artifacts=True))
    assert found == []
    (run,) = story.replays()
    counts = run.counts.to_json()
    for decision in ("skip", "pass", "warn", "fail"):
        assert counts[decision] == decisions.count(decision)
    assert counts["evaluated"] == len(decisions) - decisions.count("skip")
    assert (run.final_decision, run.first_fail_iter) == (final, first)
    assert run == story.runs[RUN].replay_until(10**6)


def test_a_pass_that_was_not_evaluated_counts_as_a_skip_and_a_fail_stays_a_fail() -> None:
    story, _ = told(OPEN, PLAN, gate(1, "pass", evaluated=False), gate(2, "fail", evaluated=False))
    (run,) = story.replays()
    assert (run.counts.passed, run.counts.skip, run.counts.fail) == (0, 1, 1)


def test_the_first_fail_is_the_least_iteration_not_the_earliest_event() -> None:
    story, _ = told(OPEN, PLAN, gate(9, "fail"), gate(4, "fail"), keep=Keep(artifacts=True))
    assert story.replays()[0].first_fail_iter == 4
    assert story.runs[RUN].replay_until(4).first_fail_iter == 9


def test_a_replay_stops_where_it_is_told() -> None:
    events = [OPEN, PLAN, metric(0, a=1), gate(1), metric(2, a=2, b=3), gate(3, "fail"), CLOSE]
    story, _ = told(*events, keep=Keep(artifacts=True))
    run = story.runs[RUN]
    seen = [run.replay_until(stop) for stop in range(9)]
    assert [replay.opened for replay in seen] == [None, None, *["t1"] * 7]
    assert [replay.plan.kind for replay in seen] == [None, None, *["gpt"] * 7]
    assert [replay.plan.gate is None for replay in seen] == [True] * 3 + [False] * 6
    assert [replay.metrics for replay in seen] == [0, 0, 0, 0, 1, 1, 3, 3, 3]
    assert [len(replay.gates) for replay in seen] == [0, 0, 0, 0, 0, 1, 1, 2, 2]
    assert [replay.counts.fail for replay in seen] == [0] * 7 + [1, 1]
    assert [replay.closing is None for replay in seen] == [True] * 8 + [False]
    assert len({replay.metrics_digest for replay in seen}) == 3
    assert seen[-1] == run.replay()


def test_the_metrics_digest_tells_every_part_of_a_value() -> None:
    values = [(0, "a", 1.5), (0, "b", "NaN")]
    others = [
        [(1, "a", 1.5), (0, "b", "NaN")],
        [(0, "c", 1.5), (0, "b", "NaN")],
        [(0, "a", 1.25), (0, "b", "NaN")],
        [(0, "a", 1.5), (0, "b", None)],
        [(0, "b", "NaN"), (0, "a", 1.5)],
        [(0, "a", 1.5)],
        [],
    ]
    assert all(metrics_digest(other) != metrics_digest(values) for other in others)
    assert metrics_digest([(0, "a", 3)]) == metrics_digest([(0, "a", 3.0)])
    assert metrics_digest([(0, "a", True)]) != metrics_digest([(0, "a", 1)])


def test_the_events_of_a_run_are_kept_in_order_and_cut_where_a_replay_stops() -> None:
    events: list[tuple[str, Any]]
    events = [OPEN, PLAN, metric(0, a=1), gate(10), ANCHOR, FINISH, PLAN, CLOSE, JUDGE, CLEAR]
    story, _ = told(*events, keep=Keep(artifacts=True))
    run = story.runs[RUN]
    kept = ["run.opened", "run.planned", "gate.anchored", "run.finished", "run.closed"]
    judged = ["governance.judged", "governance.cleared"]
    assert [event.type for event in run.replay().events] == kept + judged
    assert [event.seq for event in run.replay().judgements] == [9, 10]
    assert [event.type for event in run.replay_until(9).events] == kept
    assert run.replay_until(9).judgements == ()
    planned = run.replay().event("run.planned")
    assert planned is not None
    assert (planned.seq, planned.time, planned.key, planned.data) == (2, "t2", HEX, PLANNED)
    assert run.replay_until(2).event("run.planned") is None
    (check,) = run.replay().gates
    assert (check.seq, check.time, check.iter, check.data) == (4, "t4", 10, gate(10)[1])
    assert json.loads(check.audit) == gate(10)[1]["audit"]


def test_without_artifacts_no_events_are_kept() -> None:
    story, _ = told(OPEN, PLAN, ANCHOR, CLOSE, JUDGE)
    assert story.replays()[0].events == ()


def test_without_artifacts_nothing_is_kept_of_the_gates() -> None:
    story, _ = told(OPEN, PLAN, metric(0, a=1), gate(1), FILE)
    assert story.replays()[0].gates == ()
    assert story.replays()[0].metrics == 0
    assert story.replays()[0].counts.passed == 1
    assert story.artifacts == {}


def test_a_payload_that_does_not_fit_is_reported_and_not_counted() -> None:
    bad = ("gate.checked", {"iter": 7, "decision": "great"})
    story, found = told(OPEN, PLAN, bad, gate(3))
    assert found == [("event.schema", 3)]
    assert story.replays()[0].counts.passed == 1


def test_a_malformed_closing_still_closes_the_run() -> None:
    story, found = told(OPEN, ("run.closed", {"status": "fine"}), metric(0))
    assert found == [("event.schema", 2), ("event.order", 3)]
    closing = story.replays()[0].closing
    assert closing is not None
    assert closing.status is None


def test_a_malformed_opening_opens_the_run_but_gives_no_kind() -> None:
    story, found = told(("run.opened", {}), OPEN)
    assert found == [("event.schema", 1), ("event.order", 2)]
    assert story.replays()[0].plan.kind is None


def test_the_plan_that_counts_is_the_first() -> None:
    other = {**PLANNED, "gate": {**PLANNED["gate"], "preset": "lax"}}
    story, _ = told(OPEN, PLAN, ("run.planned", other))
    plan = story.replays()[0].plan.gate
    assert plan is not None
    assert plan["preset"] == "demo"


def test_the_reader_judges_genesis_and_key_events() -> None:
    story, found = told(("ledger.created", {}), ("key.revoked", {}), ("key.new", {}), strict=True)
    assert found == []
    assert story.schema_checked == 0


def test_an_unknown_type_is_a_finding_only_under_strict() -> None:
    events = [("mystery.happened", {}), ("x.mine", {})]
    story, found = told(*events)
    assert found == []
    assert (story.unknown, story.unknown_types, story.judged) == (1, ("mystery.happened",), 1)
    _, found = told(*events, strict=True)
    assert found == [("event.schema", 1)]


def test_of_many_unknown_types_few_are_remembered() -> None:
    story, _ = told(*((f"mystery.m{number}", {}) for number in range(100)))
    assert story.unknown == 100
    assert len(story.unknown_types) == 10


def test_an_entry_that_cannot_be_decoded_is_a_finding_and_keeps_its_place_in_the_order() -> None:
    findings = Findings()
    story = Story(findings)
    story.see(1, 2, "run.opened", RUN, HEX, b"\xff")
    story.see(2, 3, "run.opened", RUN, HEX, b'{"time":1}')
    codes = [(finding.code, finding.seq) for finding in findings.items()]
    assert codes == [("event.schema", 1), ("event.order", 2), ("event.schema", 2)]


def test_blob_references_are_found_anywhere_and_kept_once() -> None:
    good = {"sha256": HEX, "bytes": 3, "media_type": "a/b", "name": "n"}
    near = [
        {**good, "extra": 1},
        {**good, "sha256": HEX.upper()},
        {**good, "sha256": HEX[:-1]},
        {**good, "sha256": 7},
        {**good, "bytes": True},
        {**good, "bytes": -1},
        {**good, "bytes": 3.0},
        {**good, "media_type": None},
        {**good, "name": None},
        {key: value for key, value in good.items() if key != "name"},
    ]
    nested = ("x.note", {"a": [{"b": good}, *near], "c": {"d": {**good, "bytes": 4}}})
    story, found = told(nested, ("x.note", good), ("x.note", [1]), keep=Keep(blobs=True))
    assert found == [("event.schema", 3)]  # data that is no object; the reader refuses it before
    assert [(blob, place.seq) for blob, place in story.blobs.items()] == [
        (BlobReference(HEX, 3), 1),
        (BlobReference(HEX, 4), 1),
    ]
    assert story.blob_references == 3
    story, _ = told(nested)
    assert (story.blob_references, story.blobs) == (2, {})


def test_the_last_record_of_a_path_counts() -> None:
    later = ("artifact.recorded", {**FILE[1], "bytes": 9, "at": 3})
    story, _ = told(OPEN, FILE, later, keep=Keep(artifacts=True))
    (artifact,) = story.artifacts.values()
    assert (artifact.size, artifact.at, artifact.place.seq, artifact.subject) == (9, 3, 3, RUN)


def test_erasures_and_side_files_are_remembered() -> None:
    recovered = {
        "side_file": "ledger.jsonl.torn-00",
        "sha256": HEX,
        "bytes": 4,
        "entries": 0,
        "hashes": [],
        "part": 1,
        "parts": 1,
    }
    events = [("blob.erased", {"sha256": HEX, "reason": "r"}), ("ledger.recovered", recovered)]
    story, found = told(*events, keep=Keep(artifacts=True))
    assert found == []
    assert story.erased == {HEX}
    assert [file.size for file in story.side_files.values()] == [4]
    assert told(*events)[0].side_files == {}


def test_a_run_weighs_what_its_entries_weigh() -> None:
    run = Run("run/x")
    run.follow(0, "run.opened", time="t", data=None, weight=100)
    run.follow(1, "run.closed", time="t", data=None, weight=11)
    assert run.weight == 111
