"""Any history that the format allows, for hypothesis."""

from hypothesis import strategies as st
from payloads import (
    RUNNER,
    SHA,
    authorized,
    checked,
    distributed,
    forecast_checked,
    forecast_plan,
    gate_plan,
    injection,
    opened,
    planned,
)
from story import HOSTILE_TEXTS, Entry, Story

NUMBERS = st.floats(0, 1e6) | st.integers(0, 9) | st.sampled_from(["NaN", "Infinity", "-Infinity"])
TEXTS = st.sampled_from(HOSTILE_TEXTS) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
)
RUN_IDS = st.sampled_from(["one", "two", "../three", "TWO"])
STEPS = st.integers(0, 999)
DECISIONS = st.sampled_from(["pass", "warn", "fail", "skip"])
VALUES = st.dictionaries(TEXTS, NUMBERS, max_size=3)

_GATES = st.builds(
    lambda step, decision, worst, moved: checked(
        step, decision, worst_DW=worst, per_metric_tv=moved
    ),
    STEPS,
    DECISIONS,
    NUMBERS | st.none(),
    VALUES,
)
_KINDS = st.sampled_from(["permute", "random", "mask", "labels", "lr"]) | TEXTS
_EVENTS = st.one_of(
    st.tuples(st.just("gate.checked"), _GATES),
    st.tuples(
        st.just("metric.observed"), st.builds(lambda i, v: {"iter": i, "values": v}, STEPS, VALUES)
    ),
    st.tuples(st.just("run.opened"), st.builds(lambda kind: opened(kind=kind), TEXTS)),
    st.tuples(
        st.just("run.planned"),
        st.builds(lambda name, seed: planned(gate=gate_plan(preset=name), seed=seed), TEXTS, STEPS),
    ),
    st.tuples(
        st.just("fault.injected"),
        st.builds(lambda i, kind: {"iter": i, "kind": kind, "fraction": 0.25}, STEPS, TEXTS),
    ),
    st.tuples(
        st.just("run.closed"),
        st.builds(
            lambda status, signal: {
                "status": status,
                "exit_code": None,
                "signal": signal,
                "wall_s": 1.0,
            },
            st.sampled_from(["success", "user_code_failure", "wrapper_failure"]),
            st.none() | TEXTS,
        ),
    ),
    st.tuples(
        st.just("run.finished"),
        st.builds(lambda i, x: {"iters": i, "final_loss": x}, STEPS, NUMBERS),
    ),
    st.tuples(
        st.just("artifact.recorded"),
        st.builds(
            lambda path: {
                "path": path,
                "sha256": SHA,
                "bytes": 1,
                "media_type": "text/plain",
                "projection": None,
                "at": None,
            },
            TEXTS,
        ),
    ),
    st.tuples(st.just("key.authorized"), st.builds(lambda name: authorized(RUNNER, name), TEXTS)),
    st.tuples(
        st.just("run.planned"),
        st.builds(
            lambda plan, spread, faulty: planned(
                gate=plan, distributed=spread, injection=faulty, overrides={"window": 20, "z": 5.0}
            ),
            st.builds(lambda name: forecast_plan(preset=name), TEXTS),
            st.none() | st.builds(lambda name: distributed(backend=name), TEXTS),
            st.none() | st.builds(lambda kind: injection(kind=kind), _KINDS),
        ),
    ),
    st.tuples(
        st.just("gate.checked"),
        st.builds(forecast_checked, STEPS, DECISIONS),
    ),
    st.tuples(
        st.just("gate.anchored"),
        st.builds(lambda step, why: {"iter": step, "reason": why}, STEPS, TEXTS),
    ),
    st.tuples(
        st.just("governance.judged"),
        st.builds(
            lambda status, why, who: {"status": status, "reason": why, "reviewer": who},
            st.sampled_from(["pass", "fail"]),
            TEXTS,
            st.none() | TEXTS,
        ),
    ),
    st.tuples(
        st.just("governance.cleared"),
        st.builds(
            lambda why, who: {"reason": why, "reviewer": who}, st.none() | TEXTS, st.none() | TEXTS
        ),
    ),
    # What no projection of runs may trip over: types of others, payloads that fit nothing.
    st.tuples(st.sampled_from(["x.note", "metric.unheard_of", "run.dreamt"]), VALUES),
    st.tuples(st.sampled_from(["gate.checked", "run.closed", "ledger.created"]), VALUES),
)


@st.composite
def stories(draw: st.DrawFn, *, whole: bool = False) -> list[Entry]:
    """Any history that the format allows, sensible or not; *whole*: one run has plan and end."""
    story = Story(draw(TEXTS))
    if whole:
        story.open("one")
        story.plan("one", gate=draw(st.sampled_from([gate_plan(), forecast_plan()])))
    for kind, data in draw(st.lists(_EVENTS, max_size=14)):
        story.add(kind, f"run/{draw(RUN_IDS)}", data)
    if whole:
        story.close("one")
    return story.entries
