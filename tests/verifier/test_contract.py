"""Every check of the run contract, broken once: what is said, and that it was said for that."""

import os
from dataclasses import replace
from pathlib import Path

import contracts
import pytest
from contract_breaks import (
    FREE,
    GOVERNED,
    IDENTITY,
    PARTIAL,
    STRICT,
    Case,
    both,
    gone,
    into,
    logged,
    results,
    spread,
    together,
    unlogged,
    without,
)
from contract_cases import CASES
from contracts import Capsule

from verifier.contract import FULL, Options, Validation, validate_path
from verifier.contract.capsule import window_hash


def validated(capsule: Capsule, outdir: Path, options: Options) -> Validation:
    return validate_path(capsule.write(outdir), options)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_broken_capsule_is_refused_for_what_is_broken(case: Case, tmp_path: Path) -> None:
    whole = validated(case.base(), tmp_path / "whole", case.options)
    assert whole.ok, whole.message
    capsule = case.base()
    case.change(capsule)
    found = validated(capsule, tmp_path / "broken", case.options)
    assert not found.ok
    assert found.message.startswith(case.message), found.message
    assert any(error.startswith(case.error) for error in found.errors) or not case.error


BAD_LINES = {
    "HASH_MISMATCH": into("log.1.entry_hash", "0" * 64),
    "PREV_HASH_MISMATCH": into("log.1.prev_hash", "0" * 64),
    "REV_NONMONOTONE": into("log.1.rev", 7),
    "ENTRY_HASH_MISSING": into("log.1.entry_hash", None),
    "INVALID line=2 schema_version=2": into("log.1.schema_version", 2),
    "INVALID line=2 rev_missing_or_invalid": into("log.1.rev", "x"),
    "INVALID line=2 event_invalid=made_up": into("log.1.event", "made_up"),
    "INVALID line=2 payload_missing_or_invalid": into("log.1.payload", []),
    "INVALID line=2 ts_utc_missing_or_invalid": into("log.1.ts_utc", 5),
    "INVALID line=2 ts_utc_invalid=": into("log.1.ts_utc", "soon"),
    "INVALID line=2 actor_invalid": into("log.1.actor", 5),
    "INVALID line=2 prev_hash_invalid": into("log.1.prev_hash", 5),
    "INVALID line=2 entry_hash_invalid": into("log.1.entry_hash", 5),
    "INVALID line=2 payload_required_fields event=gate_decision_v1 missing=audit invalid=-": (
        without("log.1.payload.audit")
    ),
    "INVALID line=2 payload_required_fields event=gate_decision_v1 missing=- invalid=audit.per": (
        without("log.1.payload.audit.per_metric_tv")
    ),
    "INVALID line=2 payload_required_fields event=gate_decision_v1 missing=- invalid=audit.eval": (
        into("log.1.payload.decision", "pass")
    ),
    "INVALID line=2 payload_required_fields event=gate_decision_v1 missing=- invalid=iter": (
        into("log.1.payload.iter", value=True)
    ),
    "INVALID line=1 payload_required_fields event=run_started_v1 missing=- invalid=distributed": (
        into("log.0.payload.distributed", {"world_size_observed": 0})
    ),
    "INVALID line=2 payload_required_fields event=gate_decision_v1 missing=- invalid=decision": (
        into("log.1.payload.decision", "maybe")
    ),
    "INVALID line=2 payload_required_fields event=gate_decision_v1 missing=- invalid=ok": (
        into("log.1.payload.ok", None)
    ),
    "INVALID line=2 payload_required_fields event=gate_decision_v1 missing=- invalid=audit": (
        into("log.1.payload.audit.evidence_total", 0.5)
    ),
    "INVALID line=2 payload_required_fields event=run_overrides_applied_v1 missing=- invalid=arg": (
        together(
            logged(1, contracts.overridden()),
            into("log.1.payload.argv", "x"),
            into("log.1.payload.profile", {}),
        )
    ),
    "INVALID line=1 payload_required_fields event=run_started_v1 missing=argv invalid=-": (
        without("log.0.payload.argv")
    ),
    "INVALID line=1 payload_required_fields event=run_started_v1 missing=- invalid=entrypoint": (
        into("log.0.payload.entrypoint", {"kind": " ", "name": "x"})
    ),
}


