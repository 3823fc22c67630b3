"""Trusted ids and checkpoints, good and forged."""

import base64
import json
from pathlib import Path

import pytest

from tests.verifier.builder import LOG, OTHER, OWNER, RUNNER, Builder, codes, read
from verifier.notes import MalformedNote, parse_checkpoint

C2SP = Path(__file__).parents[1] / "vectors" / "c2sp"
ORIGIN = "evidence-ledger/" + "a" * 64
ROOT = base64.b64encode(bytes(32)).decode()


@pytest.fixture
def ledger() -> Builder:
    b = Builder()
    b.add()
    b.authorize(LOG, "log", ["log"])
    b.add(signed=False)
    b.add()
    b.revoke(LOG)
    return b


def anchors(tmp_path: Path, b: Builder, *notes: bytes, ledger_id: str | None = None) -> list[str]:
    path = b.write(tmp_path / "l.jsonl")
    reading, found = read(path, strict=True, ledger_id=ledger_id, checkpoints=notes)
    assert all(seq is None for code, seq in codes(found) if code.startswith("anchor."))
    assert reading.anchored is (not found.counts())
    return [finding.code for finding in found.items()]


def test_no_anchor_under_strict_is_anchor_missing(tmp_path: Path, ledger: Builder) -> None:
    assert anchors(tmp_path, ledger) == ["anchor.missing"]


def test_the_trusted_id_is_an_anchor(tmp_path: Path, ledger: Builder) -> None:
    assert anchors(tmp_path, ledger, ledger_id=ledger.id) == []


def test_another_id_is_anchor_id(tmp_path: Path, ledger: Builder) -> None:
    assert anchors(tmp_path, ledger, ledger_id="0" * 64) == ["anchor.id"]


def test_an_empty_ledger_has_no_id_to_trust(tmp_path: Path, ledger: Builder) -> None:
    empty = Builder(genesis=False)
    found = anchors(tmp_path, empty, ledger.checkpoint(2), ledger_id="0" * 64)
    assert found == ["genesis.invalid", "anchor.checkpoint", "anchor.id"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6])
def test_an_owners_checkpoint_is_an_anchor(tmp_path: Path, ledger: Builder, size: int) -> None:
    assert anchors(tmp_path, ledger, ledger.checkpoint(size)) == []


def test_a_log_key_may_sign_while_it_is_valid(tmp_path: Path, ledger: Builder) -> None:
    assert anchors(tmp_path, ledger, ledger.checkpoint(3, LOG), ledger.checkpoint(5, LOG)) == []


@pytest.mark.parametrize("size", [2, 6])
def test_a_log_key_may_not_sign_before_or_after(tmp_path: Path, ledger: Builder, size: int) -> None:
    assert anchors(tmp_path, ledger, ledger.checkpoint(size, LOG)) == ["anchor.checkpoint"]


@pytest.mark.parametrize("signer", [RUNNER, OTHER])
def test_no_other_key_may_sign(tmp_path: Path, ledger: Builder, signer: object) -> None:
    assert isinstance(signer, type(RUNNER))
    assert anchors(tmp_path, ledger, ledger.checkpoint(2, signer)) == ["anchor.checkpoint"]


def test_a_checkpoint_inside_a_batch_is_refused(tmp_path: Path, ledger: Builder) -> None:
    assert anchors(tmp_path, ledger, ledger.checkpoint(4)) == ["anchor.checkpoint"]


def test_a_checkpoint_beyond_the_end_is_refused(tmp_path: Path, ledger: Builder) -> None:
    note = ledger.checkpoint(6)
    ledger.lines.pop()
    assert anchors(tmp_path, ledger, note) == ["anchor.checkpoint"]


def test_a_checkpoint_over_another_history_is_refused(tmp_path: Path, ledger: Builder) -> None:
    note = ledger.checkpoint(5, root=bytes(32))
    assert anchors(tmp_path, ledger, note) == ["anchor.checkpoint"]


@pytest.mark.parametrize("size", [2, 50])
def test_a_checkpoint_of_another_ledger_is_refused(
    tmp_path: Path, ledger: Builder, size: int
) -> None:
    note = Builder.note(f"{ORIGIN}\n{size}\n{ROOT}\n", OWNER, name=ORIGIN)
    assert anchors(tmp_path, ledger, note) == ["anchor.checkpoint"]


def test_a_checkpoint_signed_under_another_name_is_refused(tmp_path: Path, ledger: Builder) -> None:
    assert anchors(tmp_path, ledger, ledger.checkpoint(2, name="other")) == ["anchor.checkpoint"]


