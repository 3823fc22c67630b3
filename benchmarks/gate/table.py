"""Show the figures: the goals first, each with its mark, then everything that they are made of."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gate.units import KINDS

BEGIN, END = "<!-- battery -->", "<!-- /battery -->"
_FAR, _FAR_BOUND, _CHECKS = 0.01, 0.02, 600
_RUNS, _ALL_WITHIN_2W, _TRIALS = 0.05, 0.99, 8
_OVERHEAD, _REPORT_S = 0.02, 2.0
_NOT = "not measured"


def markdown(figures: dict[str, Any]) -> str:
    """Return all tables."""
    units = figures["units"]
    missing = ", ".join(f"{count} {what}s" for what, count in sorted(units["missing"].items()))
    head = f"{units['done']} of {units['planned']} units are done, in {units['cpu_s']} s of CPU" + (
        f"; missing: {missing}." if missing else "."
    )
    return "\n\n".join(
        [
            figures.get("machine", ""),
            head,
            "### What was asked\n\n" + _goals(figures),
            "### Healthy runs\n\n" + _healthy(figures),
            "### Onset at the end of a window\n\n" + _kinds(figures["aligned"]),
            "### Other onsets, anywhere inside a window\n\n" + _kinds(figures["other"]),
            "### A declared change, which must stay silent\n\n" + _declared(figures),
            "### Every alarm on a healthy run\n\n" + _traces(figures),
            "### Every one of the six kinds' trials that was not seen within two windows\n\n"
            + _missed(figures),
        ]
    ).strip()


def write(page: Path, text: str) -> None:
    """Put *text* between the marks of *page*.

    Raises:
        ValueError: The page has no such marks.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} has no {BEGIN} ... {END}")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def grid(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _goals(figures: dict[str, Any]) -> str:
    healthy, asked = figures["all_healthy"], figures["asked"]
    check, run = healthy["per_check"], healthy["per_run"]
    rows = [
        (
            "false alarms per evaluated check",
            "≤ 5 %",
            f"≤ 1 %, upper bound ≤ 2 %, ≥ {_CHECKS} checks",
            _share(check),
            _mark(
                check["total"] >= _CHECKS
                and check["count"] <= _FAR * check["total"]
                and check["high"] <= _FAR_BOUND
            ),
        ),
        (
            "control runs with any FAIL",
            "-",
            "≤ 5 %",
            _share(run),
            _mark(run["total"] > 0 and run["count"] <= _RUNS * run["total"]),
        ),
        *(_kind_goal(row) for row in figures["aligned"] if KINDS[row["kind"]].asked),
        (
            "all six kinds, all onsets, within 2 W",
            "-",
            "≥ 99 %",
            f"{_share(asked['within_2w'])} at {asked['onsets']} onsets",
            _mark(_at_least(asked["within_2w"], _ALL_WITHIN_2W)),
        ),
        _overhead(figures.get("overhead")),
        _report(figures.get("report")),
    ]
    return grid(("", "seed asks", "reach", "measured", ""), rows)


def _kind_goal(row: dict[str, Any]) -> tuple[str, ...]:
    severe = KINDS[row["kind"]].severe
    windows = 1 if severe else 2
    share = row[f"within_{windows}w"]
    return (
        f"{row['kind']}, seen",
        "within 2 W",
        f"all of ≥ {_TRIALS}, within {windows} W",
        f"{_share(share)}",
        _mark(share["total"] >= _TRIALS and share["count"] == share["total"]),
    )


def _overhead(told: dict[str, Any] | None) -> tuple[str, ...]:
    name = "CPU of metrics, gate and ledger"
    if told is None:
        return (name, "≤ 5 %", "≤ 2 %", "-", _NOT)
    shown = f"{told['ratio']:.2%} [{told['low']:.2%}, {told['high']:.2%}] ({told['config']})"
    return (name, "≤ 5 %", "≤ 2 %", shown, _mark(told["ratio"] <= _OVERHEAD))


def _report(told: dict[str, Any] | None) -> tuple[str, ...]:
    name = "from a finished run to a report"
    if told is None:
        return (name, "≤ 2 min", "≤ 2 s", "-", _NOT)
    spread = (
        f"{told['median']:.2f} s [{told['least']:.2f}, {told['most']:.2f}]"
        f" (of {told['iters']} iterations)"
    )
    return (name, "≤ 2 min", "≤ 2 s", spread, _mark(told["median"] <= _REPORT_S))


def _healthy(figures: dict[str, Any]) -> str:
    rows = []
    for row in [*figures["healthy"], figures["all_healthy"], figures["short"]]:
        shown = [f"{row['z'][q]:.2f}" if row["z"][q] is not None else "-" for q in row["z"]]
        runs = f"{row['runs_with_alarm']}, {row['runs_with_fail']}"
        rows.append((row["name"], row["runs"], _share(row["per_check"]), runs, ", ".join(shown)))
    head = ("", "runs", "alarms per check", "runs with alarm, FAIL", "z: 50 %, 90 %, 99 %, largest")
    return grid(head, rows)


def _kinds(rows: list[dict[str, Any]]) -> str:
    head = ("kind", "trials", "guarded", "≤ 1 W", "≤ 2 W", "FAIL ≤ 2 W",
            "delay: median, most", "never", "z: median, least", "driver")  # fmt: skip
    return grid(head, [_kind(row) for row in rows if not KINDS[row["kind"]].declared])


def _declared(figures: dict[str, Any]) -> str:
    rows = [
        (row["kind"], row["trials"], f"{where} of a window", _share(row["alarms"]))
        for where, part in (("at the end", "aligned"), ("inside", "other"))
        for row in figures[part]
        if KINDS[row["kind"]].declared
    ]
    return grid(("kind", "runs", "onset", "alarms per evaluated check, to the end"), rows)


def _kind(row: dict[str, Any]) -> tuple[object, ...]:
    def plain(name: str) -> str:
        share = row[name]
        return f"{share['count']}/{share['total']}"

    delays = "-" if row["delay_max"] is None else f"{row['delay_median']:.0f}, {row['delay_max']}"
    strength = "-" if row["z_median"] is None else f"{row['z_median']:.1f}, {row['z_least']:.1f}"
    return (
        row["kind"],
        f"{row['trials']} at {row['onsets']}" if row["trials"] else "none",
        row["guarded"],
        plain("within_1w"),
        _share(row["within_2w"]),
        plain("fail_within_2w"),
        delays,
        row["never"],
        strength,
        row["driver"] or "-",
    )


def _traces(figures: dict[str, Any]) -> str:
    traces = [*figures["all_healthy"]["traces"], *figures["short"]["traces"]]
    if not traces:
        return "None."
    head = ("run", "iter", "decision", "reason", "metric", "view", "z")
    return grid(
        head,
        [
            (t["unit"], t["iter"], t["decision"], t["reason"], t["metric"], t["view"], t["z"])
            for t in traces
        ],
    )


def _missed(figures: dict[str, Any]) -> str:
    return "\n".join(f"- `{name}`" for name in figures["asked"]["missed"]) or "None."


def _share(share: dict[str, Any]) -> str:
    if not share["total"]:
        return "0/0"
    value = share["count"] / share["total"]
    bounds = f"[{share['low']:.1%}, {share['high']:.1%}]"
    return f"{share['count']}/{share['total']} = {value:.1%} {bounds}"


def _at_least(share: dict[str, Any], bound: float) -> bool:
    return bool(share["total"]) and share["count"] >= bound * share["total"]


def _mark(reached: bool) -> str:  # noqa: FBT001 - the one thing that it says
    return "reached" if reached else "**short**"
