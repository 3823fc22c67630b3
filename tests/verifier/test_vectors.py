"""The golden vectors: made without our code, each with its exact findings."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.verifier.builder import codes, read

VECTORS = Path(__file__).parents[1] / "vectors"
CASES = json.loads((VECTORS / "bad.json").read_text())
GOLDEN = json.loads((VECTORS / "golden.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["file"])
def test_a_ledger_of_the_vectors_has_exactly_the_listed_findings(case: dict[str, Any]) -> None:
    _, findings = read(VECTORS / case["file"])
    assert codes(findings) == sorted((code, seq) for code, seq in case["findings"])


def test_the_golden_ledger_is_reproduced() -> None:
    notes = (GOLDEN["checkpoint_at_5"].encode(), GOLDEN["checkpoint"].encode())
    reading, findings = read(
        VECTORS / "golden.jsonl", strict=True, ledger_id=GOLDEN["ledger"], checkpoints=notes
    )
    assert findings.items() == ()
    assert reading.ledger_id == GOLDEN["ledger"]
    assert reading.root == GOLDEN["roots"]["11"]
    assert reading.head == GOLDEN["hashes"][-1]
    assert reading.checkpoints_held == (5, 11)
    assert reading.anchored
    assert [key.state for key in reading.keys] == ["active", "rotated", "revoked", "active"]
    assert (reading.name, reading.size, reading.signed) == ("golden", 11, 9)
    assert not reading.torn_tail


@pytest.mark.parametrize("size", range(1, 12))
def test_every_root_of_the_golden_ledger_is_reproduced(size: int, tmp_path: Path) -> None:
    lines = (VECTORS / "golden.jsonl").read_bytes().splitlines(keepends=True)
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(b"".join(lines[:size]))
    reading, _ = read(cut)
    assert reading.root == GOLDEN["roots"][str(size)]
    assert reading.head == GOLDEN["hashes"][size - 1]
