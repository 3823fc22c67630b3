"""What a command answers: an object for programs, text for people, an exit code."""

import json
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from cli.exits import OK


class Output(NamedTuple):
    """The answer of a command; *text* is safe to show on a terminal."""

    name: str
    data: Mapping[str, Any]
    text: str
    exit_code: int = OK

    def emit(self, *, as_json: bool) -> int:
        """Print it in the form that was asked for, and return the exit code."""
        if as_json:
            print_json({"schema": schema(self.name), "exit_code": self.exit_code, **self.data})
        elif self.text:
            print_text(self.text)
        return self.exit_code


def schema(name: str) -> str:
    """Return the name of the schema of a command's ``--json``."""
    return f"evidence-ledger/{name}/v1"


def print_json(value: Mapping[str, Any]) -> None:
    """Print one object on one line, in ASCII: it is safe on a terminal too."""
    print_text(json.dumps(value, separators=(",", ":")))


def print_text(text: str) -> None:
    """Print a text and its line end to stdout, whatever the locale says of its encoding."""
    write((text if text.endswith("\n") else text + "\n").encode("utf-8", "backslashreplace"))


def write(content: bytes) -> None:
    """Write bytes to stdout as they are, and make sure that they leave."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def say(text: str) -> None:
    """Talk on stderr: data alone goes to stdout."""
    sys.stdout.flush()
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
