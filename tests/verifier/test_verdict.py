"""verifier/verdict.py, scope.py, proves.py, render.py, explain.py: what is said, and how."""

import dataclasses
import json
from pathlib import Path

import pytest

from tests.verifier.capsule import Capsule
from verifier.core import KeyState, Reading
from verifier.explain import CODES, explain
from verifier.findings import CAP, Findings
from verifier.policy import Policy
from verifier.proves import proves
from verifier.render import last_line, render
from verifier.run import verify_path
from verifier.scope import FileChecks
from verifier.story import Story
from verifier.text import listed, plural, shown
from verifier.verdict import Verdict, judge

FREE = Policy(strict=False, ledger_id=None, checkpoints=())
READING = Reading(
    ledger_id="a" * 64,
    name="demo",
    size=12,
    root="b" * 64,
    head="c" * 64,
    torn_tail=False,
    checkpoints_held=(),
    anchored=False,
    signed=12,
    unvouched=(),
    keys=(KeyState("d" * 64, "me", ("owner",), "active"),),
    first_time="2026-01-15T10:00:00.000000Z",
    last_time="2026-01-15T10:00:11.000000Z",
    store="jsonl",
)

SECTION_9 = (
    "line.framing",
    "entry.version",
    "entry.json",
    "entry.members",
    "entry.hash",
    "chain.seq",
    "chain.prev",
    "chain.ledger",
    "id.duplicate",
    "genesis.invalid",
    "key.unknown",
    "key.revoked",
    "key.role",
    "key.weak",
    "key.compromised",
    "sig.invalid",
    "sig.presence",
    "batch.keys",
    "batch.long",
    "batch.torn",
    "time.form",
    "time.backward",
    "anchor.id",
    "anchor.checkpoint",
    "anchor.missing",
    "event.schema",
    "event.order",
    "gate.plan",
    "gate.decision",
    "gate.missing",
    "artifact.missing",
    "artifact.extra",
    "artifact.checksum",
    "artifact.size",
    "artifact.count",
    "artifact.content",
    "blob.missing",
    "blob.checksum",
    "store.index",
)


def verdict_of(
    findings: Findings | None = None,
    policy: Policy = FREE,
    *,
    reading: Reading = READING,
    files: FileChecks | None = None,
) -> Verdict:
    found = Findings() if findings is None else findings
    story = Story(found)
    checks = FileChecks() if files is None else files
    return judge("p.jsonl", policy, reading=reading, findings=found, story=story, files=checks)


def finding(code: str, seq: int | None = 3, line: int | None = 4) -> Findings:
    found = Findings()
    found.add(code, seq, line, "found this")
    return found


# -- the three outcomes


@pytest.mark.parametrize("code", SECTION_9)
def test_every_error_refutes_except_what_is_merely_missing(code: str) -> None:
    found = verdict_of(finding(code))
    missing = code in {"batch.torn", "anchor.missing"}
    assert (found.outcome, found.exit_code) == (("INCOMPLETE", 5) if missing else ("REFUTED", 2))
    assert last_line(found).startswith(found.outcome)


def test_no_finding_is_verified() -> None:
    found = verdict_of()
    assert (found.outcome, found.exit_code, found.errors, found.warnings) == ("VERIFIED", 0, 0, 0)


def test_a_warning_refutes_nothing_and_is_said() -> None:
    findings = Findings()
    findings.add("time.backward", 3, 4, "earlier", "warning")
    found = verdict_of(findings)
    assert (found.outcome, found.warnings) == ("VERIFIED", 1)
    assert "with 1 warning;" in last_line(found)
    assert "warning[time.backward]" in render(found)
    assert "times: not as it should be (time.backward 1)" in found.checked


def test_a_torn_last_line_is_incomplete_and_a_broken_line_before_it_is_not() -> None:
    torn = dataclasses.replace(READING, torn_tail=True)
    assert verdict_of(finding("line.framing", 11, 12), reading=torn).outcome == "INCOMPLETE"
    assert verdict_of(finding("line.framing", 11, 12)).outcome == "REFUTED"
    assert verdict_of(finding("line.framing", 5, 6), reading=torn).outcome == "REFUTED"
    both = finding("line.framing", 11, 12)
    both.add("line.framing", 5, 6, "not framed")
    assert verdict_of(both, reading=torn).outcome == "REFUTED"
    both = finding("line.framing", 11, 12)
    both.add("batch.torn", 10, 11, "torn")
    both.add("anchor.missing", None, None, "no anchor")
    found = verdict_of(both, reading=torn)
    assert (found.outcome, len(found.open_ends)) == ("INCOMPLETE", 3)
    assert last_line(found) == (
        "INCOMPLETE (unanchored): nothing is refuted, but it ends in entries that no signature "
        "vouches for and its last line was not written to the end and neither a trusted id nor a "
        "checkpoint was given."
    )


