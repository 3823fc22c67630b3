"""The public contract of a capsule, rule by rule, as its strictest reader enforces it.

Written from the facts about that reader and not from our code: types as they stand in
the raw JSON, cross-file identity, marker, hash chain, binding, and the comparison of
gate records with the governance log. ``complaints`` returns what is wrong.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

HEX64 = re.compile("[0-9a-f]{64}")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
DECISIONS = {"pass", "warn", "fail", "skip"}
STATUSES = {"success", "user_code_failure", "veriscope_failure"}
MODES = {"single_process", "replicated_single_chief_emit", "ddp_wrapped"}
DIGESTED = (
    "reason",
    "policy",
    "worst_DW",
    "eps_eff",
    "evidence_total",
    "min_evidence",
    "ddp_agg",
    "ddp_barrier_status",
    "aggregation_method",
    "world_size",
    "base_reason",
    "change_reason",
    "regime_ok",
    "regime_check_ran",
    "regime_ref_ready",
    "regime_ref_windows",
    "regime_worst_DW",
    "regime_eps_eff",
    "eps_regime_eff",
)
PAYLOADS: dict[str, dict[str, type]] = {
    "run_started_v1": {
        "run_id": str,
        "outdir": str,
        "argv": list,
        "code_identity": dict,
        "window_signature_ref": dict,
        "entrypoint": dict,
    },
    "run_overrides_applied_v1": {
        "run_id": str,
        "outdir": str,
        "overrides": dict,
        "profile": dict,
        "entrypoint": dict,
    },
    "gate_decision_v1": {"run_id": str, "outdir": str, "iter": int, "decision": str, "audit": dict},
    "manual_judgement_set": {"run_id": str, "status": str, "reason": str},
    "manual_judgement_cleared": {"run_id": str},
}
OF_A_RUN = ("run_started_v1", "run_overrides_applied_v1", "gate_decision_v1")


def canonical(value: object) -> bytes:
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def sha256(value: object) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()


def complaints(files: Mapping[str, bytes], outdir: str) -> list[str]:
    """What a reader of the contract would refuse in a capsule that lies at *outdir*."""
    signature = load(files["window_signature.json"])
    summary = load(files["results_summary.json"])
    results = load(files["results.json"]) if "results.json" in files else None
    found = [*of_header(summary, signature), *of_summary(summary)]
    if results is None:
        found += of_partial(summary)
    else:
        found += [*of_header(results, signature), *of_results(results, summary)]
        found += of_governance(lines(files["governance_log.jsonl"]), results, outdir)
    marker = files.get("first_fail_iter.txt")
    first = summary["first_fail_iter"]
    if marker != (None if first is None else b"%d\n" % first):
        found.append("first_fail_iter.txt")
    return [*found, *of_judgements(files, summary["run_id"])]


def load(raw: bytes) -> dict[str, Any]:
    """One object, in the one form that it is hashed in, with a line end."""
    value = json.loads(raw, parse_constant=lambda _: 1 / 0)
    assert isinstance(value, dict)
    assert raw == canonical(value) + b"\n"
    return value


def lines(raw: bytes) -> list[dict[str, Any]]:
    """Records, one a line: whatever a reader takes for the end of a line."""
    text = raw.decode("ascii")
    assert text.splitlines(keepends=True) == [line + "\n" for line in text.split("\n")[:-1]]
    return [dict(json.loads(line, parse_constant=lambda _: 1 / 0)) for line in text.splitlines()]


def is_integer(value: object, low: int = 0) -> bool:
    return type(value) is int and value >= low


def is_measure(value: object) -> bool:
    """A float with a decimal point: an integer would be hashed as one by half of the readers."""
    return value is None or (type(value) is float and value >= 0)


def of_header(document: dict[str, Any], signature: object) -> Iterator[str]:
    rules = {
        "schema_version": document["schema_version"] == 1,
        "run_id": isinstance(document["run_id"], str) and document["run_id"],
        "window_signature_ref": document["window_signature_ref"]
        == {"hash": sha256(signature), "path": "window_signature.json"},
        "gate_preset": isinstance(document["profile"]["gate_preset"], str)
        and document["profile"]["gate_preset"],
        "overrides": isinstance(document["profile"]["overrides"], dict),
        "run_status": document["run_status"] in STATUSES,
        "runner_exit_code": document["runner_exit_code"] is None
        or (is_integer(document["runner_exit_code"]) and document["runner_exit_code"] < 256),
        "runner_signal": document["runner_signal"] is None or document["runner_signal"],
        "started_ts_utc": STAMP.fullmatch(document["started_ts_utc"]),
        "ended_ts_utc": document["ended_ts_utc"] is None
        or moment(document["started_ts_utc"]) <= moment(document["ended_ts_utc"]),
    }
    yield from (name for name, holds in rules.items() if not holds)


def moment(text: str) -> datetime:
    assert STAMP.fullmatch(text)
    return datetime.fromisoformat(text).astimezone(UTC)


def of_summary(summary: dict[str, Any]) -> Iterator[str]:
    counts = summary["counts"]
    if set(counts) != {"evaluated", "skip", "pass", "warn", "fail"}:
        yield "counts"
    if not all(is_integer(count) for count in counts.values()):
        yield "counts are integers"
    if counts["pass"] + counts["warn"] + counts["fail"] != counts["evaluated"]:
        yield "counts do not add up"
    final = next((word for word in ("fail", "warn", "pass") if counts[word]), "skip")
    if summary["final_decision"] != final:
        yield "final_decision"
    first = summary["first_fail_iter"]
    # 1 and not 0: that reader takes a fail at iteration 0 for none at all.
    if (first is None) == bool(counts["fail"]) or not (first is None or is_integer(first, 1)):
        yield "first_fail_iter"


def of_partial(summary: dict[str, Any]) -> Iterator[str]:
    if summary["partial"] is not True:
        yield "partial"
    if any(summary["counts"].values()) or summary["final_decision"] != "skip":
        yield "counts of a partial capsule"
    if summary["first_fail_iter"] is not None:
        yield "first_fail_iter of a partial capsule"


def of_results(results: dict[str, Any], summary: dict[str, Any]) -> Iterator[str]:
    if summary["partial"] is not False:
        yield "FULL_CAPSULE_MARKED_PARTIAL"
    for name in ("schema_version", "run_id", "window_signature_ref", "profile"):
        if results[name] != summary[name]:
            yield f"identity: {name}"
    tally = Counter(gate["decision"] for gate in results["gates"])
    evaluated = tally["pass"] + tally["warn"] + tally["fail"]
    if summary["counts"] != {
        "evaluated": evaluated,
        **{word: tally[word] for word in ("skip", "pass", "warn", "fail")},
    }:
        yield "counts are not those of the gates"
    fails = [gate["iter"] for gate in results["gates"] if gate["decision"] == "fail"]
    if summary["first_fail_iter"] != min(fails, default=None):
        yield "first_fail_iter is not that of the gates"
    for gate in results["gates"]:
        yield from of_gate(gate)
    for metric in results["metrics"]:
        if not (isinstance(metric["name"], str) and metric["name"] and is_integer(metric["iter"])):
            yield "metric"


def of_gate(gate: dict[str, Any]) -> Iterator[str]:
    decision, audit = gate["decision"], gate["audit"]
    if not is_integer(gate["iter"]) or decision not in DECISIONS:
        yield "gate"
    if audit["evaluated"] is not (decision != "skip"):
        yield "evaluated"
    if (gate.get("ok"), gate.get("warn")) != {
        "pass": (True, False),
        "warn": (True, True),
        "fail": (False, False),
        "skip": (None, None),
    }[decision]:
        yield "ok and warn"
    if not (audit["reason"] and audit["policy"]):
        yield "reason and policy"
    if not (is_measure(audit["worst_DW"]) and is_measure(audit["eps_eff"])):
        yield "worst_DW and eps_eff"
    moved = audit["per_metric_tv"]
    if not all(name and value is not None and is_measure(value) for name, value in moved.items()):
        yield "per_metric_tv"
    if not (is_integer(audit["evidence_total"]) and is_integer(audit["min_evidence"])):
        yield "evidence"


def of_governance(log: list[dict[str, Any]], results: dict[str, Any], outdir: str) -> Iterator[str]:
    yield from of_chain(log)
    events = [line["event"] for line in log]
    own = [line["payload"] for line in log if line["event"] in OF_A_RUN]
    if {payload["run_id"] for payload in own} != {results["run_id"]}:
        yield "GOVERNANCE_RUN_ID_MISMATCH"
    if {payload["outdir"] for payload in own} != {outdir}:
        yield "GOVERNANCE_OUTDIR_MISMATCH"
    started = [line["payload"] for line in log if line["event"] == "run_started_v1"]
    if [payload["window_signature_ref"] for payload in started] != [
        results["window_signature_ref"]
    ]:
        yield "GOVERNANCE_NOT_BOUND_TO_WINDOW"
    yield from of_distributed(started[0].get("distributed"))
    if bool(results["profile"]["overrides"]) != ("run_overrides_applied_v1" in events):
        yield "GOVERNANCE_OVERRIDES_MISSING"
    told = Counter(
        (line["payload"]["iter"], line["payload"]["decision"], digest(line["payload"]["audit"]))
        for line in log
        if line["event"] == "gate_decision_v1"
    )
    typed = Counter(
        (gate["iter"], gate["decision"], digest(as_typed(gate["audit"])))
        for gate in results["gates"]
    )
    if told != typed:
        yield "GOVERNANCE_RESULTS_DIVERGENCE"


def of_chain(log: list[dict[str, Any]]) -> Iterator[str]:
    before = None
    for place, line in enumerate(log, 1):
        bare = {name: value for name, value in line.items() if name != "entry_hash"}
        if line["entry_hash"] != sha256(bare) or line["prev_hash"] != before:
            yield "GOVERNANCE_LOG_HASH_MISMATCH"
        if (line["rev"], line["schema_version"]) != (place, 1):
            yield "GOVERNANCE_LOG_REV_NONMONOTONE"
        if not (line["actor"] is None or isinstance(line["actor"], str)):
            yield "actor_invalid"
        if not STAMP.fullmatch(line["ts_utc"]) or "event_type" in line:
            yield "ts_utc"
        needed = PAYLOADS[line["event"]]
        if not all(type(line["payload"].get(name)) is kind for name, kind in needed.items()):
            yield f"payload_required_fields event={line['event']}"
        entrypoint = line["payload"].get("entrypoint", {"kind": "x", "name": "x"})
        if not (entrypoint["kind"] and entrypoint["name"]):
            yield "entrypoint"
        before = line["entry_hash"]


def of_distributed(spread: dict[str, Any] | None) -> Iterator[str]:
    if spread is not None and not is_integer(spread.get("world_size_observed"), 1):
        yield "DISTRIBUTED_WORLD_SIZE_MISSING"
    if spread is not None and spread.get("distributed_mode") not in MODES:
        yield "DISTRIBUTED_MODE_INVALID"


def as_typed(audit: dict[str, Any]) -> dict[str, Any]:
    """The audit after it went through a model that types its measures as floats."""
    typed = dict(audit)
    for name in ("worst_DW", "eps_eff"):
        typed[name] = None if audit[name] is None else float(audit[name])
    typed["per_metric_tv"] = {name: float(tv) for name, tv in audit["per_metric_tv"].items()}
    return typed


def digest(audit: dict[str, Any]) -> str:
    kept = {name: audit[name] for name in DIGESTED if audit.get(name) is not None}
    return sha256(
        {"evaluated": audit["evaluated"], "per_metric_tv": audit["per_metric_tv"], **kept}
    )


def of_judgements(files: Mapping[str, bytes], run_id: str) -> Iterator[str]:
    snapshot = files.get("manual_judgement.json")
    stands = None if snapshot is None else load(snapshot)
    if stands is not None and not is_judgement(stands, run_id):
        yield "manual_judgement.json"
    history = lines(files.get("manual_judgement.jsonl", b""))
    if [line["rev"] for line in history] != [*range(1, len(history) + 1)]:
        yield "rev of manual_judgement.jsonl"
    valid = [line for line in history if is_judgement(line, run_id)]
    shown = {name: value for name, value in valid[-1].items() if name != "rev"} if valid else None
    if shown != stands:
        yield "the last valid line is not the judgement that stands"


def is_judgement(line: dict[str, Any], run_id: str) -> bool:
    return bool(
        line["schema_version"] == 1
        and line["run_id"] == run_id
        and line["status"] in {"pass", "fail"}
        and line["reason"]
        and (line["reviewer"] is None or line["reviewer"])
        and STAMP.fullmatch(line["ts_utc"])
    )
