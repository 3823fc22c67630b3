"""Count what the units gave: false alarms of controls, delays of trials. Nothing is dropped.

A trial counts as a detection only if the two checks before its onset were silent;
those for which they were not are counted apart, as ``guarded``.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.gate.statistics import Share
from benchmarks.gate.training import Workplace
from benchmarks.gate.units import ALIGNED, KINDS, WINDOW, Unit

_ALARMS = {"warn", "fail"}
_GUARD = 2  # checks before the onset that must have been silent


@dataclass(frozen=True, slots=True)
class Trial:
    """How one trial went; a delay, in iterations from the onset, is ``None`` without an alarm."""

    unit: Unit
    guarded: bool
    alarm: int | None
    fail: int | None
    z: float | None
    metric: str | None
    checks: int
    alarms: int

    def within(self, windows: int, *, fail: bool = False) -> bool:
        """Tell whether the alarm, or the fail, came within so many windows."""
        delay = self.fail if fail else self.alarm
        return delay is not None and delay <= windows * WINDOW


@dataclass(frozen=True, slots=True)
class Healthy:
    """What the gate said on healthy runs of one configuration."""

    name: str
    runs: int
    evaluated: int
    alarms: int
    fails: int
    runs_with_alarm: int
    runs_with_fail: int
    zs: tuple[float, ...] = field(repr=False)
    traces: tuple[dict[str, Any], ...]

    @property
    def per_check(self) -> Share:
        """Alarms per evaluated check."""
        return Share(self.alarms, self.evaluated)


@dataclass(frozen=True, slots=True)
class Group:
    """The trials of one kind, or of all, at the aligned onset, or at the others."""

    name: str
    trials: tuple[Trial, ...]

    @property
    def counted(self) -> list[Trial]:
        """Those that the guard lets count."""
        return [trial for trial in self.trials if not trial.guarded]

    def share(self, windows: int, *, fail: bool = False) -> Share:
        """How many were seen within so many windows."""
        counted = self.counted
        return Share(sum(t.within(windows, fail=fail) for t in counted), len(counted))

    def as_data(self) -> dict[str, Any]:
        """Return the figures of the group."""
        counted = self.counted
        delays = [t.alarm for t in counted if t.alarm is not None]
        zs = [t.z for t in counted if t.z is not None]
        checks = sum(t.checks for t in counted)
        drivers = Counter(t.metric for t in counted if t.metric is not None)
        return {
            "kind": self.name,
            "trials": len(self.trials),
            "guarded": len(self.trials) - len(counted),
            "onsets": len({t.unit.onset for t in self.trials}),
            "within_1w": share_data(self.share(1)),
            "within_2w": share_data(self.share(2)),
            "fail_within_2w": share_data(self.share(2, fail=True)),
            "delay_median": statistics.median(delays) if delays else None,
            "delay_max": max(delays, default=None),
            "never": sum(t.alarm is None for t in counted),
            "z_median": statistics.median(zs) if zs else None,
            "z_least": min(zs, default=None),
            "driver": drivers.most_common(1)[0][0] if drivers else None,
            "alarms": share_data(Share(sum(t.alarms for t in counted), checks)),
            "missed": [t.unit.name for t in counted if not t.within(2)],
        }


def gather(units: Sequence[Unit], place: Workplace) -> dict[str, Any]:
    """Return all figures of what is done, as JSON."""
    results = {unit: told for unit in units if (told := place.load(unit)) is not None}
    controls = {u: told for u, told in results.items() if u.what == "control"}
    tunes = {u: told for u, told in results.items() if u.what == "tune"}
    trials = [
        _trial(u, told, controls[u.control])
        for u, told in results.items()
        if u.what == "trial" and u.control in controls
    ]
    names = dict.fromkeys(unit.kind for unit in units if unit.kind)
    asked = [t for t in trials if KINDS[t.unit.kind].asked]
    aligned = [t for t in trials if t.unit.onset == ALIGNED]
    other = [t for t in trials if t.unit.onset != ALIGNED]
    return {
        "units": {
            "planned": len(units),
            "done": len(results),
            "missing": Counter(u.what for u in units if u not in results),
            "cpu_s": round(sum(told["cpu_s"] for told in results.values())),
        },
        "healthy": [_healthy_data(h) for h in _by_config(controls)],
        "all_healthy": _healthy_data(_healthy("all", controls.values())),
        "short": _healthy_data(_healthy("short_v0", tunes.values())),
        "aligned": [_group(name, aligned) for name in names],
        "other": [_group(name, other) for name in names],
        "asked": Group("all six", tuple(asked)).as_data(),
    }


def share_data(share: Share) -> dict[str, Any]:
    """Return a share as JSON: count, total, and the exact bounds."""
    low, high = share.bounds
    return {"count": share.count, "total": share.total, "low": low, "high": high}


def _group(name: str, trials: Iterable[Trial]) -> dict[str, Any]:
    return Group(name, tuple(t for t in trials if t.unit.kind == name)).as_data()


def _trial(unit: Unit, told: dict[str, Any], control: dict[str, Any]) -> Trial:
    before = [c["decision"] for c in control["checks"] if c["iter"] <= unit.onset][-_GUARD:]
    alarms = [c for c in told["checks"] if c["decision"] in _ALARMS]
    fails = [c for c in alarms if c["decision"] == "fail"]
    # The first full window of the fault shows its strength; the check before it saw a part.
    full = [c for c in told["checks"] if c["iter"] >= unit.onset + WINDOW and c["z"] is not None]
    strongest = alarms[0] if alarms else (full[0] if full else None)
    return Trial(
        unit=unit,
        guarded=any(decision in _ALARMS for decision in before),
        alarm=alarms[0]["iter"] - unit.onset if alarms else None,
        fail=fails[0]["iter"] - unit.onset if fails else None,
        z=strongest["z"] if strongest else None,
        metric=strongest["metric"] if strongest else None,
        checks=sum(c["decision"] != "skip" for c in told["checks"]),
        alarms=len(alarms),
    )


def _by_config(controls: dict[Unit, dict[str, Any]]) -> list[Healthy]:
    names = dict.fromkeys(unit.config.name for unit in controls)
    return [
        _healthy(name, [told for unit, told in controls.items() if unit.config.name == name])
        for name in names
    ]


def _healthy(name: str, runs: Iterable[dict[str, Any]]) -> Healthy:
    runs = list(runs)
    spoken = [(run, c) for run in runs for c in run["checks"] if c["decision"] != "skip"]
    alarms = [(run["unit"], c) for run, c in spoken if c["decision"] in _ALARMS]
    fails = [unit for unit, c in alarms if c["decision"] == "fail"]
    return Healthy(
        name=name,
        runs=len(runs),
        evaluated=len(spoken),
        alarms=len(alarms),
        fails=len(fails),
        runs_with_alarm=len({unit for unit, _ in alarms}),
        runs_with_fail=len(set(fails)),
        zs=tuple(sorted(c["z"] for _, c in spoken if c["z"] is not None)),
        traces=tuple({"unit": unit, **c} for unit, c in alarms),
    )


def _healthy_data(healthy: Healthy) -> dict[str, Any]:
    zs = healthy.zs
    data = asdict(healthy)
    del data["zs"]
    return {
        **data,
        "per_check": share_data(healthy.per_check),
        "per_run": share_data(Share(healthy.runs_with_fail, healthy.runs)),
        "z": {
            str(q): zs[min(len(zs) - 1, int(q * len(zs)))] if zs else None
            for q in (0.5, 0.9, 0.99, 1.0)
        },
    }
