"""A capsule of the run contract, written out by hand: nothing of the product makes it.

Each document is a plain dict that a test may break; ``write`` seals what is to be
sealed (the signature's hash, the log's chain) around the break, as an able attacker
or an honest other tool would.
"""

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RUN = "3179293c5c9c"
STARTED = "2026-01-15T10:00:00Z"
ENDED = "2026-01-15T10:45:00Z"
STEPS = (("skip", 100), ("pass", 200), ("warn", 300), ("fail", 400), ("pass", 500))


def canonical(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def digest(value: object) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()


def audit(decision: str) -> dict[str, Any]:
    if decision == "skip":
        return {
            "evaluated": False,
            "reason": "not_evaluated_warmup",
            "policy": "forecast_z_max",
            "worst_DW": None,
            "eps_eff": None,
            "per_metric_tv": {},
            "evidence_total": 0,
            "min_evidence": 20,
        }
    worst = {"pass": 0.25, "warn": 0.5, "fail": 0.75}[decision]
    return {
        "evaluated": True,
        "reason": f"change_{decision}",
        "policy": "forecast_z_max",
        "worst_DW": worst,
        "eps_eff": 0.375,
        "per_metric_tv": {"eff_dim": worst, "loss": 0.0},
        "evidence_total": 80,
        "min_evidence": 20,
    }


def gate(decision: str, step: int) -> dict[str, Any]:
    found: dict[str, Any] = {"iter": step, "decision": decision, "audit": audit(decision)}
    if decision != "skip":
        found |= {"ok": decision != "fail", "warn": decision == "warn"}
    return found


def header() -> dict[str, Any]:
    return {
        "schema_version": 1,
        "run_id": RUN,
        "window_signature_ref": {"path": "window_signature.json"},
        "profile": {"gate_preset": "tuned_v0", "overrides": {}},
        "run_status": "success",
        "runner_exit_code": 0,
        "runner_signal": None,
        "started_ts_utc": STARTED,
        "ended_ts_utc": ENDED,
    }


def signature() -> dict[str, Any]:
    return {
        "schema_version": 1,
        "code_identity": {"package_version": "0.1.0"},
        "gate_controls": {"gate_window": 100, "gate_warmup": 150},
        "metric_interval": 5,
    }


def config() -> dict[str, Any]:
    return {
        "schema_version": 1,
        "wrapper_exit_code": 0,
        "run": {"kind": "gpt", "run_id": RUN},
        "resolved_gate_cfg": {"gate_window": 100, "gate_warmup": 150},
        "timing": {"runner_wall_s": 100.0, "veriscope_wall_s": 102.0},
        "env_capture": {"redactions_applied": False},
        "provenance": {"policy_rev": "v1"},
        "data_corrupt_at": -1,
        "overrides": {},
    }


def counts(steps: tuple[tuple[str, int], ...]) -> dict[str, int]:
    words = [word for word, _ in steps]
    found = {word: words.count(word) for word in ("skip", "pass", "warn", "fail")}
    return {"evaluated": len(words) - found["skip"], **found}


def final(found: dict[str, int]) -> str:
    return next((word for word in ("fail", "warn", "pass") if found[word]), "skip")


@dataclass
class Capsule:
    """The documents before they are sealed. ``after`` breaks the files once they are written."""

    signature: dict[str, Any] = field(default_factory=signature)
    results: dict[str, Any] | None = None
    summary: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] | None = field(default_factory=config)
    judgement: dict[str, Any] | None = None
    marker: str | None = None
    log: list[dict[str, Any]] = field(default_factory=list)
    reseal: bool = True
    after: list[Callable[[Path], None]] = field(default_factory=list)

    def write(self, outdir: Path) -> Path:
        """Seal and write it."""
        outdir.mkdir(parents=True, exist_ok=True)
        made = {k: v for k, v in self.signature.items() if k != "created_ts_utc"}
        window = digest(made)
        self._put(outdir, "window_signature.json", self.signature)
        for name, document in (
            ("results.json", self.results),
            ("results_summary.json", self.summary),
        ):
            if document is not None:
                ref = document.get("window_signature_ref")
                if isinstance(ref, dict):
                    ref.setdefault("hash", window)
                self._put(outdir, name, document)
        if self.config is not None:
            self._put(outdir, "run_config_resolved.json", self.config)
        if self.judgement is not None:
            self._put(outdir, "manual_judgement.json", self.judgement)
        if self.marker is not None:
            (outdir / "first_fail_iter.txt").write_bytes(self.marker.encode())
        if self.log:
            (outdir / "governance_log.jsonl").write_bytes(self._log(outdir, window))
        for step in self.after:
            step(outdir)
        return outdir

    def _put(self, outdir: Path, name: str, document: object) -> None:
        (outdir / name).write_bytes(canonical(document) + b"\n")

    def _log(self, outdir: Path, window: str) -> bytes:
        lines, prev = [], None
        for rev, entry in enumerate(copy.deepcopy(self.log), start=1):
            if not isinstance(entry, dict):
                lines.append(canonical(entry) + b"\n")
                continue
            payload = entry.get("payload")
            if isinstance(payload, dict) and "run_id" in payload:
                payload.setdefault("outdir", str(outdir))
            if entry.get("event") == "run_started_v1" and isinstance(payload, dict):
                ref = payload.get("window_signature_ref")
                if isinstance(ref, dict):
                    ref.setdefault("hash", window)
            whole = {"rev": rev, "prev_hash": prev, **entry}
            whole.setdefault("entry_hash", digest(whole))
            if whole["entry_hash"] is None:
                del whole["entry_hash"]
            prev = whole.get("entry_hash") or digest(whole)
            lines.append(canonical(whole) + b"\n")
        return b"".join(lines)


