"""The second count, held against the projected result files.

``results.json``, ``results_summary.json``, ``first_fail_iter.txt`` and
``window_signature.json`` are what people and programs read, so their content is
compared with the replay of the events even when their digest is the one on
record: the key that recorded the digest may have edited the file first. The
files are hostile input: read with a bound, refused with duplicate names, ``NaN``
or other liberties of JSON parsers.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import msgspec

from verifier.runs import Gate, Replay, metrics_digest
from verifier.schema import clip
from verifier.signature import signature_bytes, signature_hash

__all__ = ["RECOUNTED", "Fault", "recount"]

_UNPLANNED = "unplanned"  # what the files say of a run that died before its plan
_SIGNATURE_PATH = "window_signature.json"
_STATUS = {
    "success": "success",
    "user_code_failure": "user_code_failure",
    "wrapper_failure": "veriscope_failure",
}
_GATE = frozenset({"iter", "decision", "audit"})
_METRIC = frozenset({"name", "iter", "value"})
_REFERENCE = frozenset({"hash", "path"})
_NAMED = 5
_LONGEST_INTEGER = 16  # digits of 2**53 - 1 (format.md section 2)
_COUNT = "artifact.count"
_CONTENT = "artifact.content"


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which a file disagrees with the replay."""

    code: str
    message: str


class _UnreadableError(Exception):
    """The file is not the strict JSON object that a projection writes."""


def recount(path: str, data: bytes, replay: Replay) -> list[Fault]:
    """Return how the file *path*, one of :data:`RECOUNTED`, disagrees with *replay*."""
    return RECOUNTED[path](data, replay)


def _results(data: bytes, replay: Replay) -> list[Fault]:
    try:
        document = _parse(data)
    except _UnreadableError as error:
        return [Fault(_CONTENT, str(error))]
    faults = _members(document, {*_header(replay), "window_signature_ref", "gates", "metrics"})
    faults += _compare_header(document, replay)
    faults += _gates(document.get("gates"), replay)
    faults += _metrics(document.get("metrics"), replay)
    return faults


def _summary(data: bytes, replay: Replay) -> list[Fault]:
    try:
        document = _parse(data)
    except _UnreadableError as error:
        return [Fault(_CONTENT, str(error))]
    expected = {
        "final_decision": replay.final_decision,
        "first_fail_iter": replay.first_fail_iter,
        "partial": replay.closing is None,
    }
    faults = _members(document, {*_header(replay), "window_signature_ref", "counts", *expected})
    faults += _compare_header(document, replay)
    counts = replay.counts.to_json()
    if "counts" in document and not _same(document["counts"], counts):
        faults.append(Fault(_COUNT, _differs("counts", counts, document["counts"])))
    return faults + list(_compare(document, expected))


def _marker(data: bytes, replay: Replay) -> list[Fault]:
    first = replay.first_fail_iter
    if first is None:
        return [Fault(_CONTENT, "there is such a file, but no gate check failed")]
    if data.removesuffix(b"\n") != str(first).encode():
        return [Fault(_CONTENT, _differs("iteration", first, data[:64].decode("latin-1")))]
    return []


def _signature(data: bytes, replay: Replay) -> list[Fault]:
    if data.removesuffix(b"\n") != signature_bytes(replay.plan):
        return [Fault(_CONTENT, "is not the signature of the gate that was planned")]
    return []


RECOUNTED: Mapping[str, Callable[[bytes, Replay], list[Fault]]] = {
    "results.json": _results,
    "results_summary.json": _summary,
    "first_fail_iter.txt": _marker,
    _SIGNATURE_PATH: _signature,
}


def _header(replay: Replay) -> dict[str, object]:
    """What both files say of the run; ``window_signature_ref`` is looked at apart."""
    closing = replay.closing
    status = None if closing is None else closing.status
    return {
        "schema_version": 1,
        "run_id": replay.run_id,
        "profile": {"gate_preset": _preset(replay), "overrides": {}},
        "run_status": _STATUS.get(status or "wrapper_failure", status),
        "runner_exit_code": None if closing is None else closing.exit_code,
        "runner_signal": None if closing is None else closing.signal or None,
        "started_ts_utc": replay.opened,
        "ended_ts_utc": None if closing is None else closing.time,
    }


def _preset(replay: Replay) -> object:
    return _UNPLANNED if replay.plan.gate is None else replay.plan.gate["preset"]


def _members(document: Mapping[str, object], expected: set[str]) -> list[Fault]:
    missing = [f"{name} is missing" for name in sorted(expected - document.keys())]
    other = [f"{clip(name)} does not belong here" for name in sorted(document.keys() - expected)]
    return [Fault(_CONTENT, message) for message in (missing + other)[:_NAMED]]


def _compare_header(document: Mapping[str, object], replay: Replay) -> list[Fault]:
    faults = list(_compare(document, _header(replay)))
    reference = document.get("window_signature_ref")
    if not isinstance(reference, dict) or reference.keys() != _REFERENCE:
        faults.append(Fault(_CONTENT, "window_signature_ref is not {hash, path}"))
    else:
        expected = {"path": _SIGNATURE_PATH, "hash": signature_hash(replay.plan)}
        faults += _compare(reference, expected)
    return faults


def _compare(document: Mapping[str, object], expected: Mapping[str, object]) -> Iterator[Fault]:
    for name, value in expected.items():
        if name in document and not _same(document[name], value):
            yield Fault(_CONTENT, _differs(name, value, document[name]))


