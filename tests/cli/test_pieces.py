"""The small parts that commands share."""

import io
import os
import pty
import sys
from pathlib import Path

import pytest
from cli_shell import Command, command_line, environment

from cli import progress, state
from cli.errors import Problem, describe
from cli.lines import Lines
from cli.progress import Progress
from ledger import Key, Ledger, StoreError


def test_a_passphrase_is_asked_for_on_a_terminal(book: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    Key.generate("x").write(locked, b"secret")
    args = ("append", book, "--type", "x.a", "--data", "{}", "--key", locked)
    line, env = command_line(*args), environment()
    child, terminal = pty.fork()
    if child == 0:
        os.execve(line[0], line, env)  # noqa: S606 - a terminal of its own needs a fork
    said = b""
    while b"Passphrase" not in said:
        said += os.read(terminal, 1024)
    os.write(terminal, b"secret\n")
    try:
        while chunk := os.read(terminal, 1024):
            said += chunk
    except OSError:  # how a pty says that the other side has closed
        pass
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 4  # unlocked, and not in the register
    assert b"register" in said
    assert b"secret" not in said


def test_the_signer_remembers_where_it_is_told_to(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_STATE", "/somewhere")
    assert state.signer_memory() == Path("/somewhere")
    monkeypatch.delenv("LEDGER_STATE")
    assert state.signer_memory() == home / ".local" / "state" / "evidence-ledger"
    monkeypatch.setenv("XDG_STATE_HOME", "/xdg")
    assert state.signer_memory() == Path("/xdg/evidence-ledger")


def test_the_default_key_lies_in_the_users_configuration(
    call: Command, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LEDGER_KEY")
    assert call("init", tmp_path / "a.jsonl", "--name", "demo").code == 0
    assert (home / ".config" / "evidence-ledger" / "key").stat().st_mode & 0o777 == 0o600


class Terminal(io.StringIO):
    """Something that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, *, quiet: bool = False) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress("verifying", quiet=quiet) as bar:
        bar(1, 2)
        bar(2, 2)
    return stream.getvalue()


def test_progress_is_for_terminals_and_for_work_that_lasts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert shown(monkeypatch, Terminal()) == ""
    monkeypatch.setattr(progress, "_PATIENCE_S", 0.0)
    assert "verifying" in shown(monkeypatch, Terminal())
    assert shown(monkeypatch, Terminal(), quiet=True) == ""
    assert shown(monkeypatch, io.StringIO()) == ""


def batches(content: bytes, size: int | None) -> list[list[tuple[int, bytes]]]:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as source:
        os.write(writer, content)
        os.close(writer)
        return [*Lines(source.fileno()).batches(size)]


def test_lines_come_in_batches_with_their_numbers() -> None:
    assert batches(b"a\nb\nc", 2) == [[(1, b"a"), (2, b"b")], [(3, b"c")]]
    assert batches(b"a\nb\nc\n", None) == [[(1, b"a"), (2, b"b"), (3, b"c")]]
    assert batches(b"\n\n", 5) == [[(1, b""), (2, b"")]]
    assert batches(b"", None) == []


def test_a_ready_batch_has_a_limit() -> None:
    assert [len(batch) for batch in batches(b"\n" * 2500, None)] == [1000, 1000, 500]


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    with (tmp_path / "endless").open("wb") as file:
        file.truncate(1 << 30)
    with (tmp_path / "endless").open("rb") as file:
        (batch,) = Lines(file.fileno()).batches(None)
    assert len(batch) == 1
    assert len(batch[0][1]) < 1 << 21


def test_an_error_has_one_shape() -> None:
    problem = Problem("store", 3, "what\x1b[31m", where="where", meaning="why", help="how")
    assert problem.to_text() == (
        "error: what\\x1b[31m\n  where: where\n  meaning: why\n  help: how"
    )
    assert problem.to_json() == {
        "schema": "evidence-ledger/error/v1",
        "exit_code": 3,
        "error": {
            "kind": "store",
            "what": "what\x1b[31m",
            "where": "where",
            "meaning": "why",
            "help": "how",
        },
    }


def test_an_error_fits_a_screen_whatever_is_in_it() -> None:
    assert len(describe(StoreError("x" * 100_000)).what) < 2100


def test_a_traceback_is_shown_to_whoever_asks(
    call: Command, book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> Ledger:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(Ledger, "open", fail)
    done = call("log", book)
    assert (done.code, "Traceback" in done.err) == (3, False)
    monkeypatch.setenv("LEDGER_TRACEBACK", "1")
    assert "ZeroDivisionError" in call("log", book).err
