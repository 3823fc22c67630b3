"""Keys in the register of a ledger, for the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli import keys
from cli.output import Output
from cli.reading import key_id_of
from cli.render import columns, fields
from ledger.errors import BrokenLinkError, MalformedError, MisuseError
from ledger.keyfile import Key, fingerprint, public_line
from ledger.ledger import Ledger
from ledger.register import key_id
from ledger.writer import Receipt

__all__ = ["describe", "done", "key_id_of", "listing", "opened", "successor"]

_PUBLISH = "Now publish a checkpoint (ledger checkpoint PATH): without one this can be cut off."


@contextmanager
def opened(path: Path, key: Key) -> Iterator[Ledger]:
    """Open a ledger to change its register; what the register refuses is the caller's mistake.

    Raises:
        MisuseError: The register refuses; nothing was written.
    """
    with Ledger.open(path, key=key) as book:
        try:
            yield book
        except BrokenLinkError:
            raise
        except MalformedError as error:
            raise MisuseError(f"the register refuses: {error.reason}") from error


def describe(public: bytes, name: str, path: Path) -> Output:
    """Say what a key is: its id for ledgers, its fingerprint for people."""
    data = {"path": str(path), "id": key_id(public), "fingerprint": fingerprint(public)}
    line = public_line(public, name).strip()
    shown = {"key": str(path), "id": data["id"], "fingerprint": data["fingerprint"]}
    return Output("key", {**data, "public": line}, fields({**shown, "public": line}))


def listing(path: Path) -> Output:
    """Return the register of a ledger."""
    with Ledger.open(path) as book:
        register = book.register
        roles = {role: list(patterns) for role, patterns in register.roles.items()}
        records = [
            {
                "id": key.id,
                "name": key.name,
                "roles": list(key.roles),
                "state": key.state,
                "since": key.since,
                "fingerprint": fingerprint(key.public),
                "public": public_line(key.public, key.name).strip(),
            }
            for key in register.keys.values()
        ]
        data = {"ledger": book.id, "keys": records, "roles": roles}
    rows = [["NAME", "ID", "ROLES", "STATE", "SINCE", "FINGERPRINT"]]
    for key in register.keys.values():
        state = [", ".join(key.roles), key.state, str(key.since), fingerprint(key.public)]
        rows.append([key.name, f"{key.id[:16]}…", *state])
    allowed = [["ROLE", "MAY WRITE"], *([role, " ".join(may)] for role, may in roles.items())]
    return Output("keys", data, f"{columns(rows)}\n\n{columns(allowed)}")


def successor(source: str, name: str | None) -> tuple[Key | bytes, str]:
    """Read the key to rotate to: a private key if that is held, else a public one.

    Raises:
        KeyFileError: It is neither.
    """
    if source.startswith("ssh-") or source.endswith(".pub"):
        public, comment = keys.read_public(source)
        return public, name or comment
    key = keys.load(Path(source))
    return key, name or key.name


def done(what: str, public: bytes, name: str, *, receipt: Receipt) -> Output:
    """Say what was changed, and what must follow it."""
    data = {"key": key_id(public), "name": name, "seq": receipt.seq, "hash": receipt.hash}
    shown = {what: f"{name}  {key_id(public)}", "entry": str(receipt.seq)}
    text = fields(shown) + ("" if what == "authorized" else f"\n{_PUBLISH}")
    return Output(f"key-{what}", data, text)
