"""Bytes that nobody meant: every parser says no with an error of its own, or takes them.

A seeded mutation corpus over the vectors; only ``LedgerError`` may leave ``ledger/``,
and from ``verifier/`` a finding, or its own documented exception.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import history
import pytest
from forge import OWNER, RUNNER, VECTORS, verdict
from fuzzing import mutants

from ledger import (
    Key,
    Ledger,
    LedgerError,
    checkpoint,
    note,
    policy,
    proof,
    strictjson,
    tiles,
    wire,
    witness,
)
from ledger.convert import export_lines
from ledger.entry import parse_entry, parse_line
from ledger.keyfile import parse_public, public_line
from ledger.signing import prove, sign_checkpoint
from verifier import entries as verifier_entries
from verifier import lines as verifier_lines
from verifier import notes as verifier_notes
from verifier import strictjson as verifier_json

COUNT = 1500
LINES = (VECTORS / "golden.jsonl").read_bytes().splitlines()
BAD_LINES = [
    line
    for file in sorted((VECTORS / "bad").iterdir())
    for line in file.read_bytes().splitlines()[-2:]
    if len(line) < 5000
]
ENTRIES = [parse_line(line)[0] for line in LINES]
GOLDEN = json.loads((VECTORS / "golden.json").read_text())
LEDGER_ID = GOLDEN["ledger"]
NOTES = [GOLDEN["checkpoint"].encode(), GOLDEN["checkpoint_at_5"].encode()]


def texts_of(file: str, least: int = 20) -> list[bytes]:
    """Every string in a vector file: notes, vkeys, bodies, policies, proofs."""
    found: list[bytes] = []

    def look(value: object) -> None:
        if isinstance(value, str) and len(value) >= least:
            found.append(value.encode())
        elif isinstance(value, dict):
            for inner in value.values():
                look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)

    look(json.loads((VECTORS / "c2sp" / file).read_text()))
    return found


C2SP = [*NOTES, *texts_of("notes.json"), *texts_of("witness_and_proof.json")]
PATHS = [b"tile/0/000", b"tile/1/x001/234", b"tile/0/x003/x000/000.p/7", b"tile/entries/067.p/8"]
TILE = tiles.parse_path("tile/0/000.p/3")[0]
BUNDLE = tiles.parse_path("tile/entries/000.p/3")[0]

LEDGER_PARSERS: dict[str, tuple[Sequence[bytes], Callable[[bytes], object]]] = {
    "strictjson": ([*ENTRIES, *BAD_LINES], strictjson.parse),
    "entry": (ENTRIES, lambda raw: parse_entry(raw, None).data),
    "line": ([*LINES, *BAD_LINES], parse_line),
    "note": (C2SP, note.parse_note),
    "signature line": (C2SP, note.parse_signature),
    "vkey": (C2SP, lambda raw: note.parse_vkey(raw.decode("latin-1"))),
    "checkpoint": (C2SP, checkpoint.parse_checkpoint),
    "ledger checkpoint": (C2SP, lambda raw: checkpoint.parse_ledger_checkpoint(raw, LEDGER_ID)),
    "proof": (C2SP, proof.parse_proof),
    "policy": (C2SP, policy.parse_policy),
    "witness request": (C2SP, witness.parse_request),
    "witness response": (C2SP, witness.parse_response),
    "witness size": ([b"12", b"0\n", b"9223372036854775807"], witness.parse_size),
    "tile path": (PATHS, lambda raw: tiles.parse_path(raw.decode("latin-1"))),
    "tile": ([bytes(96), bytes(range(96))], lambda raw: tiles.parse_tile(raw, TILE)),
    "bundle": ([b"\0\1a\0\2bb\0\0"], lambda raw: tiles.parse_bundle(raw, BUNDLE)),
    "base64": ([b"bGVhZg==", b"AAAA"], wire.decode_base64),
    "decimal": ([b"0", b"12345"], wire.parse_decimal),
    "public key": (
        [public_line(OWNER.public, "me").encode()],
        lambda raw: parse_public(raw.decode("utf-8", "surrogateescape")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(LEDGER_PARSERS))
def test_only_our_own_error_leaves_a_parser_of_the_ledger(name: str) -> None:
    corpus, parse = LEDGER_PARSERS[name]
    taken = refused = 0
    for mutant in mutants(corpus, count=COUNT, seed=1):
        try:
            parse(mutant)
        except LedgerError:
            refused += 1
        else:
            taken += 1
    assert refused > COUNT // 20, f"{taken} taken: the corpus tests nothing"


@pytest.mark.parametrize(
    ("corpus", "parse", "error"),
    [
        ([*ENTRIES, *BAD_LINES], verifier_json.parse, verifier_json.NotStrictJson),
        ([*ENTRIES, *BAD_LINES], verifier_json.viable, None),
        (ENTRIES, verifier_entries.read_entry, None),
        ([*LINES, *BAD_LINES], verifier_lines.frame, None),
        ([*LINES, *BAD_LINES], verifier_lines.could_be_torn, None),
        (C2SP, verifier_notes.parse_checkpoint, verifier_notes.MalformedNote),
    ],
    ids=["strictjson", "viable", "entry", "frame", "torn", "notes"],
)
def test_only_the_documented_error_leaves_a_parser_of_the_verifier(
    corpus: Sequence[bytes], parse: Callable[[bytes], object], error: type[Exception] | None
) -> None:
    for mutant in mutants(corpus, count=COUNT, seed=2):
        if parse is verifier_entries.read_entry and not (
            mutant[:1] == b"{" and mutant[-1:] == b"}"
        ):
            continue  # framing has seen to that
        with suppress(*([error] if error else [])):
            parse(mutant)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("fuzz")
    made = {
        suffix: history.write(folder / f"a{suffix}").read_bytes()
        for suffix in (".jsonl", ".sqlite")
    }
    return {**made, "golden": (VECTORS / "golden.jsonl").read_bytes()}


@pytest.mark.parametrize(("suffix", "count"), [(".jsonl", 150), (".sqlite", 250)])
def test_a_mangled_ledger_is_a_verdict_and_never_a_crash(
    honest: dict[str, bytes], tmp_path: Path, suffix: str, count: int
) -> None:
    path = tmp_path / f"mangled{suffix}"
    outcomes = set()
    for mutant in mutants([honest[suffix]], count=count, seed=3):
        for suffixed in ("-wal", "-shm", "-journal"):
            Path(f"{path}{suffixed}").unlink(missing_ok=True)
        path.write_bytes(mutant)
        found = verdict(path)
        outcomes.add(found.outcome)
        json.dumps(found.to_json(), allow_nan=False)
        found.to_text()
        try:
            Ledger.open(path).close()
            list(export_lines(path))
        except LedgerError:
            continue
        assert found.exit_code == 0, f"exported, though {found.findings}"
    assert "REFUTED" in outcomes


def test_a_writer_never_signs_on_a_mangled_ledger_what_a_verifier_refutes(
    honest: dict[str, bytes], tmp_path: Path
) -> None:
    """A file whose end was mangled: if the writer goes on, the verifier has nothing new to say.

    Signatures and JSON deep in the file are left out: only a thorough reading checks them.
    """
    path = tmp_path / "mangled.jsonl"
    appended = 0
    tail = honest[".jsonl"]
    for mutant in mutants([tail[-3000:]], count=300, seed=4):
        for file in tmp_path.iterdir():
            file.unlink()
        path.write_bytes(tail[:-3000] + mutant)
        try:
            with Ledger.open(path, key=OWNER.key) as book:
                book.append(_event())
        except LedgerError:
            continue
        appended += 1
        errors = {finding.code for finding in verdict(path).findings}
        assert errors <= {"sig.invalid", "entry.json", "event.schema", "id.duplicate"}, errors
    assert appended > 5


def _event():  # noqa: ANN202 - an Event
    from ledger import Event

    return Event("x.after", "", {})


def test_only_our_own_error_leaves_a_key_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    RUNNER.key.write(path)
    corpus = [path.read_bytes(), path.with_name("key.pub").read_bytes()]
    for mutant in mutants(corpus, count=400, seed=5):
        path.write_bytes(mutant)
        with suppress(LedgerError):
            Key.from_file(path)


def test_no_mangled_checkpoint_anchors_a_ledger(tmp_path: Path) -> None:
    """A note that was changed anywhere but in lines of unknown keys is refused, never ignored."""
    path = history.write(tmp_path / "book.jsonl")
    with Ledger.open(path, key=OWNER.key) as book:
        pinned = sign_checkpoint(book, memory=tmp_path / "memory").encode()
        proved = prove(book, 7, note=pinned.decode()).encode()
    assert verdict(path, checkpoints=[pinned]).reading.anchored
    for mutant in mutants([pinned], count=150, seed=6):
        if mutant == pinned:
            continue
        found = verdict(path, checkpoints=[mutant])
        if found.reading.anchored:
            assert pinned.split(b"\n\n")[0] == mutant.split(b"\n\n")[0]
    for mutant in mutants([proved], count=COUNT, seed=7):
        with suppress(LedgerError):
            proof.parse_proof(mutant)
