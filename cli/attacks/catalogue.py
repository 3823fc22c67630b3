"""The attacks, from a stray bit to the owner's own forgery.

Each says what the attacker needs to have. Those that need nothing but the file are
what an outsider can do; those with a key are what insiders can.
"""

from collections.abc import Callable
from pathlib import Path

from cli.attacks.bench import Attack, Case
from cli.attacks.mounts import (
    add_file,
    as_database,
    begin_with_bom,
    beyond_its_role,
    cut_a_line,
    cut_off,
    date_back,
    delete,
    delete_result,
    duplicate,
    edit_index,
    edit_page,
    edit_result,
    escalate,
    flip,
    flip_signature,
    forged_json,
    on_capsule,
    on_lines,
    on_own,
    on_rows,
    rehash,
    replace_all,
    resign,
    revoked,
    rewritten,
    splice,
    strip,
    swap,
    windows_ends,
    without_a_key,
)
from cli.attacks.scene import Scene

FILE = "the file"
CAPSULE = "the run directory"
KEY = "a key of their own"
WRITER = "a writer's key"
OLD = "a revoked key"
OWNER = "the owner's key"

_Mount = Callable[[Scene, Path], Case | None]


def _attack(name: str, needs: str, codes: str, mount: _Mount) -> Attack:
    return Attack(name, needs, frozenset(codes.split()), mount)


_LOST = Attack(
    "cut off the end, and nobody kept a checkpoint",
    FILE,
    frozenset(),
    on_own(cut_off),
    "nothing in the file can tell: keep a checkpoint elsewhere",
)

CATALOGUE: tuple[Attack, ...] = (
    _attack("flip a bit of what an entry says", FILE, "entry.hash", on_lines(flip(200))),
    _attack("flip a bit of a signature", FILE, "sig.invalid", on_rows(flip_signature)),
    _attack("delete an entry", FILE, "chain.seq", on_lines(delete)),
    _attack("swap two entries", FILE, "chain.seq", on_lines(swap)),
    _attack("duplicate the last entry", FILE, "chain.seq id.duplicate", on_lines(duplicate)),
    _attack("cut the last line in the middle", FILE, "line.framing", on_lines(cut_a_line)),
    _attack(
        "begin the file with a byte order mark", FILE, "line.framing", on_lines(begin_with_bom)
    ),
    _attack("write Windows line ends", FILE, "line.framing", on_lines(windows_ends)),
    _attack("change an entry, hash the chain anew", FILE, "sig.invalid", on_rows(rehash)),
    _attack("strip a signature off", FILE, "sig.presence", on_rows(strip)),
    _attack("append an entry without a key", FILE, "batch.torn", on_rows(without_a_key)),
    _attack(
        "repeat a name in a payload",
        FILE,
        "entry.json",
        on_rows(forged_json(b"{", b'{"a":1,"a":2,')),
    ),
    _attack("put NaN into a payload", FILE, "entry.json", on_rows(forged_json(b"{", b'{"a":NaN,'))),
    _attack("put in an entry of a twin ledger", FILE, "chain.ledger", splice),
    _attack("change an entry, sign it all anew", KEY, "key.unknown", on_rows(resign)),
    _attack("replace the whole ledger", KEY, "anchor.id", replace_all),
    _attack("change a column of the database", FILE, "store.index", as_database(edit_index)),
    _attack(
        "flip a bit of a database page", FILE, "entry.hash entry.members", as_database(edit_page)
    ),
    _attack("write what the role does not allow", WRITER, "key.role", on_own(beyond_its_role)),
    _attack("let a friend in as an owner", WRITER, "key.role", on_own(escalate)),
    _attack("date an entry back", WRITER, "time.backward", on_own(date_back)),
    _attack("sign on with a revoked key", OLD, "key.revoked", on_own(revoked)),
    _attack("cut off the end", FILE, "anchor.checkpoint", on_own(cut_off, pinned=True)),
    _attack(
        "rewrite history as its owner", OWNER, "anchor.checkpoint", on_own(rewritten, pinned=True)
    ),
    _attack(
        "edit results.json", CAPSULE, "artifact.checksum artifact.size", on_capsule(edit_result)
    ),
    _attack("delete a recorded file", CAPSULE, "artifact.missing", on_capsule(delete_result)),
    _attack("add a file", CAPSULE, "artifact.extra", on_capsule(add_file)),
    _LOST,
)
