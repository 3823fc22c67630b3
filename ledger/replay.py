"""Read entries one after the other and know, after each, that it follows.

This is how a *writer* convinces itself of what it is about to sign over: chain,
register, signatures. It stops at the first fault. It is no verifier: the one in
``verifier/`` shares no code with it and reports everything it can reach.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ledger import ed25519
from ledger.entry import MAX_RUN, Entry, Head, pae, parse_entry
from ledger.errors import BrokenLinkError, KeyRefusedError, LedgerError, MalformedError
from ledger.merkle import Frontier
from ledger.register import CREATED, Register
from ledger.strictjson import parse as parse_strictly

Row = tuple[bytes, bytes, bytes | None]
"""What a store holds of an entry: E, its hash (32 bytes), its signature (64 bytes or None)."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """The state before the run of unsigned entries at the end, and whose run it is."""

    key: str
    frontier: Frontier
    last: Row | None
    time: str


class Replay:
    """The state of a ledger after the entries taken so far.

    With ``thorough`` every signature and all JSON is checked, as an export and what
    others append beside us must be; without it only the signatures of key events and
    of the last run are, which is all that the next signature will vouch for.
    """

    def __init__(self, *, thorough: bool = False) -> None:
        """Start before entry 0."""
        self.thorough = thorough
        self.register = Register()
        self.frontier = Frontier()
        self.ledger: str | None = None
        self.name = ""
        self.time = ""
        self.last: Row | None = None
        self._mark: _Mark | None = None
        self._unchecked: Entry | None = None

    @property
    def head(self) -> Head:
        """The place and hash of the last entry taken."""
        return Head(self.frontier.size, self.last[1] if self.last else bytes(32))

    @property
    def torn(self) -> int:
        """How many entries at the end no signature vouches for."""
        return 0 if self._mark is None else self.frontier.size - self._mark.frontier.size

    def drop_torn(self) -> None:
        """Forget the unsigned entries at the end; no key event is ever among them."""
        if self._mark is not None:
            self.frontier = self._mark.frontier
            self.last, self.time = self._mark.last, self._mark.time
            self._mark = None

    def take(self, row: Row) -> Entry:
        """Check that *row* follows from all before it, and take it in.

        Raises:
            BrokenLinkError: It does not; the state is as before.
        """
        seq = self.frontier.size
        try:
            entry = self._check(row, seq)
        except BrokenLinkError:
            raise
        except LedgerError as error:
            raise BrokenLinkError(getattr(error, "reason", str(error)), seq=seq) from error
        if seq == 0:
            self.ledger = entry.hash
        self.last = row
        self.time = max(self.time, entry.time)
        self.frontier.append(row[1])
        return entry

    def advance(self, digests: Sequence[bytes], last: Row, *, time: str) -> None:
        """Take in entries that are known to follow: our own, the last of them signed."""
        self.last = last
        self.time = time
        if len(digests) == 1:
            self.frontier.append(digests[0])
        else:
            self.frontier.extend(digests)

    def settle(self) -> None:
        """Check the last signature, if it has not been checked yet.

        Raises:
            BrokenLinkError: The last run is not vouched for by a valid signature.
        """
        if self._unchecked is not None:
            self._verify(self._unchecked)
            self._unchecked = None

    def _check(self, row: Row, seq: int) -> Entry:
        raw, digest, signature = row
        entry = parse_entry(raw, signature)
        if entry.digest != digest:
            raise MalformedError("its recorded hash is not the hash of its bytes")
        self._check_links(entry, seq)
        if self.thorough:
            parse_strictly(raw)
        if entry.signed != (signature is not None):
            raise MalformedError("its signature is not what its member signed says")
        if seq == 0:
            self._genesis(entry)
        self._check_run(entry)
        self.register.check(entry.key, entry.type)
        checked = self._check_signature(entry)
        if seq > 0 and (entry.type.startswith("key.") or entry.type == CREATED):
            self.register.apply(entry.type, parse_strictly(raw)["data"], seq=seq)
        # Nothing is refused from here on, so a refused row leaves the state as it was.
        if entry.signed:
            self._mark = None
            self._unchecked = None if checked else entry
        elif self._mark is None:
            self._mark = _Mark(entry.key, self.frontier.copy(), self.last, self.time)
        return entry

    def _check_links(self, entry: Entry, seq: int) -> None:
        if entry.seq != seq:
            raise MalformedError(f"expected seq {seq}, found {entry.seq}")
        prev = self.last[1].hex() if self.last else None
        if entry.prev != prev:
            raise MalformedError("prev is not the hash of the entry before it")
        if entry.ledger != self.ledger:
            raise MalformedError("it belongs to another ledger")

    def _genesis(self, entry: Entry) -> None:
        if entry.type != CREATED or entry.subject or not entry.signed:
            raise MalformedError("entry 0 is not a signed ledger.created")
        data = parse_strictly(entry.raw)["data"]
        register = Register()
        register.create(data, entry.key)
        self.register = register
        self.name = str(data["name"])

    def _check_run(self, entry: Entry) -> None:
        """Enforce the rules of batches (section 4)."""
        if self._mark is not None and self._mark.key != entry.key:
            raise MalformedError("a batch of two keys")
        if self.torn + 1 > MAX_RUN:
            raise MalformedError(f"a batch of more than {MAX_RUN} entries")
        if not entry.signed and entry.type.startswith("key."):
            raise MalformedError("an unsigned key event")

    def _check_signature(self, entry: Entry) -> bool:
        """Verify the signature where it counts now; tell whether that was done."""
        needed = self.thorough or entry.seq == 0 or entry.type.startswith("key.")
        if entry.signed and needed:
            self._verify(entry)
        return needed

    def _verify(self, entry: Entry) -> None:
        public = self.register.keys[entry.key].public
        if entry.signature is None or not ed25519.verify(public, entry.signature, pae(entry.raw)):
            raise BrokenLinkError("its signature does not verify", seq=entry.seq)


def check_untouched(known: Row, found: Row | None, *, seq: int) -> None:
    """Check that the last entry is still byte for byte the one this writer knew.

    Raises:
        BrokenLinkError: It was changed, cut off, or stripped of its signature.
    """
    if found is None:
        raise BrokenLinkError(
            "the ledger ends before the last entry that this writer knows: it was cut or"
            " restored from a backup",
            seq=seq,
        )
    if found != known:
        raise BrokenLinkError("the last entry is not the one that this writer knows", seq=seq)


__all__ = ["KeyRefusedError", "Replay", "Row", "check_untouched"]
