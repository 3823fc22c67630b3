"""``checkpoint``, ``prove``, ``check-proof``, ``attack``, ``completion``."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cli_shell import Command, shell

from cli import attacking
from cli.attacks import bench
from cli.attacks.catalogue import CATALOGUE
from cli.attacks.scene import Scene
from ledger import Event, Key, Ledger

ATTACKS = 15


@pytest.fixture
def told(book: Path, key: Key) -> Path:
    with Ledger.open(book, key=key) as opened:
        opened.append_batch([Event("x.step", "s", {"n": n}) for n in range(8)])
        opened.append(Event("x.step", "s", {"n": 8}))
    return book


def id_of(book: Path) -> str:
    with Ledger.open(book) as opened:
        return opened.id


def test_a_checkpoint_pins_the_ledger(call: Command, told: Path, tmp_path: Path) -> None:
    note = tmp_path / "note"
    done = json.loads(call("checkpoint", told, "--out", note, "--json").out)
    assert (done["size"], done["ledger"], done["path"]) == (10, id_of(told), str(note))
    assert note.read_text() == done["note"]
    assert call("checkpoint", told).out == done["note"]
    verdict = json.loads(call("verify", told, "--strict", "--checkpoint", note, "--json").out)
    assert (verdict["verdict"], verdict["anchored"]) == ("VERIFIED", True)


def test_another_history_is_not_signed(call: Command, key: Key, tmp_path: Path) -> None:
    """A restored backup: the signer's memory lies elsewhere, and is asked."""
    path = tmp_path / "book.jsonl"
    with Ledger.create(path, name="demo", key=key) as book:
        book.append(Event("x.a", "s", {"n": 1}))
        backup = path.read_bytes()
        book.append(Event("x.a", "s", {"n": 2}))
    assert call("checkpoint", path).code == 0
    path.write_bytes(backup)
    done = call("checkpoint", path)
    assert (done.code, done.out) == (2, "")
    assert "signed a checkpoint of size 3" in done.err


def test_a_key_without_the_role_signs_no_checkpoint(
    call: Command, told: Path, tmp_path: Path
) -> None:
    call("key", "new", tmp_path / "bob", "--name", "bob")
    call("key", "authorize", told, tmp_path / "bob.pub", "--role", "writer")
    assert call("checkpoint", told, "--key", tmp_path / "bob").code == 4


@pytest.mark.parametrize("seq", [0, 3, 9])
def test_an_entry_is_proven_without_the_ledger(
    seq: int, call: Command, told: Path, home: Path, tmp_path: Path
) -> None:
    note, proof = tmp_path / "note", tmp_path / "proof"
    call("checkpoint", told, "--out", note)
    assert call("prove", told, seq, "--checkpoint", note, "--out", proof).code == 0
    (tmp_path / "entry").write_bytes(call("show", told, seq, "--raw").out.encode())
    (tmp_path / "line").write_text(call("export", told, "-").out.splitlines()[seq] + "\n")
    trust = ("--ledger-id", id_of(told), "--key", home / "key.pub")
    shutil.move(told, tmp_path / "away")
    for entry in (tmp_path / "entry", tmp_path / "line"):
        done = call("check-proof", proof, entry, *trust, "--json")
        assert done.code == 0, done.out
        assert json.loads(done.out)["seq"] == seq
    line = (home / "key.pub").read_text().strip()
    done = call("check-proof", proof, tmp_path / "entry", *trust[:2], "--key", line)
    assert "\nPROVEN: this entry is in the ledger" in done.out