def entry(event: str, payload: dict[str, Any], **members: Any) -> dict[str, Any]:
    base = {"schema_version": 1, "ts_utc": STARTED, "actor": None, "event": event}
    return {**base, "payload": payload, **members}


def started(**members: Any) -> dict[str, Any]:
    return entry(
        "run_started_v1",
        {
            "run_id": RUN,
            "argv": ["train", "--seed", "7"],
            "code_identity": {"package_version": "0.1.0"},
            "window_signature_ref": {"path": "window_signature.json"},
            "entrypoint": {"kind": "runner", "name": "train"},
            **members,
        },
    )


def overridden() -> dict[str, Any]:
    return entry(
        "run_overrides_applied_v1",
        {
            "run_id": RUN,
            "overrides": {"gate_window": 50},
            "profile": {"gate_preset": "tuned_v0"},
            "entrypoint": {"kind": "runner", "name": "train"},
        },
    )


def checked(found: dict[str, Any]) -> dict[str, Any]:
    return entry("gate_decision_v1", {"run_id": RUN, **copy.deepcopy(found)})


def capsule(steps: tuple[tuple[str, int], ...] = STEPS, *, metrics: bool = True) -> Capsule:
    """Return a full and valid capsule whose checks came to these decisions."""
    gates = [gate(word, step) for word, step in steps]
    measured = [
        {"name": name, "iter": step, "value": step / divisor}
        for step in range(0, 500, 50)
        for name, divisor in (("eff_dim", 8.0), ("loss", 100.0))
    ]
    first = min((step for word, step in steps if word == "fail"), default=None)
    found = counts(steps)
    return Capsule(
        results={**header(), "gates": gates, "metrics": measured if metrics else []},
        summary={
            **header(),
            "counts": found,
            "final_decision": final(found),
            "first_fail_iter": first,
            "partial": False,
        },
        marker=None if first is None else f"{first}\n",
        log=[started(), *(checked(found) for found in gates)],
    )


def partial() -> Capsule:
    """Return a valid partial capsule."""
    none = counts(())
    return Capsule(
        results=None,
        summary={
            **header(),
            "run_status": "user_code_failure",
            "counts": none,
            "final_decision": "skip",
            "first_fail_iter": None,
            "partial": True,
        },
    )


def judgement(**members: Any) -> dict[str, Any]:
    base = {"schema_version": 1, "run_id": RUN, "status": "pass", "reason": "known artefact"}
    return {**base, "reviewer": "Ada", "ts_utc": "2026-01-16T09:00:00Z", **members}
