"""``init``, ``append``, ``key``: what is written, and what is said of it."""

import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cli_shell import Command, Finished, command_line, environment, shell

from cli import inputs, keys
from cli.appending import _drafted
from ledger import Event, Key, Ledger, MisuseError
from ledger.writer import draft


def entries(path: Path) -> list[tuple[str, str, dict[str, object]]]:
    with Ledger.open(path) as book:
        return [(entry.type, entry.subject, entry.data) for entry in book.entries(1)]


def append(call: Command, book: Path, *args: object) -> Finished:
    return call("append", book, "--type", "x.note", *args)


def test_init_makes_a_key_for_whoever_has_none(call: Command, home: Path, tmp_path: Path) -> None:
    done = call("init", tmp_path / "a.jsonl", "--name", "demo")
    with Ledger.open(tmp_path / "a.jsonl") as book:
        assert done.code == 0
        assert done.out.startswith(f"made a new key: {home / 'key'}\nledger:")
        assert book.id in done.out
        assert book.name == "demo"
    fingerprint = subprocess.run(
        ["ssh-keygen", "-l", "-f", home / "key.pub"], capture_output=True, check=True
    ).stdout.split()[1]
    assert fingerprint.decode() in done.out


def test_init_takes_the_key_that_there_is(call: Command, key: Key, tmp_path: Path) -> None:
    done = json.loads(call("init", tmp_path / "run", "--name", "demo", "--json").out)
    assert done["schema"] == "evidence-ledger/init/v1"
    assert (done["exit_code"], done["key_made"]) == (0, False)
    assert done["key"]["id"] == key.id
    assert done["path"] == str(tmp_path / "run" / "ledger.sqlite")


def test_init_makes_no_key_where_one_was_named(call: Command, tmp_path: Path) -> None:
    done = call("init", tmp_path / "a.jsonl", "--name", "demo", "--key", tmp_path / "typo")
    assert done.code == 4
    assert not (tmp_path / "typo").exists()
    assert not (tmp_path / "a.jsonl").exists()


def test_init_leaves_an_existing_ledger_alone(call: Command, book: Path) -> None:
    before = book.read_bytes()
    assert call("init", book, "--name", "other").code == 3
    assert book.read_bytes() == before


def test_an_event_is_acknowledged_with_its_place(call: Command, book: Path) -> None:
    done = append(call, book, "--subject", "run/1", "--data", '{ "a": [1, 2.5] }', "--id", "one")
    with Ledger.open(book) as opened:
        entry = opened.find("one")
        assert entry is not None
        assert done.out == f"1\tone\t{entry.hash}\n"
        assert entry.payload == b'{"a":[1,2.5]}'
    assert entries(book) == [("x.note", "run/1", {"a": [1, 2.5]})]


def test_the_same_id_is_the_same_entry(call: Command, book: Path) -> None:
    args = ("--data", '{"a":1}', "--id", "one", "--json")
    first, second = append(call, book, *args), append(call, book, *args)
    assert first == second
    assert json.loads(first.out)["seq"] == 1
    assert append(call, book, "--data", '{"a":2}', "--id", "one").code == 64
    assert len(entries(book)) == 1


