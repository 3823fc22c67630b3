"""The documents of a run capsule, version 1: what may stand in them, and what they say.

``results.json``, ``results_summary.json`` and ``manual_judgement.json``; members that
the contract does not name are allowed everywhere. A value of one of these classes
is a document that holds in itself; whether the documents agree with each other is
``verifier.contract.validate``'s to say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from verifier.contract.values import Members, Moment, Place, SchemaError, number_of

__all__ = ["Audit", "Counts", "Gate", "Header", "Judgement", "Metric", "Results", "Summary"]

DECISIONS = ("pass", "warn", "fail", "skip")
_STATUSES = ("success", "user_code_failure", "veriscope_failure")
_JUDGED = ("pass", "fail")


@dataclass(frozen=True, slots=True)
class Header:
    """What ``results.json`` and ``results_summary.json`` both say of their run."""

    schema_version: int
    run_id: str
    signature_hash: str
    signature_path: str
    gate_preset: str
    overrides: Mapping[str, Any]
    run_status: str
    exit_code: int | None
    signal: str | None
    started: Moment
    ended: Moment | None


@dataclass(frozen=True, slots=True)
class Audit:
    """How a check came to its decision; *raw* is the object as it was written."""

    evaluated: bool
    reason: str | None
    worst_dw: float | None
    eps_eff: float | None
    per_metric_tv: Mapping[str, float]
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate check."""

    iter: int
    decision: str
    audit: Audit


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured value; *value* is any JSON."""

    name: str
    iter: int | None
    value: Any


@dataclass(frozen=True, slots=True)
class Results:
    """``results.json``."""

    header: Header
    gates: tuple[Gate, ...]
    metrics: tuple[Metric, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many checks came to which decision."""

    evaluated: int
    skip: int
    passed: int
    warn: int
    fail: int

    def as_dict(self) -> dict[str, int]:
        """Return them under the names of the file, in its order."""
        return {
            "evaluated": self.evaluated,
            "skip": self.skip,
            "pass": self.passed,
            "warn": self.warn,
            "fail": self.fail,
        }

    @property
    def final_decision(self) -> str:
        """Any fail is a fail, else any warn a warn, else any pass a pass, else a skip."""
        found = (("fail", self.fail), ("warn", self.warn), ("pass", self.passed))
        return next((word for word, count in found if count), "skip")


@dataclass(frozen=True, slots=True)
class Summary:
    """``results_summary.json``."""

    header: Header
    counts: Counts
    final_decision: str
    first_fail_iter: int | None
    partial: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """``manual_judgement.json``, or a line of ``manual_judgement.jsonl``."""

    run_id: str
    status: str
    reason: str
    reviewer: str | None
    time: Moment


def read_results(value: object) -> Results:
    """Read ``results.json``.

    Raises:
        SchemaError: It is not what the contract says.
    """
    document = Members.of(value)
    header = _header(document)
    gates = tuple(read_gate(gate, ("gates", n)) for n, gate in enumerate(document.items("gates")))
    items = document.items("metrics")
    metrics = tuple(_metric(item, ("metrics", n)) for n, item in enumerate(items))
    if document.values.get("metrics_ref") is not None:
        _metrics_ref(document.inner("metrics_ref"))
    _in_order(header)
    return Results(header, gates, metrics)


def read_summary(value: object) -> Summary:
    """Read ``results_summary.json``.

    Raises:
        SchemaError: It is not what the contract says.
    """
    document = Members.of(value)
    header = _header(document)
    counts = _counts(document.inner("counts"))
    decision = document.one_of("final_decision", DECISIONS)
    first = document.maybe(document.count, "first_fail_iter")
    partial = document.maybe(document.boolean, "partial")
    _in_order(header)
    expected = counts.final_decision
    if decision != expected:
        said = f"final_decision must match the counts: {decision!r} != {expected!r}"
        raise SchemaError(f"Value error, {said}")
    if counts.fail and first is None:
        raise SchemaError("Value error, first_fail_iter is required when counts.fail > 0")
    if not counts.fail and first is not None:
        raise SchemaError("Value error, first_fail_iter must be null when counts.fail == 0")
    return Summary(header, counts, decision, first, partial=bool(partial))


def read_judgement(value: object) -> Judgement:
    """Read a manual judgement.

    Raises:
        SchemaError: It is not what the contract says.
    """
    document = Members.of(value)
    document.version()
    return Judgement(
        run_id=document.text("run_id"),
        status=document.one_of("status", _JUDGED),
        reason=document.text("reason"),
        reviewer=document.maybe(document.text, "reviewer"),
        time=document.moment("ts_utc"),
    )


