"""Writer and verifier share no line of code; here they must agree.

What the writer takes thoroughly the verifier must not refute, and the reverse. The
ledgers are forged and *validly signed*, so that disagreement about anything behind
the signature shows: JSON, headers, register, runs, payloads.
"""

import json
import random
from pathlib import Path

import history
import pytest
from curve import WEAK_KEYS, mixed_order, small_r_signatures
from forge import (
    MALLORY,
    OWNER,
    REVIEWER,
    RUNNER,
    VECTORS,
    WRAPPER,
    Forge,
    Signer,
    compact,
    entry_bytes,
    verdict,
)
from fuzzing import mutants, seeded, twisted

from ledger import LedgerError, MisuseError, events, strictjson
from ledger.convert import export_lines
from ledger.ed25519 import WeakKeyError, check_public, verify
from ledger.entry import parse_entry, parse_line
from ledger.errors import MalformedError
from verifier import ed25519 as verifier_ed25519
from verifier import entries as verifier_entries
from verifier import lines as verifier_lines
from verifier import schema as verifier_schema
from verifier import strictjson as verifier_json

LINES = (VECTORS / "golden.jsonl").read_bytes().splitlines()
BAD = [
    line
    for file in sorted((VECTORS / "bad").iterdir())
    for line in file.read_bytes().splitlines()
    if len(line) < 3000
]


def test_both_read_the_same_json() -> None:
    corpus = [line[9:-172] for line in LINES] + [line[9:-172] for line in BAD]
    for mutant in mutants(corpus, count=4000, seed=11):
        try:
            ours = strictjson.parse(mutant)
        except MalformedError:
            ours = None
        try:
            theirs = verifier_json.parse(mutant)
        except verifier_json.NotStrictJson:
            theirs = None
        theirs = theirs if isinstance(theirs, dict) else None
        assert repr(ours) == repr(theirs), mutant


def test_both_read_the_same_entries() -> None:
    corpus = [line[9:-172] for line in LINES if not line.endswith(b"null}")]
    taken = 0
    for mutant in mutants(corpus, count=4000, seed=12):
        if not (mutant[:1] == b"{" and mutant[-1:] == b"}"):
            continue
        try:
            strictjson.parse(mutant)
            ours = parse_entry(mutant, None)
        except MalformedError:
            ours = None
        theirs = verifier_entries.read_entry(mutant)
        if (
            isinstance(theirs, str)
            or not verifier_entries.is_time(theirs.time)
            or len(mutant) > 65_535
        ):
            assert ours is None, mutant
        elif ours is None:
            assert theirs.seq > 2**53 - 1, mutant  # out of range is never the expected seq
        else:
            taken += 1
            assert ours.id.encode() == theirs.id
            for name in ("seq", "key", "signed", "type", "subject", "data"):
                assert getattr(ours, name) == getattr(theirs, name)
    assert taken > 50


def test_both_take_lines_apart_alike() -> None:
    for mutant in mutants([*LINES, *BAD], count=4000, seed=13):
        try:
            ours = parse_line(mutant)
        except MalformedError:
            ours = None
        theirs = verifier_lines.frame(mutant)
        if ours is None or theirs is None:
            assert ours is None or len(ours[0]) > 65_535, mutant
            assert theirs is None, mutant
        else:
            assert ours[0] == theirs[0]
            assert ours[2] == theirs[2]


def test_both_know_the_same_weak_keys() -> None:
    source = seeded(14)
    honest = [Signer(str(n), source.randbytes(32)).public for n in range(20)]
    publics = [*[key for key in WEAK_KEYS.values() if len(key) == 32], *honest]
    for public in list(publics):
        changed = bytearray(public)
        changed[source.randrange(32)] ^= 1 << source.randrange(8)
        publics.append(bytes(changed))
    for public in publics:
        try:
            check_public(public)
        except WeakKeyError:
            ours = True
        else:
            ours = False
        assert ours == verifier_ed25519.is_weak(public), public.hex()


