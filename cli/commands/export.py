"""``ledger export``."""

from pathlib import Path

import click

from cli import transfer
from cli.command import make_command, path_argument, wants_json
from cli.output import Output
from ledger.errors import MisuseError


@make_command("export")
@path_argument()
@click.argument("target")
def command(path: Path, target: str) -> Output | int:
    """Copy the ledger at PATH, after checking all of it, to TARGET.

    TARGET is a .jsonl (or .sqlite) file, - for JSONL on stdout, or a .tar: then PATH is a run
    directory, and all its files go into one archive. An existing TARGET is never overwritten.
    """
    if target == "-":
        if wants_json():
            raise MisuseError("--json and JSONL on stdout cannot be told apart: name a TARGET")
        return transfer.stream(path)
    done = transfer.export(path, Path(target))
    return Output("export", done.to_json(), done.to_text("exported"))
