"""A hand that writes ledgers as format.md says, or as an attacker would.

It shares no code with ``ledger/``: entries are put together from the page with
``json`` and ``hashlib``, and signed through ``cryptography``. ``walk`` is a chain
walker of its own, so that a test can ask whether what the writer wrote holds
without asking the writer.
"""

import base64
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger import DEFAULT_ROLES, Key, Ledger

VECTORS = Path(__file__).parent / "vectors"
STORES = (".jsonl", ".sqlite")
PAYLOAD_TYPE = b"application/vnd.evidence-ledger.entry.v1+json"
Line = tuple[bytes, bytes, bytes | None]


def pae(raw: bytes) -> bytes:
    """DSSE v1 pre-authentication encoding (section 4)."""
    head = b"DSSEv1 " + str(len(PAYLOAD_TYPE)).encode() + b" " + PAYLOAD_TYPE
    return head + b" " + str(len(raw)).encode() + b" " + raw


def now() -> str:
    """The time in the form of section 2."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def digest_of(raw: bytes) -> bytes:
    """The entry hash (section 3)."""
    return hashlib.sha256(bytes(1) + raw).digest()


@dataclass(frozen=True)
class Signer:
    """A key from a seed, with nothing of ``ledger.keyfile``."""

    name: str
    seed: bytes

    @property
    def private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    @property
    def id(self) -> str:
        return hashlib.sha256(self.public).hexdigest()

    @property
    def key(self) -> Key:
        """The same key as the writer holds it."""
        return Key.from_seed(self.seed, self.name)

    def record(self, roles: Sequence[str] | None = None, name: str | None = None) -> dict[str, Any]:
        public = base64.b64encode(self.public).decode()
        made: dict[str, Any] = {"alg": "ed25519", "public": public, "name": name or self.name}
        return made if roles is None else {**made, "roles": list(roles)}


def signer(name: str) -> Signer:
    return Signer(name, hashlib.sha256(b"seed of " + name.encode()).digest())


OWNER, RUNNER, WRAPPER, REVIEWER, MALLORY = map(
    signer, ("owner", "runner", "wrapper", "reviewer", "mallory")
)


def compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def entry_bytes(**members: Any) -> bytes:
    """E from its members, in the order of the page; ``data`` may be raw bytes."""
    data = members.pop("data")
    data = data if isinstance(data, bytes) else compact(data)
    return compact(members)[:-1] + b',"data":' + data + b"}"


def frame(raw: bytes, digest: bytes, sig: bytes | None) -> bytes:
    """The line of section 1, its LF included."""
    text = b"null" if sig is None else b'"' + base64.b64encode(sig) + b'"'
    return b'{"entry":' + raw + b',"hash":"' + digest.hex().encode() + b'","sig":' + text + b"}\n"


def unframe(line: bytes) -> Line:
    """Slice a line without its LF at the fixed offsets of section 1."""
    tail = 86 if line.endswith(b"null}") else 172
    raw, rest = line[9:-tail], line[-tail:]
    sig = None if tail == 86 else base64.b64decode(rest[82:170], validate=True)
    assert frame(raw, bytes.fromhex(rest[9:73].decode()), sig) == line + b"\n"
    return raw, bytes.fromhex(rest[9:73].decode()), sig


@dataclass
class Forge:
    """A ledger under construction. Everything can be overridden, as an attacker may."""

    ledger: str | None = None
    size: int = 0
    prev: str | None = None
    lines: list[bytes] = field(default_factory=list)

    @classmethod
    def behind(cls, lines: Sequence[bytes]) -> "Forge":
        """Go on behind *lines* of an existing ledger."""
        hashes = [digest_of(unframe(line.rstrip(b"\n"))[0]).hex() for line in lines]
        return cls(hashes[0], len(lines), hashes[-1], list(lines))

    def add(
        self,
        by: Signer,
        event_type: str = "x.event",
        data: object = None,
        *,
        signed: bool = True,
        sig: bytes | None = None,
        signs: Signer | None = None,
        **members: Any,
    ) -> bytes:
        """Append an entry in the name of *by*; *signs* says whose hand really signs."""
        chosen = {
            "v": 1,
            "ledger": self.ledger,
            "seq": self.size,
            "prev": self.prev,
            "id": f"forged-{self.size}",
            "time": now(),
            "key": by.id,
            "signed": signed,
            "type": event_type,
            "subject": "",
            "data": {"n": self.size} if data is None else data,
            **members,
        }
        raw = entry_bytes(**chosen)
        if sig is None and signed:
            sig = (signs or by).private.sign(pae(raw))
        line = frame(raw, digest_of(raw), sig)
        self.lines.append(line)
        self.prev = digest_of(raw).hex()
        self.ledger = self.ledger or self.prev
        self.size += 1
        return line

    def genesis(
        self,
        *keys: dict[str, Any],
        roles: dict[str, Any] | None = None,
        by: Signer = OWNER,
        **data: Any,
    ) -> bytes:
        """Append entry 0; without *keys* the owner is the only key."""
        content = {
            "format": "evidence-ledger/v1",
            "name": "forged",
            "nonce": "0123456789abcdef" * 2,
            "roles": {role: list(of) for role, of in (roles or DEFAULT_ROLES).items()},
            "keys": list(keys) or [OWNER.record(["owner"])],
            **data,
        }
        return self.add(by, "ledger.created", content)

    def write(self, path: Path) -> Path:
        """Write the ledger as JSONL, or as the SQLite database of section 7."""
        if path.suffix == ".jsonl":
            path.write_bytes(b"".join(self.lines))
        else:
            write_sqlite(path, map(columns, self.lines))
        return path


SCHEMA = """CREATE TABLE entries(seq INTEGER PRIMARY KEY, entry BLOB NOT NULL, hash BLOB NOT NULL,
sig BLOB, id TEXT UNIQUE NOT NULL, time TEXT NOT NULL, type TEXT NOT NULL, subject TEXT NOT NULL)
STRICT"""


def columns(line: bytes) -> tuple[Any, ...]:
    """A row of section 7 for a line."""
    raw, digest, sig = unframe(line.rstrip(b"\n"))
    entry = json.loads(raw)
    index = (entry["id"], entry["time"], entry["type"], entry["subject"])
    return (entry["seq"], raw, digest, sig, *index)


def write_sqlite(path: Path, rows: Iterable[tuple[Any, ...]]) -> None:
    """Write rows into a new database, quickly: nobody needs it to survive a power cut."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("BEGIN")
        connection.execute(SCHEMA)
        connection.executemany("INSERT INTO entries VALUES (?,?,?,?,?,?,?,?)", rows)
        connection.execute("COMMIT")


