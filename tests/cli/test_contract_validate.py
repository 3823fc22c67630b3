"""``validate`` and ``inspect``: what is printed where, and with which exit code."""

import json
import shutil
import sys
from pathlib import Path

import contracts
import pytest
from cli_shell import Command, shell
from contract_breaks import Case
from contract_cases import CASES

ALL_STRICT = ("--strict-governance", "--require-governance", "--strict-identity")
RUNNER = Path(__file__).with_name("cli_runner.py")
HASH = contracts.digest(contracts.signature())


def flags_of(case: Case) -> list[str]:
    options = case.options
    given = {
        "--strict-governance": options.strict_governance,
        "--require-governance": options.require_governance,
        "--strict-identity": options.strict_identity,
        "--allow-legacy-governance": options.allow_legacy_governance,
    }
    return [flag for flag, applies in given.items() if applies]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capsule with its ledger, recorded by the real wrapper."""
    place = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEDGER_KEY", str(place / "key"))
        line = ("run", "test", "--outdir", place / "run", "--", sys.executable, RUNNER, "fail")
        done = shell(*line)
    assert done.code == 0, done.err
    return place / "run"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_broken_capsule_exits_2_and_says_why_on_stderr(
    case: Case, tmp_path: Path, call: Command
) -> None:
    capsule = case.base()
    case.change(capsule)
    command = "inspect" if case.options.allow_partial else "validate"
    done = call(command, capsule.write(tmp_path / "a"), *flags_of(case))
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"INVALID: {case.message}"), done.err
    assert case.error in done.err


def test_a_valid_capsule_exits_0_and_prints_the_hash_of_its_window(
    tmp_path: Path, call: Command
) -> None:
    done = call("validate", contracts.capsule().write(tmp_path / "a"), *ALL_STRICT)
    assert (done.code, done.out, done.err) == (0, f"OK window_signature_hash={HASH}\n", "")


def test_warnings_go_to_stderr_and_change_nothing(tmp_path: Path, call: Command) -> None:
    outdir = contracts.capsule().write(tmp_path / "a")
    (outdir / "governance_log.jsonl").unlink()
    done = call("validate", outdir)
    assert (done.code, done.out) == (0, f"OK window_signature_hash={HASH}\n")
    assert done.err == "WARNING:GOVERNANCE_LOG_MISSING governance_log.jsonl not present\n"


def test_the_answer_for_programs_says_all_of_it(tmp_path: Path, call: Command) -> None:
    done = call("validate", contracts.capsule().write(tmp_path / "a"), "--json")
    assert json.loads(done.out) == {
        "schema": "evidence-ledger/validate/v1",
        "exit_code": 0,
        "valid": True,
        "message": "OK",
        "window_signature_hash": HASH,
        "partial": False,
        "warnings": [],
        "errors": [],
        "ledger": None,
    }
    broken = contracts.capsule()
    broken.marker = "7\n"
    done = call("validate", broken.write(tmp_path / "b"), "--json")
    answer = json.loads(done.out)
    assert (done.code, answer["exit_code"], answer["valid"]) == (2, 2, False)
    assert answer["message"].startswith("first_fail_iter.txt mismatch: marker=7")


def test_a_name_in_a_capsule_cannot_act_on_the_terminal(tmp_path: Path, call: Command) -> None:
    capsule = contracts.capsule()
    capsule.summary["run_id"] = "x\u202e\u200b"
    done = call("validate", capsule.write(tmp_path / "a"))
    assert done.code == 2
    assert "\u202e" not in done.err
    assert "\\u202e" in done.err


def test_nothing_is_written(tmp_path: Path, call: Command) -> None:
    outdir = contracts.capsule().write(tmp_path / "a")
    before = {path: path.read_bytes() for path in outdir.iterdir()}
    for command in ("validate", "inspect", "report"):
        assert call(command, outdir).code == 0
    assert {path: path.read_bytes() for path in outdir.iterdir()} == before


def test_inspect_takes_partial_capsules_and_validate_does_not(
    tmp_path: Path, call: Command
) -> None:
    outdir = contracts.partial().write(tmp_path / "a")
    assert call("validate", outdir).err == ("INVALID: Missing required artifacts: results.json\n")
    done = call("inspect", outdir, "--no-report")
    assert (done.code, done.out) == (0, f"OK window_signature_hash={HASH}\n")


def test_inspect_prints_the_report(tmp_path: Path, call: Command) -> None:
    outdir = contracts.capsule().write(tmp_path / "a")
    assert call("inspect", outdir).out == call("report", outdir).out
    assert (
        call("inspect", outdir, "--format", "md").out
        == call("report", outdir, "--format", "md").out
    )


def test_a_recorded_capsule_holds_and_its_ledger_speaks_too(recorded: Path, call: Command) -> None:
    done = call("validate", recorded, *ALL_STRICT)
    first, second = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert first.startswith("OK window_signature_hash=")
    assert second.startswith("ledger: VERIFIED (unanchored): ")
    answer = json.loads(call("validate", recorded, "--json").out)
    assert answer["ledger"]["verdict"] == "VERIFIED"


def test_files_that_agree_with_each_other_and_not_with_the_ledger_are_invalid(
    recorded: Path, tmp_path: Path, call: Command
) -> None:
    """What the contract alone can never see: all files are changed alike."""
    copy = shutil.copytree(recorded, tmp_path / "copy")
    for name in ("results.json", "results_summary.json"):
        text = (copy / name).read_text()
        assert '"runner_exit_code":0' in text
        (copy / name).write_text(text.replace('"runner_exit_code":0', '"runner_exit_code":7'))
    done = call("validate", copy)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("INVALID: ERROR:LEDGER_REFUTED REFUTED")


def test_a_capsule_that_was_moved_with_its_ledger_is_only_warned_of(
    recorded: Path, tmp_path: Path, call: Command
) -> None:
    copy = shutil.copytree(recorded, tmp_path / "copy")
    done = call("validate", copy, *ALL_STRICT)
    assert done.code == 0, done.err
    assert done.err.startswith("WARNING:GOVERNANCE_OUTDIR_MISMATCH ")
    (copy / "ledger.sqlite").unlink()
    done = call("validate", copy, *ALL_STRICT)
    assert done.code == 2
    assert done.err.startswith("INVALID: ERROR:GOVERNANCE_OUTDIR_MISMATCH ")
