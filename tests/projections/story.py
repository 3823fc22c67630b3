"""Ledgers to fold, honest and hostile, as plain values: no store, no signature, no clock.

An ``Entry`` here has what a projection may see and nothing else. Its hash covers
all of it and the hash before, so two histories never share a head.
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

OWNER, WRAPPER, RUNNER = (bytes([digit]) * 32 for digit in (1, 2, 3))
SHA = "5a" * 32

HOSTILE_TEXTS = (
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "con",
    "A",
    "a",
    "é",
    "e\u0301",
    "a|b|c",
    "``` `tick` ```",
    "<script>alert(1)</script>",
    "</code><img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "\x1b[2J\x1b[31mred",
    "\u202egnp.exe",
    "zero\u200bwidth",
    "two\nlines\r\n# Heading",
    "col  umn",
    "\\`|",
    "https://evil.example/ www.evil.example a@evil.example &lt;b&gt;",
    "**PASS**",
    "\U0001f600 \U000e0041",
    " ",
    "x" * 500,
)


@dataclass(frozen=True)
class Entry:
    """What a projection sees of an entry."""

    seq: int
    id: str
    time: str
    key: str
    signed: bool
    type: str
    subject: str
    data: dict[str, Any]
    hash: str


def key_id(public: bytes) -> str:
    return hashlib.sha256(public).hexdigest()


def public_text(public: bytes) -> str:
    return base64.b64encode(public).decode()


class Story:
    """Builds the entries of one ledger, from ``ledger.created`` on, one second apart."""

    def __init__(self, name: str = "demo") -> None:
        self.entries: list[Entry] = []
        self.add("ledger.created", "", genesis(name), key=OWNER)

    def add(self, kind: str, subject: str, data: dict[str, Any], *, key: bytes = WRAPPER) -> Entry:
        """Append one event."""
        seq = len(self.entries)
        minute, second = divmod(seq, 60)
        time = f"2026-01-15T{10 + minute // 60:02}:{minute % 60:02}:{second:02}.000000Z"
        previous = self.entries[-1].hash if self.entries else ""
        content = json.dumps([previous, seq, time, key_id(key), kind, subject, data])
        entry = Entry(
            seq=seq,
            id=f"event-{seq}",
            time=time,
            key=key_id(key),
            signed=kind != "metric.observed",
            type=kind,
            subject=subject,
            data=json.loads(json.dumps(data)),  # as a reader gets it: lists, never tuples
            hash=hashlib.sha256(content.encode()).hexdigest(),
        )
        self.entries.append(entry)
        return entry

    def open(self, run_id: str, **changes: Any) -> None:
        """The wrapper hands over to a runner and says so."""
        self.add("run.opened", f"run/{run_id}", opened(**changes))

    def plan(self, run_id: str, **changes: Any) -> None:
        """The runner commits to its plan."""
        self.add("run.planned", f"run/{run_id}", planned(**changes), key=RUNNER)

    def metrics(self, run_id: str, step: int, **values: Any) -> None:
        """The runner measures."""
        data = {"iter": step, "values": values}
        self.add("metric.observed", f"run/{run_id}", data, key=RUNNER)

    def gate(self, run_id: str, step: int, decision: str, **audit: Any) -> None:
        """The gate decides."""
        self.add("gate.checked", f"run/{run_id}", checked(step, decision, **audit), key=RUNNER)

    def fault(self, run_id: str, step: int, kind: str = "random") -> None:
        """The runner corrupts its input."""
        data = {"iter": step, "kind": kind, "fraction": 0.5}
        self.add("fault.injected", f"run/{run_id}", data, key=RUNNER)

    def finish(self, run_id: str, iters: int, loss: Any = 2.125) -> None:
        """The runner has its last word."""
        data = {"iters": iters, "final_loss": loss}
        self.add("run.finished", f"run/{run_id}", data, key=RUNNER)

    def close(self, run_id: str, **changes: Any) -> None:
        """The wrapper saw the process end."""
        data = {"status": "success", "exit_code": 0, "signal": None, "wall_s": 42.25}
        self.add("run.closed", f"run/{run_id}", {**data, **changes})

    def artifact(self, run_id: str, path: str, **changes: Any) -> None:
        """The wrapper records a file."""
        data = {
            "path": path,
            "sha256": SHA,
            "bytes": 4096,
            "media_type": "application/octet-stream",
            "projection": None,
            "at": None,
        }
        self.add("artifact.recorded", f"run/{run_id}", {**data, **changes})


def genesis(name: str) -> dict[str, Any]:
    keys = [("owner", OWNER, ["owner"]), ("wrapper", WRAPPER, ["wrapper"])]
    return {
        "format": "evidence-ledger/v1",
        "name": name,
        "nonce": "0" * 32,
        "roles": {"owner": ["*"], "wrapper": ["run.*", "artifact.*"], "runner": ["gate.*"]},
        "keys": [
            {"alg": "ed25519", "public": public_text(public), "name": who, "roles": roles}
            for who, public, roles in keys
        ],
    }


def authorized(public: bytes, name: str) -> dict[str, Any]:
    return {"alg": "ed25519", "public": public_text(public), "name": name, "roles": ["runner"]}


def opened(**changes: Any) -> dict[str, Any]:
    data = {
        "kind": "gpt",
        "argv": ["ledger", "run", "gpt"],
        "outdir": "/data/run",
        "runner_key": key_id(RUNNER),
        "package": {"name": "evidence-ledger", "version": "0.1.0"},
        "python": "3.11.9",
        "platform": "Linux-6.1-x86_64",
        "git": {"sha": "ab" * 20, "dirty": True},
        "env": {},
        "env_capture": {
            "allowlist": ["LEDGER_"],
            "deny_exact": [],
            "deny_regex": [],
            "redactions_applied": False,
        },
    }
    return {**data, **changes}


def planned(**changes: Any) -> dict[str, Any]:
    data = {
        "gate": gate_plan(),
        "max_iters": 220,
        "seed": 7,
        "model": {"layers": 2, "width": 64, "dropout": 0.1, "name": "gpt2-tiny", "tied": True},
        "data": {"name": "pydoc_data.topics", "sha256": "c0" * 32, "bytes": 731_234},
    }
    return {**data, **changes}


def gate_plan(**changes: Any) -> dict[str, Any]:
    data = {
        "preset": "tuned_v0",
        "policy": "persistence",
        "window": 20,
        "metric_interval": 2,
        "warmup": 40,
        "bins": 16,
        "ranges": {"var_out_k": [0.0, 1.0], "eff_dim": [0, 64]},
        "weights": {"var_out_k": 0.5, "eff_dim": 0.5},
        "epsilon": 0.3,
        "persistence": 2,
        "min_evidence": 16,
    }
    return {**data, **changes}


def checked(step: int, decision: str, **audit: Any) -> dict[str, Any]:
    worst = {"pass": 0.125, "warn": 0.375, "fail": 0.75, "skip": None}[decision]
    evaluated = decision != "skip"
    data = {
        "evaluated": evaluated,
        "reason": decision if evaluated else "insufficient_evidence",
        "policy": "persistence",
        "worst_DW": worst,
        "eps_eff": 0.3 if evaluated else None,
        "per_metric_tv": {"eff_dim": worst, "var_out_k": 0.0625} if evaluated else {},
        "evidence_total": 20 if evaluated else 4,
        "min_evidence": 16,
    }
    histogram = {"reference": [8, 8, 4], "recent": [4, 8, 8]}
    return {
        "iter": step,
        "decision": decision,
        "audit": {**data, **audit},
        "evidence": {"eff_dim": histogram} if evaluated else {},
    }


def fail_then_pass(run_id: str = "0197f3c2-demo") -> Story:
    """The demo: warm-up, health, an injected fault, two fails, recovery."""
    story = Story()
    story.add("key.authorized", "", authorized(RUNNER, "runner-1"), key=OWNER)
    story.open(run_id)
    story.plan(run_id)
    decisions = ["skip"] * 3 + ["pass"] * 4 + ["warn", "fail", "fail", "pass"]
    for number, decision in enumerate(decisions, 1):
        step = number * 20
        if step == 160:
            story.fault(run_id, 150)
        story.metrics(run_id, step, eff_dim=30 + number, var_out_k=0.5 / number)
        story.gate(run_id, step, decision)
    story.finish(run_id, 220)
    story.close(run_id)
    story.artifact(run_id, "model.safetensors")
    story.add("x.note", "lunch", {"text": "nothing to see", "count": 3})
    return story


def several_runs(*run_ids: str) -> Story:
    """Runs that go on at the same time, event by event in turn."""
    story = Story("shared")
    for run_id in run_ids:
        story.open(run_id)
    for run_id in run_ids:
        story.plan(run_id)
    for step in (20, 40, 60):
        for number, run_id in enumerate(run_ids):
            story.metrics(run_id, step, eff_dim=step + number)
            story.gate(run_id, step, "fail" if number == 1 and step == 40 else "pass")
    for number, run_id in enumerate(run_ids):
        story.finish(run_id, 60, 1.5 + number)
        story.close(run_id)
    return story


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
    # What no projection of runs may trip over: types of others, payloads that fit nothing.
    st.tuples(st.sampled_from(["x.note", "metric.unheard_of", "run.dreamt"]), VALUES),
    st.tuples(st.sampled_from(["gate.checked", "run.closed", "ledger.created"]), VALUES),
)


@st.composite
def stories(draw: st.DrawFn) -> list[Entry]:
    """Any history that the format allows, sensible or not."""
    story = Story(draw(TEXTS))
    for kind, data in draw(st.lists(_EVENTS, max_size=14)):
        story.add(kind, f"run/{draw(RUN_IDS)}", data)
    return story.entries


def hostile() -> list[Entry]:
    """One run whose every text is an attack on whoever reads the report."""
    evil = "<img src=x onerror=alert(1)>|`\x1b[2J\u202e\n# PASS"
    run_id = "../../" + evil
    story = Story(evil)
    story.add("key.authorized", "", authorized(RUNNER, evil), key=OWNER)
    story.open(
        run_id,
        kind=evil,
        python=evil,
        platform=evil,
        package={"name": evil, "version": evil},
        git={"sha": evil, "dirty": False},
    )
    plan = gate_plan(preset=evil, policy=evil, ranges={evil: [0.0, 1.0]}, weights={evil: 1.0})
    data = {"name": evil, "sha256": "c0" * 32, "bytes": 1}
    story.plan(run_id, gate=plan, model={evil: evil, "layers": 2}, data=data)
    story.fault(run_id, 10, evil)
    story.metrics(run_id, 20, **{evil: "NaN", "loss": "-Infinity"})
    story.gate(
        run_id, 20, "fail", reason=evil, worst_DW="NaN", per_metric_tv={evil: "Infinity", "b": 0.5}
    )
    story.finish(run_id, 20, "NaN")
    story.close(run_id, status="user_code_failure", exit_code=None, signal=evil)
    story.artifact(run_id, evil, media_type=evil)
    story.add("x.note", evil, {evil: evil})
    return story.entries


def partial() -> list[Entry]:
    """A run that was cut short in its warm-up: nothing evaluated, never closed."""
    story = Story()
    story.open("cut-short")
    story.plan("cut-short")
    story.metrics("cut-short", 20, eff_dim=31)
    story.gate("cut-short", 20, "skip")
    return story.entries


def golden_cases() -> dict[str, list[Entry]]:
    """The histories whose projections are kept as files."""
    return {
        "fail_then_pass": fail_then_pass().entries,
        "partial": partial(),
        "hostile": hostile(),
        "several": several_runs("first", "second", "../third").entries,
    }


INVISIBLE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)
