"""The key register: who may sign what, folded from the key events (format.md section 5).

The writer's register refuses at the first fault, because a writer must not go
on. (The verifier has a register of its own that goes on and reports.)
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, replace
from typing import Any

from ledger import ed25519
from ledger.errors import KeyRefusedError, MalformedError

OWNER = "owner"
CREATED = "ledger.created"
_FORMAT = "evidence-ledger/v1"
_NONCE = re.compile(r"[0-9a-f]{32,}")
_MAX_TYPE = 128
_HEX64 = re.compile(r"[0-9a-f]{64}")
_WORD = "[a-z][a-z0-9_]*"
_PATTERN = re.compile(rf"\*|{_WORD}(\.{_WORD})*\.\*|{_WORD}(\.{_WORD})+")


def key_id(public: bytes) -> str:
    """Return the id of a raw public key: its SHA-256 in lowercase hex (section 2)."""
    return hashlib.sha256(public).hexdigest()


@dataclass(frozen=True, slots=True)
class KeyState:
    """One key of the register. ``state`` is ``active``, ``rotated`` or ``revoked``."""

    id: str
    public: bytes
    name: str
    roles: tuple[str, ...]
    state: str
    since: int


class Register:
    """The keys and roles of one ledger, as of the last event applied."""

    def __init__(self) -> None:
        """Start empty; only a valid genesis fills it."""
        self.roles: dict[str, tuple[str, ...]] = {}
        self.keys: dict[str, KeyState] = {}
        self._allowed: dict[tuple[str, str], bool] = {}

    def copy(self) -> "Register":
        """Return a register that changes on its own from here."""
        other = Register()
        other.roles, other.keys = dict(self.roles), dict(self.keys)
        return other

    def create(self, data: dict[str, Any], signer: str) -> None:
        """Take the first keys and rules from the payload of entry 0, signed by *signer*.

        Raises:
            MalformedError: The payload is not a valid ``ledger.created``.
        """
        _exactly(data, "format", "name", "nonce", "roles", "keys")
        _demand(data["format"] == _FORMAT, f"format is not {_FORMAT}")
        _demand(isinstance(data["name"], str), "name is not a string")
        nonce = data["nonce"]
        _demand(isinstance(nonce, str) and _NONCE.fullmatch(nonce), "nonce is too short")
        _demand(isinstance(data["roles"], dict), "roles is not an object")
        for role, patterns in data["roles"].items():
            good = isinstance(patterns, list) and all(map(_is_pattern, patterns))
            _demand(good, f"role {role!r} has a pattern that is not one")
            self.roles[role] = tuple(patterns)
        _demand(self.roles.get(OWNER) == ("*",), "the role owner must exist with exactly ['*']")
        _demand(isinstance(data["keys"], list), "keys is not a list")
        for record in data["keys"]:
            self._enter(record, seq=0)
        first = self.keys.get(signer)
        _demand(first is not None and OWNER in first.roles, "the signer is not an owner of keys")

    def apply(self, event_type: str, data: dict[str, Any], *, seq: int) -> None:
        """Take a key event, signed by a valid owner, into the register.

        Raises:
            MalformedError: The event is refused, and nothing has changed.
        """
        if event_type == "key.authorized":
            self._enter(data, seq=seq)
        elif event_type == "key.rotated":
            self._rotate(data, seq)
        elif event_type == "key.revoked":
            self._revoke(data, seq)
        elif event_type == CREATED:
            raise MalformedError("a second ledger.created")
        self._allowed.clear()

    def check(self, signer: str, event_type: str) -> KeyState:
        """Return the key that may write *event_type* now.

        Raises:
            KeyRefusedError: The key is unknown, out, or has no role for the type.
        """
        key = self.keys.get(signer)
        if key is None:
            raise KeyRefusedError(
                f"key {signer[:16]}… is not in the ledger's register: an owner must authorize it"
            )
        if key.state != "active":
            raise KeyRefusedError(f"key {key.name!r} was {key.state} at entry {key.since}")
        question = (signer, event_type)
        if question not in self._allowed:
            self._allowed[question] = self._may(key, event_type)
        if not self._allowed[question]:
            raise KeyRefusedError(
                f"key {key.name!r} has the roles {list(key.roles)}, none of which"
                f" may write {event_type}"
            )
        return key

    def has_role(self, signer: str, *roles: str) -> bool:
        """Tell whether the key is active and has one of *roles* by name."""
        key = self.keys.get(signer)
        return key is not None and key.state == "active" and bool({*roles} & {*key.roles})

    def owners(self) -> list[KeyState]:
        """Return the active owners."""
        return [key for key in self.keys.values() if self.has_role(key.id, OWNER)]

    def _may(self, key: KeyState, event_type: str) -> bool:
        if event_type.startswith("key."):
            return OWNER in key.roles
        return any(
            _matches(pattern, event_type) for role in key.roles for pattern in self.roles[role]
        )

    def _enter(self, record: object, *, seq: int) -> None:
        _demand(isinstance(record, dict), "a key is not an object")
        assert isinstance(record, dict)  # noqa: S101 - for the type checker; checked above
        _exactly(record, "alg", "public", "name", "roles")
        public, name = self._fresh(record)
        roles = record["roles"]
        known = isinstance(roles, list) and all(
            isinstance(role, str) and role in self.roles for role in roles
        )
        _demand(known, "a role that entry 0 does not name")
        state = KeyState(key_id(public), public, name, tuple(roles), "active", seq)
        self.keys[state.id] = state

    def _fresh(self, record: dict[str, Any]) -> tuple[bytes, str]:
        """Return the public key and name of a record, both new to the register."""
        _demand(record["alg"] == "ed25519", "alg is not ed25519")
        public, name = _public(record["public"]), record["name"]
        _demand(isinstance(name, str), "name is not a string")
        _demand(key_id(public) not in self.keys, "this key is already in the register")
        taken = {key.name for key in self.keys.values()}
        _demand(name not in taken, f"the name {name!r} is already in the register")
        return public, name

    def _rotate(self, data: dict[str, Any], seq: int) -> None:
        _exactly(data, "key", "by")
        old = self._known(data["key"])
        _demand(old.state == "active", f"key {old.name!r} is out already")
        _demand(isinstance(data["by"], dict), "by is not an object")
        _exactly(data["by"], "alg", "public", "name")
        public, name = self._fresh(data["by"])
        self.keys[old.id] = replace(old, state="rotated", since=seq)
        new = KeyState(key_id(public), public, name, old.roles, "active", seq)
        self.keys[new.id] = new

    def _revoke(self, data: dict[str, Any], seq: int) -> None:
        since = data.get("compromised_since")
        _exactly({k: v for k, v in data.items() if k != "compromised_since"}, "key", "reason")
        old = self._known(data["key"])
        _demand(isinstance(data["reason"], str), "reason is not a string")
        if "compromised_since" in data:
            _demand(type(since) is int and 0 <= since <= seq, "compromised_since is not a past seq")
        else:
            _demand(old.state == "active", f"key {old.name!r} is out already")
        last = self.has_role(old.id, OWNER) and len(self.owners()) == 1
        _demand(not last, "the last owner cannot be revoked")
        if old.state == "active":
            self.keys[old.id] = replace(old, state="revoked", since=seq)

    def _known(self, value: object) -> KeyState:
        _demand(isinstance(value, str) and _HEX64.fullmatch(value), "key is not a key id")
        key = self.keys.get(str(value))
        if key is None:
            raise MalformedError("a key that is not in the register")
        return key


def _is_pattern(item: object) -> bool:
    """A type has at most 128 bytes; a prefix may be longer, and then matches nothing."""
    good = isinstance(item, str) and _PATTERN.fullmatch(item)
    return bool(good) and (str(item).endswith("*") or len(str(item)) <= _MAX_TYPE)


def _matches(pattern: str, event_type: str) -> bool:
    if pattern == "*":
        return True
    if pattern.endswith(".*"):
        return event_type.startswith(pattern[:-1])
    return event_type == pattern


def _public(value: object) -> bytes:
    _demand(isinstance(value, str), "public is not a string")
    text = str(value)
    try:
        public = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedError("public is not base64") from error
    _demand(base64.b64encode(public).decode() == text, "public is not canonical base64")
    try:
        ed25519.check_public(public)
    except ed25519.WeakKeyError as error:
        raise MalformedError(str(error)) from error
    return public


def _exactly(data: dict[str, Any], *names: str) -> None:
    _demand(set(data) == set(names), f"expected exactly the members {', '.join(names)}")


def _demand(truth: object, reason: str) -> None:
    if not truth:
        raise MalformedError(reason)
