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
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from ledger import recovery
from ledger.batch import Draft, Place, build_batch
from ledger.entry import MAX_ENTRY_BYTES, Event, Head, build_entry, parse_entry
from ledger.errors import ConflictError, LedgerError, MisuseError
from ledger.ids import Ids
from ledger.keyfile import Key
from ledger.register import CREATED, Register, key_id
from ledger.replay import Replay, Row, check_untouched
from ledger.stores.base import NewRow, Session, Store
from ledger.strictjson import MAX_INTEGER, encode, parse

_ALWAYS_FITS = MAX_ENTRY_BYTES - 1536  # the header has at most 1 180 bytes


class Receipt(NamedTuple):
    """The acknowledgement of an append: the entry is durable."""

    seq: int
    id: str
    hash: str


class Writer:
    """Appends to one store with one key; ``replay`` is the state that it keeps current.

    What it knows it never forgets: after a refused append it still demands that
    the ledger on disk continues the one that it has seen.
    """

    def __init__(self, store: Store, key: Key) -> None:
        """Know nothing yet; the first look reads the ledger."""
        self.replay = Replay()
        self._store = store
        self._key = key
        self._ids = Ids()
        self._torn: list[Row] = []
        self._pending = str(recovery.pending_path(store.path))

    def append(
        self,
        drafts: Sequence[Draft],
        *,
        expected_head: Head | None = None,
        successor: bytes | None = None,
    ) -> list[Receipt]:
        """See ``Ledger.append_batch``. *successor* is a public key whose private half we hold."""
        with self._store.exclusive() as session:
            self.catch_up(session)
            prelude = self._set_torn_aside(session)
            self._expect(expected_head)
            register = self.replay.register
            if not prelude and all(map(_is_plain, drafts)):
                for event_type in {made.type for made in drafts}:
                    register.check(self._key.id, event_type)
                fresh, answers = drafts, None
            else:
                register = register.copy()
                placer = _Placer(session, register, self._key, self.replay.frontier.size)
                fresh, answers = placer.place([*prelude, *drafts], successor)
            rows = self._build(fresh)
            if rows:
                session.append(rows)
            else:
                session.sync()  # a receipt for an entry that someone else wrote, durable now
        if rows:
            self.replay.register = register
            digests = [new.digest for new in rows]
            self.replay.advance(digests, rows[-1].row, time=rows[-1].time)
        if prelude:
            # All is durable, so nothing that goes wrong here may look like a failed append:
            # whoever writes next finds the side file pending and finishes it.
            with suppress(LedgerError), self._store.exclusive() as session:
                self._finish_recovery(session)
        made = [Receipt(new.seq, new.id, new.digest.hex()) for new in rows]
        if answers is None:
            return made
        receipts = [made[item] if isinstance(item, int) else item for item in answers]
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
        if not replay.torn:
            replay.settle()
        replay.thorough = True  # what appears beside us from now on, we check whole

    def _set_torn_aside(self, session: Session) -> list[Draft]:
        """Move an unsigned or unfinished end to the side file; return what records that."""
        fragment = session.fragment()
        if self._torn or fragment:
            self.replay.register.check(self._key.id, recovery.RECOVERED)
            recovery.set_aside(self._store.path, self._torn, fragment)
            session.cut(self.replay.frontier.size - self.replay.torn)
            self.replay.drop_torn()
            self._torn = []
            self.replay.settle()
        if not os.access(self._pending, os.F_OK):  # a tenth of the time of Path.exists
            return []
        return self._finish_recovery(session)

    def _finish_recovery(self, session: Session) -> list[Draft]:
        """Rename the side file if the ledger has it on record, else return what records it."""
        drafts = [_encoded(event) for event in recovery.recovered_events(self._store.path)]
        if all(session.find(str(draft.id)) is not None for draft in drafts):
            recovery.finish(self._store.path)
            return []
        return drafts

    def _expect(self, head: Head | None) -> None:
        if head is not None and head != (found := self.replay.head):
            raise ConflictError(
                f"the head is not the expected one: expected size {head.size} and hash"
                f" {head.hash.hex()[:16]}…, found size {found.size} and {found.hash.hex()[:16]}…"
            )

    def _build(self, drafts: Sequence[Draft]) -> list[NewRow]:
        if not drafts:
            return []
        head = self.replay.head
        place = Place(str(self.replay.ledger), head.size, head.hash.hex())
        stamp = max(now(), self.replay.time)  # time never runs backwards in a ledger
        ids = self._ids.take(len(drafts))
        return build_batch(place, drafts, ids=ids, time=stamp, key=self._key)


