"""How tests run the command: in a process of its own, and what they get back."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Finished:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Finished]


def command_line(*args: object) -> list[str]:
    return [sys.executable, "-m", "cli", *map(str, args)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def shell(*args: object, stdin: str | bytes = b"", wrap: Sequence[str] = ()) -> Finished:
    content = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [*wrap, *command_line(*args)],
        input=content,
        capture_output=True,
        env=environment(),
        check=False,
        timeout=120,
    )
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())
