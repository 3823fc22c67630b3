"""Forked readers: how a file is cut, and what happens when a reader dies."""

import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path

import msgspec
import pytest

from tests.verifier.builder import OWNER, RUNNER, Builder
from verifier.fast import Fast
from verifier.jsonl import JsonlFile
from verifier.parallel import Block, Workers, blocks, read_block, serve
from verifier.segments import Doubt, Part, Segment


@pytest.fixture
def file(tmp_path: Path) -> Iterator[JsonlFile]:
    b = Builder()
    for n in range(200):
        b.add(data={"n": n})
    with JsonlFile(b.write(tmp_path / "l.jsonl")) as opened:
        yield opened


@pytest.fixture
def fast(file: JsonlFile) -> Fast:
    head = os.pread(file.descriptor, 5000, 0)
    fast = Fast(head.split(b'"hash":"')[1][:64].decode(), witnessed=True)
    fast.learn(OWNER.public)
    fast.learn(RUNNER.public)
    return fast


@pytest.mark.parametrize("size", [1, 100, 999, 10_000, 10**9])
def test_blocks_are_whole_lines_and_leave_nothing_out(file: JsonlFile, size: int) -> None:
    cut = list(blocks(file.descriptor, 0, file.size, size))
    assert [start for start, _ in cut] == [0, *[stop for _, stop in cut[:-1]]]
    assert cut[-1][1] == file.size
    assert all(os.pread(file.descriptor, 1, stop - 1) == b"\n" for _, stop in cut)


def test_a_block_without_a_line_end_goes_on_as_far_as_it_has_to(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"a\n" + b"x" * 500_000 + b"\nb")
    with JsonlFile(path) as file:
        cut = list(blocks(file.descriptor, 0, file.size, 10))
        assert cut == [(0, 500_003), (500_003, 500_004)]
        assert read_block(Fast("0" * 64, witnessed=False), file.descriptor, cut[0], 10) == [
            Doubt(*cut[0])
        ]


def test_a_block_that_is_not_there_any_more_is_in_doubt(file: JsonlFile, fast: Fast) -> None:
    beyond = (file.size - 10, file.size + 10)
    assert read_block(fast, file.descriptor, beyond, 1000) == [Doubt(*beyond)]


def lines_of(results: Iterator[tuple[Block, list[Part]]]) -> tuple[int, int]:
    """Return how many lines were read fast, and how many bytes are in doubt."""
    lines = doubt = 0
    for _, parts in results:
        for part in parts:
            if isinstance(part, Segment):
                lines += part.lines
            else:
                doubt += part.stop - part.start
    return lines, doubt


def workers_of(fast: Fast, file: JsonlFile, jobs: int = 2) -> Workers:
    return Workers(fast, file.descriptor, size=3000, jobs=jobs)


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_blocks_come_back_in_their_order(file: JsonlFile, fast: Fast, jobs: int) -> None:
    ranges = list(blocks(file.descriptor, 0, file.size, 3000))
    workers = workers_of(fast, file, jobs)
    try:
        results = list(workers.read(iter(ranges)))
    finally:
        workers.close()
    assert [block for block, _ in results] == ranges
    genesis = len(os.pread(file.descriptor, 5000, 0).split(b"\n")[0]) + 1
    assert lines_of(iter(results)) == (200, genesis)


def test_a_reader_that_is_killed_leaves_doubt_and_nothing_else(file: JsonlFile, fast: Fast) -> None:
    ranges = list(blocks(file.descriptor, 0, file.size, 3000))
    workers = workers_of(fast, file)
    results = workers.read(iter(ranges))
    got = [next(results)]
    for worker in workers._workers:
        os.kill(worker.pid, signal.SIGKILL)
    got += results
    workers.close()
    assert [block for block, _ in got] == ranges
    lines, doubt = lines_of(iter(got))
    assert lines < 200
    assert doubt > 0
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_one_reader_killed_leaves_the_others_at_work(file: JsonlFile, fast: Fast) -> None:
    ranges = list(blocks(file.descriptor, 0, file.size, 3000))
    workers = workers_of(fast, file)
    os.kill(workers._workers[0].pid, signal.SIGKILL)
    results = list(workers.read(iter(ranges)))
    workers.close()
    assert [block for block, _ in results] == ranges
    assert lines_of(iter(results))[0] > 100


def test_a_reader_serves_until_nobody_asks(file: JsonlFile, fast: Fast) -> None:
    here, there = Pipe()
    thread = threading.Thread(target=serve, args=(fast, file.descriptor, file.size, there))
    thread.start()
    here.send_bytes(msgspec.msgpack.encode((7, 0, file.size, True, 0, (RUNNER.public,))))
    number, parts = msgspec.msgpack.decode(here.recv_bytes())
    here.close()
    thread.join(10)
    there.close()
    assert not thread.is_alive()
    assert (number, [part[0] for part in parts]) == (7, ["doubt", "segment"])