def _gates(given: object, replay: Replay) -> list[Fault]:
    if not isinstance(given, list):
        return [Fault(_CONTENT, "gates is not an array")]
    faults = []
    if len(given) != len(replay.gates):
        message = _differs("number of gates", len(replay.gates), len(given))
        faults.append(Fault(_COUNT, message))
    differing = (
        f"gate {place}: {said}"
        for place, (found, gate) in enumerate(zip(given, replay.gates, strict=False))
        for said in _gate(found, gate)
    )
    return faults + _first(differing)


def _expected_audit(said: bytes) -> dict[str, object]:
    """Return an audit as the files write it: ``null`` and a note for what JSON cannot hold."""
    audit: dict[str, Any] = msgspec.json.decode(said)
    lost: dict[str, object] = {}
    if isinstance(audit["worst_DW"], str):
        lost["worst_DW"], audit["worst_DW"] = audit["worst_DW"], None
    measured = audit["per_metric_tv"]
    unmeasured = {name: value for name, value in measured.items() if isinstance(value, str)}
    if unmeasured:
        lost["per_metric_tv"] = unmeasured
        audit["per_metric_tv"] = {n: v for n, v in measured.items() if n not in unmeasured}
    return {**audit, "nonfinite": lost} if lost else audit


def _gate(found: object, gate: Gate) -> Iterator[str]:
    """Say how a gate record differs from its event."""
    if not isinstance(found, dict) or not _GATE <= found.keys() <= _GATE | {"ok", "warn"}:
        yield "is not {iter, decision, audit} with ok and warn or without"
        return
    skipped = gate.decision == "skip"
    expected = {
        "iter": gate.iter,
        "decision": gate.decision,
        "ok": None if skipped else gate.decision != "fail",
        "warn": None if skipped else gate.decision == "warn",
    }
    for name, value in expected.items():
        if name in found and not _same(found[name], value):
            yield _differs(name, value, found[name])
    yield from _audit(found["audit"], _expected_audit(gate.audit))


def _audit(found: object, expected: Mapping[str, object]) -> Iterator[str]:
    if not isinstance(found, dict) or found.keys() != expected.keys():
        yield f"audit has not the members {', '.join(sorted(expected))}"
        return
    for name, value in expected.items():
        if not _same(found[name], value):
            yield _differs(f"audit.{name}", value, found[name])


def _metrics(given: object, replay: Replay) -> list[Fault]:
    if not isinstance(given, list):
        return [Fault(_CONTENT, "metrics is not an array")]
    if len(given) != replay.metrics:
        return [Fault(_CONTENT, _differs("number of metrics", replay.metrics, len(given)))]
    measured = [_measured(metric) for metric in given]
    if None in measured:
        said = f"metric {measured.index(None)} is not {{name, iter, value}}"
        return [Fault(_CONTENT, said)]
    if metrics_digest(value for value in measured if value) != replay.metrics_digest:
        return [Fault(_CONTENT, "the metrics are not the ones observed, in their order")]
    return []


def _measured(metric: object) -> tuple[object, object, object] | None:
    """Return iteration, name and value of a metric record; ``nonfinite`` stands in for ``null``."""
    if not isinstance(metric, dict):
        return None
    if metric.keys() == _METRIC and metric["value"] is not None:
        return metric["iter"], metric["name"], metric["value"]
    if metric.keys() == _METRIC | {"nonfinite"} and metric["value"] is None:
        return metric["iter"], metric["name"], metric["nonfinite"]
    return None


def _first(messages: Iterator[str]) -> list[Fault]:
    """The first few; a file that is wrong throughout need not be listed throughout."""
    return [Fault(_CONTENT, message) for message, _ in zip(messages, range(_NAMED), strict=False)]


def _same(found: object, expected: object) -> bool:
    """Compare JSON values: 1 and 1.0 are one number, and true is none."""
    if isinstance(found, bool) or isinstance(expected, bool):
        return found is expected
    if isinstance(found, int | float) and isinstance(expected, int | float):
        return found == expected
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            _same(found[name], value) for name, value in expected.items()
        )
    return type(found) is type(expected) and found == expected


def _differs(name: str, expected: object, found: object) -> str:
    return f"{name}: expected {clip(expected)}, found {clip(found)}"


def _parse(data: bytes) -> dict[str, Any]:
    """Read one JSON object and nothing else.

    Raises:
        _UnreadableError: It is not that, or two members have one name, or a number is none.
    """
    try:
        document = json.loads(
            data.decode(),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_finite,
        )
    except RecursionError as error:
        raise _UnreadableError("is nested too deep") from error
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise _UnreadableError(f"is not JSON: {clip(str(error))}") from error
    if not isinstance(document, dict):
        raise _UnreadableError("is not a JSON object")
    if not _is_canonical(data, document):
        raise _UnreadableError("is not written in the one form that a projection has")
    return document


def _is_canonical(data: bytes, document: Mapping[str, object]) -> bool:
    """Tell whether *data* is the one way to write it: then no byte of it depends on nothing."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    try:
        return data == text.encode() + b"\n"
    except UnicodeEncodeError:  # a lone surrogate, which an escape can make
        return False


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _UnreadableError("has two members of one name in one object")
    return members


def _no_constant(token: str) -> NoReturn:
    raise _UnreadableError(f"holds {token}, which is no JSON")


def _integer(token: str) -> int:
    if len(token.removeprefix("-")) > _LONGEST_INTEGER:
        raise _UnreadableError("holds an integer that is too long")
    return int(token)


def _finite(token: str) -> float:
    value = float(token)
    if not math.isfinite(value):
        raise _UnreadableError(f"holds a number that is not finite: {clip(token)}")
    return value
