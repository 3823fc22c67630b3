"""How each attack is mounted: on lines, on entries, on a ledger with keys, on files."""

import base64
import sqlite3
from collections.abc import Callable
from pathlib import Path

from cli.attacks.bench import Case
from cli.attacks.forge import (
    Draft,
    append,
    entry_of,
    flipped,
    lines_of,
    rehashed,
    relink,
    rows_of,
    with_data,
)
from cli.attacks.scene import Scene, Target
from ledger.convert import convert
from ledger.keyfile import Key
from ledger.ledger import Ledger
from ledger.replay import Row

_COPY = "copy.jsonl"

Edit = Callable[[list[bytes]], list[bytes]]
RowEdit = Callable[[list[Row]], list[Row]]
Forge = Callable[[Scene, Target], list[Row]]


def _write(folder: Path, lines: list[bytes]) -> Path:
    path = folder / _COPY
    path.write_bytes(b"".join(lines))
    return path


def on_lines(edit: Edit) -> Callable[[Scene, Path], Case]:
    """Attack the bytes of the user's ledger."""
    return lambda scene, folder: Case(_write(folder, edit([*scene.given.lines])), scene.given)


def on_rows(edit: RowEdit) -> Callable[[Scene, Path], Case]:
    """Attack the entries of the user's ledger."""
    return on_lines(lambda lines: lines_of(edit(rows_of(lines))))


def on_own(forge: Forge, *, pinned: bool = False) -> Callable[[Scene, Path], Case]:
    """Attack a ledger of ours, with its keys; with *pinned*, its reader has a checkpoint."""

    def mount(scene: Scene, folder: Path) -> Case:
        lines = lines_of(forge(scene, scene.own))
        return Case(_write(folder, lines), scene.own, pinned)

    return mount


def on_capsule(edit: Callable[[Path], object]) -> Callable[[Scene, Path], Case | None]:
    """Attack the files of the user's run directory, if there is one."""

    def mount(scene: Scene, folder: Path) -> Case | None:
        if scene.capsule is None or not (scene.capsule / "results.json").is_file():
            return None
        copy = scene.copy_of_capsule(f"{folder.name}/capsule")
        edit(copy)
        return Case(copy, scene.given)

    return mount


def _middle(lines: list[bytes]) -> int:
    return len(lines) // 2


def _replaced(lines: list[bytes], at: int, line: bytes) -> list[bytes]:
    return [*lines[:at], line, *lines[at + 1 :]]


def flip(offset: int) -> Edit:
    """Flip a bit of the middle line, *offset* bytes from its end."""

    def edit(lines: list[bytes]) -> list[bytes]:
        at = _middle(lines)
        line = bytearray(lines[at])
        line[offset] ^= 0x01
        return _replaced(lines, at, bytes(line))

    return edit


def flip_signature(rows: list[Row]) -> list[Row]:
    """Flip a bit of the last signature."""
    raw, digest, signature = rows[-1]
    changed = bytes([(signature or bytes(64))[0] ^ 1]) + (signature or bytes(64))[1:]
    return [*rows[:-1], (raw, digest, changed)]


def delete(lines: list[bytes]) -> list[bytes]:
    """Take an entry out."""
    at = _middle(lines)
    return lines[:at] + lines[at + 1 :]


def duplicate(lines: list[bytes]) -> list[bytes]:
    """Write the last entry twice."""
    return [*lines, lines[-1]]


def cut_a_line(lines: list[bytes]) -> list[bytes]:
    """Leave half of the last line, as a crash would."""
    return [*lines[:-1], lines[-1][:-100]]


def begin_with_bom(lines: list[bytes]) -> list[bytes]:
    """Begin as editors on Windows do."""
    return [b"\xef\xbb\xbf" + lines[0], *lines[1:]]


def windows_ends(lines: list[bytes]) -> list[bytes]:
    """End lines as editors on Windows do."""
    return [line[:-1] + b"\r\n" for line in lines]


def swap(lines: list[bytes]) -> list[bytes]:
    """Put two entries in the other order."""
    at = _middle(lines)
    return [*lines[: at - 1], lines[at], lines[at - 1], *lines[at + 1 :]]


def _changed(rows: list[Row], at: int) -> list[Row]:
    """Change what entry *at* says it is about, and give it the hash that it has then."""
    raw, _, signature = rows[at]
    subject = entry_of(rows[at]).subject.encode()
    new = raw.replace(b'"subject":"%b"' % subject, b'"subject":"%bX"' % subject, 1)
    return [*rows[:at], rehashed(new, signature), *rows[at + 1 :]]


def rehash(rows: list[Row]) -> list[Row]:
    """Change an entry, and hash it and all after it anew; signatures stay as they are."""
    at = len(rows) // 2
    return relink(_changed(rows, at), at + 1)


def resign(rows: list[Row]) -> list[Row]:
    """Change an entry, and sign it and all after it with a key that the ledger does not know."""
    at = len(rows) // 2
    return relink(_changed(rows, at), at, signer=Key.generate("attacker"))