def test_both_judge_signatures_alike() -> None:
    source = seeded(15)
    key = verifier_ed25519.PublicKey(OWNER.public)
    good = OWNER.private.sign(b"m")
    edges = [
        *[point for point in WEAK_KEYS.values() if len(point) == 32],
        good[:32],
        bytes(32),
        b"\xff" * 32,
    ]
    tails = [good[32:], bytes(32), b"\xff" * 32, verifier_ed25519._L.to_bytes(32, "little")]
    signatures = [r + s for r in edges for s in tails] + [bytes(63), bytes(65), b""]
    for _ in range(300):
        changed = bytearray(good)
        changed[source.randrange(64)] ^= 1 << source.randrange(8)
        signatures.append(bytes(changed))
    for signature in [good, *signatures]:
        assert verify(OWNER.public, signature, b"m") == key.accepts(signature, b"m"), (
            signature.hex()
        )
    assert key.accepts(good, b"m")


def test_both_refuse_an_r_of_small_order_though_the_equation_holds() -> None:
    public = mixed_order(OWNER.public)
    for signature, message in small_r_signatures(OWNER):
        assert not verify(public, signature, message)
        assert not verifier_ed25519.PublicKey(public).accepts(signature, message)


@pytest.mark.parametrize("more", [b',"more":1', b',"data":{}', b',"v":1', b',"":null'])
def test_both_refuse_a_member_behind_the_last(more: bytes) -> None:
    raw = LINES[1][9:-172]
    assert not isinstance(verifier_entries.read_entry(raw), str)
    twisted_raw = raw[:-1] + more + b"}"
    assert isinstance(verifier_entries.read_entry(twisted_raw), str)
    try:
        strictjson.parse(twisted_raw)
        _ = parse_entry(twisted_raw, None).data
    except MalformedError:
        return
    pytest.fail("the writer takes a twelfth member")


PAYLOADS = {
    "run.opened": history.OPENED,
    "run.planned": history.PLANNED,
    "metric.observed": {"iter": 3, "values": {"loss": 1.5, "var": "NaN"}},
    "gate.checked": history.gate(3, "warn"),
    "fault.injected": {"iter": 3, "kind": "random", "fraction": 0.5},
    "run.finished": {"iters": 4, "final_loss": "Infinity"},
    "run.closed": {"status": "success", "exit_code": 0, "signal": None, "wall_s": 1},
    "artifact.recorded": {"path": "a.json", "sha256": "0" * 64, "bytes": 1, "media_type": "a/b",
                          "projection": None, "at": None},
    "blob.erased": {"sha256": "0" * 64, "reason": "asked for"},
    "ledger.recovered": {"side_file": "a", "sha256": "0" * 64, "bytes": 1, "entries": 1,
                         "hashes": ["0" * 64], "part": 1, "parts": 1},
}  # fmt: skip


@pytest.mark.parametrize("event_type", sorted(PAYLOADS))
def test_both_judge_payloads_alike(event_type: str) -> None:
    """pydantic on the one side, an evaluator of the published schemas on the other."""
    theirs = verifier_schema.load_schemas()[event_type]
    source = seeded(16)
    taken = 0
    for _ in range(800):
        payload = twisted(PAYLOADS[event_type], source)
        if source.random() < 0.3 and payload:
            payload = twisted(payload, source)
        raw = compact(payload)
        try:
            events.check(event_type, raw)
        except MisuseError:
            ours = False
        else:
            ours = True
        complaint = theirs(strictjson.parse(raw))
        assert ours == (complaint is None), f"{payload}: {complaint}"
        taken += ours
    assert 0 < taken < 800


KEY_EVENTS = ("key.authorized", "key.rotated", "key.revoked")
HANDS = (OWNER, RUNNER, WRAPPER, REVIEWER, MALLORY)