class _Placer:
    """Decides, for the drafts of one batch, which are new and which the ledger has."""

    def __init__(self, session: Session, register: Register, key: Key, size: int) -> None:
        self._session = session
        self._register = register
        self._key = key
        self._size = size
        self._admitted: set[str] = set()  # the register judges a type once a batch

    def place(
        self, drafts: Sequence[Draft], successor: bytes | None
    ) -> tuple[list[Draft], list[Receipt | int]]:
        """Return the new drafts; and for each draft a receipt, or its place among the new."""
        fresh: list[Draft] = []
        places: dict[str, int] = {}
        answers: list[Receipt | int] = []
        for draft in drafts:
            if draft.id is not None:
                if draft.id in places:
                    _require_same(draft, fresh[places[draft.id]])
                    answers.append(places[draft.id])
                    continue
                if (row := self._session.find(draft.id)) is not None:
                    answers.append(self._answer(draft, row))
                    continue
                places[draft.id] = len(fresh)
            if draft.type not in self._admitted:
                self._admit(draft, self._size + len(fresh), successor)
            answers.append(len(fresh))
            fresh.append(draft)
        return fresh, answers

    def _answer(self, draft: Draft, row: Row) -> Receipt:
        """Answer a repeated append from the entry that is there."""
        entry = parse_entry(row[0], row[2])
        _require_same(draft, Draft(entry.type, entry.subject, entry.payload, entry.id))
        if entry.key != self._key.id:
            raise ConflictError(f"id {draft.id!r} is in use: entry {entry.seq} is by another key")
        return Receipt(entry.seq, entry.id, entry.hash)

    def _admit(self, draft: Draft, seq: int, successor: bytes | None) -> None:
        """Check that our key may write *draft* as entry *seq*, and let a key event act."""
        self._register.check(self._key.id, draft.type)
        if not draft.type.startswith("key."):
            self._admitted.add(draft.type)
            return
        data = parse(draft.data)
        before = self._register.owners()
        self._register.apply(draft.type, data, seq=seq)
        self._admitted.clear()
        lost = draft.type == "key.rotated" and [key.id for key in before] == [data["key"]]
        if lost and (successor is None or key_id(successor) != self._register.owners()[0].id):
            raise MisuseError(
                "the last owner can only be rotated to a key that you hold: a mistyped one"
                " would leave the ledger without an owner for ever"
            )


def now() -> str:
    """Return the time in the one form of section 2."""
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    return f"{_date(seconds)}.{rest // 1000:06d}Z"


@lru_cache(maxsize=1)
def _date(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def draft(event: Event) -> Draft:
    """Return the event with its data encoded, and found fit for its type and size.

    Raises:
        MisuseError: Its data cannot be recorded, or does not fit its type.
        OversizeError: It would not fit into an entry.
    """
    made = _encoded(event)
    if len(made.data) > _ALWAYS_FITS:
        _check_size(made)
    if not made.type.startswith(("x.", "key.")):
        from ledger import events  # noqa: PLC0415 - pydantic is slow to import

        events.check(made.type, made.data)
    return made


def _encoded(event: Event) -> Draft:
    if event.type == CREATED:
        raise MisuseError("a ledger has one ledger.created, its entry 0")
    return Draft(event.type, event.subject, encode(event.data), event.id)


def _check_size(made: Draft) -> None:
    """Build the entry as large as it could come out, which refuses what cannot fit."""
    build_entry(
        ledger="0" * 64,
        seq=MAX_INTEGER,
        prev="0" * 64,
        event_id=made.id or "0" * 36,
        time=now(),
        key="0" * 64,
        signed=False,
        event_type=made.type,
        subject=made.subject,
        data=made.data,
    )


def _is_plain(made: Draft) -> bool:
    """Tell whether a draft is new for sure, and changes nothing about who may sign."""
    return made.id is None and not made.type.startswith("key.")


def _require_same(draft: Draft, there: Draft) -> None:
    if draft != there:
        raise ConflictError(f"id {draft.id!r} is in use for another event: take a new id")