def read_audit(value: object, place: Place = ()) -> Audit:
    """Read the audit of a check.

    Raises:
        SchemaError: It is not what the contract says.
    """
    audit = Members.of(value, place)
    evaluated = audit.boolean("evaluated")
    reason, policy = audit.maybe(audit.text, "reason"), audit.maybe(audit.text, "policy")
    measured = Members.of(audit.values.get("per_metric_tv", {}), audit.at("per_metric_tv"))
    distances = {n: number_of(v, measured.at(n)) for n, v in measured.values.items()}
    worst, eps = audit.maybe(audit.number, "worst_DW"), audit.maybe(audit.number, "eps_eff")
    for name in ("ddp_agg", "ddp_barrier_status"):
        audit.maybe(audit.string, name)
    evidence = [audit.maybe(audit.count, name) for name in ("evidence_total", "min_evidence")]
    if evaluated and (reason is None or policy is None):
        raise SchemaError("Value error, an evaluated audit needs reason and policy", place)
    if evaluated and None in evidence:
        raise SchemaError(
            "Value error, an evaluated audit needs evidence_total and min_evidence", place
        )
    return Audit(evaluated, reason, worst, eps, distances, audit.values)


def read_gate(value: object, place: Place = ()) -> Gate:
    """Read a gate record.

    Raises:
        SchemaError: It is not what the contract says, or contradicts itself.
    """
    gate = Members.of(value, place)
    step, decision = gate.count("iter"), gate.one_of("decision", DECISIONS)
    audit = read_audit(gate.get("audit"), gate.at("audit"))
    ok, warn = gate.maybe(gate.boolean, "ok"), gate.maybe(gate.boolean, "warn")
    wrong = {
        "an evaluated check cannot be 'skip'": audit.evaluated and decision == "skip",
        "a check that was not evaluated must be 'skip'": (
            not audit.evaluated and decision != "skip"
        ),
        f"ok cannot be false when the decision is {decision!r}": (
            decision in ("pass", "warn") and ok is False
        ),
        "ok cannot be true when the decision is 'fail'": decision == "fail" and ok is True,
        "warn cannot be true unless the decision is 'warn'": warn is True and decision != "warn",
    }
    for said, applies in wrong.items():
        if applies:
            raise SchemaError(f"Value error, {said}", place)
    return Gate(step, decision, audit)


def _header(document: Members) -> Header:
    version = document.version()
    run_id = document.text("run_id")
    ref, profile = document.inner("window_signature_ref"), document.inner("profile")
    overrides = Members.of(profile.values.get("overrides", {}), profile.at("overrides"))
    return Header(
        schema_version=version,
        run_id=run_id,
        signature_hash=ref.hex64("hash"),
        signature_path=ref.text("path"),
        gate_preset=profile.text("gate_preset"),
        overrides=overrides.values,
        run_status=document.one_of("run_status", _STATUSES),
        exit_code=document.maybe(document.exit_code, "runner_exit_code"),
        signal=document.maybe(document.text, "runner_signal"),
        started=document.moment("started_ts_utc"),
        ended=document.maybe(document.moment, "ended_ts_utc"),
    )


def _in_order(header: Header) -> None:
    if header.ended is None:
        return
    if header.ended.aware != header.started.aware:
        raise SchemaError(
            "Value error, started_ts_utc and ended_ts_utc: one names its zone, the other does not"
        )
    if header.ended.when < header.started.when:
        raise SchemaError("Value error, ended_ts_utc cannot precede started_ts_utc")


def _metric(value: object, place: Place) -> Metric:
    metric = Members.of(value, place)
    return Metric(
        metric.text("name"), metric.maybe(metric.count, "iter"), metric.values.get("value")
    )


def _metrics_ref(ref: Members) -> None:
    """Check the form of a reference to metrics elsewhere; nothing is opened."""
    ref.text("path")
    if "format" in ref.values:
        ref.text("format")
    ref.maybe(ref.count, "count")
    ref.maybe(ref.hex64, "sha256")


def _counts(members: Members) -> Counts:
    passed = "pass" if "pass" in members.values else "pass_"
    if passed not in members.values:
        raise members.fail("pass", "Field required")
    counts = Counts(
        evaluated=members.count("evaluated"),
        skip=members.count("skip"),
        passed=members.count(passed),
        warn=members.count("warn"),
        fail=members.count("fail"),
    )
    total = counts.passed + counts.warn + counts.fail
    if total != counts.evaluated:
        said = f"pass+warn+fail must be evaluated: {total} != {counts.evaluated}"
        raise SchemaError(f"Value error, counts: {said}", members.place)
    return counts
