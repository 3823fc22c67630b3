"""The training gate: a plan, checks that can be decided again from their counts."""

from producers.gates.decide import Check, Decision, Evidence, count, decide, total_variation
from producers.gates.gate import Gate
from producers.gates.plan import DEMO, Metric, Plan

__all__ = [
    "DEMO",
    "Check",
    "Decision",
    "Evidence",
    "Gate",
    "Metric",
    "Plan",
    "count",
    "decide",
    "total_variation",
]
