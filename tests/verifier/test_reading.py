"""What is read of a ledger, findings apart."""

from pathlib import Path

import pytest

from tests.verifier.builder import OTHER, OWNER, RUNNER, Builder, Notebook, Signer, codes, read


def test_an_unsigned_entry_with_an_error_behind_it_is_unvouched(tmp_path: Path) -> None:
    builder = Builder()
    builder.add(signed=False)
    builder.add(signed=False, digest="0" * 64)
    builder.add(signed=False)
    builder.add()
    reading, _ = read(builder.write(tmp_path / "l.jsonl"))
    assert reading.unvouched == (1,)


def test_a_run_whose_signature_is_bad_is_unvouched(tmp_path: Path) -> None:
    builder = Builder()
    builder.add(signed=False)
    builder.add(signed=False)
    builder.add(sig=b"\x01" * 64)
    builder.add(signed=False)
    builder.add()
    reading, _ = read(builder.write(tmp_path / "l.jsonl"))
    assert reading.unvouched == (1, 2)


def test_a_torn_batch_is_unvouched_and_a_torn_tail(tmp_path: Path) -> None:
    builder = Builder()
    builder.add()
    builder.add(signed=False)
    reading, findings = read(builder.write(tmp_path / "l.jsonl"))
    assert (reading.unvouched, reading.torn_tail) == ((2,), True)
    assert codes(findings) == [("batch.torn", 2)]


def test_every_cut_of_the_last_line_is_a_torn_tail(tmp_path: Path) -> None:
    builder = Builder()
    builder.add(data={"text": 'é\\"', "n": [1.5e-7, -2, True, None, {"a": False}]})
    last = len(builder.lines[-1])
    for cut in range(1, last):
        path = tmp_path / "l.jsonl"
        path.write_bytes(builder.text[:-cut])
        reading, findings = read(path)
        assert reading.torn_tail, builder.text[:-cut][-80:]
        assert codes(findings) == [("line.framing", 1)]


@pytest.mark.parametrize("byte", [b"\x0b", b"}", b"\x00", b"\r"])
def test_a_flipped_last_lf_is_not_a_torn_tail(byte: bytes, tmp_path: Path) -> None:
    builder = Builder()
    builder.add()
    path = tmp_path / "l.jsonl"
    path.write_bytes(builder.text[:-1] + byte)
    reading, findings = read(path)
    assert not reading.torn_tail
    assert codes(findings) == [("line.framing", 1)]


@pytest.mark.parametrize(
    "tail",
    [
        b"x",
        b'{"entry":[',
        b'{"entry":{"v":x',
        b'{"entry":{"v":01',
        b'{"entry":{"a":"\xff',
        b'{"entry":{"a":"' + b"x" * 70_000,
        b'{"entry":{"a":1},"hush',
        b'{"entry":{"a":1}}',
        b'{"entry":{"a":' + b"[" * 70,
    ],
)
def test_what_no_line_begins_with_is_not_a_torn_tail(tail: bytes, tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    path.write_bytes(Builder().text + tail)
    reading, findings = read(path)
    assert not reading.torn_tail
    assert codes(findings) == [("line.framing", 1)]


def test_garbage_behind_a_torn_batch_is_no_torn_tail(tmp_path: Path) -> None:
    builder = Builder()
    builder.add(signed=False)
    builder.garbage()
    reading, _ = read(builder.write(tmp_path / "l.jsonl"))
    assert not reading.torn_tail


def test_a_witness_sees_every_readable_entry_in_order(tmp_path: Path) -> None:
    builder = Builder()
    builder.add(signed=False)
    builder.garbage()
    builder.add(data="\ud800")
    builder.add(subject="run/é")
    book = Notebook()
    read(builder.write(tmp_path / "l.jsonl"), story=book)
    assert [(s[0], s[1], s[2], s[3]) for s in book.seen] == [
        (0, 1, "ledger.created", ""),
        (1, 2, "x.gate.checked", "run/1"),
        (4, 5, "x.gate.checked", "run/é"),
    ]
    assert book.seen[1][4:] == (RUNNER.id, builder.entries[1])


def test_time_backward_is_an_error_under_strict(tmp_path: Path) -> None:
    builder = Builder()
    builder.add(time="2025-01-01T00:00:00.000000Z")
    path = builder.write(tmp_path / "l.jsonl")
    severities = [
        read(path, strict=s, ledger_id=builder.id)[1].items()[0].severity for s in (False, True)
    ]
    assert severities == ["warning", "error"]


def test_the_key_states_are_those_after_the_last_entry(tmp_path: Path) -> None:
    builder = Builder()
    extra = Signer(9)
    builder.authorize(extra, "extra", ["log", "runner"])
    builder.rotate(RUNNER, OTHER, "runner-2")
    builder.revoke(extra, 1)
    reading, _ = read(builder.write(tmp_path / "l.jsonl"))
    assert [(k.name, k.roles, k.state) for k in reading.keys] == [
        ("owner", ("owner",), "active"),
        ("runner", ("runner",), "rotated"),
        ("extra", ("log", "runner"), "compromised"),
        ("runner-2", ("runner",), "active"),
    ]


def test_a_key_type_that_nobody_knows_is_refused_under_strict(tmp_path: Path) -> None:
    builder = Builder()
    builder.add("key.frobnicated", {}, OWNER)
    _, findings = read(builder.write(tmp_path / "l.jsonl"), strict=True, ledger_id=builder.id)
    assert codes(findings) == [("event.schema", 1)]
