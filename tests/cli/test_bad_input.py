"""Bad input, through the real command: one screen, the right exit code, nothing half-written."""

import fcntl
import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_shell import Finished, command_line, environment, shell

from ledger import Event, Key, Ledger
from verifier.policy import Policy
from verifier.run import verify_path

SCREEN = 12  # lines
NOTE = ("--type", "x.note", "--data", '{"n":1}')


def ids(path: Path) -> list[str]:
    with Ledger.open(path) as book:
        return [entry.id for entry in book.entries()]


def verifies(path: Path) -> bool:
    policy = Policy(strict=False, ledger_id=None, checkpoints=(), jobs=1)
    return verify_path(path, policy).outcome == "VERIFIED"


def refused(done: Finished, code: int, *words: str) -> None:
    """The error has the one shape, fits a screen, and says these words."""
    assert (done.code, done.out) == (code, ""), done.err
    first, *rest = done.err.splitlines()
    assert first.startswith("error: ")
    assert len(rest) < SCREEN
    assert all(line.startswith(("  where: ", "  meaning: ", "  help: ")) for line in rest)
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err, done.err


def test_an_unknown_key_may_not_append(book: Path, tmp_path: Path) -> None:
    Key.generate("eve").write(tmp_path / "eve")
    before = book.read_bytes()
    done = shell("append", book, *NOTE, "--key", tmp_path / "eve")
    refused(done, 4, "is not in the ledger's register", "authorize", str(book))
    assert len(ids(book)) == 1
    assert book.suffix != ".jsonl" or book.read_bytes() == before


def test_a_key_without_the_role_may_not_append(book: Path, key: Key, tmp_path: Path) -> None:
    small = Key.generate("small")
    small.write(tmp_path / "small")
    with Ledger.open(book, key=key) as opened:
        opened.authorize(small.public, name="small", roles=["log"])
    done = shell("append", book, *NOTE, "--key", tmp_path / "small")
    refused(done, 4, "'small'", "['log']", "x.note", "nothing was written")
    assert len(ids(book)) == 2


def test_a_blob_is_not_kept_for_a_key_that_may_not_record_it(book: Path, tmp_path: Path) -> None:
    Key.generate("eve").write(tmp_path / "eve")
    big = tmp_path / "big.bin"
    big.write_bytes(bytes(1000))
    done = shell("append", book, "--type", "x.a", "--blob", big, "--key", tmp_path / "eve")
    refused(done, 4, "register")
    assert not (tmp_path / "blobs").exists()


def test_a_missing_key_is_named(book: Path, tmp_path: Path) -> None:
    done = shell("append", book, *NOTE, "--key", tmp_path / "none")
    refused(done, 4, str(tmp_path / "none"), "does not exist", "ledger key new")


def test_a_file_that_is_no_key_is_refused(book: Path, tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("not a key")
    done = shell("append", book, *NOTE, "--key", tmp_path / "bad")
    refused(done, 4, "not an OpenSSH private key")


def test_a_key_of_another_kind_is_refused(book: Path, tmp_path: Path) -> None:
    path = tmp_path / "rsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", path], check=True)
    refused(shell("append", book, *NOTE, "--key", path), 4, "expected an Ed25519 key")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_key_is_refused(book: Path, key: Key, home: Path) -> None:
    del key
    (home / "key").chmod(0)
    refused(shell("append", book, *NOTE), 4, "cannot be read", "Permission denied")


def test_a_key_that_cannot_be_read_is_refused(book: Path, home: Path) -> None:
    """As root reads every file, the path leads through a file."""
    done = shell("append", book, *NOTE, "--key", home / "key" / "key")
    refused(done, 4, "cannot be read", "Not a directory")


