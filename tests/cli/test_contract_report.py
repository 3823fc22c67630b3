"""``report`` of one capsule: from its files, byte for byte, or from its ledger."""

import json
from pathlib import Path

import contracts
import pytest
from cli_shell import Command
from contracts import Capsule

from ledger import Key, Ledger
from ledger.entry import Event

GOLDEN = Path(__file__).with_name("golden")


def judged() -> Capsule:
    """A capsule with all that a report can show, and text that would like to act."""
    capsule = contracts.capsule()
    reason = "a|b\n<b> `x` [y](javascript:z) \x1b[2J"
    capsule.judgement = contracts.judgement(reason=reason, reviewer=None)
    assert capsule.config is not None
    capsule.config["error"] = {"type": "E", "message": "it | broke"}
    block = {"distributed_mode": "ddp_wrapped", "world_size_observed": 2, "backend": "gloo"}
    capsule.log[0] = contracts.started(distributed=block)
    capsule.log[2]["entry_hash"] = "0" * 64
    return capsule


CAPSULES = {"plain": contracts.capsule, "judged": judged, "partial": contracts.partial}


@pytest.mark.parametrize("name", CAPSULES)
@pytest.mark.parametrize("form", ["md", "text"])
def test_the_report_of_a_capsule_without_a_ledger_is_this(
    name: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    CAPSULES[name]().write(Path("run"))  # the log names its place, and its hash covers that
    done = call("report", "run", "--format", form)
    golden = (GOLDEN / f"{name}.{'md' if form == 'md' else 'txt'}").read_text(encoding="utf-8")
    assert (done.code, done.err) == (0, "")
    assert done.out == golden


def test_text_is_what_is_printed_if_nothing_is_said(tmp_path: Path, call: Command) -> None:
    outdir = contracts.capsule().write(tmp_path / "a")
    assert call("report", outdir).out == call("report", outdir, "--format", "text").out
    answer = json.loads(call("report", outdir, "--json").out)
    assert answer["report"] == call("report", outdir).out


def test_an_invalid_capsule_has_no_report(tmp_path: Path, call: Command) -> None:
    outdir = contracts.capsule().write(tmp_path / "a")
    (outdir / "first_fail_iter.txt").write_text("7\n")
    for options in ((), ("--json",), ("--format", "md")):
        done = call("report", outdir, *options)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith("Cannot report: first_fail_iter.txt mismatch: marker=7 ")
    done = call("report", tmp_path / "none")
    assert done.code == 2
    assert done.err.startswith("Cannot report: Missing required artifacts: ")


def test_an_invalid_log_is_shown_and_not_hidden(tmp_path: Path, call: Command) -> None:
    outdir = judged().write(tmp_path / "a")
    done = call("report", outdir)
    assert "  Valid: NO\n" in done.out
    assert "  INVALID: WARNING:GOVERNANCE_LOG_HASH_MISMATCH line=3\n" in done.out


@pytest.mark.parametrize(
    "words", [("a", "b"), ("a", "--format", "json"), ("--compare",), ()], ids=str
)
def test_what_cannot_be_asked_is_a_usage_error(words: tuple[str, ...], call: Command) -> None:
    assert call("report", *words).code == 64


@pytest.fixture
def ledger(tmp_path: Path, key: Key) -> Path:
    """A directory with a ledger and no other file, as a killed wrapper leaves it."""
    place = tmp_path / "run"
    place.mkdir()
    with Ledger.create(place, name="demo", key=key) as book:
        book.append(Event("x.note", "", {"a": 1}))
    return place


def test_with_a_ledger_it_is_the_projection_byte_for_byte(ledger: Path, call: Command) -> None:
    for form, name in (("md", "report.md"), ("text", "report.txt")):
        done = call("report", ledger, "--format", form)
        assert done.code == 0
        assert done.err.startswith("WARNING: Missing required artifacts: ")
        out = ledger / name
        assert call("project", ledger, "report", "--out", out).code == 0
        assert done.out == out.read_text()
        assert call("report", ledger / "ledger.sqlite", "--format", form).out == done.out
    assert call("report", ledger, "--format", "md").out == call("project", ledger, "report").out


def test_files_that_contradict_each_other_stop_a_report_with_a_ledger_too(
    ledger: Path, call: Command
) -> None:
    capsule = contracts.capsule()
    capsule.marker = None
    done = call("report", capsule.write(ledger))
    assert done.code == 2
    assert done.err.startswith("Cannot report: counts.fail > 0 but first_fail_iter.txt is missing")