@pytest.mark.parametrize("token", BAD_LINES)
def test_a_bad_line_makes_the_log_invalid_only_where_that_is_asked_for(
    token: str, tmp_path: Path
) -> None:
    capsule = contracts.capsule()
    BAD_LINES[token](capsule)
    strict = validated(capsule, tmp_path / "a", GOVERNED)
    assert strict.message == "governance_log.jsonl invalid"
    assert any(error.startswith(f"WARNING:GOVERNANCE_LOG_{token}") for error in strict.errors)
    free = validated(capsule, tmp_path / "b", FREE)
    assert free.ok
    assert "WARNING:GOVERNANCE_LOG_INVALID governance_log.jsonl invalid" in free.warnings


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"rev":1,"rev":2}', b"\xff"])
def test_a_line_that_is_no_object_makes_the_log_invalid(line: bytes, tmp_path: Path) -> None:
    capsule = contracts.capsule()
    outdir = capsule.write(tmp_path / "a")
    with (outdir / "governance_log.jsonl").open("ab") as file:
        file.write(line + b"\n")
    found = validate_path(outdir, GOVERNED)
    assert found.message == "governance_log.jsonl invalid"
    assert any("line=7" in error for error in found.errors)


def test_lines_without_a_hash_are_taken_from_old_writers_on_request(tmp_path: Path) -> None:
    capsule = contracts.capsule()
    for entry in capsule.log:
        entry["entry_hash"] = None
    assert not validated(capsule, tmp_path / "a", GOVERNED).ok
    lenient = replace(STRICT, allow_legacy_governance=True)
    assert validated(capsule, tmp_path / "b", lenient).ok


WARNED = {
    "no log": (gone("governance_log.jsonl"), "WARNING:GOVERNANCE_LOG_MISSING "),
    "overridden": (
        into("results.profile.overrides", {"a": 1}),
        "WARNING:GOVERNANCE_OVERRIDES_MISSING ",
    ),
    "another run": (into("log.0.payload.run_id", "other"), "WARNING:GOVERNANCE_RUN_ID_MISMATCH "),
    "another directory": (
        into("log.1.payload.outdir", "/elsewhere"),
        "WARNING:GOVERNANCE_OUTDIR_MISMATCH ",
    ),
    "another window": (
        into("log.0.payload.window_signature_ref.hash", "c" * 64),
        "WARNING:GOVERNANCE_WINDOW_HASH_MISMATCH ",
    ),
    "no window": (unlogged(0), "WARNING:GOVERNANCE_NOT_BOUND_TO_WINDOW "),
    "no check": (unlogged(2), "WARNING:GOVERNANCE_GATE_DECISIONS_MISSING "),
    "time runs back": (
        into("log.2.ts_utc", "2026-01-15T09:00:00Z"),
        "WARNING:GOVERNANCE_LOG_TS_DECREASE line=3",
    ),
    "two names for the event": (
        into("log.2.event_type", "gate_decision_v1"),
        "WARNING:GOVERNANCE_LOG_EVENT_DUAL_PRESENT line=3",
    ),
    "a line separator inside": (
        into("log.2.payload.note", "one\u2028two"),
        "WARNING:GOVERNANCE_LOG_LINE_SEPARATOR line=3",
    ),
    "two processes": (
        spread(distributed_mode="ddp_wrapped", world_size_observed=2, backend="gloo", rank=0),
        "WARNING:DISTRIBUTED_EXECUTION_DETECTED mode=ddp_wrapped world_size=2 backend=gloo",
    ),
}


@pytest.mark.parametrize("name", WARNED)
def test_without_strict_governance_there_is_only_a_warning(name: str, tmp_path: Path) -> None:
    change, token = WARNED[name]
    capsule = contracts.capsule()
    change(capsule)
    found = validated(capsule, tmp_path / "a", FREE)
    assert found.ok, found.message
    assert any(warning.startswith(token) for warning in found.warnings), found.warnings


