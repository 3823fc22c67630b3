"""``ledger project``."""

from pathlib import Path

import click

from cli import projecting
from cli.command import make_command, path_argument, wants_json
from cli.output import Output
from ledger.errors import MisuseError


@make_command("project")
@path_argument()
@click.argument("name", metavar="NAME")
@click.option("--out", metavar="FILE", help="Where to: a file, a directory for all, or - .")
@click.option("--at", type=click.IntRange(1), metavar="SIZE", help="Only the first SIZE entries.")
@click.option("--check", is_flag=True, help="Compare with the files of the run directory.")
def command(path: Path, name: str, *, out: str | None, at: int | None, check: bool) -> Output | int:
    """Rebuild NAME from the events of the ledger at PATH: the same bytes, every time.

    NAME is results, summary, window_signature, report, timeline, all, or sqlite: a database of
    entries, runs, gates and artifacts for Datasette or plain SQL. With --check, what the run
    directory holds must be what its events give (exit 2 if not).
    """
    if check:
        if out is not None or at is not None:
            raise MisuseError("--check compares each file at the size on record: no --out, no --at")
        return projecting.check(path, name)
    if name == projecting.DATABASE:
        return projecting.database(path, out, at)
    made = projecting.project(path, name, at=at)
    if wants_json() and out in (None, "-"):
        raise MisuseError("--json and a projection on stdout cannot be told apart: give --out")
    return projecting.deliver(made, name, out)
