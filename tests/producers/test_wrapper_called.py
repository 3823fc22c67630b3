"""The wrapper called from a program, and the thread that copies the runner's output."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ledger import Key, KeyRefusedError, Ledger, MisuseError
from producers.runs import RunSpec, new_run_id, run
from producers.runs.output import Tee


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.parametrize("store", ["ledger.sqlite", "ledger.jsonl"])
def test_the_wrapper_can_be_called_from_a_program(tmp_path: Path, key: Key, store: str) -> None:
    (tmp_path / "out").mkdir()
    with Ledger.create(tmp_path / "out" / store, name="t", key=key) as book, _null() as null:
        outcome = run(
            RunSpec(
                kind="command",
                argv=tuple(python("print(1)")),
                outdir=tmp_path / "out",
                run_id="r1",
                stdout=null,
                stderr=null,
            ),
            book,
        )
        assert (outcome.wrapper_exit, outcome.status, outcome.run_id) == (0, "success", "r1")
        assert outcome.artifacts == ("environment.txt", "runner_output.log")
        assert (tmp_path / "out" / "runner_output.log").read_bytes() == b"1\n"


def test_a_second_run_in_the_same_directory_is_refused_before_anything_is_recorded(
    tmp_path: Path, key: Key
) -> None:
    spec = RunSpec(kind="command", argv=("true",), outdir=tmp_path / "out")
    with Ledger.create(tmp_path / "out", name="t", key=key) as book:
        run(spec, book)
        size = book.size
        with pytest.raises(MisuseError, match="in use by another run"):
            run(spec, book)
        (tmp_path / "out" / "run_config_resolved.json").write_text("{}", encoding="utf-8")
        with pytest.raises(MisuseError, match="artifacts of another run"):
            run(spec, book)
        assert book.refresh().size == size


def test_a_key_that_is_no_owner_records_nothing_and_leaves_the_directory_free(
    tmp_path: Path, key: Key
) -> None:
    other = Key.from_seed(bytes(32), name="w")
    with Ledger.create(tmp_path / "out", name="t", key=key) as book:
        book.authorize(other.public, name="w", roles=["wrapper"])
        size = book.size
    spec = RunSpec(kind="command", argv=("true",), outdir=tmp_path / "out")
    with Ledger.open(tmp_path / "out", key=other) as book:
        with pytest.raises(KeyRefusedError):
            run(spec, book)
        assert book.refresh().size == size
    assert [p.name for p in (tmp_path / "out").iterdir() if "ledger" not in p.name] == []


def test_a_finalizer_that_fails_leaves_the_run_closed_and_its_files_on_record(
    tmp_path: Path, key: Key
) -> None:
    def fail(book: Ledger, outdir: Path) -> dict[str, bytes]:
        del book, outdir
        raise RuntimeError("no projection")

    spec = RunSpec(kind="command", argv=("true",), outdir=tmp_path / "out")
    with Ledger.create(tmp_path / "out", name="t", key=key) as book:
        with pytest.raises(RuntimeError, match="no projection"):
            run(spec, book, finalize=fail)
        last = [e.type for e in book.entries()][-4:]
    assert last == ["key.revoked", "run.closed", *["artifact.recorded"] * 2]


@pytest.mark.parametrize("name", ["../escape", "/escape/x", "a/../../b"])
def test_a_projected_file_stays_inside_the_run_directory(
    tmp_path: Path, key: Key, name: str
) -> None:
    spec = RunSpec(kind="command", argv=("true",), outdir=tmp_path / "out")
    with (
        Ledger.create(tmp_path / "out", name="t", key=key) as book,
        pytest.raises(MisuseError, match="not a path inside"),
    ):
        run(spec, book, finalize=lambda _book, _outdir: {name: b"x"})


def test_nothing_to_run_is_refused(tmp_path: Path, key: Key) -> None:
    with (
        Ledger.create(tmp_path / "out", name="t", key=key) as book,
        pytest.raises(MisuseError, match="no command"),
    ):
        run(RunSpec(kind="command", argv=(), outdir=tmp_path / "out"), book)


def test_run_ids_are_unique_and_sort_by_time() -> None:
    ids = []
    for _ in range(3):
        ids.append(new_run_id())
        time.sleep(0.002)
    assert ids == sorted(set(ids))
    assert all(len(i) == 32 and int(i, 16) for i in ids)


def test_no_more_than_a_pipe_holds_is_taken_after_the_end(tmp_path: Path) -> None:
    """Else a descendant that writes faster than we read keeps the wrapper for ever."""
    source, writer = os.pipe()
    endless = subprocess.Popen(["cat", "/dev/zero"], stdout=writer)
    os.close(writer)
    try:
        with (tmp_path / "copy").open("xb", buffering=0) as copy, _null() as null:
            tee = Tee({source: null}, copy, [])
            with tee:
                tee._stop.set()  # at once: what it copies now, it copies after the end
    finally:
        endless.kill()
        endless.wait()
    assert (tmp_path / "copy").stat().st_size <= 4 << 20


def test_a_full_disk_under_the_copy_stops_neither_the_output_nor_the_runner() -> None:
    source, writer = os.pipe()
    got, target = os.pipe()
    with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123 - a device
        with Tee({source: target}, full, []) as tee:
            os.write(writer, b"on the screen")
            os.close(writer)
        assert tee.problem is not None
        assert "not complete" in tee.problem
    os.close(target)
    assert os.read(got, 100) == b"on the screen"
    os.close(got)


class _null:  # noqa: N801 - reads as a function
    def __enter__(self) -> int:
        self._fd = os.open(os.devnull, os.O_WRONLY)
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
