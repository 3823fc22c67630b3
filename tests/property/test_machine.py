"""A ledger under every sequence of events that hypothesis can think of, on the real stores.

The machine appends alone and in batches, repeats itself, dies in the middle of
writes, recovers, brings keys in and takes them out, carries the ledger from store
to store, and after each step the ledger must hold what the model says.
"""

import itertools
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from forge import OWNER, Signer, lines_of, signer, verdict, walk
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from ledger import ConflictError, Event, Head, KeyRefusedError, Ledger, LedgerError, Receipt
from ledger.convert import convert
from ledger.signing import sign_checkpoint

ROLES = {
    "owner": ["*"],
    "writer": ["x.*", "ledger.recovered"],
    "mute": ["x.quiet"],
}
PAYLOADS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4),
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False,
    allow_infinity=False) | st.text('aé"\\\n\r\u2028\U0001f600', max_size=6),
    max_size=3,
)  # fmt: skip
BATCHES = st.lists(PAYLOADS, min_size=1, max_size=5)
WHICH = st.integers(0, 30)


class LedgerMachine(RuleBasedStateMachine):
    """The model: what was acknowledged, and which key may do what."""

    suffix = ".jsonl"

    @initialize()
    def create(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / f"book{self.suffix}"
        self.names = itertools.count()
        self.active: dict[Signer, str] = {OWNER: "owner"}
        self.out: list[Signer] = []
        self.acknowledged: dict[str, tuple[Receipt, Any]] = {}
        self.pinned: bytes | None = None
        self.books = {OWNER: Ledger.create(self.path, name="m", key=OWNER.key, roles=ROLES)}

    def teardown(self) -> None:
        for book in getattr(self, "books", {}).values():
            book.close()
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def _book(self, key: Signer) -> Ledger:
        if key not in self.books:
            self.books[key] = Ledger.open(self.path, key=key.key)
        return self.books[key]

    def _pick(self, which: int, *roles: str) -> Signer:
        keys = [key for key, role in self.active.items() if role in roles]
        return keys[which % len(keys)]

    def _fresh(self) -> Signer:
        return signer(f"key {next(self.names)}")

    def _take(self, receipts: list[Receipt], payloads: list[Any]) -> None:
        for made, payload in zip(receipts, payloads, strict=True):
            self.acknowledged[made.id] = (made, payload)

    @rule(which=WHICH, payload=PAYLOADS)
    def append(self, which: int, payload: Any) -> None:
        book = self._book(self._pick(which, "owner", "writer"))
        event_id = f"event-{next(self.names)}"
        self._take([book.append(Event("x.one", "run/é", payload, event_id))], [payload])

    @rule(which=WHICH, payloads=BATCHES)
    def append_batch(self, which: int, payloads: list[Any]) -> None:
        book = self._book(self._pick(which, "owner", "writer"))
        made = [Event("x.many", "run/1", payload) for payload in payloads]
        self._take(book.append_batch(made), payloads)

    @precondition(lambda self: self.acknowledged)
    @rule(which=WHICH)
    def repeat(self, which: int) -> None:
        """An append repeated by its author is answered, by anyone else refused."""
        event_id = sorted(self.acknowledged)[which % len(self.acknowledged)]
        receipt, payload = self.acknowledged[event_id]
        entry = walk_torn(self.path)[receipt.seq]
        event = Event(entry["type"], entry["subject"], payload, event_id)
        for key in self.active:
            if self.active[key] == "mute":
                continue
            if key.id == entry["key"]:
                assert self._book(key).append(event) == receipt
            else:
                with pytest.raises(ConflictError):
                    self._book(key).append(event)

    @rule(which=WHICH)
    def append_on_a_head_that_is_not(self, which: int) -> None:
        book = self._book(self._pick(which, "owner", "writer"))
        with pytest.raises(ConflictError):
            book.append(Event("x.one", "", {}), expected_head=Head(1, bytes(32)))

    @rule(which=WHICH, payloads=BATCHES, part=st.floats(0, 1))
    def die_in_the_middle_of_a_write(self, which: int, payloads: list[Any], part: float) -> None:
        """A child of its own, with the real code; its write is cut short, and so is its life."""
        key = self._pick(which, "owner", "writer")
        child = os.fork()
        if child == 0:
            try:
                _die_writing(self.path, key, payloads, part)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

    @rule(which=WHICH)
    def come_back(self, which: int) -> None:
        """A process ends and another begins: nothing is known but what is on disk."""
        key = self._pick(which, "owner", "writer", "mute")
        if key in self.books:
            self.books.pop(key).close()

    @rule(which=WHICH, role=st.sampled_from(sorted(ROLES)))
    def authorize(self, which: int, role: str) -> None:
        new = self._fresh()
        owner = self._book(self._pick(which, "owner"))
        owner.authorize(new.public, name=new.name, roles=[role])
        self.active[new] = role

    @rule(which=WHICH, whose=WHICH)
    def rotate(self, which: int, whose: int) -> None:
        owner, old = self._pick(which, "owner"), self._pick(whose, *ROLES)
        new = self._fresh()
        self._book(owner).rotate(old.id, by=new.key, name=new.name)
        self.active[new] = self.active.pop(old)
        self.out.append(old)

    @rule(which=WHICH, whose=WHICH)
    def revoke(self, which: int, whose: int) -> None:
        owner, old = self._pick(which, "owner"), self._pick(whose, *ROLES)
        owners = [key for key, role in self.active.items() if role == "owner"]
        if owners == [old]:
            with pytest.raises(LedgerError):
                self._book(owner).revoke(old.id, reason="left")
            return
        self._book(owner).revoke(old.id, reason="left")
        del self.active[old]
        self.out.append(old)

    @precondition(lambda self: self.out)
    @rule(which=WHICH)
    def sign_with_a_key_that_is_out(self, which: int) -> None:
        old = self.out[which % len(self.out)]
        with pytest.raises(KeyRefusedError):
            self._book(old).append(Event("x.one", "", {}))

    @rule(which=WHICH)
    def do_what_the_role_does_not_allow(self, which: int) -> None:
        for key in [key for key, role in self.active.items() if role != "owner"][which % 3 :]:
            with pytest.raises(KeyRefusedError):
                self._book(key).append(Event("governance.approved", "", {}))

    @rule(which=WHICH)
    def publish_a_checkpoint(self, which: int) -> None:
        owner = self._pick(which, "owner")
        book = self._book(owner)
        book.append(Event("x.settle", "", {}))  # a torn end has no checkpoint
        self.pinned = sign_checkpoint(book, memory=self.folder / "memory").encode()

    @rule(which=WHICH)
    def move_house(self, which: int) -> None:
        """Carry the ledger to the other store and back; not a byte may change."""
        self._book(self._pick(which, "owner")).append(Event("x.settle", "", {}))
        other = ".sqlite" if self.suffix == ".jsonl" else ".jsonl"
        there, back = self.folder / f"there{other}", self.folder / f"back{self.suffix}"
        convert(self.path, there)
        convert(there, back)
        assert lines_of(self.path) == lines_of(there) == lines_of(back)
        for book in self.books.values():
            book.close()
        self.books.clear()
        there.unlink()
        back.replace(self.path)

    @invariant()
    def nothing_acknowledged_is_lost(self) -> None:
        entries = walk_torn(self.path)
        for event_id, (receipt, payload) in self.acknowledged.items():
            entry = entries[receipt.seq]
            assert (entry["id"], entry["hash"], entry["data"]) == (event_id, receipt.hash, payload)

    @rule(which=WHICH)
    def verify(self, which: int) -> None:
        self._book(self._pick(which, "owner")).append(Event("x.settle", "", {}))
        walk(self.path)
        found = verdict(self.path, checkpoints=[self.pinned] if self.pinned else [])
        assert (found.outcome, found.findings) == ("VERIFIED", ())
        states = {key.id: key.state for key in found.reading.keys}
        assert {key.id for key in self.active} == {
            k for k, state in states.items() if state == "active"
        }
        assert found.reading.anchored == bool(self.pinned)


def walk_torn(path: Path) -> list[dict[str, Any]]:
    """Walk a ledger that may end torn: what stands before the torn end."""
    lines = lines_of(path)
    while lines[-1].endswith(b"null}\n") or not lines[-1].endswith(b"}\n"):
        lines.pop()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.jsonl"
        copy.write_bytes(b"".join(lines))
        return walk(copy)


def _die_writing(path: Path, key: Signer, payloads: list[Any], part: float) -> None:
    """Append, and die when a part of the bytes has been written, or before the commit."""
    book = Ledger.open(path, key=key.key)
    write = os.pwrite

    def short(descriptor: int, data: Any, offset: int) -> int:
        write(descriptor, bytes(data)[: int(len(data) * part)], offset)
        os._exit(7)

    os.pwrite = short
    if path.suffix == ".sqlite":
        with book._store.exclusive() as session:
            statement = "INSERT INTO entries VALUES (?, x'', x'', NULL, 'torn', '', '', '')"
            session._connection.execute(statement, (10**6,))
            os._exit(7)
    book.append_batch([Event("x.dead", "", payload) for payload in payloads])


class SqliteMachine(LedgerMachine):
    """The same, in a database."""

    suffix = ".sqlite"


BOUNDED = settings(
    derandomize=True,
    max_examples=12,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestJsonl = LedgerMachine.TestCase
TestJsonl.settings = BOUNDED
TestSqlite = SqliteMachine.TestCase
TestSqlite.settings = BOUNDED