def test_data_may_come_from_a_file(call: Command, book: Path, tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text('{\n  "text": "two  spaces \\" {"\n}\n')
    assert append(call, book, "--data-file", tmp_path / "data.json").code == 0
    assert entries(book)[0][2] == {"text": 'two  spaces " {'}


def test_a_blob_is_kept_and_referred_to(call: Command, book: Path, tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"weights" * 20_000)
    assert append(call, book, "--blob", tmp_path / "w.bin", "--media-type", "a/b").code == 0
    reference = entries(book)[0][2]["blob"]
    assert isinstance(reference, dict)
    assert (reference["name"], reference["media_type"]) == ("w.bin", "a/b")
    with Ledger.open(book) as opened:
        assert opened.blobs.read(reference["sha256"]) == b"weights" * 20_000


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("--data", "{}", "--blob", "x"),
        ("--data", "{}", "--media-type", "a/b"),
        ("--data", "{}", "--batch", "2"),
        ("--data", "{}", "--stdin"),
        ("--data", "{}", "--expected-head", "1:abc"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    args: tuple[str, ...], call: Command, book: Path
) -> None:
    done = append(call, book, *args)
    assert (done.code, done.out) == (64, "")
    assert entries(book) == []


def test_a_type_is_needed(call: Command, book: Path) -> None:
    assert "--type" in call("append", book, "--data", "{}").err


def test_the_expected_head_lets_the_append_through(call: Command, book: Path) -> None:
    with Ledger.open(book) as opened:
        head = f"{opened.head.size}:{opened.head.hash.hex()}"
    assert append(call, book, "--data", "{}", "--expected-head", head).code == 0


@pytest.mark.parametrize(
    "data", [{"a": {"b": [1, "é\x7f\u2028\t", None, True]}}, {"a": [{"b": 1e300}]}, {}]
)
def test_the_fast_way_writes_the_same_bytes(data: dict[str, object]) -> None:
    """A repeated append compares bytes: the two encoders must agree."""
    event = Event("x.note", "s", data, "id")
    assert _drafted(event) == draft(event)


def test_whitespace_goes_and_the_rest_stays() -> None:
    assert inputs.payload(b'\r\n{ "a\\" b" :\t[ 1 , "  " ] }\n', what="it") == {'a" b': [1, "  "]}


def test_whitespace_that_parts_two_tokens_is_no_whitespace() -> None:
    with pytest.raises(MisuseError, match="not JSON"):
        inputs.payload(b'{"a":1 2}', what="it")


def test_a_stream_is_appended_in_batches(book: Path) -> None:
    lines = "".join(f'{{"type":"x.a","subject":"s","data":{{"n":{n}}}}}\n' for n in range(25))
    done = shell("append", book, "--stdin", "--batch", 10, "--json", stdin=lines)
    assert (done.code, done.err) == (0, "")
    receipts = [json.loads(line) for line in done.out.splitlines()]
    with Ledger.open(book) as opened:
        written = [*opened.entries(1)]
    assert [entry.data["n"] for entry in written] == [*range(25)]
    assert receipts == [{"seq": e.seq, "id": e.id, "hash": e.hash} for e in written]
    assert [entry.seq for entry in written if entry.signed] == [10, 20, 25]


def test_a_batch_is_what_is_ready(book: Path) -> None:
    lines = "".join(f'{{"type":"x.a","data":{{"n":{n}}}}}\n' for n in range(1500)).rstrip("\n")
    assert shell("append", book, "--stdin", stdin=lines).code == 0
    with Ledger.open(book) as opened:
        written = [*opened.entries(1)]
    assert len(written) == 1500  # the last line has no line end
    assert 1 < sum(entry.signed for entry in written) < 30


def test_a_line_is_acknowledged_before_the_next_one_comes(book: Path) -> None:
    """Whoever waits for the acknowledgement before writing on must not wait for ever."""
    line = [*command_line("append", book, "--stdin", "--json")]
    with subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdin
        assert process.stdout
        for n in range(1, 4):
            process.stdin.write(b'{"type":"x.a","data":{}}\n')
            process.stdin.flush()
            assert select.select([process.stdout], [], [], 30)[0]
            assert json.loads(os.read(process.stdout.fileno(), 4096))["seq"] == n
        process.stdin.close()
        assert process.wait(30) == 0


def test_sigterm_ends_a_stream_and_keeps_what_was_acknowledged(book: Path) -> None:
    line = command_line("append", book, "--stdin", "--json")
    with subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b'{"type":"x.a","data":{}}\n')
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["seq"] == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
    assert len(entries(book)) == 1


