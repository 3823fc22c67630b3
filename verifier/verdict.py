"""From what was read to a verdict: VERIFIED, REFUTED or INCOMPLETE.

The verdict lists what was checked and what was not, and against whom it proves
anything: an outsider, the operator of the host, the holder of the owner's key.
It never says *good* of what nobody looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from verifier.core import KeyState, Reading
from verifier.findings import Finding, Findings
from verifier.policy import Policy
from verifier.proves import Proof, proves
from verifier.runs import Replay
from verifier.scope import FileChecks, checked, not_checked
from verifier.story import Story

__all__ = ["EXIT_CODES", "Outcome", "Verdict", "judge"]

Outcome = Literal["VERIFIED", "REFUTED", "INCOMPLETE"]

EXIT_CODES: dict[Outcome, int] = {"VERIFIED": 0, "REFUTED": 2, "INCOMPLETE": 5}

SCHEMA = "evidence-ledger/verdict/v1"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier says of a ledger."""

    outcome: Outcome
    path: str
    policy: Policy
    reading: Reading
    findings: tuple[Finding, ...]
    counts: tuple[tuple[str, int], ...]
    errors: int
    warnings: int
    checked: tuple[str, ...]
    not_checked: tuple[str, ...]
    proves: tuple[tuple[str, Proof], ...]
    runs: tuple[Replay, ...]
    open_ends: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 verified, 2 refuted, 5 incomplete."""
        return EXIT_CODES[self.outcome]

    def to_json(self) -> dict[str, object]:
        """Return the verdict as JSON values, in which every string can be encoded."""
        reading = self.reading
        return {
            "schema": SCHEMA,
            "verdict": self.outcome,
            "exit_code": self.exit_code,
            "anchored": reading.anchored,
            "ledger": reading.ledger_id,
            "name": reading.name,
            "size": reading.size,
            "root": reading.root,
            "head": reading.head,
            "store": reading.store,
            "strict": self.policy.strict,
            "findings": [_finding_json(finding) for finding in self.findings],
            "counts": dict(self.counts),
            "checked": list(self.checked),
            "not_checked": list(self.not_checked),
            "proves": {whom: proof.to_json() for whom, proof in self.proves},
            "runs": [_run_json(run) for run in self.runs],
            "keys": [_key_json(key) for key in reading.keys],
        }

    def to_text(self) -> str:
        """Return the verdict for people; see ``verifier.render``."""
        from verifier.render import render  # noqa: PLC0415 - render reads Verdict, not the reverse

        return render(self)


def judge(
    path: str,
    policy: Policy,
    *,
    reading: Reading,
    findings: Findings,
    story: Story,
    files: FileChecks,
) -> Verdict:
    """Weigh what was found into a verdict."""
    items = findings.items()
    total = sum(findings.counts().values())
    replays = story.replays()
    open_ends = _open_ends(items, reading, replays)
    if files.artifacts is not None and files.artifacts.forgotten:
        # The wrapper died between run.closed and its first record; a cut tail looks the same.
        open_ends = (*open_ends, "no file of its run was put on record")
    outcome: Outcome = "VERIFIED"
    if findings.errors > _excusable(items, reading):
        outcome = "REFUTED"
    elif open_ends:
        outcome = "INCOMPLETE"
    return Verdict(
        outcome=outcome,
        path=path,
        policy=policy,
        reading=reading,
        findings=items,
        counts=tuple(findings.counts().items()),
        errors=findings.errors,
        warnings=total - findings.errors,
        checked=checked(findings, reading, story=story, files=files),
        not_checked=not_checked(findings, reading, policy=policy, story=story, files=files),
        proves=proves(policy, reading, refuted=outcome == "REFUTED"),
        runs=replays,
        open_ends=open_ends,
    )


def _excusable(items: Sequence[Finding], reading: Reading) -> int:
    """Count the errors by which something is missing, not wrong."""
    return sum(_is_open_end(finding, reading) for finding in items)


def _is_open_end(finding: Finding, reading: Reading) -> bool:
    if finding.code == "line.framing":  # of several, only the one at the end can be a torn tail
        return reading.torn_tail and finding.seq is not None and finding.seq >= reading.size - 1
    return finding.code in {"batch.torn", "anchor.missing"}


def _open_ends(
    items: Sequence[Finding], reading: Reading, replays: Sequence[Replay]
) -> tuple[str, ...]:
    words = {
        "batch.torn": "it ends in entries that no signature vouches for",
        "anchor.missing": "neither a trusted id nor a checkpoint was given",
        "line.framing": "its last line was not written to the end",
    }
    ends = [words[finding.code] for finding in items if _is_open_end(finding, reading)]
    unclosed = sum(run.opened is not None and run.closing is None for run in replays)
    if unclosed:
        ends.append("a run was never closed" if unclosed == 1 else f"{unclosed} runs never closed")
    return tuple(ends)


def _finding_json(finding: Finding) -> dict[str, object]:
    # A file name that is not UTF-8 reaches Python as a lone surrogate, which JSON cannot hold.
    message = finding.message.encode("utf-8", "backslashreplace").decode()
    return {
        "code": finding.code,
        "severity": finding.severity,
        "seq": finding.seq,
        "line": finding.line,
        "message": message,
    }


def _run_json(run: Replay) -> dict[str, object]:
    closing = run.closing
    return {
        "subject": run.subject,
        "run_id": run.run_id,
        "counts": run.counts.to_json(),
        "final_decision": run.final_decision,
        "first_fail_iter": run.first_fail_iter,
        "gate_checks": run.recount.checked,
        "gates_recomputed": run.recount.decided,
        "gate_anchors": run.recount.anchors,
        "gate_unobserved": list(run.recount.unobserved),
        "closed": closing is not None,
        "status": None if closing is None else closing.status,
        "exit_code": None if closing is None else closing.exit_code,
        "signal": None if closing is None else closing.signal,
        "started": run.opened,
        "ended": None if closing is None else closing.time,
    }


def _key_json(key: KeyState) -> dict[str, object]:
    return {"id": key.id, "name": key.name, "roles": list(key.roles), "state": key.state}
