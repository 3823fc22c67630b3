"""``ledger project``."""

from pathlib import Path
from typing import TypedDict, Unpack

import click

from cli import projecting
from cli.command import make_command, path_argument, wants_json
from cli.output import Output
from ledger.errors import MisuseError


class Options(TypedDict):
    """The options of ``ledger project``."""

    out: str | None
    at: int | None
    outdir: str | None
    check: bool


@make_command("project")
@path_argument()
@click.argument("name", metavar="NAME")
@click.option("--out", metavar="FILE", help="Where to: a file, a directory for all, or - .")
@click.option("--at", type=click.IntRange(1), metavar="SIZE", help="Only the first SIZE entries.")
@click.option("--outdir", metavar="DIR", help="Bind governance to DIR; capsule is written there.")
@click.option("--check", is_flag=True, help="Compare with the files of the run directory.")
def command(path: Path, name: str, **options: Unpack[Options]) -> Output | int:
    """Rebuild NAME from the events of the ledger at PATH: the same bytes, every time.

    NAME is results, summary, window_signature, run_config, governance, judgement, calibration,
    report, timeline, all, capsule, or sqlite: a database of entries, runs, gates and artifacts for
    Datasette or plain SQL. capsule is all files of the contract, for a copy at another place. With
    --check, what the run directory holds must be what its events give (exit 2 if not).
    """
    out, at, outdir = options["out"], options["at"], options["outdir"]
    if options["check"]:
        if (out, at, outdir) != (None, None, None):
            raise MisuseError(
                "--check compares each file at the size on record: no --out, --at or --outdir"
            )
        return projecting.check(path, name)
    if name == projecting.DATABASE:
        return projecting.database(path, out, at)
    place = None if outdir is None else projecting.place_of(path, outdir)
    made = projecting.project(path, name, at=at, outdir=None if place is None else str(place))
    if place is not None and name == projecting.CAPSULE and out is None:
        return projecting.deliver_capsule(made, place)
    if wants_json() and out in (None, "-"):
        raise MisuseError("--json and a projection on stdout cannot be told apart: give --out")
    return projecting.deliver(made, name, out)