def test_a_known_key_whose_signature_is_bad_spoils_the_note(
    tmp_path: Path, ledger: Builder
) -> None:
    good = ledger.checkpoint(5)
    *_, other = ledger.checkpoint(3, LOG).decode().splitlines(keepends=True)
    assert anchors(tmp_path, ledger, good + other.encode()) == ["anchor.checkpoint"]


def test_signatures_of_witnesses_are_ignored(tmp_path: Path, ledger: Builder) -> None:
    line = f"— witness.example/w {base64.b64encode(bytes(76)).decode()}\n"
    assert anchors(tmp_path, ledger, ledger.checkpoint(5) + line.encode()) == []


def test_one_bad_checkpoint_among_good_ones_leaves_it_unanchored(
    tmp_path: Path, ledger: Builder
) -> None:
    found = anchors(tmp_path, ledger, ledger.checkpoint(5), b"junk", ledger_id=ledger.id)
    assert found == ["anchor.checkpoint"]


def test_a_checkpoint_behind_an_unframed_line_cannot_hold(tmp_path: Path, ledger: Builder) -> None:
    note = ledger.checkpoint(5)
    ledger.lines[1] = b"\n" * 5000
    found = anchors(tmp_path, ledger, note)
    assert "anchor.checkpoint" in found


def test_a_rotated_owner_signs_no_more(tmp_path: Path) -> None:
    b = Builder()
    b.rotate(OWNER, OTHER, "owner-2")
    assert anchors(tmp_path, b, b.checkpoint(1), b.checkpoint(2, OTHER)) == []
    assert anchors(tmp_path, b, b.checkpoint(2)) == ["anchor.checkpoint"]


# -- the note itself


def note(body: str, *signatures: str) -> bytes:
    return (body + "\n" + "".join(signatures)).encode("utf-8", "surrogatepass")


def line(name: str = ORIGIN, blob: bytes = bytes(68)) -> str:
    return f"— {name} {base64.b64encode(blob).decode()}\n"


GOOD = f"{ORIGIN}\n7\n{ROOT}\n"


def test_a_good_note_is_parsed() -> None:
    found = parse_checkpoint(note(GOOD, line(), line("w", bytes(76))))
    assert (found.ledger_id, found.size, found.root) == ("a" * 64, 7, bytes(32))
    assert found.text == GOOD.encode()
    assert [len(s.signature) for s in found.signatures] == [64, 72]


def test_an_extension_line_is_part_of_what_is_signed() -> None:
    assert parse_checkpoint(note(GOOD + "more\n", line())).text == (GOOD + "more\n").encode()


@pytest.mark.parametrize(
    "bad",
    [
        note(GOOD),
        note(GOOD, line()[:-1]),
        note(GOOD, line(), "\n"),
        note(GOOD, line().replace("—", "-")),
        note(GOOD, line("two words")),
        note(GOOD, line("a+b")),
        note(GOOD, line("a\u2003b")),
        note(GOOD, line(blob=bytes(4))),
        note(GOOD, "— n AAAAAAB=\n"),
        note(GOOD, "— n AAAAA\n"),
        note(GOOD, *[line()] * 101),
        note(GOOD.replace("7", "0"), line()),
        note(GOOD.replace("\n", "\r\n"), line()),
        note(GOOD + "\ud800\n", line()),
        note(GOOD + "\x00\n", line()),
        note(GOOD + "\n\n", line()),
        note(f"{ORIGIN}\n7\n", line()),
        note(f"{ORIGIN}\n", line()),
        note("", line()),
        note(GOOD.replace("a" * 64, "A" * 64), line()),
        note(GOOD.replace("evidence-ledger", "ledger"), line()),
        b"x" * (1 << 21),
        b"",
    ],
    ids=range(23),
)
def test_a_malformed_note_is_refused(bad: bytes) -> None:
    with pytest.raises(MalformedNote):
        parse_checkpoint(bad)


BODIES = json.loads((C2SP / "checkpoint_body_must_reject.json").read_text())["cases"]


@pytest.mark.parametrize("case", BODIES, ids=lambda case: case["why"])
def test_a_body_that_lax_parsers_accept_is_refused(case: dict[str, str]) -> None:
    body = case["body"].replace("ledger.example/demo", ORIGIN)
    with pytest.raises(MalformedNote):
        parse_checkpoint(note(body, line()))
