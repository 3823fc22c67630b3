"""Events as users give them: read strictly, kept as they were written but for whitespace.

What is not strict JSON (format.md section 2) is refused here, before anything is
signed: duplicate names, NaN, integers that readers see differently.
"""

import re
from pathlib import Path

from ledger.entry import Event, Head
from ledger.errors import MalformedError, MisuseError
from ledger.strictjson import MAX_DEPTH, parse

MAX_INPUT = 1 << 20
"""More than any entry can hold, escapes included; larger things go to a blob."""
_MEMBERS = {"type", "subject", "data", "id"}
_NEEDED = {"type", "data"}
_SPACE_OR_STRING = re.compile(rb'("(?:[^"\\]|\\.)*")|[ \t\r\n]+', re.DOTALL)
_HEAD = re.compile(r"(0|[1-9][0-9]{0,15}):([0-9a-f]{64})")


def payload(text: bytes, *, what: str) -> bytes:
    """Return the JSON object in *text* without whitespace, to be recorded.

    Raises:
        MisuseError: It is not a strict JSON object.
    """
    compact = _compact(text, what)
    try:
        parse(compact, depth=MAX_DEPTH - 1)
    except MalformedError as error:
        raise _refused(error, what) from error
    return compact


def read_payload(path: Path) -> bytes:
    """Return the payload that a file holds.

    Raises:
        MisuseError: There is no such file, or it is not a strict JSON object.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_INPUT + 1)
    except OSError as error:
        raise MisuseError(f"data file {path}: {error.strerror}") from error
    return payload(text, what=f"data file {path}")


def event(line: bytes, *, what: str) -> Event:
    """Return the event on a line of NDJSON: ``{"type","subject","data","id"?}``.

    Raises:
        MisuseError: It is not such an object.
    """
    import msgspec

    compact = _compact(line, what)
    try:
        members = parse(compact)
    except MalformedError as error:
        raise _refused(error, what) from error
    if unknown := sorted(set(members) - _MEMBERS):
        raise MisuseError(f"{what}: unknown member {unknown[0]!r}: expected {_expected()}")
    if missing := sorted(_NEEDED - set(members)):
        raise MisuseError(f"{what}: no member {missing[0]!r}: expected {_expected()}")
    texts = {name: members.get(name, "") for name in ("type", "subject", "id")}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise MisuseError(f"{what}: {name} is not a string")
    if not isinstance(members["data"], dict):
        raise MisuseError(f"{what}: data is not an object")
    data = bytes(msgspec.json.decode(compact, type=dict[str, msgspec.Raw])["data"])
    try:
        event_id = texts["id"] if "id" in members else None
        return Event(texts["type"], texts["subject"], data, event_id)
    except MisuseError as error:
        raise MisuseError(f"{what}: {error}") from error


def expected_head(text: str | None) -> Head | None:
    """Read ``SIZE:HASH``, as ``ledger log`` and receipts give them.

    Raises:
        MisuseError: It is not that.
    """
    if text is None:
        return None
    match = _HEAD.fullmatch(text)
    if match is None:
        raise MisuseError(f"--expected-head {text[:80]!r}: expected SIZE:HASH, as in 12:9f2c… (64 hex)")
    return Head(int(match[1]), bytes.fromhex(match[2]))


def _compact(text: bytes, what: str) -> bytes:
    """Drop whitespace outside strings, after making sure that it parts no two tokens."""
    if len(text) > MAX_INPUT:
        raise MisuseError(f"{what}: more than {MAX_INPUT} bytes: put it into a blob (--blob FILE)")
    compact = _SPACE_OR_STRING.sub(rb"\1", text)
    if len(compact) != len(text):
        _require_json(text, what)
    return compact


def _require_json(text: bytes, what: str) -> None:
    import json

    try:
        json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise MisuseError(f"{what}: not JSON: {error}") from error


def _refused(error: MalformedError, what: str) -> MisuseError:
    advice = ""
    if error.reason.startswith(("NaN", "Infinity", "-Infinity")):
        advice = ': record it as the string "NaN", "Infinity" or "-Infinity"'
    return MisuseError(f"{what}: {error.reason}{advice}")


def _expected() -> str:
    return '{"type":…,"subject":…,"data":{…},"id":…}'
