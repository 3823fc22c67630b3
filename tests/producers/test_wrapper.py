"""The wrapper, as a real process around real processes, with real signals."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger import Entry, Event, Key, KeyRefusedError, Ledger

CANARY = "c4n4ry-S3cret-0123456789"
Drive = Callable[..., "subprocess.Popen[bytes]"]
Read = Callable[[], list[Entry]]
Tell = Callable[..., list[str]]
Outcome = Callable[[], dict[str, Any]]

STORY = ["run.opened", "run.planned", *["metric.observed"] * 4, "gate.checked"]
STORY += [*["metric.observed"] * 4, "gate.checked"]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def types(entries: list[Entry]) -> list[str]:
    """Return the types of the run's own entries: without keys, and files at the end."""
    return [e.type for e in entries if e.type.startswith(("run.", "metric.", "gate."))]


def closed(entries: list[Entry]) -> dict[str, Any]:
    return next(e.data for e in entries if e.type == "run.closed")


def wait_for(stream: Any, text: bytes) -> bytes:
    seen = b""
    while text not in seen:
        chunk = os.read(stream.fileno(), 4096)
        assert chunk, seen
        seen += chunk
    return seen


def test_a_whole_run_is_told_in_its_order(
    drive: Drive, tell: Tell, entries: Read, outcome: Outcome, capsule: Path
) -> None:
    process = drive(tell("finish"))
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr) == (0, b"told\n", b"")
    told = entries()
    assert types(told) == [*STORY, "run.finished", "run.closed"]
    rest = [e.type for e in told if e.type.startswith(("key.", "artifact."))]
    assert rest == ["key.authorized", "key.revoked", *["artifact.recorded"] * 3]
    order = [e.type for e in told]
    assert order[1:3] == ["key.authorized", "run.opened"]
    assert order.index("key.revoked") == order.index("run.closed") - 1
    assert closed(told) | {"wall_s": 0} == {
        "status": "success",
        "exit_code": 0,
        "signal": None,
        "wall_s": 0,
        "reason": None,
    }
    assert {e.subject for e in told[2:] if not e.type.startswith("key.")} == {
        f"run/{outcome()['run_id']}"
    }
    opened = told[2].data
    assert opened["outdir"] == str(capsule)
    by_runner = {e.type for e in told if e.key == opened["runner_key"]}
    assert by_runner == {"run.planned", "metric.observed", "gate.checked", "run.finished"}


def test_every_file_is_on_record_as_it_is(drive: Drive, entries: Read, capsule: Path) -> None:
    code = (
        "import os, pathlib; d = pathlib.Path(os.environ['LEDGER_OUTDIR']); "
        "(d / 'weights').mkdir(); (d / 'weights' / 'a.bin').write_bytes(bytes(3)); "
        "(d / 'results.json').write_text('mine')"
    )
    assert drive(python(code)).wait(60) == 0
    told = entries()
    records = {e.data["path"]: e.data for e in told if e.type == "artifact.recorded"}
    files = {
        p.relative_to(capsule).as_posix(): p.read_bytes()
        for p in capsule.rglob("*")
        if p.is_file() and not p.name.startswith("ledger.sqlite")
    }
    assert set(records) == set(files)
    for name, content in files.items():
        assert records[name]["sha256"] == hashlib.sha256(content).hexdigest()
        assert records[name]["bytes"] == len(content)
    at = next(e.seq for e in told if e.type == "run.closed") + 1
    projected = {name: (r["projection"], r["at"]) for name, r in records.items()}
    assert projected.pop("results.json") == ("results", at)
    assert set(projected.values()) == {(None, None)}
    assert files["results.json"] == b"[]\n"


