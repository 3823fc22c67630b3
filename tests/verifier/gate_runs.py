"""Small runs under a gate, with the checks that the verifier's own engines give them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.verifier.capsule import OPENED, PLANNED, RUN, Capsule
from verifier.findings import Findings
from verifier.forecast import Forecast
from verifier.histogram import Histogram
from verifier.policy import Policy
from verifier.story import Keep, Story

Event = tuple[str, dict[str, Any]]
FREE = Policy(strict=False, ledger_id=None, checkpoints=())
FORECAST: dict[str, Any] = {
    "preset": "mine",
    "policy": "forecast_z_max",
    "engine": "forecast_z/1",
    "window": 1,
    "block": 1,
    "metric_interval": 1,
    "warmup": 0,
    "reference": 4,
    "views": [{"name": "last", "blocks": 1, "gap": 0, "errors": 2}],
    "min_errors": 1,
    "metrics": {"loss": "rise"},
    "level": None,
    "level_from": 0,
    "warn_z": 2.0,
    "fail_z": 3.0,
    "persistence": 1,
    "hold": 3,
    "min_evidence": 1,
}
UNIT = 2.0**-20
BY_HAND = (0, 2, 0, 2, 3, 13, 4)
HEX = "0" * 64


def planned(gate: Mapping[str, Any], **more: Any) -> Event:
    return "run.planned", {**PLANNED, "gate": gate, **more}


def metric(step: int, **values: float | str) -> Event:
    return "metric.observed", {"iter": step, "values": values}


def honest(gate: dict[str, Any], *windows: list[Event]) -> list[Event]:
    """The windows of a run, each with the check that the verifier's own engine gives it."""
    engine = Forecast(gate) if "engine" in gate else Histogram(gate)
    events = [("run.opened", OPENED), planned(gate)]
    for number, window in enumerate(windows, start=1):
        for kind, data in window:
            if kind == "metric.observed":
                engine.observe(data["iter"], data["values"])
            else:
                engine.anchor(data["iter"])
        check = json.loads(json.dumps(engine.decide(number * gate["window"])))
        events += [*window, ("gate.checked", check)]
    return events


def by_hand(*values: float) -> list[Event]:
    return honest(FORECAST, *([metric(at, loss=v * UNIT)] for at, v in enumerate(values)))


def told(events: list[Event]) -> tuple[Story, list[tuple[str, int | None]], str]:
    """What is found about a story, told from seq 0 on; and all messages."""
    findings = Findings()
    story = Story(findings, keep=Keep(artifacts=True))
    for seq, (kind, data) in enumerate(events):
        entry = json.dumps({"time": f"t{seq}", "data": data}).encode()
        story.see(seq, seq + 1, kind, RUN, HEX, entry)
    found = findings.items()
    return story, [(f.code, f.seq) for f in found], "\n".join(f.message for f in found)


def checks(events: list[Event]) -> list[dict[str, Any]]:
    return [data for kind, data in events if kind == "gate.checked"]


def written(folder: Path, events: list[Event]) -> Path:
    capsule = Capsule(folder / "run")
    for kind, data in events:
        capsule.add(kind, data, by="owner")
    return capsule.path
