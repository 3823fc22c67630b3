"""The fast path against the exact reader: whatever a ledger holds, both find the same."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.verifier.builder import (
    LOG,
    OTHER,
    OWNER,
    ROLES,
    RUNNER,
    Builder,
    Notebook,
    Signer,
    write_sqlite,
)
from verifier.core import Reading, verify
from verifier.entries import Entry, read_entry
from verifier.fast import Fast
from verifier.findings import Finding, Findings
from verifier.policy import Policy
from verifier.reader import Plan
from verifier.segments import Segment

EXACT = Plan(jobs=1, exact_below=1 << 40)
FAST = Plan(jobs=1, exact_below=0, fork_above=1 << 40, block=2500)
FORKED = Plan(jobs=2, exact_below=0, fork_above=0, block=4000)
NOWHERE = Plan(jobs=1, exact_below=0, fork_above=1 << 40, block=1 << 20)

Result = tuple[Reading, tuple[Finding, ...], dict[str, int]]


def result(
    path: Path, plan: Plan, *, checkpoints: tuple[bytes, ...] = (), story: Notebook | None = None
) -> Result:
    findings = Findings()
    policy = Policy(strict=True, ledger_id=None, checkpoints=checkpoints)
    reading = verify(path, policy, findings=findings, story=story, plan=plan)
    return reading, findings.items(), findings.counts()


def long_story(seed: int) -> Builder:
    """An honest ledger of some hundred entries: batches, key events, many types and subjects."""
    rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
    b = Builder(genesis=False)
    roles = {**ROLES, "runner": ["x.*", "gate.*"]}
    b.genesis(data=b.genesis_data(roles=roles))
    runner = RUNNER
    fresh = [Signer(n) for n in range(20, 30)]
    while len(b.lines) < 240:
        dice = rng.random()
        if dice < 0.02 and fresh:
            new = fresh.pop()
            b.rotate(runner, new, f"runner-{len(fresh)}")
            runner = new
        elif dice < 0.04 and fresh:
            b.authorize(fresh.pop(), f"more-{len(fresh)}", ["runner"])
        else:
            for left in reversed(range(rng.choice([1, 1, 2, 5, 30]))):
                add_one(b, rng, runner, signed=left == 0)
    return b


def add_one(b: Builder, rng: random.Random, key: Signer, *, signed: bool) -> None:
    data = {
        "iter": rng.randrange(10**6),
        "value": rng.choice([0.5, 1e-7, 1e22, -3.25, None, True]),
        "text": rng.choice(["plain", "é☃😀", 'quo"te', "tab\t", "back\\slash", "\u007f"]),
        "deep": rng.choice([[], {}, [[[[1]]]], [[[[[[[[1]]]]]]]], {"a": [{"b": 1}]}]),
    }
    if rng.random() < 0.1:
        data["ref"] = {"sha256": "a" * 64, "bytes": 1, "media_type": "m", "name": "n"}
    event_type = rng.choice(["x.gate", "x.gate", "gate.checked", "x.a_b.c9"])
    b.add(event_type, data, key, signed=signed, subject=rng.choice(["run/1", "run/é", ""]))


def agree(path: Path, *, checkpoints: tuple[bytes, ...] = ()) -> Result:
    exact = result(path, EXACT, checkpoints=checkpoints)
    for plan in (FAST, FORKED):
        assert result(path, plan, checkpoints=checkpoints) == exact
    return exact


@pytest.mark.parametrize("seed", range(4))
def test_an_honest_ledger_reads_the_same_every_way(seed: int, tmp_path: Path) -> None:
    b = long_story(seed)
    path = b.write(tmp_path / "l.jsonl")
    ends = [n + 1 for n, sig in enumerate(b.sigs) if sig]
    notes = tuple(b.checkpoint(n) for n in (1, *ends[3:40:9], ends[-1]))
    reading, findings, _ = agree(path, checkpoints=notes)
    assert findings == ()
    assert len(reading.checkpoints_held) == len(notes)
    assert reading.signed == len(ends)


@pytest.mark.parametrize("plan", [FAST, FORKED], ids=["alone", "forked"])
def test_a_witness_sees_what_it_must_in_order(plan: Plan, tmp_path: Path) -> None:
    b = long_story(9)
    path = b.write(tmp_path / "l.jsonl")
    everything, some = Notebook(), Notebook()
    result(path, EXACT, story=everything)
    result(path, plan, story=some)
    due = [s for s in everything.seen if not s[2].startswith("x.") or b'"sha256"' in s[5]]
    assert [s for s in some.seen if s in set(due)] == due
    assert set(some.seen) <= set(everything.seen)
    assert len(some.seen) < len(everything.seen)


def test_a_reference_whose_name_is_escaped_is_shown_to_the_witness(tmp_path: Path) -> None:
    b = Builder()
    b.add(edit=('"data":{}', r'"data":{"sha25\u0036":"a"}'))
    b.add()
    book = Notebook()
    result(b.write(tmp_path / "l.jsonl"), NOWHERE, story=book)
    assert [seen[0] for seen in book.seen] == [0, 1]


# -- faults


def flip(rng: random.Random, raw: bytes) -> bytes:
    at = rng.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :]


def delete_line(rng: random.Random, raw: bytes) -> bytes:
    lines = raw.splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def double_line(rng: random.Random, raw: bytes) -> bytes:
    lines = raw.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    return b"".join([*lines[: at + 1], lines[at], *lines[at + 1 :]])


def swap_lines(rng: random.Random, raw: bytes) -> bytes:
    lines = raw.splitlines(keepends=True)
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return b"".join(lines)


def insert_blanks(rng: random.Random, raw: bytes) -> bytes:
    lines = raw.splitlines(keepends=True)
    lines.insert(rng.randrange(len(lines)), b"\n" * rng.choice([1, 7, 3000]))
    return b"".join(lines)


def strip_signature(rng: random.Random, raw: bytes) -> bytes:
    found = rng.choice(list(re.finditer(rb'"sig":"[^"]*"', raw)))
    return raw[: found.start()] + b'"sig":null' + raw[found.end() :]


def cut(rng: random.Random, raw: bytes) -> bytes:
    return raw[: rng.randrange(len(raw))]


def huge_line(rng: random.Random, raw: bytes) -> bytes:
    lines = raw.splitlines(keepends=True)
    lines.insert(rng.randrange(len(lines)), b"y" * 400_000 + b"\n")
    return b"".join(lines)


FAULTS = [flip, flip, flip, delete_line, double_line, swap_lines, insert_blanks, strip_signature,
          cut, huge_line]  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_ledger_reads_the_same_every_way(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
    b = long_story(seed % 4)
    note = b.checkpoint(200 + b.sigs[200:].index(next(s for s in b.sigs[200:] if s)) + 1)
    raw = b.text
    for _ in range(rng.choice([1, 1, 2, 5])):
        raw = rng.choice(FAULTS)(rng, raw)
    path = tmp_path / "l.jsonl"
    path.write_bytes(raw)
    _, findings, _ = agree(path, checkpoints=(note,))
    assert any(f.code != "anchor.missing" for f in findings)


def resigned(change: Callable[[Builder], object]) -> Builder:
    """A ledger in which every thirtieth entry is made by *change*, with good hash and signature."""
    b = Builder()
    while len(b.lines) < 150:
        if len(b.lines) % 30 == 29:
            change(b)
        b.add(data={"n": len(b.lines) / 3}, signed=len(b.lines) % 7 == 0)
    b.add()
    return b


def _authorize(b: Builder) -> None:
    b.add()
    b.authorize(Signer(len(b.lines)), f"key-{len(b.lines)}", ["runner"])


CHANGES: dict[str, Callable[[Builder], object]] = {
    "bad time": lambda b: b.add(time="2026-13-01T00:00:00.000000Z"),
    "bad day": lambda b: b.add(time="2026-02-30T00:00:00.000000Z"),
    "hour 24": lambda b: b.add(time="2026-01-01T24:00:00.000000Z"),
    "second 60": lambda b: b.add(time="2026-01-01T00:00:60.000000Z"),
    "backward": lambda b: b.add(time="2026-01-01T00:00:00.000000Z"),
    "doubled id": lambda b: b.add(id="id-00003"),
    "long id": lambda b: b.add(id="i" * 129),
    "odd id": lambda b: b.add(id="a b"),
    "no id": lambda b: b.add(id=""),
    "descending id": lambda b: b.add(id=f"a-{1000 - len(b.lines)}"),
    "whitespace": lambda b: b.add(edit=('"data":{}', '"data":{ }')),
    "integer": lambda b: b.add(data={"a": 2**53}),
    "huge integer": lambda b: b.add(data={"a": 10**30}),
    "nul": lambda b: b.add(edit=('"data":{}', r'"data":{"a":"\u0000"}')),
    "doubled name": lambda b: b.add(edit=('"data":{}', '"data":{"a":1,"a":1}')),
    "escapes": lambda b: b.add(edit=('"data":{}', r'"data":{"a":"\u00e9\/"}')),
    "exponent": lambda b: b.add(edit=('"data":{}', '"data":{"a":1E5,"b":1.50}')),
    "surrogate": lambda b: b.add(data={"a": "\ud800"}),
    "twelve members": lambda b: b.add(edit=('"data":{}', '"data":{},"more":{}')),
    "data twice": lambda b: b.add(edit=('"data":{}', '"data":{},"data":{}')),
    "deep": lambda b: b.add(edit=('"data":{}', '"data":{"a":' + "[" * 64 + "]" * 64 + "}")),
    "other ledger": lambda b: b.add(ledger="a" * 64),
    "null prev": lambda b: b.add(prev=None),
    "seq jump": lambda b: b.add(seq=b.seq + 5),
    "greatest seq": lambda b: b.add(seq=2**53 - 1),
    "role": lambda b: b.add("y.z"),
    "unknown key": lambda b: b.add(key=OTHER),
    "long type": lambda b: b.add("x.gate." + "a" * 130),
    "bad signature": lambda b: b.add(sig=bytes(64)),
    "percent": lambda b: b.lines.append(b.lines[-1][:-4] + b'%s"}\n'),
    "short signature": lambda b: b.garbage(b.lines[-1].replace(b'"sig":null', b'"sig":""')),
    "version": lambda b: b.add(v=2),
    "presence": lambda b: b.add(strip=True),
    "del": lambda b: b.add(subject="\x7f"),
    "other key": lambda b: b.add("x.y", key=OWNER, signed=len(b.lines) % 60 == 29),
    "big": lambda b: b.add(data={"a": "x" * 65_000}),
    "too big": lambda b: b.add(data={"a": "x" * 65_500}),
    "key event": _authorize,
    "compromise": lambda b: b.revoke(LOG if len(b.lines) > 40 else RUNNER, 10),
    "second genesis": lambda b: b.add("ledger.created", b.genesis_data(), OWNER),
    "not json": lambda b: b.add(edit=('"data":{}', '"data":{]}')),
    "not utf-8": lambda b: b.raw(b.entries[-1].replace(b"run/1", b"run/\xff"), None),
    "claims in line": lambda b: b.raw(b'{"v":1}', None),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_ledger_written_against_the_page_reads_the_same_every_way(
    name: str, tmp_path: Path
) -> None:
    b = resigned(CHANGES[name])
    _, findings, _ = agree(b.write(tmp_path / "l.jsonl"))
    valid = {"descending id", "escapes", "exponent", "big", "key event"}
    assert ({f.code for f in findings} == {"anchor.missing"}) is (name in valid)


def test_what_the_fast_path_accepts_the_exact_reader_accepts_too() -> None:
    """The fast path may only say "surely valid": ten thousand mutants of data."""
    rng = random.Random(5)  # noqa: S311 - repeatable on purpose
    b = Builder()
    alphabet = [b"\\u0000", b"\\ud800", b'"', b"\\", b"1", b"-0", b"e5", b".", b" ", b"{", b"}",
                b"[", b"]", b",", b":", b'"a"', b"null", b"\xff", b"\xed\xa0\x80", b"9" * 17,
                b"\x7f", b"\x00", b"true"]  # fmt: skip
    text = json.dumps({"a": [1, 2.5, "xé", {"b": None}], "c": {"d": -7, "e": "\n"}, "f": 1e-9},
                      separators=(",", ":"), ensure_ascii=False).encode()  # fmt: skip
    b.add(edit=('"data":{}', '"data":' + text.decode()))
    fast = Fast(b.id or "", witnessed=False)
    fast.learn(RUNNER.public)
    accepted = 0
    for _ in range(10_000):
        mutant = text
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            at = rng.randrange(1, len(mutant))
            mutant = mutant[:at] + rng.choice(alphabet) + mutant[at + rng.choice([0, 0, 1, 2]) :]
        entry = b.entries[1].replace(text, mutant)
        b.raw(entry, RUNNER.sign(entry))
        parts = fast.lines([b.lines.pop()[:-1]])
        if isinstance(parts[0], Segment):
            accepted += 1
            assert isinstance(read_entry(entry), Entry), entry
    assert 500 < accepted < 9_500


def test_behind_a_deleted_line_reading_is_fast_again(tmp_path: Path) -> None:
    b = long_story(2)
    del b.lines[20]
    path = b.write(tmp_path / "l.jsonl")
    exact = result(path, EXACT)
    assert result(path, FORKED) == exact
    book, every = Notebook(), Notebook()
    assert result(path, FAST, story=book) == exact
    result(path, EXACT, story=every)
    assert len(book.seen) < len(every.seen) * 0.8


def fast_parts(b: Builder, *lines: bytes) -> list[str]:
    fast = Fast(b.id or "", witnessed=False)
    fast.learn(RUNNER.public)
    return [type(part).__name__ for part in fast.lines(list(lines))]


def test_more_headers_than_are_kept_are_read_all_the_same() -> None:
    b = Builder()
    for n in range(4200):
        b.add(subject=f"run/{n}", signed=n == 4199)
    assert fast_parts(b, *(line[:-1] for line in b.lines[1:])) == ["Segment"]


def test_a_subject_that_is_not_utf_8_is_in_doubt() -> None:
    b = Builder()
    entry = b.add().replace(b"run/1", b"run/\xff")
    b.raw(entry, RUNNER.sign(entry))
    assert fast_parts(b, b.lines[-1][:-1]) == ["Doubt"]


@pytest.mark.parametrize("sig", [b"=" * 88, b"A" * 87 + b"=", b"A" * 85 + b"B==", b"!" * 88])
def test_a_signature_that_is_not_canonical_base64_is_in_doubt(sig: bytes) -> None:
    b = Builder()
    b.add()
    line = b.lines[-1][:-1]
    assert fast_parts(b, line) == ["Segment"]
    assert fast_parts(b, line[:-90] + sig + line[-2:]) == ["Doubt"]


# -- databases, which the same fast path reads


@pytest.mark.parametrize("seed", range(3))
def test_a_database_reads_as_its_lines_do(seed: int, tmp_path: Path) -> None:
    b = long_story(seed)
    lines = result(b.write(tmp_path / "l.jsonl"), EXACT)
    reading, *rest = result(write_sqlite(tmp_path / "l.sqlite", b.rows()), FAST)
    assert reading.store == "sqlite"
    assert (reading.root, reading.head, reading.signed, *rest) == (
        lines[0].root, lines[0].head, lines[0].signed, *lines[1:],
    )  # fmt: skip
