"""``python -m verifier``: exit codes, streams, and what is refused before anything is read."""

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.verifier.capsule import Capsule
from verifier import cli
from verifier.cli import main
from verifier.run import NoLedgerError, ledger_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def capsule(tmp_path: Path) -> Capsule:
    return Capsule(tmp_path / "run").story().record_all()


def run(*argv: str | Path) -> int:
    return main([str(argument) for argument in argv])


def test_an_honest_directory_exits_0(capsule: Capsule, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsule.folder, "--strict", "--ledger-id", str(capsule.id)) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith("VERIFIED: all 20 entries")
    assert err == ""


def test_without_an_anchor_it_exits_0_and_says_so(
    capsule: Capsule, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsule.path) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("VERIFIED (unanchored): ")


def test_without_an_anchor_strict_is_incomplete(
    capsule: Capsule, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsule.folder, "--strict", "--quiet") == 5
    assert capsys.readouterr().out.startswith("INCOMPLETE (unanchored): ")


def test_a_changed_byte_exits_2(capsule: Capsule, capsys: pytest.CaptureFixture[str]) -> None:
    raw = capsule.path.read_bytes()
    capsule.path.write_bytes(raw.replace(b'"decision":"fail"', b'"decision":"pass"'))
    assert run(capsule.path, "--quiet") == 2
    out, _ = capsys.readouterr()
    assert out.startswith("REFUTED (unanchored): 4 errors, the first ")
    assert out.count("\n") == 1


def test_json_is_one_object_on_stdout(capsule: Capsule, capsys: pytest.CaptureFixture[str]) -> None:
    (capsule.folder / "x\x1b[2J").touch()
    assert run(capsule.folder, "--json") == 2
    out, _ = capsys.readouterr()
    said = json.loads(out)
    assert (said["exit_code"], said["verdict"]) == (2, "REFUTED")
    assert out.isascii()
    assert out.count("\n") == 1


def test_another_ledger_than_the_trusted_one_exits_2(
    capsule: Capsule, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsule.path, "--ledger-id", "0" * 64, "--json") == 2
    said = json.loads(capsys.readouterr().out)
    assert [finding["code"] for finding in said["findings"]] == ["anchor.id"]
    assert said["anchored"] is False


