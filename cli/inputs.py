"""Events as users give them: read strictly, but for whitespace.

What is not strict JSON (format.md section 2) is refused here, before anything is
signed: duplicate names, NaN, integers that readers see differently.
"""

import re
from pathlib import Path
from typing import Any

from ledger.entry import Event, Head
from ledger.errors import MalformedError, MisuseError
from ledger.strictjson import MAX_DEPTH, parse

MAX_INPUT = 1 << 20
"""More than any entry can hold, escapes included; larger things go to a blob."""
_SPACES = (b" ", b"\t", b"\r", b"\n")
_MEMBERS = {"type", "subject", "data", "id"}
_EXPECTED = 'expected {"type":…,"subject":…,"data":{…}} and, if you like, "id"'


def payload(text: bytes, *, what: str, depth: int = MAX_DEPTH - 1) -> dict[str, Any]:
    """Return the JSON object in *text*.

    Raises:
        MisuseError: It is not a strict JSON object.
    """
    if len(text) > MAX_INPUT:
        raise MisuseError(f"{what}: more than {MAX_INPUT} bytes: put it into a blob (--blob FILE)")
    if any(space in text for space in _SPACES):
        text = _compact(text, what)
    try:
        return parse(text, depth=depth)
    except MalformedError as error:
        raise MisuseError(f"{what}: {error.reason}{_advice(error.reason)}") from error


def read_payload(path: Path) -> dict[str, Any]:
    """Return the payload that a file holds.

    Raises:
        MisuseError: There is no such file, or it is not a strict JSON object.
    """
    what = f"data file {path}"
    try:
        with path.open("rb") as file:
            text = file.read(MAX_INPUT + 1)
    except OSError as error:
        raise MisuseError(f"{what}: {error.strerror}") from error
    return payload(text, what=what)


def event(line: bytes, *, what: str) -> Event:
    """Return the event on a line of NDJSON.

    Raises:
        MisuseError: The line is not such an object.
    """
    members = payload(line, what=what, depth=MAX_DEPTH)
    if unknown := sorted(set(members) - _MEMBERS):
        raise MisuseError(f"{what}: unknown member {unknown[0]!r}: {_EXPECTED}")
    texts = [members.get("type"), members.get("subject", ""), members.get("id", "x")]
    if not all(isinstance(text, str) for text in texts):
        raise MisuseError(f"{what}: type, subject and id must be strings: {_EXPECTED}")
    if not isinstance(members.get("data"), dict):
        raise MisuseError(f"{what}: data must be an object: {_EXPECTED}")
    try:
        return Event(
            members["type"], members.get("subject", ""), members["data"], members.get("id")
        )
    except MisuseError as error:
        raise MisuseError(f"{what}: {error}") from error


def expected_head(text: str | None) -> Head | None:
    """Read ``SIZE:HASH``, as ``ledger log`` and receipts give them.

    Raises:
        MisuseError: It is not that.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(0|[1-9][0-9]{0,15}):([0-9a-f]{64})", text)
    if match is None:
        raise MisuseError(f"--expected-head {text[:80]!r}: expected SIZE:HASH, as in 12:9f2c…")
    return Head(int(match[1]), bytes.fromhex(match[2]))


def _compact(text: bytes, what: str) -> bytes:
    """Drop whitespace outside strings, after making sure that it parts no two tokens."""
    compact = re.sub(rb'(?s)("(?:[^"\\]|\\.)*")|[ \t\r\n]+', rb"\1", text)
    if len(compact) != len(text):
        _require_json(text, what)
    return compact


def _require_json(text: bytes, what: str) -> None:
    import json

    try:
        json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise MisuseError(f"{what}: not JSON: {error}") from error


def _advice(reason: str) -> str:
    if reason.startswith(("NaN", "Infinity", "-Infinity")):
        return ': record it as the string "NaN", "Infinity" or "-Infinity"'
    return ""
