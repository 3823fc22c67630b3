"""verifier/schema.py: strict, complete, and of one mind with pydantic and jsonschema."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from ledger.events import MODELS, json_schemas
from ledger.events.publish import main as publish
from ledger.events.publish import published
from tests.verifier.capsule import OPENED, PLANNED, audit
from verifier.schema import SchemaError, compile_schema, load_schemas

HEX = "0123456789abcdef" * 4

GOOD: dict[str, list[Any]] = {
    "run.opened": [OPENED, OPENED | {"runner_key": HEX, "env": {"A": "b"}}],
    "run.planned": [PLANNED],
    "metric.observed": [{"iter": 0, "values": {}}, {"iter": 3, "values": {"a": 1, "b": "NaN"}}],
    "gate.checked": [
        {
            "iter": 5,
            "decision": "pass",
            "audit": audit("pass", reference=1, recent=0),
            "evidence": {},
        },
        {
            "iter": 5,
            "decision": "skip",
            "audit": audit("skip", reference=0, recent=0)
            | {"eps_eff": None, "worst_DW": "-Infinity"},
            "evidence": {"m": {"reference": [1, 2], "recent": []}},
        },
    ],
    "fault.injected": [{"iter": 1, "kind": "random", "fraction": 0.5}],
    "run.finished": [{"iters": 3, "final_loss": None}, {"iters": 3, "final_loss": 2}],
    "run.closed": [{"status": "success", "exit_code": 0, "signal": None, "wall_s": 0}],
    "artifact.recorded": [
        {
            "path": "a/b",
            "sha256": HEX,
            "bytes": 2**53 - 1,
            "media_type": "text/plain",
            "projection": None,
            "at": 4,
        }
    ],
    "blob.erased": [{"sha256": HEX, "reason": "asked"}],
    "ledger.recovered": [
        {
            "side_file": "f",
            "sha256": HEX,
            "bytes": 1,
            "entries": 0,
            "hashes": [HEX],
            "part": 1,
            "parts": 1,
        }
    ],
    "key.revoked": [{"key": HEX, "reason": ""}],
}

ODD: list[Any] = [
    None, True, False, 0, -1, 1, 1.0, 0.5, -0.5, 256, 2**53, "", "NaN", "nan", "x", HEX, HEX + "\n",
    HEX.upper(), [], [1], [0.0, 1.0, 2.0], {}, {"x": 1}, "y" * 4097, "٣" * 64,
]  # fmt: skip


def mutants(good: Any, rng: random.Random) -> list[Any]:
    """Each member replaced by odd values, removed, and joined by a stranger, at every depth."""
    made: list[Any] = [*ODD]
    for path in paths(good):
        made += [replaced(good, path, value) for value in rng.sample(ODD, 12)]
        made.append(replaced(good, path, ...))
        made.append(replaced(good, (*path[:-1], "stranger"), 1))
    return made


def paths(value: Any) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [
            path
            for key, item in value.items()
            for path in [(key,), *((key, *p) for p in paths(item))]
        ]
    if isinstance(value, list):
        return [(place, *path) for place, item in enumerate(value) for path in [(), *paths(item)]]
    return []


def replaced(good: Any, path: tuple[Any, ...], value: Any) -> Any:
    made = copy.deepcopy(good)
    target = made
    for step in path[:-1]:
        target = target[step]
    if isinstance(target, list) and not isinstance(path[-1], int):
        return made
    if value is ...:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return made


def pydantic_accepts(kind: str, value: Any) -> bool:
    try:
        MODELS[kind].model_validate_json(json.dumps(value))
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_it_agrees_with_pydantic_and_jsonschema(kind: str) -> None:
    check = load_schemas()[kind]
    validator = jsonschema.Draft202012Validator(json_schemas()[kind])
    rng = random.Random(kind)  # noqa: S311 - a test's choice, no secret
    refused = 0
    for good in GOOD[kind]:
        assert check(good) is None
        for value in [good, *mutants(good, rng)]:
            ours = check(value) is None
            assert ours == pydantic_accepts(kind, value), value
            # jsonschema takes 1.0 for an integer and lets `$` match before a line feed.
            if ours:
                assert validator.is_valid(value), value
            refused += not ours
    assert refused > 20


def test_the_published_file_is_what_the_models_generate() -> None:
    file = Path(__file__).parents[2] / "verifier" / "schemas.json"
    assert file.read_bytes() == published()


def test_publishing_writes_the_file_and_nothing_else(tmp_path: Path) -> None:
    assert publish([str(tmp_path / "s.json")]) == 0
    assert sorted(load_schemas(tmp_path / "s.json")) == sorted(MODELS)
    assert publish([]) == 64


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer"}, [0, -3, 2**60], [True, 1.0, "1", None]),
        ({"type": "number"}, [0, 1.5], [False, "1"]),
        ({"type": "boolean"}, [True, False], [0, 1]),
        ({"type": "null"}, [None], [0, False, ""]),
        ({"type": "integer", "enum": [1, 2]}, [1, 2], [3, True]),
        ({"type": "boolean", "const": True}, [True], [False, 1]),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, [0.5], [0, 1, 2]),
        ({"type": "integer", "minimum": 1, "maximum": 2}, [1, 2], [0, 3]),
        ({"type": "string", "minLength": 2, "maxLength": 3}, ["ab", "é☃😀"], ["a", "abcd"]),
        ({"type": "string", "minLength": 1}, ["a" * 99], [""]),
        ({"type": "string", "maxLength": 0}, [""], ["a"]),
        ({"type": "array", "maxItems": 0}, [[]], [[1]]),
        ({"type": "string", "pattern": "^[a-z]{2}$"}, ["ab"], ["ab\n", "abc", " ab", "AB"]),
        ({"type": "array", "minItems": 1, "maxItems": 2}, [[1], [1, "x"]], [[], [1, 2, 3], {}]),
        (
            {"type": "array", "prefixItems": [{"type": "null"}], "items": {"type": "string"}},
            [[], [None], [None, "a"]],
            [["a"], [None, 1]],
        ),
        ({"type": "object"}, [{}, {"a": 1}], [[], None]),
        (
            {"type": "object", "additionalProperties": {"type": "null"}},
            [{}, {"a": None}],
            [{"a": 1}],
        ),
        (
            {"type": "object", "properties": {"a": {"type": "null"}}, "additionalProperties": True},
            [{"b": 1}, {"a": None}],
            [{"a": 1}],
        ),
        (
            {"$ref": "#/$defs/A", "$defs": {"A": {"type": "null"}}},
            [None],
            [1],
        ),
    ],
)  # fmt: skip
def test_each_keyword_accepts_and_refuses(
    schema: dict[str, Any], good: list[Any], bad: list[Any]
) -> None:
    check = compile_schema(schema)
    assert [check(value) for value in good] == [None] * len(good)
    assert all(isinstance(check(value), str) for value in bad)


@pytest.mark.parametrize(
    "schema",
    [
        True,
        [],
        {},
        {"type": ["string", "null"]},
        {"type": "date"},
        {"type": "string", "format": "uuid"},
        {"type": "string", "minimum": 1},
        {"type": "integer", "multipleOf": 2},
        {"type": "array", "uniqueItems": True},
        {"type": "array", "items": True},
        {"type": "array", "items": [{"type": "null"}]},
        {"type": "array", "minItems": -1},
        {"type": "array", "maxItems": 1.0},
        {"type": "string", "pattern": "a$"},
        {"type": "string", "pattern": "^a|b$"},
        {"type": "string", "pattern": r"^\d$"},
        {"type": "string", "pattern": "^($"},
        {"type": "string", "pattern": 1},
        {"type": "string", "enum": ["a", "a"]},
        {"type": "string", "enum": "a"},
        {"type": "array", "const": []},
        {"type": "number", "minimum": "0"},
        {"type": "number", "minimum": True},
        {"type": "object", "required": "a"},
        {"type": "object", "required": [1]},
        {"type": "object", "properties": []},
        {"type": "object", "patternProperties": {}},
        {"anyOf": {}},
        {"anyOf": [{"type": "null"}], "type": "null"},
        {"oneOf": [{"type": "null"}]},
        {"$ref": "other.json"},
        {"$ref": 7},
        {"$ref": "#/$defs/B", "$defs": {"A": {"type": "null"}}},
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}},
        {"$defs": [], "type": "null"},
    ],
)
def test_what_it_cannot_check_it_does_not_load(schema: Any) -> None:
    with pytest.raises(SchemaError):
        compile_schema(schema)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"a":{"type":"date"}}'])
def test_a_broken_schema_file_is_one_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "schemas.json").write_bytes(content)
    with pytest.raises(SchemaError):
        load_schemas(tmp_path / "schemas.json")


def test_a_fault_says_where_it_is() -> None:
    check = load_schemas()["gate.checked"]
    good = GOOD["gate.checked"][1]
    wrong = replaced(good, ("evidence", "m", "recent"), [0, -1])
    assert check(wrong) == "evidence.m.recent.1: expected at least 0, found -1"
    wrong = {**good, "audit": {**good["audit"], "worst_DW": True}}
    assert check(wrong) == (
        "audit.worst_DW: expected a number, found a boolean or "
        "expected a string, found a boolean or expected null, found a boolean"
    )
    assert check({**good, "iter": True}) == "iter: expected an integer, found a boolean"
    assert check({**good, "\x1b[2J": 1}) == "\\u001b[2J: not a member of this payload"
    del wrong["iter"]
    assert check(wrong) == "iter: missing"


def test_a_fault_quotes_little_of_what_is_hostile() -> None:
    fault = compile_schema({"type": "string", "const": "a"})("\u202e" * 10_000)
    assert fault is not None
    assert fault.isascii() is False  # the ellipsis alone
    assert "\u202e" not in fault
    assert len(fault) < 500
