"""The schemas of the run contract, broken member by member: check 3."""

import contracts
from contract_breaks import Case, holding, into, judged, without

SCHEMA = "Schema validation failed: "

SCHEMA_CASES = (
    # 3 schemas
    Case(
        "results are no JSON",
        holding("results.json", b"{]"),
        f"{SCHEMA}Invalid JSON: ",
    ),
    Case("results hold NaN", holding("results.json", b'{"a":NaN}'), f"{SCHEMA}Invalid JSON: NaN"),
    Case("results hold 1e999", holding("results.json", b'{"a":1e999}'), f"{SCHEMA}Invalid JSON: "),
    Case("results are a list", holding("results.json", b"[]"), f"{SCHEMA}Input should be an obj"),
    Case("version 2", into("results.schema_version", 2), f"{SCHEMA}Input should be 1 at"),
    Case("version as text", into("summary.schema_version", "1"), f"{SCHEMA}Input should be 1 at"),
    Case("no run_id", without("results.run_id"), f"{SCHEMA}Field required at ('run_id',)"),
    Case("empty run_id", into("results.run_id", ""), f"{SCHEMA}String should have at least 1"),
    Case(
        "hash of 63 digits",
        into("results.window_signature_ref.hash", "a" * 63),
        f"{SCHEMA}String should match pattern '^[a-fA-F0-9]{{64}}$' at"
        " ('window_signature_ref', 'hash')",
    ),
    Case(
        "no preset",
        without("summary.profile.gate_preset"),
        f"{SCHEMA}Field required at ('profile', 'gate_preset')",
    ),
    Case(
        "overrides is a list",
        into("results.profile.overrides", []),
        f"{SCHEMA}Input should be an object at ('profile', 'overrides')",
    ),
    Case(
        "unknown status",
        into("summary.run_status", "done"),
        f"{SCHEMA}Input should be 'success', 'user_code_failure' or 'veriscope_failure'",
    ),
    Case("exit code 256", into("summary.runner_exit_code", 256), f"{SCHEMA}Input should be less"),
    Case("exit code -9", into("summary.runner_exit_code", -9), f"{SCHEMA}Input should be greater"),
    Case("exit code as text", into("summary.runner_exit_code", "0"), f"{SCHEMA}Input should be a"),
    Case("preset is a number", into("results.profile.gate_preset", 5), f"{SCHEMA}Input should be"),
    Case("hash is a number", into("results.window_signature_ref.hash", 5), f"{SCHEMA}Input should"),
    Case("gates is an object", into("results.gates", {}), f"{SCHEMA}Input should be a valid array"),
    Case("no count of passes", without("summary.counts.pass"), f"{SCHEMA}Field required at"),
    Case(
        "a distance that no float holds",
        into("results.gates.1.audit.eps_eff", 10**399),
        f"{SCHEMA}Input should be a finite number at ('gates', 1, 'audit', 'eps_eff')",
    ),
    Case(
        "metrics elsewhere, in a form without a name",
        into("results.metrics_ref", {"path": "m", "format": "", "count": 1, "sha256": None}),
        f"{SCHEMA}String should have at least 1 character at ('metrics_ref', 'format')",
    ),
    Case("empty signal", into("results.runner_signal", ""), f"{SCHEMA}String should have at"),
    Case("no start", without("results.started_ts_utc"), f"{SCHEMA}Field required at ('started"),
    Case("start is no time", into("results.started_ts_utc", "soon"), f"{SCHEMA}Input should be a"),
    Case(
        "ended before it started",
        into("results.ended_ts_utc", "2026-01-15T09:59:59Z"),
        f"{SCHEMA}Value error, ended_ts_utc cannot precede started_ts_utc",
    ),
    Case(
        "one time with a zone, one without",
        into("results.ended_ts_utc", "2026-01-15T11:00:00"),
        f"{SCHEMA}Value error, started_ts_utc and ended_ts_utc: one names its zone",
    ),
    Case(
        "iteration as float",
        into("results.gates.1.iter", 200.0),
        f"{SCHEMA}Input should be a valid integer at ('gates', 1, 'iter')",
    ),
    Case("iteration below 0", into("results.gates.1.iter", -1), f"{SCHEMA}Input should be greater"),
    Case(
        "decision in capitals",
        into("results.gates.1.decision", "PASS"),
        f"{SCHEMA}Input should be 'pass', 'warn', 'fail' or 'skip' at ('gates', 1, 'decision')",
    ),
    Case(
        "evaluated skip",
        into("results.gates.1.decision", "skip"),
        f"{SCHEMA}Value error, an evaluated check cannot be 'skip' at ('gates', 1)",
    ),
    Case(
        "unevaluated pass",
        into("results.gates.0.decision", "pass"),
        f"{SCHEMA}Value error, a check that was not evaluated must be 'skip'",
    ),
    Case(
        "pass that is not ok",
        into("results.gates.1.ok", value=False),
        f"{SCHEMA}Value error, ok cannot be false when the decision is 'pass'",
    ),
    Case(
        "fail that is ok",
        into("results.gates.3.ok", value=True),
        f"{SCHEMA}Value error, ok cannot be true when the decision is 'fail'",
    ),
    Case(
        "pass that warns",
        into("results.gates.1.warn", value=True),
        f"{SCHEMA}Value error, warn cannot be true unless the decision is 'warn'",
    ),
    Case("no audit", without("results.gates.1.audit"), f"{SCHEMA}Field required at ('gates', 1"),
    Case(
        "evaluated as text",
        into("results.gates.1.audit.evaluated", "yes"),
        f"{SCHEMA}Input should be a valid boolean at ('gates', 1, 'audit', 'evaluated')",
    ),
    Case(
        "evaluated without a reason",
        into("results.gates.1.audit.reason", None),
        f"{SCHEMA}Value error, an evaluated audit needs reason and policy",
    ),
    Case(
        "evaluated without evidence",
        without("results.gates.1.audit.evidence_total"),
        f"{SCHEMA}Value error, an evaluated audit needs evidence_total and min_evidence",
    ),
    Case(
        "evidence as float",
        into("results.gates.1.audit.evidence_total", 80.0),
        f"{SCHEMA}Input should be a valid integer at ('gates', 1, 'audit', 'evidence_total')",
    ),
    Case(
        "negative distance",
        into("results.gates.1.audit.worst_DW", -0.1),
        f"{SCHEMA}Input should be greater than or equal to 0",
    ),
    Case(
        "null distance of a metric",
        into("results.gates.1.audit.per_metric_tv.loss", None),
        f"{SCHEMA}Input should be a valid number at ('gates', 1, 'audit', 'per_metric_tv', 'loss')",
    ),
    Case("metric without a name", into("results.metrics.0.name", ""), f"{SCHEMA}String should"),
    Case(
        "metrics elsewhere, no path",
        into("results.metrics_ref", {"format": "x"}),
        f"{SCHEMA}Field required at ('metrics_ref', 'path')",
    ),
    Case(
        "counts that do not add up",
        into("summary.counts.evaluated", 5),
        f"{SCHEMA}Value error, counts: pass+warn+fail must be evaluated: 4 != 5 at ('counts',)",
    ),
    Case("count as text", into("summary.counts.skip", "1"), f"{SCHEMA}Input should be a valid int"),
    Case(
        "final decision too good",
        into("summary.final_decision", "pass"),
        f"{SCHEMA}Value error, final_decision must match the counts: 'pass' != 'fail'",
    ),
    Case(
        "a fail without its iteration",
        into("summary.first_fail_iter", None),
        f"{SCHEMA}Value error, first_fail_iter is required when counts.fail > 0",
    ),
    Case(
        "an iteration without a fail",
        into("summary.first_fail_iter", 400),
        f"{SCHEMA}Value error, first_fail_iter must be null when counts.fail == 0",
        base=lambda: contracts.capsule((("pass", 100),)),
    ),
    Case("judged neither way", judged(status="warn"), f"{SCHEMA}Input should be 'pass' or 'fail'"),
    Case("judged without a reason", judged(reason=""), f"{SCHEMA}String should have at least 1"),
    Case("judged at no time", judged(ts_utc=None), f"{SCHEMA}Input should be a valid datetime"),
)