def random_ledger(source: random.Random) -> Forge:
    """A ledger by hands that mostly, not always, do what they may."""
    forge = Forge()
    forge.genesis(
        OWNER.record(["owner"]), RUNNER.record(["runner"]), WRAPPER.record(["wrapper", "writer"])
    )
    if source.random() < 0.1:
        data = twisted(json.loads(forge.lines[0][9:-173])["data"], source)
        forge = Forge()
        forge.add(OWNER, "ledger.created", data)
    by, signed = WRAPPER, True
    for _ in range(source.randrange(1, 9)):
        kind = source.choice(("x.a", "x.b", "metric.observed", *KEY_EVENTS))
        honest = OWNER if kind in KEY_EVENTS else source.choice((WRAPPER, OWNER))
        if signed or source.random() < 0.1:
            by = honest if source.random() < 0.93 else source.choice(HANDS)
        elif kind in KEY_EVENTS:
            kind = "x.c"
        signed = kind in KEY_EVENTS or source.random() < 0.7
        forge.add(by, kind, _payload(kind, source), signed=signed, **_whims(source))
    if not signed and source.random() < 0.9:
        forge.add(by, "x.last")
    return forge


def _payload(kind: str, source: random.Random) -> object:
    whom = source.choice((REVIEWER, MALLORY, RUNNER) if source.random() < 0.9 else HANDS)
    new = Signer(f"new-{source.randrange(20)}", source.randbytes(32))
    new = new if source.random() < 0.6 else source.choice((REVIEWER, MALLORY))
    data: dict[str, object]
    if kind == "key.authorized":
        data = new.record([source.choice(("owner", "runner", "writer"))])
    elif kind == "key.rotated":
        data = {"key": whom.id, "by": new.record(name=f"{new.name}-{source.randrange(99)}")}
    elif kind == "key.revoked":
        data = {"key": whom.id, "reason": "because"}
        if source.random() < 0.2:
            data["compromised_since"] = source.randrange(8)
    else:
        data = {"iter": source.randrange(3), "values": {"a": 1.5}}
    return twisted(data, source) if source.random() < 0.05 else data


def _whims(source: random.Random) -> dict[str, object]:
    roll = source.random()
    if roll < 0.03:
        return {"id": "forged-1"}
    if roll < 0.05:
        return {"sig": bytes(64)}
    if roll < 0.06:
        return {"prev": "0" * 64}
    if roll < 0.07:
        return {"signs": MALLORY}
    return {}


def test_both_judge_whole_ledgers_alike(tmp_path: Path) -> None:
    """An exporter refuses a ledger with findings, and none without (the story's aside)."""
    source = seeded(17)
    path = tmp_path / "book.jsonl"
    taken = 0
    for number in range(300):
        forge = random_ledger(source)
        forge.write(path)
        found = verdict(path)
        errors = {
            f.code
            for f in found.findings
            if f.severity == "error"
            and f.code != "event.order"
            and not (f.code == "event.schema" and _story(forge, f.seq))
        }
        refused = _refused(path)
        taken += refused is None
        assert (refused is not None) == bool(errors), f"{number}: {refused} and {found.findings}"
    assert 20 < taken < 280


def _refused(path: Path) -> LedgerError | None:
    try:
        list(export_lines(path))
    except LedgerError as error:
        return error
    return None


def _story(forge: Forge, seq: int | None) -> bool:
    """Whether an ``event.schema`` finding is about a payload that is no key event's."""
    if seq is None or seq == 0:
        return False
    tail = 87 if forge.lines[seq].endswith(b"null}\n") else 173
    return not json.loads(forge.lines[seq][9:-tail])["type"].startswith(("key.", "ledger."))


def test_both_take_every_text_that_the_page_allows_in_a_header(tmp_path: Path) -> None:
    source = seeded(18)
    forge = Forge()
    forge.genesis()
    alphabet = [chr(n) for n in range(0x20, 0x2000, 37)] + list("\u2028\u202e\ufeff\U0001f600/'<>&")
    alphabet = [c for c in alphabet if c not in '"\\\x7f']
    for number in range(200):
        subject = "".join(source.choices(alphabet, k=source.randrange(40)))
        forge.add(
            OWNER,
            subject=subject,
            id="".join(source.choices("!#$%&'()*+,-./:;<=>?@[]^_`{|}~", k=20)) + str(number),
        )
    path = forge.write(tmp_path / "book.jsonl")
    assert verdict(path).findings == ()
    assert b"".join(export_lines(path)) == path.read_bytes()
    assert entry_bytes(v=1, data={}) == b'{"v":1,"data":{}}'
