"""Append under the store's lock, and never sign over what was not checked.

Someone who can write the file but has no key could append an unsigned entry in
our name, and our next signature would vouch for it. So before every append the
writer looks at what is on disk *now*: the last entry must be the one it knew, what
follows it must follow validly, and unsigned entries at the end are moved aside.
Source: format.md section 4, *Writers*.
"""

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from ledger import recovery
from ledger.batch import Draft, Place, build_batch
from ledger.entry import Event, Head, parse_entry
from ledger.errors import ConflictError, MisuseError
from ledger.ids import Ids
from ledger.keyfile import Key
from ledger.register import CREATED, key_id
from ledger.replay import Replay, Row, check_untouched
from ledger.stores.base import NewRow, Session, Store
from ledger.strictjson import encode, parse


class Receipt(NamedTuple):
    """The acknowledgement of an append: the entry is durable."""

    seq: int
    id: str
    hash: str


class Writer:
    """Appends to one store with one key; ``replay`` is the state that it keeps current."""

    def __init__(self, store: Store, key: Key) -> None:
        """Know nothing yet; the first append reads the ledger."""
        self.replay = Replay()
        self._store = store
        self._key = key
        self._ids = Ids()
        self._torn: list[Row] = []
        self._pending = str(recovery.pending_path(store.path))

    def append(
        self,
        events: Sequence[Event],
        *,
        expected_head: Head | None = None,
        successor: bytes | None = None,
    ) -> list[Receipt]:
        """See ``Ledger.append_batch``. *successor* is a public key whose private half we hold."""
        drafts = [_draft(event) for event in events]
        try:
            with self._store.exclusive() as session:
                self.catch_up(session)
                prelude = self._set_torn_aside(session)
                self._expect(expected_head)
                receipts, rows = self._place(session, prelude + drafts, successor)
                if rows:
                    session.append(rows)
                else:
                    session.sync()  # a receipt for an entry that someone else wrote, durable now
        except BaseException:
            self._forget()
            raise
        if rows:
            digests = [new.digest for new in rows]
            self.replay.advance(digests, rows[-1].row, time=rows[-1].time)
        if prelude:
            recovery.finish(self._store.path)
        return receipts[len(prelude) :]

    def catch_up(self, session: Session) -> None:
        """Check the last entry known, and take in what other writers have appended.

        Raises:
            BrokenLinkError: What is on disk does not follow from what is known.
        """
        replay = self.replay
        known = replay.frontier.size
        rows = session.tail(known)
        if replay.last is not None:
            check_untouched(replay.last, next(rows, None), seq=known - 1)
        for row in rows:
            replay.take(row)
            if replay.torn:
                self._torn.append(row)
            elif self._torn:
                self._torn = []
        if not self._torn:
            replay.settle()

    def _forget(self) -> None:
        """Drop all that is known, so that the next append reads the ledger anew."""
        self.replay = Replay()
        self._torn = []
        self._store.rewind()

    def _set_torn_aside(self, session: Session) -> list[Draft]:
        """Move an unsigned or unfinished end to the side file; return what records that."""
        fragment = session.fragment()
        if self._torn or fragment:
            self.replay.register.check(self._key.id, recovery.RECOVERED)
            recovery.set_aside(self._store.path, self._torn, fragment)
            self.replay.drop_torn()
            session.cut(self.replay.frontier.size)
            self._torn = []
            self.replay.settle()
        if not os.path.exists(self._pending):  # noqa: PTH110 - a tenth of Path.exists, every append
            return []
        return [_encoded(event) for event in recovery.recovered_events(self._store.path)]

    def _expect(self, head: Head | None) -> None:
        if head is not None and head != (found := self.replay.head):
            raise ConflictError(
                f"the head is not the expected one: expected size {head.size} and hash"
                f" {head.hash.hex()[:16]}…, found size {found.size} and {found.hash.hex()[:16]}…"
            )

    def _place(
        self, session: Session, drafts: Sequence[Draft], successor: bytes | None
    ) -> tuple[list[Receipt], list[NewRow]]:
        """Return a receipt for each draft, and the rows that are still to be written."""
        fresh: list[Draft] = []
        places: dict[str, int] = {}  # the id of a fresh draft -> its place in `fresh`
        answers: list[Receipt | int] = []
        admitted: set[str] = set()  # the register judges a type once a batch
        for draft in drafts:
            if draft.id is not None:
                if draft.id in places:
                    _require_same(draft, fresh[places[draft.id]])
                    answers.append(places[draft.id])
                    continue
                if (found := session.find(draft.id)) is not None:
                    answers.append(self._answer(draft, session.row(found)))
                    continue
                places[draft.id] = len(fresh)
            if draft.type not in admitted:
                self._admit(draft, self.replay.frontier.size + len(fresh), successor)
                if draft.type.startswith("key."):
                    admitted.clear()
                else:
                    admitted.add(draft.type)
            answers.append(len(fresh))
            fresh.append(draft)
        rows = self._build(fresh)
        made = [Receipt(new.seq, new.id, new.digest.hex()) for new in rows]
        return [made[item] if isinstance(item, int) else item for item in answers], rows

    def _answer(self, draft: Draft, row: Row) -> Receipt:
        """Answer a repeated append from the entry that is there."""
        entry = parse_entry(row[0], row[2])
        _require_same(draft, Draft(entry.type, entry.subject, entry.payload, entry.id))
        if entry.key != self._key.id:
            raise ConflictError(f"id {draft.id!r} is in use: entry {entry.seq} is by another key")
        return Receipt(entry.seq, entry.id, entry.hash)

    def _admit(self, draft: Draft, seq: int, successor: bytes | None) -> None:
        """Check that our key may write *draft* as entry *seq*, and let a key event act."""
        register = self.replay.register
        if draft.type == CREATED:
            raise MisuseError("a ledger has one ledger.created, its entry 0")
        register.check(self._key.id, draft.type)
        if draft.type.startswith("key."):
            data = parse(draft.data)
            before = register.owners()
            register.apply(draft.type, data, seq=seq)
            lost = draft.type == "key.rotated" and [key.id for key in before] == [data["key"]]
            if lost and (successor is None or key_id(successor) != register.owners()[0].id):
                raise MisuseError(
                    "the last owner can only be rotated to a key that you hold: a mistyped one"
                    " would leave the ledger without an owner for ever"
                )

    def _build(self, drafts: Sequence[Draft]) -> list[NewRow]:
        if not drafts:
            return []
        head = self.replay.head
        place = Place(str(self.replay.ledger), head.size, head.hash.hex())
        stamp = max(now(), self.replay.time)  # time never runs backwards in a ledger
        ids = self._ids.take(len(drafts))
        return build_batch(place, drafts, ids=ids, time=stamp, key=self._key)


def now() -> str:
    """Return the time in the one form of section 2."""
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    return f"{_date(seconds)}.{rest // 1000:06d}Z"


@lru_cache(maxsize=1)
def _date(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def _draft(event: Event) -> Draft:
    """Return the event with its data as bytes that fit the model of its type."""
    draft = _encoded(event)
    if not draft.type.startswith(("x.", "key.")):
        from ledger import events  # noqa: PLC0415 - pydantic is slow to import

        events.check(draft.type, draft.data)
    return draft


def _encoded(event: Event) -> Draft:
    data = event.data if isinstance(event.data, bytes) else encode(event.data)
    return Draft(event.type, event.subject, data, event.id)


def _require_same(draft: Draft, there: Draft) -> None:
    if draft != there:
        raise ConflictError(f"id {draft.id!r} is in use for another event: take a new id")
