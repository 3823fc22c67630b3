"""``run_config_resolved.json``: where and how a run took place (seed 4A).

Unlike the other files it is worth having before the run is over, so it can be made
of any part of the story that has a ``run.opened``. What is in the environment and
in the arguments was made harmless by the wrapper before it was recorded.
"""

from typing import Any

from ledger.events import Payload
from ledger.events.run import RunFinished, RunOpened, RunPlanned
from projections.protocol import EntryLike
from projections.records import WRAPPER_EXIT, ending_of, preset_of
from projections.runs import Ending, RunCore, Runs, RunState, canonical, follow, place, second
from projections.window_signature import gate_controls, signature_ref

FILE_NAME = "run_config_resolved.json"

_POLICY_REV = "v1"  # of the rules by which the environment is captured
_RATE_FAULT = "lr"
_NO_LIST = {"method": "unavailable", "notes": []}


class ConfigRun(RunState):
    """A run's circumstances, as their events gave them."""

    opened: dict[str, Any] | None = None
    planned: dict[str, Any] | None = None
    finished: dict[str, Any] | None = None


class RunConfig:
    """The projection of ``run_config_resolved.json``."""

    name = "run_config"
    version = 1
    state_type = Runs[ConfigRun]

    def initial(self) -> Runs[ConfigRun]:
        """Return a state without runs."""
        return Runs()

    def apply(self, state: Runs[ConfigRun], entry: EntryLike) -> Runs[ConfigRun]:
        """Keep the first payload of each event that tells of circumstances."""
        followed = follow(state, entry, ConfigRun)
        if followed is not None:
            _take(*followed)
        return state

    def render(self, state: Runs[ConfigRun]) -> dict[str, bytes]:
        """Return the file of each run that was opened."""
        return place(state, _files)


def _take(run: ConfigRun, payload: Payload) -> None:
    if isinstance(payload, RunOpened) and run.opened is None:
        run.opened = payload.model_dump(mode="json")
    elif isinstance(payload, RunFinished) and run.finished is None:
        run.finished = payload.model_dump(mode="json")
    elif isinstance(payload, RunPlanned) and run.planned is None:
        run.planned = payload.model_dump(mode="json", exclude={"gate"})


def _files(run: ConfigRun) -> dict[str, bytes]:
    if run.opened is None:
        return {}
    document = {
        **_circumstances(run.core, run.opened),
        **_state(run.core),
        **_plan(run.core, run.planned),
        **_end(run.core.ending, run.finished, run.core.status),
    }
    return {FILE_NAME: canonical(document) + b"\n"}


def _circumstances(core: RunCore, opened: dict[str, Any]) -> dict[str, Any]:
    git = opened["git"]
    copied = ("package", "env", "env_capture", "python", "platform", "witness")
    return {
        "schema_version": 1,
        "ts_utc": second(core.started),
        **{name: opened[name] for name in copied},
        "git_sha": git["sha"],
        "notes": ["dirty"] if git["dirty"] else [],
        "run": {"kind": opened["kind"], "run_id": core.run_id, "outdir": opened["outdir"]},
        "run_id": core.run_id,
        "argv": _arguments(opened),
        "determinism_status": _known(opened["determinism"] or {}),
        "dependencies": _known(opened["dependencies"] or _NO_LIST),
        "provenance": {"policy_rev": _POLICY_REV},
    }


def _arguments(opened: dict[str, Any]) -> dict[str, Any]:
    command, runner = opened["argv"], opened["runner_cmd"]
    forwarded = {"normalized_forwarded_args": command[len(runner) :]} if runner else {}
    return {"veriscope_argv": opened["wrapper_argv"], "runner_cmd": command, **forwarded}


def _known(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _state(core: RunCore) -> dict[str, Any]:
    ended = core.ending is not None
    return {
        "gate_preset": preset_of(core),
        "overrides": core.overrides,
        "window_signature_ref": signature_ref(core),
        "lifecycle_state": _lifecycle(core),
        "run_status": core.status if ended else "running",
        "wrapper_exit_code": WRAPPER_EXIT[core.status] if ended else None,
        **ending_of(core),
    }


def _lifecycle(core: RunCore) -> str:
    if core.ending is None:
        return "STARTED" if core.gate is None else "RUNNING"
    return "FAILED_INTERNAL" if core.status == "veriscope_failure" else "FINALIZED"


def _plan(core: RunCore, planned: dict[str, Any] | None) -> dict[str, Any]:
    if core.gate is None or planned is None:
        return {}
    members = {
        "resolved_gate_cfg": gate_controls(core.gate),
        "metric_interval": core.gate["metric_interval"],
        **{name: planned[name] for name in ("max_iters", "model", "data")},
        "resolved_seed": planned["seed"],
        **_injection(planned["injection"]),
    }
    if core.distributed is not None:
        members["distributed"] = core.distributed
    return members


def _injection(injection: dict[str, Any] | None) -> dict[str, Any]:
    """Return the injection, and the seed's names, where public tools look for the onset."""
    if injection is None:
        return {}
    kind, at, length = injection["kind"], injection["at"], injection["length"]
    members: dict[str, Any] = {
        "injection": injection,
        "data_corrupt_at": at,
        "data_corrupt_len": length,
        "data_corrupt_frac": injection["fraction"],
        "data_corrupt_mode": kind,
    }
    if kind == _RATE_FAULT:
        members.update(lr_spike_at=at, lr_spike_len=length, lr_spike_mult=injection["factor"])
    return members


def _end(ending: Ending | None, finished: dict[str, Any] | None, status: str) -> dict[str, Any]:
    members: dict[str, Any] = {} if finished is None else {"finished": finished}
    if ending is None:
        return members
    members["timing"] = timing = {"veriscope_wall_s": ending.wall_s}
    overhead = None if finished is None else finished["overhead_s"]
    if overhead is not None and overhead < ending.wall_s:
        timing["runner_wall_s"] = ending.wall_s - overhead
    if status != "success":
        members["error"] = {"type": status, "message": _what_happened(ending)}
    return members


def _what_happened(ending: Ending) -> str:
    if ending.reason is not None:
        return ending.reason
    if ending.signal is not None:
        return f"signal {ending.signal} ended the runner"
    if ending.exit_code is not None:
        return f"the runner exited with code {ending.exit_code}"
    return "there was no runner, or the wrapper lost it"
