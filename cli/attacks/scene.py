"""What is attacked: a copy of the user's ledger, and one of our own whose keys we hold.

Some attacks need a key of the ledger (a revoked one, one with a small role). Nobody
lends us theirs, so those are mounted on a ledger that is made for it.
"""

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cli.attacks.forge import lines_of
from ledger.convert import export_lines
from ledger.entry import Event, parse_line
from ledger.errors import MisuseError
from ledger.keyfile import Key
from ledger.ledger import Ledger
from ledger.replay import Row
from ledger.signing import sign_checkpoint

_ENOUGH = 400  # entries: the attacks do not get better with more of them
_LEAST = 3
_LARGEST = 1 << 30


@dataclass(frozen=True)
class Target:
    """A ledger in its lines, what its readers pinned, and the keys that the attacker holds."""

    lines: tuple[bytes, ...]
    ledger_id: str
    checkpoint: bytes | None = None
    owner: Key | None = None
    writer: Key | None = None


@dataclass(frozen=True)
class Scene:
    """A place for attacks on the ledger at *source*."""

    source: Path
    room: Path

    @cached_property
    def given(self) -> Target:
        """The user's ledger, or the first few hundred entries of it."""
        lines: list[bytes] = []
        for line in export_lines(self.source):
            lines.append(line)
            if len(lines) >= _ENOUGH and parse_line(line[:-1])[2] is not None:
                break
        if len(lines) < _LEAST:
            raise MisuseError(f"{self.source}: needs at least {_LEAST} entries to be attacked")
        return Target(tuple(lines), parse_line(lines[0][:-1])[1].hex())

    @cached_property
    def own(self) -> Target:
        """A ledger of ours: an owner, a writer of x.* alone, a batch, a checkpoint."""
        owner, writer = Key.generate("owner"), Key.generate("writer")
        path = self.room / "own.jsonl"
        roles = {"owner": ["*"], "writer": ["x.*"]}
        with Ledger.create(path, name="attacked", key=owner, roles=roles) as book:
            book.authorize(writer.public, name="writer", roles=["writer"])
            with Ledger.open(path, key=writer) as other:
                other.append_batch([Event("x.note", "a", {"n": n}) for n in range(4)])
            book.append_batch([Event("x.note", "b", {"n": n}) for n in range(3)])
            note = sign_checkpoint(book, memory=self.room / "memory")
            lines = tuple(lines_of([*book.rows()]))
            return Target(lines, book.id, note.encode(), owner, writer)

    @cached_property
    def twin(self) -> list[Row]:
        """Another ledger that the same attacker made, to take entries from."""
        key = Key.generate("owner")
        with Ledger.create(self.room / "twin.jsonl", name="attacked", key=key) as book:
            book.append_batch(
                [Event("x.note", "a", {"n": n}) for n in range(len(self.given.lines))]
            )
            return [*book.rows()]

    @property
    def capsule(self) -> Path | None:
        """The user's run directory, if that is what was given and it is not too large."""
        if not self.source.is_dir():
            return None
        total = sum(path.stat().st_size for path in self.source.rglob("*") if path.is_file())
        return self.source if total <= _LARGEST else None

    def copy_of_capsule(self, name: str) -> Path:
        """Copy the run directory; the attack is made on the copy."""
        copy = self.room / name
        shutil.copytree(self.source, copy, symlinks=True)
        return copy
