"""The tables of the query database: columns, keys, and what points where."""

TABLES: dict[str, tuple[dict[str, type], str | tuple[str, ...]]] = {
    "ledger": ({"id": str, "name": str, "size": int, "head": str, "root": str}, "id"),
    "keys": (
        {
            "id": str,
            "name": str,
            "public": str,
            "roles": str,
            "authorized_seq": int,
            "out_seq": int,
            "out_reason": str,
        },
        "id",
    ),
    "runs": (
        {
            "id": str,
            "kind": str,
            "gate_preset": str,
            "status": str,
            "partial": int,
            "started": str,
            "ended": str,
            "exit_code": int,
            "signal": str,
            "wall_s": float,
            "final_decision": str,
            "first_fail_iter": int,
            "overrides": str,
            "overhead_s": float,
            "judgement": str,
            "checks": int,
            "evaluated": int,
            "skip": int,
            "pass": int,
            "warn": int,
            "fail": int,
        },
        "id",
    ),
    "entries": (
        {
            "seq": int,
            "id": str,
            "time": str,
            "type": str,
            "subject": str,
            "key_id": str,
            "signed": int,
            "hash": str,
            "run_id": str,
            "data": str,
        },
        "seq",
    ),
    "gates": (
        {
            "seq": int,
            "run_id": str,
            "iter": int,
            "decision": str,
            "evaluated": int,
            "reason": str,
            "worst_DW": float,
            "nonfinite": str,
            "eps_eff": float,
            "evidence_total": int,
            "min_evidence": int,
            "driver": str,
            "view": str,
            "z": float,
            "regime": int,
        },
        "seq",
    ),
    "metrics": (
        {"seq": int, "run_id": str, "iter": int, "name": str, "value": float, "nonfinite": str},
        ("seq", "name"),
    ),
    "faults": (
        {
            "seq": int,
            "run_id": str,
            "iter": int,
            "kind": str,
            "fraction": float,
            "factor": float,
        },
        "seq",
    ),
    "anchors": ({"seq": int, "run_id": str, "iter": int, "reason": str}, "seq"),
    "weights": (
        {"seq": int, "run_id": str, "iter": int, "path": str, "sha256": str, "bytes": int},
        "seq",
    ),
    "judgements": (
        {"seq": int, "run_id": str, "status": str, "reason": str, "reviewer": str},
        "seq",
    ),
    "artifacts": (
        {
            "seq": int,
            "run_id": str,
            "path": str,
            "sha256": str,
            "bytes": int,
            "media_type": str,
            "projection": str,
            "at": int,
        },
        "seq",
    ),
}
"""Columns and primary key of each table, in an order in which references point back."""

_KEY_OF_ENTRY = ("key_id", "keys", "id")
_RUN = ("run_id", "runs", "id")
_ENTRY = ("seq", "entries", "seq")
REFERENCES: dict[str, list[tuple[str, str, str]]] = {
    "entries": [_KEY_OF_ENTRY, _RUN],
    "gates": [_ENTRY, _RUN],
    "metrics": [_ENTRY, _RUN],
    "faults": [_ENTRY, _RUN],
    "anchors": [_ENTRY, _RUN],
    "weights": [_ENTRY, _RUN],
    "judgements": [_ENTRY, _RUN],
    "artifacts": [_ENTRY, _RUN],
}
INDEXES: dict[str, tuple[list[str], ...]] = {
    "entries": (["type"], ["run_id"], ["id"]),
    "gates": (["run_id", "iter"],),
    "metrics": (["run_id", "name", "iter"],),
    "artifacts": (["path"],),
}
