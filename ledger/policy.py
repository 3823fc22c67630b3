r"""Whom to believe about a checkpoint: the C2SP tlog-policy file.

A policy names the logs whose signature is needed, the witnesses whose cosignatures
count, and the quorum of them that is enough. It is the only source of trust: keys that
are found in notes, or inside a ledger, are never trusted for being there.

Names are opaque: octets that are not UTF-8 survive a round trip, as surrogates.

>>> parse_policy("quorum none\n")
Policy(logs=(), witnesses=(), groups=(), quorum=None)
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.checkpoint import Checkpoint, parse_checkpoint
from ledger.errors import MalformedError, MisuseError
from ledger.note import (
    Note,
    SignatureType,
    UntrustedNoteError,
    Verifier,
    format_vkey,
    open_note,
    parse_note,
    parse_vkey,
)
from ledger.wire import parse_decimal

MAX_POLICY_BYTES: Final = 1 << 16
"""C2SP asks for 32 logs, witnesses and groups; each key costs a millisecond to check."""

_NONE: Final = "none"  # the predefined quorum that asks for no witness
_FORBIDDEN: Final = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_BLANKS: Final = re.compile(r"[ \t]+")
_WORD: Final = re.compile(r"[^\x00-\x20\x7f]+")


@dataclass(frozen=True, slots=True)
class Log:
    """A log whose signature makes a checkpoint; its key's name is its origin."""

    verifier: Verifier
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Witness:
    """A cosigner, under the name that groups and the quorum know it by."""

    name: str
    verifier: Verifier
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Members of which at least ``threshold`` must have cosigned."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """Logs, witnesses, groups in the order of their definition, and the quorum.

    ``quorum`` is the name of a witness or group; ``None`` asks for no cosignature.
    """

    logs: tuple[Log, ...]
    witnesses: tuple[Witness, ...] = ()
    groups: tuple[Group, ...] = ()
    quorum: str | None = None

    def __post_init__(self) -> None:
        """Refuse a policy that could not be written, or that would count a key twice.

        Raises:
            MisuseError: It breaks a rule of tlog-policy.
        """
        _check_keys([log.verifier for log in self.logs], SignatureType.ED25519)
        _check_keys([each.verifier for each in self.witnesses], SignatureType.COSIGNATURE)
        names = [witness.name for witness in self.witnesses]
        names += [group.name for group in self.groups]
        _demand(len(set(names)) == len(names), "a name is defined twice")
        _demand(_NONE not in names, "the name 'none' is taken")
        urls = [log.url for log in self.logs] + [witness.url for witness in self.witnesses]
        words = (*names, *(url for url in urls if url is not None))
        _demand(all(map(_is_word, words)), "a name or URL is not one word")
        _check_groups(self.groups, {each.name for each in self.witnesses})
        _demand(self.quorum is None or self.quorum in names, "the quorum is not defined")

    @property
    def verifiers(self) -> tuple[Verifier, ...]:
        """All keys of the policy, for opening notes."""
        logs = tuple(log.verifier for log in self.logs)
        return logs + tuple(witness.verifier for witness in self.witnesses)


@dataclass(frozen=True, slots=True)
class Endorsement:
    """A checkpoint that a policy accepts, and the witnesses that cosigned it."""

    checkpoint: Checkpoint
    note: Note
    witnesses: tuple[str, ...]


def open_by_policy(note: str | bytes, policy: Policy) -> Endorsement:
    """Return the checkpoint in *note*, signed by its log and cosigned as *policy* demands.

    Raises:
        MisuseError: The policy names no log, so nothing can satisfy it.
        MalformedError: It is not a checkpoint in a note, or a known key's line is false.
        UntrustedNoteError: No log of the policy signed it under its own origin, or
            too few witnesses did.
    """
    _demand(policy.logs, "a policy without logs accepts nothing")
    opened = open_note(note, policy.verifiers)
    checkpoint = parse_checkpoint(opened.text)
    signers = {each.verifier for each in opened.verified}
    # A log vouches for its own origin only: else one listed log could speak for another.
    if not any(
        log.verifier in signers and log.verifier.name == checkpoint.origin for log in policy.logs
    ):
        raise UntrustedNoteError("no log that you trust signed this checkpoint", parse_note(note))
    cosigned = tuple(each.name for each in policy.witnesses if each.verifier in signers)
    if not reaches_quorum(policy, cosigned):
        raise UntrustedNoteError(
            f"{len(cosigned)} trusted witnesses cosigned this checkpoint: not the quorum",
            parse_note(note),
        )
    return Endorsement(checkpoint, opened, cosigned)


def reaches_quorum(policy: Policy, cosigned: Iterable[str]) -> bool:
    """Tell whether the witnesses named in *cosigned* are enough for *policy*."""
    if policy.quorum is None:
        return True
    reached = set(cosigned) & {each.name for each in policy.witnesses}
    # Groups refer only to what was defined before them, so one pass in order is enough.
    for group in policy.groups:
        if len(reached & set(group.members)) >= group.threshold:
            reached.add(group.name)
    return policy.quorum in reached


def format_policy(policy: Policy) -> bytes:
    """Return *policy* as a file: logs, witnesses, groups, quorum."""
    rows: list[tuple[str | None, ...]] = []
    rows += [("log", format_vkey(log.verifier), log.url) for log in policy.logs]
    rows += [
        ("witness", each.name, format_vkey(each.verifier), each.url) for each in policy.witnesses
    ]
    rows += [
        ("group", group.name, _format_threshold(group), *group.members) for group in policy.groups
    ]
    rows.append(("quorum", policy.quorum or _NONE))
    lines = (" ".join(word for word in row if word is not None) + "\n" for row in rows)
    return "".join(lines).encode(errors="surrogateescape")


def parse_policy(text: str | bytes) -> Policy:
    """Return the policy in the file *text*.

    Raises:
        LedgerError: It is not a policy file, or one of its keys is weak.
    """
    raw = text if isinstance(text, bytes) else text.encode(errors="surrogatepass")
    if len(raw) > MAX_POLICY_BYTES or _FORBIDDEN.search(raw):
        raise MalformedError(f"a policy has {MAX_POLICY_BYTES} bytes at most and no controls")
    *lines, rest = raw.decode(errors="surrogateescape").split("\n")
    if rest:
        raise MalformedError("the last line of a policy ends in a newline")
    draft = _Draft()
    for number, line in enumerate(lines, start=1):
        words = _BLANKS.sub(" ", line).strip(" ").split(" ")
        if words != [""] and not words[0].startswith("#"):
            draft.read(words, number)
    try:
        return draft.policy()
    except MisuseError as error:
        raise MalformedError(f"policy: {error}") from error


class _Draft:
    """A policy file as far as it has been read."""

    def __init__(self) -> None:
        self._logs: list[Log] = []
        self._witnesses: list[Witness] = []
        self._groups: list[Group] = []
        self._quorums: list[str] = []
        self._defined: set[str] = set()

    def read(self, words: list[str], number: int) -> None:
        """Take in one line that is neither empty nor a comment."""
        readers: dict[str, tuple[int, int, Callable[[list[str]], None]]] = {
            "log": (1, 2, self._log),
            "witness": (2, 3, self._witness),
            "group": (3, MAX_POLICY_BYTES, self._group),
            "quorum": (1, 1, self._quorum),
        }
        keyword, *items = words
        least, most, reader = readers.get(keyword, (1, 0, self._log))
        if not least <= len(items) <= most:
            raise MalformedError(f"policy line {number} is no log, witness, group or quorum")
        reader(items)

    def policy(self) -> Policy:
        """Return what was read; the rules that need the whole are checked by it."""
        if len(self._quorums) != 1:
            raise MalformedError("a policy has exactly one quorum line")
        quorum = None if self._quorums[0] == _NONE else self._quorums[0]
        parts = (tuple(self._logs), tuple(self._witnesses), tuple(self._groups))
        return Policy(*parts, quorum)

    def _log(self, items: list[str]) -> None:
        vkey, *url = items
        self._logs.append(Log(parse_vkey(vkey), *url))

    def _witness(self, items: list[str]) -> None:
        name, vkey, *url = items
        self._witnesses.append(Witness(name, parse_vkey(vkey), *url))
        self._defined.add(name)

    def _group(self, items: list[str]) -> None:
        name, threshold, *members = items
        self._require_defined(members)
        self._groups.append(Group(name, _parse_threshold(threshold, len(members)), tuple(members)))
        self._defined.add(name)

    def _quorum(self, items: list[str]) -> None:
        if items != [_NONE]:
            self._require_defined(items)
        self._quorums += items

    def _require_defined(self, names: Sequence[str]) -> None:
        """Refuse references to later lines: they could be circular."""
        if not self._defined.issuperset(names):
            raise MalformedError("a group or quorum names what is not defined before it")


def _format_threshold(group: Group) -> str:
    """Return ``all`` where all are needed, else the number."""
    return "all" if group.threshold == len(group.members) else str(group.threshold)


def _parse_threshold(word: str, members: int) -> int:
    """Return how many of *members* the threshold *word* asks for."""
    words = {"all": members, "any": 1}
    return words[word] if word in words else parse_decimal(word.encode(errors="surrogatepass"))


def _check_keys(verifiers: Sequence[Verifier], kind: SignatureType) -> None:
    """Refuse keys of the wrong type, and a key that is there twice under any names."""
    _demand(
        all(each.kind is kind for each in verifiers),
        "logs have Ed25519 keys (type 1) and witnesses cosigner keys (type 4)",
    )
    # By the key itself: under two names one witness would be counted as two.
    publics = {each.public for each in verifiers}
    _demand(len(publics) == len(verifiers), "a key is listed twice")


def _check_groups(groups: Sequence[Group], defined: set[str]) -> None:
    """Refuse groups that refer forward, share a member or can never be reached."""
    used: set[str] = set()
    for group in groups:
        members = set(group.members)
        _demand(1 <= group.threshold <= len(group.members), "a threshold is out of range")
        _demand(members <= defined, "a group names what is not defined before it")
        once = len(members) == len(group.members) and not members & used
        # Each witness counts in one way only.
        _demand(once, "a name is a member twice")
        used |= members
        defined.add(group.name)


def _is_word(text: str) -> bool:
    """Tell whether *text* can stand in a policy file and be read back as it is."""
    try:
        raw = text.encode(errors="surrogateescape")
    except UnicodeError:
        return False
    return bool(_WORD.fullmatch(text)) and raw.decode(errors="surrogateescape") == text


def _demand(truth: object, reason: str) -> None:
    """Raise *reason* as the caller's fault unless *truth*."""
    if not truth:
        raise MisuseError(reason)