def test_a_key_that_is_a_directory_is_refused(book: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    done = shell("append", book, *NOTE, "--key", tmp_path / "folder")
    assert (done.code, done.out) == (64, "")
    assert "is a directory" in done.err


def test_a_locked_key_says_how_to_unlock_it(book: Path, tmp_path: Path) -> None:
    Key.generate("locked").write(tmp_path / "locked", b"secret")
    done = shell("append", book, *NOTE, "--key", tmp_path / "locked")
    refused(done, 4, "locked by a passphrase", "LEDGER_KEY_PASSPHRASE")


def test_a_wrong_passphrase_is_refused(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Key.generate("locked").write(tmp_path / "locked", b"secret")
    monkeypatch.setenv("LEDGER_KEY_PASSPHRASE", "hunter2")
    done = shell("append", book, *NOTE, "--key", tmp_path / "locked")
    refused(done, 4, "the passphrase does not fit")
    assert "hunter2" not in done.err


@pytest.mark.parametrize("suffix", ["jsonl", "sqlite"])
def test_what_is_no_ledger_is_refused(suffix: str, key: Key, tmp_path: Path) -> None:
    del key
    path = tmp_path / f"poem.{suffix}"
    path.write_text("Shall I compare thee to a summer's day?\n")
    refused(shell("append", path, *NOTE), 2, "ledger verify")
    assert path.read_text() == "Shall I compare thee to a summer's day?\n"


def test_an_empty_file_is_no_ledger(key: Key, tmp_path: Path) -> None:
    del key
    (tmp_path / "empty.jsonl").touch()
    refused(shell("log", tmp_path / "empty.jsonl"), 2, "holds no entry")


def test_a_newer_version_is_named(book: Path, tmp_path: Path) -> None:
    newer = tmp_path / "newer.jsonl"
    shell("export", book, newer)
    newer.write_bytes(newer.read_bytes().replace(b'{"entry":{"v":1,', b'{"entry":{"v":2,'))
    refused(shell("append", newer, *NOTE), 2, "version 2", "reads version 1")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock as another writer would."""
    if path.suffix == ".jsonl":
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def test_a_ledger_that_another_process_locks_is_left_alone(book: Path) -> None:
    with locked(book):
        done = shell("append", book, *NOTE, "--timeout", "0.2")
    refused(done, 3, "locked by another process", "--timeout")
    assert len(ids(book)) == 1
    assert shell("append", book, *NOTE).code == 0


@contextmanager
def tiny_disk(place: Path) -> Iterator[Path]:
    """Mount a disk of 256 KiB."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("mounting needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("suffix", ["jsonl", "sqlite"])
def test_a_full_disk_loses_nothing_that_was_acknowledged(
    suffix: str, key: Key, tmp_path: Path
) -> None:
    lines = "".join(
        json.dumps({"type": "x.a", "subject": "s", "data": {"pad": "p" * 2000, "n": n}}) + "\n"
        for n in range(300)
    )
    with tiny_disk(tmp_path / "disk") as disk:
        path = disk / f"book.{suffix}"
        Ledger.create(path, name="demo", key=key).close()
        done = shell("append", path, "--stdin", "--batch", 10, stdin=lines)
        assert done.code == 3, done.err
        assert "error: line " in done.err
        assert "No space left" in done.err or "full" in done.err
        acknowledged = [line.split("\t")[1] for line in done.out.splitlines()]
        assert acknowledged
        assert ids(path)[1:] == acknowledged
        assert verifies(path)


def test_a_file_size_limit_loses_nothing_that_was_acknowledged(key: Key, tmp_path: Path) -> None:
    """The same as a full disk, where nobody may mount one."""
    path = tmp_path / "book.jsonl"
    Ledger.create(path, name="demo", key=key).close()
    lines = "".join(
        json.dumps({"type": "x.a", "data": {"pad": "p" * 2000, "n": n}}) + "\n" for n in range(100)
    )
    limited = ("prlimit", "--fsize=100000", "--")
    done = shell("append", path, "--stdin", "--batch", 10, stdin=lines, wrap=limited)
    assert done.code == 3, done.err
    assert "File too large" in done.err
    acknowledged = [line.split("\t")[1] for line in done.out.splitlines()]
    assert acknowledged
    assert ids(path)[1:] == acknowledged
    assert verifies(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes every file")
def test_a_read_only_file_is_refused(book: Path) -> None:
    book.chmod(0o444)
    refused(shell("append", book, *NOTE), 3)
    assert len(ids(book)) == 1


def test_a_file_on_a_read_only_disk_is_refused(book: Path) -> None:
    bind = f"mount --bind {book.parent} {book.parent} && mount -o remount,ro,bind {book.parent}"
    probe = subprocess.run(["unshare", "-m", "sh", "-c", bind], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("mounting needs root")
    script = f'{bind} && exec "$@"'
    done = shell("append", book, *NOTE, wrap=("unshare", "-m", "sh", "-c", script, "sh"))
    refused(done, 3, str(book))
    assert len(ids(book)) == 1


GOOD = '{"type":"x.a","subject":"s","data":{"n":1}}\n'


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"type":"x.a","data":', "not JSON"),
        ('{"type":"x.a","data":{"n":NaN}}', "NaN"),
        ('{"type":"x.a","data":{"n":-Infinity}}', "Infinity"),
        ('{"type":"x.a","data":{"n":1e999}}', "finite"),
        ('{"type":"x.a","data":{"n":9007199254740993}}', "2^53"),
        ('{"type":"x.a","data":{"n":1,"n":2}}', "twice"),
        ('{"type":"x.a","type":"x.b","data":{}}', "twice"),
        ('{"type":"x.a","data":{"\\u0000":1}}', "U+0000"),
        ('{"type":"x.a","data":{"n":"\\ud800"}}', "surrogate"),
        ('{"type":"x.a","data":{},"time":"now"}', "unknown member 'time'"),
        ('{"type":"x.a","data":[]}', "data must be an object"),
        ('{"type":"x.a"}', "data must be an object"),
        ('{"data":{}}', "type, subject and id must be strings"),
        ('{"type":"x.a","id":7,"data":{}}', "must be strings"),
        ('{"type":"X","data":{}}', "dotted lower-case names"),
        ('{"type":"x.a","subject":"a\\nb","data":{}}', "control characters"),
        ('{"type":"gate.checked","data":{"iter":1}}', "gate.checked"),
        ('{"type":"ledger.created","data":{}}', "one ledger.created"),
        ('{"type":"x.a","data":{"n":"' + "p" * 66_000 + '"}}', "put the large part into a blob"),
        ('{"type":"x.a","data":{"n":"' + "p" * 1_100_000 + '"}}', "put it into a blob"),
        ("[" * 100_000, "deeper than 64"),
        ('{"type":"x.a","data":{"n":1 2}}', "not JSON"),
        ("null", "not a JSON object"),
    ],
)  # fmt: skip
def test_a_bad_line_is_numbered_and_what_came_before_it_stays(
    line: str, words: str, key: Key, tmp_path: Path
) -> None:
    path = tmp_path / "book.jsonl"
    Ledger.create(path, name="demo", key=key).close()
    done = shell("append", path, "--stdin", stdin=GOOD + "\n" + GOOD + line + "\n" + GOOD)
    assert done.code == 64, done.err
    assert done.err.startswith("error: line 4: ")
    assert words in done.err
    assert "2 events before it stay" in done.err
    assert len(done.err.splitlines()) < SCREEN
    acknowledged = [line.split("\t")[1] for line in done.out.splitlines()]
    assert len(acknowledged) == 2
    assert ids(path)[1:] == acknowledged


def test_a_line_that_is_not_utf_8_is_refused(key: Key, tmp_path: Path) -> None:
    path = tmp_path / "book.jsonl"
    Ledger.create(path, name="demo", key=key).close()
    done = shell("append", path, "--stdin", stdin=b'{"type":"x.a","data":{"n":"\xff"}}\n')
    refused(done, 64, "line 1", "not UTF-8")


def test_a_bad_line_ends_a_json_stream_with_an_error_object(book: Path) -> None:
    done = shell("append", book, "--stdin", "--json", stdin=GOOD + "{")
    first, last = map(json.loads, done.out.splitlines())
    assert (done.code, done.err) == (64, "")
    assert sorted(first) == ["hash", "id", "seq"]
    assert (last["schema"], last["exit_code"]) == ("evidence-ledger/error/v1", 64)
    assert last["error"]["what"].startswith("line 2: ")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('{"n":NaN}', 'record it as the string "NaN"'),
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"a":1,"a":1}', "twice"),
    ],
)
def test_bad_data_is_refused(data: str, words: str, book: Path) -> None:
    refused(shell("append", book, "--type", "x.a", "--data", data), 64, "--data: ", words)
    assert len(ids(book)) == 1


