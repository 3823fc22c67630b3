import sqlite3
from pathlib import Path
from typing import Any

import histories
import payloads
import pytest
import story
from hypothesis import HealthCheck, given, settings

from ledger.errors import MalformedError, MisuseError, StoreError
from projections import write_database
from projections.database import APPLICATION_ID, BATCH


def ask(path: Path, question: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(question).fetchall()
    finally:
        connection.close()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "query.db"
    write_database(story.fail_then_pass().entries, path, root="ab" * 32)
    return path


def test_plain_sql_can_ask_what_happened(database: Path) -> None:
    question = """
        SELECT runs.id, gates.iter, round(metrics.value, 2), keys.name
        FROM gates JOIN runs ON runs.id = gates.run_id JOIN entries USING (seq)
        JOIN keys ON keys.id = entries.key_id
        JOIN metrics ON metrics.run_id = runs.id AND metrics.iter = gates.iter
        WHERE gates.decision = 'fail' AND metrics.name = 'eff_dim' ORDER BY gates.iter
    """
    assert ask(database, question) == [
        ("0197f3c2-demo", 180, 39.0, "runner-1"),
        ("0197f3c2-demo", 200, 40.0, "runner-1"),
    ]
    run = "SELECT kind, gate_preset, status, partial, final_decision, first_fail_iter FROM runs"
    assert ask(database, run) == [("gpt", "tuned_v0", "success", 0, "fail", 180)]
    counts = 'SELECT checks, evaluated, skip, "pass", warn, "fail" FROM runs'
    assert ask(database, counts) == [(11, 8, 3, 5, 1, 2)]


def test_every_entry_is_there_with_its_data_as_json(database: Path) -> None:
    entries = story.fail_then_pass().entries
    rows = ask(database, "SELECT seq, id, time, type, subject, hash, signed FROM entries")
    assert rows == [(e.seq, e.id, e.time, e.type, e.subject, e.hash, e.signed) for e in entries]
    note = "SELECT json_extract(data, '$.count'), run_id FROM entries WHERE type = 'x.note'"
    assert ask(database, note) == [(3, None)]
    assert ask(database, "SELECT path, bytes FROM artifacts") == [("model.safetensors", 4096)]


def test_it_says_which_ledger_it_was_made_from(database: Path) -> None:
    entries = story.fail_then_pass().entries
    assert ask(database, "SELECT id, name, size, head, root FROM ledger") == [
        (entries[0].hash, "demo", len(entries), entries[-1].hash, "ab" * 32)
    ]


def test_the_tables_refer_to_each_other(database: Path) -> None:
    references = {
        (table, row[3], row[2], row[4])
        for table in ("entries", "gates", "metrics", "artifacts")
        for row in ask(database, f"PRAGMA foreign_key_list({table})")
    }
    assert references == {
        ("entries", "key_id", "keys", "id"),
        ("entries", "run_id", "runs", "id"),
        *((t, "seq", "entries", "seq") for t in ("gates", "metrics", "artifacts")),
        *((t, "run_id", "runs", "id") for t in ("gates", "metrics", "artifacts")),
    }


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(entries=histories.stories())
def test_any_history_fits_and_no_reference_dangles(
    tmp_path: Path, entries: list[story.Entry]
) -> None:
    path = tmp_path / "query.db"
    write_database(entries, path)
    assert ask(path, "PRAGMA foreign_key_check") == []
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    assert ask(path, "SELECT count(*) FROM entries") == [(len(entries),)]


def test_keys_have_their_story(tmp_path: Path) -> None:
    made = story.Story()
    owner, runner = payloads.key_id(payloads.OWNER), payloads.key_id(payloads.RUNNER)
    made.add(
        "key.authorized", "", payloads.authorized(payloads.RUNNER, "runner"), key=payloads.OWNER
    )
    made.add("key.authorized", "", payloads.authorized(payloads.RUNNER, "twin"), key=payloads.OWNER)
    by = {"alg": "ed25519", "public": payloads.public_text(b"\4" * 32), "name": "next"}
    made.add("key.rotated", "", {"key": runner, "by": by}, key=payloads.OWNER)
    revoked = {"key": runner, "reason": "lost", "compromised_since": 2}
    made.add("key.revoked", "", revoked, key=payloads.OWNER)
    made.add("x.note", "", {}, key=b"\x09" * 32)
    path = tmp_path / "query.db"
    write_database(made.entries, path)
    rows = ask(path, "SELECT id, name, roles, authorized_seq, out_seq, out_reason FROM keys")
    assert rows == [
        (owner, "owner", '["owner"]', 0, None, None),
        (payloads.key_id(payloads.WRAPPER), "wrapper", '["wrapper"]', 0, None, None),
        (runner, "runner", '["runner"]', 1, 3, "rotated to next"),
        (payloads.key_id(b"\4" * 32), "next", '["runner"]', 3, None, None),
        (payloads.key_id(b"\x09" * 32), None, None, None, None, None),
    ]


def test_what_is_not_finite_is_named_and_never_lost(tmp_path: Path) -> None:
    path = tmp_path / "query.db"
    write_database(story.hostile(), path)
    metrics = "SELECT value, nonfinite FROM metrics ORDER BY nonfinite"
    assert ask(path, metrics) == [(None, "-Infinity"), (None, "NaN")]
    assert ask(path, "SELECT worst_DW, nonfinite FROM gates") == [(None, "NaN")]


def test_a_pass_that_was_not_evaluated_is_a_skip_here_too(tmp_path: Path) -> None:
    made = story.Story()
    made.gate("r", 10, "pass", evaluated=False)
    path = tmp_path / "query.db"
    write_database(made.entries, path)
    assert ask(path, "SELECT decision, evaluated FROM gates") == [("skip", 0)]
    assert ask(path, "SELECT final_decision FROM runs") == [("skip",)]


def test_more_rows_than_a_batch_all_arrive(tmp_path: Path) -> None:
    made = story.Story()
    for number in range(BATCH + 1):
        made.metrics("r", number, loss=number)
    path = tmp_path / "query.db"
    write_database(made.entries, path)
    assert ask(path, "SELECT count(*), min(seq), max(seq) FROM entries") == [
        (BATCH + 2, 0, BATCH + 1)
    ]
    assert ask(path, "SELECT count(*), max(value) FROM metrics") == [(BATCH + 1, BATCH)]


def test_it_replaces_its_own_kind_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "query.db"
    for entries in (story.fail_then_pass().entries, story.partial(), []):
        write_database(entries, path)
        assert ask(path, "SELECT count(*) FROM entries") == [(len(entries),)]
    assert [found.name for found in tmp_path.iterdir()] == ["query.db"]


@pytest.mark.parametrize("kind", ["ledger", "short", "empty", "no magic"])
def test_what_it_did_not_write_it_does_not_overwrite(tmp_path: Path, kind: str) -> None:
    """``ledger project sqlite --out ledger.sqlite`` must not cost anyone a ledger."""
    path = tmp_path / "ledger.sqlite"
    if kind == "ledger":
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE entries (seq INTEGER PRIMARY KEY)")
        connection.close()
    else:
        no_magic = b"x" * 68 + APPLICATION_ID.to_bytes(4, "big") + b"x" * 99
        contents = {"short": b"SQLite format 3\0", "empty": b"", "no magic": no_magic}
        path.write_bytes(contents[kind])
    before = path.read_bytes()
    with pytest.raises(MisuseError, match="not a query database"):
        write_database(story.partial(), path)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_a_broken_stream_leaves_the_old_database_as_it_was(database: Path) -> None:
    before = database.read_bytes()
    with pytest.raises(MalformedError):
        write_database(story.fail_then_pass().entries[1:], database)
    assert database.read_bytes() == before
    assert [found.name for found in database.parent.iterdir()] == ["query.db"]


def test_a_place_that_cannot_be_written_is_the_fault_of_the_world(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        write_database([], tmp_path / "nowhere" / "query.db")
    (tmp_path / "directory").mkdir()
    with pytest.raises(StoreError):
        write_database([], tmp_path / "directory")
