"""The parts of the wrapper by themselves: follower, guard, runners, preflight, the log's lock."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger import Entry, Event, Key, Ledger, MisuseError
from producers.runs import RunSpec, close_abandoned, missing_for, preset_among
from producers.runs.abandoned import held
from producers.runs.follow import Follower
from producers.runs.guard import Guard
from producers.runs.runners import arguments_for, runner_of


def line_of(entry: Entry) -> bytes:
    return f"{entry.seq} {entry.type}\n".encode() if entry.type.startswith("x.") else b""


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(params=["ledger.sqlite", "ledger.jsonl"])
def book(request: pytest.FixtureRequest, tmp_path: Path, key: Key) -> Iterator[Ledger]:
    with Ledger.create(tmp_path / request.param, name="t", key=key) as made:
        yield made


def follower(book: Ledger, target: Path, follow: Callable[[Entry], bytes] | None) -> Follower:
    return Follower(book.path, book.size, subject="run/r", target=target, follow=follow)


def checked(decision: str, iteration: int, subject: str = "run/r") -> Event:
    audit = {
        "evaluated": True,
        "reason": decision,
        "policy": "persistence",
        "worst_DW": 0.5,
        "eps_eff": 0.1,
        "per_metric_tv": {},
        "evidence_total": 8,
        "min_evidence": 2,
    }
    data = {"iter": iteration, "decision": decision, "audit": audit, "evidence": {}}
    return Event("gate.checked", subject, data)


def test_entries_are_streamed_as_they_come_and_all_are_there_at_the_end(
    book: Ledger, tmp_path: Path
) -> None:
    target = tmp_path / "log"
    book.append(Event("x.before", "", {}))
    with follower(book, target, line_of) as following:
        book.append_batch([Event("x.one", "", {}), Event("x.two", "", {})])
        until(lambda: target.exists() and target.read_bytes() == b"2 x.one\n3 x.two\n")
        book.append(Event("x.last", "", {}))
    assert target.read_bytes() == b"2 x.one\n3 x.two\n4 x.last\n"
    assert following.problem is None
    assert following.agrees_with(b"2 x.one\n3 x.two\n4 x.last\nand more")
    assert not following.agrees_with(b"2 x.one\n3 x.TWO\n4 x.last\n")
    assert not following.agrees_with(b"2 x.one\n")


def test_what_a_crash_could_still_cut_off_is_not_streamed(tmp_path: Path, key: Key) -> None:
    """A batch is signed at its end: without the end, the next writer sets the rest aside."""
    path, target = tmp_path / "ledger.jsonl", tmp_path / "log"
    with Ledger.create(path, name="t", key=key) as book:
        size = book.size
        book.append_batch([Event("x.one", "", {}), Event("x.two", "", {})])
    whole = path.read_bytes()
    path.write_bytes(whole[: whole[:-1].rindex(b"\n") + 1])
    following = Follower(path, size, subject="", target=target, follow=line_of)
    with following:
        time.sleep(0.6)
        assert not target.exists()
        path.write_bytes(whole)
    assert target.read_bytes() == b"1 x.one\n2 x.two\n"


def test_the_first_fail_of_the_run_itself_is_noticed(book: Ledger, tmp_path: Path) -> None:
    with follower(book, tmp_path / "log", None) as following:
        book.append(checked("warn", 10))
        book.append(checked("fail", 15, subject="run/another"))
        book.append(checked("fail", 20))
        book.append(checked("fail", 30))
        until(following.has_failed)
    assert following.failed_at == 20
    assert not (tmp_path / "log").exists()


def test_a_target_that_cannot_be_written_is_a_problem_and_no_crash(
    book: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "log").mkdir()
    with follower(book, tmp_path / "log", line_of) as following:
        book.append(Event("x.one", "", {}))
    assert following.problem is not None
    assert "log could not be streamed" in following.problem


def test_a_link_in_the_place_of_the_target_is_not_followed(book: Ledger, tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"mine")
    (tmp_path / "log").symlink_to(tmp_path / "victim")
    with follower(book, tmp_path / "log", line_of) as following:
        book.append(Event("x.one", "", {}))
    assert following.problem is not None
    assert (tmp_path / "victim").read_bytes() == b"mine"


def sleeper() -> "subprocess.Popen[bytes]":
    """Return the leader of a group of its own, which has a deaf child."""
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)"
    code = (
        "import subprocess, sys, time\n"
        f"c = subprocess.Popen([sys.executable, '-c', {deaf + '; time.sleep(60)'!r}],"
        " stdout=subprocess.PIPE)\n"
        "c.stdout.readline(); print(c.pid, flush=True); time.sleep(60)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE
    )


def test_a_guard_that_hears_nothing_more_ends_the_whole_group() -> None:
    """What happens when the wrapper is killed, without killing the tests."""
    process = sleeper()
    assert process.stdout is not None
    child = int(process.stdout.readline())
    guard = Guard(0.5)
    guard.__enter__()
    guard.watch(process.pid)
    assert guard._process is not None
    assert guard._process.stdin is not None
    guard._process.stdin.close()
    assert process.wait(20) == -signal.SIGTERM
    until(lambda: _gone(child))  # deaf to SIGTERM, so it took the second step
    guard._process.wait(20)


def test_a_guard_that_is_sent_home_ends_nothing() -> None:
    process = sleeper()
    with Guard(0.0) as guard:
        guard.watch(process.pid)
    assert guard._process is not None
    assert guard._process.returncode == 0
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_guard_without_anything_to_guard_leaves_at_once() -> None:
    begun = time.monotonic()
    with Guard(30.0) as guard:
        pass
    assert guard._process is not None
    assert guard._process.returncode == 0
    assert time.monotonic() - begun < 4


def test_a_runner_is_ours_the_users_or_none() -> None:
    ours = runner_of("gpt", {}, python="py")
    assert ours == (("py", "-m", "producers.gates.gpt"), True)
    env = {"VERISCOPE_GPT_RUNNER_CMD": "sh -c 'exit 0'", "LEDGER_HF_RUNNER_CMD": " "}
    assert runner_of("gpt", env, python="py") == (("sh", "-c", "exit 0"), False)
    assert runner_of("hf", env, python="py").own
    both = env | {"LEDGER_GPT_RUNNER_CMD": "mine"}
    assert runner_of("gpt", both, python="py").words == ("mine",)
    assert runner_of("other", both, python="py") == ((), False)
    with pytest.raises(MisuseError, match="LEDGER_GPT_RUNNER_CMD is not a command line"):
        runner_of("gpt", {"LEDGER_GPT_RUNNER_CMD": "'"}, python="py")


@pytest.mark.parametrize(
    ("arguments", "preset"),
    [
        ((), None),
        (("--gate-preset",), None),
        (("--gate-preset", "a"), "a"),
        (("--gate_preset=a", "--x"), "a"),
        (("--gate-preset", "a", "--gate-preset=b"), "b"),
        (("--gate-preset-x", "a"), None),
    ],
)
def test_the_preset_among_the_arguments_is_found(
    arguments: tuple[str, ...], preset: str | None
) -> None:
    assert preset_among(arguments) == preset


def test_only_a_runner_of_ours_is_told_things_and_none_twice() -> None:
    ours, theirs = runner_of("gpt", {}, python="py"), runner_of("x", {}, python="py")
    told = arguments_for(ours, ("--seed", "1"), preset="p", stop_on_fail=True)
    assert told == ("--gate-preset", "p", "--stop-on", "fail", "--seed", "1")
    own = ("--gate-preset=q", "--stop-on", "warn")
    assert arguments_for(ours, own, preset="q", stop_on_fail=True) == own
    assert arguments_for(theirs, ("a",), preset="p", stop_on_fail=True) == ("a",)


def test_what_is_not_installed_is_named_together(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_for("a kind of mine") is None
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert str(missing_for("hf")).startswith("accelerate is not installed: pip install")
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert str(missing_for("hf")).startswith("torch, transformers and accelerate are not")


def test_a_run_is_abandoned_only_when_nobody_holds_its_log(tmp_path: Path, key: Key) -> None:
    opened: dict[str, Any] = {
        "kind": "k", "argv": [], "outdir": "/x", "runner_key": None, "python": "3", "platform": "p",
        "package": {"name": "n", "version": "1"}, "git": {"sha": None, "dirty": None}, "env": {},
        "env_capture": {
            "allowlist": [], "deny_exact": [], "deny_regex": [], "redactions_applied": False
        },
    }  # fmt: skip
    log = tmp_path / "runner_output.log"
    with Ledger.create(tmp_path / "ledger.sqlite", name="t", key=key) as book:
        book.append(Event("run.opened", "run/a", opened))
        book.append(Event("run.opened", "run/b", {**opened, "witness": "in_process"}))

        def close() -> tuple[str, ...]:
            return close_abandoned(book, lambda _: tmp_path, lambda _: None)

        assert close() == ()  # its directory is not here: nothing can be said of it
        log.write_bytes(b"")
        with log.open("r+b") as file, held(file):
            file.close()  # the copy of the descriptor holds it on
            with pytest.raises(MisuseError, match="run a of this ledger still goes on"):
                close()
        assert close() == ("a",)
        assert close() == ()
        ends = [e.subject for e in book.entries() if e.type == "run.closed"]
        assert ends == ["run/a"]


def test_a_command_that_cannot_be_read_is_refused_by_the_check_alone(tmp_path: Path) -> None:
    env = {"LEDGER_GPT_RUNNER_CMD": "'"}
    with pytest.raises(MisuseError, match="command line"):
        RunSpec(kind="gpt", argv=(), outdir=tmp_path / "x", env=env).check()
    strict = RunSpec(kind="x", argv=("a",), outdir=tmp_path / "x", env={}, strict_determinism=True)
    with pytest.raises(MisuseError, match="PYTHONHASHSEED"):
        strict.check()
    assert not (tmp_path / "x").exists()


def test_following_ends_when_it_is_told_to(book: Ledger, tmp_path: Path) -> None:
    count = threading.active_count()
    for _ in range(3):
        with follower(book, tmp_path / "log", line_of):
            pass
    assert threading.active_count() == count


def _gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in {"Z", "X"}
