"""The second count, held against the projected files of a run directory.

These files are what people and programs read, so their content is compared with
the replay of the events even when their digest is the one on record: the key that
recorded the digest may have edited the file first. What is small is made again and
compared byte for byte; ``results.json`` and ``results_summary.json`` are read member by
member, to say what differs. The files are hostile input: read with a bound, refused with
duplicate names, ``NaN`` or other liberties of JSON parsers.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from verifier.calibration import CALIBRATION, META, calibration_csv, calibration_meta
from verifier.config import CONFIG, run_config
from verifier.facts import Facts, canonical, facts_of
from verifier.findings import Fault
from verifier.governance import (
    GOVERNANCE,
    JUDGEMENT,
    JUDGEMENTS,
    governance_log,
    judgement,
    judgements,
)
from verifier.record import gate_record
from verifier.runs import Gate, Replay, metrics_digest
from verifier.schema import clip
from verifier.signature import SIGNATURE_PATH, signature_bytes

__all__ = ["RECOUNTED", "UNENDING", "recount"]

_METRIC = frozenset({"name", "iter", "value"})
_NAMED = 5
_LONGEST_INTEGER = 16  # digits of 2**53 - 1 (format.md section 2)
_COUNT = "artifact.count"
_CONTENT = "artifact.content"
_NO_PLAN = "the run recorded no plan"
_NOT_CLOSED = "the run was never closed"


class _UnreadableError(Exception):
    """The file is not the strict JSON object that a projection writes."""


def recount(path: str, data: bytes, replay: Replay) -> list[Fault]:
    """Return how the file *path*, one of :data:`RECOUNTED`, disagrees with *replay*."""
    return RECOUNTED[path](data, replay)


def _results(data: bytes, replay: Replay) -> list[Fault]:
    facts = facts_of(replay)
    if facts.partial:
        said = _NO_PLAN if facts.planned is None else _NOT_CLOSED
        return [Fault(_CONTENT, f"there is such a file, but {said}")]
    try:
        document = _parse(data)
    except _UnreadableError as error:
        return [Fault(_CONTENT, str(error))]
    expected = _header(facts)
    faults = _members(document, {*expected, "gates", "metrics"})
    faults += _compare(document, expected)
    faults += _gates(document.get("gates"), replay)
    faults += _metrics(document.get("metrics"), replay)
    if not faults:
        gates = [gate_record(gate) for gate in replay.gates]
        faults += _typed(document, {**expected, "gates": gates, "metrics": document["metrics"]})
    return faults


def _summary(data: bytes, replay: Replay) -> list[Fault]:
    try:
        document = _parse(data)
    except _UnreadableError as error:
        return [Fault(_CONTENT, str(error))]
    facts = facts_of(replay)
    expected = _header(facts) | _outcome(facts, replay)
    counts = expected["counts"]
    faults = _members(document, set(expected))
    if "counts" in document and not _same(document["counts"], counts):
        faults.append(Fault(_COUNT, _differs("counts", counts, document["counts"])))
    faults += _compare(document, {n: v for n, v in expected.items() if n != "counts"})
    return faults or _typed(document, expected)


def _outcome(facts: Facts, replay: Replay) -> dict[str, Any]:
    """Return what the summary says besides the header; a partial run has decided nothing."""
    if facts.partial:
        nothing = dict.fromkeys(replay.counts.to_json(), 0)
        return {
            "counts": nothing,
            "final_decision": "skip",
            "first_fail_iter": None,
            "partial": True,
            "recorded_counts": replay.counts.to_json(),
            "note": _NOT_CLOSED if facts.closed is None else _NO_PLAN,
        }
    return {
        "counts": replay.counts.to_json(),
        "final_decision": replay.final_decision,
        "first_fail_iter": replay.first_fail_iter,
        "partial": False,
    }


def _marker(data: bytes, replay: Replay) -> list[Fault]:
    first = None if facts_of(replay).partial else replay.first_fail_iter
    if first is None:
        return [Fault(_CONTENT, "there is such a file, but no gate check failed")]
    if data != b"%d\n" % first:
        return [Fault(_CONTENT, _differs("iteration", first, data[:64].decode("latin-1")))]
    return []


def _signature(replay: Replay) -> bytes:
    return signature_bytes(facts_of(replay).plan) + b"\n"


def _exactly(make: Callable[[Replay], bytes | None]) -> Callable[[bytes, Replay], list[Fault]]:
    """Return the recount of a file that can be made again, byte for byte."""

    def compare(data: bytes, replay: Replay) -> list[Fault]:
        expected = make(replay)
        if expected is None:
            return [Fault(_CONTENT, "there is such a file, but the events give none")]
        return [] if data == expected else [Fault(_CONTENT, _first_difference(expected, data))]

    return compare


UNENDING: Mapping[str, Callable[[Replay], bytes | None]] = {
    GOVERNANCE: governance_log,
    JUDGEMENT: judgement,
    JUDGEMENTS: judgements,
}
"""What goes on after the run has closed: compared with all events, on record or not."""

RECOUNTED: Mapping[str, Callable[[bytes, Replay], list[Fault]]] = {
    "results.json": _results,
    "results_summary.json": _summary,
    "first_fail_iter.txt": _marker,
    SIGNATURE_PATH: _exactly(_signature),
    CONFIG: _exactly(run_config),
    CALIBRATION: _exactly(calibration_csv),
    META: _exactly(calibration_meta),
    **{name: _exactly(make) for name, make in UNENDING.items()},
}


def _header(facts: Facts) -> dict[str, Any]:
    """What both result files say of the run."""
    return {
        "schema_version": 1,
        "run_id": facts.run_id,
        "window_signature_ref": facts.reference,
        "profile": facts.profile,
        "run_status": facts.status,
        "runner_exit_code": facts.exit_code,
        "runner_signal": facts.signal,
        "started_ts_utc": facts.started,
        "ended_ts_utc": facts.ended,
        **facts.distributed,
    }


def _first_difference(expected: bytes, found: bytes) -> str:
    """Say in which line two texts differ first, and how."""
    ours, theirs = expected.split(b"\n"), found.split(b"\n")
    for place, (one, other) in enumerate(zip(ours, theirs, strict=False), start=1):
        if one != other:
            at = next(
                (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
                min(len(one), len(other)),
            )
            start = max(at - 20, 0)
            ends = (text[start : at + 60].decode("utf-8", "replace") for text in (one, other))
            shown = _differs(f"from byte {start} on", *ends)
            return f"is not what the events give: line {place} differs {shown}"
    return f"is not what the events give: expected {len(ours) - 1} lines, found {len(theirs) - 1}"


def _members(document: Mapping[str, object], expected: set[str]) -> list[Fault]:
    missing = [f"{name} is missing" for name in sorted(expected - document.keys())]
    other = [f"{clip(name)} does not belong here" for name in sorted(document.keys() - expected)]
    return [Fault(_CONTENT, message) for message in (missing + other)[:_NAMED]]


def _typed(document: Mapping[str, object], expected: Mapping[str, object]) -> list[Fault]:
    """Where all values agree, hold the forms of the numbers against each other: 1 is not 1.0."""
    if canonical(document) == canonical(expected):
        return []
    return [Fault(_CONTENT, "has an integer for a float, or a float for an integer")]


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


def _gate(found: object, gate: Gate) -> Iterator[str]:
    """Say how a gate record differs from its event."""
    expected = gate_record(gate)
    if not isinstance(found, dict) or found.keys() != expected.keys():
        yield f"is not {{{', '.join(expected)}}}"
        return
    audit = found["audit"]
    if not isinstance(audit, dict) or audit.keys() != expected["audit"].keys():
        yield f"audit has not the members {', '.join(sorted(expected['audit']))}"
        return
    for name in ("iter", "decision", "ok", "warn"):
        if name in expected and not _same(found[name], expected[name]):
            yield _differs(name, expected[name], found[name])
    for name, value in expected["audit"].items():
        if not _same(audit[name], value):
            yield _differs(f"audit.{name}", value, audit[name])


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
