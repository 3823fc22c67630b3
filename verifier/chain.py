"""The exact reader: one line after the other, every finding of ``format.md`` section 9.

The chain is a state machine with three inputs: a line taken apart, a run of empty lines,
and a segment that the fast path has shown to hold no fault. It keeps no state per entry;
what needs a second look (doubled ids, entries of a compromised key) is left to `late`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from verifier.anchors import Anchors
from verifier.batches import KEPT, MAX_RUN, Run
from verifier.entries import Entry, is_time, leaf_hash, pae, read_entry
from verifier.findings import CAP, Findings, Severity
from verifier.ids import Ids
from verifier.lines import Blanks, Frame
from verifier.messages import KEY_FAULTS, RUN_FAULTS, UNREADABLE
from verifier.policy import Policy
from verifier.register import OWNER, Genesis, Register, read_genesis
from verifier.segments import Segment
from verifier.tree import Tree

__all__ = ["Chain", "Piece", "Witness"]

CREATED = "ledger.created"
_KNOWN_KEY_EVENTS = frozenset({"key.authorized", "key.rotated", "key.revoked"})


class Witness(Protocol):
    """Sees the readable entries in their order, and judges what they say."""

    def see(  # noqa: PLR0913, PLR0917, RUF100 - the parts of an entry, nothing else
        self, seq: int, line: int, event_type: str, subject: str, key: str, entry: bytes
    ) -> None:
        """Take one readable entry; *entry* is the bytes ``E``, which are strict JSON.

        Entries of type ``x.*`` whose bytes do not hold ``"sha256"`` may be left out.
        """
        ...


@dataclass(frozen=True, slots=True)
class Piece:
    """One line or row, taken apart; ``frame`` is None if it is not framed."""

    frame: Frame | None
    terminated: bool = True
    torn: bool = False  # not terminated, and what a crash may leave
    index: Callable[[Entry | None], list[str]] | None = None  # what a row's columns get wrong


class Chain:
    """What was read so far of one ledger, and what has to be known to read on."""

    def __init__(self, policy: Policy, findings: Findings, story: Witness | None) -> None:
        """Start before the first line."""
        self.findings = findings
        self.register = Register()
        self.anchors = Anchors(policy, findings)
        self.ids = Ids()
        self.tree = Tree()
        self.genesis = Genesis()
        self.genesis_hash: bytes | None = None
        self.line = 0
        self.head: bytes | None = None
        self.signed = 0
        self.first_time: bytes | None = None
        self.last_time: bytes | None = None
        self.unvouched: list[int] = []
        self.compromised: dict[str, list[tuple[int, int]]] = {}  # key: (line of the event, since)
        self.torn_tail = False
        self._story = story
        self._next_seq = 0
        self._run = Run()
        self._last_signed = False
        self._sound_end = True
        self._codes: set[str] = set()
        self._strict = policy.strict

    @property
    def ledger_id(self) -> str | None:
        """The hash of entry 0 in hex, None if there is none."""
        return None if self.genesis_hash is None else self.genesis_hash.hex()

    @property
    def shift(self) -> int:
        """By how much the next place in the tree is ahead of the next seq."""
        return self.tree.size - self._next_seq

    @property
    def witnessed(self) -> bool:
        """Whether somebody wants to see the entries."""
        return self._story is not None

    # -- lines that may be anything

    def take(self, piece: Piece) -> None:
        """Read one line."""
        self.line += 1
        self._codes = set()
        before = self.findings.errors
        entry = self._read(piece)
        if entry is not None and piece.frame is not None:
            self._judge(entry, piece.frame)
        if self.findings.errors > before:
            self._run.break_off()
        if entry is not None and piece.frame is not None:
            self._close_or_extend(entry, piece.frame)
            if self._story is not None:
                self._story.see(
                    entry.seq, self.line, entry.type, entry.subject, entry.key, piece.frame.entry
                )
        self._reached()

    def blanks(self, blanks: Blanks) -> None:
        """Read a run of empty lines, none of which is framed."""
        one_by_one = min(blanks.number, CAP if self.anchors.next_size == 0 else 2 * CAP)
        for _ in range(one_by_one):
            self.take(Piece(None))
        rest = blanks.number - one_by_one
        if rest:
            self.findings.count("line.framing", rest)
            self.tree.gap(rest)
            self.line += rest
            self._next_seq += rest
            self._reached()

    def _fault(self, code: str, seq: int, message: str, severity: Severity = "error") -> None:
        self._codes.add(code)
        self.findings.add(code, seq, self.line, message, severity)

    def _read(self, piece: Piece) -> Entry | None:
        """Report what is wrong with the frame and the form; return the entry if readable."""
        expected = self._next_seq
        self._sound_end = piece.terminated and piece.frame is not None
        self.torn_tail = piece.torn
        if piece.frame is None:
            self._next_seq += 1
            self.head = None
            self._last_signed = False
            self.tree.gap(1)
            self._fault("line.framing", expected, "not framed as a line of a ledger")
            if self.line == 1:
                self._fault("genesis.invalid", expected, "entry 0 cannot be read")
            self._index(piece, None, expected)
            return None
        leaf = leaf_hash(piece.frame.entry)
        entry = read_entry(piece.frame.entry)
        if isinstance(entry, Entry):
            self._check_chain(entry)
            seq = entry.seq
        else:
            self._unreadable(entry)
            seq = expected
        if not piece.terminated:
            self._fault("line.framing", seq, "the last line does not end with LF")
        if piece.frame.hash != leaf.hex().encode() and entry != "entry.version":
            self._fault("entry.hash", seq, "the hash is not that of the entry")
        readable = entry if isinstance(entry, Entry) else None
        self._index(piece, readable, seq)
        self.head = leaf
        self.tree.append(leaf)
        if self.line == 1:
            self.genesis_hash = leaf
        self._last_signed = readable is not None and piece.frame.sig is not None
        return readable

    def _index(self, piece: Piece, entry: Entry | None, seq: int) -> None:
        for message in piece.index(entry) if piece.index else ():
            self._fault("store.index", seq, message)

    def _unreadable(self, code: str) -> None:
        seq = self._next_seq
        self._next_seq += 1
        self._fault(code, seq, UNREADABLE[code])
        if self.line == 1 and code != "entry.version":
            self._fault("genesis.invalid", seq, "entry 0 cannot be read")

    def _check_chain(self, entry: Entry) -> None:
        """Check seq, prev and ledger (format.md section 3), before the head moves on."""
        if entry.seq != self._next_seq:
            self._fault("chain.seq", self._next_seq, f"entry {entry.seq} stands here")
        self._next_seq = entry.seq + 1
        if self.line == 1:
            if entry.prev is not None:
                self._fault("chain.prev", entry.seq, "entry 0 has something before it")
            if entry.ledger is not None:
                self._fault("chain.ledger", entry.seq, "entry 0 names a ledger")
            return
        if self.head is not None and entry.prev != self.head.hex().encode():
            self._fault("chain.prev", entry.seq, "prev is not the hash of the entry before it")
        if self.genesis_hash is not None and entry.ledger != self.genesis_hash.hex().encode():
            self._fault("chain.ledger", entry.seq, "it belongs to another ledger")

    # -- readable entries

    def _judge(self, entry: Entry, frame: Frame) -> None:
        self.ids.add(entry.id, self.line)
        self._check_time(entry)
        if entry.signed is (frame.sig is None):
            self._fault("sig.presence", entry.seq, f"signed is {entry.signed}, the line is not so")
        if self.line == 1:
            self._judge_genesis(entry, frame)
        elif fault := self.register.fault(entry.key, entry.type):
            self._fault(fault, entry.seq, KEY_FAULTS[fault])
        self._check_signature(entry, frame)
        if frame.sig is not None:
            for code in self._run.faults(entry.key):
                self._fault(code, entry.seq, RUN_FAULTS[code])
        elif entry.type.startswith("key."):
            self._fault("batch.keys", entry.seq, "a key event must be signed itself")
        if self.line > 1:
            self._judge_event(entry)

    def _check_time(self, entry: Entry) -> None:
        if not is_time(entry.time):
            self._fault("time.form", entry.seq, "the time is malformed or no real date")
            return
        if self.last_time is not None and entry.time < self.last_time:
            severity: Severity = "error" if self._strict else "warning"
            self._fault("time.backward", entry.seq, "earlier than the entry before", severity)
        self.last_time = entry.time
        if self.first_time is None:
            self.first_time = entry.time

    def _check_signature(self, entry: Entry, frame: Frame) -> None:
        key = self.register.keys.get(entry.key)
        if frame.sig is None or key is None:
            return
        if key.public.accepts(frame.sig, pae(frame.entry)):
            self.signed += 1
        else:
            self._fault("sig.invalid", entry.seq, "the signature does not verify")

    def _judge_genesis(self, entry: Entry, frame: Frame) -> None:
        """Fill the register, and report what makes entry 0 no genesis (format.md section 5)."""
        self.genesis = genesis = read_genesis(self.register, entry.data)
        faults = list(genesis.faults)
        if entry.type != CREATED or entry.subject or entry.seq:
            faults.append("its type, subject or seq are not those of entry 0")
        if entry.prev is not None or entry.ledger is not None:
            faults.append("it names a ledger or an entry before it")
        if frame.sig is None:
            faults.append("it is not signed")
        if genesis.weak:
            self._fault("key.weak", entry.seq, "a public key is not a point of prime order")
        if entry.key not in self.register.keys:
            if entry.key not in genesis.weak:
                faults.append("its signer is not among its keys")
        elif fault := self.register.fault(entry.key, entry.type):
            self._fault(fault, entry.seq, KEY_FAULTS[fault])
        if entry.key in self.register.keys and not self.register.has_role(entry.key, OWNER):
            faults.append("its signer is not an owner")
        if faults:  # at seq 0, whatever the entry says of itself
            self._fault("genesis.invalid", 0, "entry 0: " + "; ".join(faults))

    def _judge_event(self, entry: Entry) -> None:
        """Judge a second genesis and key events, and let those act that may."""
        if entry.type == CREATED:
            self._fault("event.schema", entry.seq, "a second ledger.created is refused")
        if entry.type not in _KNOWN_KEY_EVENTS:
            if self._strict and entry.type.startswith("key."):
                self._fault("event.schema", entry.seq, f"the type {entry.type} is not known")
            return
        judgement = self.register.judge(entry.type, entry.data, entry.seq)
        if judgement.apply is None:
            self._fault(judgement.code, entry.seq, judgement.reason)
        elif not any(_is_bar(code) for code in self._codes):
            judgement.apply()
            if judgement.compromised is not None:
                self._compromise(judgement.compromised, judgement.since)

    def _compromise(self, key: str, since: int) -> None:
        """Note that a key is compromised from a seq on, up to this line.

        What an earlier note says and this one too is dropped, so that both numbers rise.
        """
        spans = self.compromised.setdefault(key, [])
        while spans and spans[-1][1] >= since:
            spans.pop()
        spans.append((self.line, since))

    def _close_or_extend(self, entry: Entry, frame: Frame) -> None:
        if frame.sig is None:
            self._run.add(range(entry.seq, entry.seq + 1), key=entry.key, line=self.line)
        else:
            self._close()

    def _close(self) -> None:
        self.unvouched.extend(self._run.close()[: KEPT - len(self.unvouched)])

    def _reached(self) -> None:
        """Meet the checkpoints of this size."""
        while 0 < self.anchors.next_size <= self.tree.size:
            self.anchors.meet(
                self.register,
                ledger_id=self.ledger_id,
                root=self.tree.root() if self.anchors.next_size == self.tree.size else None,
                signed=self._last_signed,
            )

    # -- what the fast path has read

    def absorb(self, segment: Segment) -> bool:
        """Take a segment in, or return False if one of its claims does not hold."""
        if not self._continues(segment):
            return False
        register, run = self.register, self._run
        if any(register.fault(key, event_type) for key, event_type in segment.pairs):
            return False
        if segment.head or segment.closed:
            if run.size and (run.mixed or run.key != segment.head_key):
                return False
            if run.size + segment.head + segment.closed > MAX_RUN:
                return False
        self._advance(segment)
        return True

    def _continues(self, segment: Segment) -> bool:
        after = self.tree.size + segment.lines
        return (
            self.head is not None
            and segment.seq == self._next_seq
            and self.tree.takes(segment.place)
            and segment.prev == self.head.hex().encode()
            and (self.last_time is None or segment.first_time >= self.last_time)
            and not 0 < self.anchors.next_size < after
        )

    def _advance(self, segment: Segment) -> None:
        first_line = self.line + 1
        self.line += segment.lines
        self._next_seq += segment.lines
        self.head = segment.last
        for level, node in segment.nodes:
            self.tree.add(level, node)
        self.signed += segment.signed
        self.last_time = segment.last_time
        self.first_time = self.first_time or segment.first_time
        self._extend_runs(segment)
        self._last_signed = self._run.size == 0
        self._sound_end, self.torn_tail = True, False
        self.ids.flush(first_line - 1)
        self.ids.add_block(
            segment.least_id, segment.greatest_id, hashes=segment.id_hashes, line=self.line
        )
        if self._story is not None:
            for sight in segment.seen:
                at = sight.offset
                self._story.see(
                    segment.seq + at, first_line + at, sight.type, sight.subject, sight.key,
                    sight.entry,
                )  # fmt: skip
        self._reached()

    def _extend_runs(self, segment: Segment) -> None:
        if segment.head:
            seqs = range(segment.seq, segment.seq + segment.head)
            last = self.line - segment.lines + segment.head
            self._run.add(seqs, key=segment.head_key, line=last)
        if segment.closed:
            self._close()
        if segment.tail:
            seqs = range(self._next_seq - segment.tail, self._next_seq)
            self._run.add(seqs, key=segment.tail_key, line=self.line)

    # -- the end

    def damaged(self, message: str) -> None:
        """Report that the store cannot be read any further."""
        self.findings.add("store.index", self._next_seq, self.line + 1, message)
        self._sound_end = False
        self._run.break_off()

    def finish(self) -> None:
        """Report what only the end of the ledger shows."""
        self.ids.flush(self.line)
        if self.line == 0:
            self.findings.add("genesis.invalid", 0, None, "the ledger is empty")
        if self._run.size:
            self.findings.add(
                "batch.torn",
                self._run.last_seq,
                self._run.last_line,
                f"{self._run.size} entries at the end have no signature",
            )
            self.torn_tail = self.torn_tail or self._sound_end
            self._run.break_off()
            self._close()
        self.anchors.finish(self.ledger_id, self.tree.size)


_BARS = ("entry.", "key.", "sig.")


def _is_bar(code: str) -> bool:
    """Tell whether a key event with this finding has no effect."""
    return code.startswith(_BARS) or code in ("batch.keys", "event.schema")