def test_a_checkpoint_that_is_none_is_no_anchor(
    capsule: Capsule, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "note").write_bytes(b"nonsense\n")
    assert run(capsule.path, "--checkpoint", tmp_path / "note", "--json") == 2
    said = json.loads(capsys.readouterr().out)
    assert [finding["code"] for finding in said["findings"]] == ["anchor.checkpoint"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "a PATH is needed"),
        (["nowhere.jsonl"], "no such file or directory"),
        (["a\0b.jsonl"], "no such file or directory"),
        (["--ledger-id", "ABC", "x.jsonl"], "64 lowercase hex digits"),
        (["--ledger-id", "a" * 64 + "\n", "x.jsonl"], "64 lowercase hex digits"),
        (["--ledger-id", "A" * 64, "x.jsonl"], "64 lowercase hex digits"),
        (["--jobs", "-1", "x.jsonl"], "expected 0 or more"),
        (["--jobs", "two", "x.jsonl"], "invalid int value"),
        (["--unheard-of"], "unrecognized arguments"),
        (["--str", "x.jsonl"], "unrecognized arguments"),
        (["--checkpoint", "nowhere", "x.jsonl"], "no such file"),
        (["--explain", "no.such\x1b"], "unknown code no.such\\x1b"),
    ],
)
def test_misuse_exits_64_and_talks_on_stderr(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err


def test_paths_that_name_no_ledger_exit_64(
    capsule: Capsule, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run(empty) == 64
    (empty / "notes.txt").touch()
    assert run(empty / "notes.txt") == 64
    assert run(empty / "notes.txt" / "ledger.jsonl") == 64
    (empty / "ledger.jsonl").mkdir()
    assert run(empty) == 64
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert run(tmp_path / "pipe.jsonl") == 64
    assert "not a regular file" in capsys.readouterr().err
    (capsule.folder / "ledger.db").touch()
    assert run(capsule.folder) == 64
    assert "several ledgers (ledger.db, ledger.jsonl)" in capsys.readouterr().err


def test_the_ledger_of_a_directory_is_found_under_each_name(tmp_path: Path) -> None:
    for name in ("ledger.sqlite", "ledger.db", "ledger.jsonl"):
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        (folder / name).touch()
        assert ledger_of(folder) == folder / name
    with pytest.raises(NoLedgerError):
        ledger_of(tmp_path)


def test_an_oversized_checkpoint_is_misuse(
    capsule: Capsule, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "note").write_bytes(b"x" * ((1 << 20) + 1))
    assert run(capsule.path, "--checkpoint", tmp_path / "note") == 64
    assert "too large" in capsys.readouterr().err


def test_what_cannot_be_read_exits_3(capsule: Capsule, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsule.path, "--checkpoint", capsule.folder) == 3
    assert "could not be read" in capsys.readouterr().err


def test_a_fault_of_ours_is_no_verdict(capsule: Capsule, tmp_path: Path) -> None:
    """A damaged installation must not read as a refuted ledger."""
    shutil.copytree(ROOT / "verifier", tmp_path / "verifier")
    (tmp_path / "verifier" / "schemas.json").write_bytes(b"{")
    command = [sys.executable, "-m", "verifier", str(capsule.path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (3, b"")
    assert b"this says nothing of the ledger" in done.stderr


def test_an_interrupt_is_no_verdict(capsule: Capsule, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "note")
    script = (  # whoever runs the tests may have told its children to ignore the signal
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from verifier.cli import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", script, str(capsule.path)]
    command += ["--checkpoint", str(tmp_path / "note")]
    with (
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as it,
        (tmp_path / "note").open("wb"),  # opens when the verifier has, which then waits
    ):
        it.send_signal(signal.SIGINT)
        out, err = it.communicate(timeout=30)
    assert (it.returncode, out) == (130, b"")
    assert b"nothing was decided" in err


def test_explain_works_without_a_ledger(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--explain", "chain.prev") == 0
    out, _ = capsys.readouterr()
    assert out.startswith("chain.prev\n  meaning: ")
    assert "\n  what to do: " in out


def test_help_names_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:  # as argparse does
        run("--help")
    assert stop.value.code == 0
    assert "5 incomplete" in capsys.readouterr().out


def test_it_runs_as_a_module_on_its_own(capsule: Capsule) -> None:
    """No other package of ours is loaded, nothing is written, and a narrow terminal is no crash."""
    script = (
        "import sys, runpy\n"
        "sys.argv[1:] = sys.argv[2:]\n"
        "try:\n    runpy.run_module('verifier', run_name='__main__')\n"
        "finally:\n"
        "    ours = ('ledger', 'projections', 'producers', 'cli', 'pydantic', 'click')\n"
        "    sys.stderr.write(' '.join(name for name in ours if name in sys.modules))\n"
    )
    before = sorted(capsule.folder.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", script, "-", str(capsule.folder)],
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines()[-1].startswith(b"VERIFIED (unanchored)")
    assert sorted(capsule.folder.rglob("*")) == before


def test_a_reader_that_leaves_early_changes_no_exit_code(capsule: Capsule) -> None:
    command = [sys.executable, "-m", "verifier", str(capsule.folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), complaint) == (0, b"")


def test_main_module_exits_with_the_code(capsule: Capsule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["verifier", str(capsule.path), "--strict", "--quiet"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("verifier", run_name="__main__")
    assert stop.value.code == 5


def test_progress_is_talk_for_a_terminal_only(
    capsule: Capsule, capsys: pytest.CaptureFixture[str]
) -> None:
    cli._progress(1, 4)
    cli._progress(0, 0)
    assert capsys.readouterr() == ("", "\rverifying 25 %\rverifying 100 %")
    command = [sys.executable, "-m", "verifier", str(capsule.path), "--quiet"]
    leader, terminal = os.openpty()
    for quiet, talk in ((command, b""), (command[:-1], b"\r\x1b[K")):
        done = subprocess.run(quiet, cwd=ROOT, stdout=subprocess.PIPE, stderr=terminal, check=False)
        assert done.returncode == 0
        assert b"\r" not in done.stdout
        os.write(terminal, b"|")
        said = b""
        while not said.endswith(b"|"):
            said += os.read(leader, 10_000)
        assert said.endswith(talk + b"|")
        assert quiet is not command or said == b"|"
    os.close(leader)
    os.close(terminal)