@pytest.mark.parametrize("options", [FREE, IDENTITY, GOVERNED, STRICT, FULL])
def test_a_whole_capsule_holds_under_all_options_without_a_warning(
    options: Options, tmp_path: Path
) -> None:
    found = validated(contracts.capsule(), tmp_path / "a", options)
    assert (found.line, found.warnings, found.errors) == (
        f"OK window_signature_hash={contracts.digest(contracts.signature())}",
        (),
        (),
    )


def test_a_partial_capsule_holds_where_it_is_allowed(tmp_path: Path) -> None:
    outdir = contracts.partial().write(tmp_path / "a")
    assert validate_path(outdir, PARTIAL).partial
    assert validate_path(outdir, FREE).message == "Missing required artifacts: results.json"


def test_identity_may_only_be_warned_of_where_partial_capsules_are_allowed(tmp_path: Path) -> None:
    capsule = contracts.capsule()
    capsule.summary["profile"]["gate_preset"] = "legacy"
    found = validated(capsule, tmp_path / "a", PARTIAL)
    assert found.ok
    assert found.partial
    assert found.warnings[0].startswith(
        "WARNING:ARTIFACT_IDENTITY_MISMATCH field=profile.gate_preset"
    )


def test_overrides_that_the_log_tells_of_are_in_order(tmp_path: Path) -> None:
    capsule = contracts.capsule()
    results(capsule)["profile"]["overrides"] = {"gate_window": 50}
    capsule.log.insert(1, contracts.overridden())
    assert validated(capsule, tmp_path / "a", STRICT).ok


def test_a_fail_at_iteration_0_is_as_valid_as_any(tmp_path: Path) -> None:
    """The public tool can never validate it: there 0 counts as missing."""
    capsule = contracts.capsule((("fail", 0), ("pass", 100)))
    assert capsule.marker == "0\n"
    assert validated(capsule, tmp_path / "a", STRICT).ok


