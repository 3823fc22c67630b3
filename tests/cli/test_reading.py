"""``log``, ``show``, ``export``, ``import``: shown safely, carried whole."""

import hashlib
import json
import os
import select
import subprocess
from pathlib import Path

import pytest
from cli_shell import Command, command_line, environment, shell

from cli.render import columns, escape, escape_lines, shorten
from ledger import Event, Key, Ledger
from ledger.entry import frame_line


@pytest.fixture
def told(book: Path, key: Key) -> Path:
    """A ledger with a batch, two subjects and three types."""
    with Ledger.open(book, key=key) as opened:
        opened.append(Event("x.begun", "run/1", {"n": 0}, "first"))
        opened.append_batch([Event("x.step", "run/1", {"n": n}) for n in range(3)])
        opened.append(Event("x.begun", "run/2", {"n": 0}))
    return book


def seqs(call: Command, book: Path, *args: object) -> list[int]:
    done = call("log", book, "--json", *args)
    assert done.code == 0, done.err
    return [entry["seq"] for entry in json.loads(done.out)["entries"]]


def test_the_log_is_filtered(call: Command, told: Path, key: Key) -> None:
    assert seqs(call, told) == [0, 1, 2, 3, 4, 5]
    assert seqs(call, told, "--type", "x.begun") == [1, 5]
    assert seqs(call, told, "--type", "x.*") == [1, 2, 3, 4, 5]
    assert seqs(call, told, "--type", "x") == []
    assert seqs(call, told, "--subject", "run/1") == [1, 2, 3, 4]
    assert seqs(call, told, "--subject", "run/*", "--since", 4) == [4, 5]
    assert seqs(call, told, "--until", 2) == [0, 1, 2]
    assert seqs(call, told, "-n", 2) == [4, 5]
    assert seqs(call, told, "--type", "x.begun", "-n", 1, "--until", 4) == [1]
    assert seqs(call, told, "--key", "ada") == [0, 1, 2, 3, 4, 5]
    assert seqs(call, told, "--key", key.id[:8]) == [0, 1, 2, 3, 4, 5]


def test_the_log_says_what_vouches_for_an_entry(call: Command, told: Path) -> None:
    lines = call("log", told).out.splitlines()
    assert [line.split()[2] for line in lines] == [
        "signed", "signed", "batch", "batch", "signed", "signed",
    ]  # fmt: skip
    assert lines[2].endswith('ada           x.step              run/1  {"n": 0}')


def test_a_torn_end_is_shown_as_that(call: Command, key: Key, tmp_path: Path) -> None:
    path = tmp_path / "book.jsonl"
    with Ledger.create(path, name="demo", key=key) as book:
        book.append_batch([Event("x.step", "s", {"n": n}) for n in range(3)])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    assert [line.split()[2] for line in call("log", path).out.splitlines()[1:]] == ["TORN", "TORN"]
    assert "NONE: no signature vouches" in call("show", path, 1).out
    assert call("export", path, tmp_path / "out.jsonl").code == 2
    assert not (tmp_path / "out.jsonl").exists()


def test_jsonl_is_an_object_a_line(call: Command, told: Path) -> None:
    objects = [json.loads(line) for line in call("log", told, "--jsonl").out.splitlines()]
    assert [item["seq"] for item in objects] == [*range(6)]
    assert objects[1]["id"] == "first"
    assert objects[2]["vouched"] == "batch"


def test_one_object_and_an_endless_stream_do_not_go_together(call: Command, told: Path) -> None:
    assert call("log", told, "--json", "--follow").code == 64


def test_following_shows_what_others_append(told: Path, key: Key) -> None:
    line = command_line("log", told, "--follow", "--jsonl", "-n", 1)
    with (
        subprocess.Popen(line, stdout=subprocess.PIPE, env=environment()) as process,
        Ledger.open(told, key=key) as book,
    ):
        assert process.stdout
        assert json.loads(process.stdout.readline())["seq"] == 5
        for seq in (6, 7):
            book.append(Event("x.later", "s", {}))
            assert select.select([process.stdout], [], [], 30)[0]
            assert json.loads(process.stdout.readline())["seq"] == seq
        process.terminate()
        assert process.wait(30) == 143


