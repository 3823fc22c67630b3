"""The event vocabulary: closed, strict, and published as the schemas that the verifier reads."""

import json
from pathlib import Path
from typing import Any

import history
import pytest
from forge import OWNER, RUNNER

from ledger import events
from ledger.errors import MisuseError
from ledger.events.publish import main, published

GOOD: dict[str, Any] = {
    "run.opened": history.OPENED,
    "run.planned": history.PLANNED,
    "metric.observed": {"iter": 3, "values": {"loss": 1.5, "var": "NaN"}},
    "gate.checked": history.gate(3, "warn"),
    "fault.injected": {"iter": 3, "kind": "random", "fraction": 0.5},
    "run.finished": {"iters": 4, "final_loss": "Infinity"},
    "run.closed": {"status": "success", "exit_code": 0, "signal": None, "wall_s": 1},
    "artifact.recorded": {"path": "a.json", "sha256": "0" * 64, "bytes": 1,
                          "media_type": "application/json", "projection": None, "at": None},
    "key.authorized": OWNER.record(["owner"]),
    "key.rotated": {"key": OWNER.id, "by": RUNNER.record()},
    "key.revoked": {"key": OWNER.id, "reason": "left", "compromised_since": 3},
    "blob.erased": {"sha256": "0" * 64, "reason": "asked for"},
}  # fmt: skip


def check(event_type: str, data: object) -> None:
    events.check(event_type, json.dumps(data).encode())


@pytest.mark.parametrize("event_type", sorted(GOOD))
def test_a_payload_of_each_family_is_taken(event_type: str) -> None:
    check(event_type, GOOD[event_type])


@pytest.mark.parametrize("event_type", sorted(GOOD))
def test_no_member_may_be_missing_misspelt_or_of_another_type(event_type: str) -> None:
    good = GOOD[event_type]
    for name in good:
        if name != "compromised_since":
            with pytest.raises(MisuseError, match=event_type):
                check(event_type, {key: good[key] for key in good if key != name})
        for wrong in ([[[]]], True):
            with pytest.raises(MisuseError):
                check(event_type, {**good, name: wrong})
    with pytest.raises(MisuseError):
        check(event_type, {**good, "mispelt": 1})


def test_the_message_names_the_member_at_fault() -> None:
    gate = json.loads(json.dumps(GOOD["gate.checked"]))
    gate["audit"]["reason"] = 7
    with pytest.raises(MisuseError, match=r"gate\.checked: audit\.reason"):
        check("gate.checked", gate)
    with pytest.raises(MisuseError, match="data"):
        check("run.finished", [])


@pytest.mark.parametrize("event_type", ["x.anything", "governance.approved", "task.claimed"])
def test_types_without_a_model_are_not_judged(event_type: str) -> None:
    check(event_type, {"anything": [1, None]})


def test_every_model_has_a_schema_and_the_schemas_are_sorted() -> None:
    schemas = events.json_schemas()
    assert list(schemas) == sorted(events.MODELS)
    for name, schema in schemas.items():
        assert schema["additionalProperties"] is False, name


def test_publishing_writes_what_the_verifier_reads(tmp_path: Path) -> None:
    assert main([str(tmp_path / "schemas.json")]) == 0
    written = (tmp_path / "schemas.json").read_bytes()
    assert written == published()
    verifiers = Path(__file__).parents[2] / "verifier" / "schemas.json"
    assert json.loads(verifiers.read_bytes()) == json.loads(written)


def test_publishing_nowhere_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 64
    assert "usage" in capsys.readouterr().err
