"""The capsules that take part in a calibration, and why one cannot."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.capsules import loading
from verifier.contract import FULL, Validation, read_capsule
from verifier.contract.capsule import CONFIG, SIGNATURE, SUMMARY, NotJsonError, parse
from verifier.contract.documents import Gate

__all__ = ["CalibrationError", "Case", "read_case"]


class CalibrationError(Exception):
    """What was given cannot be calibrated with; *token* says why."""

    def __init__(self, token: str, message: str) -> None:
        """Keep both: they are printed as ``TOKEN: message``."""
        super().__init__(f"{token}: {message}")
        self.token = token


@dataclass(frozen=True, slots=True)
class Case:
    """One capsule that takes part: a control, or the injected run."""

    label: str
    validation: Validation
    config: Mapping[str, Any] | None

    @property
    def gates(self) -> list[Gate]:
        """Its checks, in the order of their iterations."""
        results = self.validation.results
        return [] if results is None else sorted(results.gates, key=lambda gate: gate.iter)

    @property
    def run_id(self) -> str:
        """Its run."""
        return "" if self.validation.results is None else self.validation.results.header.run_id


def read_case(path: Path, label: str) -> Case:
    """Read and check a capsule that is to take part.

    Raises:
        CalibrationError: It cannot.
    """
    capsule = read_capsule(path)
    if not capsule.has(SUMMARY):
        raise CalibrationError("MISSING_RESULTS_SUMMARY", f"Missing {SUMMARY} at {path}")
    if not capsule.has(SIGNATURE):
        raise CalibrationError("MISSING_WINDOW_SIGNATURE", f"Missing {SIGNATURE} at {path}")
    config = _config(capsule.files.get(CONFIG), capsule.unreadable.get(CONFIG), label)
    loaded = loading.load(path, FULL)
    if loaded.fault is not None:
        said = loaded.fault.removeprefix("INVALID: ")
        raise CalibrationError(_token(label, said), f"{label}: {said}")
    found = loaded.validation
    if found.summary is None or found.summary.header.run_status != "success":
        raise CalibrationError("RUN_STATUS_NOT_SUCCESS", f"{label} run_status != success")
    if found.results is None:
        said = "a partial capsule has no checks to calibrate with"
        raise CalibrationError(f"INVALID_{label.upper()}_CAPSULE", said)
    return Case(label, found, config)


_SIGNATURE_FAULTS = {
    f"JSON parse error in {SIGNATURE}": "INVALID_WINDOW_SIGNATURE",
    f"{SIGNATURE} must be": "INVALID_WINDOW_SIGNATURE",
    "window_signature.created_ts_utc": "INVALID_WINDOW_SIGNATURE",
    "window_signature_ref.hash mismatch": "WINDOW_SIGNATURE_HASH_MISMATCH",
}
_SCHEMA_FAULTS = {
    "Field required at ('window_signature_ref',)": "MISSING_WINDOW_SIGNATURE_REF",
    "Field required at ('window_signature_ref', 'hash')": "MISSING_WINDOW_SIGNATURE_REF_HASH",
    "Field required at ('profile',)": "MISSING_GATE_PRESET",
    "Field required at ('profile', 'gate_preset')": "MISSING_GATE_PRESET",
    ", 'decision')": "INVALID_GATE_DECISION",
}


def _token(label: str, said: str) -> str:
    """Return the contract's token for a capsule that does not hold."""
    for begin, token in _SIGNATURE_FAULTS.items():
        if said.startswith(begin):
            return token
    if said.startswith("Schema validation failed"):
        for end, token in _SCHEMA_FAULTS.items():
            if said.endswith(end):
                return token
        if "('gates'" in said and said.endswith(", 'iter')"):
            return "MISSING_GATE_ITER" if "Field required" in said else "INVALID_GATE_ITER"
    return f"INVALID_{label.upper()}_CAPSULE"


def _config(data: bytes | None, unreadable: str | None, label: str) -> dict[str, Any] | None:
    if data is None and unreadable is None:
        return None
    try:
        config = None if data is None else parse(data)
    except NotJsonError as error:
        raise CalibrationError("INVALID_RUN_CONFIG", f"{label}: {CONFIG}: {error}") from error
    if not isinstance(config, dict):
        said = unreadable or "must be a JSON object"
        raise CalibrationError("INVALID_RUN_CONFIG", f"{label}: {CONFIG} {said}")
    return config
