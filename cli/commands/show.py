"""``ledger show``."""

from pathlib import Path

import click

from cli import showing
from cli.command import make_command, path_argument, wants_json
from cli.output import Output, write
from ledger.ledger import Ledger


@make_command("show")
@path_argument()
@click.argument("entry")
@click.option("--raw", is_flag=True, help="Print the bytes that were hashed, and nothing else.")
def command(path: Path, entry: str, *, raw: bool) -> Output | int:
    r"""Show one ENTRY of the ledger at PATH, by its seq, its event id or its hash.

    The bytes of --raw are those of the hash: (printf '\0'; ledger show PATH SEQ --raw) | sha256sum
    """
    with Ledger.open(path) as book:
        found = showing.find(book, entry)
        if raw:
            write(found.raw)
            return 0
        if wants_json():
            return Output("show", showing.to_json(book, found), "")
        return Output("show", {}, showing.to_text(book, found))
