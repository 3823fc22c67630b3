"""A database to ask questions of a ledger, for Datasette or plain SQL.

The one projection with I/O, and the one whose bytes are not promised: SQLite's
file layout depends on its version. Its rows are a function of the entries alone.
It is a reading copy: no verifier looks at it, and nothing is ever read back.
"""

import contextlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ledger.errors import MisuseError, StoreError
from ledger.events import Payload
from ledger.events.governance import GovernanceCleared, GovernanceJudged
from ledger.events.ledger_family import KeyAuthorized, KeyRevoked, KeyRotated, LedgerCreated
from ledger.events.run import (
    ArtifactRecorded,
    FaultInjected,
    GateAnchored,
    GateChecked,
    MetricObserved,
    RunFinished,
    RunSaved,
)
from projections.database_tables import INDEXES, REFERENCES, TABLES
from projections.judgement import Judged, judge, standing
from projections.keys import key_id
from projections.protocol import EntryLike, in_order
from projections.records import preset_of
from projections.runs import Runs, RunState, decision_of, follow, read_payload, run_id_of
from projections.summary import Tally

if TYPE_CHECKING:
    from sqlite_utils import Database

APPLICATION_ID = 0x45564C51  # "EVLQ" in the file's header: ours to overwrite
BATCH = 5_000  # rows held back for one insert

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_APPLICATION_ID_AT = slice(68, 72)  # of SQLite's file header

Row = dict[str, Any]


def write_database(entries: Iterable[EntryLike], path: Path, *, root: str | None = None) -> None:
    """Write the query database of *entries*, from entry 0 on, to *path*.

    It is written beside *path* under a temporary name and moved there when it is
    whole, so a reader never sees half of it. A file that is already there is
    replaced only if it is such a database: never a ledger.

    Raises:
        MisuseError: *path* holds something that this function did not write.
        MalformedError: The entries are not numbered one after the other.
        StoreError: The disk is full, or the place cannot be written.
    """
    try:
        _refuse_foreign(path)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        draft = Path(name)
        try:
            _fill(draft, entries, root)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path}: {error}") from error