def strip(rows: list[Row]) -> list[Row]:
    """Take the last signature away."""
    raw, digest, _ = rows[-1]
    return [*rows[:-1], (raw, digest, None)]


def without_a_key(rows: list[Row]) -> list[Row]:
    """Append an unsigned entry in the name of the last signer, who might sign over it."""
    last = entry_of(rows[-1])
    named = Key.generate("nobody")
    made = append(rows, [Draft("x.forged", {}, named)], sign=False)
    raw = made[-1][0].replace(named.id.encode(), last.key.encode(), 1)
    return [*rows, rehashed(raw, None)]


def forged_json(old: bytes, new: bytes) -> RowEdit:
    """Give the last entry a payload that two readers could read differently."""

    def edit(rows: list[Row]) -> list[Row]:
        raw, _, signature = rows[-1]
        return [*rows[:-1], rehashed(with_data(raw, old, new), signature)]

    return edit


def splice(scene: Scene, folder: Path) -> Case:
    """Put an entry of another ledger in the place of one of this."""
    lines = [*scene.given.lines]
    at = _middle(lines)
    lines = _replaced(lines, at, lines_of([scene.twin[at]])[0])
    return Case(_write(folder, lines), scene.given)


def replace_all(scene: Scene, folder: Path) -> Case:
    """Put another ledger in the place of this."""
    return Case(_write(folder, lines_of(scene.twin)), scene.given)


def _owner(target: Target) -> Key:
    if target.owner is None:
        raise AssertionError("our own ledger has an owner")
    return target.owner


def _writer(target: Target) -> Key:
    if target.writer is None:
        raise AssertionError("our own ledger has a writer")
    return target.writer


def cut_off(scene: Scene, target: Target) -> list[Row]:
    """Cut entries off the end, so that what is left ends well."""
    del scene
    rows = rows_of([*target.lines])
    return rows[: max(n for n, row in enumerate(rows[:-1], 1) if row[2] is not None)]


def beyond_its_role(scene: Scene, target: Target) -> list[Row]:
    """Write a type of event that the writer's role does not name."""
    del scene
    return append(rows_of([*target.lines]), [Draft("gate.forged", {}, _writer(target))])


def date_back(scene: Scene, target: Target) -> list[Row]:
    """Claim an earlier time than the entry before."""
    del scene
    draft = Draft("x.note", {}, _writer(target), "2001-01-01T00:00:00.000000Z")
    return append(rows_of([*target.lines]), [draft])


def revoked(scene: Scene, target: Target) -> list[Row]:
    """Revoke the writer, who signs on."""
    del scene
    owner, writer = _owner(target), _writer(target)
    revocation = Draft("key.revoked", {"key": writer.id, "reason": "lost"}, owner)
    return append(rows_of([*target.lines]), [revocation, Draft("x.note", {}, writer)])


def rewritten(scene: Scene, target: Target) -> list[Row]:
    """The owner rewrites what others have seen, with valid signatures throughout."""
    del scene
    rows = rows_of([*target.lines])[:2]
    return append(rows, [Draft("x.note", {"n": n}, _owner(target)) for n in range(7)])


def escalate(scene: Scene, target: Target) -> list[Row]:
    """Let a friend in as an owner, with a key that is none."""
    del scene
    public = base64.b64encode(Key.generate("friend").public).decode()
    data = {"alg": "ed25519", "public": public, "name": "friend", "roles": ["owner"]}
    return append(rows_of([*target.lines]), [Draft("key.authorized", data, _writer(target))])


def delete_result(folder: Path) -> None:
    """Take away what a run came to."""
    (folder / "results.json").unlink()


def add_file(folder: Path) -> None:
    """Put another result beside the first."""
    (folder / "results_2.json").write_text("{}", encoding="utf-8")


def edit_result(folder: Path) -> None:
    """Turn every fail of a result file into a pass."""
    path = folder / "results.json"
    path.write_bytes(path.read_bytes().replace(b'"fail"', b'"pass"') + b" ")


def as_database(change: Callable[[Path], object]) -> Callable[[Scene, Path], Case]:
    """Attack the user's ledger as a SQLite file."""

    def mount(scene: Scene, folder: Path) -> Case:
        source = _write(folder, [*scene.given.lines])
        path = folder / "copy.sqlite"
        convert(source, path)
        change(path)
        return Case(path, scene.given)

    return mount


def edit_index(path: Path) -> None:
    """Let queries find the last entry under another type."""
    with sqlite3.connect(path) as connection:
        last = "seq = (SELECT max(seq) FROM entries)"
        for name, kind in connection.execute("SELECT name, type FROM sqlite_schema").fetchall():
            if kind == "trigger":
                connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute(f"UPDATE entries SET type = 'x.other' WHERE {last}")  # noqa: S608 - ours
    connection.close()


def edit_page(path: Path) -> None:
    """Flip a bit of an entry inside the database file."""
    with Ledger.open(path) as book:
        raw = [*book.rows()][-1][0]
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    flipped(path, path.read_bytes().index(raw[:400]) + raw.index(b'"time":"') + 12)
