"""``python -m verifier``: the verifier on its own, for people who install nothing else of ours."""

import argparse
import json
import os
import re
import sqlite3
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from verifier.explain import CODES, explain
from verifier.policy import Policy
from verifier.render import last_line
from verifier.run import NoLedgerError, verify_path
from verifier.text import shown
from verifier.verdict import Verdict

__all__ = ["main"]

_BROKEN = 3
_USAGE = 64
_INTERRUPTED = 130
_LARGEST_CHECKPOINT = 1 << 20  # a note with a hundred cosignatures has some 20 KB
_HEX64 = re.compile(r"[0-9a-f]{64}")
_EXITS = "exit codes: 0 verified, 2 refuted, 3 the ledger could not be read, 5 incomplete, 64 usage"


class _UsageError(Exception):
    """The arguments make no sense."""


class _Parser(argparse.ArgumentParser):
    """argparse, with the exit code for misuse that everything here has."""

    def error(self, message: str) -> NoReturn:
        raise _UsageError(f"{message}\n{self.format_usage().rstrip()}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        return _run(_parser().parse_args(argv))
    except (_UsageError, NoLedgerError) as error:
        return _complain(str(error), _USAGE)
    except (OSError, sqlite3.Error) as error:
        return _complain(f"the ledger could not be read: {shown(str(error))}", _BROKEN)
    except KeyboardInterrupt:
        return _complain("interrupted; nothing was decided", _INTERRUPTED)
    except Exception:  # noqa: BLE001 - 1 and 2 would read as a verdict; a fault of ours is 3
        traceback.print_exc()
        return _complain("the verifier itself failed; this says nothing of the ledger", _BROKEN)


def _run(options: argparse.Namespace) -> int:
    if options.explain is not None:
        return _explain(options.explain)
    if options.path is None:
        raise _UsageError("a PATH is needed: a .jsonl, .sqlite or .db file, or a run directory")
    policy = _policy(options)
    show = sys.stderr.isatty() and not options.quiet
    verdict = verify_path(Path(options.path), policy, _progress if show else None)
    if show:
        sys.stderr.write("\r\x1b[K")
    _print(verdict, as_json=options.json, quiet=options.quiet)
    return verdict.exit_code


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m verifier",
        description="Verify a ledger that you do not trust, offline.",
        epilog=_EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("path", metavar="PATH", nargs="?", help=".jsonl, .sqlite, .db or directory")
    parser.add_argument("--strict", action="store_true", help="no anchor, no verdict; no warnings")
    parser.add_argument("--ledger-id", metavar="HEX", help="the id that you trust, from elsewhere")
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        action="append",
        default=[],
        help="a checkpoint kept outside the ledger's host; may be given several times",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--jobs", metavar="N", type=int, default=0, help="processes; 0: one a core")
    parser.add_argument("--quiet", action="store_true", help="print the last line only")
    parser.add_argument("--explain", metavar="CODE", help="print what a finding code means")
    return parser


def _policy(options: argparse.Namespace) -> Policy:
    if options.ledger_id is not None and _HEX64.fullmatch(options.ledger_id) is None:
        raise _UsageError("--ledger-id: expected 64 lowercase hex digits")
    if options.jobs < 0:
        raise _UsageError("--jobs: expected 0 or more")
    return Policy(
        strict=options.strict,
        ledger_id=options.ledger_id,
        checkpoints=tuple(_checkpoint(name) for name in options.checkpoint),
        jobs=options.jobs,
    )


def _checkpoint(name: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            note = file.read(_LARGEST_CHECKPOINT + 1)
    except FileNotFoundError as error:
        raise _UsageError(f"--checkpoint: {shown(name)}: no such file") from error
    if len(note) > _LARGEST_CHECKPOINT:
        raise _UsageError(f"--checkpoint: {shown(name)}: too large to be a checkpoint")
    return note


def _explain(code: str) -> int:
    if code not in CODES:
        raise _UsageError(f"--explain: unknown code {shown(code)}; known are {', '.join(CODES)}")
    text = explain(code)
    sys.stdout.write(f"{code}\n  meaning: {text.meaning}\n  what to do: {text.action}\n")
    return 0


def _print(verdict: Verdict, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        text = json.dumps(verdict.to_json()) + "\n"
    else:
        text = last_line(verdict) + "\n" if quiet else verdict.to_text()
    # A terminal that cannot show a character must not turn a verdict into a crash.
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        # `| head` left early: the verdict stands, and Python must not complain at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _progress(done: int, total: int) -> None:
    percent = 100 * done // total if total else 100
    sys.stderr.write(f"\rverifying {percent} %")
    sys.stderr.flush()


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"error: {message}\n")
    return code
