"""However a ledger is read, exactly, in blocks or by several processes, it is found to be the same.

The quick ways through a ledger may only be quicker. Each variant is a real ledger,
damaged or forged somewhere; what the exact reader says of it is what all must say.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from forge import MALLORY, OWNER, RUNNER, WRAPPER, Forge, lines_of, new_book
from fuzzing import mutants, seeded

from ledger import Event, Ledger
from ledger.signing import sign_checkpoint
from verifier.core import verify
from verifier.findings import Findings
from verifier.policy import Policy
from verifier.reader import Plan
from verifier.story import Keep, Story

NEVER = 1 << 40
EXACTLY = Plan(jobs=1, exact_below=NEVER)
OLD = "2020-01-01T00:00:00.000000Z"


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], bytes]:
    """Some three hundred entries of three hands, in batches, and a checkpoint of them all."""
    folder = tmp_path_factory.mktemp("paths")
    path = folder / "book.jsonl"
    source = seeded(21)
    with new_book(path, (RUNNER, "runner"), (WRAPPER, "wrapper")) as owner:
        books = [owner, Ledger.open(path, key=RUNNER.key), Ledger.open(path, key=WRAPPER.key)]
        while owner.refresh().size < 300:
            count = source.choice((1, 1, 2, 7, 40))
            made = [Event("x.a", "run/é", {"n": number}) for number in range(count)]
            source.choice(books).append_batch(made)
        owner.append(Event("x.a", "", {}))
        return lines_of(path), sign_checkpoint(owner, memory=folder / "memory").encode()


def variants(lines: list[bytes], source: random.Random) -> Iterator[bytes]:
    """Damage the ledger in one way after the other, without end."""
    whole = b"".join(lines)
    while True:
        some, place = list(lines), source.randrange(1, len(lines) - 1)
        flipped = bytearray(whole)
        flipped[source.randrange(len(whole))] ^= 1 << source.randrange(8)
        yield bytes(flipped)
        yield b"".join(some[:place] + some[place + 1 :])
        yield b"".join([*some[:place], some[place + 1], some[place], *some[place + 2 :]])
        yield b"".join([*some[:place], source.choice(some), *some[place:]])
        yield b"".join([*some[:place], *[b"\n"] * source.randrange(1, 9), *some[place:]])
        yield whole[: source.randrange(len(whole))]
        yield b"".join([*_forged(some[:place], source), *some[place:]])
        yield b"".join(_forged(some[:place], source))


def _forged(lines: list[bytes], source: random.Random) -> list[bytes]:
    """Go on behind *lines* with entries of which some are honest."""
    forge = Forge.behind(lines)
    payloads = ({}, {"key": RUNNER.id, "reason": "x"}, b'{"a":NaN}', b'{"a":1,"a":2}')
    kinds = ("x.a", "x.a", "x.a", "key.revoked", "gate.checked", "zz.unknown")
    for _ in range(source.randrange(1, 20)):
        members = {"time": OLD} if source.random() < 0.05 else {}
        members |= {"id": "twice"} if source.random() < 0.1 else {}
        forge.add(
            source.choice((RUNNER, RUNNER, RUNNER, WRAPPER, OWNER, MALLORY)),
            source.choice(kinds),
            source.choice(payloads) if source.random() < 0.2 else {"n": 1},
            signed=source.random() < 0.4,
            **members,
        )
    return forge.lines


def found(path: Path, checkpoint: bytes, plan: Plan, *, strict: bool) -> tuple[object, ...]:
    findings = Findings()
    story = Story(findings, strict=strict, keep=Keep(artifacts=False, blobs=False))
    policy = Policy(strict=strict, ledger_id=None, checkpoints=(checkpoint,), jobs=1)
    reading = verify(path, policy, findings=findings, story=story, plan=plan)
    places = [(item.code, item.seq, item.line, item.severity) for item in findings.items()]
    return places, findings.counts(), reading, story.replays()


def test_every_way_of_reading_finds_the_same(
    honest: tuple[list[bytes], bytes], tmp_path: Path
) -> None:
    lines, checkpoint = honest
    source = seeded(22)
    path = tmp_path / "book.jsonl"
    for number, content in zip(range(160), variants(lines, source), strict=False):
        path.write_bytes(content)
        block = source.choice((3_000, 8_000, 30_000))
        jobs, fork_above = (2, 0) if number % 10 == 0 else (1, NEVER)
        quick = Plan(jobs=jobs, exact_below=0, fork_above=fork_above, block=block)
        strict = source.random() < 0.5
        exact = found(path, checkpoint, EXACTLY, strict=strict)
        assert found(path, checkpoint, quick, strict=strict) == exact, number


PAYLOADS = (
    b'{"a":9007199254740991,"b":-9007199254740992,"c":18446744073709551616,"d":-0,"e":1e-7}',
    b'{"a":"\\u0000\\\\u0000\\ud83d\\ude00\\ud800","\\u0061":1,"\x7f":"\xc3\xa9"}',
    b'{"a":' + b"[" * 62 + b"]" * 62 + b',"b":{"c":[true,false,null,{}]},"d":[1.5,1E5,2.0,0.1e1]}',
    b'{"sha256":"' + b"ab" * 32 + b'","bytes":1,"media_type":"a/b","name":"n"}',
)


def test_every_way_of_reading_judges_every_payload_alike(tmp_path: Path) -> None:
    """Validly signed, one mangled payload an entry: only the JSON itself is in question."""
    path = tmp_path / "book.jsonl"
    made = [text for text in mutants(PAYLOADS, count=1500, seed=23) if b"\n" not in text]
    for start in range(0, len(made), 250):
        forge = Forge()
        forge.genesis()
        for text in made[start : start + 250]:
            if len(text) < 60_000:
                forge.add(OWNER, data=text)
        forge.add(OWNER)
        forge.write(path)
        exact = found(path, b"", EXACTLY, strict=False)
        quick = found(path, b"", Plan(jobs=1, exact_below=0, block=20_000), strict=False)
        assert quick == exact
