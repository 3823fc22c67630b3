"""The payloads of the events that the tests of projections fold; each can be changed by name."""

import base64
import hashlib
from typing import Any

OWNER, WRAPPER, RUNNER, REVIEWER = (bytes([digit]) * 32 for digit in (1, 2, 3, 5))
SHA = "5a" * 32


def key_id(public: bytes) -> str:
    return hashlib.sha256(public).hexdigest()


def public_text(public: bytes) -> str:
    return base64.b64encode(public).decode()


def genesis(name: str) -> dict[str, Any]:
    keys = [("owner", OWNER, ["owner"]), ("wrapper", WRAPPER, ["wrapper"])]
    return {
        "format": "evidence-ledger/v1",
        "name": name,
        "nonce": "0" * 32,
        "roles": {"owner": ["*"], "wrapper": ["run.*", "artifact.*"], "runner": ["gate.*"]},
        "keys": [
            {"alg": "ed25519", "public": public_text(public), "name": who, "roles": roles}
            for who, public, roles in keys
        ],
    }


def authorized(public: bytes, name: str) -> dict[str, Any]:
    return {"alg": "ed25519", "public": public_text(public), "name": name, "roles": ["runner"]}


def opened(**changes: Any) -> dict[str, Any]:
    data = {
        "kind": "gpt",
        "argv": ["ledger", "run", "gpt"],
        "outdir": "/data/run",
        "runner_key": key_id(RUNNER),
        "package": {"name": "evidence-ledger", "version": "0.1.0"},
        "python": "3.11.9",
        "platform": "Linux-6.1-x86_64",
        "git": {"sha": "ab" * 20, "dirty": True},
        "env": {},
        "env_capture": {
            "allowlist": ["LEDGER_"],
            "deny_exact": [],
            "deny_regex": [],
            "redactions_applied": False,
        },
    }
    return {**data, **changes}


def planned(**changes: Any) -> dict[str, Any]:
    data = {
        "gate": gate_plan(),
        "max_iters": 220,
        "seed": 7,
        "model": {"layers": 2, "width": 64, "dropout": 0.1, "name": "gpt2-tiny", "tied": True},
        "data": {"name": "pydoc_data.topics", "sha256": "c0" * 32, "bytes": 731_234},
    }
    return {**data, **changes}


def gate_plan(**changes: Any) -> dict[str, Any]:
    data = {
        "preset": "tuned_v0",
        "policy": "persistence",
        "window": 20,
        "metric_interval": 2,
        "warmup": 40,
        "bins": 16,
        "ranges": {"var_out_k": [0.0, 1.0], "eff_dim": [0, 64]},
        "weights": {"var_out_k": 0.5, "eff_dim": 0.5},
        "epsilon": 0.3,
        "persistence": 2,
        "min_evidence": 16,
    }
    return {**data, **changes}


def checked(step: int, decision: str, **audit: Any) -> dict[str, Any]:
    worst = {"pass": 0.125, "warn": 0.375, "fail": 0.75, "skip": None}[decision]
    evaluated = decision != "skip"
    data = {
        "evaluated": evaluated,
        "reason": decision if evaluated else "insufficient_evidence",
        "policy": "persistence",
        "worst_DW": worst,
        "eps_eff": 0.3 if evaluated else None,
        "per_metric_tv": {"eff_dim": worst, "var_out_k": 0.0625} if evaluated else {},
        "evidence_total": 20 if evaluated else 4,
        "min_evidence": 16,
    }
    histogram = {"reference": [8, 8, 4], "recent": [4, 8, 8]}
    return {
        "iter": step,
        "decision": decision,
        "audit": {**data, **audit},
        "evidence": {"eff_dim": histogram} if evaluated else {},
    }


def forecast_plan(**changes: Any) -> dict[str, Any]:
    data = {
        "preset": "tuned_v0",
        "policy": "forecast_z_max",
        "engine": "forecast_z/1",
        "window": 20,
        "block": 10,
        "metric_interval": 5,
        "warmup": 40,
        "reference": 4,
        "views": [
            {"name": "window", "blocks": 2, "gap": 0, "errors": 8},
            {"name": "last", "blocks": 1, "gap": 0, "errors": 16},
        ],
        "min_errors": 2,
        "metrics": {"act_rms": "two_sided", "loss": "rise", "update_rms": "stall"},
        "level": "loss",
        "level_from": 20,
        "warn_z": 5,  # an integer where the schema says a float: a file must not say 5
        "fail_z": 6.5,
        "persistence": 1,
        "hold": 5,
        "min_evidence": 4,
    }
    return {**data, **changes}


def forecast_checked(step: int, decision: str, **forecast: Any) -> dict[str, Any]:
    """A check of a forecasting gate; its D_W is an integer where the schema says a float."""
    z = {"pass": 1, "warn": 5.5, "fail": 20.25, "skip": None}[decision]
    evaluated = decision != "skip"
    driver = {"metric": "loss", "view": "window", "z": z} if evaluated else {}
    scores = {"loss": {"view": "window", "z": z}} if evaluated else {}
    said = {"metric": None, "view": None, "z": None, "scores": scores, **driver}
    worst = {"pass": 0, "warn": 0.5, "fail": 1, "skip": None}[decision]
    return {
        **checked(
            step,
            decision,
            policy="forecast_z_max",
            reason={"pass": "none_ok", "skip": "not_evaluated_warmup"}.get(
                decision, f"change_{decision}"
            ),
            worst_DW=worst,
            eps_eff=0.25 if evaluated else None,
            per_metric_tv={"loss": worst, "act_rms": 0} if evaluated else {},
        ),
        "evidence": {},
        "forecast": {**said, "regime": 0, "held": 0, "history": 4, **forecast},
    }


def distributed(**changes: Any) -> dict[str, Any]:
    data = {
        "distributed_mode": "ddp_wrapped",
        "world_size_observed": 2,
        "backend": "gloo",
        "rank": 0,
        "local_rank": 0,
        "ddp_wrapped": True,
    }
    return {**data, **changes}


def injection(**changes: Any) -> dict[str, Any]:
    data = {"kind": "permute", "at": 150, "length": 40, "fraction": 0.15, "factor": None}
    return {**data, **changes}