def tamper(path: Path, *statements: str | tuple[str, tuple[Any, ...]]) -> None:
    """Change a SQLite ledger as its owner can: without the triggers."""
    with closing(sqlite3.connect(path)) as connection, connection:
        names = connection.execute("SELECT name FROM sqlite_schema WHERE type='trigger'")
        for (name,) in names.fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(*([statement] if isinstance(statement, str) else statement))


def append_foreign(path: Path, *lines: bytes) -> None:
    """Put more lines into a ledger of either store, as anyone who can write it can."""
    if path.suffix == ".jsonl":
        with path.open("ab") as file:
            file.write(b"".join(lines))
    else:
        insert = "INSERT INTO entries VALUES (?,?,?,?,?,?,?,?)"
        tamper(path, *[(insert, columns(line)) for line in lines])


def cut_to(path: Path, size: int) -> None:
    """Cut the entries from *size* on off the end of a ledger of either store."""
    if path.suffix == ".jsonl":
        path.write_bytes(b"".join(lines_of(path)[:size]))
    else:
        tamper(path, ("DELETE FROM entries WHERE seq >= ?", (size,)))


def lines_of(path: Path) -> list[bytes]:
    """The lines of a ledger of either store, read without our code."""
    if path.suffix == ".jsonl":
        return path.read_bytes().splitlines(keepends=True)
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT entry, hash, sig FROM entries ORDER BY seq").fetchall()
    return [frame(*row) for row in rows]


def walk(path: Path) -> list[dict[str, Any]]:
    """Check chain, runs and signatures of a ledger, and return its entries.

    The register is not judged here: every key that any key event names counts.
    """
    entries: list[dict[str, Any]] = []
    publics: dict[str, bytes] = {}
    prev, ledger, run = None, None, []
    for seq, line in enumerate(lines_of(path)):
        assert line.endswith(b"}\n"), f"line {seq} is torn"
        raw, digest, sig = unframe(line[:-1])
        entry = json.loads(raw)
        assert digest_of(raw) == digest
        assert (entry["seq"], entry["prev"], entry["ledger"]) == (seq, prev, ledger)
        assert entry["signed"] == (sig is not None)
        if seq == 0 or entry["type"] in ("key.authorized", "key.rotated"):
            _learn(publics, entry["data"])
        run.append(entry["key"])
        if sig is not None:
            assert len(set(run)) == 1
            Ed25519PublicKey.from_public_bytes(publics[entry["key"]]).verify(sig, pae(raw))
            run = []
        prev, ledger = digest.hex(), ledger or digest.hex()
        entries.append({**entry, "hash": digest.hex()})
    assert not run, "the ledger ends in a torn batch"
    assert len({entry["id"] for entry in entries}) == len(entries), "an id occurs twice"
    return entries


def _learn(publics: dict[str, bytes], data: dict[str, Any]) -> None:
    for record in data.get("keys", [data.get("by", data)]):
        public = base64.b64decode(record["public"])
        publics[hashlib.sha256(public).hexdigest()] = public


def new_book(path: Path, *others: tuple[Signer, str]) -> Ledger:
    """An honest ledger of the owner's, in which *others* have a role each."""
    book = Ledger.create(path, name="demo", key=OWNER.key)
    for other, role in others:
        book.authorize(other.public, name=other.name, roles=[role])
    return book


def side_files(path: Path) -> list[Path]:
    """The files in which torn ends are kept."""
    return sorted(path.parent.glob(path.name + ".torn-*"))


def recoveries(path: Path) -> list[dict[str, Any]]:
    """The payloads of the ``ledger.recovered`` entries."""
    return [entry["data"] for entry in walk(path) if entry["type"] == "ledger.recovered"]


def verdict(path: Path, *, checkpoints: Sequence[bytes] = (), strict: bool = False) -> Any:
    """What the verifier says of a ledger."""
    from verifier.policy import Policy
    from verifier.run import verify_path

    policy = Policy(strict=strict, ledger_id=None, checkpoints=tuple(checkpoints), jobs=1)
    return verify_path(path, policy)


def codes(path: Path, *, checkpoints: Sequence[bytes] = ()) -> set[tuple[str, int | None]]:
    """The verifier's findings, as the vectors list them."""
    found = verdict(path, checkpoints=checkpoints).findings
    return {(finding.code, finding.seq) for finding in found}