def test_findings_that_were_only_counted_refute_too() -> None:
    findings = finding("batch.torn")
    findings.count("id.duplicate", 7)
    found = verdict_of(findings)
    assert (found.outcome, found.errors) == ("REFUTED", 8)
    assert "error[id.duplicate]\n  … and 7 more" in render(found)


def test_a_refutation_by_counted_findings_alone_has_a_last_line() -> None:
    findings = Findings()
    findings.count("line.framing", 3)
    expected = "REFUTED (unanchored): 3 errors; do not rely on this ledger."
    assert last_line(verdict_of(findings)) == expected


def test_a_run_that_never_closed_is_incomplete(tmp_path: Path) -> None:
    capsule = Capsule(tmp_path / "run")
    capsule.opened()
    found = verify_path(capsule.path, FREE)
    assert (found.outcome, found.exit_code, found.findings) == ("INCOMPLETE", 5, ())
    assert last_line(found).endswith("but a run was never closed.")
    assert "run/r1: never closed; no gate checks" in found.to_text()
    capsule.opened(subject="run/r2")
    assert last_line(verify_path(capsule.path, FREE)).endswith("but 2 runs never closed.")
    capsule.add("metric.observed", {}, by="runner")
    assert verify_path(capsule.path, FREE).outcome == "REFUTED"


# -- against whom


def answers(policy: Policy, reading: Reading, *, refuted: bool = False) -> list[str]:
    return [proof.answer for _, proof in proves(policy, reading, refuted=refuted)]


def test_what_is_proven_depends_on_what_is_pinned() -> None:
    by_id = dataclasses.replace(FREE, ledger_id="a" * 64)
    assert answers(FREE, READING) == ["no", "no", "no"]
    assert answers(by_id, READING) == ["partly", "partly", "no"]
    part = dataclasses.replace(READING, checkpoints_held=(1, 7))
    assert answers(FREE, part) == ["partly", "partly", "partly"]
    whole = dataclasses.replace(READING, checkpoints_held=(12,))
    assert answers(by_id, whole) == ["yes", "yes", "partly"]
    assert answers(by_id, whole, refuted=True) == ["no", "no", "no"]


def test_the_reasons_name_the_number_of_pinned_entries() -> None:
    one = dataclasses.replace(READING, checkpoints_held=(1,))
    (_, outsider), _, (_, owner) = proves(FREE, one, refuted=False)
    assert "the first entry unnoticed" in outsider.reason
    assert "11 later entries" in outsider.reason
    assert "not even the owner" in owner.reason
    seven = dataclasses.replace(READING, checkpoints_held=(7,))
    assert "the first 7 entries unnoticed" in proves(FREE, seven, refuted=False)[1][1].reason


@pytest.mark.parametrize(
    ("policy", "held", "end"),
    [
        (FREE, (), "but no id or checkpoint was given, so anyone could have made it."),
        (
            Policy(strict=False, ledger_id="a" * 64, checkpoints=()),
            (),
            "it is the ledger that you trust, but nothing pins its end.",
        ),
        (
            Policy(strict=False, ledger_id=None, checkpoints=(b"note",)),
            (7,),
            "your checkpoint pins the first 7 of them.",
        ),
        (
            Policy(strict=False, ledger_id=None, checkpoints=(b"note",)),
            (3, 12),
            "your checkpoint pins every one of them.",
        ),
    ],
)
def test_the_last_line_says_what_pins_the_ledger(
    policy: Policy, held: tuple[int, ...], end: str
) -> None:
    anchored = policy is not FREE
    reading = dataclasses.replace(READING, checkpoints_held=held, anchored=anchored)
    found = verdict_of(policy=policy, reading=reading)
    line = last_line(found)
    assert line.endswith(end)
    assert ("unanchored" in line) == (policy is FREE)
    assert render(found).endswith(line + "\n")
    assert any(sentence.startswith("anchor:") for sentence in found.checked) == anchored
    assert any(sentence.startswith("origin:") for sentence in found.not_checked) != anchored
    assert any(sentence.startswith("end:") for sentence in found.not_checked) == (12 not in held)


def test_a_single_entry_is_spoken_of_in_the_singular() -> None:
    assert "the only entry is as" in last_line(
        verdict_of(reading=dataclasses.replace(READING, size=1))
    )


# -- what was checked


