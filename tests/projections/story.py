"""Ledgers to fold, honest and hostile, as plain values: no store, no signature, no clock.

An ``Entry`` here has what a projection may see and nothing else. Its hash covers
all of it and the hash before, so two histories never share a head.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from payloads import (
    OWNER,
    REVIEWER,
    RUNNER,
    SHA,
    WRAPPER,
    authorized,
    checked,
    distributed,
    forecast_checked,
    forecast_plan,
    gate_plan,
    genesis,
    injection,
    key_id,
    opened,
    planned,
)

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

    def forecast(self, run_id: str, step: int, decision: str, **forecast: Any) -> None:
        """A forecasting gate decides."""
        data = forecast_checked(step, decision, **forecast)
        self.add("gate.checked", f"run/{run_id}", data, key=RUNNER)

    def anchor(self, run_id: str, step: int, reason: str) -> None:
        """The runner declares a change."""
        data = {"iter": step, "reason": reason}
        self.add("gate.anchored", f"run/{run_id}", data, key=RUNNER)

    def judge(self, run_id: str, status: str, reason: str, reviewer: str | None = None) -> None:
        """A reviewer judges."""
        data = {"status": status, "reason": reason, "reviewer": reviewer}
        self.add("governance.judged", f"run/{run_id}", data, key=REVIEWER)

    def clear(self, run_id: str, reason: str | None = None, reviewer: str | None = None) -> None:
        """A reviewer takes a judgement back."""
        data = {"reason": reason, "reviewer": reviewer}
        self.add("governance.cleared", f"run/{run_id}", data, key=REVIEWER)

    def fault(self, run_id: str, step: int, kind: str = "random") -> None:
        """The runner corrupts its input."""
        data = {"iter": step, "kind": kind, "fraction": 0.5}
        self.add("fault.injected", f"run/{run_id}", data, key=RUNNER)

    def finish(self, run_id: str, iters: int, loss: Any = 2.125, **changes: Any) -> None:
        """The runner has its last word."""
        data = {"iters": iters, "final_loss": loss, **changes}
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
    story.anchor(run_id, 20, evil)
    story.judge(run_id, "pass", evil, evil)
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


def unplanned() -> list[Entry]:
    """A command that failed before it knew what to do: closed, and partial all the same."""
    story = Story()
    story.open("died-early", gate_preset="spike_v1", git={"sha": None, "dirty": None})
    story.close("died-early", status="user_code_failure", exit_code=7, reason="no data at DATA")
    return story.entries


def forecast(run_id: str = "0198-forecast") -> Story:
    """A forecasting gate in a distributed run with everything that can happen to one."""
    story = Story()
    story.add("key.authorized", "", authorized(RUNNER, "runner-1"), key=OWNER)
    story.open(
        run_id,
        gate_preset="tuned_v0",
        env={"VERISCOPE_SEED": "7", "LEDGER_TOKEN": "***REDACTED***"},
        argv=["python", "-m", "train", "--steps", "220"],
        runner_cmd=["python", "-m", "train"],
        wrapper_argv=["ledger", "run", "gpt"],
        determinism={
            "strict": False,
            "pyhashseed_ok": True,
            "cublas_config_ok": None,
            "cudnn_deterministic": None,
            "notes": [],
        },
        dependencies={"method": "pip_freeze", "path": "environment.txt", "notes": []},
    )
    story.plan(
        run_id,
        gate=forecast_plan(),
        overrides={"window": 20, "warn_z": 5.0, "level": None},
        injection=injection(),
        distributed=distributed(),
    )
    of = {"from_run": "0197-before", "iter": 40, "sha256": SHA, "head_size": 9, "head_hash": SHA}
    story.add("run.resumed", f"run/{run_id}", of, key=RUNNER)
    decisions = ["skip"] * 2 + ["pass"] * 5 + ["warn", "fail", "fail", "pass"]
    for number, decision in enumerate(decisions, 1):
        step = number * 20
        if step == 100:
            story.anchor(run_id, 90, "another corpus")
        if step == 160:
            story.fault(run_id, 150, "permute")
        story.metrics(run_id, step - 5, act_rms=1 + number / 8, loss=6 / number, update_rms=0.5)
        story.forecast(run_id, step, decision, held=int(step == 200), regime=int(step > 90))
    saved = {"iter": 220, "path": "weights/220", "sha256": SHA, "bytes": 99}
    story.add("run.saved", f"run/{run_id}", saved, key=RUNNER)
    other = {"rank": 1, "world_size": 2, "path": "rank-1.ledger", "ledger": SHA}
    story.add("run.rank", f"run/{run_id}", {**other, "size": 12, "hash": SHA}, key=RUNNER)
    story.finish(run_id, 220, 0.5, overhead_s=0.5, stopped="the gate failed")
    story.close(run_id)
    return story


def judged() -> list[Entry]:
    """Judged, taken back, judged anew, judged once more: the last counts."""
    story = fail_then_pass()
    story.judge("0197f3c2-demo", "pass", "a known false alarm", "Ada")
    story.clear("0197f3c2-demo", "it was none", "Grace")
    story.judge("0197f3c2-demo", "fail", "the data were bad")
    story.judge("0197f3c2-demo", "pass", "=cmd|' /C calc'!A0 | **PASS**\u2028", "Ada")
    story.judge("0197f3c2-Demo", "fail", "mistyped: no such run")
    return story.entries


def golden_cases() -> dict[str, list[Entry]]:
    """The histories whose projections are kept as files."""
    return {
        "fail_then_pass": fail_then_pass().entries,
        "partial": partial(),
        "unplanned": unplanned(),
        "forecast": forecast().entries,
        "judged": judged(),
        "hostile": hostile(),
        "several": several_runs("first", "second", "../third").entries,
    }


INVISIBLE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)