@pytest.mark.parametrize(("how", "name"), [("sigkill", "SIGKILL"), ("sigterm", "SIGTERM")])
def test_a_killed_runner_leaves_everything_up_to_its_last_gate(
    drive: Drive, tell: Tell, entries: Read, how: str, name: str
) -> None:
    assert drive(tell(how)).wait(60) == 2
    told = entries()
    assert types(told) == [*STORY, "run.closed"]
    assert closed(told)["status"] == "user_code_failure"
    assert (closed(told)["exit_code"], closed(told)["signal"]) == (None, name)
    assert "key.revoked" in {e.type for e in told}


def test_a_runner_that_ends_before_its_first_event_is_closed_too(
    drive: Drive, entries: Read
) -> None:
    assert drive(python("raise SystemExit(7)")).wait(60) == 2
    assert types(entries()) == ["run.opened", "run.closed"]
    assert (closed(entries())["exit_code"], closed(entries())["signal"]) == (7, None)


def test_a_crash_is_seen_even_if_we_were_started_with_sigchld_ignored(
    capsule: Path, child_env: dict[str, str], entries: Read
) -> None:
    """The system then forgets exit codes, and Python's subprocess says 0 of a crash."""
    driver = Path(__file__).with_name("drive_wrapper.py")
    code = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN);"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    command = [*python(code), str(driver), str(capsule), "5", *python("raise SystemExit(9)")]
    done = subprocess.run(command, env=child_env, timeout=60, check=False)
    assert done.returncode == 2
    assert (closed(entries())["status"], closed(entries())["exit_code"]) == ("user_code_failure", 9)


@pytest.mark.parametrize("command", ["/nonexistent/program", "/etc/hostname", "/etc"])
def test_a_runner_that_cannot_be_executed_is_closed_and_explained(
    drive: Drive, entries: Read, outcome: Outcome, capsule: Path, command: str
) -> None:
    """It is the user's to mend: no failure of the wrapper."""
    assert drive([command, "--token", CANARY]).wait(60) == 2
    assert types(entries()) == ["run.opened", "run.closed"]
    end = closed(entries())
    reason = end.pop("reason")
    assert end == {
        "status": "user_code_failure",
        "exit_code": None,
        "signal": None,
        "wall_s": 0.0,
    }
    assert reason.startswith(f"not started: '{command}': ")
    assert CANARY not in reason
    assert outcome()["notes"] == [reason]
    assert (capsule / "runner_output.log").read_text() == reason + "\n"


def test_output_passes_unchanged_whatever_bytes_it_is(drive: Drive, capsule: Path) -> None:
    code = (
        "import os; os.write(1, bytes(range(256)) * 4000); os.write(2, b'\\xff\\x00err');"
        "os.write(1, b'end without newline')"
    )
    process = drive(python(code))
    stdout, stderr = process.communicate(timeout=60)
    assert stdout == bytes(range(256)) * 4000 + b"end without newline"
    assert stderr == b"\xff\x00err"
    log = (capsule / "runner_output.log").read_bytes()
    assert len(log) == len(stdout) + len(stderr)
    assert log.replace(stderr, b"") == stdout


def test_output_is_passed_on_while_the_runner_runs(drive: Drive, capsule: Path) -> None:
    code = (
        "import os, time; os.write(1, b'now')\n"
        "while not os.path.exists(os.environ['LEDGER_OUTDIR'] + '/go'): time.sleep(0.01)"
    )
    process = drive(python(code))
    wait_for(process.stdout, b"now")  # it cannot end before it was seen
    (capsule / "go").touch()
    assert process.wait(30) == 0


def test_a_reader_that_goes_away_stops_neither_the_run_nor_the_copy(
    drive: Drive, entries: Read, capsule: Path
) -> None:
    code = "import os, time\nfor i in range(40): os.write(1, b'x' * 1000); time.sleep(0.01)"
    process = drive(python(code))
    assert process.stdout is not None
    os.read(process.stdout.fileno(), 10)
    process.stdout.close()
    assert process.wait(60) == 0
    assert closed(entries())["status"] == "success"
    assert (capsule / "runner_output.log").stat().st_size == 40_000


