"""Entries for the eyes of people: filtered, with what vouches for each, escaped.

What is shown has been read, not verified: the chain is checked on the way, and
signatures are the verifier's.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from cli.render import escape, shorten
from ledger.entry import Entry
from ledger.errors import MisuseError
from ledger.ledger import Ledger

SIGNED, BATCHED, UNVOUCHED = "signed", "batch", "TORN"
_POLL_S = 0.3
_DATA_WIDTH = 100
_MIN_PREFIX = 8


class Shown(NamedTuple):
    """An entry and what vouches for it: its own signature, a later one, or nothing yet."""

    entry: Entry
    vouched: str


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries are wanted; ``None`` wants all."""

    event_type: str | None = None
    subject: str | None = None
    key: str | None = None
    since: int = 0
    until: int | None = None

    def takes(self, entry: Entry) -> bool:
        """Tell whether *entry* is wanted."""
        return (
            _fits(self.event_type, entry.type)
            and _fits(self.subject, entry.subject)
            and self.key in (None, entry.key)
            and (self.until is None or entry.seq <= self.until)
        )


def key_id_of(book: Ledger, text: str) -> str:
    """Return the id of the key that *text* names: its name, its id, or the start of that.

    Raises:
        MisuseError: No key of the register is meant, or more than one.
    """
    keys = book.register.keys.values()
    found = {key.id for key in keys if text in (key.name, key.id)}
    if not found and len(text) >= _MIN_PREFIX:
        found = {key.id for key in keys if key.id.startswith(text)}
    if len(found) != 1:
        problem = "more than one key" if found else "no key"
        raise MisuseError(f"{problem} of this ledger is meant by {text[:80]!r}: ledger key list")
    return found.pop()


def select(book: Ledger, wanted: Filter, *, last: int | None = None) -> Iterator[Shown]:
    """Yield the entries that *wanted* takes, in order; with *last*, only so many at the end."""
    found = (item for item in vouched(book.entries(wanted.since)) if wanted.takes(item.entry))
    if last is None:
        return found
    from collections import deque

    return iter(deque(found, maxlen=last))


def follow(book: Ledger, wanted: Filter, *, poll: float = _POLL_S) -> Iterator[Shown]:
    """Yield entries as they become vouched for, for ever; begins behind what the book has."""
    seen = book.size
    while True:
        book.refresh()
        for item in vouched(book.entries(seen, book.size)):
            if item.vouched is UNVOUCHED:
                break
            seen = item.entry.seq + 1
            if wanted.takes(item.entry):
                yield item
        time.sleep(poll)


def vouched(entries: Iterable[Entry]) -> Iterator[Shown]:
    """Yield each entry with what vouches for it (format.md section 4)."""
    waiting: list[Entry] = []
    for entry in entries:
        if entry.signature is None:
            waiting.append(entry)
            continue
        yield from (Shown(item, BATCHED) for item in waiting)
        waiting = []
        yield Shown(entry, SIGNED)
    yield from (Shown(item, UNVOUCHED) for item in waiting)


def line_of(book: Ledger) -> Callable[[Shown], str]:
    """Return what renders an entry of *book* as one line."""

    def render(item: Shown) -> str:
        entry = item.entry
        data = shorten(json.dumps(entry.data, ensure_ascii=False), _DATA_WIDTH)
        return (
            f"{entry.seq:>7}  {entry.time[:19]}Z  {item.vouched:<6}  "
            f"{escape(shorten(signer(book, entry.key), 20)):<12}  {entry.type:<18}"
            f"  {escape(shorten(entry.subject, 48)) or '-'}  {escape(data)}"
        )

    return render


def signer(book: Ledger, key: str) -> str:
    """Return the name of a key, or the start of its id if the ledger does not know it."""
    state = book.register.keys.get(key)
    return state.name if state else f"{key[:12]}…"


def as_object(item: Shown) -> dict[str, Any]:
    """Return an entry as JSON values."""
    entry = item.entry
    names = ("seq", "id", "time", "key", "type", "subject", "data", "hash")
    return {name: getattr(entry, name) for name in names} | {"vouched": item.vouched.lower()}


def _fits(pattern: str | None, text: str) -> bool:
    if pattern is None:
        return True
    if pattern.endswith("*"):
        return text.startswith(pattern[:-1])
    return text == pattern
