"""Validate a capsule: the contract's checks, in the contract's order.

The first check that does not hold decides; what was only worth a warning until then is
returned with it. Nothing is written, and no ledger is looked at: that is
``verifier.run``'s part.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from verifier.contract import distributed
from verifier.contract.binding import Binding, demands
from verifier.contract.capsule import (
    CONFIG,
    JUDGEMENT,
    LOG,
    MARKER,
    RESULTS,
    SIGNATURE,
    SUMMARY,
    Capsule,
    NotJsonError,
    parse,
    read_capsule,
    window_hash,
)
from verifier.contract.documents import (
    Header,
    Results,
    read_judgement,
    read_results,
    read_summary,
)
from verifier.contract.governance import read_log
from verifier.contract.state import FULL, InvalidError, Options, State, Validation
from verifier.contract.values import SchemaError

__all__ = ["FULL", "Options", "Validation", "validate", "validate_path"]

_LONGEST = 2000
_MARKER = re.compile(rb"[0-9]{1,18}\n")


def validate_path(outdir: Path, options: Options | None = None) -> Validation:
    """Read and validate the capsule in *outdir*."""
    return validate(read_capsule(outdir), options)


def validate(capsule: Capsule, options: Options | None = None) -> Validation:
    """Validate a capsule."""
    state = State(capsule, options or Options())
    failure = None
    try:
        for check in CHECKS:
            check(state)
    except InvalidError as error:
        failure = str(error)
    return Validation(
        ok=failure is None,
        message=_clipped(failure or "OK"),
        window_hash=state.window_hash,
        partial=state.partial,
        warnings=tuple(map(_clipped, state.warnings)),
        errors=tuple(map(_clipped, state.errors)),
        capsule=capsule,
        signature=state.signature,
        results=state.results,
        summary=state.summary,
        log=state.log,
        config=state.config,
    )


def _1_required_files(state: State) -> None:
    required = [SIGNATURE, RESULTS, SUMMARY]
    if state.options.allow_partial:
        required.remove(RESULTS)
    missing = [name for name in required if not state.capsule.has(name)]
    if missing:
        raise InvalidError(f"Missing required artifacts: {', '.join(missing)}")


def _2_readable(state: State) -> None:
    for name in (SIGNATURE, RESULTS, SUMMARY, JUDGEMENT):
        if name in state.capsule.unreadable:
            why = state.capsule.unreadable[name]
            raise InvalidError(f"Failed to read {name}: {why}")
    try:
        signature = parse(state.capsule.files[SIGNATURE])
    except NotJsonError as error:
        raise InvalidError(f"JSON parse error in {SIGNATURE}: {error}") from error
    if not isinstance(signature, dict):
        kind = type(signature).__name__
        raise InvalidError(f"{SIGNATURE} must be a JSON object (dict), got {kind}")
    state.signature = signature
    # Not checked by the contract, and read here once: what is no object says nothing.
    state.config = _config(state.capsule)


def _3_schemas(state: State) -> None:
    files = state.capsule.files
    try:
        if RESULTS in files:
            state.results = read_results(_parsed(files[RESULTS]))
        state.summary = read_summary(_parsed(files[SUMMARY]))
        if JUDGEMENT in files:
            state.judgement = read_judgement(_parsed(files[JUDGEMENT]))
    except SchemaError as error:
        raise InvalidError(f"Schema validation failed: {error}") from error


def _4_window_hash(state: State) -> None:
    try:
        state.window_hash = window_hash(state.signature)
    except ValueError as error:
        state.errors.append(str(error))
        raise InvalidError(str(error)) from error


def _5_reference_path(state: State) -> None:
    for name, header in _headers(state):
        if header.signature_path != SIGNATURE:
            said = f"{header.signature_path!r} != {SIGNATURE!r}"
            raise InvalidError(f"window_signature_ref.path mismatch in {name}: {said}")


def _6_reference_hash(state: State) -> None:
    for name, header in _headers(state):
        if header.signature_hash != state.window_hash:
            said = f"{header.signature_hash} != {state.window_hash}"
            raise InvalidError(f"window_signature_ref.hash mismatch in {name}: {said}")


def _7_judged_run(state: State) -> None:
    if state.judgement is None:
        return
    beside = "summary" if state.results is None else "results"
    run_id = (state.results or state.told).header.run_id
    if state.judgement.run_id != run_id:
        said = f"manual_judgement={state.judgement.run_id!r} {beside}={run_id!r}"
        raise InvalidError(f"run_id mismatch: {said}")


def _9_identity(state: State) -> None:
    """Results and summary must be of one run; a partial capsule may only be warned of."""
    if state.results is None:
        return
    one, other = state.told.header, state.results.header
    compared = {
        "schema_version": (one.schema_version, other.schema_version),
        "run_id": (one.run_id, other.run_id),
        "window_signature_ref.hash": (one.signature_hash, other.signature_hash),
        "window_signature_ref.path": (one.signature_path, other.signature_path),
        "profile.gate_preset": (one.gate_preset, other.gate_preset),
    }
    found = [
        f"ARTIFACT_IDENTITY_MISMATCH field={name} expected={expected!r} got={got!r}"
        for name, (expected, got) in compared.items()
        if expected != got
    ]
    if not found:
        return
    if state.options.allow_partial and not state.options.strict_identity:
        state.warnings += [f"WARNING:{said}" for said in found]
        state.partial = True
        return
    state.errors += [f"ERROR:{said}" for said in found]
    raise InvalidError(f"ERROR:{found[0]}")


def _10_full_means_full(state: State) -> None:
    if state.results is not None and state.told.partial:
        said = "results.json is there, but results_summary.json has partial=true"
        raise state.token(f"FULL_CAPSULE_MARKED_PARTIAL {said}")


def _11_partial_claims_nothing(state: State) -> None:
    """Counts of 0 leave no decision but skip and no first fail: check 3 has seen to that."""
    if state.results is not None:
        return
    summary = state.told
    if not summary.partial:
        raise InvalidError(
            "results.json missing but results_summary.json is not marked partial=true"
        )
    state.partial = True
    counts = summary.counts.as_dict()
    if any(counts.values()):
        said = f"requires neutral summary counts: counts={counts}"
        raise InvalidError(f"results.json missing with partial=true {said}")


def _12_counts(state: State) -> None:
    if state.results is None:
        return
    gates, summary = state.results.gates, state.told
    decisions = [gate.decision for gate in gates]
    derived = {"evaluated": len(gates) - decisions.count("skip")}
    derived |= {word: decisions.count(word) for word in ("skip", "pass", "warn", "fail")}
    counts = summary.counts.as_dict()
    if counts != derived:
        said = f"summary={counts} results_derived={derived}"
        raise InvalidError(f"summary counts mismatch results gates: {said}")
    first = min((gate.iter for gate in gates if gate.decision == "fail"), default=None)
    if summary.first_fail_iter != first:
        said = f"summary={summary.first_fail_iter!r} results_derived={first!r}"
        raise InvalidError(f"first_fail_iter mismatch between summary and results gates: {said}")


def _13_marker(state: State) -> None:
    """The marker file is there exactly when a check failed, at iteration 0 too."""
    expected = state.told.first_fail_iter
    if expected is None:
        if state.capsule.has(MARKER):
            raise InvalidError(f"counts.fail == 0 but {MARKER} must be absent")
        return
    if not state.capsule.has(MARKER):
        raise InvalidError(f"counts.fail > 0 but {MARKER} is missing")
    if MARKER in state.capsule.unreadable:
        raise InvalidError(f"Failed reading {MARKER}: {state.capsule.unreadable[MARKER]}")
    content = state.capsule.files[MARKER]
    if not _MARKER.fullmatch(content):
        raise InvalidError(f"{MARKER} must contain a non-negative integer with trailing newline")
    if int(content) != expected:
        said = f"marker={int(content)} summary.first_fail_iter={expected!r}"
        raise InvalidError(f"{MARKER} mismatch: {said}")


def _14_governance(state: State) -> None:
    capsule, options = state.capsule, state.options
    if not capsule.has(LOG):
        if state.results is None:
            return
        if options.require_governance:
            raise InvalidError(f"Missing {LOG} for {RESULTS}")
        state.warnings.append(f"WARNING:GOVERNANCE_LOG_MISSING {LOG} not present")
        return
    errors = _read_governance(state)
    if state.results is None:
        return
    if errors:
        if options.strict_governance:
            state.errors += errors
            raise InvalidError(f"{LOG} invalid")
        state.warnings.append(f"WARNING:GOVERNANCE_LOG_INVALID {LOG} invalid")
        return
    _bind(state, state.results)


def _read_governance(state: State) -> tuple[str, ...]:
    """Read the log, and return why it is not valid."""
    if LOG in state.capsule.unreadable:
        why = state.capsule.unreadable[LOG]
        return (f"WARNING:GOVERNANCE_LOG_INVALID unreadable={why}",)
    state.log = read_log(state.capsule.files[LOG])
    if state.results is not None:
        state.warnings += state.log.warnings
    return state.log.errors(allow_legacy=state.options.allow_legacy_governance)


def _bind(state: State, results: Results) -> None:
    options = state.options
    binding = Binding(
        capsule=state.capsule,
        results=results,
        window_hash=state.window_hash or "",
        config=state.config or {},
        strict=options.strict_identity and options.require_governance,
        attested=options.attested,
    )
    for unmet in demands(state.log, binding):
        if options.strict_governance and not unmet.warning_only:
            raise state.token(unmet.token, unmet.message)
        state.warnings.append(f"WARNING:{unmet.token}")


def _15_distributed(state: State) -> None:
    block = distributed.metadata(state.log)
    fault = distributed.fault(block)
    if fault is not None:
        raise state.token(fault)
    found = distributed.detected(block)
    if found is not None:
        state.warnings.append(f"WARNING:DISTRIBUTED_EXECUTION_DETECTED {found}")


CHECKS: tuple[Callable[[State], None], ...] = (
    _1_required_files,
    _2_readable,
    _3_schemas,
    _4_window_hash,
    _5_reference_path,
    _6_reference_hash,
    _7_judged_run,
    # 8: the versions are known. Check 3 has seen to that: there is only one.
    _9_identity,
    _10_full_means_full,
    _11_partial_claims_nothing,
    _12_counts,
    _13_marker,
    _14_governance,
    _15_distributed,
)


def _clipped(text: str) -> str:
    """Cut what others wrote down to a screen."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _headers(state: State) -> list[tuple[str, Header]]:
    found = [] if state.results is None else [(RESULTS, state.results.header)]
    return [*found, (SUMMARY, state.told.header)]


def _parsed(data: bytes) -> Any:
    try:
        return parse(data)
    except NotJsonError as error:
        raise SchemaError(f"Invalid JSON: {error}") from error


def _config(capsule: Capsule) -> dict[str, Any] | None:
    try:
        config = parse(capsule.files[CONFIG]) if CONFIG in capsule.files else None
    except NotJsonError:
        return None
    return config if isinstance(config, dict) else None