@pytest.mark.parametrize("code", SECTION_9)
def test_no_sentence_claims_success_of_a_check_that_found_something(code: str) -> None:
    """Each code belongs to a check that the verdict names, and turns its sentence round."""
    reading = dataclasses.replace(READING, store="sqlite", checkpoints_held=(12,), anchored=True)
    if code.startswith("gate."):
        return  # a sentence that is there only where gate checks are; see test_gates.py
    bare = verdict_of(reading=reading)
    found = verdict_of(finding(code), reading=reading)
    turned = [new for old, new in zip(bare.checked, found.checked, strict=True) if old != new]
    if code in {"event.order", "blob.missing", "blob.checksum"} or code.startswith("artifact."):
        return  # those checks run only where there is a story and a directory; see their tests
    assert turned
    assert all(f"not as it should be ({code} 1)" in sentence for sentence in turned)


def test_truth_is_never_claimed() -> None:
    found = verdict_of()
    assert found.not_checked[0].startswith("truth: ")
    assert "self-reported" in found.not_checked[0]


def test_unvouched_entries_and_capped_findings_are_said() -> None:
    findings = Findings()
    for seq in range(CAP + 5):
        findings.add("entry.hash", seq, seq + 1, "differs")
    reading = dataclasses.replace(READING, unvouched=(3, 4), size=CAP + 5)
    found = verdict_of(findings, reading=reading)
    said = "\n".join(found.not_checked)
    assert "unvouched: 2 entries without a valid signature" in said
    assert "places: entry.hash was found 1005 times, and not all are listed" in said
    assert len(found.findings) == CAP
    assert "… and 1 000 more" in render(found)
    assert any("all entries but 2 are vouched for" in line for line in found.checked)


def test_free_and_unknown_payloads_are_said(tmp_path: Path) -> None:
    capsule = Capsule(tmp_path / "run")
    capsule.add("x.note", {})
    capsule.add("mystery.happened", {})
    found = verify_path(capsule.path, FREE)
    said = "\n".join(found.not_checked)
    assert "free payloads: 1 entry of type x.*" in said
    assert "unknown payloads: 1 of types without a published schema (mystery.happened)" in said
    assert "artifacts: the files of a run; only the ledger was given" in said
    assert "blobs:" not in said
    bare = Capsule(tmp_path / "bare")
    assert "payloads" not in "\n".join(verify_path(bare.path, FREE).not_checked)


# -- the explanations


def test_every_code_of_the_format_is_explained() -> None:
    assert sorted(CODES) == sorted(SECTION_9)
    for text in CODES.values():
        assert text.meaning.endswith(".")
        assert text.action.endswith(".")
    assert explain("new.code").meaning == "This code is not known here."


# -- text


def test_the_head_names_what_was_verified_and_under_what_policy() -> None:
    trusting = Policy(strict=True, ledger_id="a" * 64, checkpoints=(b"note",))
    assert render(verdict_of(policy=trusting)).splitlines()[:5] == [
        'ledger   p.jsonl "demo" (jsonl)',
        f"id       {'a' * 64}",
        f"size     12 entries, root {'b' * 64}",
        "times    2026-01-15T10:00:00.000000Z to 2026-01-15T10:00:11.000000Z (claimed)",
        "policy   strict, trusted id given, 1 checkpoint",
    ]
    nameless = dataclasses.replace(
        READING, name=None, ledger_id=None, root="", first_time=None, last_time=None, size=0
    )
    assert render(verdict_of(reading=nameless)).splitlines()[:5] == [
        "ledger   p.jsonl (jsonl)",
        "id       none",
        "size     0 entries, root none",
        "policy   not strict, no trusted id, 0 checkpoints",
        "",
    ]


def test_findings_are_grouped_and_capped_on_screen() -> None:
    findings = Findings()
    for seq in range(8):
        findings.add("entry.hash", seq, seq + 1, f"number {seq}")
    findings.add("anchor.id", None, None, "another ledger")
    findings.add("artifact.extra", None, None, "not on record: a")
    findings.add("chain.seq", 3, None, "only a seq")
    text = render(verdict_of(findings))
    assert text.count("error[entry.hash]") == 1
    assert "number 4" in text
    assert "number 5" not in text
    assert "  … and 3 more\n   = meaning: " in text
    assert "--> the whole ledger\n      another ledger" in text
    assert "--> the run directory\n" in text
    assert "--> seq 3\n" in text
    assert f"   = what to do: {explain('entry.hash').action}\n" in text
    assert "\n   1. framing: 12 entries" in text
    assert "and 0 more" not in text
    assert "--> line 1 (seq 0)\n      number 0" in text
    assert "found: 11 errors, 0 warnings" in text


