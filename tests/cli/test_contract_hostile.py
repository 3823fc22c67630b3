"""Whatever stands in a capsule, the commands answer: 0 or 2, and never a traceback."""

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import contracts
import pytest
from cli_shell import Command

from verifier.contract import FULL, Options, header_of, validate_path

PLAIN = (("skip", 100), ("fail", 200))
DOCUMENTS = ("signature", "results", "summary", "config", "judgement", "log")
HOSTILE: tuple[Any, ...] = (
    None,
    True,
    -1,
    0.5,
    10**300,
    10**399,
    1e308,
    "",
    "x" * 5000,
    "\u202e\x00\x1b[2J",
    [],
    {},
    [[]],
    {"": {"": None}},
)


def capsule() -> contracts.Capsule:
    made = contracts.capsule(PLAIN)
    made.judgement = contracts.judgement()
    made.log[0] = contracts.started(
        distributed={"distributed_mode": "ddp_wrapped", "world_size_observed": 2, "rank": 0}
    )
    assert made.results is not None
    made.results["metrics"] = made.results["metrics"][:2]
    return made


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict | list):
        for name, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(each, (*path, name))


def put(document: Any, path: tuple[Any, ...], value: Any) -> None:
    for name in path[:-1]:
        document = document[name]
    document[path[-1]] = copy.deepcopy(value)


CASES = [
    (name, path, hostile)
    for name in DOCUMENTS
    for path in places(getattr(capsule(), name))
    for hostile in HOSTILE
]


@pytest.mark.parametrize("options", [FULL, Options()], ids=["strict", "free"])
def test_any_value_in_any_place_ends_in_an_answer(options: Options, tmp_path: Path) -> None:
    chosen = random.Random(1)  # noqa: S311 - a repeatable choice, no secret
    for name, path, hostile in chosen.sample(CASES, 250):
        made = capsule()
        put(getattr(made, name), path, hostile)
        found = validate_path(made.write(tmp_path / "a"), options)
        assert len(found.line) <= 2100
        if found.ok:
            header_of(found).as_dict()


@pytest.mark.parametrize("seed", range(12))
def test_the_commands_exit_with_0_or_2_whatever_they_are_given(
    seed: int, tmp_path: Path, call: Command
) -> None:
    chosen = random.Random(seed)  # noqa: S311 - a repeatable choice, no secret
    whole = capsule().write(tmp_path / "whole")
    for number in range(6):
        name, path, hostile = chosen.choice(CASES)
        made = capsule()
        put(getattr(made, name), path, hostile)
        outdir = made.write(tmp_path / f"{number}")
        for words in (
            ("validate", outdir),
            ("inspect", outdir, "--format", "md"),
            ("report", outdir),
            ("diff", whole, outdir),
            ("report", "--compare", outdir, whole, "--allow-incompatible"),
            ("override", outdir, "--clear"),
        ):
            done = call(*words)
            assert done.code in (0, 2), (name, path, hostile, words, done.err)
            assert "\x1b" not in done.out + done.err
            assert "\u202e" not in done.out + done.err


@pytest.mark.parametrize("name", ["results.json", "governance_log.jsonl", "results_summary.json"])
@pytest.mark.parametrize("seed", range(3))
def test_a_flipped_byte_ends_in_an_answer(name: str, seed: int, tmp_path: Path) -> None:
    chosen = random.Random(seed)  # noqa: S311 - a repeatable choice, no secret
    outdir = capsule().write(tmp_path / "a")
    content = (outdir / name).read_bytes()
    for _ in range(150):
        at = chosen.randrange(len(content))
        flipped = content[at] ^ (1 << chosen.randrange(8))
        (outdir / name).write_bytes(content[:at] + bytes([flipped]) + content[at + 1 :])
        assert validate_path(outdir, FULL).line


def test_a_metric_that_no_float_holds_is_left_out_of_a_diff(tmp_path: Path, call: Command) -> None:
    made = capsule()
    assert made.results is not None
    made.results["metrics"].append({"name": "huge", "iter": 0, "value": 10**399})
    done = call("diff", made.write(tmp_path / "a"), capsule().write(tmp_path / "b"), "--json")
    assert done.code == 0
    courses = json.loads(done.out)["trajectories"]["metrics"]
    assert [course["name"] for course in courses] == ["eff_dim", "loss"]
