"""The key register: who may sign what, folded from entry 0 and the key events.

Everything here follows ``format.md`` section 5. The register judges what a key event
*says*; whether its signer may say it is the chain's question.
"""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from verifier.ed25519 import PublicKey, is_weak
from verifier.entries import MAX_TYPE, TYPE

__all__ = ["OWNER", "Genesis", "Judgement", "Key", "Register", "read_genesis"]

OWNER = "owner"
FORMAT = "evidence-ledger/v1"

_PATTERN = re.compile(rf"\*|{TYPE}|[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*\.\*")
_NONCE = re.compile(r"[0-9a-f]{32,}")
_HEX64 = re.compile(r"[0-9a-f]{64}")
_PUBLIC = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")


@dataclass(slots=True)
class Key:
    """A key that entered the register, and what became of it."""

    id: str
    name: str
    roles: tuple[str, ...]
    public: PublicKey
    state: str = "active"  # or "rotated", "revoked", "compromised"

    @property
    def active(self) -> bool:
        """Whether it may sign."""
        return self.state == "active"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a key event would do, or the code and reason of its refusal.

    ``compromised`` is the key whose entries from ``since`` on are to be reported.
    """

    apply: Callable[[], None] | None = None
    code: str = ""
    reason: str = ""
    compromised: str | None = None
    since: int = 0


@dataclass(slots=True)
class Genesis:
    """What entry 0 gives to the register, and what is wrong with it."""

    name: str | None = None
    faults: list[str] = field(default_factory=list)
    weak: list[str] = field(default_factory=list)  # ids of the weak keys


@dataclass(frozen=True, slots=True)
class _NewKey:
    public: bytes
    name: str
    roles: tuple[str, ...]

    @property
    def id(self) -> str:
        return sha256(self.public).hexdigest()


class Register:
    """The keys and roles of one ledger."""

    def __init__(self) -> None:
        """Start without any."""
        self.roles: dict[str, frozenset[str]] = {}
        self.keys: dict[str, Key] = {}
        self.version = 0  # grows with every change, so that others may cache what is allowed
        self._names: set[str] = set()

    def fault(self, key_id: str, event_type: str) -> str | None:
        """Return why *key_id* may not sign an entry of *event_type* now, None if it may."""
        key = self.keys.get(key_id)
        if key is None:
            return "key.unknown"
        if not key.active:
            return "key.revoked"
        if event_type.startswith("key.") and OWNER not in key.roles:
            return "key.role"
        if any(self._allows(role, event_type) for role in key.roles):
            return None
        return "key.role"

    def _allows(self, role: str, event_type: str) -> bool:
        # Looked up, not searched: a hostile role may have thousands of patterns.
        parts = event_type.split(".")
        prefixes = (".".join(parts[:length]) + ".*" for length in range(1, len(parts)))
        return not self.roles.get(role, frozenset()).isdisjoint({"*", event_type, *prefixes})

    def has_role(self, key_id: str, *roles: str) -> bool:
        """Tell whether *key_id* may sign now and bears one of *roles*."""
        key = self.keys.get(key_id)
        return key is not None and key.active and not set(roles).isdisjoint(key.roles)

    def enter(self, new: _NewKey) -> bool:
        """Let a sound key in; return whether neither it nor its name was there before."""
        if not self._is_new(new):
            return False
        self.keys[new.id] = Key(new.id, new.name, new.roles, PublicKey(new.public))
        self._names.add(new.name)
        self.version += 1
        return True

    def judge(self, event_type: str, data: dict[str, Any], seq: int) -> Judgement:
        """Judge what the key event at *seq* says, its signer apart."""
        judges = {
            "key.authorized": self._judge_authorized,
            "key.rotated": self._judge_rotated,
        }
        if event_type == "key.revoked":
            return self._judge_revoked(data, seq)
        if event_type not in judges:
            return Judgement()  # a type of no version that we know: it acts on nothing
        return judges[event_type](data)

    def _judge_authorized(self, data: dict[str, Any]) -> Judgement:
        new = _new_key(data, with_roles=True)
        if new is None:
            return _refused("the members are not those of key.authorized")
        if is_weak(new.public):
            return _WEAK
        if not self._is_new(new):
            return _refused("the key or its name is in the register already")
        if not all(role in self.roles for role in new.roles):
            return _refused("it gives a role that entry 0 does not name")
        return Judgement(lambda: self._enter_checked(new))

    def _judge_rotated(self, data: dict[str, Any]) -> Judgement:
        by = data.get("by")
        new = _new_key(by, with_roles=False) if isinstance(by, dict) else None
        if set(data) != {"key", "by"} or not _is_hex64(data["key"]) or new is None:
            return _refused("the members are not those of key.rotated")
        if is_weak(new.public):
            return _WEAK
        old = self.keys.get(data["key"])
        if old is None or not old.active:
            return _refused("the key to rotate is not in force")
        if not self._is_new(new):
            return _refused("the new key or its name is in the register already")
        return Judgement(lambda: self._rotate(old, new))

    def _judge_revoked(self, data: dict[str, Any], seq: int) -> Judgement:
        since = data.get("compromised_since")
        if not _is_revocation(data, seq):
            return _refused("the members are not those of key.revoked")
        key = self.keys.get(data["key"])
        if key is None:
            return _refused("the key to revoke is not in the register")
        if not key.active and since is None:
            return _refused("the key is out already")
        if key.active and OWNER in key.roles and self._owners() == 1:
            return _refused("it is the last owner")
        if since is None:
            return Judgement(lambda: self._put_out(key, "revoked"))
        return Judgement(lambda: self._put_out(key, "compromised"), compromised=key.id, since=since)

    def _owners(self) -> int:
        return sum(key.active and OWNER in key.roles for key in self.keys.values())

    def _is_new(self, new: _NewKey) -> bool:
        return new.id not in self.keys and new.name not in self._names

    def _enter_checked(self, new: _NewKey) -> None:
        if not self.enter(new):
            raise AssertionError("judged to be new")

    def _rotate(self, old: Key, new: _NewKey) -> None:
        self._put_out(old, "rotated")
        self._enter_checked(_NewKey(new.public, new.name, old.roles))

    def _put_out(self, key: Key, state: str) -> None:
        key.state = state
        self.version += 1


_WEAK = Judgement(code="key.weak", reason="the public key is not a point of prime order")


def _refused(reason: str) -> Judgement:
    return Judgement(code="event.schema", reason=f"refused: {reason}")


def read_genesis(register: Register, data: dict[str, Any]) -> Genesis:
    """Fill *register* from the data of entry 0, with all of it that is well formed."""
    genesis = Genesis()
    fault = genesis.faults.append
    if set(data) != {"format", "name", "nonce", "roles", "keys"}:
        fault("its members are not those of ledger.created")
    if data.get("format") != FORMAT:
        fault("its format is another")
    if not (isinstance(data.get("nonce"), str) and _NONCE.fullmatch(data["nonce"])):
        fault("its nonce is not 32 or more lowercase hex digits")
    name = data.get("name")
    if isinstance(name, str):
        genesis.name = name
    else:
        fault("its name is not a string")
    _read_roles(register, data.get("roles"), genesis)
    keys = data.get("keys")
    if not isinstance(keys, list):
        fault("its keys are not a list")
        keys = []
    for each in keys:
        _read_key(register, each, genesis)
    return genesis


def _read_roles(register: Register, roles: object, genesis: Genesis) -> None:
    if not isinstance(roles, dict):
        genesis.faults.append("its roles are not an object")
        return
    for role, patterns in roles.items():
        if isinstance(patterns, list) and all(_is_pattern(p) for p in patterns):
            register.roles[role] = frozenset(patterns)
        else:
            genesis.faults.append("a role has patterns of another form")
    if roles.get(OWNER) != ["*"]:
        genesis.faults.append('it has no role owner with exactly ["*"]')


def _read_key(register: Register, data: object, genesis: Genesis) -> None:
    new = _new_key(data, with_roles=True) if isinstance(data, dict) else None
    if new is None:
        genesis.faults.append("a key has another form")
    elif is_weak(new.public):
        genesis.weak.append(new.id)
    else:
        if not all(role in register.roles for role in new.roles):
            genesis.faults.append("a key has a role that is not defined")
        if not register.enter(new):
            genesis.faults.append("a key or a name stands there twice")


def _new_key(data: dict[str, Any], *, with_roles: bool) -> _NewKey | None:
    """Return the key that *data* describes, None if its members or their form are others."""
    members = {"alg", "public", "name", "roles"} if with_roles else {"alg", "public", "name"}
    if set(data) != members or data["alg"] != "ed25519" or not isinstance(data["name"], str):
        return None
    roles = data.get("roles", [])
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        return None
    public = _public_bytes(data["public"])
    return None if public is None else _NewKey(public, data["name"], tuple(roles))


def _public_bytes(text: object) -> bytes | None:
    """Return the 32 bytes that canonical base64 stands for, None for anything else."""
    if not isinstance(text, str) or not _PUBLIC.fullmatch(text):
        return None
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:  # pragma: no cover - the pattern admits only base64
        raise AssertionError from error


def _is_pattern(pattern: object) -> bool:
    """A type has at most 128 bytes; a prefix may be longer, and then matches nothing."""
    return (
        isinstance(pattern, str)
        and _PATTERN.fullmatch(pattern) is not None
        and (pattern.endswith("*") or len(pattern) <= MAX_TYPE)
    )


def _is_hex64(text: object) -> bool:
    return isinstance(text, str) and _HEX64.fullmatch(text) is not None


def _is_revocation(data: dict[str, Any], seq: int) -> bool:
    members = set(data) - {"compromised_since"}
    if members != {"key", "reason"} or not isinstance(data["reason"], str):
        return False
    since = data.get("compromised_since", 0)
    whole = isinstance(since, int) and not isinstance(since, bool)
    return _is_hex64(data["key"]) and whole and 0 <= since <= seq
