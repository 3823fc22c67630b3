"""One event for ``ledger append``, from a JSON object or from a file kept as a blob."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from cli import inputs
from ledger.batch import Draft
from ledger.entry import Event, Head
from ledger.errors import MisuseError
from ledger.ledger import Ledger
from ledger.writer import Receipt, draft

_MEDIA_TYPE = "application/octet-stream"


class Source(NamedTuple):
    """Where the payload of an event comes from: exactly one of the first three."""

    data: str | None
    data_file: Path | None
    blob: Path | None
    media_type: str | None


def event_of(event_type: str, subject: str, *, source: Source, event_id: str | None) -> Event:
    """Return the event, checked as far as it can be without the ledger.

    Raises:
        MisuseError: It cannot be recorded.
    """
    if sum(item is not None for item in source[:3]) != 1:
        raise MisuseError("give exactly one of --data, --data-file and --blob, or --stdin")
    if source.media_type is not None and source.blob is None:
        raise MisuseError("--media-type belongs to --blob")
    return Event(event_type, subject, _payload(source), event_id)


def append_one(
    book: Ledger, event: Event, *, source: Source, expected_head: Head | None
) -> Receipt:
    """Append one event; a blob is stored only when the key may record it.

    Raises:
        LedgerError: It was refused; nothing was appended.
    """
    if source.blob is not None:
        book.check_may_write(event.type)
        event = replace(event, data={"blob": _store(book, source.blob, source.media_type)})
    return book.append_drafts([_drafted(event)], expected_head=expected_head)[0]


def _drafted(event: Event) -> Draft:
    """Return what is to be written; the same bytes as ``draft``, which costs an import more.

    Payloads here come from the strict parser, so only floats are written differently by
    the standard library (a test compares them).
    """
    if not event.type.startswith("x.") or _has_float(event.data):
        return draft(event)
    text = json.dumps(event.data, ensure_ascii=False, separators=(",", ":"))
    return Draft(event.type, event.subject, text.encode(), event.id)


def _has_float(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_float, value.values()))
    if isinstance(value, list):
        return any(map(_has_float, value))
    return isinstance(value, float)


def _payload(source: Source) -> dict[str, Any]:
    if source.data is not None:
        return inputs.payload(source.data.encode("utf-8", "surrogateescape"), what="--data")
    if source.data_file is not None:
        return inputs.read_payload(source.data_file)
    return {}  # the blob is stored when the ledger is open


def _store(book: Ledger, path: Path, media_type: str | None) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return book.blobs.put(file, name=path.name, media_type=media_type or _MEDIA_TYPE)
    except OSError as error:
        raise MisuseError(f"--blob {path}: {error.strerror}") from error
