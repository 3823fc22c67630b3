"""What a command costs before it does anything: CPU time of whole processes."""

import os
import random
import statistics
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.bench import Bench, Line, Reach, ratios
from benchmarks.measure import python
from benchmarks.payload import KIND, SUBJECT, data_of, gate_checked
from ledger import Key, Ledger
from ledger.strictjson import encode

_WARM = 3


def run(bench: Bench) -> Iterator[Line]:
    """Alternate ``ledger --help``, ``ledger append`` and the imports that they cannot avoid."""
    ledger = _command()
    yield _compare(
        bench, [*ledger, "--help"], python("-c", "import click"), reach=1.5, work="ledger --help"
    )
    key = Key.generate("bench")
    key_file, path = bench.folder / "key", bench.folder / "start.sqlite"
    key.write(key_file)
    Ledger.create(path, name="bench", key=key).close()
    rng = random.Random(1)  # noqa: S311 - repeatable, not secret
    for kind, data in ((KIND, data_of(1, rng)), ("gate.checked", gate_checked(1, rng))):
        text = encode(data).decode()
        arguments = ["append", str(path), "--key", str(key_file), "--type", kind]
        yield _compare(
            bench,
            [*ledger, *arguments, "--subject", SUBJECT, "--data", text],
            python("-c", "import click, cryptography"),
            reach=2.2,
            work=f"ledger append, one {kind}",
        )


def _command() -> list[str]:
    """Return the installed command, or what it would run."""
    script = Path(sysconfig.get_path("scripts")) / "ledger"
    return [str(script)] if script.exists() else python("-c", "from cli.main import main; main()")


def _compare(bench: Bench, command: list[str], bare: list[str], *, reach: float, work: str) -> Line:
    ours, limits = [], []
    for pair in range(_WARM + bench.pick(20, 60)):
        own, limit = _cpu(command), _cpu(bare)
        if pair >= _WARM:
            ours.append(own)
            limits.append(limit)
    # Here more is worse: the cost of ours over the cost of the limit.
    return Line(
        work,
        f'python -c "{bare[-1]}"',
        Reach("≤", reach),
        ratios(limits, ours),
        f"CPU of whole processes: {_ms(ours)} ms against {_ms(limits)} ms",
    )


def _cpu(command: list[str]) -> float:
    """Run a process, silent, and return its CPU seconds."""
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=quiet)
    _, status, usage = os.wait4(pid, 0)
    assert status == 0, command
    return usage.ru_utime + usage.ru_stime


def _ms(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds) * 1e3:.0f}"
