"""Signed notes: vectors, flips, and every way in which a lax reader would be fooled."""

import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import LedgerError, MalformedError, MisuseError
from ledger.note import (
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    Signature,
    SignatureType,
    Signer,
    UntrustedNoteError,
    Verified,
    Verifier,
    add_signatures,
    cosign,
    cosignature_message,
    format_note,
    format_signature,
    format_vkey,
    key_id,
    open_note,
    parse_note,
    parse_signature,
    parse_vkey,
    sign_note,
)
from ledger.wire import MAX_DECIMAL, decode_base64, octets

C2SP = Path(__file__).parents[1] / "vectors" / "c2sp"
VECTORS = json.loads((C2SP / "notes.json").read_text())
EDGE = json.loads((C2SP / "ed25519_edge.json").read_text())["cases"]
KEYS = VECTORS["keys"]
CHECKPOINTS = VECTORS["checkpoints"]


def verifier_of(name: str) -> Verifier:
    key = KEYS[name]
    kind = SignatureType(key["sig_type"])
    return Verifier(key["name"], bytes.fromhex(key["public_key"]), kind)


def signer_of(name: str) -> Signer:
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(KEYS[name]["seed"]))
    return Signer(verifier_of(name), private.sign)


LOG, ROTATED, W1, W2 = map(verifier_of, ("log", "log_rotated", "witness1", "witness2"))
EVERYONE = (LOG, ROTATED, W1, W2)
SEVEN = next(each for each in CHECKPOINTS if each["size"] == 7)


@pytest.mark.parametrize("name", list(KEYS))
def test_vkeys_and_key_ids_match_the_vectors(name: str) -> None:
    key, verifier = KEYS[name], verifier_of(name)
    assert verifier.key_id.hex() == key["key_id"]
    assert key_id(verifier.name, verifier.public, kind=verifier.kind).hex() == key["key_id"]
    assert format_vkey(verifier) == key["vkey"]
    assert parse_vkey(key["vkey"]) == verifier


@pytest.mark.parametrize("case", CHECKPOINTS, ids=lambda case: f"size-{case['size']}")
def test_signing_gives_the_notes_of_the_vectors(case: dict[str, Any]) -> None:
    """Ed25519 is deterministic, so the bytes must be the same."""
    note = sign_note(case["body"], [signer_of("log")])
    assert note == case["signed_checkpoint"]
    opened = open_note(case["cosigned_checkpoint"], EVERYONE)
    times = [each.time for each in opened.verified]
    assert times[:2] == [None, case["witness1_timestamp"]]
    assert cosignature_message(case["body"], times[1] or 0).hex() == case["witness1_message_hex"]
    cosigned = [
        cosign(case["body"], signer_of(name), time=time or 0)
        for name, time in zip(("witness1", "witness2"), times[1:], strict=True)
    ]
    assert add_signatures(note, cosigned) == case["cosigned_checkpoint"]


def test_an_opened_note_tells_who_signed_and_who_is_unknown() -> None:
    opened = open_note(SEVEN["cosigned_checkpoint"].encode(), [LOG, W2])
    assert opened.text == SEVEN["body"]
    assert [each.verifier for each in opened.verified] == [LOG, W2]
    assert [each.name for each in opened.unverified] == [W1.name]


def test_two_keys_of_one_name_can_sign_during_a_rotation() -> None:
    note = VECTORS["two_key_rotation_checkpoint"]
    opened = open_note(note, EVERYONE)
    assert [each.verifier for each in opened.verified] == [LOG, ROTATED]
    assert [each.verifier for each in open_note(note, [ROTATED]).verified] == [ROTATED]


@pytest.mark.parametrize("case", VECTORS["must_reject"], ids=lambda case: case["name"])
def test_a_bad_note_of_the_vectors_is_refused(case: dict[str, Any]) -> None:
    assert case["note"].encode().hex() == case["note_hex"]
    with pytest.raises((MalformedError, UntrustedNoteError)):
        open_note(bytes.fromhex(case["note_hex"]), EVERYONE)


def test_without_a_known_key_the_text_comes_only_inside_the_error() -> None:
    with pytest.raises(UntrustedNoteError) as caught:
        open_note(SEVEN["signed_checkpoint"], [W1])
    assert caught.value.note.text == SEVEN["body"]
    with pytest.raises(UntrustedNoteError):
        open_note(SEVEN["signed_checkpoint"], [])