def test_a_relative_directory_is_the_one_that_the_log_names_absolutely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contracts.capsule().write(tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    assert validate_path(Path("a"), STRICT).ok
    assert validate_path(Path("./a/../a"), STRICT).ok


def test_a_moved_capsule_is_refused_unless_a_ledger_says_where_it_was_recorded(
    tmp_path: Path,
) -> None:
    outdir = contracts.capsule().write(tmp_path / "a")
    moved = outdir.rename(tmp_path / "b")
    assert validate_path(moved, STRICT).message.startswith("ERROR:GOVERNANCE_OUTDIR_MISMATCH ")
    attested = replace(STRICT, attested=frozenset({str(outdir)}))
    found = validate_path(moved, attested)
    assert found.ok
    assert found.warnings[0].startswith("WARNING:GOVERNANCE_OUTDIR_MISMATCH ")


def test_a_log_of_two_directories_is_refused_whatever_a_ledger_says(tmp_path: Path) -> None:
    capsule = contracts.capsule()
    capsule.log[2]["payload"]["outdir"] = "/elsewhere"
    attested = replace(STRICT, attested=frozenset({"/elsewhere"}))
    assert not validated(capsule, tmp_path / "a", attested).ok


def test_a_whole_number_without_its_point_is_the_same_number_and_warned_of(tmp_path: Path) -> None:
    """The public tool compares text here: 0 in the log and 0.0 in the results diverge."""
    capsule = contracts.capsule()
    capsule.log[2]["payload"]["audit"]["per_metric_tv"]["loss"] = 0
    found = validated(capsule, tmp_path / "a", STRICT)
    assert found.ok
    assert found.warnings[0].startswith("WARNING:GOVERNANCE_NUMBER_FORM ")


def test_what_the_contract_does_not_name_may_stand_anywhere(tmp_path: Path) -> None:
    capsule = contracts.capsule()
    for document in (*both(capsule), capsule.signature, results(capsule)["gates"][0]["audit"]):
        document["extra"] = {"deep": [1, None, "x"]}
    assert validated(capsule, tmp_path / "a", FREE).ok


@pytest.mark.parametrize(
    "time",
    ["2026-01-15T10:00:00", "2026-01-15", 1768471200, 1768471200000, "2026-01-15T11:00:00.5+01:00"],
)
def test_times_may_be_written_in_many_ways(time: object, tmp_path: Path) -> None:
    capsule = contracts.capsule()
    for document in both(capsule):
        document["started_ts_utc"] = time
        document["ended_ts_utc"] = time
    assert validated(capsule, tmp_path / "a", FREE).ok


def test_the_hash_leaves_out_when_the_signature_was_made(tmp_path: Path) -> None:
    capsule = contracts.capsule()
    capsule.signature["created_ts_utc"] = "2026-01-15T10:00:00.25Z"
    found = validated(capsule, tmp_path / "a", STRICT)
    assert found.window_hash == contracts.digest(contracts.signature())


def test_upper_case_hashes_and_the_other_name_of_pass_are_taken(tmp_path: Path) -> None:
    capsule = contracts.capsule()
    window = contracts.digest(contracts.signature())
    results(capsule)["window_signature_ref"]["hash"] = window.upper()
    capsule.summary["counts"]["pass_"] = capsule.summary["counts"].pop("pass")
    assert validated(capsule, tmp_path / "a", STRICT).ok


@pytest.mark.parametrize("name", ["window_signature.json", "results.json", "results_summary.json"])
def test_a_link_a_fifo_and_a_directory_are_not_read(name: str, tmp_path: Path) -> None:
    def link(place: Path) -> None:
        place.symlink_to(tmp_path / "elsewhere")

    def fifo(place: Path) -> None:
        os.mkfifo(place)

    def directory(place: Path) -> None:
        place.mkdir()

    for kind, make in {"link": link, "fifo": fifo, "directory": directory}.items():
        outdir = contracts.capsule().write(tmp_path / f"{kind}-{name}")
        (outdir / name).rename(tmp_path / "elsewhere")
        make(outdir / name)
        found = validate_path(outdir, FREE)
        assert found.message.startswith(f"Failed to read {name}: "), kind


def test_a_file_beyond_its_limit_is_not_kept(tmp_path: Path) -> None:
    outdir = contracts.capsule().write(tmp_path / "a")
    with (outdir / "results_summary.json").open("ab") as file:
        file.truncate(5 << 20)
    found = validate_path(outdir, FREE)
    assert found.message.startswith("Failed to read results_summary.json: is larger than")


def test_deep_nesting_and_half_characters_are_no_json(tmp_path: Path) -> None:
    for content in (
        b"[" * 100_000,
        b'{"a":"\\ud800"}',
        b"\xff\xfe{}",
        b'{"a":' + b"9" * 5000 + b"}",
    ):
        outdir = contracts.capsule().write(tmp_path / "a")
        (outdir / "window_signature.json").write_bytes(content)
        found = validate_path(outdir, FREE)
        assert found.message.startswith("JSON parse error in window_signature.json: ")


def test_an_unreadable_configuration_is_not_the_contracts_business(tmp_path: Path) -> None:
    outdir = contracts.capsule().write(tmp_path / "a")
    (outdir / "run_config_resolved.json").write_bytes(b"{")
    assert validate_path(outdir, STRICT).ok


def test_a_directory_that_is_not_there_lacks_all_three(tmp_path: Path) -> None:
    found = validate_path(tmp_path / "none", FREE)
    assert found.message == (
        "Missing required artifacts: window_signature.json, results.json, results_summary.json"
    )


def test_the_hash_of_the_public_placeholder_is_the_one_that_is_published() -> None:
    """The signature that the public tool writes before a run starts, and its published hash."""
    placeholder = {
        "schema_version": 1,
        "placeholder": True,
        "reason": "wrapper_start",
        "run_kind": "gpt",
    }
    assert window_hash(placeholder) == (
        "0b77e84a5d512ff9895524a60324906e8a3231e99d75a55afe8d48d63700b35b"
    )
