"""Each check of the run contract, broken in one way or several, and what must be said of it."""

import contracts
from contract_breaks import (
    GOVERNED,
    PARTIAL,
    STRICT,
    Case,
    gone,
    holding,
    into,
    judged,
    logged,
    results,
    spread,
    together,
    unlogged,
)
from contract_schemas import SCHEMA_CASES

from verifier.contract import Options

CASES = (
    # 1 required files
    Case("no results", gone("results.json"), "Missing required artifacts: results.json"),
    Case(
        "no results nor summary",
        together(gone("results.json"), gone("results_summary.json")),
        "Missing required artifacts: results.json, results_summary.json",
    ),
    Case(
        "no signature, partial allowed",
        together(gone("window_signature.json"), gone("results.json")),
        "Missing required artifacts: window_signature.json",
        PARTIAL,
    ),
    # 2 readable
    Case(
        "signature is no JSON",
        holding("window_signature.json", b"{"),
        "JSON parse error in window_signature.json: ",
    ),
    Case(
        "signature is a list",
        holding("window_signature.json", b"[]"),
        "window_signature.json must be a JSON object (dict), got list",
    ),
    Case(
        "signature with a name twice",
        holding("window_signature.json", b'{"a":1,"a":2}'),
        "JSON parse error in window_signature.json: the name 'a' stands twice in one object",
    ),
    Case(
        "signature with a BOM",
        holding("window_signature.json", b"\xef\xbb\xbf{}"),
        "JSON parse error in window_signature.json: ",
    ),
    *SCHEMA_CASES,
    # 4 hash of the window
    Case(
        "made at a time without Z",
        into("signature.created_ts_utc", "2026-01-15T10:00:00+00:00"),
        "window_signature.created_ts_utc must be an ISO 8601 time that ends in Z",
    ),
    Case(
        "made at a mere date",
        into("signature.created_ts_utc", "2026-01-15Z"),
        "window_signature.created_ts_utc must be an ISO 8601 time that ends in Z",
    ),
    # 5, 6 references
    Case(
        "results refer elsewhere",
        into("results.window_signature_ref.path", "other.json"),
        "window_signature_ref.path mismatch in results.json: 'other.json' !=",
    ),
    Case(
        "summary refers elsewhere",
        into("summary.window_signature_ref.path", "./window_signature.json"),
        "window_signature_ref.path mismatch in results_summary.json: ",
    ),
    Case(
        "results refer to another window",
        into("results.window_signature_ref.hash", "a" * 64),
        f"window_signature_ref.hash mismatch in results.json: {'a' * 64} != ",
    ),
    Case(
        "summary refers to another window",
        into("summary.window_signature_ref.hash", "B" * 64),
        f"window_signature_ref.hash mismatch in results_summary.json: {'b' * 64} != ",
    ),
    # 7 judgement
    Case(
        "judgement of another run",
        judged(run_id="other"),
        f"run_id mismatch: manual_judgement='other' results='{contracts.RUN}'",
    ),
    Case(
        "judgement of another run, partial",
        judged(run_id="other"),
        f"run_id mismatch: manual_judgement='other' summary='{contracts.RUN}'",
        PARTIAL,
        base=contracts.partial,
    ),
    # 9 identity
    Case(
        "two run ids",
        into("summary.run_id", "other"),
        f"ERROR:ARTIFACT_IDENTITY_MISMATCH field=run_id expected='other' got='{contracts.RUN}'",
    ),
    Case(
        "two presets",
        into("summary.profile.gate_preset", "legacy"),
        "ERROR:ARTIFACT_IDENTITY_MISMATCH field=profile.gate_preset expected='legacy'",
    ),
    Case(
        "two presets, partial allowed, strict",
        into("summary.profile.gate_preset", "legacy"),
        "ERROR:ARTIFACT_IDENTITY_MISMATCH field=profile.gate_preset",
        Options(allow_partial=True, strict_identity=True),
    ),
    # 10, 11 partial
    Case(
        "full and marked partial",
        into("summary.partial", value=True),
        "ERROR:FULL_CAPSULE_MARKED_PARTIAL ",
        error="ERROR:FULL_CAPSULE_MARKED_PARTIAL",
    ),
    Case(
        "no results and not marked",
        into("summary.partial", value=False),
        "results.json missing but results_summary.json is not marked partial=true",
        PARTIAL,
        base=contracts.partial,
    ),
    Case(
        "partial with counts",
        together(into("summary.counts.skip", 3)),
        "results.json missing with partial=true requires neutral summary counts: counts=",
        PARTIAL,
        base=contracts.partial,
    ),
    # 12 counts and gates
    Case(
        "a gate is gone",
        lambda capsule: results(capsule)["gates"].pop(1) and None,
        "summary counts mismatch results gates: summary={'evaluated': 4, 'skip': 1,",
    ),
    Case(
        "the first fail is another",
        into("summary.first_fail_iter", 300),
        "first_fail_iter mismatch between summary and results gates: summary=300",
    ),
    # 13 marker
    Case(
        "no marker",
        gone("first_fail_iter.txt"),
        "counts.fail > 0 but first_fail_iter.txt is missing",
    ),
    Case(
        "marker without a fail",
        holding("first_fail_iter.txt", b"5\n"),
        "counts.fail == 0 but first_fail_iter.txt must be absent",
        base=lambda: contracts.capsule((("pass", 100),)),
    ),
    Case(
        "marker without its line end",
        holding("first_fail_iter.txt", b"400"),
        "first_fail_iter.txt must contain a non-negative integer with trailing newline",
    ),
    Case(
        "marker in other digits",
        holding("first_fail_iter.txt", "٤٠٠\n".encode()),
        "first_fail_iter.txt must contain a non-negative integer with trailing newline",
    ),
    Case(
        "marker of another check",
        holding("first_fail_iter.txt", b"500\n"),
        "first_fail_iter.txt mismatch: marker=500 summary.first_fail_iter=400",
    ),
    Case(
        "marker is a directory",
        together(
            gone("first_fail_iter.txt"),
            lambda capsule: capsule.after.append(
                lambda outdir: (outdir / "first_fail_iter.txt").mkdir()
            ),
        ),
        "Failed reading first_fail_iter.txt: is not a regular file",
    ),
    # 14 governance
    Case(
        "log is a directory",
        together(
            gone("governance_log.jsonl"),
            lambda capsule: capsule.after.append(
                lambda outdir: (outdir / "governance_log.jsonl").mkdir()
            ),
        ),
        "governance_log.jsonl invalid",
        GOVERNED,
        error="WARNING:GOVERNANCE_LOG_INVALID unreadable=is not a regular file",
    ),
    Case(
        "no log where one is required",
        gone("governance_log.jsonl"),
        "Missing governance_log.jsonl for results.json",
        Options(require_governance=True),
    ),
    Case(
        "a run was overridden and the log does not say it",
        into("results.profile.overrides", {"gate_window": 50}),
        "Missing governance overrides entry for applied overrides",
        GOVERNED,
        error="ERROR:GOVERNANCE_OVERRIDES_MISSING run_overrides_applied_v1 entry required",
    ),
    Case(
        "the configuration was overridden and the log does not say it",
        into("config.overrides", {"gate_window": 50}),
        "Missing governance overrides entry for applied overrides",
        GOVERNED,
        error="ERROR:GOVERNANCE_OVERRIDES_MISSING",
    ),
    Case(
        "log of another run",
        into("log.0.payload.run_id", "other"),
        "ERROR:GOVERNANCE_RUN_ID_MISMATCH ",
        GOVERNED,
        error="ERROR:GOVERNANCE_RUN_ID_MISMATCH",
    ),
    Case(
        "log of another directory",
        into("log.1.payload.outdir", "/elsewhere"),
        "ERROR:GOVERNANCE_OUTDIR_MISMATCH ",
        GOVERNED,
        error="ERROR:GOVERNANCE_OUTDIR_MISMATCH",
    ),
    Case(
        "log of another window",
        into("log.0.payload.window_signature_ref.hash", "c" * 64),
        "ERROR:GOVERNANCE_WINDOW_HASH_MISMATCH ",
        GOVERNED,
        error="ERROR:GOVERNANCE_WINDOW_HASH_MISMATCH",
    ),
    Case(
        "log that names no window",
        unlogged(0),
        "ERROR:GOVERNANCE_NOT_BOUND_TO_WINDOW ",
        GOVERNED,
        error="ERROR:GOVERNANCE_NOT_BOUND_TO_WINDOW",
    ),
    Case(
        "log without a start, binding",
        unlogged(0),
        "ERROR:GOVERNANCE_RUN_STARTED_MISSING ",
        STRICT,
        error="ERROR:GOVERNANCE_RUN_STARTED_MISSING",
    ),
    Case(
        "a log of no run at all, binding",
        holding("governance_log.jsonl", b"\n"),
        "ERROR:GOVERNANCE_RUN_STARTED_MISSING ",
        STRICT,
    ),
    Case(
        "started twice, binding",
        logged(1, contracts.started()),
        "ERROR:GOVERNANCE_DUPLICATE_RUN_STARTED ",
        STRICT,
        error="ERROR:GOVERNANCE_DUPLICATE_RUN_STARTED",
    ),
    Case(
        "a check is not in the log",
        unlogged(2),
        "Missing governance gate decision entries for results",
        GOVERNED,
        error="ERROR:GOVERNANCE_GATE_DECISIONS_MISSING gate_decision_v1 entries=4 expected=5",
    ),
    Case(
        "a check is not in the log, binding",
        unlogged(2),
        "ERROR:GOVERNANCE_RESULTS_DIVERGENCE ",
        STRICT,
        error="ERROR:GOVERNANCE_RESULTS_DIVERGENCE",
    ),
    Case(
        "an audit was edited and the chain hashed anew, binding",
        into("log.2.payload.audit.worst_DW", 0.125),
        "ERROR:GOVERNANCE_RESULTS_DIVERGENCE ",
        STRICT,
    ),
    Case(
        "a warning was softened in the results, binding",
        together(
            into("results.gates.2.decision", "pass"),
            into("results.gates.2.warn", value=False),
            into("summary.counts.pass", 3),
            into("summary.counts.warn", 0),
        ),
        "ERROR:GOVERNANCE_RESULTS_DIVERGENCE ",
        STRICT,
    ),
    # 15 distributed
    Case(
        "ranks, but how many",
        spread(distributed_mode="ddp_wrapped", backend="gloo", rank=0),
        "ERROR:DISTRIBUTED_WORLD_SIZE_MISSING hints_present=['rank', 'backend'] ",
        error="ERROR:DISTRIBUTED_WORLD_SIZE_MISSING",
    ),
    Case(
        "two ranks, but how",
        spread(world_size_observed=2, rank=0),
        "ERROR:DISTRIBUTED_MODE_MISSING world_size_observed=2 requires distributed_mode",
        error="ERROR:DISTRIBUTED_MODE_MISSING",
    ),
    Case(
        "two ranks in a way unheard of",
        spread(distributed_mode="mesh", world_size_observed=2),
        "ERROR:DISTRIBUTED_MODE_INVALID distributed_mode='mesh' allowed=['ddp_wrapped',",
        error="ERROR:DISTRIBUTED_MODE_INVALID",
    ),
)
