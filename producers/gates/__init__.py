"""The training gate: a plan, and checks that anyone can decide again from the ledger."""

from producers.gates.check import Check, Decision, Evidence, Forecast, Score
from producers.gates.controls import CONTROLS, Control
from producers.gates.decide import count, decide, total_variation
from producers.gates.forecast import ForecastPlan, View
from producers.gates.forecasting import ForecastGate
from producers.gates.gate import AnyPlan, Gate, open_gate, plan_from_data
from producers.gates.histogram import HistogramGate
from producers.gates.plan import DEMO, Metric, Plan
from producers.gates.presets import CANONICAL, PRESETS, departures, preset

__all__ = [
    "CANONICAL",
    "CONTROLS",
    "DEMO",
    "PRESETS",
    "AnyPlan",
    "Check",
    "Control",
    "Decision",
    "Evidence",
    "Forecast",
    "ForecastGate",
    "ForecastPlan",
    "Gate",
    "HistogramGate",
    "Metric",
    "Plan",
    "Score",
    "View",
    "count",
    "decide",
    "departures",
    "open_gate",
    "plan_from_data",
    "preset",
    "total_variation",
]