def test_no_changed_byte_of_a_note_goes_unnoticed() -> None:
    """All lines are of known keys here: whatever is flipped, the note must not open whole."""
    note = SEVEN["cosigned_checkpoint"].encode()
    for place in range(len(note)):
        changed = bytearray(note)
        changed[place] ^= 1 << place % 8
        try:
            opened = open_note(bytes(changed), [LOG, W1, W2])
        except (MalformedError, UntrustedNoteError):
            continue
        # A changed name or id makes a stranger of one signer; the text stays signed.
        assert opened.text == SEVEN["body"]
        assert len(opened.verified) == 2


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    st.text(st.characters(codec="utf-8", min_codepoint=0x20) | st.just("\n")),
    st.lists(st.tuples(st.binary(min_size=4, max_size=4), st.binary(min_size=1)), min_size=1),
)
def test_notes_survive_a_round_trip(text: str, raw: list[tuple[bytes, bytes]]) -> None:
    signatures = tuple(Signature("example.com/käse", *each) for each in raw)
    parsed = parse_note(format_note(text + "\n", signatures))
    assert (parsed.text, parsed.signatures) == (text + "\n", signatures)


def test_a_text_may_have_empty_lines() -> None:
    text = "\n\none\n\n\ntwo\n\n"
    note = sign_note(text, [signer_of("log")])
    assert open_note(note, [LOG]).text == text


@pytest.mark.parametrize(
    "text", ["no newline", "", "tab\there\n", "cr\r\n", "nul\0\n", "half \ud800\n"]
)
def test_a_text_that_no_note_can_hold_is_not_signed(text: str) -> None:
    with pytest.raises(MisuseError):
        sign_note(text, [signer_of("log")])
    with pytest.raises(MisuseError):
        cosign(text, signer_of("witness1"), time=1)


@pytest.mark.parametrize(
    "line",
    [
        "— name",
        "— name  AAAAAAA=",
        "—  AAAAAAA=",
        "—\u00a0name AAAAAAA=",
        "— na+me AAAAAAA=",
        "— na\u2003me AAAAAAA=",
        "— name AAAA",  # three bytes
        "— name AAAAAA==",  # four: an id and no signature
        "— name AAAAAAB=",  # trailing bits
        "— name AAAAAAA",
        "— name AAAA\nAAA=",
        "— name AAAA AAA=",
        "- name AAAAAAA=",
        "— na\tme AAAAAAA=",
        "",
    ],
)
def test_a_line_that_is_no_signature_is_refused(line: str) -> None:
    with pytest.raises(MalformedError):
        parse_signature(line)
    with pytest.raises(MalformedError):
        parse_note(f"text\n\n{line}\n")


def test_a_signature_line_survives_a_round_trip() -> None:
    line = "— name AAAAAAA=\n"
    assert format_signature(parse_signature(line[:-1])) == line