def test_an_oversize_event_points_to_blobs(book: Path, tmp_path: Path) -> None:
    big = tmp_path / "big.json"
    big.write_text(json.dumps({"n": "p" * 70_000}))
    done = shell("append", book, "--type", "x.a", "--data-file", big)
    refused(done, 64, "65535", "--blob FILE")
    assert len(ids(book)) == 1


def test_a_directory_without_a_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for command in ("log", "verify"):
        done = shell(command, tmp_path / "empty")
        refused(done, 64, "ledger.sqlite", str(tmp_path / "empty"))
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    done = shell("log", tmp_path / "none.jsonl")
    refused(done, 64, "does not exist", "ledger init")


def test_a_head_that_moved_on_is_a_conflict(book: Path, key: Key) -> None:
    with Ledger.open(book, key=key) as opened:
        old = f"{opened.head.size}:{opened.head.hash.hex()}"
        opened.append(Event("x.a", "s", {}))
    refused(shell("append", book, *NOTE, "--expected-head", old), 64, "expected size 1", "found")
    assert len(ids(book)) == 2


@pytest.mark.parametrize("args", [(), ("--nonsense",), ("append",), ("nonsense",), ("log",)])
def test_usage_errors_exit_64_and_never_2(args: tuple[str, ...]) -> None:
    """click's own 2 would read as tampered."""
    done = shell(*args)
    assert (done.code, done.out) == (64, "")
    assert done.err


def test_usage_errors_are_json_if_that_was_asked_for() -> None:
    done = shell("append", "--json")
    answer = json.loads(done.out)
    assert (done.code, done.err, answer["exit_code"]) == (64, "", 64)
    assert answer["error"]["kind"] == "usage"


def test_an_internal_error_is_one_line_and_exit_3(book: Path, tmp_path: Path) -> None:
    """The commands' module is broken on purpose: what no one foresaw still ends well."""
    broken = tmp_path / "broken.py"
    broken.write_text(
        "import cli.reading\n"
        "def fail(*a, **k): raise ZeroDivisionError('by zero')\n"
        "cli.reading.select = fail\n"
        "from cli.main import main\n"
        "main()\n"
    )
    line = [command_line()[0], str(broken), "log", str(book)]
    done = subprocess.run(line, capture_output=True, env=environment(), check=False)
    assert (done.returncode, done.stdout) == (3, b"")
    first, *rest = done.stderr.decode().splitlines()
    assert first == "error: internal error: ZeroDivisionError: by zero"
    assert any("report it" in line for line in rest)
    assert b"Traceback" not in done.stderr
