"""``project capsule``: the contract's files at another place, and what goes on after a run."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from cli_shell import Command, shell

from ledger import Event, Ledger

RUNNER = Path(__file__).with_name("cli_runner.py")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose gate failed, recorded once; the tests work on copies."""
    place = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEDGER_KEY", str(place / "key"))
        done = shell("run", "t", "--outdir", place / "run", "--", sys.executable, RUNNER, "fail")
    assert done.code == 0, done.err
    return place


@pytest.fixture
def folder(recorded: Path, tmp_path: Path) -> Path:
    shutil.copytree(recorded / "run", tmp_path / "run")
    return tmp_path / "run"


def judge(recorded: Path, folder: Path) -> None:
    from cli import keys

    data = {"status": "pass", "reason": "a known false alarm", "reviewer": None}
    with Ledger.open(folder, key=keys.load(recorded / "key")) as book:
        run_id = json.loads((folder / "results_summary.json").read_text())["run_id"]
        book.append(Event("governance.judged", f"run/{run_id}", data))


def test_a_capsule_is_written_elsewhere_and_bound_to_its_place(
    folder: Path, call: Command, tmp_path: Path
) -> None:
    place = tmp_path / "a" / "copy"
    done = json.loads(call("project", folder, "capsule", "--outdir", place, "--json").out)
    written = {Path(name).name for name in done["files"]}
    assert written == {path.name for path in place.iterdir()}
    assert written >= {"results.json", "governance_log.jsonl", "run_config_resolved.json"}
    for line in (place / "governance_log.jsonl").read_text().splitlines():
        assert json.loads(line)["payload"]["outdir"] == str(place)
    for name in written - {"governance_log.jsonl", "report.md", "report.txt"}:
        assert (place / name).read_bytes() == (folder / name).read_bytes() or (
            name == "run_config_resolved.json"
        )


def test_a_relative_place_is_bound_absolutely(
    folder: Path, call: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("project", folder, "capsule", "--outdir", "there").code == 0
    first = json.loads((tmp_path / "there" / "governance_log.jsonl").read_text().splitlines()[0])
    assert first["payload"]["outdir"] == str(tmp_path / "there")


def test_the_capsule_itself_is_no_place_for_another(folder: Path, call: Command) -> None:
    before = (folder / "governance_log.jsonl").read_bytes()
    done = call("project", folder, "capsule", "--outdir", folder)
    assert (done.code, done.out) == (64, "")
    assert "is the capsule itself" in done.err
    assert (folder / "governance_log.jsonl").read_bytes() == before


def test_what_belongs_to_another_run_is_neither_mixed_nor_removed(
    folder: Path, call: Command, tmp_path: Path
) -> None:
    place = tmp_path / "other"
    place.mkdir()
    (place / "manual_judgement.json").write_text("{}")
    done = call("project", folder, "capsule", "--outdir", place)
    assert done.code == 64
    assert "manual_judgement.json belongs to another run" in done.err
    assert [path.name for path in place.iterdir()] == ["manual_judgement.json"]


def test_one_log_can_be_bound_alone(folder: Path, call: Command) -> None:
    here = call("project", folder, "governance").out
    there = call("project", folder, "governance", "--outdir", "/mnt/there").out
    assert {json.loads(line)["payload"]["outdir"] for line in there.splitlines()} == {"/mnt/there"}
    assert here == (folder / "governance_log.jsonl").read_text()


def test_a_file_that_a_judgement_makes_is_due_without_being_on_record(
    folder: Path, call: Command, recorded: Path
) -> None:
    assert call("project", folder, "judgement").code == 64
    judge(recorded, folder)
    states = check(call, folder)
    assert states["manual_judgement.json"] == states["manual_judgement.jsonl"] == "missing"
    assert states["governance_log.jsonl"] == "DIFFERENT"
    for name in ("judgement", "governance"):
        assert call("project", folder, name, "--out", f"{folder}/").code == 0
    assert set(check(call, folder).values()) == {"same"}
    assert "a known false alarm" in call("project", folder, "judgement").out


def check(call: Command, folder: Path) -> dict[str, str]:
    done = json.loads(call("project", folder, "all", "--check", "--json").out)
    return {item["path"]: item["state"] for item in done["files"]}


def test_what_contradicts_itself_is_usage(folder: Path, call: Command) -> None:
    assert call("project", folder, "all", "--check", "--outdir", "x").code == 64
    assert call("project", folder, "capsule").code == 64
