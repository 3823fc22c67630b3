"""``ledger init``."""

from pathlib import Path

import click

from cli import keys
from cli.command import key_option, make_command, path_argument
from cli.output import Output
from cli.render import fields
from ledger.keyfile import fingerprint
from ledger.ledger import Ledger


@make_command("init")
@path_argument()
@click.option("--name", required=True, metavar="NAME", help="What the ledger calls itself.")
@key_option
def command(path: Path, name: str, key_file: Path | None) -> Output:
    """Make a ledger at PATH, owned by your key.

    A key is made at $LEDGER_KEY (default ~/.config/evidence-ledger/key) if you have none.
    Keep the id that this prints: whoever knows it can tell this ledger from any other.
    """
    key, made = keys.load_or_make(key_file, name="owner")
    with Ledger.create(path, name=name, key=key) as book:
        where = str(key_file or keys.default_path())
        print_of_key = fingerprint(key.public)
        owner = {"id": key.id, "fingerprint": print_of_key, "path": where}
        shown = {"ledger": str(book.path), "id": book.id, "owner": f"{key.name}  {where}"}
        text = fields({**shown, "fingerprint": print_of_key})
        data = {"path": str(book.path), "id": book.id, "name": name, "key": owner}
    heading = f"made a new key: {where}\n" if made else ""
    return Output("init", {**data, "key_made": made}, heading + text)
