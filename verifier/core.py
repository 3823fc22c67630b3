"""Read a ledger that is not trusted, and report every finding that can be reached.

This is the front door of the reading half of the verifier: framing, entries, chain, keys,
signatures, batches, times, ids, the tree and the anchors (``format.md`` sections 1 to 7
and 9). What the events *mean* is judged by the :class:`Witness` that is handed in.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from verifier.chain import Chain, Witness
from verifier.findings import Findings
from verifier.jsonl import JsonlFile
from verifier.late import look_again
from verifier.policy import Policy
from verifier.reader import Plan, read_jsonl, read_sqlite
from verifier.sqlite import MAGIC, SqliteFile, StoreFault

__all__ = ["KeyState", "Reading", "Witness", "verify", "verify_open"]


@dataclass(frozen=True, slots=True)
class KeyState:
    """A key of the register, as the last entry left it."""

    id: str
    name: str
    roles: tuple[str, ...]
    state: str  # "active", "rotated", "revoked" or "compromised"


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read, findings apart."""

    ledger_id: str | None
    name: str | None
    size: int
    root: str  # hex; "" when an unframed line leaves the tree without a leaf
    head: str | None
    torn_tail: bool
    checkpoints_held: tuple[int, ...]
    anchored: bool
    signed: int
    unvouched: tuple[int, ...]
    keys: tuple[KeyState, ...]
    first_time: str | None
    last_time: str | None
    store: str  # "jsonl" or "sqlite"


def verify(
    path: Path,
    policy: Policy,
    *,
    findings: Findings,
    story: Witness | None = None,
    progress: Callable[[int, int], None] | None = None,
    plan: Plan | None = None,
) -> Reading:
    """Read the ledger at *path* under *policy* and add what is wrong with it to *findings*.

    *progress* is called now and then with the units done and the units in all. *plan* says
    how to read, which changes nothing that is found.

    Raises:
        OSError: The file cannot be opened or read.
    """
    chain = Chain(policy, findings, story)
    read = _read_sqlite if _is_sqlite(path) else _read_jsonl
    plan = plan or Plan(policy.jobs or _processors())
    store = read(path, chain, plan, progress or _silent)
    return _reading(chain, store)


def verify_open(
    descriptor: int, policy: Policy, *, findings: Findings, story: Witness | None, plan: Plan
) -> Reading:
    """Read the JSONL ledger that is open at *descriptor*, as ``verify`` does.

    Raises:
        OSError: The file cannot be read.
    """
    chain = Chain(policy, findings, story)
    return _reading(chain, _read_jsonl(descriptor, chain, plan, _silent))


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _silent(done: int, total: int) -> None:
    """Show no progress."""


def _read_jsonl(
    path: Path | int, chain: Chain, plan: Plan, progress: Callable[[int, int], None]
) -> str:
    with JsonlFile(path) as file:
        read_jsonl(chain, file, plan, witnessed=chain.witnessed, progress=progress)
        chain.finish()
        look_again(chain, file.pieces)
    return "jsonl"


def _read_sqlite(path: Path, chain: Chain, _: Plan, progress: Callable[[int, int], None]) -> str:
    try:
        with SqliteFile(path) as file:
            try:
                read_sqlite(chain, file, witnessed=chain.witnessed, progress=progress)
            except StoreFault as fault:
                chain.damaged(str(fault))
            chain.finish()
            with contextlib.suppress(StoreFault):  # it was reported when met first
                look_again(chain, file.pieces)
    except StoreFault as fault:
        chain.damaged(str(fault))
        chain.finish()
    return "sqlite"


def _reading(chain: Chain, store: str) -> Reading:
    root = chain.tree.root()
    return Reading(
        ledger_id=chain.ledger_id,
        name=chain.genesis.name,
        size=chain.tree.size,
        root="" if root is None else root.hex(),
        head=None if chain.head is None else chain.head.hex(),
        torn_tail=chain.torn_tail,
        checkpoints_held=chain.anchors.held,
        anchored=chain.anchors.anchored,
        signed=chain.signed,
        unvouched=tuple(chain.unvouched),
        keys=tuple(
            KeyState(key.id, key.name, key.roles, key.state) for key in chain.register.keys.values()
        ),
        first_time=_text(chain.first_time),
        last_time=_text(chain.last_time),
        store=store,
    )


def _text(time: bytes | None) -> str | None:
    return None if time is None else time.decode("ascii")