def test_sigint_exits_130(book: Path) -> None:
    line = command_line("log", book, "--follow", "--jsonl")
    with subprocess.Popen(line, stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout
        assert process.stdout.readline()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


def test_a_key_of_ssh_keygen_is_read_the_fast_way_and_the_long_way(tmp_path: Path) -> None:
    path = tmp_path / "id"
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada l.", "-f", str(path)]
    subprocess.run(make, check=True)
    assert keys._plain_seed(path) == Key.from_file(path).seed
    assert keys.load(path).name == "ada l."
    path.with_name("id.pub").unlink()
    assert keys.load(path).name == "id"


def test_a_locked_key_is_unlocked_from_the_environment(
    call: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_KEY_PASSPHRASE", "secret")
    path = tmp_path / "locked"
    assert call("key", "new", path, "--name", "x").code == 0
    assert keys._plain_seed(path) is None
    assert call("init", tmp_path / "a.jsonl", "--name", "demo", "--key", path).code == 0


def test_a_damaged_key_is_no_plain_one(key: Key, home: Path) -> None:
    lines = (home / "key").read_bytes().splitlines()
    middle = bytearray(lines[2])
    middle[20] ^= 1
    (home / "key").write_bytes(b"\n".join([*lines[:2], bytes(middle), *lines[3:]]))
    assert keys._plain_seed(home / "key") != key.seed


def test_a_new_key_is_never_written_over_another(call: Command, key: Key, home: Path) -> None:
    before = (home / "key").read_bytes()
    assert call("key", "new").code == 4
    assert (home / "key").read_bytes() == before
    shown = json.loads(call("key", "show", "--json").out)
    assert shown["id"] == key.id
    assert json.loads(call("key", "show", home / "key.pub", "--json").out) == {
        **shown,
        "path": str(home / "key.pub"),
    }


def test_a_key_is_authorized_rotated_and_revoked(call: Command, book: Path, tmp_path: Path) -> None:
    bob, carol = tmp_path / "bob", tmp_path / "carol"
    call("key", "new", bob, "--name", "bob")
    call("key", "new", carol, "--name", "carol")
    assert call("key", "authorize", book, f"{bob}.pub", "--role", "writer").code == 0
    assert append(call, book, "--data", "{}", "--key", bob).code == 0
    line = carol.with_name("carol.pub").read_text().strip()
    rotated = call("key", "rotate", book, "bob", "--to", line)
    assert rotated.code == 0
    assert "checkpoint" in rotated.out
    assert append(call, book, "--data", "{}", "--key", bob).code == 4
    assert append(call, book, "--data", "{}", "--key", carol).code == 0
    done = call("key", "revoke", book, "carol", "--reason", "gone", "--compromised-since", 4)
    assert done.code == 0
    assert append(call, book, "--data", "{}", "--key", carol).code == 4
    listed = json.loads(call("key", "list", book, "--json").out)["keys"]
    assert [(item["name"], item["state"]) for item in listed] == [
        ("ada", "active"),
        ("bob", "rotated"),
        ("carol", "revoked"),
    ]
    assert [entry[0] for entry in entries(book)] == [
        "key.authorized", "x.note", "key.rotated", "x.note", "key.revoked",
    ]  # fmt: skip


def test_the_last_owner_cannot_lock_everyone_out(call: Command, book: Path, tmp_path: Path) -> None:
    call("key", "new", tmp_path / "next", "--name", "next")
    public = tmp_path / "next.pub"
    assert call("key", "rotate", book, "ada", "--to", public).code == 64
    assert call("key", "revoke", book, "ada", "--reason", "x").code == 64
    assert entries(book) == []
    assert call("key", "rotate", book, "ada", "--to", tmp_path / "next").code == 0


def test_what_the_register_refuses_is_usage(call: Command, book: Path, home: Path) -> None:
    done = call("key", "authorize", book, home / "key.pub", "--role", "writer")
    assert done.code == 64
    assert "already in the register" in done.err
    done = call("key", "revoke", book, "nobody", "--reason", "x")
    assert (done.code, "no key" in done.err) == (64, True)
    assert entries(book) == []


def test_the_roles_are_listed(call: Command, book: Path, key: Key) -> None:
    done = call("key", "list", book)
    assert done.out.splitlines()[1].split()[:4] == ["ada", f"{key.id[:16]}…", "owner", "active"]
    assert "owner     *" in done.out
