"""``run_config_resolved.json`` a second time (docs/reference/capsule.md, section 6)."""

from collections.abc import Mapping
from typing import Any

from verifier.facts import Facts, canonical, facts_of, number
from verifier.runs import Replay
from verifier.signature import gate_controls

__all__ = ["CONFIG", "run_config"]

CONFIG = "run_config_resolved.json"
_EXIT = {"success": 0, "user_code_failure": 2, "veriscope_failure": 3}
_NO_DEPENDENCIES = {"method": "unavailable", "notes": []}


def run_config(replay: Replay) -> bytes | None:
    """Return the file, or ``None`` for a run that was never opened."""
    facts = facts_of(replay)
    if facts.opened is None:
        return None
    return canonical(_opened(facts) | _planned(facts) | _ended(facts)) + b"\n"


def _opened(facts: Facts) -> dict[str, Any]:
    opened = facts.opened_data
    closed = facts.closed is not None
    return {
        "schema_version": 1,
        "ts_utc": facts.started,
        **{name: opened[name] for name in ("package", "env", "env_capture", "python", "platform")},
        "witness": opened.get("witness", "process"),
        "git_sha": opened["git"]["sha"],
        "notes": ["dirty"] if opened["git"]["dirty"] else [],
        "run": {"kind": opened["kind"], "run_id": facts.run_id, "outdir": opened["outdir"]},
        "run_id": facts.run_id,
        "argv": _argv(opened),
        "determinism_status": _without_null(opened.get("determinism") or {}),
        "dependencies": _without_null(opened.get("dependencies") or _NO_DEPENDENCIES),
        "provenance": {"policy_rev": "v1"},
        "gate_preset": facts.preset,
        "overrides": facts.overrides,
        "window_signature_ref": facts.reference,
        "started_ts_utc": facts.started,
        "ended_ts_utc": facts.ended,
        "runner_exit_code": facts.exit_code,
        "runner_signal": facts.signal,
        "lifecycle_state": _state(facts),
        "run_status": facts.status if closed else "running",
        "wrapper_exit_code": _EXIT[facts.status] if closed else None,
    }


def _argv(opened: Mapping[str, Any]) -> dict[str, Any]:
    command, runner = opened["argv"], opened.get("runner_cmd", [])
    forwarded = {"normalized_forwarded_args": command[len(runner) :]} if runner else {}
    return {"veriscope_argv": opened.get("wrapper_argv", []), "runner_cmd": command, **forwarded}


def _planned(facts: Facts) -> dict[str, Any]:
    if facts.planned is None:
        return {}
    planned = facts.planned.data
    injection = planned.get("injection")
    return {
        "resolved_gate_cfg": gate_controls(planned["gate"]),
        "metric_interval": planned["gate"]["metric_interval"],
        "max_iters": planned["max_iters"],
        "model": planned["model"],
        "data": planned["data"],
        "resolved_seed": planned["seed"],
        **facts.distributed,
        **({} if injection is None else _injection(injection)),
    }


def _injection(injection: Mapping[str, Any]) -> dict[str, Any]:
    typed = {**injection, **{n: number(injection[n]) for n in ("fraction", "factor")}}
    names = {"at": "at", "len": "length", "frac": "fraction", "mode": "kind"}
    said = {f"data_corrupt_{short}": typed[name] for short, name in names.items()}
    if injection["kind"] == "lr":
        spike = {"at": "at", "len": "length", "mult": "factor"}
        said |= {f"lr_spike_{short}": typed[name] for short, name in spike.items()}
    return {"injection": typed, **said}


def _ended(facts: Facts) -> dict[str, Any]:
    said: dict[str, Any] = {}
    finished = None if facts.finished is None else facts.finished.data
    if finished is not None:
        said["finished"] = {
            "iters": finished["iters"],
            "final_loss": number(finished["final_loss"]),
            "overhead_s": number(finished.get("overhead_s")),
            "stopped": finished.get("stopped"),
        }
    if facts.closed is None:
        return said
    wall = float(facts.closed.data["wall_s"])
    said["timing"] = {"veriscope_wall_s": wall}
    overhead = None if finished is None else finished.get("overhead_s")
    if overhead is not None and overhead < wall:
        said["timing"]["runner_wall_s"] = wall - float(overhead)
    if facts.status != "success":
        said["error"] = {"type": facts.status, "message": _message(facts)}
    return said


def _message(facts: Facts) -> str:
    reason = None if facts.closed is None else facts.closed.data.get("reason")
    if reason:
        return str(reason)
    if facts.signal is not None:
        return f"signal {facts.signal} ended the runner"
    if facts.exit_code is not None:
        return f"the runner exited with code {facts.exit_code}"
    return "there was no runner, or the wrapper lost it"


def _state(facts: Facts) -> str:
    if facts.closed is not None:
        lost = facts.closed.data["status"] == "wrapper_failure"
        return "FAILED_INTERNAL" if lost else "FINALIZED"
    return "STARTED" if facts.planned is None else "RUNNING"


def _without_null(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in value.items() if each is not None}