def test_a_descendant_that_holds_the_output_is_not_waited_for(
    drive: Drive, tell: Tell, entries: Read, capsule: Path
) -> None:
    begun = time.monotonic()
    process = drive(tell("orphan"))
    process.communicate(timeout=25)
    orphan = int(capsule.with_name("orphan.pid").read_text(encoding="utf-8"))
    try:
        assert process.returncode == 0
        assert time.monotonic() - begun < 25
        os.kill(orphan, 0)  # it was there all the time
        assert closed(entries())["status"] == "success"
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_a_daemon_that_never_stops_writing_is_not_waited_for(drive: Drive, capsule: Path) -> None:
    code = (
        "import os, time\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "end = time.time() + 20\n"
        "while time.time() < end: os.write(1, b'x' * 1000)\n"
    )
    begun = time.monotonic()
    process = drive(python(code))
    threading.Thread(target=process.communicate, daemon=True).start()
    assert process.wait(25) == 0
    assert time.monotonic() - begun < 15
    size = (capsule / "runner_output.log").stat().st_size
    with Ledger.open(capsule) as book:
        records = [e.data for e in book.entries() if e.type == "artifact.recorded"]
    assert size in [r["bytes"] for r in records if r["path"] == "runner_output.log"]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_to_the_wrapper_reaches_the_runner_and_the_capsule_is_finished(
    drive: Drive, tell: Tell, entries: Read, number: signal.Signals, code: int
) -> None:
    process = drive(tell("hang"))
    wait_for(process.stdout, b"told")
    process.send_signal(number)
    assert process.wait(30) == code
    told = entries()
    assert types(told) == [*STORY, "run.closed"]
    end = closed(told)
    assert end["status"] == "user_code_failure"
    # Python turns SIGINT into a KeyboardInterrupt and dies of the signal all the same
    assert (end["exit_code"], end["signal"]) == (None, number.name)
    assert end["reason"] == f"{number.name} to the wrapper"
    assert sum(e.type == "artifact.recorded" for e in told) == 3


def test_a_runner_that_ends_well_when_asked_to_is_a_success_and_we_still_exit_143(
    drive: Drive, tell: Tell, entries: Read
) -> None:
    process = drive(tell("wait-for-sigterm"))
    wait_for(process.stdout, b"ready")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    assert (closed(entries())["status"], closed(entries())["exit_code"]) == ("success", 0)


def test_a_deaf_runner_is_killed_after_the_grace(drive: Drive, tell: Tell, entries: Read) -> None:
    process = drive(tell("ignore"), grace=0.5)
    wait_for(process.stdout, b"deaf")
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert 1.0 <= time.monotonic() - begun < 15  # INT, after the grace TERM, after it KILL
    assert closed(entries())["signal"] == "SIGKILL"


def test_a_second_and_a_third_signal_do_not_wait_for_the_grace(
    drive: Drive, tell: Tell, entries: Read
) -> None:
    process = drive(tell("ignore"), grace=60.0)
    wait_for(process.stdout, b"deaf")
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.4)
    assert process.wait(20) == 130
    assert closed(entries())["signal"] == "SIGKILL"


