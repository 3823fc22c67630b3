"""Builds ledgers for the verifier's tests, honest and otherwise, from the page alone.

Nothing here knows ``ledger/``: a mistake of the writer must not be able to hide in its tests.
"""

import base64
import hashlib
import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from verifier.core import Reading, verify
from verifier.findings import Findings
from verifier.policy import Policy

ROLES = {
    "owner": ["*"],
    "runner": ["x.run.*", "x.gate.*"],
    "log": ["checkpoint.*"],
}
WEAK = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="  # the identity
PAYLOAD_TYPE = b"application/vnd.evidence-ledger.entry.v1+json"


class Signer:
    """A key made from one byte."""

    def __init__(self, number: int) -> None:
        self.private = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
        self.public = self.private.public_key().public_bytes_raw()
        self.id = hashlib.sha256(self.public).hexdigest()
        self.text = base64.b64encode(self.public).decode()

    def sign(self, entry: bytes) -> bytes:
        head = b"DSSEv1 %d %b %d " % (len(PAYLOAD_TYPE), PAYLOAD_TYPE, len(entry))
        return self.private.sign(head + entry)

    def given(self, name: str, roles: list[str]) -> dict[str, Any]:
        return {"alg": "ed25519", "public": self.text, "name": name, "roles": roles}


OWNER, RUNNER, OTHER, LOG = (Signer(n) for n in (1, 2, 3, 4))


def dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def root_of(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    both = root_of(leaves[:split]) + root_of(leaves[split:])
    return hashlib.sha256(b"\x01" + both).digest()


class Builder:
    """A ledger under construction; every value of an entry can be set against the rules."""

    def __init__(self, *, genesis: bool = True) -> None:
        self.lines: list[bytes] = []
        self.entries: list[bytes] = []
        self.sigs: list[bytes | None] = []
        self.keys: list[str] = []
        self.id: str | None = None
        self.seq = 0
        self.prev: str | None = None
        if genesis:
            self.genesis()

    def genesis(
        self, key: Signer = OWNER, *, data: dict[str, Any] | None = None, **over: Any
    ) -> None:
        self.add("ledger.created", data or self.genesis_data(), key, subject="", **over)

    @staticmethod
    def genesis_data(**over: Any) -> dict[str, Any]:
        data = {
            "format": "evidence-ledger/v1",
            "name": "t",
            "nonce": "0" * 32,
            "roles": ROLES,
            "keys": [OWNER.given("owner", ["owner"]), RUNNER.given("runner", ["runner"])],
        }
        return {**data, **over}

    def add(
        self,
        event_type: str = "x.gate.checked",
        data: object = None,
        key: Signer = RUNNER,
        *,
        signed: bool = True,
        **over: Any,
    ) -> bytes:
        """Append an entry; *over* replaces members.

        Four of its names are none: *edit* is a part of E's text and what to put there before it
        is signed, *digest* and *sig* are other values of H and S, *strip* leaves S out.
        """
        seq = over.pop("seq", self.seq)
        strip, sig = over.pop("strip", False), over.pop("sig", None)
        digest, edit = over.pop("digest", None), over.pop("edit", None)
        minute, second = divmod(len(self.lines), 60)
        members = {
            "v": 1,
            "ledger": self.id,
            "seq": seq,
            "prev": self.prev,
            "id": f"id-{len(self.lines):05}",
            "time": f"2026-01-01T{minute // 60:02}:{minute % 60:02}:{second:02}.000000Z",
            "key": key.id,
            "signed": signed,
            "type": event_type,
            "subject": "run/1",
            "data": {} if data is None else data,
        }
        text = dumps({**members, **over})
        if edit is not None:
            if edit[0] not in text:
                raise AssertionError(edit)
            text = text.replace(*edit)
        entry = text.encode("utf-8", "surrogatepass")
        if sig is None and signed and not strip:
            sig = key.sign(entry)
        self.raw(entry, sig, digest=digest, seq=seq)
        return entry

    def raw(
        self, entry: bytes, sig: bytes | None, *, digest: str | None = None, seq: int | None = None
    ) -> None:
        text = b"null" if sig is None else b'"' + base64.b64encode(sig) + b'"'
        own = leaf(entry).hex()
        line = b'{"entry":%b,"hash":"%b","sig":%b}\n' % (entry, (digest or own).encode(), text)
        self.lines.append(line)
        self.entries.append(entry)
        self.sigs.append(sig)
        if self.id is None:
            self.id = own
        self.prev = own
        self.seq = (self.seq if seq is None else seq) + 1

    def garbage(self, line: bytes = b"garbage\n") -> None:
        """Append a line that is not framed; it counts as an entry."""
        self.lines.append(line)
        self.seq += 1

    # -- key events

    def authorize(
        self, key: Signer, name: str, roles: list[str], by: Signer = OWNER, **over: Any
    ) -> None:
        self.add("key.authorized", key.given(name, roles), by, **over)

    def rotate(self, old: Signer, new: Signer, name: str, by: Signer = OWNER, **over: Any) -> None:
        given = {"alg": "ed25519", "public": new.text, "name": name}
        self.add("key.rotated", {"key": old.id, "by": given}, by, **over)

    def revoke(
        self, key: Signer, since: int | None = None, by: Signer = OWNER, **over: Any
    ) -> None:
        data: dict[str, Any] = {"key": key.id, "reason": "r"}
        if since is not None:
            data["compromised_since"] = since
        self.add("key.revoked", data, by, **over)

    # -- what comes out

    @property
    def text(self) -> bytes:
        return b"".join(self.lines)

    def checkpoint(self, size: int, signer: Signer = OWNER, **over: Any) -> bytes:
        """Return a note over the first *size* entries, by the rules or against them."""
        root = over.get("root", root_of([leaf(entry) for entry in self.entries[:size]]))
        origin = over.get("origin", f"evidence-ledger/{self.id}")
        text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
        return self.note(text, signer, name=over.get("name", origin))

    @staticmethod
    def note(text: str, signer: Signer, *, name: str) -> bytes:
        hint = hashlib.sha256(name.encode() + b"\n\x01" + signer.public).digest()[:4]
        blob = base64.b64encode(hint + signer.private.sign(text.encode())).decode()
        return f"{text}\n— {name} {blob}\n".encode()

    def write(self, path: Path) -> Path:
        path.write_bytes(self.text)
        return path

    def rows(self) -> list[dict[str, Any]]:
        rows = []
        for entry, sig in zip(self.entries, self.sigs, strict=True):
            e = json.loads(entry)
            rows.append(
                {"seq": e["seq"], "entry": entry, "hash": leaf(entry), "sig": sig, "id": e["id"],
                 "time": e["time"], "type": e["type"], "subject": e["subject"]}
            )  # fmt: skip
        return rows


SCHEMA = (
    "CREATE TABLE entries(seq INTEGER PRIMARY KEY, entry BLOB NOT NULL, hash BLOB NOT NULL, "
    "sig BLOB, id TEXT UNIQUE NOT NULL, time TEXT NOT NULL, type TEXT NOT NULL, "
    "subject TEXT NOT NULL) STRICT"
)
LAX = "CREATE TABLE entries(seq INTEGER PRIMARY KEY, entry, hash, sig, id, time, type, subject)"


def write_sqlite(path: Path, rows: Iterable[dict[str, Any]], schema: str = SCHEMA) -> Path:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(schema)
    connection.executemany(
        "INSERT INTO entries VALUES (:seq,:entry,:hash,:sig,:id,:time,:type,:subject)", rows
    )
    connection.commit()
    connection.close()
    return path


class Notebook:
    """A witness that writes down what it was shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, str, str, str, bytes]] = []

    def see(
        self, seq: int, line: int, event_type: str, subject: str, key: str, entry: bytes
    ) -> None:
        self.seen.append((seq, line, event_type, subject, key, entry))


def read(
    path: Path,
    *,
    strict: bool = False,
    ledger_id: str | None = None,
    checkpoints: tuple[bytes, ...] = (),
    story: Notebook | None = None,
) -> tuple[Reading, Findings]:
    findings = Findings()
    policy = Policy(strict=strict, ledger_id=ledger_id, checkpoints=checkpoints, jobs=1)
    return verify(path, policy, findings=findings, story=story), findings


def codes(findings: Findings) -> list[tuple[str, int | None]]:
    return sorted((f.code, f.seq) for f in findings.items())