def test_a_reader_that_leaves_is_no_error(key: Key, tmp_path: Path) -> None:
    path = tmp_path / "book.jsonl"
    with Ledger.create(path, name="demo", key=key) as book:
        book.append_batch([Event("x.step", "s", {"pad": "p" * 500}) for _ in range(2000)])
    with subprocess.Popen(
        command_line("log", path, "--jsonl"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 141


@pytest.mark.parametrize("name", ["1", "first", "hash"])
def test_an_entry_is_found_by_seq_id_and_hash(name: str, call: Command, told: Path) -> None:
    with Ledger.open(told) as book:
        wanted = next(book.entries(1))
    done = call("show", told, wanted.hash if name == "hash" else name, "--json")
    shown = json.loads(done.out)
    assert (shown["schema"], shown["exit_code"]) == ("evidence-ledger/show/v1", 0)
    assert (shown["seq"], shown["id"], shown["hash"]) == (1, "first", wanted.hash)
    assert (shown["signature"]["state"], shown["signature"]["by"]) == ("signed", 1)


def test_a_batched_entry_names_the_signature_that_vouches(call: Command, told: Path) -> None:
    out = call("show", told, 2).out
    assert "signature:  valid, in a batch that ada signed at entry 4" in out
    assert "type:       x.step" in out
    assert out.endswith('{\n  "n": 0\n}\n')


def test_an_entry_whose_signature_is_false_is_shown_as_that(
    call: Command, key: Key, tmp_path: Path
) -> None:
    """The log's own check ends at the last signature; ``show`` looks at the one it talks of."""
    path = tmp_path / "book.jsonl"
    with Ledger.create(path, name="demo", key=key) as book:
        for n in range(3):
            book.append(Event("x.step", "s", {"n": n}))
        rows = [*book.rows()]
    rows[1] = (rows[1][0], rows[1][1], key.sign(b"something else"))
    path.write_bytes(b"".join(frame_line(*row) for row in rows))
    assert "signature:  INVALID at entry 1" in call("show", path, 1).out


def test_the_raw_bytes_are_those_of_the_hash(told: Path) -> None:
    raw = shell("show", told, 1, "--raw").out.encode()
    with Ledger.open(told) as book:
        assert hashlib.sha256(b"\0" + raw).hexdigest() == next(book.entries(1)).hash


def test_an_entry_that_is_not_there_is_usage(call: Command, told: Path) -> None:
    done = call("show", told, "77")
    assert (done.code, done.out) == (64, "")
    assert "expected a seq below 6" in done.err


def test_a_damaged_ledger_is_not_shown(call: Command, told: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.jsonl"
    assert call("export", told, path).code == 0
    path.write_bytes(path.read_bytes().replace(b'"n":1', b'"n":7'))
    done = call("log", path)
    assert (done.code, done.out) == (2, "")
    assert "ledger verify" in done.err


def test_nothing_in_a_ledger_can_act_on_a_terminal(call: Command, book: Path, key: Key) -> None:
    evil = "run/\N{RIGHT-TO-LEFT OVERRIDE}1\N{ZERO WIDTH SPACE}\x9b31m"
    data = {"a": "\x1b[2J\x1b]0;x\x07", "b\u202e": "\n", "c": "\U000e0041"}
    with Ledger.open(book, key=key) as opened:
        opened.append(Event("x.evil", evil, data))
    for args in (("log", book), ("show", book, 1), ("log", book, "--jsonl"), ("key", "list", book)):
        shown = call(*args).out
        assert all(char.isprintable() or char == "\n" for char in shown), args
    assert "run/\\u202e1\\u200b\\x9b31m" in call("show", book, 1).out


def test_errors_are_safe_too(call: Command, tmp_path: Path) -> None:
    done = call("log", tmp_path / "a\x1b[31m\u202e.jsonl")
    assert done.code == 64
    assert all(char.isprintable() or char == "\n" for char in done.err)


def test_escaping_shows_what_was_there() -> None:
    assert escape("plain é 日本 😀") == "plain é 日本 😀"
    assert escape("a\tb\x7f\u2066\ufeff\U000e0001") == "a\\x09b\\x7f\\u2066\\ufeff\\U000e0001"
    assert escape_lines("a\nb\x1b") == "a\nb\\x1b"
    assert shorten("abcdef", 4) == "abc…"
    assert columns([["a", "b"], ["ccc", "d"]]) == "a    b\nccc  d"


def test_an_export_is_the_same_ledger(call: Command, told: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    done = json.loads(call("export", told, out, "--json").out)
    assert (done["size"], done["target"]) == (6, str(out))
    assert call("export", told, "-").out.encode() == out.read_bytes()
    assert call("import", out, tmp_path / "again.sqlite").code == 0
    with Ledger.open(told) as one, Ledger.open(tmp_path / "again.sqlite") as other:
        assert [*one.rows()] == [*other.rows()]
        assert one.id == done["ledger"]


def test_an_export_overwrites_nothing(call: Command, told: Path, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("mine")
    assert call("export", told, tmp_path / "out.jsonl").code == 3
    assert (tmp_path / "out.jsonl").read_text() == "mine"
    assert call("export", told, tmp_path / "out.xml").code == 64
    assert call("export", told, "-", "--json").code == 64


def test_a_run_directory_becomes_one_file_and_back(call: Command, key: Key, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    Ledger.create(folder, name="demo", key=key).close()
    (folder / "notes.txt").write_text("hello")
    assert call("export", folder, tmp_path / "run.tar").code == 0
    done = json.loads(call("import", tmp_path / "run.tar", tmp_path / "copy", "--json").out)
    assert (tmp_path / "copy" / "notes.txt").read_text() == "hello"
    assert done["size"] == 1
    assert call("export", folder / "ledger.sqlite", tmp_path / "file.tar").code == 64


def test_output_is_utf_8_whatever_the_locale(told: Path, key: Key) -> None:
    with Ledger.open(told, key=key) as book:
        book.append(Event("x.a", "größe", {}))
    done = subprocess.run(
        command_line("log", told, "-n", 1),
        capture_output=True,
        env={**environment(), "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        check=True,
    )
    assert "größe" in done.stdout.decode()
    assert os.fsencode("größe") in done.stdout