def test_limits_are_kept_by_readers_and_writers() -> None:
    one = Signature("n", bytes(4), b"s")
    most = [one] * MAX_SIGNATURES
    note = format_note("t\n", most)
    assert len(parse_note(note).signatures) == MAX_SIGNATURES
    with pytest.raises(MalformedError, match="at most"):
        parse_note(note + format_signature(one))
    with pytest.raises(MisuseError, match="signatures"):
        add_signatures(note, [one])
    with pytest.raises(MisuseError, match="signatures"):
        format_note("t\n", [])
    with pytest.raises(MisuseError, match="bytes"):
        format_note("t" * MAX_NOTE_BYTES + "\n", [one])
    with pytest.raises(MalformedError, match="longer"):
        parse_note(b"t" * (MAX_NOTE_BYTES + 1))
    with pytest.raises(MalformedError, match="longer"):
        parse_note("\u2003" * (MAX_NOTE_BYTES // 2))


def test_a_signer_wired_to_another_key_signs_nothing() -> None:
    wrong = Signer(LOG, signer_of("log_rotated").sign)
    with pytest.raises(MisuseError, match="not the one"):
        sign_note("text\n", [wrong])


def test_each_kind_of_key_signs_in_its_own_way_only() -> None:
    with pytest.raises(MisuseError, match="cosign"):
        sign_note("text\n", [signer_of("witness1")])
    with pytest.raises(MisuseError, match="cosignature"):
        cosign("text\n", signer_of("log"), time=1)


@pytest.mark.parametrize("time", [-1, MAX_DECIMAL + 1])
def test_a_time_out_of_range_is_neither_signed_nor_read(time: int) -> None:
    with pytest.raises(MisuseError):
        cosign("text\n", signer_of("witness1"), time=time)
    late = Signature(W1.name, W1.key_id, (2**63).to_bytes(8, "big") + bytes(64))
    assert not W1.verify("text\n", late)


def test_a_verifier_answers_for_its_own_lines_only() -> None:
    good = parse_note(sign_note("text\n", [signer_of("log")])).signatures[0]
    assert LOG.verify("text\n", good)
    assert not ROTATED.verify("text\n", good)
    assert not LOG.verify("text\n", Signature(good.name, good.key_id, good.raw[:-1]))
    assert Verified(good, LOG).time is None


def test_two_keys_with_one_id_are_both_tried() -> None:
    """Section 6: the id is a hint. The colliding key is simulated by a subclass."""

    class Collision(Verifier):
        @property
        def key_id(self) -> bytes:
            return LOG.key_id

    other = Collision(LOG.name, ROTATED.public)
    note = sign_note("text\n", [signer_of("log")])
    for verifiers in ([other, LOG], [LOG, other]):
        assert [each.verifier for each in open_note(note, verifiers).verified] == [LOG]
    with pytest.raises(MalformedError, match="does not verify"):
        open_note(note, [other])


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2028b", "a\nb", "a\x01b", "a\ud800"])
def test_a_name_that_no_line_can_hold_is_refused(name: str) -> None:
    with pytest.raises(MisuseError):
        Verifier(name, LOG.public)
    with pytest.raises(MisuseError):
        Signature(name, bytes(4), b"s")


@pytest.mark.parametrize(("key", "raw"), [(b"abc", b"s"), (b"abcd", b"")])
def test_a_signature_has_an_id_and_bytes(key: bytes, raw: bytes) -> None:
    with pytest.raises(MisuseError):
        Signature("name", key, raw)


@pytest.mark.parametrize("case", EDGE, ids=lambda case: case["why"])
def test_weak_keys_and_malleated_signatures_do_not_open_a_note(case: dict[str, Any]) -> None:
    public, raw = bytes.fromhex(case["public_key"]), bytes.fromhex(case["signature"])
    # The messages of these vectors are no note texts, so the verifier is asked itself.
    message = bytes.fromhex(case["message_hex"]).decode()
    try:
        verifier = Verifier("name", public)
    except LedgerError:
        assert not case["must_accept"]
        return
    assert verifier.verify(message, Signature("name", verifier.key_id, raw)) is case["must_accept"]


@pytest.mark.parametrize("why", ["A=identity", "A=all-zero", "A=order-2", "key 31 bytes"])
def test_a_weak_key_cannot_be_trusted_at_all(why: str) -> None:
    found = [case for case in EDGE if why in case["why"]]
    assert found
    for case in found:
        with pytest.raises(LedgerError):
            Verifier("name", bytes.fromhex(case["public_key"]))


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "name",
        "name+7b8488d1",
        "name+7B8488D1+AQOh",
        "na me+7b8488d1+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",
        "other+7b8488d1+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",
        "ledger.example/demo+7b8488d2+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",
        "ledger.example/demo+7b8488d1+AgOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",
        "ledger.example/demo+7b8488d1+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVQ==",
        "ledger.example/demo+7b8488d1+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4=",
        "ledger.example/demo+7b8488d1+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4\n",
        "zero+00000000+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "n" * 5000,
        "\ud800+7b8488d1+AQOh",
    ],
)
def test_a_bad_vkey_is_refused(vkey: str) -> None:
    with pytest.raises(LedgerError):
        parse_vkey(vkey)


@pytest.mark.parametrize("text", [b"AAB=", b"A A=", b"AA", b"AA==\n", b"-_8=", b"AAA=AAA=", b"="])
def test_base64_has_one_form(text: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_base64(text)


@pytest.mark.parametrize("text", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", "\ud800"])
def test_what_is_not_utf_8_is_no_text(text: str | bytes) -> None:
    with pytest.raises(MalformedError, match="UTF-8"):
        octets(text, 100, what="text")


def test_nothing_but_ledger_errors_leaves_the_parsers() -> None:
    source = random.Random(20260115)  # noqa: S311 - reproducible, not secret
    note = SEVEN["cosigned_checkpoint"].encode()
    vkeys = [key["vkey"].encode() for key in KEYS.values()]
    for _ in range(3000):
        mutant = mutate(note, source)
        with suppress(LedgerError):
            open_note(mutant, EVERYONE)
        vkey = mutate(source.choice(vkeys), source)
        with suppress(LedgerError):
            parse_vkey(vkey.decode(errors="surrogateescape"))


def mutate(seed: bytes, source: random.Random) -> bytes:
    """Change a few bytes, cut something out, or double something."""
    mutant = bytearray(seed)
    for _ in range(source.randint(1, 4)):
        start, stop = sorted(source.randrange(len(mutant) + 1) for _ in range(2))
        kind = source.randrange(4)
        if kind == 0 and start < len(mutant):
            mutant[start] = source.choice(b"\x00\n\r =+/A9\xe2\x80\x94\xff")
        elif kind == 1:
            del mutant[start : min(stop, start + 5)]
        elif kind == 2:
            mutant[start:start] = mutant[start:stop]
        else:
            mutant[start:start] = source.choice([b"\n\n", b"\n", b" ", b"\xe2\x80\x94 ", b"=="])
    return bytes(mutant)