def _refuse_foreign(path: Path) -> None:
    """Look at the file header alone: to open a ledger with SQLite could already change it."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        return
    ours = APPLICATION_ID.to_bytes(4, "big")
    if not header.startswith(_MAGIC) or header[_APPLICATION_ID_AT] != ours:
        raise MisuseError(
            f"{path} exists and is not a query database: it is left alone, choose another name"
        )


def _fill(path: Path, entries: Iterable[EntryLike], root: str | None) -> None:
    from sqlite_utils import Database  # noqa: PLC0415 - slow to import, needed here only

    with contextlib.closing(sqlite3.connect(path)) as connection:
        # A draft that a crash may lose: nothing is gained by a journal or by syncing it.
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database = Database(connection)
        for table, (columns, primary) in TABLES.items():
            database.create_table(
                table, columns, pk=primary, foreign_keys=REFERENCES.get(table, []), strict=True
            )
        _Filler(database).fill(entries, root)
        for table, indexes in INDEXES.items():
            for index in indexes:
                database.table(table).create_index(index)
        connection.commit()


class _Run(RunState):
    """What the row of a run is made of, besides its core."""

    tally: Tally = msgspec.field(default_factory=Tally)
    judged: list[Judged] = msgspec.field(default_factory=list)
    overhead_s: float | None = None

    def take(self, entry: EntryLike, payload: Payload) -> None:
        """Follow what a row of a run says."""
        judge(self.judged, entry, payload)
        if isinstance(payload, GateChecked):
            self.tally.take(decision_of(payload), payload.iter)
        elif isinstance(payload, RunFinished) and self.overhead_s is None:
            self.overhead_s = payload.overhead_s


class _Filler:
    """One pass over the entries: rows go out in batches, runs and keys at the end."""

    def __init__(self, database: "Database") -> None:
        self._database = database
        self._pending: dict[str, list[Row]] = {table: [] for table in TABLES}
        self._runs: Runs[_Run] = Runs()
        self._keys: dict[str, Row] = {}

    def fill(self, entries: Iterable[EntryLike], root: str | None) -> None:
        """Write all tables."""
        ledger: Row = {"id": None, "name": None, "size": 0, "head": None, "root": root}
        for entry in in_order(entries):
            if entry.seq == 0:
                ledger["id"], ledger["name"] = entry.hash, str(entry.data.get("name", ""))
            ledger["size"], ledger["head"] = entry.seq + 1, entry.hash
            self._take(entry)
        if ledger["id"] is not None:
            self._add("ledger", ledger)
        for row in self._keys.values():
            self._add("keys", row)
        for run in self._runs.runs.values():
            self._add("runs", _run_row(run))
        for table in TABLES:
            self._flush(table)

    def _take(self, entry: EntryLike) -> None:
        self._key_row(entry.key)  # a signer that no key event names has a row too
        run_id = run_id_of(entry)
        if run_id is None:
            self._add("entries", _entry_row(entry, None))
            self._take_key_event(entry.seq, read_payload(entry))
            return
        followed = follow(self._runs, entry, _Run)
        # A judgement of a run that there is not is an entry about no run.
        self._add("entries", _entry_row(entry, run_id if run_id in self._runs.runs else None))
        if followed is not None:
            run, payload = followed
            run.take(entry, payload)
            for table, row in _run_rows(payload):
                self._add(table, {"seq": entry.seq, "run_id": run_id, **row})

    def _take_key_event(self, seq: int, payload: Payload | None) -> None:
        if isinstance(payload, LedgerCreated):
            for record in payload.keys:
                self._enter(seq, record.public, record.name, roles=record.roles)
        elif isinstance(payload, KeyAuthorized):
            self._enter(seq, payload.public, payload.name, roles=payload.roles)
        elif isinstance(payload, KeyRotated):
            by = payload.by
            roles = json.loads(self._key_row(payload.key)["roles"] or "[]")
            self._enter(seq, by.public, by.name, roles=roles)
            self._leave(seq, payload.key, f"rotated to {by.name}")
        elif isinstance(payload, KeyRevoked):
            self._leave(seq, payload.key, payload.reason)

    def _key_row(self, key: str) -> Row:
        columns = TABLES["keys"][0]
        return self._keys.setdefault(key, {**dict.fromkeys(columns), "id": key})

    def _enter(self, seq: int, public: str, name: str, *, roles: list[str]) -> None:
        row = self._key_row(key_id(public))
        if row["authorized_seq"] is None:  # a key enters a register once
            row.update(public=public, name=name, roles=json.dumps(roles), authorized_seq=seq)

    def _leave(self, seq: int, key: str, reason: str) -> None:
        row = self._key_row(key)
        if row["out_seq"] is None:
            row.update(out_seq=seq, out_reason=reason)

    def _add(self, table: str, row: Row) -> None:
        rows = self._pending[table]
        rows.append(row)
        if len(rows) >= BATCH:
            self._flush(table)

    def _flush(self, table: str) -> None:
        rows = self._pending[table]
        if rows:
            self._database.table(table).insert_all(rows, batch_size=BATCH)
            rows.clear()


def _entry_row(entry: EntryLike, run_id: str | None) -> Row:
    return {
        "seq": entry.seq,
        "id": entry.id,
        "time": entry.time,
        "type": entry.type,
        "subject": entry.subject,
        "key_id": entry.key,
        "signed": int(entry.signed),
        "hash": entry.hash,
        "run_id": run_id,
        "data": json.dumps(entry.data, ensure_ascii=False, separators=(",", ":")),
    }


def _run_rows(payload: Payload) -> Iterator[tuple[str, Row]]:
    """Yield the rows of one event about a run, without the members that all share."""
    if isinstance(payload, GateChecked):
        yield "gates", _gate_row(payload)
    elif isinstance(payload, MetricObserved):
        for name, value in sorted(payload.values.items()):
            finite, nonfinite = _split(value)
            yield (
                "metrics",
                {"iter": payload.iter, "name": name, "value": finite, "nonfinite": nonfinite},
            )
    elif isinstance(payload, GovernanceCleared):
        yield "judgements", {"status": "cleared", **payload.model_dump()}
    elif type(payload) in _COPIED:
        yield _COPIED[type(payload)], payload.model_dump()


_COPIED: dict[type[Payload], str] = {
    ArtifactRecorded: "artifacts",
    FaultInjected: "faults",
    GateAnchored: "anchors",
    GovernanceJudged: "judgements",
    RunSaved: "weights",
}
"""Events whose members are the columns of a table."""


def _gate_row(check: GateChecked) -> Row:
    audit, forecast = check.audit, check.forecast
    worst, nonfinite = _split(audit.worst_DW)
    drove = ("metric", "view", "z", "regime")
    driver, view, z, regime = (getattr(forecast, name, None) for name in drove)
    return {
        "iter": check.iter,
        "decision": decision_of(check),
        "evaluated": int(audit.evaluated),
        "reason": audit.reason,
        "worst_DW": worst,
        "nonfinite": nonfinite,
        "eps_eff": audit.eps_eff,
        "evidence_total": audit.evidence_total,
        "min_evidence": audit.min_evidence,
        "driver": driver,
        "view": view,
        "z": z,
        "regime": regime,
    }


def _split(value: float | str | None) -> tuple[float | None, str | None]:
    """Return a number for its column, or the name of one that no column can hold."""
    return (None, value) if isinstance(value, str) else (value, None)


def _run_row(run: _Run) -> Row:
    core, tally, ending = run.core, run.tally, run.core.ending
    stands = standing(run.judged)
    return {
        "id": core.run_id,
        "kind": core.kind,
        "gate_preset": preset_of(core),
        "status": core.status,
        "partial": int(core.partial),
        "started": core.started,
        "ended": None if ending is None else ending.time,
        "exit_code": None if ending is None else ending.exit_code,
        "signal": None if ending is None else ending.signal,
        "wall_s": None if ending is None else ending.wall_s,
        "final_decision": tally.final,
        "first_fail_iter": tally.first_fail,
        "overrides": json.dumps(core.overrides, ensure_ascii=False, separators=(",", ":")),
        "overhead_s": run.overhead_s,
        "judgement": None if stands is None else stands.status,
        "checks": tally.total,
        "evaluated": tally.evaluated,
        "skip": tally.skipped,
        "pass": tally.passed,
        "warn": tally.warned,
        "fail": tally.failed,
    }
