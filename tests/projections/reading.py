"""How the tests of the result files make them and read them back."""

import json
from typing import Any

import story

from projections import PROJECTIONS, project

RESULT_NAMES = ("results", "summary", "window_signature")


def files(entries: list[story.Entry]) -> dict[str, bytes]:
    return project([PROJECTIONS[name]() for name in RESULT_NAMES], entries)


def parsed(entries: list[story.Entry], name: str) -> dict[str, Any]:
    value = json.loads(files(entries)[name])
    assert isinstance(value, dict)
    return value


def canonical(value: object) -> bytes:
    """The seed's section 4B, written down a second time."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def one_run(*decisions: str, **closing: Any) -> story.Story:
    made = story.Story()
    made.open("r")
    made.plan("r")
    for number, decision in enumerate(decisions, 1):
        made.gate("r", number * 10, decision)
    made.close("r", **closing)
    return made