def test_no_other_entry_ledger_or_key_is_proven(
    call: Command, told: Path, home: Path, tmp_path: Path
) -> None:
    note, proof, entry = tmp_path / "note", tmp_path / "proof", tmp_path / "entry"
    call("checkpoint", told, "--out", note)
    call("prove", told, 3, "--checkpoint", note, "--out", proof)
    entry.write_bytes(call("show", told, 3, "--raw").out.encode())
    other = tmp_path / "other"
    other.write_bytes(call("show", told, 4, "--raw").out.encode())
    changed = tmp_path / "changed"
    changed.write_bytes(entry.read_bytes().replace(b'"n":2', b'"n":7'))
    call("key", "new", tmp_path / "eve", "--name", "eve")
    trust = ("--ledger-id", id_of(told), "--key", home / "key.pub")
    assert call("check-proof", proof, entry, *trust).code == 0
    assert call("check-proof", proof, other, *trust).code == 2
    assert call("check-proof", proof, changed, *trust).code == 2
    assert call("check-proof", proof, entry, *trust[:2], "--key", tmp_path / "eve.pub").code == 4
    assert call("check-proof", proof, entry, "--ledger-id", "0" * 64, *trust[2:]).code == 4
    assert call("check-proof", note, entry, *trust).code == 2
    assert call("check-proof", tmp_path / "none", entry, *trust).code == 64
    flipped = bytearray(proof.read_bytes())
    flipped[len(flipped) // 3] ^= 1
    proof.write_bytes(bytes(flipped))
    assert call("check-proof", proof, entry, *trust).code != 0


def test_an_entry_that_claims_another_place_is_not_proven(
    call: Command, key: Key, home: Path, tmp_path: Path
) -> None:
    """A proof says where a leaf stands; what the entry says of itself must be the same.

    The leaf at place 1 is given to the prover's ledger, but says that it is another
    ledger's: an owner who makes such a tree is caught by the reader of the proof.
    """
    from cli.attacks.forge import rehashed
    from ledger.checkpoint import Checkpoint, format_checkpoint, origin
    from ledger.merkle import Frontier, prove_inclusion
    from ledger.note import Signer, Verifier, sign_note
    from ledger.proof import Proof, format_proof

    path = tmp_path / "book.jsonl"
    with Ledger.create(path, name="demo", key=key) as book:
        book.append(Event("x.a", "s", {}))
        rows, ledger = [*book.rows()], book.id
    foreign = rehashed(rows[1][0].replace(ledger.encode(), b"0" * 64, 1), rows[1][2])
    leaves = [rows[0][1], foreign[1]]
    tree = Frontier()
    tree.extend(leaves)
    body = format_checkpoint(Checkpoint(origin(ledger), 2, tree.root()))
    note = sign_note(body, [Signer(Verifier(origin(ledger), key.public), key.sign)])
    proof = Proof(1, tuple(prove_inclusion(leaves, 1, size=2)), note)
    (tmp_path / "proof").write_text(format_proof(proof))
    (tmp_path / "entry").write_bytes(foreign[0])
    trust = ("--ledger-id", ledger, "--key", home / "key.pub")
    done = call("check-proof", tmp_path / "proof", tmp_path / "entry", *trust)
    assert done.code == 2
    assert "elsewhere" in done.err


def test_a_proof_needs_an_entry_under_the_checkpoint(
    call: Command, told: Path, key: Key, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    call("checkpoint", told, "--out", note)
    with Ledger.open(told, key=key) as book:
        book.append(Event("x.a", "s", {}))
    assert call("prove", told, 10, "--checkpoint", note).code == 64
    assert call("prove", told, 9, "--checkpoint", told).code != 0
    assert call("prove", told, 9, "--checkpoint", tmp_path / "none").code == 64


def test_every_attack_of_the_catalogue_is_caught(call: Command, told: Path) -> None:
    before = told.read_bytes()
    done = call("attack", told, "--json")
    answer = json.loads(done.out)
    assert (done.code, answer["missed"]) == (0, 0)
    tried = [item for item in answer["attacks"] if item["caught"] is not None and item["expected"]]
    assert len(tried) >= ATTACKS
    assert all(item["caught"] for item in tried)
    unseen = [item for item in answer["attacks"] if not item["expected"]]
    assert [(item["exit_code"], item["found"]) for item in unseen] == [(0, [])]
    assert told.suffix != ".jsonl" or told.read_bytes() == before
    assert f"{len(tried)} of {len(tried)} attacks were caught" in call("attack", told).out


def test_a_miss_is_exit_2(call: Command, told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier that sees nothing is found out by the same table."""
    blind = bench.Attack("nothing at all", "the file", frozenset({"sig.invalid"}), _no_attack)
    monkeypatch.setattr("cli.attacks.catalogue.CATALOGUE", (blind,))
    done = call("attack", told)
    assert done.code == 2
    assert "NOT CAUGHT" in done.out


def _no_attack(scene: Scene, folder: Path) -> bench.Case:
    path = folder / "copy.jsonl"
    path.write_bytes(b"".join(scene.given.lines))
    return bench.Case(path, scene.given)


def test_attacks_have_names_of_their_own() -> None:
    assert len({attack.name for attack in CATALOGUE}) == len(CATALOGUE)


def test_a_damaged_ledger_is_not_attacked(call: Command, key: Key, tmp_path: Path) -> None:
    path = tmp_path / "book.jsonl"
    with Ledger.create(path, name="demo", key=key) as book:
        book.append_batch([Event("x.a", "s", {"n": n}) for n in range(5)])
    path.write_bytes(path.read_bytes().replace(b'"n":3', b'"n":4'))
    assert call("attack", path).code == 2


def test_a_ledger_too_small_to_attack_is_usage(call: Command, book: Path) -> None:
    assert call("attack", book).code == 64


def test_the_table_of_a_plain_ledger_says_what_was_not_tried(told: Path) -> None:
    assert "not tried: no run directory" in attacking.attack(told).text


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(name: str, call: Command) -> None:
    assert "_LEDGER_COMPLETE" in call("completion", name).out


def test_commands_are_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_LEDGER_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "ledger check")
    monkeypatch.setenv("COMP_CWORD", "1")
    done = shell()
    assert done.out.splitlines() == ["plain,checkpoint", "plain,check-proof"]


def test_the_bash_script_is_bash(call: Command, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(call("completion", "bash").out)
    subprocess.run(["bash", "-n", tmp_path / "script"], check=True)
