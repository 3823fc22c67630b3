"""Judgements and the governance log go on after the close; they are compared with all events."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.verifier.capsule import RUN, SIGNATURE, Capsule
from verifier.policy import Policy
from verifier.run import verify_path

Lines = list[dict[str, Any]]


def plain(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def chained(lines: Lines) -> bytes:
    """The lines as the public contract hashes them, in ASCII."""
    prev = None
    for rev, line in enumerate(lines, start=1):
        line |= {"schema_version": 1, "rev": rev, "prev_hash": prev}
        prev = line["entry_hash"] = hashlib.sha256(plain(line)).hexdigest()
    texts = (json.dumps(line, sort_keys=True, separators=(",", ":")) for line in lines)
    return b"".join(text.encode() + b"\n" for text in texts)


def happened(capsule: Capsule) -> Lines:
    """What the log says of the capsule's story, before anyone judged."""
    place = {"run_id": "r1", "outdir": "out"}
    started: dict[str, Any] = {
        "ts_utc": "2026-01-15T10:00:02Z",
        "actor": None,
        "event": "run_started_v1",
        "payload": {
            **place,
            "argv": ["python", "train.py"],
            "code_identity": {
                "package": "evidence-ledger",
                "version": "0.1.0",
                "git_sha": None,
                "gate_engine": "histogram/1",
            },
            "window_signature_ref": {
                "hash": hashlib.sha256(SIGNATURE).hexdigest(),
                "path": "window_signature.json",
            },
            "entrypoint": {"kind": "runner", "name": "gpt"},
        },
    }
    gates = [
        {
            "ts_utc": f"2026-01-15T10:00:{4 + 2 * place_:02}Z",
            "actor": None,
            "event": "gate_decision_v1",
            "payload": {**place, **gate},
        }
        for place_, gate in enumerate(capsule.gates)
    ]
    return [started, *gates]


def judge(capsule: Capsule, status: str = "pass", reason: str = "a known data\u2028switch") -> None:
    said = {"status": status, "reason": reason, "reviewer": "ada"}
    capsule.add("governance.judged", said, by="owner", subject=RUN)


def judged_line(capsule: Capsule, time: str) -> dict[str, Any]:
    return {
        "ts_utc": time,
        "actor": "ada",
        "event": "manual_judgement_set",
        "payload": {
            "run_id": "r1",
            "status": "pass",
            "reason": "a known data\u2028switch",
            "reviewer": "ada",
            "source_path": "manual_judgement.json",
            "key": capsule.keys["owner"].id,
        },
    }


STANDING = {
    "schema_version": 1,
    "run_id": "r1",
    "status": "pass",
    "reason": "a known data\u2028switch",
    "reviewer": "ada",
    "ts_utc": "2026-01-15T10:00:20Z",
}


@pytest.fixture
def judged(tmp_path: Path) -> Capsule:
    """A capsule that was closed and put on record, and then judged by its owner."""
    capsule = Capsule(tmp_path / "run").story().record_all()
    judge(capsule)
    log = chained([*happened(capsule), judged_line(capsule, "2026-01-15T10:00:20Z")])
    (capsule.folder / "governance_log.jsonl").write_bytes(log)
    (capsule.folder / "manual_judgement.json").write_bytes(plain(STANDING) + b"\n")
    line = json.dumps({**STANDING, "rev": 1}, sort_keys=True, separators=(",", ":")).encode()
    (capsule.folder / "manual_judgement.jsonl").write_bytes(line + b"\n")
    return capsule


def codes(capsule: Capsule) -> list[tuple[str, str]]:
    found = verify_path(
        capsule.folder, Policy(strict=True, ledger_id=str(capsule.id), checkpoints=())
    )
    return [(finding.code, finding.message.partition(":")[0]) for finding in found.findings]


def test_a_judged_capsule_is_verified_without_records_of_the_judgement(judged: Capsule) -> None:
    assert codes(judged) == []


@pytest.mark.parametrize("name", ["manual_judgement.json", "manual_judgement.jsonl"])
def test_a_judgement_whose_file_was_deleted_is_missed(judged: Capsule, name: str) -> None:
    (judged.folder / name).unlink()
    assert codes(judged) == [("artifact.missing", name)]


@pytest.mark.parametrize(
    "name", ["governance_log.jsonl", "manual_judgement.json", "manual_judgement.jsonl"]
)
def test_an_edited_file_is_found_though_it_was_never_recorded(judged: Capsule, name: str) -> None:
    path = judged.folder / name
    path.write_bytes(path.read_bytes().replace(b"ada", b"eve"))
    assert codes(judged) == [("artifact.content", name)]


def test_a_log_that_was_edited_and_hashed_anew_is_found(judged: Capsule) -> None:
    """Their chain has no key: whoever edits it can hash it again. Ours is the ledger."""
    lines = happened(judged)
    lines[5]["payload"] |= {"decision": "pass", "ok": True}
    log = chained([*lines, judged_line(judged, "2026-01-15T10:00:20Z")])
    (judged.folder / "governance_log.jsonl").write_bytes(log)
    assert codes(judged) == [("artifact.content", "governance_log.jsonl")]


def test_a_log_that_lacks_its_last_line_is_found(judged: Capsule) -> None:
    (judged.folder / "governance_log.jsonl").write_bytes(chained(happened(judged)))
    assert codes(judged) == [("artifact.content", "governance_log.jsonl")]


def test_a_judgement_nobody_made_is_found(tmp_path: Path) -> None:
    capsule = Capsule(tmp_path / "run").story().record_all()
    (capsule.folder / "manual_judgement.json").write_bytes(plain(STANDING) + b"\n")
    assert codes(capsule) == [("artifact.content", "manual_judgement.json")]


def test_after_a_clearing_only_the_marked_history_is_left(judged: Capsule) -> None:
    said = {"reason": "wrong run", "reviewer": None}
    judged.add("governance.cleared", said, by="owner", subject=RUN)
    assert {code for code, _ in codes(judged)} == {"artifact.content"}
    cleared = {
        "ts_utc": "2026-01-15T10:00:21Z",
        "actor": None,
        "event": "manual_judgement_cleared",
        "payload": {
            "run_id": "r1",
            **said,
            "source_path": "manual_judgement.json",
            "key": judged.keys["owner"].id,
        },
    }
    log = [*happened(judged), judged_line(judged, "2026-01-15T10:00:20Z"), cleared]
    (judged.folder / "governance_log.jsonl").write_bytes(chained(log))
    (judged.folder / "manual_judgement.json").unlink()
    line = STANDING | {
        "rev": 1,
        "status": "cleared",
        "was": "pass",
        "cleared_ts_utc": "2026-01-15T10:00:21Z",
        "cleared_by": None,
        "cleared_reason": "wrong run",
    }
    text = json.dumps(line, sort_keys=True, separators=(",", ":")).encode()
    (judged.folder / "manual_judgement.jsonl").write_bytes(text + b"\n")
    assert codes(judged) == []


def test_a_log_on_record_where_no_summary_lies_is_compared_all_the_same(tmp_path: Path) -> None:
    capsule = Capsule(tmp_path / "run").story().record_all()
    capsule.record("runs/r9/governance_log.jsonl", b"{}\n", at=capsule.size)
    assert codes(capsule) == [("artifact.content", "runs/r9/governance_log.jsonl")]
    (capsule.folder / "runs/r9/governance_log.jsonl").write_bytes(b"[]\n")
    assert ("artifact.checksum", "runs/r9/governance_log.jsonl") in codes(capsule)
