"""Blocks of a file read by forked processes, and handed out in their order.

A worker gets byte ranges over a pipe and sends back parts (`segments`); it knows nothing of
what came before its range, and what it says is only believed where its claims fit. A worker
that dies costs time, nothing else: its blocks are in doubt.
"""

import contextlib
import os
import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

import msgspec

from verifier.fast import Fast
from verifier.segments import Doubt, Part

__all__ = ["Block", "Workers", "blocks", "read_block"]

_AHEAD = 2  # blocks that a worker holds, so that it never waits for the next
_LONGEST_SEARCH = 1 << 17  # for the LF that ends a block; a line is at most half of that

Block = tuple[int, int]


class _Task(msgspec.Struct, frozen=True, array_like=True):
    number: int
    start: int
    stop: int
    hashes: bool
    shift: int
    keys: tuple[bytes, ...]


class _Result(msgspec.Struct, frozen=True, array_like=True):
    number: int
    parts: list[Part]


_encode = msgspec.msgpack.Encoder().encode
_task = msgspec.msgpack.Decoder(_Task).decode
_result = msgspec.msgpack.Decoder(_Result).decode


def blocks(descriptor: int, start: int, stop: int, size: int) -> Iterator[Block]:
    """Cut a range of a file behind line ends, into ranges of about *size* bytes.

    A range without a line end for long goes on as far as it has to.
    """
    while start < stop:
        end = start + size
        while end < stop:
            found = os.pread(descriptor, _LONGEST_SEARCH, end).find(b"\n")
            if found >= 0:
                end += found + 1
                break
            end += _LONGEST_SEARCH
        yield start, min(end, stop)
        start = end


def read_block(fast: Fast, descriptor: int, block: Block, size: int) -> list[Part]:
    """Read one block fast; one that is longer than *size* by far is in doubt at once."""
    start, stop = block
    if stop - start > size + _LONGEST_SEARCH:
        return [Doubt(start, stop)]
    data = os.pread(descriptor, stop - start, start)
    if len(data) != stop - start:  # cut meanwhile
        return [Doubt(start, stop)]
    return fast.block(data, start)


@dataclass(slots=True)
class _Worker:
    pid: int
    connection: Connection
    held: dict[int, Block] = field(default_factory=dict)
    told: int = 0  # how many of the keys it was told


class Workers:
    """Forked processes that read blocks of one file."""

    def __init__(self, fast: Fast, descriptor: int, *, size: int, jobs: int) -> None:
        """Fork *jobs* processes, each with its own copy of *fast*."""
        self.hashes = False
        self.shift = 0
        self.keys: list[bytes] = []  # public keys met so far; they are told as they come
        self._workers: list[_Worker] = []
        for _ in range(jobs):
            self._workers.append(self._fork(fast, descriptor, size))

    def _fork(self, fast: Fast, descriptor: int, size: int) -> _Worker:
        here, there = Pipe()
        with warnings.catch_warnings():
            # A progress bar may have a thread. The child touches none of what it could hold:
            # it reads, computes, writes to its pipe and leaves through _exit.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            here.close()  # else it would never see the end of what it is asked
            for other in self._workers:
                other.connection.close()
            _serve_and_exit(fast, descriptor, size, there)
        there.close()
        return _Worker(pid, here)

    def read(self, ranges: Iterator[Block]) -> Iterator[tuple[Block, list[Part]]]:
        """Yield the parts of each range, in the order of the ranges."""
        waiting: deque[tuple[int, Block]] = deque()
        done: dict[int, list[Part]] = {}
        numbered = enumerate(ranges)
        while True:
            self._hand_out(numbered, waiting)
            if not waiting:
                return
            while waiting and waiting[0][0] not in done:
                if not self._collect(done):
                    break
            number, block = waiting.popleft()
            yield block, done.pop(number, [Doubt(*block)])

    def _hand_out(
        self, numbered: Iterator[tuple[int, Block]], waiting: deque[tuple[int, Block]]
    ) -> None:
        for worker in self._workers:
            while worker.pid and len(worker.held) < _AHEAD:
                item = next(numbered, None)
                if item is None:
                    return
                waiting.append(item)
                self._send(worker, *item)
        if not any(worker.pid for worker in self._workers):
            item = next(numbered, None)
            if item is not None:
                waiting.append(item)

    def _send(self, worker: _Worker, number: int, block: Block) -> None:
        keys = tuple(self.keys[worker.told :])
        worker.told = len(self.keys)
        worker.held[number] = block
        try:
            worker.connection.send_bytes(
                _encode(_Task(number, *block, self.hashes, self.shift, keys))
            )
        except OSError:
            self._bury(worker)

    def _collect(self, done: dict[int, list[Part]]) -> bool:
        """Take what workers have to say; return False if none can say anything any more."""
        busy = [worker for worker in self._workers if worker.held]
        ready = wait([worker.connection for worker in busy]) if busy else []
        for worker in busy:
            if worker.connection not in ready:
                continue
            try:
                result = _result(worker.connection.recv_bytes())
            except (OSError, EOFError, msgspec.MsgspecError):
                for number, block in worker.held.items():
                    done[number] = [Doubt(*block)]
                self._bury(worker)
            else:
                worker.held.pop(result.number, None)
                done[result.number] = result.parts
        return bool(busy)

    def _bury(self, worker: _Worker) -> None:
        worker.held.clear()
        worker.connection.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(worker.pid, 0)
        worker.pid = 0

    def close(self) -> None:
        """End the processes and wait for them."""
        for worker in self._workers:
            if worker.pid:
                self._bury(worker)


def _serve_and_exit(fast: Fast, descriptor: int, size: int, connection: Connection) -> None:
    """Read the blocks asked for until nobody asks any more, and leave the process."""
    code = 1
    try:
        serve(fast, descriptor, size, connection)
        code = 0
    finally:
        os._exit(code)


def serve(fast: Fast, descriptor: int, size: int, connection: Connection) -> None:
    """Answer the tasks that come over *connection*, until it is closed."""
    while True:
        try:
            task = _task(connection.recv_bytes())
        except (EOFError, OSError):
            return
        for public in task.keys:
            fast.learn(public)
        fast.hashes, fast.shift = task.hashes, task.shift
        parts = read_block(fast, descriptor, (task.start, task.stop), size)
        connection.send_bytes(_encode(_Result(task.number, parts)))