def test_nothing_from_the_ledger_can_act_on_the_terminal(tmp_path: Path) -> None:
    hostile = "\x1b[2J\u202eDEIFIREV\u200b\r\n\x9b31m\u2028"
    # JSON strings of data may hold what the header may not.
    capsule = Capsule(tmp_path / "run\x1b[31m", name=hostile)
    capsule.opened(subject="run/\u202e\u2066x")
    closing = {"status": "success", "exit_code": None, "signal": hostile, "wall_s": 1}
    capsule.add("run.closed", closing, subject="run/\u202e\u2066x")
    capsule.add("gate.checked", {hostile: 1}, by="runner")
    capsule.claim(hostile, b"")
    found = verify_path(capsule.folder, FREE)
    text = found.to_text()
    acting = [c for c in text if c != "\n" and (not c.isprintable())]
    assert acting == []
    assert "\\x1b[2J\\u202eDEIFIREV\\u200b\\x0d\\x0a\\x9b31m\\u2028" in text
    assert json.dumps(found.to_json()).isascii()


def test_a_flood_of_runs_does_not_flood_the_screen(tmp_path: Path) -> None:
    capsule = Capsule(tmp_path / "run")
    for number in range(25):
        capsule.opened(subject=f"run/{number}")
    found = verify_path(capsule.path, FREE)
    assert "… and 5 more" in found.to_text()
    assert len(found.to_json()["runs"]) == 25  # type: ignore[arg-type]


def test_the_text_of_a_run(tmp_path: Path) -> None:
    capsule = Capsule(tmp_path / "run").story()
    text = verify_path(capsule.path, FREE).to_text()
    assert (
        "run/r1: closed, success, exit code 0; 5 gate checks: 1 pass, 1 warn, 1 fail, 2 skip; "
        "final decision fail, first fail at iter 50; gates recomputed: 5 of 5"
    ) in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é ☃ 😀", "plain é ☃ 😀"),
        ("a\x00\x7f\x85b", "a\\x00\\x7f\\x85b"),
        ("\ufeff\U000e0041\ud800", "\\ufeff\\U000e0041\\ud800"),
        ("x" * 200, "x" * 120 + "…"),
        ("x" * 120, "x" * 120),
    ],
)
def test_shown(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_small_words() -> None:
    assert plural(1, "entry", "entries") == "1 entry"
    assert plural(0, "key") == "0 keys"
    assert plural(1234567, "key") == "1 234 567 keys"
    assert listed(["a", "b"], 2) == "a; b"
    assert listed(["a", "b", "c"], 1) == "a; … and 2 more"


# -- JSON


def test_the_json_has_exactly_the_agreed_members(tmp_path: Path) -> None:
    capsule = Capsule(tmp_path / "run").story().record_all()
    (capsule.folder / "report.md").write_bytes(b"")
    policy = Policy(strict=True, ledger_id=capsule.id, checkpoints=())
    said = verify_path(capsule.folder, policy).to_json()
    assert list(said) == [
        "schema", "verdict", "exit_code", "anchored", "ledger", "name", "size", "root", "head",
        "store", "strict", "findings", "counts", "checked", "not_checked", "proves", "runs", "keys",
    ]  # fmt: skip
    assert said["schema"] == "evidence-ledger/verdict/v1"
    assert (said["verdict"], said["exit_code"], said["strict"]) == ("REFUTED", 2, True)
    assert (said["anchored"], said["ledger"], said["name"]) == (True, capsule.id, "demo")
    assert (said["size"], said["head"], said["store"]) == (capsule.size, capsule.prev, "jsonl")
    assert said["counts"] == {"artifact.size": 1}
    assert said["findings"] == [
        {
            "code": "artifact.size",
            "severity": "error",
            "seq": 18,
            "line": 19,
            "message": "report.md: expected 9 bytes, found 0",
        }
    ]
    assert said["runs"] == [
        {
            "subject": "run/r1",
            "run_id": "r1",
            "counts": {"evaluated": 3, "skip": 2, "pass": 1, "warn": 1, "fail": 1},
            "final_decision": "fail",
            "first_fail_iter": 50,
            "gate_checks": 5,
            "gates_recomputed": 5,
            "gate_anchors": 0,
            "gate_unobserved": [],
            "closed": True,
            "status": "success",
            "exit_code": 0,
            "signal": None,
            "started": capsule.times["run.opened"],
            "ended": capsule.times["run.closed"],
        }
    ]
    keys = said["keys"]
    assert isinstance(keys, list)
    assert sorted(key["name"] for key in keys) == ["owner", "runner", "wrapper"]
    assert set(keys[0]) == {"id", "name", "roles", "state"}
    assert json.loads(json.dumps(said)) == said
