"""A verdict as plain text: what was checked, what was found, whom it convinces, one last line.

All that comes from the ledger is shown with its escapes visible: a name must not
be able to clear the screen and print a verdict of its own.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from verifier.explain import explain
from verifier.findings import Finding
from verifier.runs import Replay
from verifier.text import listed, plural, shown

if TYPE_CHECKING:
    from verifier.verdict import Verdict

__all__ = ["last_line", "render"]

_OF_A_CODE = 5
_MESSAGE = 2_000
_RUNS = 20
_UNOBSERVED_NAMED = 8
_WHOM = {
    "outsider": "outsider (no key)",
    "operator": "operator (host, runner's key)",
    "key_holder": "holder of the owner's key",
}


def render(verdict: "Verdict") -> str:
    """Return the verdict as text; its last line is one plain sentence that begins with it."""
    sections = (
        _head(verdict),
        _numbered("checked", verdict.checked),
        _findings(verdict),
        _runs(verdict),
        _numbered("not checked", verdict.not_checked),
        _proves(verdict),
    )
    blocks = ["\n".join(lines) for section in sections if (lines := list(section))]
    return "\n\n".join([*blocks, last_line(verdict)]) + "\n"


def last_line(verdict: "Verdict") -> str:
    """Return the verdict as one sentence."""
    reading = verdict.reading
    given = verdict.policy.ledger_id is not None or verdict.policy.checkpoints
    word = verdict.outcome if given else f"{verdict.outcome} (unanchored)"
    if verdict.outcome == "REFUTED":
        return f"{word}: {_worst(verdict)}; do not rely on this ledger."
    if verdict.outcome == "INCOMPLETE":
        return f"{word}: nothing is refuted, but {' and '.join(verdict.open_ends)}."
    warned = f", with {plural(verdict.warnings, 'warning')}" if verdict.warnings else ""
    held = f"{_all(reading.size)} as the keys of this ledger signed them{warned}"
    return f"{word}: {held}; {_pinned(verdict)}."


def _all(size: int) -> str:
    return "the only entry is" if size == 1 else f"all {plural(size, 'entry', 'entries')} are"


def _pinned(verdict: "Verdict") -> str:
    size, pinned = verdict.reading.size, max(verdict.reading.checkpoints_held, default=0)
    if pinned >= size:
        return "your checkpoint pins every one of them"
    if pinned:
        return f"your checkpoint pins the first {pinned} of them"
    if verdict.policy.ledger_id is not None:
        return "it is the ledger that you trust, but nothing pins its end"
    return "but no id or checkpoint was given, so anyone could have made it"


def _worst(verdict: "Verdict") -> str:
    errors = [finding for finding in verdict.findings if finding.severity == "error"]
    many = plural(verdict.errors, "error")
    if not errors:  # some come by the million and are only counted
        return many
    return f"{many}, the first {errors[0].code}{_where(errors[0], ' at ')}"


def _head(verdict: "Verdict") -> Iterator[str]:
    reading, policy = verdict.reading, verdict.policy
    name = "" if reading.name is None else f' "{shown(reading.name)}"'
    yield f"ledger   {shown(verdict.path)}{name} ({reading.store})"
    yield f"id       {reading.ledger_id or 'none'}"
    yield f"size     {plural(reading.size, 'entry', 'entries')}, root {reading.root or 'none'}"
    if reading.first_time is not None:
        yield f"times    {reading.first_time} to {reading.last_time} (claimed)"
    trusted = "trusted id given" if policy.ledger_id is not None else "no trusted id"
    checkpoints = plural(len(policy.checkpoints), "checkpoint")
    yield f"policy   {'strict' if policy.strict else 'not strict'}, {trusted}, {checkpoints}"


def _numbered(title: str, sentences: tuple[str, ...]) -> Iterator[str]:
    yield title
    for number, sentence in enumerate(sentences, start=1):
        yield f"  {number:2}. {sentence}"


def _findings(verdict: "Verdict") -> Iterator[str]:
    counts = dict(verdict.counts)
    by_code: dict[str, list[Finding]] = {}
    for finding in verdict.findings:
        by_code.setdefault(finding.code, []).append(finding)
    if not counts:
        return
    yield f"found: {plural(verdict.errors, 'error')}, {plural(verdict.warnings, 'warning')}"
    for code in dict.fromkeys([*by_code, *counts]):
        yield from _group(code, by_code.get(code, []), counts[code])


def _group(code: str, findings: list[Finding], count: int) -> Iterator[str]:
    severity = findings[0].severity if findings else "error"
    text = explain(code)
    yield f"{severity}[{code}]"
    for finding in findings[:_OF_A_CODE]:
        whole = "the run directory" if code.startswith("artifact.") else "the whole ledger"
        where = _where(finding, "--> ") or f"--> {whole}"
        yield f"  {where}"
        yield f"      {shown(finding.message, _MESSAGE)}"
    more = count - min(len(findings), _OF_A_CODE)
    if more > 0:
        yield f"  … and {plural(more, 'more', 'more')}"
    yield f"   = meaning: {text.meaning}"
    yield f"   = what to do: {text.action}"


def _where(finding: Finding, lead: str) -> str:
    seq = None if finding.seq is None else f"seq {finding.seq}"
    line = None if finding.line is None else f"line {finding.line}"
    if seq is None and line is None:
        return ""
    return lead + (f"{line} ({seq})" if seq and line else seq or line or "")


def _runs(verdict: "Verdict") -> Iterator[str]:
    if not verdict.runs:
        return
    yield "runs, as the events tell them"
    for run in verdict.runs[:_RUNS]:
        yield f"  {shown(run.subject)}: {_ending(run)}; {_decisions(run)}"
    if len(verdict.runs) > _RUNS:
        yield f"  … and {len(verdict.runs) - _RUNS} more"


def _ending(run: Replay) -> str:
    closing = run.closing
    if closing is None:
        return "never closed"
    code = "" if closing.exit_code is None else f", exit code {closing.exit_code}"
    signal = "" if closing.signal is None else f", signal {shown(closing.signal)}"
    return f"closed, {closing.status or 'status unreadable'}{code}{signal}"


def _decisions(run: Replay) -> str:
    counts = run.counts
    total = counts.evaluated + counts.skip
    if not total:
        return "no gate checks"
    ends = f"{counts.passed} pass, {counts.warn} warn, {counts.fail} fail, {counts.skip} skip"
    first = "" if run.first_fail_iter is None else f", first fail at iter {run.first_fail_iter}"
    again = f"gates recomputed: {run.recount.decided} of {run.recount.checked}"
    if run.recount.anchors:
        again += f", {plural(run.recount.anchors, 'declared change')}"
    if run.recount.unobserved:
        names = listed([shown(name) for name in run.recount.unobserved], _UNOBSERVED_NAMED)
        again += f"; never observed, so not gated: {names}"
    final = f"final decision {run.final_decision}{first}"
    return f"{plural(total, 'gate check')}: {ends}; {final}; {again}"


def _proves(verdict: "Verdict") -> Iterator[str]:
    yield "proven unaltered, against whom"
    for whom, proof in verdict.proves:
        yield f"  {_WHOM[whom]}: {proof.answer}; {proof.reason}"
