"""How far two runs went apart: metric by metric, and decision by decision.

The contract's ``diff`` compares headers and counts only; two runs with the same counts
may have nothing else in common.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cli.render import escape
from verifier.contract import Validation
from verifier.contract.documents import Gate, Metric

_SHOWN = 20
_DIGITS = ".6g"


@dataclass(frozen=True, slots=True)
class Course:
    """One metric in both runs; *largest* is at *where*, over the iterations both have."""

    name: str
    observed: tuple[int, int]
    last: tuple[float | None, float | None]
    common: int
    largest: float | None
    where: int | None

    def as_dict(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "name": self.name,
            "observed_a": self.observed[0],
            "observed_b": self.observed[1],
            "last_a": self.last[0],
            "last_b": self.last[1],
            "common_iters": self.common,
            "max_abs_difference": self.largest,
            "max_abs_difference_iter": self.where,
        }


def trajectories(a: Validation, b: Validation) -> dict[str, Any] | None:
    """Return how two full capsules went apart, or ``None`` if one has no results."""
    if a.results is None or b.results is None:
        return None
    one, other = _series(a.results.metrics), _series(b.results.metrics)
    courses = [_course(n, one.get(n, {}), other.get(n, {})) for n in sorted({*one, *other})]
    return {
        "metrics": [course.as_dict() for course in courses],
        "decisions": _decisions(a.results.gates, b.results.gates),
    }


def lines_of(found: dict[str, Any] | None) -> list[str]:
    """Return the lines of ``diff`` for it."""
    if found is None:
        return []
    courses = found["metrics"]
    lines = ["", "Trajectories:"]
    lines += [f"  {escape(each['name'])}: {_words(each)}" for each in courses[:_SHOWN]]
    lines += _more(len(courses), "metrics")
    differing = found["decisions"]
    lines.append(f"  decisions_differ: {len(differing)}")
    for check in differing[:_SHOWN]:
        lines.append(f"    iter={check['iter']}: a={check['a'] or '-'} b={check['b'] or '-'}")
    return lines + _more(len(differing), "checks")


def _words(course: dict[str, Any]) -> str:
    last = f"last_a={_number(course['last_a'])} last_b={_number(course['last_b'])}"
    if course["max_abs_difference"] is None:
        return f"{last} no common iteration"
    largest = _number(course["max_abs_difference"])
    return f"{last} max_abs_difference={largest} at iter={course['max_abs_difference_iter']}"


def _number(value: float | None) -> str:
    return "-" if value is None else format(value, _DIGITS)


def _more(count: int, what: str) -> list[str]:
    return [f"  … and {count - _SHOWN} more {what}"] if count > _SHOWN else []


def _series(metrics: tuple[Metric, ...]) -> dict[str, dict[int, float]]:
    """Return the numbers of each metric by iteration; of two at one iteration the last."""
    found: dict[str, dict[int, float]] = {}
    for metric in metrics:
        value = metric.value
        if metric.iter is None or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        with suppress(OverflowError):  # an integer that no binary64 holds
            found.setdefault(metric.name, {})[metric.iter] = float(value)
    return found


def _course(name: str, a: dict[int, float], b: dict[int, float]) -> Course:
    common = sorted(a.keys() & b.keys())
    differences = [(abs(a[step] - b[step]), -step) for step in common]
    largest, where = max(differences, default=(None, 0))
    return Course(
        name=name,
        observed=(len(a), len(b)),
        last=(a[max(a)] if a else None, b[max(b)] if b else None),
        common=len(common),
        largest=largest,
        where=None if largest is None else -where,
    )


def _decisions(a: tuple[Gate, ...], b: tuple[Gate, ...]) -> list[dict[str, Any]]:
    """Return the checks that came to another decision, or that only one run has."""
    one, other = ({gate.iter: gate.decision for gate in gates} for gates in (a, b))
    return [
        {"iter": step, "a": one.get(step), "b": other.get(step)}
        for step in sorted({*one, *other})
        if one.get(step) != other.get(step)
    ]