def test_what_an_interrupted_runner_leaves_in_its_group_is_killed(
    drive: Drive, capsule: Path
) -> None:
    code = (
        "import os, signal, subprocess, sys, time, pathlib\n"
        "deaf = 'import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True);'\n"
        "c = subprocess.Popen([sys.executable, '-c', deaf + 'time.sleep(60)'],"
        " stdout=subprocess.PIPE)\n"
        "c.stdout.readline()\n"
        "pathlib.Path(os.environ['LEDGER_OUTDIR'], 'pid').write_text(str(c.pid))\n"
        "os.write(1, b'ready'); time.sleep(60)\n"
    )
    process = drive(python(code))
    wait_for(process.stdout, b"ready")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    pid = int((capsule / "pid").read_text(encoding="utf-8"))
    deadline = time.monotonic() + 10
    while _alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_secret_in_arguments_environment_and_output_is_in_no_file(
    drive: Drive, capsule: Path, tmp_path: Path
) -> None:
    code = "import sys, os; print(sys.argv, os.environ['VERISCOPE_API_KEY']); raise ValueError(%r)"
    command = [*python(code % "boom"), f"--api-key={CANARY}", "--token", CANARY, f"KEY={CANARY}"]
    env = {"VERISCOPE_API_KEY": CANARY, "HF_TOKEN": CANARY}
    process = drive(command, env=env)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 2
    assert CANARY.encode() in stdout  # the user's own screen shows what the program prints
    assert b"ValueError" in stderr
    assert (capsule / "runner_output.log").stat().st_size > 0
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) >= 5
    assert [p.name for p in files if CANARY.encode() in p.read_bytes()] == []
    with Ledger.open(capsule) as book:
        opened = next(e.data for e in book.entries() if e.type == "run.opened")
    assert opened["env_capture"]["redactions_applied"] is True
    assert opened["env"]["VERISCOPE_API_KEY"] == "***REDACTED***"


def test_the_runners_seed_is_never_on_disk_in_the_arguments_or_in_the_environment(
    drive: Drive, capsule: Path, tmp_path: Path
) -> None:
    code = (
        "import os, sys, pathlib\n"
        "seed = os.read(int(os.environ['LEDGER_KEY_FD']), 64)\n"
        "seen = pathlib.Path('/proc/self/environ').read_bytes()\n"
        "seen += pathlib.Path('/proc/self/cmdline').read_bytes()\n"
        "seen += pathlib.Path(f'/proc/{os.getppid()}/cmdline').read_bytes()\n"
        "forms = (seed, seed.hex().encode())\n"
        "sys.stdout.write(seed.hex() + str(any(f in seen for f in forms)))\n"
        "sys.stdout.flush()\n"
        "os.close(1)\n"
    )
    process = drive(python(code))
    stdout, _ = process.communicate(timeout=60)
    seed, found = bytes.fromhex(stdout[:64].decode()), stdout[64:]
    assert found == b"False"
    with Ledger.open(capsule) as book:
        opened = next(e.data for e in book.entries() if e.type == "run.opened")
    assert Key.from_seed(seed, name="x").id == opened["runner_key"]
    files = [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "runner_output.log"]
    assert [p.name for p in files if seed in p.read_bytes()] == []
    assert [p.name for p in files if seed.hex().encode() in p.read_bytes()] == []


def test_the_runner_sees_none_of_the_wrappers_own_ledger_variables(
    drive: Drive, tell: Tell, capsule: Path
) -> None:
    env = {"LEDGER_KEY": "/secret/key", "LEDGER_PASSPHRASE": CANARY, "LEDGER_X": "1"}
    stdout, _ = drive(tell("show-environment"), env=env).communicate(timeout=60)
    shown = json.loads(stdout[: stdout.index(b"}") + 1])
    assert set(shown) == {"LEDGER_KEY_FD", "LEDGER_PATH", "LEDGER_RUN_ID", "LEDGER_OUTDIR"}
    assert shown["LEDGER_PATH"] == str(capsule / "ledger.sqlite")


def test_the_runners_key_is_worth_nothing_after_the_run(drive: Drive, capsule: Path) -> None:
    code = "import os; os.write(1, os.read(int(os.environ['LEDGER_KEY_FD']), 64).hex().encode())"
    stdout, _ = drive(python(code)).communicate(timeout=60)
    stolen = Key.from_seed(bytes.fromhex(stdout.decode()), name="stolen")
    with Ledger.open(capsule, key=stolen) as book, pytest.raises(KeyRefusedError):
        book.append(Event("x.late", "", {}))


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
