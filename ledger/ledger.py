"""The ledger on disk: create, open, append, read.

>>> import tempfile
>>> key = Key.generate("me")
>>> with tempfile.TemporaryDirectory() as folder:
...     with Ledger.create(f"{folder}/a.jsonl", name="demo", key=key) as book:
...         book.append(Event("x.hello", "world", {"n": 1})).seq
1
"""

import base64
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ledger.batch import Draft
from ledger.blobs import Blobs
from ledger.entry import Entry, Event, Head, build_entry, entry_hash, pae, parse_entry
from ledger.errors import KeyFileError, KeyRefusedError, MalformedError, MisuseError
from ledger.ids import Ids
from ledger.keyfile import Key
from ledger.paths import locate, open_store
from ledger.register import CREATED, OWNER, Register
from ledger.replay import Replay, Row
from ledger.roles import DEFAULT_ROLES
from ledger.stores import create_store
from ledger.stores.base import NewRow, Store
from ledger.strictjson import encode
from ledger.writer import Receipt, Writer, draft, now


class Ledger:
    """One ledger, opened for reading or, with a key, for writing too.

    A ``Ledger`` may be used from several threads; processes take turns.
    """

    def __init__(self, store: Store, key: Key | None) -> None:
        """Use ``Ledger.open`` or ``Ledger.create`` instead."""
        self._store = store
        self._key = key
        self._lock = threading.RLock()
        self._writer = None if key is None else Writer(store, key)
        self._reader = Replay()

    @classmethod
    def create(
        cls,
        path: Path | str,
        *,
        name: str,
        key: Key,
        roles: Mapping[str, Sequence[str]] = DEFAULT_ROLES,
    ) -> Self:
        """Make a new ledger whose first owner is *key*, and open it.

        Raises:
            MisuseError: The roles are not what section 5 allows.
            StoreError: There is a file at *path* already, or the disk refused.
        """
        place = locate(Path(path), new=True)
        create_store(place, iter([_genesis(name, key, roles)]))
        return cls.open(place, key=key)

    @classmethod
    def open(cls, path: Path | str, *, key: Key | None = None, timeout: float = 30.0) -> Self:
        """Open the ledger at *path*: a ``.jsonl``, a ``.sqlite`` or ``.db``, or a run directory.

        With a key, the whole chain is read and its register folded, as the next
        append needs it; another writer's lock is waited for *timeout* seconds.

        Raises:
            MisuseError: There is no ledger at *path*.
            MalformedError: What is there is not a ledger of version 1, or is damaged.
            StoreError: The disk refused.
        """
        place = locate(Path(path))
        store = open_store(place, timeout=timeout, read_only=key is None)
        book = cls(store, key)
        try:
            book.refresh()
        except BaseException:
            book.close()
            raise
        return book

    def __enter__(self) -> Self:
        """Return the ledger itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the store."""
        self.close()

    def close(self) -> None:
        """Let go of files and connections."""
        self._store.close()

    @property
    def path(self) -> Path:
        """The file that holds the entries."""
        return self._store.path

    @property
    def id(self) -> str:
        """The hash of entry 0: the trust anchor."""
        return str(self._state.ledger)

    @property
    def name(self) -> str:
        """The name that entry 0 gives; anyone can choose any."""
        return self._state.name

    @property
    def key(self) -> Key:
        """The key that this handle signs with.

        Raises:
            KeyFileError: The ledger was opened for reading only.
        """
        if self._key is None:
            raise KeyFileError("the ledger was opened without a key: it can only be read")
        return self._key

    @property
    def head(self) -> Head:
        """The place and hash of the last entry that this handle has seen."""
        return self._state.head

    @property
    def size(self) -> int:
        """How many entries this handle has seen."""
        return self._state.head.size

    @property
    def register(self) -> Register:
        """The keys and roles, as of the last entry seen."""
        return self._state.register

    @property
    def blobs(self) -> Blobs:
        """The blob store beside the ledger."""
        return Blobs(self.path)

    def root(self) -> bytes:
        """Return the Merkle root over the entries seen (section 6)."""
        return self._state.frontier.root()

    def refresh(self) -> Head:
        """Take in what other writers have appended, and return the head.

        Raises:
            BrokenLinkError: It does not follow from what this handle knows.
        """
        with self._lock:
            if self._writer is not None:
                with self._store.exclusive() as session:
                    self._writer.catch_up(session)
            else:
                for row in self._store.rows(self._reader.head.size):
                    self._reader.take(row)
            if self.size == 0:
                raise MalformedError(
                    f"{self.path} holds no entry: a ledger begins with ledger.created"
                )
            return self.head

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other writers out for as long as the block lasts.

        Raises:
            LockedError: Another process holds the lock and did not let go in time.
        """
        with self._lock, self._store.exclusive():
            yield

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """Yield what the store holds of each entry: bytes, hash and signature."""
        return self._store.rows(start, stop)

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[Entry]:
        """Yield the entries from *start* to before *stop*, as the store holds them."""
        for raw, _, signature in self._store.rows(start, stop):
            yield parse_entry(raw, signature)

    def find(self, event_id: str) -> Entry | None:
        """Return the entry with this id."""
        row = self._store.find(event_id)
        return None if row is None else parse_entry(row[0], row[2])

    def append(self, event: Event, *, expected_head: Head | None = None) -> Receipt:
        """Append one event, signed; it is durable when this returns. See ``append_batch``."""
        return self.append_batch([event], expected_head=expected_head)[0]

    def append_batch(
        self, events: Sequence[Event], *, expected_head: Head | None = None
    ) -> list[Receipt]:
        """Append *events* together under one signature; all are durable when this returns.

        An event whose id the ledger has already gets the receipt of that entry.
        If a crash tore the end of the ledger, the batch begins with the events
        that record it.

        Raises:
            KeyRefusedError: The register does not let this key write such an event.
            MisuseError: An event cannot be recorded as it is. Nothing was appended.
            ConflictError: The head is not *expected_head*, or an id is in use for
                another event. Nothing was appended.
            BrokenLinkError: What is on disk must not be signed over. Nothing was appended.
            StoreError: The disk refused. Nothing was appended.
        """
        return self._write(events, expected_head=expected_head)

    def authorize(self, public: bytes, *, name: str, roles: Sequence[str]) -> Receipt:
        """Let a key sign from the next entry on (section 5).

        Raises:
            MalformedError: The register refuses: a weak or known key, a name in use,
                a role that entry 0 does not name.
        """
        data = {**_named(public, name), "roles": list(roles)}
        return self._write([Event("key.authorized", "", data)])[0]

    def rotate(self, key_id: str, *, by: Key | bytes, name: str) -> Receipt:
        """Replace a key by another, which inherits its roles.

        The last owner can only be rotated to a ``Key``, whose private half is held.

        Raises:
            MisuseError: The last owner would be rotated to a key that is not held.
            MalformedError: The register refuses.
        """
        public = by.public if isinstance(by, Key) else by
        data = {"key": key_id, "by": _named(public, name)}
        held = by.public if isinstance(by, Key) else None
        return self._write([Event("key.rotated", "", data)], successor=held)[0]

    def revoke(self, key_id: str, *, reason: str, compromised_since: int | None = None) -> Receipt:
        """Take a key out; publish a checkpoint right after, or the revocation can be cut off.

        Raises:
            MalformedError: The register refuses: unknown, out already, or the last owner.
        """
        data: dict[str, Any] = {"key": key_id, "reason": reason}
        if compromised_since is not None:
            data["compromised_since"] = compromised_since
        return self._write([Event("key.revoked", "", data)])[0]

    def check_may_write(self, event_type: str) -> None:
        """Check that the register, as it stands on disk now, lets our key write a type.

        Raises:
            KeyRefusedError: It does not.
        """
        try:
            self.register.check(self.key.id, event_type)
        except KeyRefusedError:
            self.refresh()
            self.register.check(self.key.id, event_type)

    @property
    def _state(self) -> Replay:
        return self._reader if self._writer is None else self._writer.replay

    def _write(
        self,
        events: Sequence[Event],
        *,
        expected_head: Head | None = None,
        successor: bytes | None = None,
    ) -> list[Receipt]:
        drafts = [draft(event) for event in events]
        return self.append_drafts(drafts, expected_head=expected_head, successor=successor)

    def append_drafts(
        self,
        drafts: Sequence[Draft],
        *,
        expected_head: Head | None = None,
        successor: bytes | None = None,
    ) -> list[Receipt]:
        """Append what ``ledger.writer.draft`` made of events; see ``append_batch``."""
        if not drafts:
            return []
        with self._lock:
            if self._writer is None:
                raise KeyFileError("the ledger was opened without a key: it can only be read")
            return self._writer.append(drafts, expected_head=expected_head, successor=successor)


def _named(public: bytes, name: str) -> dict[str, Any]:
    return {"alg": "ed25519", "public": base64.b64encode(public).decode(), "name": name}


def _genesis(name: str, key: Key, roles: Mapping[str, Sequence[str]]) -> NewRow:
    """Return the row of entry 0: the name, a nonce, the roles and the first owner."""
    data = {
        "format": "evidence-ledger/v1",
        "name": name,
        "nonce": secrets.token_hex(16),
        "roles": {role: list(patterns) for role, patterns in roles.items()},
        "keys": [{**_named(key.public, key.name or OWNER), "roles": [OWNER]}],
    }
    try:
        Register().create(data, key.id)
    except MalformedError as error:
        raise MisuseError(f"the ledger cannot begin so: {error.reason}") from error
    event_id, time = Ids().take(1)[0], now()
    raw = build_entry(
        ledger=None,
        seq=0,
        prev=None,
        event_id=event_id,
        time=time,
        key=key.id,
        signed=True,
        event_type=CREATED,
        subject="",
        data=encode(data),
    )
    return NewRow(0, raw, entry_hash(raw), key.sign(pae(raw)), event_id, time, CREATED, "")
